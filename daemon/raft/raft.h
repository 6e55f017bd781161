/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * raft.h - what the replicated log offers to the state machine
 *
 * A voter is three threads:
 *
 *	loop thread	owns the voter (struct rnode): elections, submissions, commits. It never touches a disk and
 *			never waits. Everything here is called on it unless the comment says otherwise.
 *	log thread	started by the voter: the only one that reads or writes the voter's directory
 *	apply thread	belongs to the state machine: takes committed entries with rnode_fetch(), in index order
 *
 *	 submit  --> [ pending ] --> libraft --> [ log thread ] --> durable, committed --> [ apply queue ] --> fetch
 *	 <-------------------------------- bytes and entries counted until rnode_release() -------------------->
 *
 * What the state machine may rely on:
 *  - entries come in index order without gaps, each once a run, starting above the applied index
 *    given at the start;
 *  - an entry that was fetched is committed and durable in this voter's own log: it comes again
 *    after a crash until a checkpoint covers it;
 *  - nothing above the last checkpoint published with rnode_checkpoint() ever leaves the log;
 *  - a new leader's first own entry is a barrier (RNODE_BARRIER with .leader set): when it is
 *    fetched, everything of earlier terms has been fetched before it.
 *
 * The prefixes: libraft owns raft_, so this folder uses rnode_ (voter), rdrv_ (pure driver), rlog_
 * (log on disk).
 */
#ifndef WEFT_DAEMON_RAFT_H
#define WEFT_DAEMON_RAFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rnode;
struct rlog_io;

#define RNODE_ENTRY_MAX (1u << 20)	/* bytes of an entry, at most */
#define RNODE_WHY_MAX	512		/* room for a sentence about an error */

enum rnode_type {
	RNODE_COMMAND,	/* an entry of the state machine */
	RNODE_BARRIER,	/* no content: a leader's first entry, or one asked for with rnode_barrier() */
	RNODE_CONFIG,	/* the voters changed; nothing to apply but the index */
};

/* A committed entry as the apply thread sees it. */
struct rnode_entry {
	uint64_t index;
	uint64_t term;
	enum rnode_type type;
	bool leader;		/* the first entry of this voter's own term: from here on it may serve */
	const void *bytes;	/* valid until rnode_release() of this index; NULL when len is 0 */
	uint32_t len;
	void *ctx;		/* as given to rnode_submit() in this run; NULL for all others */
};

enum rnode_role {
	RNODE_FOLLOWER,
	RNODE_CANDIDATE,
	RNODE_LEADER,	/* elected; it may serve only once its first own entry has been fetched */
};

/* Called on the loop thread. */
struct rnode_ops {
	/*
	 * The role, the term or the known leader changed. leader is 0 while none is known. When
	 * this voter was the leader before, lost() has been called for all that waited.
	 */
	void (*role)(void *owner, enum rnode_role role, uint64_t term, uint64_t leader,
		     const char *address);
	/*
	 * The submission that brought ctx is no longer followed: this voter stopped being the
	 * leader. The entry may still commit and is then fetched with a NULL ctx; who asked must
	 * ask the new leader again. Optional when no submission carries a ctx.
	 */
	void (*lost)(void *owner, void *ctx);
	/*
	 * The voter cannot go on: a write or a sync failed, or what it is told contradicts its log.
	 * why is one sentence for the administrator. The process has to end: nothing is written
	 * after this call, nothing may be answered. Never retried: after a failed sync the page
	 * cache no longer says what the disk holds.
	 */
	void (*fatal)(void *owner, const char *why);
};

struct rnode_config {
	const char *directory;		/* of the log; must exist; best on a disk of its own */
	uint64_t server;		/* raft id of this voter, > 0, never used again after its directory was lost */
	uint8_t cluster[16];		/* UUID */
	const char *address;		/* where other voters reach this one */
	uint64_t seed;			/* of election timers: from getrandom() */
	unsigned int election_ms;	/* 0: 400 */
	unsigned int heartbeat_ms;	/* 0: a fifth of the election timeout */

	/* Between submit (or arrival from the leader) and release; 0: 64 MiB, 65 536 entries. */
	size_t queue_bytes;
	unsigned int queue_entries;

	/*
	 * The log kept for voters that lag, though a checkpoint covers it: the first limit reached
	 * counts.
	 */
	uint64_t keep_bytes;		/* 0: 8 GiB */
	uint64_t keep_ms;		/* 0: one hour */
	unsigned int keep_percent;	/* of the file system; 0: 10 */
	uint64_t segment_bytes;		/* size of a log file; a multiple of 4096; 0: 16 MiB */

	uint64_t applied;		/* last index that the state machine's durable state contains; 0: none */
	uint64_t applied_term;		/* its term, checked against the log; 0: not known */

	const struct rnode_ops *ops;
	void *owner;
};

/*
 * rnode_format - make an empty directory the log of a new cluster's first voter, alone for now
 * @config: directory, server, cluster and address are used
 * @why: RNODE_WHY_MAX bytes, a sentence on failure
 *
 * Any thread, blocks on the disk. All is durable on return. -EEXIST when the directory holds a log.
 */
int rnode_format(const struct rnode_config *config, char *why);

/*
 * rnode_start - open the log, check it, elect
 *
 * Blocks while the log is read (before the loop runs); the calling thread becomes the loop thread.
 * A log that is damaged below what was known to be durable, belongs to another cluster or server,
 * or does not reach the state machine's applied index is refused (-EUCLEAN; -ENOENT for no log)
 * with a sentence in why; the directory is then left as it was. Callbacks come from
 * rnode_dispatch() only, never from here.
 */
int rnode_start(const struct rnode_config *config, struct rnode **node, char *why);

/*
 * rnode_stop - end the log thread and free the voter
 *
 * What was submitted and is not yet durable may or may not be in the log. rnode_wake() must have
 * been called and the apply thread joined before: bytes of fetched entries go away here.
 */
void rnode_stop(struct rnode *node);

/*
 * --- the loop: works with poll(2) as well as libuv (uv_poll_t on the descriptor, one uv_timer_t)
 * ---
 */

/* Readable when rnode_dispatch() has something to do. */
int rnode_fd(const struct rnode *node);

/*
 * Milliseconds until rnode_dispatch() is due, at least 0. Changes with each dispatch: ask again
 * after it.
 */
int rnode_timeout(const struct rnode *node);

/* Does what is due; never blocks. Callbacks are called from here. */
void rnode_dispatch(struct rnode *node);

/* --- submitting: loop thread --- */

/*
 * rnode_submit - propose an entry
 * @bytes: copied; @len: 1 .. RNODE_ENTRY_MAX
 * @ctx: comes back with the entry in rnode_fetch(), or through ops->lost, exactly once
 *
 * What is submitted within one turn of the loop shares a batch, and batches that wait for the disk
 * share a sync. -EREMOTE: not the leader (see rnode_leader()); -EAGAIN: the queue is full, nothing
 * was taken; -EMSGSIZE.
 */
int rnode_submit(struct rnode *node, const void *bytes, size_t len, void *ctx);

/*
 * rnode_barrier - propose an entry without content
 *
 * When it is fetched this voter was still the leader after the call, and all that was committed
 * before the call has been fetched: reads may be answered from the applied state. Errors as
 * rnode_submit().
 */
int rnode_barrier(struct rnode *node, void *ctx);

/*
 * rnode_may_read - may a read that arrived now be answered from the applied state?
 *
 * 0: yes, at once. -EAGAIN: only behind a rnode_barrier() (several voters: leadership is not known
 * for sure). -EREMOTE: not the leader, or its first own entry is not yet applied (released).
 */
int rnode_may_read(const struct rnode *node);

/*
 * The leader's id, 0 if none is known; address may be NULL, its string is valid until the next
 * dispatch.
 */
uint64_t rnode_leader(const struct rnode *node, const char **address);

/* --- applying: the apply thread --- */

/*
 * rnode_fetch - take the next committed entries, waiting for the first one
 * @entries: room for @max
 *
 * Returns how many, in index order; 0 after rnode_wake(). A large @max makes large write
 * transactions.
 */
unsigned int rnode_fetch(struct rnode *node, struct rnode_entry *entries, unsigned int max);

/* Makes a waiting and every later rnode_fetch() return 0 once the queue is empty. Any thread. */
void rnode_wake(struct rnode *node);

/* Entries up to index are applied (not necessarily durable): their bytes may go. Apply thread. */
void rnode_release(struct rnode *node, uint64_t index);

/*
 * rnode_checkpoint - the state machine's state up to index is durable
 *
 * To be called only after the sync that made it so. From here on entries up to index may leave the
 * log, and a start with an older state is refused. index must have been released. Any thread; lower
 * indexes than before do nothing.
 */
void rnode_checkpoint(struct rnode *node, uint64_t index, uint64_t term);

/* --- what is shown to people; loop thread --- */

struct rnode_status {
	enum rnode_role role;
	uint64_t term;
	uint64_t leader;
	uint64_t first_index;		/* in the log */
	uint64_t last_index;
	uint64_t durable_index;		/* in this voter's own log */
	uint64_t commit_index;
	uint64_t released_index;
	uint64_t checkpoint_index;
	unsigned int voters;
	size_t queued_bytes;
	unsigned int queued_entries;
	uint64_t log_bytes;		/* of live log files */
	uint64_t sync_ns;		/* smoothed time of a log write including its sync */
};

void rnode_status(const struct rnode *node, struct rnode_status *status);

#endif /* WEFT_DAEMON_RAFT_H */
