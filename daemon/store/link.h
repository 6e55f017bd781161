/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * link.h - the store's connection to the metadata service, what it learns there of other hosts, and the tasks it is given
 */
#ifndef WEFT_STORE_LINK_H
#define WEFT_STORE_LINK_H

#include <uv.h>

#include "net/ctl.h"
#include "store/store.h"

/* --- map.c: where the stores of the cluster are; any thread ----------------------------------------------------------- */
struct store_map;

int store_map_init(struct store_map **map);
void store_map_exit(struct store_map *map);
/* Take in a MAP frame: 0, or -EPROTO and what came before the broken part was taken. */
int store_map_update(struct store_map *map, const void *payload, size_t len);
/* The first address of the host that has a store: 0, or -ENOENT if that is not known. */
int store_map_address(struct store_map *map, uint32_t store, char *address, size_t size);

/* --- worker.c: rebuild and delete --------------------------------------------------------------------------------------- */
struct store_workers;

/* A TASK frame on its way through a worker. */
struct store_task {
	struct store_task *next;
	struct ctl_frame request; /* type and tag: for the answer */
	uint64_t connection;	  /* that it came from */
	uint8_t *payload;	  /* the attributes; the answer is written over them */
	size_t len;
	uint32_t status; /* of the frame: OK if each task has a status of its own */
};

/* What a worker needs to know of this host. */
struct store_worker_conf {
	struct weft_wire_greeting hello;
	const char *own_address; /* where this host's stores listen */
	struct store_map *map;
	void (*done)(void *ctx, struct store_task *task); /* a worker's thread; takes the task */
	void *ctx;
};

int store_workers_start(struct store_workers **workers, const struct store_worker_conf *conf,
			unsigned int n);
/* Ends after the tasks under way; those that wait are dropped. */
void store_workers_stop(struct store_workers *workers);
/* Takes the task. -EAGAIN if too many wait; then it is still the caller's. */
int store_workers_submit(struct store_workers *workers, struct store_task *task);
void store_task_free(struct store_task *task);
/* Carry out one attribute of a task frame in place. For tests. */
void store_task_run(const struct store_worker_conf *conf, uint8_t *attribute, size_t len);

/* --- link.c ---------------------------------------------------------------------------------------------------------------- */
struct store_link_conf {
	const char *const *addresses; /* of metadata servers */
	unsigned int n_addresses;
	const char *name;	      /* of this host */
	const char *labels[3];	      /* "region=..", "datacenter=..", "rack=.."; NULL: none */
	const char *const *advertise; /* addresses of this host's stores, told to others */
	unsigned int n_advertise;
	unsigned int heartbeat_ms;
	uint8_t cluster[16]; /* zero: learnt from the service */
	uint32_t incarnation;
	/* The cluster is known now: start serving. Called once, on the loop's thread; NULL ends the link. */
	struct store_server *(*known)(void *ctx, const uint8_t cluster[16], uint32_t incarnation);
	void *ctx;
};

struct store_link;

/* All on the loop's thread. conf is kept. After stop() the loop runs until nothing is left on it; then free(). */
int store_link_start(struct store_link **link, uv_loop_t *loop, const struct store_link_conf *conf);
/* A server that was started before the link: conf.known is not called then. */
void store_link_set_server(struct store_link *link, struct store_server *server);
void store_link_stop(struct store_link *link);
void store_link_free(struct store_link *link);

#endif
