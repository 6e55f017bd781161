// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * upcall.c - the kernel's requests on their way to the leader and back
 *
 * Invariants: each fetched request is in the list until it is answered, with its payload, so that it can be sent again to
 * the next leader; the kernel's number of a request answers it exactly once; answers are collected during one turn of the
 * loop and go to the kernel in as few messages as they fit, each of which also fetches.
 *
 * A request that the leader has no room for is asked again until there is some: the first run of a numbered one may have
 * taken effect, with an answer that was lost, and that is the only answer that the kernel may get; and a program that reads
 * must not fail because others ask much. Only to GROUP_WANT it is an answer: the kernel chooses another group then.
 */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "bridge/bridge.h"

#define MESSAGE_MAX 32768u /* a message to the kernel */
#define ANSWER_HEAD 96u    /* attributes of an answer but its payload, at most */

struct answer {
	struct answer *next;
	uint64_t id;
	uint32_t status;
	size_t len;
	uint8_t payload[];
};

/* --- answers ------------------------------------------------------------------------------------------------------- */

static void put_answer(struct nlmsghdr *msg, const struct answer *answer)
{
	struct nlattr *nest = mnl_attr_nest_start(msg, WEFT_A_ANSWER);

	mnl_attr_put_u64(msg, WEFT_ANSWER_REQ_ID, answer->id);
	mnl_attr_put_u32(msg, WEFT_ANSWER_STATUS, answer->status);
	if (answer->len)
		mnl_attr_put(msg, WEFT_ANSWER_PAYLOAD, answer->len, answer->payload);
	mnl_attr_nest_end(msg, nest);
}

/* How many requests to ask for, and up to which class; 0: none now. */
static uint32_t fetch_room(const struct bridge *bridge, uint8_t *request_class)
{
	const struct bridge_upcalls *up = &bridge->upcalls;

	*request_class = up->n_class3 >= REQUESTS_MAX_CLASS3 ? 2 : WEFT_CLASSES;
	if (!bridge->nl.ready || up->n >= REQUESTS_MAX)
		return 0;
	return *request_class == 2 ? REQUESTS_MAX - up->n : REQUESTS_MAX_CLASS3 - up->n_class3;
}

static void send_fetch(struct bridge *bridge)
{
	struct bridge_upcalls *up = &bridge->upcalls;
	uint8_t request_class;
	uint32_t room = fetch_room(bridge, &request_class);
	struct nlmsghdr *msg = bridge_netlink_begin(bridge, WEFT_CMD_FETCH, 0);

	while (up->answers && msg->nlmsg_len + ANSWER_HEAD + up->answers->len <= MESSAGE_MAX) {
		struct answer *answer = up->answers;

		put_answer(msg, answer);
		up->answers = answer->next;
		free(answer);
	}
	if (!up->answers)
		up->answers_end = &up->answers;
	mnl_attr_put_u32(msg, WEFT_A_COUNT, room);
	mnl_attr_put_u8(msg, WEFT_A_CLASS, request_class);
	if (room) {
		bridge->nl.ready = false; /* the kernel says so again when it has more */
		bridge->upcalls.held_back = request_class < WEFT_CLASSES;
	}
	if (bridge_netlink_send(bridge, "take answers"))
		bridge_stop(bridge, 1);
}

static void flush(uv_prepare_t *prepare)
{
	struct bridge *bridge = prepare->data;
	uint8_t request_class;

	/* READY is not said for classes above those of the last fetch. */
	if (bridge->upcalls.held_back && bridge->upcalls.n_class3 < REQUESTS_MAX_CLASS3)
		bridge->nl.ready = true;
	while (bridge->nl.bound && (bridge->upcalls.answers || fetch_room(bridge, &request_class)))
		send_fetch(bridge);
}

static void unlink_upcall(struct upcall *upcall)
{
	struct bridge_upcalls *up = &upcall->bridge->upcalls;

	*(upcall->prev ? &upcall->prev->next : &up->first) = upcall->next;
	*(upcall->next ? &upcall->next->prev : &up->last) = upcall->prev;
	up->n--;
	up->n_class3 -= upcall->request_class == 3;
}

void bridge_upcall_answer(struct upcall *upcall, uint32_t status, const void *payload, size_t len)
{
	struct bridge_upcalls *up = &upcall->bridge->upcalls;
	struct answer *answer;

	if (len > WEFT_PAYLOAD_MAX) {
		log_error("the answer to a request is too long for the kernel: %zu bytes  op=%u", len, upcall->op);
		status = WEFT_ST_PROTO;
		len = 0;
	}
	answer = malloc(sizeof(*answer) + len);
	if (!answer) {
		/* The request stays; it is sent again with the next leader or by the next bridge. */
		log_error("out of memory for an answer");
		bridge_stop(upcall->bridge, 1);
		return;
	}
	*answer = (struct answer){ .id = upcall->id, .status = status, .len = len };
	if (len)
		memcpy(answer->payload, payload, len);
	*up->answers_end = answer;
	up->answers_end = &answer->next;
	unlink_upcall(upcall);
	free(upcall);
}

/* --- to the leader --------------------------------------------------------------------------------------------------- */

/* A MOUNT brought a session, an UMOUNT ended one: the sessions that are renewed follow. */
static void note_session(struct upcall *upcall, const struct ctl_frame *frame)
{
	struct tlv known[WEFT_P_NR];
	uint64_t session;

	if (upcall->op == WEFT_REQ_UMOUNT)
		bridge_session_del(upcall->bridge, upcall->session);
	if (upcall->op == WEFT_REQ_MOUNT && frame->status == WEFT_ST_OK &&
	    !tlv_collect(frame->payload, frame->len, known, WEFT_P_NR, false) &&
	    !tlv_u64(&known[WEFT_P_SESSION], &session))
		bridge_session_add(upcall->bridge, session);
}

static void leader_answered(void *ctx, const struct ctl_frame *frame)
{
	struct upcall *upcall = ctx;

	if (frame->status == WEFT_ST_LOST_PEER) {
		upcall->sent = false;
		return;
	}
	if (frame->status == WEFT_ST_NOT_LEADER) {
		upcall->sent = false;
		bridge_leader_next(upcall->bridge);
		return;
	}
	if (frame->status == WEFT_ST_OVERLOADED && upcall->op != WEFT_REQ_GROUP_WANT) {
		upcall->sent = false; /* sent again with the next tick */
		return;
	}
	note_session(upcall, frame);
	bridge_upcall_answer(upcall, frame->status, frame->payload, frame->len);
}

static void send_upcall(struct upcall *upcall)
{
	struct bridge_leader *leader = &upcall->bridge->leader;
	struct ctl_frame frame = {
		.type = WEFT_CTL_REQUEST, .session = upcall->session, .sequence = upcall->sequence,
		.slot = upcall->slot, .op = upcall->op, .request_class = upcall->request_class,
		.payload = upcall->payload, .len = upcall->len,
	};

	if (leader->ready && !ctl_call(leader->conn, &frame, leader_answered, upcall))
		upcall->sent = true;
}

static void handle_upcall(struct upcall *upcall)
{
	if (upcall->op == WEFT_REQ_HOST_WANT)
		bridge_host_want(upcall);
	else if (upcall->op == WEFT_REQ_HOST_FAILED)
		bridge_host_failed(upcall);
	else if (upcall->op == WEFT_REQ_CHUNKS &&
		 bridge_contents_are_new(upcall->bridge, upcall->payload, upcall->len))
		bridge_upcall_answer(upcall, WEFT_ST_OK, NULL, 0);
	else
		send_upcall(upcall);
}

void bridge_upcall_resend(struct bridge *bridge)
{
	for (struct upcall *upcall = bridge->upcalls.first; upcall; upcall = upcall->next)
		if (!upcall->sent && upcall->op != WEFT_REQ_HOST_WANT)
			send_upcall(upcall);
}

/* --- from the kernel ---------------------------------------------------------------------------------------------------- */

void bridge_upcall_add(struct bridge *bridge, const struct nlattr *attrs[])
{
	struct bridge_upcalls *up = &bridge->upcalls;
	size_t len = attrs[WEFT_A_PAYLOAD] ? mnl_attr_get_payload_len(attrs[WEFT_A_PAYLOAD]) : 0;
	struct upcall *upcall;

	if (!attrs[WEFT_A_REQ_ID] || !attrs[WEFT_A_OP] || !attrs[WEFT_A_CLASS]) {
		log_warn("the kernel sent a request without a number: module and daemon do not fit together");
		return;
	}
	upcall = malloc(sizeof(*upcall) + len);
	if (!upcall) {
		log_error("out of memory for a request; leaving it to the next bridge");
		bridge_stop(bridge, 1);
		return;
	}
	*upcall = (struct upcall){
		.bridge = bridge, .prev = up->last, .len = len,
		.id = mnl_attr_get_u64(attrs[WEFT_A_REQ_ID]), .op = mnl_attr_get_u16(attrs[WEFT_A_OP]),
		.request_class = mnl_attr_get_u8(attrs[WEFT_A_CLASS]), .slot = WEFT_SLOT_NONE,
	};
	if (attrs[WEFT_A_SESSION])
		upcall->session = mnl_attr_get_u64(attrs[WEFT_A_SESSION]);
	if (attrs[WEFT_A_SLOT])
		upcall->slot = mnl_attr_get_u32(attrs[WEFT_A_SLOT]);
	if (attrs[WEFT_A_SEQUENCE])
		upcall->sequence = mnl_attr_get_u64(attrs[WEFT_A_SEQUENCE]);
	if (len)
		memcpy(upcall->payload, mnl_attr_get_payload(attrs[WEFT_A_PAYLOAD]), len);
	*(up->last ? &up->last->next : &up->first) = upcall;
	up->last = upcall;
	up->n++;
	up->n_class3 += upcall->request_class == 3;
	handle_upcall(upcall);
}

void bridge_upcall_init(struct bridge *bridge)
{
	struct bridge_upcalls *up = &bridge->upcalls;

	up->answers_end = &up->answers;
	uv_prepare_init(&bridge->loop, &up->flush);
	up->flush.data = bridge;
	uv_prepare_start(&up->flush, flush);
}

void bridge_upcall_exit(struct bridge *bridge)
{
	struct bridge_upcalls *up = &bridge->upcalls;

	uv_close((uv_handle_t *)&up->flush, NULL);
	while (up->first) {
		struct upcall *upcall = up->first;

		unlink_upcall(upcall);
		free(upcall);
	}
	while (up->answers) {
		struct answer *answer = up->answers;

		up->answers = answer->next;
		free(answer);
	}
	up->answers_end = &up->answers;
}
