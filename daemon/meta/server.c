// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * server.c - frames of bridges, stores and administrators
 *
 * Loop thread. A frame becomes an op; an op holds its client by a count, because the connection may
 * go first. What a connection may have under way is bounded; beyond it the answer is OVERLOADED at
 * once. That says nothing of what a first run of the request may have come to: who gets it asks
 * again, with the same number.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "meta/service.h"

#define WAITING_MAX       8192u
#define WAITING_BYTES_MAX (2 * WEFT_CTL_PAYLOAD_MAX)
#define RENEWS_MAX        64u /* more than that, once the others are exhausted */
#define RENEW_BYTES_MAX   65536u

static void put_client(struct meta_client *client)
{
	struct meta_client **at;

	if (--client->refs)
		return;
	for (at = &client->service->clients; *at != client; at = &(*at)->next)
		;
	*at = client->next;
	free(client);
}

static struct meta_client *find_client(struct meta_service *service, u64 id)
{
	struct meta_client *client = service->clients;

	while (client && client->id != id)
		client = client->next;
	return client;
}

static void *accept_client(struct ctl_conn *conn, struct meta_service *service, bool admin)
{
	struct meta_client *client;

	if (service->stopping)
		return NULL;
	client = calloc(1, sizeof(*client));
	if (!client)
		return NULL;
	client->conn = conn;
	client->service = service;
	client->id = ++service->next_client;
	client->admin = admin;
	client->refs = 1;
	client->next = service->clients;
	service->clients = client;
	return client;
}

void *meta_server_accept(struct ctl_conn *conn, void *service)
{
	return accept_client(conn, service, false);
}

void *meta_server_accept_admin(struct ctl_conn *conn, void *service)
{
	return accept_client(conn, service, true);
}

static int client_ready(struct ctl_conn *conn, void *ctx)
{
	const struct ctl_peer *peer = ctl_peer(conn);
	struct meta_client *client = ctx;

	if (client->admin && peer->uid != 0 && peer->uid != geteuid()) {
		log_warn("user %u may not administer the cluster", (unsigned int)peer->uid);
		return -EACCES;
	}
	if (!meta_text_ok(peer->name, strlen(peer->name))) {
		log_warn("the host at %s has a name that is not UTF-8; give it another", peer->address);
		return -EILSEQ;
	}
	client->role = peer->role;
	client->known = true;
	memcpy(client->name, peer->name, sizeof(client->name));
	client->name[sizeof(client->name) - 1] = 0;
	log_debug("%s of host %s connected from %s",
		  peer->role == WEFT_CTL_ROLE_STORE ? "stores" : "a client", client->name,
		  peer->address);
	return 0;
}

static void client_closed(struct ctl_conn *conn, void *ctx, int why, const char *what)
{
	struct meta_client *client = ctx;
	struct meta_op *op;

	client->conn = NULL;
	if (client->known && why && !client->admin)
		log_info("the connection of host %s ended: %s", client->name, what);
	if (client->known) {
		op = meta_op_alloc(client->role == WEFT_CTL_ROLE_STORE ? meta_run_lost_store
								       : meta_run_unwatch);
		if (op) {
			op->number = client->id;
			meta_queue_put(&client->service->brain->queue, op);
		}
	}
	put_client(client);
}

void meta_server_reply(struct meta_service *service, struct meta_op *op)
{
	struct meta_client *client = op->client;
	int err;

	client->waiting--;
	client->waiting_bytes -= op->frame.len;
	if (client->conn && !(op->frame.flags & WEFT_CTL_PUSH)) {
		err = ctl_reply(client->conn, &op->frame, op->outcome.status,
				op->outcome.answer.data, op->outcome.answer.len);
		if (err) {
			log_warn("host %s does not take its answers; its connection is closed",
				 client->name);
			ctl_close(client->conn);
		}
	}
	put_client(client);
}

static struct meta_op *client_op(struct meta_client *client, const struct ctl_frame *frame,
				 void (*run)(struct meta_brain *, struct meta_op *))
{
	struct meta_op *op = meta_op_alloc(run);

	if (!op)
		return NULL;
	op->finish = meta_server_reply;
	op->client = client;
	op->frame = *frame;
	op->frame.payload = NULL;
	client->refs++;
	client->waiting++;
	client->waiting_bytes += frame->len;
	return op;
}

/* Keep the payload: the frame's is gone after the callback. */
static int keep_payload(struct meta_op *op, const struct ctl_frame *frame)
{
	op->payload = malloc(frame->len + 1);
	if (!op->payload)
		return -ENOMEM;
	if (frame->len)
		memcpy(op->payload, frame->payload, frame->len);
	op->payload[frame->len] = 0;
	op->payload_len = frame->len;
	return 0;
}

void meta_service_finish(struct meta_service *service, struct meta_op *op)
{
	if (op->finish)
		op->finish(service, op);
	meta_op_free(op);
}

static void fail(struct meta_service *service, struct meta_op *op, u32 status)
{
	op->failed = true;
	op->outcome.status = status;
	tlv_writer_reset(&op->outcome.answer);
	if (op->client || !op->run)
		meta_service_finish(service, op);
	else
		meta_queue_put(&service->brain->queue, op);
}

static u32 submit_status(int err)
{
	switch (err) {
	case -EREMOTE:
		return WEFT_ST_NOT_LEADER;
	case -EAGAIN:
		return WEFT_ST_OVERLOADED;
	case -EMSGSIZE:
		return WEFT_ST_TOO_BIG;
	}
	return WEFT_ST_IO;
}

void meta_service_submit(struct meta_service *service, struct meta_op *op)
{
	int err;

	meta_entry_end(&op->entry, meta_clock_real());
	err = rnode_submit(service->node, op->entry.data, op->entry.len, op);
	if (err)
		fail(service, op, submit_status(err));
}

/* A read: at once where the applied state may answer it, else behind an entry without content. */
static void submit_read(struct meta_service *service, struct meta_op *op)
{
	int err = rnode_may_read(service->node);

	if (!err) {
		meta_queue_put(&service->brain->queue, op);
		return;
	}
	if (err == -EAGAIN)
		err = rnode_barrier(service->node, op);
	if (err)
		fail(service, op, submit_status(err));
}

static void run_read(struct meta_brain *brain, struct meta_op *op)
{
	struct cat_session *session = catalog_session(&brain->catalog, op->frame.session);
	int err;

	if (session)
		catalog_session_heard(session, op->arrived_ns);
	err = meta_read(&brain->state, op->frame.session, &op->ask, &op->outcome);
	if (err)
		meta_brain_fatal(brain, "reading", err);
	op->step = META_DONE;
}

/* The brain's part of a request that makes no entry by itself. */
static void (*ask_run(u16 op))(struct meta_brain *, struct meta_op *)
{
	switch (op) {
	case WEFT_REQ_MOUNT:
		return meta_run_mount;
	case WEFT_REQ_GROUP:
		return meta_run_group;
	case WEFT_REQ_GROUP_WANT:
		return meta_run_group_want;
	case WEFT_REQ_STATFS:
		return meta_run_statfs;
	case WEFT_REQ_CHUNKS:
		return meta_run_chunks;
	}
	return run_read;
}

/* Stale flags cost one request more or less; the brain sets them with each tick. */
static bool is_full_for(const struct meta_brain *brain, u16 op)
{
	switch (op) {
	case WEFT_REQ_CREATE:
	case WEFT_REQ_LINK:
	case WEFT_REQ_COMMIT:
	case WEFT_REQ_CLONE:
		return __atomic_load_n(&brain->disk_low, __ATOMIC_RELAXED);
	case WEFT_REQ_RENAME:
		return __atomic_load_n(&brain->disk_critical, __ATOMIC_RELAXED);
	}
	return false;
}

/*
 * There is no room for more. But what was done already is answered, and what was begun is brought
 * to its end: the slot knows, behind all that was proposed before. A session that has ended must be
 * told so: with room or without, nothing of it will ever be accepted.
 */
static void run_full(struct meta_brain *brain, struct meta_op *op)
{
	struct meta_session session;
	struct meta_slot slot;
	bool ended;
	int err;

	err = meta_state_read(&brain->state);
	if (!err)
		err = meta_session_get(&brain->state.txn, op->frame.session, &session);
	ended = err == -ENOENT ||
		(!err && le32_to_cpu(session.head.flags) & WEFT_MSF_CLOSING);
	if (!err)
		err = meta_slot_get(&brain->state.txn, op->frame.session, op->frame.slot, &slot);
	if (err && err != -ENOENT)
		meta_brain_fatal(brain, "reading", err);
	op->run = NULL;
	if (ended)
		op->outcome.status = WEFT_ST_SESSION_LOST;
	else if (le64_to_cpu(slot.head.sequence) >= op->frame.sequence)
		op->step = META_SUBMIT;
	else
		meta_op_refuse(op, WEFT_ST_META_FULL, WEFT_P_TEXT,
			       "the disk of the metadata service is nearly full; make room on it");
}

/* Behind everything that was proposed until now. */
static void submit_barrier(struct meta_service *service, struct meta_op *op)
{
	int err = rnode_barrier(service->node, op);

	if (err)
		fail(service, op, submit_status(err));
}

static void take_request(struct meta_client *client, struct meta_op *op,
			 const struct ctl_frame *frame)
{
	struct meta_service *service = client->service;
	const char *why;
	u32 status;

	status = meta_request_parse(frame->op, frame->session, frame->sequence, frame->slot,
				    frame->payload, frame->len, &op->entry, &op->ask, &why);
	if (status) {
		meta_op_refuse(op, status, WEFT_P_TEXT, "%s", why ? why : status_text(status));
		meta_service_finish(service, op);
	} else if (is_full_for(service->brain, frame->op)) {
		op->run = run_full;
		submit_barrier(service, op);
	} else if (op->ask.entry) {
		meta_service_submit(service, op);
	} else {
		op->run = ask_run(frame->op);
		submit_read(service, op);
	}
}

/* Frames other than REQUEST, with the role that may send them. */
static const struct {
	u16 type;
	u32 role; /* 0: any */
	bool admin;
	void (*run)(struct meta_brain *brain, struct meta_op *op);
} frame_table[] = {
	{ WEFT_CTL_RENEW, WEFT_CTL_ROLE_BRIDGE, false, meta_run_renew },
	{ WEFT_CTL_WATCH_MAP, 0, false, meta_run_watch },
	{ WEFT_CTL_STORE_REGISTER, WEFT_CTL_ROLE_STORE, false, meta_run_register },
	{ WEFT_CTL_HEARTBEAT, WEFT_CTL_ROLE_STORE, false, meta_run_heartbeat },
	{ WEFT_CTL_ADMIN, WEFT_CTL_ROLE_CLI, true, meta_run_admin },
};

static void refuse(struct meta_client *client, const struct ctl_frame *frame, u32 status)
{
	if (!(frame->flags & WEFT_CTL_PUSH))
		ctl_reply(client->conn, frame, status, NULL, 0);
}

/*
 * What a peer may have under way. RENEW is taken beyond it, or a client that asks much would lose
 * its sessions: a few bytes each, and a bound for them alone.
 */
static bool has_room(const struct meta_client *client, const struct ctl_frame *frame)
{
	if (frame->type == WEFT_CTL_RENEW && frame->len <= RENEW_BYTES_MAX)
		return client->waiting < WAITING_MAX + RENEWS_MAX;
	return client->waiting < WAITING_MAX &&
	       client->waiting_bytes + frame->len <= WAITING_BYTES_MAX;
}

static void client_request(struct ctl_conn *conn, void *ctx, const struct ctl_frame *frame)
{
	struct meta_client *client = ctx;
	struct meta_op *op;
	size_t i;

	if (client->service->stopping || !has_room(client, frame)) {
		refuse(client, frame, WEFT_ST_OVERLOADED);
		return;
	}
	if (frame->type == WEFT_CTL_REQUEST && client->role == WEFT_CTL_ROLE_BRIDGE &&
	    !client->admin) {
		op = client_op(client, frame, NULL);
		if (op)
			take_request(client, op, frame);
		else
			refuse(client, frame, WEFT_ST_NOMEM);
		return;
	}
	for (i = 0; i < ARRAY_SIZE(frame_table); i++)
		if (frame_table[i].type == frame->type)
			break;
	if (i == ARRAY_SIZE(frame_table)) {
		refuse(client, frame, WEFT_ST_UNKNOWN_OP);
		return;
	}
	if ((frame_table[i].role && frame_table[i].role != client->role) ||
	    frame_table[i].admin != client->admin) {
		refuse(client, frame, WEFT_ST_FORBIDDEN);
		return;
	}
	op = client_op(client, frame, frame_table[i].run);
	if (!op) {
		refuse(client, frame, WEFT_ST_NOMEM);
		return;
	}
	op->number = client->id;
	if (keep_payload(op, frame)) {
		op->outcome.status = WEFT_ST_NOMEM;
		meta_service_finish(client->service, op);
		return;
	}
	meta_queue_put(&client->service->brain->queue, op);
}

const struct ctl_ops meta_server_ops = {
	.ready = client_ready,
	.request = client_request,
	.closed = client_closed,
};

/* ---- What the brain sends ---- */

/* op->number: the client. */
void meta_server_push_map(struct meta_service *service, struct meta_op *op)
{
	struct meta_client *client = find_client(service, op->number);

	if (!client || !client->conn)
		return;
	/* A map with a hole would take away what is there: who cannot take it begins anew. */
	if (ctl_push(client->conn, WEFT_CTL_MAP, op->payload, op->payload_len))
		ctl_close(client->conn);
}

/*
 * Answers, of leases too, and maps go first: a part of a filter is large, can wait, and may be missing
 * for as long as it likes. op->ctx: the op that tells the brain whether it was sent.
 */
void meta_server_push_contents(struct meta_service *service, struct meta_op *op)
{
	struct meta_client *client = find_client(service, op->number);
	struct meta_op *told = op->ctx;
	int err = -ENOTCONN;

	if (client && client->conn && ctl_queued(client->conn))
		err = -EAGAIN;
	else if (client && client->conn)
		err = ctl_push(client->conn, WEFT_CTL_BLOOM, op->payload, op->payload_len);
	told->outcome.status = err ? WEFT_ST_OVERLOADED : WEFT_ST_OK;
	meta_queue_put(&service->brain->queue, told);
}

/* The answer of a task: back to the brain. */
static void task_done(void *ctx, const struct ctl_frame *frame)
{
	struct meta_op *op = ctx;
	struct meta_service *service = op->service;

	free(op->payload);
	op->payload = NULL;
	op->outcome.status = frame->status;
	if (keep_payload(op, frame))
		op->outcome.status = WEFT_ST_NOMEM;
	meta_queue_put(&service->brain->queue, op);
}

/*
 * op->number: the client; op->payload: the frame; op->ctx: the op that carries the answer back to
 * the brain.
 */
void meta_server_send_task(struct meta_service *service, struct meta_op *op)
{
	struct meta_client *client = find_client(service, op->number);
	struct ctl_frame frame = { .type = WEFT_CTL_TASK,
				   .slot = WEFT_SLOT_NONE,
				   .payload = op->payload,
				   .len = op->payload_len };
	struct meta_op *answer = op->ctx;
	int err = -ENOTCONN;

	answer->service = service;
	if (client && client->conn)
		err = ctl_call(client->conn, &frame, task_done, answer);
	if (!err)
		return;
	answer->outcome.status = WEFT_ST_LOST_PEER;
	meta_queue_put(&service->brain->queue, answer);
}

int meta_task_send(struct meta_brain *brain, u64 client, struct tlv_writer *writer,
		   struct meta_op *answer)
{
	struct meta_op *op = meta_op_alloc(NULL);

	if (!op)
		return -ENOMEM;
	/* The op takes the writer's memory over. */
	op->payload = writer->data;
	op->payload_len = writer->len;
	writer->data = NULL;
	tlv_writer_free(writer);
	op->number = client;
	op->ctx = answer;
	op->finish = meta_server_send_task;
	op->step = META_DONE;
	meta_brain_continue(brain, op);
	return 0;
}
