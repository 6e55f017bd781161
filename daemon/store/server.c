// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * server.c - stores, listeners and loops of one process
 *
 * Order of start: stores, pool, loops, listeners; stop is the mirror. Listeners live on the first loop and give their
 * connections to all loops in turn.
 */
#include "store/store.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "net/address.h"

#define BACKLOG	       512
#define MEMORY_DEFAULT ((size_t)256 << 20)
#define MEMORY_MIN     ((size_t)64 << 20)

struct store_listener {
	struct store_op op;
	struct store_server *server;
	int fd;
	bool tcp;
	char unix_path[sizeof(struct sockaddr_storage)];
	_Atomic bool stopping, stopped;
};

struct store *store_server_find(struct store_server *server, uint32_t number)
{
	for (unsigned int i = 0; i < server->n_stores; i++)
		if (number && atomic_load(&server->stores[i]->number) == number)
			return server->stores[i];
	return NULL;
}

void store_server_saw_incarnation(struct store_server *server, uint32_t incarnation)
{
	uint32_t seen = atomic_load(&server->incarnation);

	while (incarnation > seen) {
		if (!atomic_compare_exchange_weak(&server->incarnation, &seen, incarnation))
			continue;
		log_info("the cluster is at incarnation %u", incarnation);
		for (unsigned int i = 0; i < server->n_stores; i++)
			store_set_number(server->stores[i], atomic_load(&server->stores[i]->number),
					 atomic_load(&server->host), incarnation);
		return;
	}
}

/* --- listeners ------------------------------------------------------------------------------------------------------ */

static void listener_accept(struct store_listener *listener)
{
	listener->op.kind = STORE_OP_ACCEPT;
	listener->op.fd = listener->fd;
	store_op_submit(&listener->server->loops[0].loop, &listener->op);
}

static void accept_done(struct store_op *op)
{
	struct store_listener *listener =
		(struct store_listener *)((char *)op - offsetof(struct store_listener, op));
	struct store_server *server = listener->server;
	static _Thread_local struct log_limit limit;

	if (atomic_load(&listener->stopping)) {
		if (op->result >= 0)
			close(op->result);
		pthread_mutex_lock(&server->idle_lock);
		atomic_store(&listener->stopped, true);
		pthread_cond_signal(&server->idle);
		pthread_mutex_unlock(&server->idle_lock);
		return;
	}
	if (op->result >= 0) {
		uint64_t n = atomic_fetch_add(&server->next_loop, 1);
		int one = 1;

		if (listener->tcp) {
			setsockopt(op->result, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
			setsockopt(op->result, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
		}
		store_session_open(server, &server->loops[n % server->n_loops].loop, op->result);
	} else if (op->result != -ECONNABORTED && op->result != -EAGAIN &&
		   log_limit(&limit, 2, 10)) {
		log_warn("cannot accept a connection: %s", strerror(-op->result));
	}
	listener_accept(listener);
}

static int listener_open(struct store_listener *listener, const char *text)
{
	struct sockaddr_storage sockaddr;
	struct address address;
	socklen_t len;
	int one = 1, err;

	err = address_parse(text, &address);
	if (!err)
		err = address_sockaddr(&address, &sockaddr, &len);
	if (err)
		return err;
	listener->tcp = !address.unix_path;
	listener->fd = socket(sockaddr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener->fd < 0)
		return -errno;
	if (address.unix_path) {
		/* The store's lock says that no other server is here, so a socket file that is left is an old one. */
		unlink(((struct sockaddr_un *)&sockaddr)->sun_path);
		snprintf(listener->unix_path, sizeof(listener->unix_path), "%s",
			 ((struct sockaddr_un *)&sockaddr)->sun_path);
	} else {
		setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	}
	if (bind(listener->fd, (struct sockaddr *)&sockaddr, len) ||
	    listen(listener->fd, BACKLOG)) {
		err = -errno;
		close(listener->fd);
		listener->fd = -1;
		return err;
	}
	if (address.unix_path)
		chmod(listener->unix_path, 0600);
	return 0;
}

/* On the loop's thread. */
static void listeners_cancel(struct store_op *op)
{
	struct store_server *server =
		(struct store_server *)((char *)op - offsetof(struct store_server, cancel_op));
	struct store_loop *loop = &server->loops[0].loop;

	for (unsigned int i = 0; i < server->n_listeners; i++) {
		atomic_store(&server->listeners[i].stopping, true);
		loop->ops->cancel(loop, &server->listeners[i].op);
	}
}

static bool server_listeners_stopped(struct store_server *server)
{
	for (unsigned int i = 0; i < server->n_listeners; i++)
		if (!atomic_load(&server->listeners[i].stopped))
			return false;
	return true;
}

static int server_listen(struct store_server *server)
{
	server->listeners = calloc(server->conf->n_addresses, sizeof(*server->listeners));
	if (!server->listeners && server->conf->n_addresses)
		return -ENOMEM;
	for (unsigned int i = 0; i < server->conf->n_addresses; i++) {
		struct store_listener *listener = &server->listeners[i];
		int err = listener_open(listener, server->conf->addresses[i]);

		if (err) {
			log_error("cannot listen on %s: %s", server->conf->addresses[i],
				  strerror(-err));
			return err;
		}
		listener->server = server;
		listener->op.done = accept_done;
		server->n_listeners++;
	}
	return 0;
}

/* Submitting belongs to the loop's thread. */
static void listeners_begin(struct store_op *op)
{
	struct store_server *server =
		(struct store_server *)((char *)op - offsetof(struct store_server, listen_op));

	for (unsigned int i = 0; i < server->n_listeners; i++)
		listener_accept(&server->listeners[i]);
}

/* --- loops --------------------------------------------------------------------------------------------------------------- */

static const struct store_io_ops *server_backend(enum store_backend backend)
{
	return backend == STORE_BACKEND_THREADS ? &store_io_threads : &store_io_uring;
}

static int server_start_loops(struct store_server *server)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned int n = server->conf->loops ? server->conf->loops
					     : (unsigned int)(cpus < 1	 ? 1
							      : cpus > 4 ? 4
									 : cpus);

	server->loops = calloc(n, sizeof(*server->loops));
	if (!server->loops)
		return -ENOMEM;
	server->ops = server_backend(server->conf->backend);
	while (server->n_loops < n) {
		struct store_worker_loop *home = &server->loops[server->n_loops];
		int err;

		home->server = server;
		err = store_loop_init(&home->loop, server->ops, server->pool, store_session_tick,
				      home);
		if (err && server->ops == &store_io_uring &&
		    server->conf->backend == STORE_BACKEND_AUTO && server->n_loops == 0) {
			log_info("io_uring cannot be used here (%s): the store works with a pool "
				 "of threads",
				 strerror(-err));
			server->ops = &store_io_threads;
			continue;
		}
		if (err) {
			log_error("the back-end \"%s\" cannot be used here: %s", server->ops->name,
				  strerror(-err));
			return err;
		}
		server->n_loops++;
	}
	return 0;
}

static void close_sessions(struct store_op *op)
{
	struct store_worker_loop *home =
		(struct store_worker_loop *)((char *)op -
					     offsetof(struct store_worker_loop, close_op));

	store_session_close_all(home);
}

void store_server_session_gone(struct store_server *server)
{
	pthread_mutex_lock(&server->idle_lock);
	atomic_fetch_sub(&server->sessions, 1);
	pthread_cond_signal(&server->idle);
	pthread_mutex_unlock(&server->idle_lock);
}

/* Connections end at once; what they started goes on to its end, bounded by the disk. */
static void server_drain(struct store_server *server)
{
	server->cancel_op.done = listeners_cancel;
	store_loop_post(&server->loops[0].loop, &server->cancel_op);
	pthread_mutex_lock(&server->idle_lock);
	while (!server_listeners_stopped(server))
		pthread_cond_wait(&server->idle, &server->idle_lock);
	pthread_mutex_unlock(&server->idle_lock);
	for (unsigned int i = 0; i < server->n_loops; i++) {
		server->loops[i].close_op.done = close_sessions;
		store_loop_post(&server->loops[i].loop, &server->loops[i].close_op);
	}
	pthread_mutex_lock(&server->idle_lock);
	while (atomic_load(&server->sessions))
		pthread_cond_wait(&server->idle, &server->idle_lock);
	pthread_mutex_unlock(&server->idle_lock);
}

static void server_free(struct store_server *server)
{
	for (unsigned int i = 0; i < server->n_stores; i++)
		store_close(server->stores[i]);
	/* Before the loops: a thread of the pool may be about to wake one. Nothing is submitted any more. */
	if (server->pool)
		store_pool_exit(server->pool);
	for (unsigned int i = 0; i < server->n_loops; i++)
		store_loop_exit(&server->loops[i].loop);
	for (unsigned int i = 0; i < server->n_listeners; i++) {
		close(server->listeners[i].fd);
		if (server->listeners[i].unix_path[0])
			unlink(server->listeners[i].unix_path);
	}
	if (server->buffers)
		store_buffers_exit(server->buffers);
	pthread_cond_destroy(&server->idle);
	pthread_mutex_destroy(&server->idle_lock);
	free(server->listeners);
	free(server->loops);
	free(server->stores);
	free(server);
}

/* Those that can be opened are served; none of several: the first one's error. */
static int server_open_stores(struct store_server *server)
{
	int first_err = 0;

	server->stores = calloc(server->conf->n_paths, sizeof(struct store *));
	if (!server->stores && server->conf->n_paths)
		return -ENOMEM;
	for (unsigned int i = 0; i < server->conf->n_paths; i++) {
		struct store *store;
		int err = store_open(&store, server->conf->paths[i], server->conf,
				     &server->loops[i % server->n_loops].loop);

		if (err) {
			first_err = first_err ? first_err : err;
			continue;
		}
		server->stores[server->n_stores++] = store;
		if (atomic_load(&store->incarnation) > atomic_load(&server->incarnation))
			atomic_store(&server->incarnation, atomic_load(&store->incarnation));
		if (!atomic_load(&server->host))
			atomic_store(&server->host, atomic_load(&store->host));
	}
	if (!server->n_stores)
		return first_err;
	if (first_err)
		log_error("%u of %u stores cannot be opened and are not served; the lines above say "
			  "why, a restart of weftd tries again",
			  server->conf->n_paths - server->n_stores, server->conf->n_paths);
	return 0;
}

int store_server_start(struct store_server **out, const struct store_conf *conf)
{
	struct store_server *server = calloc(1, sizeof(*server));
	size_t memory = conf->memory ? conf->memory : MEMORY_DEFAULT;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned int threads = conf->pool_threads ? conf->pool_threads
						  : (unsigned int)(cpus < 4    ? 16
								   : cpus > 16 ? 64
									       : cpus * 4);
	int err;

	if (!server)
		return -ENOMEM;
	pthread_mutex_init(&server->idle_lock, NULL);
	pthread_cond_init(&server->idle, NULL);
	server->conf = conf;
	atomic_store(&server->incarnation, conf->incarnation);
	atomic_store(&server->host, conf->host);
	err = store_buffers_init(&server->buffers, memory < MEMORY_MIN ? MEMORY_MIN : memory);
	if (!err)
		err = store_pool_init(&server->pool, threads);
	if (!err)
		err = server_start_loops(server);
	if (!err)
		err = server_open_stores(server);
	if (!err)
		err = server_listen(server);
	if (err) {
		server_free(server);
		return err;
	}
	server->listen_op.done = listeners_begin;
	store_loop_post(&server->loops[0].loop, &server->listen_op);
	log_info("serving %u stores with the back-end \"%s\"", server->n_stores, server->ops->name);
	*out = server;
	return 0;
}

void store_server_stop(struct store_server *server)
{
	server_drain(server);
	server_free(server);
}
