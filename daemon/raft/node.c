// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * node.c - a voter: the driver on the loop thread, the log on a thread of its own, entries for the
 * apply thread
 *
 * Threading:
 *	loop thread	struct rdrv and everything not named below; never blocks, never touches the disk
 *	log thread	struct rlog; takes all waiting requests at once, so that they share a sync
 *	apply thread	rnode_fetch(), rnode_release()
 *
 * Locks: log.lock protects the requests under way between loop and log thread, apply.lock what
 * passes between loop and apply thread. Both are held for list operations only, never together.
 *
 * Everything that another thread has for the loop is announced by the eventfd and picked up in
 * rnode_dispatch().
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include "raft/driver.h"

#define ELECTION_MS   400
#define QUEUE_BYTES   (64u << 20)
#define QUEUE_ENTRIES 65536
#define CACHE_BYTES   (32u << 20)
#define KEEP_BYTES    (8ull << 30)
#define KEEP_MS	      (3600ull * 1000)
#define KEEP_PERCENT  10
#define SCAN_BYTES    (1ull << 30)
#define SEGMENT_BYTES (16u << 20)
#define SEGMENT_MIN   (4u * RNODE_ENTRY_MAX)

/* A list of log requests with its end. */
struct request_list {
	struct rlog_request *first;
	struct rlog_request **last;
};

struct rnode {
	struct rnode_config config;
	char *address;
	struct rdrv *driver;
	int event_fd;
	bool starting; /* no callbacks yet */
	bool role_pending;
	bool dead;
	struct rlog_entry **pending; /* submitted in this turn of the loop */
	size_t n_pending;
	size_t cap_pending;
	size_t pending_bytes;

	struct rlog_io *io;
	struct rlog *disk; /* log thread, once it runs */
	pthread_t log_thread;
	struct {
		pthread_mutex_t lock;
		pthread_cond_t wake;
		struct request_list waiting;
		struct request_list done;
		bool stop;
		bool failed;
		char why[RNODE_WHY_MAX];
		uint64_t bytes;
		uint64_t sync_ns;
	} log;

	struct {
		pthread_mutex_t lock;
		pthread_cond_t wake;
		struct rdrv_window queue; /* handed over, not released */
		uint64_t fetched; /* index up to which they were fetched */
		uint64_t released;
		uint64_t checkpoint;
		uint64_t checkpoint_term;
		bool stop;
	} apply;
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static uint64_t wall_ms(void *arg)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static uint64_t random_u64(void *arg)
{
	uint64_t v = 0;

	/* Fails only before the system's pool is ready, and then waits. */
	if (getrandom(&v, sizeof(v), 0) != sizeof(v))
		v = now_ns();
	return v;
}

static void wake_loop(struct rnode *node)
{
	uint64_t one = 1;
	/* The counter cannot overflow: the loop reads it to zero. */
	ssize_t n = write(node->event_fd, &one, sizeof(one));

	(void)n;
}

static void list_init(struct request_list *list)
{
	list->first = NULL;
	list->last = &list->first;
}

static void list_add(struct request_list *list, struct rlog_request *request)
{
	request->next = NULL;
	*list->last = request;
	list->last = &request->next;
}

static struct rlog_request *list_take(struct request_list *list)
{
	struct rlog_request *first = list->first;

	list_init(list);
	return first;
}

/* --- log thread --- */

/*
 * Called with the lock; waits until there is something to do, preparing the next segment in the
 * meantime.
 */
static struct rlog_request *next_requests(struct rnode *node)
{
	bool prepared = false;

	while (!node->log.waiting.first && !node->log.stop && !node->log.failed) {
		if (prepared) {
			pthread_cond_wait(&node->log.wake, &node->log.lock);
			continue;
		}
		char why[RNODE_WHY_MAX];
		int ret;

		pthread_mutex_unlock(&node->log.lock);
		ret = rlog_prepare(node->disk, why);
		pthread_mutex_lock(&node->log.lock);
		prepared = true;
		/* Nothing is lost yet when there is no room: a write that needs it will say so. */
		if (ret && ret != -ENOSPC) {
			node->log.failed = true;
			memcpy(node->log.why, why, sizeof(why));
			wake_loop(node);
		}
	}
	return node->log.stop || node->log.failed ? NULL : list_take(&node->log.waiting);
}

static void *log_main(void *arg)
{
	struct rnode *node = arg;
	struct rlog_request *requests;
	char why[RNODE_WHY_MAX];

	pthread_mutex_lock(&node->log.lock);
	while ((requests = next_requests(node))) {
		uint64_t begin = now_ns();
		uint64_t took;
		int ret;

		pthread_mutex_unlock(&node->log.lock);
		ret = rlog_execute(node->disk, requests, why);
		took = now_ns() - begin;
		pthread_mutex_lock(&node->log.lock);
		node->log.sync_ns = node->log.sync_ns ? (7 * node->log.sync_ns + took) / 8 : took;
		node->log.bytes = rlog_bytes(node->disk);
		if (ret) {
			/* Back to where stopping looks for what was never executed. */
			node->log.failed = true;
			memcpy(node->log.why, why, sizeof(why));
			while (requests) {
				struct rlog_request *next = requests->next;

				list_add(&node->log.waiting, requests);
				requests = next;
			}
		}
		while (requests) {
			struct rlog_request *next = requests->next;

			list_add(&node->log.done, requests);
			requests = next;
		}
		wake_loop(node);
	}
	pthread_mutex_unlock(&node->log.lock);
	return NULL;
}

/* --- what the driver asks for --- */

static void node_log(void *owner, struct rlog_request *request)
{
	struct rnode *node = owner;

	pthread_mutex_lock(&node->log.lock);
	list_add(&node->log.waiting, request);
	pthread_cond_signal(&node->log.wake);
	pthread_mutex_unlock(&node->log.lock);
}

/* Connections between voters belong to whoever makes them; a voter alone has nobody to send to. */
static void node_send(void *owner, const struct raft_message *message)
{
}

static void node_fatal(void *owner, const char *why)
{
	struct rnode *node = owner;

	if (node->dead)
		return;
	node->dead = true;
	node->config.ops->fatal(node->config.owner, why);
}

static void node_apply(void *owner, struct rlog_entry *entry)
{
	struct rnode *node = owner;
	int ret;

	pthread_mutex_lock(&node->apply.lock);
	ret = rdrv_window_push(&node->apply.queue, entry);
	pthread_cond_signal(&node->apply.wake);
	pthread_mutex_unlock(&node->apply.lock);
	rlog_entry_put(entry);
	if (ret)
		node_fatal(node, "out of memory: the voter ends and starts again from its log");
}

static void node_lost(void *owner, void *ctx)
{
	struct rnode *node = owner;

	if (ctx && node->config.ops->lost)
		node->config.ops->lost(node->config.owner, ctx);
}

static void tell_role(struct rnode *node)
{
	struct rnode_status status;
	const char *address = NULL;
	uint64_t leader = rdrv_leader(node->driver, &address);

	node->role_pending = false;
	rdrv_status(node->driver, &status);
	if (node->config.ops->role)
		node->config.ops->role(node->config.owner, status.role, status.term, leader,
				       address);
}

static void node_role(void *owner)
{
	struct rnode *node = owner;

	node->role_pending = true;
	if (!node->starting)
		tell_role(node);
}

static const struct rdrv_ops node_driver_ops = {
	.log = node_log,
	.send = node_send,
	.apply = node_apply,
	.lost = node_lost,
	.role = node_role,
	.fatal = node_fatal,
};

/* --- the loop --- */

int rnode_fd(const struct rnode *node)
{
	return node->event_fd;
}

int rnode_timeout(const struct rnode *node)
{
	uint64_t due = rdrv_deadline(node->driver);
	uint64_t now = now_ms();

	if (node->dead)
		return 1000;
	if (node->role_pending || node->n_pending || due <= now)
		return 0;
	return due - now > 60000 ? 60000 : (int)(due - now);
}

static void flush_pending(struct rnode *node)
{
	size_t n = node->n_pending;
	int ret;

	if (!n)
		return;
	node->n_pending = 0;
	node->pending_bytes = 0;
	ret = rdrv_submit(node->driver, now_ms(), node->pending, n);
	for (size_t i = 0; ret && i < n; i++) {
		void *ctx = node->pending[i]->ctx;

		rlog_entry_put(node->pending[i]);
		node_lost(node, ctx);
	}
}

static void take_completions(struct rnode *node)
{
	struct rlog_request *done;
	bool failed;

	pthread_mutex_lock(&node->log.lock);
	done = list_take(&node->log.done);
	failed = node->log.failed;
	pthread_mutex_unlock(&node->log.lock);
	while (done) {
		struct rlog_request *next = done->next;

		rdrv_logged(node->driver, now_ms(), done);
		done = next;
	}
	/* why is written once, before failed. */
	if (failed)
		node_fatal(node, node->log.why);
}

static void take_progress(struct rnode *node)
{
	uint64_t released, checkpoint, term;

	pthread_mutex_lock(&node->apply.lock);
	released = node->apply.released;
	checkpoint = node->apply.checkpoint;
	term = node->apply.checkpoint_term;
	node->apply.checkpoint = 0;
	pthread_mutex_unlock(&node->apply.lock);
	rdrv_released(node->driver, now_ms(), released);
	if (checkpoint)
		rdrv_checkpoint(node->driver, now_ms(), checkpoint, term);
}

void rnode_dispatch(struct rnode *node)
{
	uint64_t count;
	ssize_t n = read(node->event_fd, &count, sizeof(count));

	(void)n;
	if (node->dead)
		return;
	if (node->role_pending)
		tell_role(node);
	take_completions(node);
	if (!node->dead)
		take_progress(node);
	if (!node->dead)
		rdrv_tick(node->driver, now_ms());
	if (!node->dead)
		flush_pending(node);
}

/* --- submitting --- */

static int submit(struct rnode *node, uint8_t type, const void *bytes, size_t len, void *ctx)
{
	struct rlog_entry *entry;
	int ret;

	if (node->dead)
		return -EREMOTE;
	ret = rdrv_may_submit(node->driver, node->n_pending + 1,
			      node->pending_bytes + sizeof(*entry) + len);
	if (ret)
		return ret;
	if (node->n_pending == node->cap_pending) {
		size_t cap = node->cap_pending ? 2 * node->cap_pending : 64;
		struct rlog_entry **grown = realloc(node->pending, cap * sizeof(*grown));

		if (!grown)
			return -EAGAIN;
		node->pending = grown;
		node->cap_pending = cap;
	}
	entry = rlog_entry_alloc(bytes, len);
	if (!entry)
		return -EAGAIN;
	entry->type = type;
	entry->ctx = ctx;
	if (!node->n_pending)
		wake_loop(node);
	node->pending[node->n_pending++] = entry;
	node->pending_bytes += rlog_entry_size(entry);
	return 0;
}

int rnode_submit(struct rnode *node, const void *bytes, size_t len, void *ctx)
{
	if (!len || len > RNODE_ENTRY_MAX)
		return -EMSGSIZE;
	return submit(node, WEFT_LOG_COMMAND, bytes, len, ctx);
}

int rnode_barrier(struct rnode *node, void *ctx)
{
	return submit(node, WEFT_LOG_BARRIER, NULL, 0, ctx);
}

int rnode_may_read(const struct rnode *node)
{
	return node->dead ? -EREMOTE : rdrv_may_read(node->driver);
}

uint64_t rnode_leader(const struct rnode *node, const char **address)
{
	return rdrv_leader(node->driver, address);
}

void rnode_status(const struct rnode *node, struct rnode_status *status)
{
	struct rnode *n = (struct rnode *)node;

	rdrv_status(node->driver, status);
	status->queued_bytes += node->pending_bytes;
	status->queued_entries += (unsigned int)node->n_pending;
	pthread_mutex_lock(&n->log.lock);
	status->log_bytes = node->log.bytes;
	status->sync_ns = node->log.sync_ns;
	pthread_mutex_unlock(&n->log.lock);
}

/* --- applying --- */

unsigned int rnode_fetch(struct rnode *node, struct rnode_entry *entries, unsigned int max)
{
	unsigned int n = 0;

	pthread_mutex_lock(&node->apply.lock);
	while (!rdrv_window_at(&node->apply.queue, node->apply.fetched + 1) && !node->apply.stop)
		pthread_cond_wait(&node->apply.wake, &node->apply.lock);
	while (n < max) {
		const struct rlog_entry *entry =
			rdrv_window_at(&node->apply.queue, node->apply.fetched + 1);

		if (!entry)
			break;
		rlog_entry_show(entry, &entries[n++]);
		node->apply.fetched++;
	}
	pthread_mutex_unlock(&node->apply.lock);
	return n;
}

void rnode_wake(struct rnode *node)
{
	pthread_mutex_lock(&node->apply.lock);
	node->apply.stop = true;
	pthread_cond_broadcast(&node->apply.wake);
	pthread_mutex_unlock(&node->apply.lock);
}

void rnode_release(struct rnode *node, uint64_t index)
{
	pthread_mutex_lock(&node->apply.lock);
	if (index > node->apply.fetched)
		index = node->apply.fetched;
	while (node->apply.queue.n && node->apply.queue.first <= index)
		rdrv_window_pop(&node->apply.queue);
	if (index > node->apply.released)
		node->apply.released = index;
	pthread_mutex_unlock(&node->apply.lock);
	wake_loop(node);
}

void rnode_checkpoint(struct rnode *node, uint64_t index, uint64_t term)
{
	pthread_mutex_lock(&node->apply.lock);
	if (index > node->apply.checkpoint) {
		node->apply.checkpoint = index;
		node->apply.checkpoint_term = term;
	}
	pthread_mutex_unlock(&node->apply.lock);
	wake_loop(node);
}

/* --- making, starting, stopping --- */

static int check_config(const struct rnode_config *config, char *why)
{
	if (config->server && config->address && *config->address && config->directory &&
	    (!config->segment_bytes ||
	     (config->segment_bytes >= SEGMENT_MIN && config->segment_bytes % WEFT_LOG_BLOCK == 0 &&
	      config->segment_bytes <= WEFT_LOG_SEGMENT_MAX)))
		return 0;
	snprintf(
		why, RNODE_WHY_MAX,
		"a voter needs an id, an address, a directory, and a segment size between %u MiB and "
		"1 GiB",
		SEGMENT_MIN >> 20);
	return -EINVAL;
}

static void log_options(const struct rnode_config *config, struct rlog_options *options)
{
	*options = (struct rlog_options){
		.owner.server = config->server,
		.segment_bytes = config->segment_bytes ? config->segment_bytes : SEGMENT_BYTES,
		.keep_bytes = config->keep_bytes ? config->keep_bytes : KEEP_BYTES,
		.keep_ms = config->keep_ms ? config->keep_ms : KEEP_MS,
		.keep_percent = config->keep_percent ? config->keep_percent : KEEP_PERCENT,
		.scan_bytes = SCAN_BYTES,
		.random = random_u64,
		.wall_ms = wall_ms,
	};
	memcpy(options->owner.cluster, config->cluster, sizeof(options->owner.cluster));
}

int rnode_format(const struct rnode_config *config, char *why)
{
	struct raft_configuration conf;
	struct rlog_options options;
	struct rlog_io *io;
	void *bytes = NULL;
	size_t len;
	int ret = check_config(config, why);

	if (ret)
		return ret;
	raft_configuration_init(&conf);
	ret = raft_configuration_add(&conf, config->server, config->address, RAFT_VOTER)
		      ? -ENOMEM
		      : rdrv_conf_encode(&conf, &bytes, &len);
	raft_configuration_close(&conf);
	if (!ret && rdrv_conf_check(bytes, len))
		ret = -EINVAL;
	if (ret) {
		snprintf(why, RNODE_WHY_MAX, "cannot make a log: %s", strerror(-ret));
		goto out_free;
	}
	log_options(config, &options);
	ret = rlog_io_open_dir(config->directory, &io, why);
	if (ret)
		goto out_free;
	ret = rlog_format(io, &options, bytes, len, why);
	rlog_io_close_dir(io);
out_free:
	free(bytes);
	return ret;
}

static int start_driver(struct rnode *node, const struct rlog_recovered *recovered, char *why)
{
	const struct rnode_config *config = &node->config;
	struct rdrv_config driver = {
		.server = config->server,
		.address = node->address,
		.seed = config->seed,
		.election_ms = config->election_ms ? config->election_ms : ELECTION_MS,
		.queue_bytes = config->queue_bytes ? config->queue_bytes : QUEUE_BYTES,
		.queue_entries = config->queue_entries ? config->queue_entries : QUEUE_ENTRIES,
		.cache_bytes = CACHE_BYTES,
		.ops = &node_driver_ops,
		.owner = node,
	};
	int ret;

	driver.heartbeat_ms = config->heartbeat_ms ? config->heartbeat_ms : driver.election_ms / 5;
	ret = rdrv_alloc(&driver, &node->driver);
	if (ret) {
		snprintf(why, RNODE_WHY_MAX, "cannot start the voter: out of memory");
		return ret;
	}
	node->apply.fetched = node->apply.released = config->applied;
	return rdrv_start(node->driver, now_ms(), recovered, config->applied, config->applied_term,
			  why);
}

static void free_requests(struct rnode *node, struct request_list *list)
{
	struct rlog_request *request = list_take(list);

	while (request) {
		struct rlog_request *next = request->next;

		rdrv_unlogged(node->driver, request);
		request = next;
	}
}

/* Everything but the log thread, which must have ended. */
static void node_free(struct rnode *node)
{
	free_requests(node, &node->log.waiting);
	free_requests(node, &node->log.done);
	for (size_t i = 0; i < node->n_pending; i++)
		rlog_entry_put(node->pending[i]);
	free(node->pending);
	rdrv_window_clear(&node->apply.queue);
	rdrv_free(node->driver);
	rlog_close(node->disk);
	rlog_io_close_dir(node->io);
	if (node->event_fd >= 0)
		close(node->event_fd);
	pthread_mutex_destroy(&node->log.lock);
	pthread_cond_destroy(&node->log.wake);
	pthread_mutex_destroy(&node->apply.lock);
	pthread_cond_destroy(&node->apply.wake);
	free(node->address);
	free(node);
}

static struct rnode *node_alloc(const struct rnode_config *config)
{
	struct rnode *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	node->config = *config;
	node->config.directory = NULL;
	node->starting = true;
	list_init(&node->log.waiting);
	list_init(&node->log.done);
	pthread_mutex_init(&node->log.lock, NULL);
	pthread_cond_init(&node->log.wake, NULL);
	pthread_mutex_init(&node->apply.lock, NULL);
	pthread_cond_init(&node->apply.wake, NULL);
	node->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	node->address = strdup(config->address);
	node->config.address = node->address;
	if (node->event_fd < 0 || !node->address) {
		node_free(node);
		return NULL;
	}
	return node;
}

int rnode_start(const struct rnode_config *config, struct rnode **result, char *why)
{
	struct rlog_recovered recovered = { 0 };
	struct rlog_options options;
	struct rnode *node;
	int ret = check_config(config, why);

	if (ret)
		return ret;
	node = node_alloc(config);
	if (!node) {
		snprintf(why, RNODE_WHY_MAX, "cannot start the voter: %s", strerror(errno));
		return -ENOMEM;
	}
	log_options(config, &options);
	ret = rlog_io_open_dir(config->directory, &node->io, why);
	if (!ret)
		ret = rlog_open(node->io, &options, &node->disk, &recovered, why);
	if (ret)
		goto err_free_node;
	node->log.bytes = rlog_bytes(node->disk);
	ret = start_driver(node, &recovered, why);
	rlog_recovered_clear(&recovered);
	if (ret)
		goto err_free_node;
	ret = -pthread_create(&node->log_thread, NULL, log_main, node);
	if (ret) {
		snprintf(why, RNODE_WHY_MAX, "cannot start the log thread: %s", strerror(-ret));
		goto err_free_node;
	}
	node->starting = false;
	wake_loop(node);
	*result = node;
	return 0;

err_free_node:
	node_free(node);
	return ret;
}

void rnode_stop(struct rnode *node)
{
	if (!node)
		return;
	pthread_mutex_lock(&node->log.lock);
	node->log.stop = true;
	pthread_cond_signal(&node->log.wake);
	pthread_mutex_unlock(&node->log.lock);
	pthread_join(node->log_thread, NULL);
	node_free(node);
}
