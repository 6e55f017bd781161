// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * service.c - the metadata service's process: directories, voter, listeners, loop, orderly start
 * and end
 *
 *	PATH/CLUSTER	which cluster the directory belongs to and which voter it is; written first
 *	PATH/db/	the database
 *	PATH/log/	the voter's log, unless it has a disk of its own
 *
 * The configuration decides what a cluster is called: a directory without CLUSTER becomes the first
 * voter of a new cluster named cluster.name, with the UUID cluster.uuid or a fresh one.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "conf/conf.h"
#include "meta/service.h"
#include "weftd.h"

#define TICK_MAX_MS 250u

/* ---- The directory ---- */

static int make_dir(const char *path)
{
	if (!mkdir(path, 0700) || errno == EEXIST)
		return 0;
	log_error("cannot make the directory %s: %s", path, strerror(errno));
	return -errno;
}

/* A name without a place for it would be lost with the power. */
static int sync_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd))
		err = -errno;
	close(fd);
	return err;
}

static void uuid_format(const u8 uuid[16], char text[37])
{
	char *at = text;

	for (unsigned int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*at++ = '-';
		at += sprintf(at, "%02x", uuid[i]);
	}
}

static int uuid_parse(const char *text, u8 uuid[16])
{
	unsigned int byte;

	for (unsigned int i = 0; i < 16; i++) {
		if (*text == '-')
			text++;
		if (sscanf(text, "%2x", &byte) != 1)
			return -EINVAL;
		uuid[i] = (u8)byte;
		text += 2;
	}
	return 0;
}

/* RFC 9562, version 4. */
static int uuid_make(u8 uuid[16])
{
	if (getrandom(uuid, 16, 0) != 16)
		return -EIO;
	uuid[6] = (uuid[6] & 0x0f) | 0x40;
	uuid[8] = (uuid[8] & 0x3f) | 0x80;
	return 0;
}

static int read_identity(const char *path, u8 uuid[16], u64 *server)
{
	char file[PATH_MAX], text[64];
	unsigned long long id;
	FILE *in;
	int err = -EUCLEAN;

	snprintf(file, sizeof(file), "%s/CLUSTER", path);
	in = fopen(file, "re");
	if (!in)
		return -errno;
	if (fscanf(in, "weft-meta 1\nuuid %63s\nserver %llu\n", text, &id) == 2 &&
	    !uuid_parse(text, uuid) && id) {
		*server = id;
		err = 0;
	}
	fclose(in);
	if (err)
		log_error("%s is damaged; restore it from a copy, or give the service an empty "
			  "directory",
			  file);
	return err;
}

static int write_identity(const char *path, const u8 uuid[16], u64 server)
{
	char file[PATH_MAX], temporary[PATH_MAX + 8], text[37];
	int err = 0;
	FILE *out;

	uuid_format(uuid, text);
	snprintf(file, sizeof(file), "%s/CLUSTER", path);
	snprintf(temporary, sizeof(temporary), "%s.new", file);
	out = fopen(temporary, "we");
	if (!out)
		return -errno;
	if (fprintf(out, "weft-meta 1\nuuid %s\nserver %llu\n", text, (unsigned long long)server) <
		    0 ||
	    fflush(out) || fsync(fileno(out)))
		err = -errno;
	fclose(out);
	if (!err && rename(temporary, file))
		err = -errno;
	return err ? err : sync_dir(path);
}

/* Who this voter is: read, or decided now. */
static int find_identity(const struct conf *conf, const char *path, u8 uuid[16], u64 *server)
{
	u8 wanted[16];
	bool given = conf_uuid(conf, "cluster", "uuid", wanted);
	int err;

	err = read_identity(path, uuid, server);
	if (!err && given && memcmp(uuid, wanted, sizeof(wanted))) {
		log_error("%s belongs to another cluster than 'uuid' in [cluster] names; correct "
			  "one of them",
			  path);
		return -EUCLEAN;
	}
	if (err != -ENOENT)
		return err;
	if (given)
		memcpy(uuid, wanted, sizeof(wanted));
	else if (uuid_make(uuid))
		return -EIO;
	*server = 1;
	err = write_identity(path, uuid, *server);
	if (err)
		log_error("cannot write %s/CLUSTER: %s", path, strerror(-err));
	return err;
}

/* ---- The voter on the loop ---- */

static void raft_role(void *owner, enum rnode_role role, u64 term, u64 leader, const char *address)
{
	struct meta_service *service = owner;
	struct meta_op *op;

	log_info("term %llu, this voter is %s", (unsigned long long)term,
		 role == RNODE_LEADER	  ? "the leader"
		 : role == RNODE_FOLLOWER ? "a follower"
					  : "a candidate");
	/* That it leads it learns from its own first entry, behind everything of earlier terms. */
	if (role == RNODE_LEADER)
		return;
	op = meta_op_alloc(meta_run_follow);
	if (op)
		meta_queue_put(&service->brain->queue, op);
}

/* The entry may still be applied; who asked asks the next leader, which recognizes the repeat. */
static void raft_lost(void *owner, void *ctx)
{
	struct meta_service *service = owner;
	struct meta_op *op = ctx;

	if (!op)
		return;
	op->failed = true;
	op->outcome.status = WEFT_ST_NOT_LEADER;
	if (op->client)
		meta_service_finish(service, op);
	else
		meta_queue_put(&service->brain->queue, op);
}

static void raft_fatal(void *owner, const char *why)
{
	log_error("%s", why);
	_exit(1);
}

static const struct rnode_ops raft_ops = {
	.role = raft_role, .lost = raft_lost, .fatal = raft_fatal};

static void raft_ready(uv_poll_t *poll, int status, int events)
{
	struct meta_service *service = poll->data;

	rnode_dispatch(service->node);
}

static void raft_due(uv_timer_t *timer)
{
	struct meta_service *service = timer->data;

	rnode_dispatch(service->node);
}

/* Before the loop waits: what this turn submitted leaves as one batch. */
static void before_wait(uv_prepare_t *prepare)
{
	struct meta_service *service = prepare->data;
	int ms;

	if (service->stopping)
		return;
	ms = rnode_timeout(service->node);
	if (!ms) {
		rnode_dispatch(service->node);
		ms = rnode_timeout(service->node);
	}
	uv_timer_start(&service->raft_timer, raft_due, (u64)ms, 0);
}

static int start_voter(struct meta_service *service, const char *path, const u8 uuid[16],
		       u64 server)
{
	const struct conf *conf = service->conf;
	const char *log_path = conf_text(conf, "meta", NULL, "log-path", 0);
	char own[PATH_MAX], why[RNODE_WHY_MAX] = "";
	struct rnode_config config = {
		.directory = log_path,
		.server = server,
		.address = conf_text(conf, "meta", NULL, "listen", 0),
		.election_ms = (unsigned int)conf_number(conf, "meta", NULL, "election-timeout"),
		.keep_bytes = conf_number(conf, "meta", NULL, "log-keep"),
		.keep_percent = (unsigned int)conf_number(conf, "meta", NULL, "log-keep-percent"),
		.segment_bytes = conf_number(conf, "meta", NULL, "log-segment"),
		.applied = service->brain->state.index,
		.applied_term = service->brain->state.term,
		.ops = &raft_ops,
		.owner = service,
	};
	int err;

	if (!log_path) {
		snprintf(own, sizeof(own), "%s/log", path);
		config.directory = own;
	}
	memcpy(config.cluster, uuid, sizeof(config.cluster));
	if (getrandom(&config.seed, sizeof(config.seed), 0) != sizeof(config.seed))
		return -EIO;
	err = make_dir(config.directory);
	if (err)
		return err;
	err = rnode_start(&config, &service->node, why);
	if (err == -ENOENT && !config.applied) {
		err = rnode_format(&config, why);
		if (!err)
			err = rnode_start(&config, &service->node, why);
	}
	if (err)
		log_error("the log in %s cannot be used: %s", config.directory,
			  *why ? why : strerror(-err));
	return err;
}

/* ---- The loop ---- */

static void take_inbox(uv_async_t *async)
{
	struct meta_service *service = async->data;
	struct meta_op *op = meta_queue_take(&service->inbox, 0), *next;

	for (; op; op = next) {
		next = op->next;
		if (op->step == META_SUBMIT && !service->stopping)
			meta_service_submit(service, op);
		else
			meta_service_finish(service, op);
	}
}

static void tick(uv_timer_t *timer)
{
	struct meta_service *service = timer->data;
	struct meta_op *op = meta_op_alloc(meta_run_tick);
	struct rnode_status status;

	rnode_status(service->node, &status);
	__atomic_store_n(&service->voters, status.voters, __ATOMIC_RELAXED);
	__atomic_store_n(&service->log_bytes, status.log_bytes, __ATOMIC_RELAXED);
	__atomic_store_n(&service->sync_ns, status.sync_ns, __ATOMIC_RELAXED);
	if (op)
		meta_queue_put(&service->brain->queue, op);
}

static void stop(uv_signal_t *signal, int number)
{
	struct meta_service *service = signal->data;

	if (service->stopping)
		return;
	log_info("told to stop");
	service->stopping = true;
	uv_stop(&service->loop);
}

static int listen_on(struct meta_service *service, const char *address, bool admin)
{
	int err;

	if (service->n_listeners == ARRAY_SIZE(service->listeners)) {
		log_error("more than %zu addresses to listen on", ARRAY_SIZE(service->listeners));
		return -E2BIG;
	}
	err = ctl_listen(&service->loop, address, &service->self, &meta_server_ops,
			 admin ? meta_server_accept_admin : meta_server_accept, service,
			 &service->listeners[service->n_listeners]);
	if (err)
		log_error("cannot listen on %s: %s", address, strerror(-err));
	else
		service->n_listeners++;
	return err;
}

static int start_listening(struct meta_service *service)
{
	const struct conf *conf = service->conf;
	const char *run = conf_text(conf, "cluster", NULL, "run", 0),
		   *name = conf_text(conf, "cluster", NULL, "name", 0);
	char path[PATH_MAX];
	int err;

	for (size_t i = 0; i < conf_count(conf, "meta", NULL, "listen"); i++) {
		err = listen_on(service, conf_text(conf, "meta", NULL, "listen", i), false);
		if (err)
			return err;
	}
	err = make_dir(run);
	snprintf(path, sizeof(path), "%s/%s", run, name);
	if (!err)
		err = make_dir(path);
	if (err)
		return err;
	snprintf(path, sizeof(path), "unix:%s/%s/admin.sock", run, name);
	return listen_on(service, path, true);
}

/* Several times between two heartbeats, or the detector takes the pause for its own. */
static u64 tick_ms(const struct meta_service *service)
{
	u64 ms = conf_number(service->conf, "meta", NULL, "heartbeat") / 4;

	return ms > TICK_MAX_MS ? TICK_MAX_MS : ms;
}

static void start_handles(struct meta_service *service)
{
	static const int numbers[] = { SIGTERM, SIGINT };

	uv_async_init(&service->loop, &service->inbox_async, take_inbox);
	uv_poll_init(&service->loop, &service->raft_poll, rnode_fd(service->node));
	uv_timer_init(&service->loop, &service->raft_timer);
	uv_timer_init(&service->loop, &service->tick);
	uv_prepare_init(&service->loop, &service->prepare);
	service->inbox_async.data = service->raft_poll.data = service->raft_timer.data =
		service->tick.data = service->prepare.data = service;
	uv_poll_start(&service->raft_poll, UV_READABLE, raft_ready);
	uv_timer_start(&service->tick, tick, tick_ms(service), tick_ms(service));
	uv_prepare_start(&service->prepare, before_wait);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		uv_signal_init(&service->loop, &service->signals[i]);
		service->signals[i].data = service;
		uv_signal_start(&service->signals[i], stop, numbers[i]);
	}
}

static void run_stop(struct meta_brain *brain, struct meta_op *op)
{
	brain->stop = true;
}

/* Applied is what was committed; the rest is in the log. */
static void stop_threads(struct meta_service *service)
{
	struct meta_op *op = meta_op_alloc(run_stop);

	rnode_wake(service->node);
	pthread_join(service->fetch_thread, NULL);
	if (!op)
		_exit(1);
	meta_queue_put(&service->brain->queue, op);
	pthread_join(service->brain_thread, NULL);
}

static int run(struct meta_service *service)
{
	int err;

	start_handles(service);
	err = -pthread_create(&service->brain_thread, NULL, meta_brain_main, service->brain);
	if (!err)
		err = -pthread_create(&service->fetch_thread, NULL, meta_fetch_main,
				      service->brain);
	if (err) {
		log_error("cannot start a thread: %s", strerror(-err));
		return err;
	}
	err = start_listening(service);
	if (err)
		service->stopping = true;
	else
		uv_run(&service->loop, UV_RUN_DEFAULT);
	stop_threads(service);
	log_info("stopped at entry %llu", (unsigned long long)service->brain->state.index);
	return err;
}

static int start(struct meta_service *service, struct meta_brain *brain)
{
	const char *path = conf_text(service->conf, "meta", NULL, "path", 0);
	char db[PATH_MAX];
	u8 uuid[16];
	u64 server = 0;
	int err;

	if (!path || !conf_count(service->conf, "meta", NULL, "listen")) {
		log_error("the configuration lacks 'path' or 'listen' in [meta]");
		return -EINVAL;
	}
	snprintf(db, sizeof(db), "%s/db", path);
	err = make_dir(path);
	if (!err)
		err = find_identity(service->conf, path, uuid, &server);
	if (!err)
		err = make_dir(db);
	if (err)
		return err;
	memcpy(service->self.cluster, uuid, sizeof(uuid));
	service->self.role = WEFT_CTL_ROLE_META;
	service->self.incarnation = 1;
	service->self.name = conf_text(service->conf, "cluster", NULL, "name", 0);
	err = meta_brain_init(brain, service, db);
	if (err)
		return err;
	if (brain->state.formed)
		service->self.incarnation = le32_to_cpu(brain->state.cluster.incarnation);
	return start_voter(service, path, uuid, server);
}

int meta_main(const struct conf *conf)
{
	struct meta_service *service = calloc(1, sizeof(*service));
	struct meta_brain *brain = calloc(1, sizeof(*brain));
	int err = -ENOMEM;

	if (!service || !brain)
		goto free_all;
	service->conf = conf;
	service->brain = brain;
	meta_queue_init(&service->inbox);
	err = uv_loop_init(&service->loop);
	if (err)
		goto free_all;
	err = start(service, brain);
	if (!err)
		err = run(service);
	/* The process ends here: sockets and handles go with it, the state is on its disk. */
	if (service->node && !err)
		rnode_stop(service->node);
	meta_brain_free(brain);
free_all:
	free(brain);
	free(service);
	if (err == -EUCLEAN || err == -EINVAL || err == -EPROTO)
		return WEFTD_EXIT_FATAL;
	return err ? 1 : 0;
}
