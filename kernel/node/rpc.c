// SPDX-License-Identifier: GPL-2.0-only
/*
 * One request to one host, from submission to its end.
 *
 *   NEW -> WAITING -> QUEUED -> FLIGHT -> ENDED
 *
 * Every step happens under host->lock, and whoever sets ENDED owns the end: it alone calls .done and drops the
 * reference that submission took. A detached request that is in flight stays in the connection's table, so that its
 * answer is recognised and thrown away.
 */
#include "node/internal.h"

void weft_rpc_init(struct weft_rpc *rpc, const struct weft_rpc_ops *ops, struct weft_host *host,
		   enum weft_lane_kind lane, u32 shard_head_len)
{
	refcount_set(&rpc->ref, 1);
	rpc->ops = ops;
	rpc->host = host;
	weft_host_get(host);
	rpc->lane = lane;
	rpc->urgent = false;
	rpc->state = WEFT_RPC_NEW;
	rpc->detached = false;
	rpc->sent = false;
	rpc->conn = NULL;
	INIT_LIST_HEAD(&rpc->link);
	INIT_HLIST_NODE(&rpc->flight);
	rpc->head_len = sizeof(struct weft_wire_header) + shard_head_len;
	rpc->expect_len = 0;
	rpc->expect_head = 0;
	rpc->in = NULL;
	rpc->born = ktime_get();
	rpc->started = rpc->born;
	rpc->error = 0;
	rpc->status = WEFT_ST_OK;
}

void weft_rpc_get(struct weft_rpc *rpc)
{
	refcount_inc(&rpc->ref);
}

void weft_rpc_put(struct weft_rpc *rpc)
{
	if (!refcount_dec_and_test(&rpc->ref))
		return;
	if (rpc->conn)
		weft_conn_put(rpc->conn);
	weft_buf_free(rpc->in);
	weft_host_put(rpc->host);
	rpc->ops->free(rpc);
}

u64 weft_rpc_waited(struct weft_rpc *rpc, unsigned long *moved)
{
	struct weft_host *host = rpc->host;
	const struct weft_conn *conn;
	unsigned long last = *moved;
	s64 waited;

	spin_lock(&host->lock);
	conn = rpc->conn;
	waited = ktime_us_delta(ktime_get(), rpc->started);
	if (conn && (rpc->state == WEFT_RPC_QUEUED || (rpc->state == WEFT_RPC_FLIGHT && !rpc->sent))) {
		last = READ_ONCE(conn->tx_moved);
		if (time_after(READ_ONCE(conn->rx_moved), last))
			last = READ_ONCE(conn->rx_moved);
		waited = min_t(s64, waited, jiffies_to_usecs(jiffies - last));
	} else if (conn && rpc->state == WEFT_RPC_FLIGHT && rpc->request.op == WEFT_OP_GET) {
		/* Its answer comes behind those to others: late it may be, but its host works. */
		last = READ_ONCE(conn->served);
	}
	if (time_after(last, *moved))
		*moved = last;
	spin_unlock(&host->lock);
	return max_t(s64, waited, 0);
}

static void rpc_account(struct weft_rpc *rpc)
{
	struct weft_host *host = rpc->host;
	bool good = !rpc->error && rpc->status == WEFT_ST_OK;

	if (good && (rpc->request.op == WEFT_OP_PUT || rpc->request.op == WEFT_OP_GET))
		weft_latency_add(&host->latency[rpc->lane], ktime_us_delta(ktime_get(), rpc->started));
	switch (rpc->request.op) {
	case WEFT_OP_PUT:
		weft_host_count(host, good ? WEFT_HC_PUTS : WEFT_HC_PUT_ERRORS, 1);
		if (good)
			weft_host_count(host, WEFT_HC_PUT_BYTES, rpc->request.length);
		break;
	case WEFT_OP_GET:
		weft_host_count(host, good ? WEFT_HC_GETS : WEFT_HC_GET_ERRORS, 1);
		if (good)
			weft_host_count(host, WEFT_HC_GET_BYTES, rpc->answer.length);
		break;
	}
}

void weft_rpc_end(struct weft_rpc *rpc, int error, bool detached)
{
	rpc->error = error;
	rpc_account(rpc);
	if (!detached)
		rpc->ops->done(rpc);
	weft_rpc_put(rpc);
}

/* The lane's connection, or the other lane's while this one has none. */
static struct weft_conn *rpc_route(struct weft_rpc *rpc)
{
	struct weft_host *host = rpc->host;
	struct weft_conn *conn = host->lanes[rpc->lane].conn;

	lockdep_assert_held(&host->lock);
	return conn ?: host->lanes[!rpc->lane].conn;
}

void weft_rpc_submit(struct weft_rpc *rpc)
{
	struct weft_host *host = rpc->host;
	struct weft_conn *conn;
	int error = 0;

	weft_rpc_get(rpc);
	spin_lock(&host->lock);
	conn = rpc_route(rpc);
	if (host->gone) {
		error = -ENXIO;
	} else if (conn && rpc->request.payload_len > conn->payload_max) {
		error = -EMSGSIZE;
	} else if (conn) {
		weft_conn_queue(conn, rpc);
	} else if (!weft_host_usable(host)) {
		error = -EHOSTUNREACH;
	} else {
		rpc->state = WEFT_RPC_WAITING;
		list_add_tail(&rpc->link, &host->lanes[rpc->lane].waiting);
		weft_host_want(host);
	}
	if (error)
		rpc->state = WEFT_RPC_ENDED;
	spin_unlock(&host->lock);
	if (error)
		weft_rpc_end(rpc, error, false);
}

/* Wait until nobody sends from or receives to the request's memory; what it was to be received into goes. */
static void rpc_settle(struct weft_rpc *rpc, struct weft_conn *conn)
{
	mutex_lock(&conn->rx_lock);
	weft_buf_free(rpc->in);
	rpc->in = NULL;
	mutex_unlock(&conn->rx_lock);
	mutex_lock(&conn->tx_lock);
	mutex_unlock(&conn->tx_lock);
}

/* Whether the body's or the answer's memory may be in use: an answer can end a request that is still being sent. */
static bool rpc_touched(const struct weft_rpc *rpc)
{
	lockdep_assert_held(&rpc->host->lock);
	return rpc->state == WEFT_RPC_FLIGHT || (rpc->state == WEFT_RPC_ENDED && rpc->conn && !rpc->sent);
}

void weft_rpc_detach(struct weft_rpc *rpc)
{
	struct weft_host *host = rpc->host;
	bool touched, listed;

	spin_lock(&host->lock);
	touched = rpc_touched(rpc);
	listed = rpc->state == WEFT_RPC_WAITING || rpc->state == WEFT_RPC_QUEUED;
	if (listed) {
		list_del_init(&rpc->link);
		rpc->state = WEFT_RPC_ENDED;
	}
	rpc->detached = true;
	spin_unlock(&host->lock);

	if (touched)
		rpc_settle(rpc, rpc->conn);
	else if (listed)
		weft_rpc_put(rpc);
}

bool weft_rpc_leave(struct weft_rpc *rpc)
{
	struct weft_host *host = rpc->host;
	bool answers, settle;

	spin_lock(&host->lock);
	answers = rpc->state == WEFT_RPC_ENDED || (rpc->state == WEFT_RPC_FLIGHT && rpc->sent);
	settle = answers && rpc_touched(rpc) && !rpc->sent;
	spin_unlock(&host->lock);
	if (settle)
		rpc_settle(rpc, rpc->conn);
	if (!answers)
		weft_rpc_detach(rpc);
	return answers;
}
