/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * service.h - the metadata service as a process: what runs around the state machine
 *
 *	loop thread	connections, timers, the voter's loop (rnode_*); never touches the database,
 *			never waits
 *	fetch thread	waits for committed entries and passes them on, one batch at a time
 *	brain thread	owns the state, the catalog and everything that decides; applies entries,
 *			answers reads
 *
 * What passes between them is a struct meta_op:
 *
 *	     loop                                brain
 *	  frame --> op ---------------- run(op) ---> answer, or an entry to propose
 *	  finish(op) <----- META_DONE ------'  |
 *	  rnode_submit(entry) <--- META_SUBMIT-' (committed: applied, run(op) again)
 *
 * An op belongs to the thread that has it. Its order in a queue is the order in which things
 * happen: a map that was sent before an answer arrives before it.
 *
 * Locks: meta_queue.lock, one for each direction, held for list operations only.
 */
#ifndef WEFT_META_SERVICE_H
#define WEFT_META_SERVICE_H

#include "base/log.h"
#include <jansson.h>
#include <pthread.h>
#include <uv.h>

#include "kernel/chunk/policy.h"
#include "meta/catalog.h"
#include "meta/meta.h"
#include "net/ctl.h"
#include "raft/raft.h"

struct conf;
struct detector;
struct meta_brain;
struct meta_contents;
struct meta_gc;
struct meta_heal;
struct meta_map;
struct meta_pool;
struct meta_op;
struct meta_service;

enum meta_step {
	META_DONE,   /* finish() on the loop thread, then it is freed */
	META_SUBMIT, /* propose .entry, then run() again; .outcome says what came of it */
};

struct meta_op {
	struct meta_op *next;
	void (*run)(struct meta_brain *brain,
		    struct meta_op *op); /* brain thread; NULL: the outcome is the answer */
	void (*finish)(struct meta_service *service,
		       struct meta_op *op); /* loop thread; NULL: nothing to do */
	enum meta_step step;
	struct meta_buffer entry;
	struct meta_outcome outcome;
	bool failed;            /* could not be proposed: outcome.status says why */
	unsigned int phase;     /* of run() */
	struct meta_client *client;
	struct ctl_frame frame; /* that it answers, without the payload */
	struct meta_ask ask;
	u8 *payload;
	size_t payload_len;
	u64 number;             /* of run() */
	struct meta_service *service; /* of a task's answer */
	u64 arrived_ns;         /* CLOCK_MONOTONIC */
	void *ctx;
};

struct meta_queue {
	pthread_mutex_t lock;
	pthread_cond_t filled;
	struct meta_op *first, **last;
};

void meta_queue_init(struct meta_queue *queue);
void meta_queue_destroy(struct meta_queue *queue);
void meta_queue_put(struct meta_queue *queue, struct meta_op *op);
/* All that is there. Waits until deadline_ns (CLOCK_MONOTONIC) if there is nothing; NULL then. */
struct meta_op *meta_queue_take(struct meta_queue *queue, u64 deadline_ns);

struct meta_op *meta_op_alloc(void (*run)(struct meta_brain *, struct meta_op *));
void meta_op_free(struct meta_op *op);

/* UTF-8 without NUL: what the administrator's JSON can hold. */
bool meta_text_ok(const void *text, size_t len);

u64 meta_clock_monotonic(void);
u64 meta_clock_real(void);

/* ---- service.c: the loop thread ---- */

/*
 * A connection. Its fields are the loop thread's, but id, role and name, which never change after
 * HELLO.
 */
struct meta_client {
	struct meta_client *next;
	struct ctl_conn *conn; /* NULL: gone */
	struct meta_service *service;
	u64 id;
	u32 role;
	char name[256];
	bool admin;            /* came over the administration socket */
	bool known;            /* HELLO was exchanged */
	u32 host;              /* of a store connection, once it registered */
	unsigned int refs;     /* ops that answer to it */
	unsigned int waiting;  /* requests that are not answered */
	size_t waiting_bytes;  /* of their payloads */
};

struct meta_service {
	const struct conf *conf;
	uv_loop_t loop;
	uv_async_t inbox_async;
	uv_poll_t raft_poll;
	uv_timer_t raft_timer;
	uv_timer_t tick;
	uv_prepare_t prepare;
	uv_signal_t signals[2];
	struct ctl_self self;
	struct ctl_listener *listeners[16];
	unsigned int n_listeners;
	struct meta_client *clients;
	u64 next_client;
	struct rnode *node;
	struct meta_queue inbox;       /* from the brain */
	unsigned int voters; /* of the log; atomic, as the next two: shown to people by the brain */
	u64 log_bytes;
	u64 sync_ns;                   /* time of a write to the log with its sync */
	struct meta_brain *brain;
	pthread_t brain_thread;
	pthread_t fetch_thread;
	bool stopping;
	int exit_status;
};

/* ---- server.c: frames ---- */

extern const struct ctl_ops meta_server_ops;
void *meta_server_accept(struct ctl_conn *conn, void *service);
void *meta_server_accept_admin(struct ctl_conn *conn, void *service);
/* Propose op->entry, or fail it. Loop thread. */
void meta_service_submit(struct meta_service *service, struct meta_op *op);
/* Finish an op of the loop thread: finish(), free. */
void meta_service_finish(struct meta_service *service, struct meta_op *op);
/* finish() of a client's op: the answer goes out, if its connection is still there. */
void meta_server_reply(struct meta_service *service, struct meta_op *op);
/* finish() functions of what the brain sends. */
void meta_server_push_map(struct meta_service *service, struct meta_op *op);
void meta_server_push_contents(struct meta_service *service, struct meta_op *op);
void meta_server_send_task(struct meta_service *service, struct meta_op *op);
/*
 * Send a TASK to a store's connection. Brain thread. writer: the frame, emptied when it returns 0.
 * answer: its run() is called with the answer as payload and outcome.status, exactly once if this
 * returned 0; on -ENOMEM it stays the caller's.
 */
int meta_task_send(struct meta_brain *brain, u64 client, struct tlv_writer *writer,
		   struct meta_op *answer);

/* ---- brain.c: the brain thread ---- */

struct meta_settings {
	u64 grace_ns;
	u64 session_ns;
	u64 suspect_ns;
	u64 down_ns;
	unsigned int rebuilds;
};

struct meta_event {
	u64 number;
	u64 time_ns;
	char kind[24];
	char text[232];
};
#define META_EVENTS 4096u

struct meta_brain {
	struct meta_service *service;
	struct meta_queue queue;
	struct meta_state state;
	struct meta_catalog catalog;
	struct meta_settings settings;
	struct meta_pool *pool;
	struct meta_heal *heal;
	struct meta_gc *gc;
	struct meta_map *map;
	struct meta_contents *contents;
	struct detector *detector;
	bool leader;         /* and serving */
	u64 leader_since_ns; /* CLOCK_MONOTONIC */
	u64 now_ns;          /* CLOCK_MONOTONIC, of the last tick */
	u64 written_ns;      /* when the open transaction began */
	u64 touched_ns;      /* when the last entry was applied */
	u64 synced_ns;
	u64 turn_ns;         /* when the last turn of the thread began */
	unsigned int in_txn; /* entries */
	bool disk_low, disk_critical;
	bool stop;
	struct meta_event *events;
	u64 n_events;        /* ever */
};

void *meta_brain_main(void *brain);
void *meta_fetch_main(void *brain);
/* This voter leads no more: what only a leader hears is forgotten. */
void meta_run_follow(struct meta_brain *brain, struct meta_op *op);
int meta_brain_init(struct meta_brain *brain, struct meta_service *service, const char *db_path);
void meta_brain_free(struct meta_brain *brain);
/* Say that an op's run() is over: it goes where op->step says. */
void meta_brain_continue(struct meta_brain *brain, struct meta_op *op);
/* An error of this machine: the process ends. */
void meta_brain_fatal(struct meta_brain *brain, const char *doing, int err);
__attribute__((format(printf, 3, 4))) void meta_brain_event(struct meta_brain *brain,
							    const char *kind, const char *fmt, ...);
/* Put a sentence into an answer to the kernel or another daemon (TEXT), with a status. */
__attribute__((format(printf, 4, 5))) void meta_op_refuse(struct meta_op *op, u32 status,
							  u16 text_type, const char *fmt, ...);

/* ---- mount.c: MOUNT, RENEW ---- */
void meta_run_mount(struct meta_brain *brain, struct meta_op *op);
void meta_run_renew(struct meta_brain *brain, struct meta_op *op);

/* ---- register.c: stores say that they are there ---- */
void meta_run_register(struct meta_brain *brain, struct meta_op *op);
void meta_run_heartbeat(struct meta_brain *brain, struct meta_op *op);
void meta_run_lost_store(struct meta_brain *brain, struct meta_op *op);
int meta_register_init(struct meta_brain *brain);
void meta_register_free(struct meta_brain *brain);
/* Time has passed. */
void meta_register_tick(struct meta_brain *brain);
/* Each second or so: time passes for everything. */
void meta_run_tick(struct meta_brain *brain, struct meta_op *op);

/* ---- pool.c: groups ---- */
int meta_pool_init(struct meta_brain *brain);
void meta_pool_free(struct meta_brain *brain);
void meta_pool_tick(struct meta_brain *brain);
void meta_run_group_want(struct meta_brain *brain, struct meta_op *op);
void meta_run_group(struct meta_brain *brain, struct meta_op *op);

/* ---- map.c: what bridges and stores know of the cluster ---- */
int meta_map_init(struct meta_brain *brain);
void meta_map_free(struct meta_brain *brain);
void meta_run_watch(struct meta_brain *brain, struct meta_op *op);
void meta_run_unwatch(struct meta_brain *brain, struct meta_op *op);
/* Free space changed: groups whose weight moved much are told of again. */
void meta_map_refresh(struct meta_brain *brain);
/* Send what changed to all that watch. */
void meta_map_flush(struct meta_brain *brain);

/* ---- contents.c: who has what content ---- */
int meta_contents_init(struct meta_brain *brain);
void meta_contents_free(struct meta_brain *brain);
void meta_run_chunks(struct meta_brain *brain, struct meta_op *op);
/* The index has this content id now. */
void meta_contents_add(struct meta_brain *brain, const u8 content_id[32]);
/* A bridge wants to know the filter, or has gone. */
void meta_contents_watch(struct meta_brain *brain, u64 client);
void meta_contents_unwatch(struct meta_brain *brain, u64 client);
void meta_contents_tick(struct meta_brain *brain);
/* Forget the filter: the leader changed. */
void meta_contents_reset(struct meta_brain *brain);

/* ---- heal.c and gc.c: work in the background ---- */
int meta_heal_init(struct meta_brain *brain);
void meta_heal_free(struct meta_brain *brain);
void meta_heal_tick(struct meta_brain *brain);
unsigned int meta_heal_running(const struct meta_brain *brain);
/* A worker has been asked for shards of the chunk and has not answered, however long ago that was. */
bool meta_heal_is_under_way(const struct meta_brain *brain, u64 group, u64 number);
int meta_gc_init(struct meta_brain *brain);
void meta_gc_free(struct meta_brain *brain);
void meta_gc_tick(struct meta_brain *brain);
/* Forget what was under way: the leader changed. */
void meta_heal_reset(struct meta_brain *brain);
void meta_gc_reset(struct meta_brain *brain);

/* ---- grace.c: for how long chunks have been condemned ---- */

#define META_GRACE_NOTES 16u
struct meta_grace_note {
	u64 now_ns;  /* CLOCK_MONOTONIC */
	u64 time_ns; /* of the last entry that was applied then */
};

struct meta_grace {
	struct meta_grace_note notes[META_GRACE_NOTES]; /* ascending */
	unsigned int n;
};

/* All pure. Nothing is known of the past. */
void meta_grace_reset(struct meta_grace *grace);
/* The last applied entry is of time_ns. To be called again and again. */
void meta_grace_note(struct meta_grace *grace, u64 now_ns, u64 time_ns, u64 grace_ns);
/* True if there is something old enough: what an entry up to *time_ns did is. */
bool meta_grace_over(const struct meta_grace *grace, u64 now_ns, u64 grace_ns, u64 *time_ns);

/* ---- policy.c: how a volume's content is cut and compressed ---- */

#define META_NOT_GIVEN (-1)
struct meta_policy_args {
	const char *chunker, *codec; /* NULL: not given */
	json_int_t chunk_size, chunk_min, chunk_max, chunk_random, level;
};
#define META_POLICY_ARGS_NONE                                                                    \
	{ NULL, NULL, META_NOT_GIVEN, META_NOT_GIVEN, META_NOT_GIVEN, META_NOT_GIVEN, META_NOT_GIVEN }

/* base with what is given. NULL, or what is wrong with it; may write to text. */
const char *meta_policy_make(const struct meta_policy_args *args, const struct weft_policy *base,
			     struct weft_policy *policy, char *text, size_t size);
void meta_admin_volume_set(struct meta_brain *brain, struct meta_op *op, json_t *json);

/* ---- admin.c, status.c: the administrator ---- */
#define meta_admin_refuse(op, status, ...) meta_op_refuse(op, status, WEFT_C_TEXT, __VA_ARGS__)
/* Takes json. */
void meta_admin_answer(struct meta_op *op, json_t *json);
/* What "volume show" says. */
json_t *meta_admin_volume(struct meta_brain *brain, const struct cat_volume *volume);
void meta_admin_key_get(struct meta_brain *brain, struct meta_op *op, json_t *args);
void meta_admin_key_set(struct meta_brain *brain, struct meta_op *op, json_t *args);
void meta_run_admin(struct meta_brain *brain, struct meta_op *op);
json_t *meta_status(struct meta_brain *brain);
/* stats.c: what a volume's files take, with those that it shares chunks with. */
json_t *meta_stats(struct meta_brain *brain, const struct cat_volume *volume);
/* statfs of a volume; also what `volume list` shows. */
void meta_status_space(struct meta_brain *brain, const struct cat_volume *volume,
		       struct weft_statfs *statfs);
void meta_run_statfs(struct meta_brain *brain, struct meta_op *op);

#endif
