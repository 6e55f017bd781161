// SPDX-License-Identifier: GPL-2.0-only
/*
 * A connection to a host: its states, its requests, its end.
 *
 *   HELLO -> READY -> DRAINING -> DEAD        (from each to DEAD)
 *
 * A new connection says HELLO and takes over its lane only when that was answered well, so a replacement never leaves
 * the host without a connection. Whoever sets DEAD queues end_work, once; it takes the socket away from the callbacks,
 * stops both workers and only then ends the requests: no memory of a request is touched after its .done.
 *
 * Work is queued under host->lock and while the state is not DEAD only, so none is queued behind end_work's back.
 * While requests are under way a tick each second watches the peer: silent for a second, it is asked by PING; silent
 * for the peer timeout, the connection is broken.
 */
#include <linux/slab.h>

#include "chunk/crc32c.h"
#include "node/internal.h"

/* What this side takes; the host may take less. */
#define CONN_FLIGHT_MAX 256

static void conn_tick(struct work_struct *work);
static void conn_end(struct work_struct *work);

struct weft_conn *weft_conn_alloc(struct weft_host *host, enum weft_lane_kind kind)
{
	struct weft_conn *conn = kzalloc(sizeof(*conn), GFP_KERNEL);

	if (!conn)
		return NULL;
	conn->rx_sink = (void *)__get_free_page(GFP_KERNEL);
	if (!conn->rx_sink) {
		kfree(conn);
		return NULL;
	}
	kref_init(&conn->ref);
	conn->host = host;
	weft_host_get(host);
	conn->kind = kind;
	conn->state = WEFT_CONN_HELLO;
	INIT_LIST_HEAD(&conn->link);
	INIT_LIST_HEAD(&conn->urgent);
	INIT_LIST_HEAD(&conn->queue);
	hash_init(conn->flight);
	conn->max_flight = 1;
	conn->payload_max = sizeof(struct weft_wire_hello);
	conn->next_id = 1;
	conn->used_at = jiffies;
	conn->rx_moved = jiffies;
	conn->served = jiffies;
	conn->tx_moved = jiffies;
	mutex_init(&conn->tx_lock);
	mutex_init(&conn->rx_lock);
	INIT_WORK(&conn->tx_work, weft_conn_tx_work);
	INIT_WORK(&conn->rx_work, weft_conn_rx_work);
	INIT_WORK(&conn->end_work, conn_end);
	INIT_DELAYED_WORK(&conn->tick_work, conn_tick);
	return conn;
}

static void conn_free(struct kref *ref)
{
	struct weft_conn *conn = container_of(ref, struct weft_conn, ref);

	free_page((unsigned long)conn->rx_sink);
	weft_host_put(conn->host);
	kfree(conn);
}

void weft_conn_get(struct weft_conn *conn)
{
	kref_get(&conn->ref);
}

void weft_conn_put(struct weft_conn *conn)
{
	kref_put(&conn->ref, conn_free);
}

/* --- HELLO and PING ------------------------------------------------------------------------------------------------- */

static void conn_rpc_free(struct weft_rpc *rpc)
{
	kfree(rpc);
}

static void conn_ping_done(struct weft_rpc *rpc)
{
	struct weft_host *host = rpc->host;

	spin_lock(&host->lock);
	rpc->conn->pinging = false;
	spin_unlock(&host->lock);
}

static const char *conn_hello_check(const struct weft_conn *conn, struct weft_wire_greeting *theirs)
{
	const struct weft_cluster *cluster = conn->host->cluster;
	const char *why = NULL;

	if (weft_wire_hello_decode(theirs, &conn->rx_hello, &why))
		return why;
	if (memcmp(theirs->cluster, cluster->uuid.b, sizeof(theirs->cluster)) != 0)
		return "it belongs to another cluster";
	if (theirs->version_min > WEFT_WIRE_VERSION || theirs->version_max < WEFT_WIRE_VERSION)
		return "it speaks no version of the chunk protocol that this module has";
	if (theirs->host != conn->host->number)
		return "another host answered";
	return NULL;
}

/* Runs in the receiver, before any other answer is looked at. */
static void conn_hello_done(struct weft_rpc *rpc)
{
	struct weft_conn *conn = rpc->conn;
	struct weft_host *host = conn->host;
	struct weft_wire_greeting theirs;
	const char *why;

	if (rpc->error)
		return;
	if (rpc->status != WEFT_ST_OK) {
		weft_conn_break(conn, -EPROTO, weft_status_text(rpc->status));
		return;
	}
	why = conn_hello_check(conn, &theirs);
	if (why) {
		weft_conn_break(conn, -EPROTO, why);
		return;
	}
	spin_lock(&host->lock);
	if (conn->state == WEFT_CONN_HELLO) {
		conn->state = WEFT_CONN_READY;
		conn->max_flight = clamp(theirs.in_flight, 1u, (u32)CONN_FLIGHT_MAX);
		conn->payload_max = theirs.payload_max;
		weft_host_serve(host, conn->kind, conn);
	}
	spin_unlock(&host->lock);
}

static const struct weft_rpc_ops conn_hello_ops = {
	.done = conn_hello_done,
	.free = conn_rpc_free,
};

static const struct weft_rpc_ops conn_ping_ops = {
	.done = conn_ping_done,
	.free = conn_rpc_free,
};

static struct weft_rpc *conn_hello_alloc(struct weft_conn *conn)
{
	const struct weft_cluster *cluster = conn->host->cluster;
	struct weft_wire_greeting ours = {
		.incarnation = cluster->incarnation,
		.version_min = WEFT_WIRE_VERSION,
		.version_max = WEFT_WIRE_VERSION,
		.role = WEFT_ROLE_CLIENT,
		.in_flight = CONN_FLIGHT_MAX,
		.payload_max = WEFT_WIRE_PAYLOAD_MAX,
	};
	struct weft_wire_hello hello;
	struct weft_rpc *rpc = kzalloc(sizeof(*rpc), GFP_KERNEL);

	if (!rpc)
		return NULL;
	memcpy(ours.cluster, cluster->uuid.b, sizeof(ours.cluster));
	weft_wire_hello_encode(&hello, &ours);
	weft_rpc_init(rpc, &conn_hello_ops, conn->host, conn->kind, sizeof(hello));
	memcpy(rpc->head + sizeof(struct weft_wire_header), &hello, sizeof(hello));
	rpc->request = (struct weft_wire_frame){
		.op = WEFT_OP_HELLO,
		.payload_len = sizeof(hello),
		.payload_crc = weft_crc32c(0, &hello, sizeof(hello)),
	};
	return rpc;
}

/* --- requests ------------------------------------------------------------------------------------------------------- */

void weft_conn_queue(struct weft_conn *conn, struct weft_rpc *rpc)
{
	lockdep_assert_held(&conn->host->lock);
	if (rpc->conn != conn) {
		if (rpc->conn)
			weft_conn_put(rpc->conn);
		weft_conn_get(conn);
		rpc->conn = conn;
	}
	rpc->state = WEFT_RPC_QUEUED;
	list_add_tail(&rpc->link, rpc->urgent ? &conn->urgent : &conn->queue);
	conn->used_at = jiffies;
	queue_work(weft_conn_wq, &conn->tx_work);
	queue_delayed_work(weft_conn_wq, &conn->tick_work, HZ);
}

void weft_conn_start(struct weft_conn *conn)
{
	struct weft_host *host = conn->host;
	struct weft_rpc *rpc = conn_hello_alloc(conn);

	if (!rpc) {
		weft_conn_break(conn, -ENOMEM, "no memory to greet it");
		return;
	}
	weft_rpc_get(rpc);
	spin_lock(&host->lock);
	if (conn->state == WEFT_CONN_HELLO)
		weft_conn_queue(conn, rpc);
	spin_unlock(&host->lock);
	weft_rpc_put(rpc);
}

/* One place is kept for a PING, which must get through when the host answers nothing else. */
static bool conn_may_send(const struct weft_conn *conn, const struct weft_rpc *rpc)
{
	unsigned int max = conn->max_flight;

	if (rpc->request.op != WEFT_OP_PING && max > 1)
		max--;
	return conn->n_flight < max;
}

struct weft_rpc *weft_conn_next(struct weft_conn *conn)
{
	struct weft_host *host = conn->host;
	struct weft_rpc *rpc;

	spin_lock(&host->lock);
	rpc = list_first_entry_or_null(&conn->urgent, struct weft_rpc, link) ?:
	      list_first_entry_or_null(&conn->queue, struct weft_rpc, link);
	if (!rpc || conn->state == WEFT_CONN_DEAD || !conn_may_send(conn, rpc)) {
		spin_unlock(&host->lock);
		return NULL;
	}
	list_del_init(&rpc->link);
	rpc->state = WEFT_RPC_FLIGHT;
	rpc->started = ktime_get();
	rpc->request.request_id = conn->next_id++;
	if (conn->n_flight++ == 0) {
		conn->busy_since = jiffies;
		conn->ticked_at = jiffies;
	}
	hash_add(conn->flight, &rpc->flight, rpc->request.request_id);
	weft_rpc_get(rpc);
	spin_unlock(&host->lock);
	weft_wire_header_encode((struct weft_wire_header *)rpc->head, &rpc->request);
	return rpc;
}

void weft_conn_sent(struct weft_conn *conn, struct weft_rpc *rpc)
{
	lockdep_assert_held(&conn->tx_lock);
	spin_lock(&conn->host->lock);
	/* A body that was left in the middle was not sent, zeros were. */
	rpc->sent = !rpc->detached;
	spin_unlock(&conn->host->lock);
}

int weft_conn_starved(struct weft_conn *conn)
{
	spin_lock(&conn->host->lock);
	if (conn->state != WEFT_CONN_DEAD)
		mod_delayed_work(weft_conn_wq, &conn->tick_work, HZ / 50);
	spin_unlock(&conn->host->lock);
	return 0;
}

struct weft_rpc *weft_conn_match(struct weft_conn *conn, const struct weft_wire_frame *frame)
{
	struct weft_rpc *rpc;

	spin_lock(&conn->host->lock);
	hash_for_each_possible(conn->flight, rpc, flight, frame->request_id) {
		if (weft_wire_frame_answers(frame, &rpc->request)) {
			weft_rpc_get(rpc);
			spin_unlock(&conn->host->lock);
			return rpc;
		}
	}
	spin_unlock(&conn->host->lock);
	return NULL;
}

void weft_conn_finish(struct weft_conn *conn, struct weft_rpc *rpc, int error)
{
	struct weft_host *host = conn->host;
	bool detached, sent;

	lockdep_assert_held(&conn->rx_lock);
	spin_lock(&host->lock);
	hash_del(&rpc->flight);
	conn->n_flight--;
	rpc->state = WEFT_RPC_ENDED;
	detached = rpc->detached;
	sent = rpc->sent;
	if (!sent)
		rpc->detached = true;
	if (rpc->request.op != WEFT_OP_PING)
		WRITE_ONCE(conn->served, jiffies);
	if (conn->state != WEFT_CONN_DEAD && !(list_empty(&conn->urgent) && list_empty(&conn->queue)))
		queue_work(weft_conn_wq, &conn->tx_work);
	spin_unlock(&host->lock);

	if (!sent) {
		/* Answered before it was all sent: the sender may be in the body, and fills up with zeros from now on. */
		mutex_lock(&conn->tx_lock);
		mutex_unlock(&conn->tx_lock);
	}
	weft_rpc_end(rpc, error, detached);
}

/* --- watching ------------------------------------------------------------------------------------------------------- */

static void conn_ping(struct weft_conn *conn)
{
	struct weft_host *host = conn->host;
	struct weft_rpc *rpc = kzalloc(sizeof(*rpc), WEFT_NODE_GFP);

	if (!rpc)
		return;
	weft_rpc_init(rpc, &conn_ping_ops, host, conn->kind, 0);
	rpc->request.op = WEFT_OP_PING;
	rpc->urgent = true;
	spin_lock(&host->lock);
	if (conn->state == WEFT_CONN_READY || conn->state == WEFT_CONN_DRAINING) {
		conn->pinging = true;
		weft_rpc_get(rpc);
		weft_conn_queue(conn, rpc);
		list_move(&rpc->link, &conn->urgent);
	}
	spin_unlock(&host->lock);
	weft_rpc_put(rpc);
}

/* How long nothing has moved although something should, jiffies. */
static unsigned long conn_quiet(const struct weft_conn *conn)
{
	unsigned long since = READ_ONCE(conn->rx_moved);
	unsigned long sent = READ_ONCE(conn->tx_moved);

	if (time_after(conn->busy_since, since))
		since = conn->busy_since;
	/* A long payload on its way counts as life only while the socket takes it. */
	if (READ_ONCE(conn->tx_rpc) && time_after(sent, since))
		since = sent;
	return jiffies - since;
}

/* A host that answers PING but not this: its disk hangs. The request's owner has given up long ago. */
static bool conn_stuck(const struct weft_conn *conn)
{
	const struct weft_rpc *rpc;
	ktime_t now = ktime_get();
	int bucket;

	hash_for_each(conn->flight, bucket, rpc, flight)
		if (ktime_ms_delta(now, rpc->started) > 2 * WEFT_JOB_TIMEOUT_MS)
			return true;
	return false;
}

static void conn_tick(struct work_struct *work)
{
	struct weft_conn *conn = container_of(to_delayed_work(work), struct weft_conn, tick_work);
	struct weft_host *host = conn->host;
	bool ping = false, stuck = false, silent = false;

	spin_lock(&host->lock);
	if (conn->state == WEFT_CONN_DEAD) {
		spin_unlock(&host->lock);
		return;
	}
	/* This machine stood still: the host's silence says nothing. */
	if (time_after(jiffies, conn->ticked_at + 3 * HZ))
		conn->busy_since = jiffies;
	conn->ticked_at = jiffies;
	/* What is left of a request should go when there is room; when there was no memory nobody else says so. */
	if (READ_ONCE(conn->tx_rpc))
		queue_work(weft_conn_wq, &conn->tx_work);
	if (conn->n_flight) {
		unsigned long quiet = conn_quiet(conn);

		silent = quiet > msecs_to_jiffies(weft_param_peer_timeout());
		ping = quiet >= HZ && !conn->pinging && conn->state != WEFT_CONN_HELLO;
		stuck = conn_stuck(conn);
	} else if (conn->state == WEFT_CONN_DRAINING && list_empty(&conn->urgent) && list_empty(&conn->queue)) {
		weft_conn_close(conn, 0);
		spin_unlock(&host->lock);
		return;
	}
	if (conn->n_flight || conn->state == WEFT_CONN_DRAINING || !list_empty(&conn->urgent) ||
	    !list_empty(&conn->queue))
		queue_delayed_work(weft_conn_wq, &conn->tick_work, HZ);
	spin_unlock(&host->lock);

	if (silent)
		weft_conn_break(conn, -ETIMEDOUT, "no answer within the peer timeout");
	else if (stuck)
		weft_conn_break(conn, -ETIMEDOUT, "a request was not answered for a minute");
	else if (ping)
		conn_ping(conn);
}

bool weft_conn_idle(const struct weft_conn *conn, unsigned long before)
{
	lockdep_assert_held(&conn->host->lock);
	return conn->state == WEFT_CONN_READY && !conn->n_flight && list_empty(&conn->urgent) &&
	       list_empty(&conn->queue) && time_before(conn->used_at, before);
}

/* --- the end -------------------------------------------------------------------------------------------------------- */

void weft_conn_close(struct weft_conn *conn, int error)
{
	struct weft_host *host = conn->host;

	lockdep_assert_held(&host->lock);
	if (conn->state == WEFT_CONN_DEAD)
		return;
	conn->state = WEFT_CONN_DEAD;
	for (unsigned int i = 0; i < WEFT_LANES; i++)
		if (host->lanes[i].conn == conn)
			host->lanes[i].conn = NULL;
	weft_host_count(host, WEFT_HC_DISCONNECTS, 1);
	if (error)
		weft_host_failed(host, error);
	/* The creator's reference goes with it. */
	queue_work(weft_conn_wq, &conn->end_work);
}

void weft_conn_break(struct weft_conn *conn, int error, const char *why)
{
	struct weft_host *host = conn->host;
	bool said;

	spin_lock(&host->lock);
	said = conn->state == WEFT_CONN_DEAD;
	weft_conn_close(conn, error);
	spin_unlock(&host->lock);
	if (!said)
		pr_info_ratelimited("weft: connection to host %u lost: %s (%d)\n", host->number, why, error);
}

/* All requests of a connection that has no workers any more, queued ones and those in flight. */
static void conn_take_all(struct weft_conn *conn, struct list_head *all)
{
	struct hlist_node *tmp;
	struct weft_rpc *rpc;
	int bucket;

	spin_lock(&conn->host->lock);
	list_splice_tail_init(&conn->urgent, all);
	list_splice_tail_init(&conn->queue, all);
	hash_for_each_safe(conn->flight, bucket, tmp, rpc, flight) {
		hash_del(&rpc->flight);
		list_add_tail(&rpc->link, all);
	}
	conn->n_flight = 0;
	list_for_each_entry(rpc, all, link)
		rpc->state = WEFT_RPC_ENDED;
	list_del_init(&conn->link);
	spin_unlock(&conn->host->lock);
}

static void conn_end(struct work_struct *work)
{
	struct weft_conn *conn = container_of(work, struct weft_conn, end_work);
	struct weft_cluster *cluster = conn->host->cluster;
	struct weft_rpc *rpc, *next;
	LIST_HEAD(all);

	weft_socket_detach(conn);
	cancel_work_sync(&conn->tx_work);
	cancel_work_sync(&conn->rx_work);
	cancel_delayed_work_sync(&conn->tick_work);
	weft_socket_release(conn);

	conn_take_all(conn, &all);
	list_for_each_entry_safe(rpc, next, &all, link) {
		bool detached = rpc->detached;

		list_del_init(&rpc->link);
		rpc->sent = true; /* nobody is in its body */
		weft_rpc_end(rpc, -ECONNRESET, detached);
	}
	if (conn->tx_rpc)
		weft_rpc_put(conn->tx_rpc);
	if (conn->rx_rpc)
		weft_rpc_put(conn->rx_rpc);
	conn->tx_rpc = NULL;
	conn->rx_rpc = NULL;
	weft_conn_put(conn);
	if (atomic_dec_and_test(&cluster->node.conns))
		wake_up_var(&cluster->node.conns);
}
