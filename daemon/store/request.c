// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * request.c - from a checked frame to the part of the store that carries it out, and back
 *
 * Runs on the session's loop up to the first operation. Nothing here blocks but the CALLs at the end.
 */
#include "store/store.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "kernel/chunk/crc32c.h"
#include "kernel/chunk/crctable.h"
#include "kernel/chunk/header.h"
#include "store/catalog.h"
#include "store/segment.h"

static struct store_request *request_of(struct store_op *op)
{
	return (struct store_request *)((char *)op - offsetof(struct store_request, op));
}

size_t store_request_buffer_size(const struct weft_wire_frame *frame)
{
	switch (frame->op) {
	case WEFT_OP_PUT:
		/* Behind the payload: shard header and table as they will stand in a file. */
		return ((frame->payload_len + 63u) & ~63u) + STORE_AREA_MAX;
	case WEFT_OP_GET:
		return STORE_AREA_MAX + weft_wire_range_clamp(0, frame->length, WEFT_SHARD_LEN_MAX);
	case WEFT_OP_STAT:
		return STORE_AREA_MAX;
	case WEFT_OP_LIST:
		return STORE_LIST_BYTES;
	default:
		return frame->payload_len;
	}
}

void store_request_add_part(struct store_request *request, const void *data, size_t len)
{
	if (!len)
		return;
	request->parts[request->n_parts].iov_base = (void *)data;
	request->parts[request->n_parts].iov_len = len;
	request->n_parts++;
	request->answer.payload_len += (uint32_t)len;
}

static void answer_posted(struct store_op *op)
{
	struct store_request *request = request_of(op);

	store_session_answer(request->session, request);
}

void store_request_finish(struct store_request *request, uint32_t status)
{
	if (status != WEFT_ST_OK) {
		weft_wire_frame_reply(&request->answer, &request->frame, status);
		request->n_parts = 0;
	}
	if (request->store) {
		atomic_fetch_sub(&request->store->in_flight, 1);
		atomic_fetch_add(&request->store->answered, 1);
		atomic_fetch_add(&request->store->busy_usec,
				 store_now_usec() - request->started_usec);
	}
	request->op.done = answer_posted;
	if (store_loop_is_current(request->loop))
		answer_posted(&request->op);
	else
		store_loop_post(request->loop, &request->op);
}

uint32_t store_shard_check(const struct weft_wire_frame *frame, const uint8_t *head,
			   const uint8_t *data, const uint8_t *crcs, const char **why)
{
	struct weft_shard_info info;

	if (weft_header_decode(&info, head, frame->head_len, why))
		return WEFT_ST_CORRUPT;
	if (info.header_len != frame->head_len || info.shard_len != frame->shard_len ||
	    info.index != frame->index || info.group != frame->group ||
	    info.sid_session != frame->session || info.sid_counter != frame->counter) {
		*why = "the shard header is that of another shard";
		return WEFT_ST_CORRUPT;
	}
	if (!weft_crctable_sealed(crcs, weft_block_count(frame->shard_len))) {
		*why = "the checksum of the CRC table is wrong";
		return WEFT_ST_CORRUPT;
	}
	if (weft_crctable_check(crcs, data, frame->shard_len, NULL)) {
		*why = "a block of data does not match its CRC";
		return WEFT_ST_CORRUPT;
	}
	return WEFT_ST_OK;
}

uint32_t store_answer_shard(struct store_request *request, const uint8_t *head, uint32_t head_len,
			    uint32_t shard_len, const uint8_t *data, const uint8_t *table)
{
	struct weft_wire_frame *answer = &request->answer;
	uint32_t length, first;
	__le32 crc;

	answer->shard_len = shard_len;
	if (request->frame.op == WEFT_OP_STAT) {
		answer->head_len = head_len;
		answer->crc_len = weft_crctable_len(shard_len);
		store_request_add_part(request, head, head_len);
		store_request_add_part(request, table, answer->crc_len);
		return WEFT_ST_OK;
	}

	answer->offset = request->frame.offset;
	length = weft_wire_range_clamp(answer->offset, request->frame.length, shard_len);
	if (!length)
		return WEFT_ST_INVAL;
	first = (uint32_t)answer->offset / WEFT_CRC_BLOCK;
	if (weft_crctable_check(table + 4u * first, data, length, NULL))
		return WEFT_ST_CORRUPT;
	answer->length = length;
	answer->crc_len = weft_wire_crc_len(length);
	if (request->frame.flags & WEFT_WIRE_GET_HEADER) {
		answer->flags |= WEFT_WIRE_GET_HEADER;
		answer->head_len = head_len;
		store_request_add_part(request, head, head_len);
	}
	store_request_add_part(request, data, length);
	store_request_add_part(request, table + 4u * first, answer->crc_len - 4);
	crc = cpu_to_le32(weft_crc32c(0, table + 4u * first, answer->crc_len - 4));
	memcpy(request->small, &crc, sizeof(crc));
	store_request_add_part(request, request->small, 4);
	return WEFT_ST_OK;
}

/* --- what has no shard -------------------------------------------------------------------------------------------- */

static void request_hello(struct store_request *request)
{
	static _Thread_local struct log_limit limit;
	struct store_worker_loop *home = request->loop->owner;
	struct store_server *server = home->server;
	struct weft_wire_greeting ours =
					  {
						  .incarnation = atomic_load(&server->incarnation),
						  .version_min = WEFT_WIRE_VERSION,
						  .version_max = WEFT_WIRE_VERSION,
						  .role = WEFT_ROLE_STORE,
						  .in_flight = server->conf->in_flight
								       ? server->conf->in_flight
								       : 64,
						  .payload_max = WEFT_WIRE_PAYLOAD_MAX,
						  .host = atomic_load(&server->host),
					  },
				  theirs, agreed;
	const char *why = "";
	uint32_t status = WEFT_ST_PROTO;

	memcpy(ours.cluster, server->conf->cluster, sizeof(ours.cluster));
	if (!weft_wire_hello_decode(&theirs, (const void *)request->buffer, &why)) {
		status = weft_wire_hello_agree(&agreed, &ours, &theirs);
		why = status_text(status);
	}
	if (status != WEFT_ST_OK) {
		if (log_limit(&limit, 10, 10))
			log_warn("a peer was refused: %s; its configuration names another cluster "
				 "or another version of weft",
				 why);
		store_session_greeted(request->session, NULL);
		store_request_finish(request, status);
		return;
	}
	store_server_saw_incarnation(server, theirs.incarnation);
	agreed.incarnation = atomic_load(&server->incarnation);
	weft_wire_hello_encode((struct weft_wire_hello *)request->small, &agreed);
	store_request_add_part(request, request->small, sizeof(struct weft_wire_hello));
	request->answer.payload_crc =
		weft_crc32c(0, request->small, sizeof(struct weft_wire_hello));
	store_session_greeted(request->session, &agreed);
	store_request_finish(request, WEFT_ST_OK);
}

/* --- what may block ------------------------------------------------------------------------------------------------ */

static int catalog_call(struct store_op *op)
{
	struct store_request *request = request_of(op);

	switch (request->frame.op) {
	case WEFT_OP_LIST:
		return (int)store_catalog_list(request);
	case WEFT_OP_DIGEST:
		return (int)store_catalog_digest(request);
	default:
		return (int)store_catalog_verify(request);
	}
}

static void catalog_done(struct store_op *op)
{
	store_request_finish(request_of(op), (uint32_t)op->result);
}

static int delete_call(struct store_op *op)
{
	struct store_request *request = request_of(op);

	return store_file_delete(request->store, &request->frame);
}

static void delete_done(struct store_op *op)
{
	struct store_request *request = request_of(op);

	if (op->result < 0)
		store_request_finish(request, WEFT_ST_STORE_IO);
	else if (op->result == 0)
		store_request_finish(request, WEFT_ST_OK);
	else
		store_segment_delete(request);
}

static void request_call(struct store_request *request, int (*call)(struct store_op *op),
			 void (*done)(struct store_op *op))
{
	request->op.kind = STORE_OP_CALL;
	request->op.call = call;
	request->op.done = done;
	store_op_submit(request->loop, &request->op);
}

static void request_put(struct store_request *request)
{
	static _Thread_local struct log_limit limit;
	const struct weft_wire_frame *frame = &request->frame;
	const uint8_t *data = request->buffer + weft_wire_data_start(frame);
	bool rebuild = store_session_role(request->session) != WEFT_ROLE_CLIENT;
	const char *why = "";
	uint32_t status;

	status = store_shard_check(frame, request->buffer, data,
				   request->buffer + weft_wire_crc_start(frame), &why);
	if (status != WEFT_ST_OK) {
		if (log_limit(&limit, 10, 10))
			log_info("a shard that came damaged was dropped: %s  sid=%016lx:%016lx "
				 "index=%u",
				 why, (unsigned long)frame->session, (unsigned long)frame->counter,
				 frame->index);
	} else if (atomic_load(&request->store->status) != WEFT_ST_OK) {
		status = atomic_load(&request->store->status);
	} else if (!store_space_get(request->store, frame->payload_len, rebuild)) {
		status = WEFT_ST_STORE_FULL;
	}
	if (status != WEFT_ST_OK)
		store_request_finish(request, status);
	else if (frame->shard_len >= WEFT_STORE_FILE_MIN)
		store_file_put(request);
	else
		store_segment_put(request);
}

void store_request_start(struct store_request *request)
{
	struct store_worker_loop *home = request->loop->owner;
	uint8_t op = request->frame.op;
	bool privileged = op == WEFT_OP_DEL || op == WEFT_OP_LIST || op == WEFT_OP_VERIFY ||
			  op == WEFT_OP_DIGEST;

	if (op == WEFT_OP_HELLO) {
		request_hello(request);
		return;
	}
	if (op == WEFT_OP_PING) {
		store_request_finish(request, WEFT_ST_OK);
		return;
	}
	if (privileged && store_session_role(request->session) == WEFT_ROLE_CLIENT) {
		store_request_finish(request, WEFT_ST_FORBIDDEN);
		return;
	}
	request->store = store_server_find(home->server, request->frame.store);
	if (!request->store) {
		store_request_finish(request, WEFT_ST_WRONG_STORE);
		return;
	}
	atomic_fetch_add(&request->store->in_flight, 1);
	switch (op) {
	case WEFT_OP_PUT:
		request_put(request);
		break;
	case WEFT_OP_GET:
	case WEFT_OP_STAT:
		store_file_get(request);
		break;
	case WEFT_OP_DEL:
		request_call(request, delete_call, delete_done);
		break;
	default:
		request_call(request, catalog_call, catalog_done);
	}
}
