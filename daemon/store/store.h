/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * store.h - the chunk server: directories that hold shards, and the chunk protocol in front of them
 *
 * Threads
 *   loops       own connections: receive, check frames, start requests, send answers (session.c)
 *   pool        what blocks (loop.h says where the steps of a request run)
 *   keeper      one for each store: index, counters, free space, compaction (keeper.c)
 *   link        to the metadata service (link.c), with a thread for heartbeats that does nothing else
 *
 * A request belongs to its session's loop until it is started and again after store_request_finish(); in between to the
 * one chain of operations that works on it.
 *
 * Lock order: store_segments.lock, then store_buffers.lock, then store_loop.lock.
 */
#ifndef WEFT_STORE_STORE_H
#define WEFT_STORE_STORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/node/wire.h"
#include "store/loop.h"
#include "uapi/weft_status.h"
#include "uapi/weft_store.h"

struct store;
struct store_index;
struct store_link;
struct store_segments;
struct store_server;
struct store_session;

enum store_backend {
	STORE_BACKEND_AUTO,
	STORE_BACKEND_URING,
	STORE_BACKEND_THREADS,
};

/* What the server needs to know; filled from the configuration by role.c, or by hand in tests. Kept, not copied. */
struct store_conf {
	uint8_t cluster[16];
	uint32_t incarnation;
	uint32_t host;		  /* 0: not given yet */
	const char *const *paths; /* directories of stores */
	unsigned int n_paths;
	const char *const *addresses; /* to listen on: "IP:PORT", "[IP6]:PORT", "unix:/path" */
	unsigned int n_addresses;
	enum store_backend backend;
	unsigned int loops;	   /* 0: by the number of CPUs */
	unsigned int pool_threads; /* 0: by the number of CPUs */
	size_t memory;		   /* bytes of payload buffers; 0: 256 MiB; at least 64 MiB */
	uint32_t in_flight;	   /* requests of a connection; 0: 64 */
	unsigned int
		stall_s; /* a connection whose peer takes no answer for so long is closed; 0: 30 */
	uint64_t
		capacity; /* bytes that shards may take in each store; 0: what the file system has */
	unsigned int reserve_percent; /* of capacity: nothing is taken below it */
	unsigned int rebuild_percent; /* of capacity: only rebuilds are taken below it */
	uint32_t segment_bytes;	      /* size of a segment; 0: WEFT_SEGMENT_SIZE */
	unsigned int index_ms; /* longest time that the index is behind the segments; 0: 1000 */
};

/* --- buffers.c: payload buffers out of a bounded pool --------------------------------------------------------------- */
struct store_buffers;

/* Somebody who waits for a buffer. */
struct store_buffer_wait {
	struct store_op op; /* .done runs on .loop when .buffer was set */
	struct store_loop *loop;
	size_t size;
	void *buffer;
	struct store_buffer_wait *next;
	bool waiting;
};

int store_buffers_init(struct store_buffers **buffers, size_t limit);
/* All buffers were put. */
void store_buffers_exit(struct store_buffers *buffers);
/*
 * A buffer of at least size bytes, aligned to 4096, not cleared. NULL if the pool is empty or others wait: then wait is
 * queued (loop and op.done set by the caller) and the buffer is given to it in its turn. size is at most a quarter of the
 * limit, or 32 MiB.
 */
void *store_buffers_get(struct store_buffers *buffers, size_t size, struct store_buffer_wait *wait);
/* size as it was asked for. */
void store_buffers_put(struct store_buffers *buffers, void *buffer, size_t size);
/* Leave the queue. False if it was not in it: the buffer is there, or will be posted any moment. */
bool store_buffers_cancel(struct store_buffers *buffers, struct store_buffer_wait *wait);

/* --- request.c: one request and its answer --------------------------------------------------------------------------- */

/* Room for shard header and CRC table of the largest shard, in multiples of 4096. */
#define STORE_AREA_MAX \
	((WEFT_SHARD_HEADER_MAX + 4u * (WEFT_SHARD_LEN_MAX / WEFT_CRC_BLOCK + 1) + 4095u) & ~4095u)
#define STORE_LIST_BYTES (64u * 1024)

struct store_request {
	struct store_op op;	 /* of the step under way */
	struct store_loop *loop; /* of the session */
	struct store_session *session;
	struct store *store; /* NULL: HELLO, PING */
	struct weft_wire_frame frame;
	struct weft_wire_frame answer;
	uint64_t started_usec;
	uint8_t *buffer;    /* the request's payload, then the answer's; of the pool, or small */
	size_t buffer_size; /* 0: not of the pool */
	/* the answer's payload: pointers into buffer, or to small */
	struct iovec parts[4];
	unsigned int n_parts;
	struct weft_wire_header wire; /* as sent */
	uint8_t small[72];
	/* steps on files: file.c */
	int file;
	unsigned int tries;
	bool linked;
	uint8_t *area;
	struct iovec iov[4];
	char name[80];
	/* steps on segments: segment.c */
	struct store_append *append;
	struct store_request *next; /* queue of answers */
	size_t sent;		    /* bytes of the answer that went out */
};

/* Bytes of buffer that a request needs, its payload included. */
size_t store_request_buffer_size(const struct weft_wire_frame *frame);
/* The payload is in .buffer: carry the request out. Loop thread. */
void store_request_start(struct store_request *request);
/* The request is over; its answer goes out. Any thread. The chain that calls it must not touch the request any more. */
void store_request_finish(struct store_request *request, uint32_t status);
/* The answer's payload; len may be 0. */
void store_request_add_part(struct store_request *request, const void *data, size_t len);

/* Check [head][data][CRCs] against each other and the frame. Returns a status; *why says more. */
uint32_t store_shard_check(const struct weft_wire_frame *frame, const uint8_t *head,
			   const uint8_t *data, const uint8_t *crcs, const char **why);

/*
 * Answer a GET or STAT from a shard that was read: head, data (from the request's offset on, as many bytes as the range
 * clamps to), table of the whole shard. Checks what it sends. Returns a status.
 */
uint32_t store_answer_shard(struct store_request *request, const uint8_t *head, uint32_t head_len,
			    uint32_t shard_len, const uint8_t *data, const uint8_t *table);

/* --- session.c: one connection ----------------------------------------------------------------------------------------- */
/* Takes fd. */
void store_session_open(struct store_server *server, struct store_loop *loop, int fd);
/* An answer is ready: loop thread. */
void store_session_answer(struct store_session *session, struct store_request *request);
uint8_t store_session_role(const struct store_session *session);
/* Microseconds of a clock that only goes forward. */
uint64_t store_now_usec(void);
/* HELLO: what was agreed, or NULL to end the connection after the answer. */
void store_session_greeted(struct store_session *session, const struct weft_wire_greeting *agreed);
void store_session_tick(struct store_loop *loop);
struct store_worker_loop;
void store_session_close_all(struct store_worker_loop *home);

/* --- server.c: stores, listeners and loops of a process ----------------------------------------------------------------- */
struct store_server {
	const struct store_conf *conf;
	const struct store_io_ops *ops;
	struct store_pool *pool;
	struct store_buffers *buffers;
	struct store **stores;
	unsigned int n_stores;
	struct store_worker_loop *loops;
	unsigned int n_loops;
	struct store_listener *listeners;
	unsigned int n_listeners;
	struct store_op listen_op, cancel_op;
	_Atomic uint32_t incarnation; /* the highest seen */
	_Atomic uint32_t host;
	_Atomic uint64_t sessions; /* open now */
	_Atomic uint64_t requests; /* in flight now */
	_Atomic uint64_t next_loop;
	pthread_mutex_t idle_lock; /* for waiting until a listener stopped or a session went */
	pthread_cond_t idle;
};

/* A loop with what hangs on it. */
struct store_worker_loop {
	struct store_loop loop;
	struct store_server *server;
	struct store_session *sessions; /* loop thread only */
	struct store_op close_op;	/* asks the loop to close all sessions */
};

/* Opens the stores, starts listening and serving. 0, or a negative errno after a log line; nothing is left then. */
int store_server_start(struct store_server **server, const struct store_conf *conf);
/* Ends all connections, waits for what is under way, closes the stores. */
void store_server_stop(struct store_server *server);
/* A peer speaks for this incarnation: remembered, also on disk, if it is newer. */
void store_server_saw_incarnation(struct store_server *server, uint32_t incarnation);
/* A session is gone: the last thing that its loop does with it. */
void store_server_session_gone(struct store_server *server);
/* NULL if no store has that number. */
struct store *store_server_find(struct store_server *server, uint32_t number);

/* --- dir.c: a store's directory ------------------------------------------------------------------------------------------ */
struct store {
	char *path;
	int dir; /* descriptor; holds the lock */
	uint8_t uuid[16];
	uint8_t cluster[16];
	uint64_t starts;
	_Atomic uint32_t number, host; /* 0: not given yet */
	_Atomic uint32_t incarnation;  /* of the cluster, the highest that STORE knows */
	bool names_with_file;	       /* fsync of a file makes its name durable, too */
	const struct store_conf *conf;
	struct store_segments *segments;
	struct store_keeper *keeper;
	_Atomic uint64_t capacity, available; /* bytes; refreshed by the keeper */
	_Atomic int64_t reserved;	      /* bytes of PUTs under way */
	_Atomic int64_t used;		      /* bytes of shard files, and of segments */
	_Atomic int64_t shards;
	_Atomic int64_t files, file_bytes; /* the shard files' part of these two */
	_Atomic uint64_t errors;
	_Atomic uint32_t status; /* OK, or STORE_IO after a failed sync: takes no PUT any more */
	/* of the last second, for heartbeats */
	_Atomic uint64_t answered, busy_usec;
	_Atomic uint32_t in_flight;
};

/*
 * Open or create the store in a directory. Refused with a log line: another cluster's, a newer format, in use, a file
 * system without what a store needs. home: the loop that does the store's own work; outlives it. 0 or a negative errno.
 */
int store_open(struct store **store, const char *path, const struct store_conf *conf,
	       struct store_loop *home);
void store_close(struct store *store);
/* Remember number and host, and the highest incarnation seen. 0 or a negative errno. */
int store_set_number(struct store *store, uint32_t number, uint32_t host, uint32_t incarnation);
/* Room for bytes more? rebuild: may go below the rebuild reserve. A reservation is given back by store_space_put(). */
bool store_space_get(struct store *store, uint64_t bytes, bool rebuild);
void store_space_put(struct store *store, uint64_t bytes);
void store_space_refresh(struct store *store);
/* Shard files came or went. */
void store_count_files(struct store *store, int64_t files, int64_t bytes);
/* A disk error that must not be retried: the store takes no PUT any more. */
void store_fail(struct store *store, const char *what, int err);
/* Count and tell of a shard that does not check. where: the file. */
void store_report_corrupt(struct store *store, const struct weft_wire_frame *frame,
			  const char *where, const char *why);

/* --- file.c: shards of WEFT_STORE_FILE_MIN bytes and more ------------------------------------------------------------------ */
void store_file_put(struct store_request *request);
/* GET and STAT; a shard that is no file is looked for in the segments. */
void store_file_get(struct store_request *request);
/* Blocking; pool threads. DEL: 0, 1 if there was nothing, negative errno. VERIFY: status; ABSENT if there is no file. */
int store_file_delete(struct store *store, const struct weft_wire_frame *name);
uint32_t store_file_verify(struct store *store, const struct weft_wire_frame *name);

struct store_shard_name {
	uint64_t session, counter;
	uint32_t shard_len;
	uint8_t index;
};
/* For each shard file of a group, in no order. Blocking. each() returns false to end. */
int store_file_walk(struct store *store, uint64_t group, bool with_length,
		    bool (*each)(void *ctx, const struct store_shard_name *name, uint64_t bytes),
		    void *ctx);
/* S of one shard file, from its header; 0 if that cannot be read. Blocking. */
uint32_t store_file_length(struct store *store, uint64_t group,
			   const struct store_shard_name *name);
/* Shard files and bytes of all groups. Blocking, slow. */
int store_file_count(struct store *store, int64_t *shards, int64_t *bytes);

#endif
