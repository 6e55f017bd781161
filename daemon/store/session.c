// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * session.c - one connection: frames in, requests out, answers back
 *
 * Everything here runs on the thread of the session's loop. At most one receive and one send are under way.
 *
 * Back-pressure: nothing is received while the agreed number of requests is in flight, or while the next request waits for
 * a buffer; then the peer's own socket fills. A request counts until its answer was sent. A peer that takes nothing of its
 * answers for conf.stall_s seconds, while it owes us that, loses the connection, because it holds buffers.
 *
 * A session is freed when it is closing and nothing refers to it: no operation under way, no request in flight, no buffer
 * waited for. Closing shuts the socket down, which ends what is under way.
 */
#include "store/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "kernel/chunk/crc32c.h"
#include "net/address.h"

#define RECEIVE_BYTES 16384
#define SEND_IOV      60

struct store_session {
	struct store_server *server;
	struct store_worker_loop *home;
	struct store_session *next, **link; /* of home->sessions */
	int fd;
	char peer[128];
	bool greeted, closing, close_after_answers;
	bool receiving, sending;
	uint8_t role;
	uint32_t in_flight, in_flight_max;
	uint32_t payload_max; /* that the peer may send */
	uint32_t answer_max;  /* that it takes */

	struct store_op recv_op, send_op;
	struct store_request *current; /* its payload is being received */
	size_t payload_got;
	struct store_buffer_wait wait;
	bool waiting;

	struct store_request *answers, **answers_end;
	struct iovec send_iov[SEND_IOV];
	long send_since;

	size_t start, end; /* of what was received but not looked at */
	uint8_t received[RECEIVE_BYTES];
};

static void session_pump(struct store_session *session);

static long now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

uint64_t store_now_usec(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static void request_free(struct store_session *session, struct store_request *request)
{
	if (request->buffer && request->buffer_size)
		store_buffers_put(session->server->buffers, request->buffer, request->buffer_size);
	free(request);
	session->in_flight--;
	atomic_fetch_sub(&session->server->requests, 1);
}

static void session_free_if_idle(struct store_session *session)
{
	struct store_server *server = session->server;

	if (!session->closing || session->receiving || session->sending || session->waiting ||
	    session->in_flight)
		return;
	session->home->loop.ops->forget(&session->home->loop, session->fd);
	close(session->fd);
	*session->link = session->next;
	if (session->next)
		session->next->link = session->link;
	free(session);
	store_server_session_gone(server);
}

static void session_close(struct store_session *session)
{
	if (session->closing)
		return;
	session->closing = true;
	shutdown(session->fd, SHUT_RDWR);
	if (session->waiting && store_buffers_cancel(session->server->buffers, &session->wait))
		session->waiting = false;
	if (session->current && !session->waiting && !session->receiving) {
		request_free(session, session->current);
		session->current = NULL;
	}
	if (!session->sending) {
		while (session->answers) {
			struct store_request *request = session->answers;

			session->answers = request->next;
			request_free(session, request);
		}
	}
}

/* The peer broke the protocol: one line, not too often, and the end. */
static void session_break(struct store_session *session, const char *why)
{
	static _Thread_local struct log_limit limit; /* a loop's thread has its own */

	if (log_limit(&limit, 10, 10))
		log_warn("connection from %s ended: %s", session->peer, why);
	session_close(session);
}

/* --- sending ------------------------------------------------------------------------------------------------------ */

static void answer_sent(struct store_session *session, size_t bytes)
{
	while (session->answers) {
		struct store_request *request = session->answers;
		size_t total = sizeof(request->wire) + request->answer.payload_len;

		if (request->sent + bytes < total) {
			request->sent += bytes;
			return;
		}
		bytes -= total - request->sent;
		session->answers = request->next;
		if (!session->answers)
			session->answers_end = &session->answers;
		request_free(session, request);
	}
}

/* Add what of an answer was not sent yet to the vector; returns the number of entries used, or -1 if they do not fit. */
static int answer_gather(struct store_request *request, struct iovec *iov, int room)
{
	size_t skip = request->sent;
	int n = 0;

	for (unsigned int i = 0; i <= request->n_parts; i++) {
		struct iovec part = i ? request->parts[i - 1]
				      : (struct iovec){&request->wire, sizeof(request->wire)};

		if (skip >= part.iov_len) {
			skip -= part.iov_len;
			continue;
		}
		if (n == room)
			return -1;
		iov[n].iov_base = (char *)part.iov_base + skip;
		iov[n].iov_len = part.iov_len - skip;
		skip = 0;
		n++;
	}
	return n;
}

static void session_send(struct store_session *session)
{
	struct store_request *request;
	int n = 0;

	if (session->sending || session->closing)
		return;
	if (!session->answers) {
		if (session->close_after_answers)
			session_close(session);
		return;
	}
	for (request = session->answers; request; request = request->next) {
		int used = answer_gather(request, session->send_iov + n, SEND_IOV - n);

		if (used < 0)
			break;
		n += used;
	}
	session->send_op.kind = STORE_OP_SEND;
	session->send_op.fd = session->fd;
	session->send_op.send =
		(struct msghdr){.msg_iov = session->send_iov, .msg_iovlen = (size_t)n};
	session->sending = true;
	session->send_since = now_s();
	store_op_submit(&session->home->loop, &session->send_op);
}

static struct store_session *session_of_send(struct store_op *op)
{
	return (struct store_session *)((char *)op - offsetof(struct store_session, send_op));
}

static void send_done(struct store_op *op)
{
	struct store_session *session = session_of_send(op);

	session->sending = false;
	if (op->result < 0)
		session_close(session);
	else
		answer_sent(session, (size_t)op->result);
	if (session->closing) {
		answer_sent(session, SIZE_MAX / 2);
		session_free_if_idle(session);
		return;
	}
	session_send(session);
	session_pump(session);
}

void store_session_answer(struct store_session *session, struct store_request *request)
{
	uint64_t usec = store_now_usec() - request->started_usec;

	if (session->closing) {
		request_free(session, request);
		session_free_if_idle(session);
		return;
	}
	if (request->answer.payload_len > session->answer_max) {
		weft_wire_frame_reply(&request->answer, &request->frame, WEFT_ST_TOO_BIG);
		request->n_parts = 0;
	}
	request->answer.usec = usec > UINT32_MAX ? UINT32_MAX : (uint32_t)usec;
	weft_wire_header_encode(&request->wire, &request->answer);
	request->next = NULL;
	*session->answers_end = request;
	session->answers_end = &request->next;
	session_send(session);
}

/* --- receiving ----------------------------------------------------------------------------------------------------- */

static void session_receive(struct store_session *session, void *buf, size_t len)
{
	session->recv_op.kind = STORE_OP_RECV;
	session->recv_op.fd = session->fd;
	session->recv_op.recv.buf = buf;
	session->recv_op.recv.len = len;
	session->receiving = true;
	store_op_submit(&session->home->loop, &session->recv_op);
}

/* A header stands at the start of what was received: make a request of it. False ends the connection. */
static bool frame_begin(struct store_session *session)
{
	const char *why = "out of memory";
	struct store_request *request;
	struct weft_wire_header header;
	int err;

	request = calloc(1, sizeof(*request));
	if (!request) {
		session_break(session, why);
		return false;
	}
	memcpy(&header, session->received + session->start, sizeof(header));
	err = weft_wire_header_decode(&request->frame, &header, false, session->payload_max, &why);
	if (!err && (request->frame.op == WEFT_OP_HELLO) == session->greeted) {
		err = -EPROTO;
		why = session->greeted ? "HELLO came twice" : "the first frame is not HELLO";
	}
	if (err && (!session->greeted || (err != -EOPNOTSUPP && err != -EBADRQC))) {
		free(request);
		session_break(session, why);
		return false;
	}
	session->start += sizeof(header);
	session->in_flight++;
	atomic_fetch_add(&session->server->requests, 1);
	request->loop = &session->home->loop;
	request->session = session;
	request->file = -1;
	request->started_usec = store_now_usec();
	weft_wire_frame_reply(&request->answer, &request->frame, WEFT_ST_OK);
	if (err == -EOPNOTSUPP)
		request->answer.status = WEFT_ST_UNKNOWN_OP;
	else if (err)
		request->answer.status = WEFT_ST_INVAL;

	session->current = request;
	session->payload_got = 0;
	request->buffer_size =
		err ? request->frame.payload_len : store_request_buffer_size(&request->frame);
	if (request->frame.op == WEFT_OP_HELLO) {
		/* Whoever is new needs none of what others hold. */
		request->buffer = request->small;
		request->buffer_size = 0;
	} else if (request->buffer_size) {
		session->wait.loop = request->loop;
		request->buffer = store_buffers_get(session->server->buffers, request->buffer_size,
						    &session->wait);
		session->waiting = !request->buffer;
	}
	return true;
}

static void buffer_granted(struct store_op *op)
{
	struct store_buffer_wait *wait =
		(struct store_buffer_wait *)((char *)op - offsetof(struct store_buffer_wait, op));
	struct store_session *session =
		(struct store_session *)((char *)wait - offsetof(struct store_session, wait));

	session->waiting = false;
	session->current->buffer = wait->buffer;
	if (session->closing) {
		request_free(session, session->current);
		session->current = NULL;
		session_free_if_idle(session);
		return;
	}
	session_pump(session);
}

/* The payload of the current request is complete: check its own checksum, if it has one, and start it. */
static void frame_end(struct store_session *session)
{
	struct store_request *request = session->current;
	const struct weft_wire_frame *frame = &request->frame;
	bool own_crcs =
		frame->op == WEFT_OP_PUT || frame->op == WEFT_OP_GET || frame->op == WEFT_OP_STAT;

	session->current = NULL;
	if (request->answer.status != WEFT_ST_OK) {
		store_request_finish(request, request->answer.status);
		return;
	}
	if (!own_crcs &&
	    weft_crc32c(0, request->buffer, frame->payload_len) != frame->payload_crc) {
		request_free(session, request);
		session_break(session, "payload checksum wrong");
		return;
	}
	store_request_start(request);
}

/* True if the current request's payload is complete; else receiving goes on. */
static bool payload_collect(struct store_session *session)
{
	struct store_request *request = session->current;
	size_t left = request->frame.payload_len - session->payload_got;
	size_t have = session->end - session->start;
	size_t n = have < left ? have : left;

	if (n) {
		memcpy(request->buffer + session->payload_got, session->received + session->start,
		       n);
		session->start += n;
		session->payload_got += n;
	}
	if (n == left)
		return true;
	session_receive(session, request->buffer + session->payload_got, left - n);
	return false;
}

static void session_pump(struct store_session *session)
{
	while (!session->closing && !session->receiving && !session->waiting &&
	       !session->close_after_answers) {
		size_t have = session->end - session->start;

		if (session->current) {
			if (payload_collect(session))
				frame_end(session);
			continue;
		}
		if (session->in_flight >= session->in_flight_max)
			break;
		if (have >= sizeof(struct weft_wire_header)) {
			frame_begin(session);
			continue;
		}
		memmove(session->received, session->received + session->start, have);
		session->start = 0;
		session->end = have;
		session_receive(session, session->received + have,
				sizeof(session->received) - have);
	}
	session_free_if_idle(session);
}

static void recv_done(struct store_op *op)
{
	struct store_session *session =
		(struct store_session *)((char *)op - offsetof(struct store_session, recv_op));

	session->receiving = false;
	if (op->result <= 0)
		session_close(session);
	if (session->closing) {
		if (session->current && !session->waiting) {
			request_free(session, session->current);
			session->current = NULL;
		}
		session_free_if_idle(session);
		return;
	}
	if (session->current)
		session->payload_got += (size_t)op->result;
	else
		session->end += (size_t)op->result;
	session_pump(session);
}

/* --- life ------------------------------------------------------------------------------------------------------------- */

uint8_t store_session_role(const struct store_session *session)
{
	return session->role;
}

void store_session_greeted(struct store_session *session, const struct weft_wire_greeting *agreed)
{
	if (!agreed) {
		session->close_after_answers = true;
		return;
	}
	session->greeted = true;
	session->role = agreed->role;
	session->in_flight_max = agreed->in_flight;
	/* The limit that was agreed on is the peer's for what it receives; a whole shard may be sent here always. */
	session->payload_max = WEFT_WIRE_PAYLOAD_MAX;
	session->answer_max = agreed->payload_max;
}

/* On the loop's thread: the socket was accepted on another loop perhaps. */
static void session_begin(struct store_op *op)
{
	struct store_session *session =
		(struct store_session *)((char *)op - offsetof(struct store_session, recv_op));
	struct store_worker_loop *home = session->home;

	session->next = home->sessions;
	if (session->next)
		session->next->link = &session->next;
	session->link = &home->sessions;
	home->sessions = session;
	session->recv_op.done = recv_done;
	session->send_op.done = send_done;
	session->wait.op.done = buffer_granted;
	session_pump(session);
}

void store_session_open(struct store_server *server, struct store_loop *loop, int fd)
{
	struct store_session *session = calloc(1, sizeof(*session));

	if (!session) {
		log_warn("a connection was refused: out of memory");
		close(fd);
		return;
	}
	session->server = server;
	session->home = loop->owner;
	session->fd = fd;
	session->in_flight_max = 1;
	session->payload_max = sizeof(struct weft_wire_hello);
	session->answer_max = sizeof(struct weft_wire_hello);
	session->answers_end = &session->answers;
	session->send_since = now_s();
	address_of_socket(fd, true, session->peer, sizeof(session->peer));
	atomic_fetch_add(&server->sessions, 1);
	session->recv_op.done = session_begin;
	store_loop_post(loop, &session->recv_op);
}

void store_session_tick(struct store_loop *loop)
{
	struct store_worker_loop *home = loop->owner;
	unsigned int limit = home->server->conf->stall_s ? home->server->conf->stall_s : 30;
	struct store_session *session, *next;
	long now = now_s();

	for (session = home->sessions; session; session = next) {
		next = session->next;
		if (session->closing)
			continue;
		if (session->sending && now - session->send_since > (long)limit) {
			session_break(session, "the peer takes no answers");
			session_free_if_idle(session);
		} else if (!session->greeted && now - session->send_since > (long)limit) {
			session_break(session, "no HELLO came");
			session_free_if_idle(session);
		}
	}
}

void store_session_close_all(struct store_worker_loop *home)
{
	struct store_session *session, *next;

	for (session = home->sessions; session; session = next) {
		next = session->next;
		session_close(session);
		session_free_if_idle(session);
	}
}
