/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * driver.h - the driver's state, shared by driver.c, start.c, message.c and window.c
 *
 * Loop thread only.
 */
#ifndef WEFT_DAEMON_RAFT_DRIVER_H
#define WEFT_DAEMON_RAFT_DRIVER_H

#include "raft/internal.h"

/* Consecutive entries in memory, a reference each. */
struct rdrv_window {
	struct rlog_entry **slots;	/* a ring of cap, a power of two */
	size_t cap;
	size_t head;
	size_t n;
	uint64_t first;			/* index of the entry at head */
	size_t bytes;
};

/*
 * -ENOMEM, else a reference was taken. The index must follow the last one's, unless the window is
 * empty.
 */
int rdrv_window_push(struct rdrv_window *w, struct rlog_entry *entry);
/* NULL when it is not in memory. No reference is taken. */
struct rlog_entry *rdrv_window_at(const struct rdrv_window *w, uint64_t index);
void rdrv_window_pop(struct rdrv_window *w);		/* the first */
void rdrv_window_cut(struct rdrv_window *w, uint64_t from); /* from that index to the end */
void rdrv_window_clear(struct rdrv_window *w);

/*
 * A write of entries that was issued and is not complete; last shrinks when entries are replaced
 * meanwhile.
 */
struct rdrv_flight {
	struct rdrv_flight *next;
	uint64_t sequence;
	uint64_t first;
	uint64_t last;		/* below first: nothing of it counts any more */
};

/* A configuration in the log, or the checkpoint's. */
struct rdrv_conf {
	uint64_t index;
	void *bytes;
	size_t len;
};

/* A message that waits for term and vote to be durable, or for entries to be read. */
struct rdrv_mail {
	struct rdrv_mail *next;
	uint64_t gate;			/* sequence of the VOTE request that must be complete */
	struct raft_message message;
	char *address;
	struct rlog_entry **entries;	/* references */
	size_t n;
};

struct rdrv {
	struct rdrv_config config;
	struct raft raft;
	uint64_t now;
	uint64_t started;		/* when */
	bool dead;

	uint64_t sequence;		/* of the last log request */
	uint64_t vote_issued;		/* sequence of the last VOTE request */
	uint64_t vote_done;
	struct rdrv_mail *mail;
	struct rdrv_mail **mail_tail;

	struct rdrv_window window;	/* the log's newest entries */
	struct rdrv_window replay;	/* read back from the log, handed over, not released; before window */
	bool reading;			/* a READ for replay is under way */
	struct rdrv_flight *flights;
	struct rdrv_flight **flights_tail;
	struct rdrv_conf *confs;	/* ascending; the first is the one in force at the checkpoint */
	size_t n_confs;

	uint64_t durable;		/* in this voter's log */
	uint64_t handed;		/* to the state machine */
	uint64_t released;		/* by it */
	size_t held_bytes;		/* of entries above released in window and replay */
	size_t held;

	uint64_t checkpoint;		/* durable and told to libraft */
	uint64_t checkpoint_issued;
	uint64_t checkpoint_wanted;	/* published meanwhile; 0: none */
	uint64_t checkpoint_wanted_term;

	bool step_wrote;		/* the last step wanted entries written */
	uint64_t own_first;		/* index of the leader's first own entry; 0 while not the leader */
	bool want_barrier;		/* just elected and no own entry yet */
	struct raft_snapshot_metadata install; /* being installed */

	int told_state;			/* what ops->role was told last */
	uint64_t told_term;
	uint64_t told_leader;
};

void rdrv_fail(struct rdrv *d, const char *why);
void rdrv_log(struct rdrv *d, struct rlog_request *request);
/* The term of an index in the log, 0 if it is not known. */
uint64_t rdrv_term_of(const struct rdrv *d, uint64_t index);
/*
 * One event; messages, entries, term and vote that come out of it are on their way on return.
 * libraft's codes.
 */
int rdrv_step(struct rdrv *d, struct raft_event *event);

/* After each event: does whatever it has made possible. */
void rdrv_settle(struct rdrv *d);
/*
 * The configurations in the log: another one, of an entry or a checkpoint; none from that index on.
 */
int rdrv_conf_add(struct rdrv *d, uint64_t index, const void *bytes, size_t len);
void rdrv_conf_cut(struct rdrv *d, uint64_t from);

/* message.c */
bool rdrv_message_valid(const struct rdrv *d, const struct raft_message *m);
void rdrv_message_feed(struct rdrv *d, const struct raft_message *m);
void rdrv_mail_post(struct rdrv *d, const struct raft_message *m);
void rdrv_mail_filled(struct rdrv *d, struct rdrv_mail *mail, struct rlog_request *read);
void rdrv_mail_flush(struct rdrv *d);
void rdrv_mail_free(struct rdrv_mail *mail);

#endif /* WEFT_DAEMON_RAFT_DRIVER_H */
