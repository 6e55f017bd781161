// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sending: one request after the other into a socket that takes what it can, never waiting for it.
 *
 * A frame is the request's head (copied), then spans that its owner describes as they are needed. What the socket did
 * not take of a span is kept as an iterator, and sending goes on when sk_write_space queues the work again. A request
 * whose owner has gone in the middle is filled up with zeros: the stream stays in step, and the shard's checksums are
 * wrong, so no store keeps it.
 *
 * Pages are given away by reference (MSG_SPLICE_PAGES) where the span allows it. With TLS they are only read.
 */
#include <linux/mm.h>
#include <net/sock.h>

#include "node/internal.h"

/* Bytes a run of the work sends before it lets others have the CPU. */
#define TX_RUN (2u * 1024 * 1024)

static u32 tx_total(const struct weft_rpc *rpc)
{
	return sizeof(struct weft_wire_header) + rpc->request.payload_len;
}

/* A span of zeros, at most @len bytes. */
static void tx_fill_zeros(struct weft_conn *conn, u32 len)
{
	struct weft_span *span = &conn->tx_span;

	span->splice = true;
	while (span->n < WEFT_SPAN_BVECS && span->len < len) {
		u32 part = min_t(u32, len - span->len, PAGE_SIZE);

		bvec_set_page(&span->bv[span->n++], ZERO_PAGE(0), part, 0);
		span->len += part;
	}
}

/* Point tx_iter at the next bytes of the frame. */
static void tx_fill(struct weft_conn *conn, bool detached)
{
	struct weft_rpc *rpc = conn->tx_rpc;
	struct weft_span *span = &conn->tx_span;

	span->len = 0;
	span->n = 0;
	span->splice = false;
	span->vec.iov_base = NULL;
	if (conn->tx_at == 0) {
		span->vec.iov_base = rpc->head;
		span->len = rpc->head_len;
	} else if (detached || conn->tx_void) {
		conn->tx_void = true;
		tx_fill_zeros(conn, tx_total(rpc) - conn->tx_at);
	} else {
		rpc->ops->body(rpc, conn->tx_at - rpc->head_len, span);
	}
	if (span->vec.iov_base) {
		span->vec.iov_len = span->len;
		iov_iter_kvec(&conn->tx_iter, ITER_SOURCE, &span->vec, 1, span->len);
	} else {
		iov_iter_bvec(&conn->tx_iter, ITER_SOURCE, span->bv, span->n, span->len);
	}
	conn->tx_at += span->len;
}

/* Send some of the current request. Returns bytes taken, 0 when all of it was, -EAGAIN when the socket is full. */
static int tx_step(struct weft_conn *conn)
{
	struct weft_rpc *rpc = conn->tx_rpc;
	struct msghdr msg = { .msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL };
	bool detached;
	int ret;

	spin_lock(&conn->host->lock);
	detached = rpc->detached;
	spin_unlock(&conn->host->lock);

	if (detached && !conn->tx_void && conn->tx_at > rpc->head_len) {
		/* What is left of the span is memory of an owner that has gone. */
		conn->tx_at -= iov_iter_count(&conn->tx_iter);
		iov_iter_bvec(&conn->tx_iter, ITER_SOURCE, conn->tx_span.bv, 0, 0);
	}
	if (!iov_iter_count(&conn->tx_iter)) {
		if (conn->tx_at == tx_total(rpc))
			return 0;
		tx_fill(conn, detached);
	}
	if (conn->tx_at < tx_total(rpc))
		msg.msg_flags |= MSG_MORE;
	if (conn->tx_span.splice)
		msg.msg_flags |= MSG_SPLICE_PAGES;
	msg.msg_iter = conn->tx_iter;
	ret = sock_sendmsg(conn->sock, &msg);
	if (ret > 0) {
		iov_iter_advance(&conn->tx_iter, ret);
		WRITE_ONCE(conn->tx_moved, jiffies);
	}
	return ret ? ret : -EAGAIN;
}

static void tx_request_end(struct weft_conn *conn)
{
	struct weft_rpc *rpc = conn->tx_rpc;

	weft_conn_sent(conn, rpc);
	WRITE_ONCE(conn->tx_rpc, NULL);
	weft_rpc_put(rpc);
}

static bool tx_request_begin(struct weft_conn *conn)
{
	struct weft_rpc *rpc = weft_conn_next(conn);

	if (!rpc)
		return false;
	conn->tx_at = 0;
	conn->tx_void = false;
	iov_iter_bvec(&conn->tx_iter, ITER_SOURCE, conn->tx_span.bv, 0, 0);
	WRITE_ONCE(conn->tx_rpc, rpc);
	return true;
}

/* Returns 1 to be called again, 0 when there is nothing to do or the socket is full, or a negative errno. */
static int tx_run(struct weft_conn *conn)
{
	const struct sock *sk = conn->sock->sk;
	u32 moved = 0;

	while (moved < TX_RUN) {
		int ret;

		if (!conn->tx_rpc && !tx_request_begin(conn))
			return 0;
		/* A TLS socket swallows what is sent after the connection has ended. */
		if (READ_ONCE(sk->sk_shutdown) & SEND_SHUTDOWN || READ_ONCE(sk->sk_state) != TCP_ESTABLISHED)
			return -EPIPE;
		ret = tx_step(conn);
		if (ret > 0)
			moved += ret;
		else if (ret == 0)
			tx_request_end(conn);
		else if (ret == -ENOMEM || ret == -ENOBUFS)
			return weft_conn_starved(conn);
		else
			return ret == -EAGAIN ? 0 : ret;
	}
	return 1;
}

void weft_conn_tx_work(struct work_struct *work)
{
	struct weft_conn *conn = container_of(work, struct weft_conn, tx_work);
	unsigned int nofs = memalloc_nofs_save();
	int ret;

	do {
		mutex_lock(&conn->tx_lock);
		ret = tx_run(conn);
		mutex_unlock(&conn->tx_lock);
		cond_resched();
	} while (ret > 0);
	memalloc_nofs_restore(nofs);
	if (ret < 0)
		weft_conn_break(conn, ret, "sending failed");
}
