// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * link.c - connected to the metadata service: register, say every second that we are here, learn the map, take tasks
 *
 * Threading: all of it on one libuv loop whose thread does nothing else, so a heartbeat is late only if the machine is.
 * Tasks run on workers; what they have done comes back through an async handle.
 *
 * One connection at a time. When it breaks, or its end does not lead, the next address is tried: at once after one that
 * worked, with growing waits while none does. Each new connection registers all stores again and asks for the map.
 */
#include "store/link.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"

#define CONNECT_MS  2000u
#define WAIT_MIN_MS 50u
#define WAIT_MAX_MS 1000u
#define WORKERS	    5

struct store_link {
	const struct store_link_conf *conf;
	uv_loop_t *loop;
	struct ctl_self self;
	struct ctl_conn *conn;
	uint64_t connection; /* counts connections */
	bool ready, stopping;
	unsigned int at; /* in conf->addresses */
	unsigned int wait_ms;
	uv_timer_t retry, beat;
	struct store_server *server;
	unsigned int registering; /* answers that are to come */
	bool registered;

	struct store_map *map;
	struct store_workers *workers;
	uv_async_t async;
	pthread_mutex_t lock; /* done */
	struct store_task *done;
};

static void link_connect(uv_timer_t *timer);

static void link_retry(struct store_link *link)
{
	if (link->stopping)
		return;
	uv_timer_start(&link->retry, link_connect, link->wait_ms, 0);
	link->wait_ms = link->wait_ms * 2 < WAIT_MAX_MS ? link->wait_ms * 2 : WAIT_MAX_MS;
}

/* This end does not lead, or does not know us any more: begin anew with the next. */
static void link_leave(struct store_link *link)
{
	link->ready = false;
	link->registered = false;
	if (link->conn)
		ctl_close(link->conn);
}

/* --- registration --------------------------------------------------------------------------------------------------------- */

struct registration {
	struct store_link *link;
	struct store *store;
	uint64_t connection;
};

static void registered(void *ctx, const struct ctl_frame *frame)
{
	struct registration *reg = ctx;
	struct store_link *link = reg->link;
	struct store *store = reg->store;
	bool current = reg->connection == link->connection && link->conn && !link->stopping;
	struct tlv known[WEFT_C_NR];
	uint32_t number = 0, host = 0;
	char text[256];

	free(reg);
	if (!current)
		return;
	if (frame->status != WEFT_ST_OK) {
		if (!tlv_collect(frame->payload, frame->len, known, WEFT_C_NR, false) &&
		    !tlv_text(&known[WEFT_C_TEXT], 1, sizeof(text) - 1, text))
			log_error("store %s was refused by the metadata service: %s", store->path,
				  text);
		else
			log_warn("store %s is not registered: %s", store->path,
				 status_text(frame->status));
		link_leave(link);
		return;
	}
	if (tlv_collect(frame->payload, frame->len, known, WEFT_C_NR, false) ||
	    tlv_u32(&known[WEFT_C_STORE_NR], &number) || tlv_u32(&known[WEFT_C_HOST_NR], &host) ||
	    !number || !host) {
		log_warn("the metadata service answered a registration with nonsense");
		link_leave(link);
		return;
	}
	link->self.host = host;
	atomic_store(&link->server->host, host);
	if (atomic_load(&store->number) != number || atomic_load(&store->host) != host) {
		store_set_number(store, number, host, atomic_load(&link->server->incarnation));
		log_info("store %s is number %u on host %u of the cluster", store->path, number,
			 host);
	}
	if (--link->registering == 0)
		link->registered = true;
}

static void put_texts(struct tlv_writer *writer, uint16_t type, const char *const *texts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (texts[i])
			tlv_put_text(writer, type, texts[i]);
}

static int register_store(struct store_link *link, struct store *store)
{
	struct ctl_frame frame = {.type = WEFT_CTL_STORE_REGISTER, .slot = WEFT_SLOT_NONE};
	struct registration *reg = malloc(sizeof(*reg));
	struct tlv_writer writer;
	struct stat st;
	int err;

	if (!reg)
		return -ENOMEM;
	*reg = (struct registration){link, store, link->connection};
	store_space_refresh(store);
	tlv_writer_init(&writer, WEFT_CTL_PAYLOAD_MAX);
	tlv_put(&writer, WEFT_C_STORE_UUID, store->uuid, sizeof(store->uuid));
	tlv_put_u64(&writer, WEFT_C_STARTS, store->starts);
	tlv_put_u64(&writer, WEFT_C_CAPACITY, atomic_load(&store->capacity));
	tlv_put_text(&writer, WEFT_C_PATH, store->path);
	put_texts(&writer, WEFT_C_ADDRESS, link->conf->advertise, link->conf->n_advertise);
	put_texts(&writer, WEFT_C_LABELS, link->conf->labels, 3);
	if (!fstat(store->dir, &st))
		tlv_put_u64(&writer, WEFT_C_DISK, (uint64_t)st.st_dev);
	err = tlv_finish(&writer);
	frame.payload = writer.data;
	frame.len = writer.len;
	if (!err)
		err = ctl_call(link->conn, &frame, registered, reg);
	tlv_writer_free(&writer);
	if (err)
		free(reg);
	return err;
}

static void map_watched(void *ctx, const struct ctl_frame *frame)
{
	struct store_link *link = ctx;

	if (frame->status == WEFT_ST_NOT_LEADER)
		link_leave(link);
}

/* The cluster is known: serve, if that was not begun before. */
static int link_serve(struct store_link *link, const struct ctl_peer *peer)
{
	memcpy(link->self.cluster, peer->cluster, sizeof(link->self.cluster));
	link->self.incarnation = peer->incarnation;
	if (!link->server) {
		link->server = link->conf->known(link->conf->ctx, peer->cluster, peer->incarnation);
		if (!link->server)
			return -ESHUTDOWN;
	}
	store_server_saw_incarnation(link->server, peer->incarnation);
	return 0;
}

static int link_ready(struct ctl_conn *conn, void *ctx)
{
	static const uint8_t unknown[16];
	struct ctl_frame watch = {.type = WEFT_CTL_WATCH_MAP, .slot = WEFT_SLOT_NONE};
	const struct ctl_peer *peer = ctl_peer(conn);
	struct store_link *link = ctx;
	int err;

	if (peer->role != WEFT_CTL_ROLE_META || !memcmp(peer->cluster, unknown, sizeof(unknown))) {
		log_warn("%s is not a metadata server of a cluster yet", peer->address);
		return -EPROTO;
	}
	err = link_serve(link, peer);
	if (err)
		return err;
	link->ready = true;
	link->registering = 0;
	link->registered = false;
	log_info("connected to the metadata service at %s", peer->address);
	err = ctl_call(conn, &watch, map_watched, link);
	for (unsigned int i = 0; i < link->server->n_stores && !err; i++) {
		err = register_store(link, link->server->stores[i]);
		link->registering++;
	}
	return err;
}

/* --- heartbeats ------------------------------------------------------------------------------------------------------------ */

static void beaten(void *ctx, const struct ctl_frame *frame)
{
	struct store_link *link = ctx;

	/* NOT_LEADER: it leads no more. INVAL: it does not know us. */
	if (link->ready && (frame->status == WEFT_ST_NOT_LEADER || frame->status == WEFT_ST_INVAL))
		link_leave(link);
}

static void put_state(struct tlv_writer *writer, struct store *store)
{
	uint64_t answered = atomic_exchange(&store->answered, 0),
		 busy = atomic_exchange(&store->busy_usec, 0);
	uint64_t capacity = atomic_load(&store->capacity),
		 available = atomic_load(&store->available);
	uint64_t usec = answered ? busy / answered : 0;
	uint32_t status = atomic_load(&store->status);
	struct weft_c_store_state state = {
		.store = cpu_to_le32(atomic_load(&store->number)),
		.capacity = cpu_to_le64(capacity),
		.free = cpu_to_le64(available),
		.shards = cpu_to_le64((uint64_t)atomic_load(&store->shards)),
		.errors = cpu_to_le64(atomic_load(&store->errors)),
		/* Little's law: requests in flight = answered a second times the time of each; busy is of one second. */
		.load = cpu_to_le32((uint32_t)(busy / 1000000u)),
		.usec = cpu_to_le32(usec > UINT32_MAX ? UINT32_MAX : (uint32_t)usec),
	};

	if (status == WEFT_ST_OK && !store_space_get(store, 0, false))
		status = WEFT_ST_STORE_FULL;
	state.status = cpu_to_le32(status);
	tlv_put(writer, WEFT_C_STORE_STATE, &state, sizeof(state));
}

static void link_beat(uv_timer_t *timer)
{
	struct ctl_frame frame = {.type = WEFT_CTL_HEARTBEAT, .slot = WEFT_SLOT_NONE};
	struct store_link *link = timer->data;
	struct tlv_writer writer;

	if (!link->ready || !link->registered)
		return;
	tlv_writer_init(&writer, WEFT_CTL_PAYLOAD_MAX);
	tlv_put_u32(&writer, WEFT_C_HOST_NR, link->self.host);
	for (unsigned int i = 0; i < link->server->n_stores; i++)
		put_state(&writer, link->server->stores[i]);
	frame.payload = writer.data;
	frame.len = writer.len;
	/* A queue that is full, or no memory: the next one comes in a second. */
	if (!tlv_finish(&writer))
		ctl_call(link->conn, &frame, beaten, link);
	tlv_writer_free(&writer);
}

/* --- tasks ------------------------------------------------------------------------------------------------------------------- */

static void task_done(void *ctx, struct store_task *task)
{
	struct store_link *link = ctx;

	pthread_mutex_lock(&link->lock);
	task->next = link->done;
	link->done = task;
	pthread_mutex_unlock(&link->lock);
	uv_async_send(&link->async);
}

static void tasks_answer(uv_async_t *async)
{
	struct store_link *link = async->data;
	struct store_task *task;

	pthread_mutex_lock(&link->lock);
	task = link->done;
	link->done = NULL;
	pthread_mutex_unlock(&link->lock);
	while (task) {
		struct store_task *next = task->next;

		/* Asked on a connection that is gone: whoever leads now asks again. */
		if (link->ready && task->connection == link->connection &&
		    ctl_reply(link->conn, &task->request, task->status, task->payload, task->len))
			log_warn("an answer to the metadata service was dropped; it asks again");
		store_task_free(task);
		task = next;
	}
}

static int workers_begin(struct store_link *link)
{
	struct store_server *server = link->server;
	struct store_worker_conf conf = {
		.hello = {.incarnation = atomic_load(&server->incarnation),
			  .version_min = WEFT_WIRE_VERSION,
			  .version_max = WEFT_WIRE_VERSION,
			  .role = WEFT_ROLE_STORE,
			  .in_flight = 64,
			  .payload_max = WEFT_WIRE_PAYLOAD_MAX},
		.own_address = server->conf->addresses[0],
		.map = link->map,
		.done = task_done,
		.ctx = link,
	};

	memcpy(conf.hello.cluster, server->conf->cluster, sizeof(conf.hello.cluster));
	return store_workers_start(&link->workers, &conf, WORKERS);
}

static void task_take(struct store_link *link, const struct ctl_frame *frame)
{
	struct store_task *task = calloc(1, sizeof(*task));
	int err = -ENOMEM;

	if (task)
		task->payload = malloc(frame->len ? frame->len : 1);
	if (task && task->payload) {
		memcpy(task->payload, frame->payload, frame->len);
		task->len = frame->len;
		task->request = *frame;
		task->connection = link->connection;
		err = link->workers ? 0 : workers_begin(link);
		if (!err)
			err = store_workers_submit(link->workers, task);
	}
	if (!err)
		return;
	if (task)
		store_task_free(task);
	ctl_reply(link->conn, frame, err == -EAGAIN ? WEFT_ST_OVERLOADED : WEFT_ST_NOMEM, NULL, 0);
}

static void link_request(struct ctl_conn *conn, void *ctx, const struct ctl_frame *frame)
{
	struct store_link *link = ctx;

	switch (frame->type) {
	case WEFT_CTL_MAP:
		if (store_map_update(link->map, frame->payload, frame->len))
			log_warn("the metadata service sent a map that cannot be read");
		break;
	case WEFT_CTL_TASK:
		task_take(link, frame);
		break;
	default:
		if (!(frame->flags & WEFT_CTL_PUSH))
			ctl_reply(conn, frame, WEFT_ST_UNKNOWN_OP, NULL, 0);
	}
}

/* --- connection --------------------------------------------------------------------------------------------------------------- */

static void link_closed(struct ctl_conn *conn, void *ctx, int why, const char *what)
{
	static struct log_limit limit;
	struct store_link *link = ctx;

	(void)conn;
	if (why && log_limit(&limit, 5, 10))
		log_warn("no connection to the metadata service: %s", what);
	/* One that worked is tried again soon. */
	if (link->ready)
		link->wait_ms = WAIT_MIN_MS;
	link->conn = NULL;
	link->ready = false;
	link->registered = false;
	link->connection++;
	link->at = (link->at + 1) % link->conf->n_addresses;
	link_retry(link);
}

static const struct ctl_ops link_ops = {
	.ready = link_ready, .request = link_request, .closed = link_closed};

static void link_connect(uv_timer_t *timer)
{
	struct store_link *link = timer->data;

	link->conn = ctl_connect(link->loop, link->conf->addresses[link->at], &link->self,
				 &link_ops, link, CONNECT_MS);
	if (!link->conn) {
		log_warn("cannot connect to %s: %s", link->conf->addresses[link->at],
			 strerror(errno));
		link->at = (link->at + 1) % link->conf->n_addresses;
		link_retry(link);
	}
}

int store_link_start(struct store_link **out, uv_loop_t *loop, const struct store_link_conf *conf)
{
	struct store_link *link = calloc(1, sizeof(*link));
	int err;

	if (!link)
		return -ENOMEM;
	err = store_map_init(&link->map);
	if (err) {
		free(link);
		return err;
	}
	pthread_mutex_init(&link->lock, NULL);
	link->conf = conf;
	link->loop = loop;
	link->wait_ms = WAIT_MIN_MS;
	link->self.role = WEFT_CTL_ROLE_STORE;
	link->self.name = conf->name;
	link->self.incarnation = conf->incarnation;
	memcpy(link->self.cluster, conf->cluster, sizeof(link->self.cluster));
	uv_timer_init(loop, &link->retry);
	uv_timer_init(loop, &link->beat);
	uv_async_init(loop, &link->async, tasks_answer);
	link->retry.data = link->beat.data = link->async.data = link;
	uv_timer_start(&link->beat, link_beat, 0, conf->heartbeat_ms ? conf->heartbeat_ms : 1000);
	link_connect(&link->retry);
	*out = link;
	return 0;
}

void store_link_set_server(struct store_link *link, struct store_server *server)
{
	link->server = server;
}

void store_link_stop(struct store_link *link)
{
	if (link->stopping)
		return;
	link->stopping = true;
	if (link->workers)
		store_workers_stop(link->workers);
	link->workers = NULL;
	link_leave(link);
	uv_close((uv_handle_t *)&link->retry, NULL);
	uv_close((uv_handle_t *)&link->beat, NULL);
	uv_close((uv_handle_t *)&link->async, NULL);
}

void store_link_free(struct store_link *link)
{
	while (link->done) {
		struct store_task *task = link->done;

		link->done = task->next;
		store_task_free(task);
	}
	store_map_exit(link->map);
	pthread_mutex_destroy(&link->lock);
	free(link);
}
