// SPDX-License-Identifier: GPL-2.0-only
/*
 * Receiving: headers, then payloads into the memory of the request that they answer, never waiting for the socket.
 *
 *   header (128 bytes) -> checked -> payload to the request's buffer, or to a page that nobody reads -> request ends
 *
 * Where a payload goes is decided anew for each piece of it under rx_lock, so that a request that is detached in the
 * middle of its answer gets not one byte more. Nothing is believed: a header that breaks the protocol, an answer that
 * nobody asked for, anything but application data in a TLS stream end the connection, since nothing behind can be
 * trusted either. What the payload says is checked by whoever asked.
 */
#include <linux/mm.h>
#include <net/sock.h>
#include <net/tls.h>

#include "chunk/crc32c.h"
#include "node/internal.h"

/* Bytes a run of the work receives before it lets others have the CPU, and those who detach the lock. */
#define RX_RUN (1024u * 1024)

/*
 * Like recvmsg: bytes, 0 at the end of the stream, -EAGAIN. A TLS socket gives other records than data only to who has
 * room for their type; none of them belongs here. Other sockets get no such room: AF_UNIX would fill it with descriptors.
 */
static int rx_some(struct weft_conn *conn, void *to, u32 len)
{
	u8 control[CMSG_SPACE(sizeof(u8))] = {};
	struct kvec vec = { .iov_base = to, .iov_len = len };
	struct msghdr msg = {};
	struct cmsghdr *cmsg = (struct cmsghdr *)control;
	int ret;

	if (conn->tls) {
		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
	}
	iov_iter_kvec(&msg.msg_iter, ITER_DEST, &vec, 1, len);
	ret = sock_recvmsg(conn->sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (ret < 0 || !conn->tls || msg.msg_controllen == sizeof(control))
		return ret;
	if (cmsg->cmsg_level == SOL_TLS && cmsg->cmsg_type == TLS_GET_RECORD_TYPE && *(u8 *)CMSG_DATA(cmsg) != 23)
		return *(u8 *)CMSG_DATA(cmsg) == 21 ? 0 : -EPROTO;
	return ret;
}

/* Where the next byte of the payload goes. */
static void *rx_place(struct weft_conn *conn, u32 *room)
{
	const struct weft_rpc *rpc = conn->rx_rpc;
	u32 left = conn->rx_frame.payload_len - conn->rx_at;
	void *to = NULL;

	if (conn->rx_frame.op == WEFT_OP_HELLO) {
		*room = left;
		return (u8 *)&conn->rx_hello + conn->rx_at;
	}
	if (rpc && !conn->rx_bad && rpc->in)
		to = weft_buf_at(rpc->in, conn->rx_at, room);
	if (!to) {
		to = conn->rx_sink;
		*room = PAGE_SIZE;
	}
	*room = min(*room, left);
	return to;
}

/* Whether the payload that @frame announces fits what the request has prepared. */
static bool rx_fits(const struct weft_rpc *rpc, const struct weft_wire_frame *frame)
{
	if (frame->op == WEFT_OP_HELLO || frame->payload_len == 0)
		return true;
	if (frame->op != WEFT_OP_GET || frame->shard_len != rpc->expect_len || frame->head_len != rpc->expect_head)
		return false;
	return true;
}

static int rx_header(struct weft_conn *conn, const char **why)
{
	struct weft_wire_frame *frame = &conn->rx_frame;
	u32 max = conn->state == WEFT_CONN_HELLO ? sizeof(struct weft_wire_hello) : WEFT_WIRE_PAYLOAD_MAX;
	int err = weft_wire_header_decode(frame, &conn->rx_header, true, max, why);
	struct weft_rpc *rpc;

	if (err)
		return err;
	rpc = weft_conn_match(conn, frame);
	if (!rpc) {
		*why = "an answer to nothing that was asked";
		return -EPROTO;
	}
	rpc->answer = *frame;
	conn->rx_rpc = rpc;
	conn->rx_bad = !rx_fits(rpc, frame);
	/* A detached request has no buffer; the others have one of exactly the length that they asked for. */
	if (rpc->in && frame->payload_len && frame->payload_len != rpc->in->len + rpc->in->tail_len)
		conn->rx_bad = true;
	conn->rx_payload = true;
	conn->rx_at = 0;
	return 0;
}

static int rx_answer(struct weft_conn *conn, const char **why)
{
	const struct weft_wire_frame *frame = &conn->rx_frame;
	struct weft_rpc *rpc = conn->rx_rpc;

	if (frame->op == WEFT_OP_HELLO && frame->payload_len &&
	    weft_crc32c(0, &conn->rx_hello, sizeof(conn->rx_hello)) != frame->payload_crc) {
		*why = "damaged HELLO";
		return -EPROTO;
	}
	rpc->status = conn->rx_bad ? WEFT_ST_CORRUPT : frame->status;
	conn->rx_rpc = NULL;
	conn->rx_payload = false;
	conn->rx_at = 0;
	weft_conn_finish(conn, rpc, 0);
	weft_rpc_put(rpc);
	return 0;
}

/* One step of the stream. Returns bytes received, -EAGAIN, or another errno with the reason in @why. */
static int rx_step(struct weft_conn *conn, const char **why)
{
	u32 room;
	void *to;
	int ret;

	if (conn->rx_payload) {
		to = rx_place(conn, &room);
	} else {
		to = (u8 *)&conn->rx_header + conn->rx_at;
		room = sizeof(conn->rx_header) - conn->rx_at;
	}
	if (room) {
		ret = rx_some(conn, to, room);
		if (ret <= 0) {
			*why = ret ? "receiving failed" : "the host closed it";
			return ret ? ret : -ECONNRESET;
		}
		conn->rx_at += ret;
		WRITE_ONCE(conn->rx_moved, jiffies);
		if (conn->rx_payload)
			WRITE_ONCE(conn->served, jiffies);
	} else {
		ret = 0;
	}
	if (!conn->rx_payload && conn->rx_at == sizeof(conn->rx_header)) {
		int err = rx_header(conn, why);

		if (err)
			return err;
	}
	if (conn->rx_payload && conn->rx_at == conn->rx_frame.payload_len) {
		int err = rx_answer(conn, why);

		if (err)
			return err;
	}
	return ret;
}

void weft_conn_rx_work(struct work_struct *work)
{
	struct weft_conn *conn = container_of(work, struct weft_conn, rx_work);
	unsigned int nofs = memalloc_nofs_save();
	const char *why = NULL;
	int ret;

	do {
		u32 moved = 0;

		mutex_lock(&conn->rx_lock);
		do {
			ret = rx_step(conn, &why);
			if (ret > 0)
				moved += ret;
		} while (ret >= 0 && moved < RX_RUN);
		mutex_unlock(&conn->rx_lock);
		cond_resched();
	} while (ret >= 0);
	memalloc_nofs_restore(nofs);
	if (ret != -EAGAIN)
		weft_conn_break(conn, ret, why);
}
