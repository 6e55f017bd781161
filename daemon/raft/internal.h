/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * internal.h - the parts of this folder and of its tests among themselves
 *
 *	node.c		threads, queues, the loop: the only part with effects beyond the log
 *	driver.c	pure: events in, requests and messages out; wraps libraft's raft_step()
 *	start.c		the driver's beginning and end
 *	message.c	the driver's messages: checked before they reach libraft, held until they may leave
 *	window.c	the driver's entries in memory
 *	log.c		the log on disk, through struct rlog_io; single-threaded, blocking
 *	log_recover.c	opens it: which segments count, what is torn, what is rotten
 *	log_parse.c	pure: bytes to segments, records, state
 *	log_io.c	struct rlog_io over a directory
 *	entry.c		entries, shared by all of these
 *	conf.c		configurations: checked before libraft decodes them
 */
#ifndef WEFT_DAEMON_RAFT_INTERNAL_H
#define WEFT_DAEMON_RAFT_INTERNAL_H

#include <assert.h>
#include <stdatomic.h>
#include <sys/types.h>
#include <raft.h>
#include "weft_log.h"
#include "raft/raft.h"

/*
 * --- entry.c -------------------------------------------------------------------------------------
 * --------------
 */

/*
 * An entry, shared by the driver, log requests, messages and the apply queue. Immutable once it has
 * an index, but for refs and, on the loop thread, ctx. The bytes follow.
 */
struct rlog_entry {
	atomic_uint refs;
	uint32_t len;
	uint64_t index;
	uint64_t term;
	uint8_t type;		/* enum weft_log_type */
	bool leader;		/* the first own entry of this voter's term */
	bool followed;		/* submitted here and not yet fetched, lost or given up: ctx counts */
	void *ctx;
	uint8_t bytes[];
};

/*
 * One reference, all zero but len and the bytes (uninitialized when bytes is NULL); NULL without
 * memory.
 */
struct rlog_entry *rlog_entry_alloc(const void *bytes, size_t len);
struct rlog_entry *rlog_entry_get(struct rlog_entry *entry);
void rlog_entry_put(struct rlog_entry *entry);	/* NULL is fine; any thread */

/* As the apply thread sees it. */
void rlog_entry_show(const struct rlog_entry *entry, struct rnode_entry *shown);

/* What an entry counts in memory bounds. */
static inline size_t rlog_entry_size(const struct rlog_entry *entry)
{
	return sizeof(*entry) + entry->len;
}

/*
 * --- log_io.c ------------------------------------------------------------------------------------
 * --------------
 */

/*
 * The disk under a log. All calls block, return negative errno, and are made by one thread at a
 * time. Names are file names in the log's directory. A file that was created, renamed or unlinked
 * is so for good only after sync_dir().
 */
struct rlog_io {
	const struct rlog_io_ops *ops;
};

struct rlog_io_ops {
	const char *name;
	/* A handle >= 0. create: make it, -EEXIST if it is there. */
	int (*open)(struct rlog_io *io, const char *name, bool create);
	void (*close)(struct rlog_io *io, int file);
	int64_t (*size)(struct rlog_io *io, int file);
	/* All of len bytes, or an error; -EIO when the file is shorter. */
	int (*read)(struct rlog_io *io, int file, void *buf, size_t len, uint64_t offset);
	/*
	 * All of len bytes; durable on return if asked for. buf and offset are multiples of
	 * WEFT_LOG_BLOCK.
	 */
	int (*write)(struct rlog_io *io, int file, const void *buf, size_t len, uint64_t offset,
		     bool durable);
	int (*sync)(struct rlog_io *io, int file);
	int (*rename)(struct rlog_io *io, const char *from, const char *to);
	int (*unlink)(struct rlog_io *io, const char *name);
	int (*sync_dir)(struct rlog_io *io);
	/*
	 * Calls each() for every name, in any order, until it returns non-zero, and returns that.
	 */
	int (*list)(struct rlog_io *io, int (*each)(void *arg, const char *name), void *arg);
	/* Bytes of the whole file system. */
	int (*space)(struct rlog_io *io, uint64_t *total);
};

/* A directory of this machine. Locks it against a second process (-EBUSY). */
int rlog_io_open_dir(const char *directory, struct rlog_io **io, char *why);
void rlog_io_close_dir(struct rlog_io *io);

/*
 * --- log_parse.c
 * -----------------------------------------------------------------------------------------------
 */

/* Whose log it is. */
struct rlog_owner {
	uint8_t cluster[16];
	uint64_t server;
};

/*
 * Term, vote and checkpoint, in memory. conf is malloc()ed by whoever owns the struct; NULL when
 * conf_len is 0.
 */
struct rlog_state {
	uint64_t sequence;
	uint64_t term;
	uint64_t vote;
	uint64_t checkpoint_index;
	uint64_t checkpoint_term;
	uint64_t conf_index;
	uint32_t conf_len;
	bool replaced;		/* WEFT_LOG_REPLACED */
	void *conf;
};

struct rlog_header {
	uint64_t segment;
	uint64_t size;
	uint64_t first_index;
	uint64_t prev_term;
	uint64_t salt;
	uint64_t time_ms;
	uint32_t prev_crc;
	bool reset;
};

/* A record in place: data points into the parsed bytes. */
struct rlog_record {
	uint64_t index;
	uint64_t term;
	uint64_t durable;
	uint32_t crc;
	uint32_t length;
	uint64_t offset;	/* of the record in the segment */
	uint8_t type;
	const uint8_t *data;
};

/* Where a walk through a segment stands: the record looked for next. */
struct rlog_cursor {
	const uint8_t *bytes;	/* the segment from its beginning */
	uint64_t size;		/* bytes that are there */
	uint64_t offset;
	uint64_t salt;
	uint64_t index;
	uint64_t term;		/* of the record before */
	uint32_t prev_crc;
};

/* Into WEFT_LOG_STATE_SLOT bytes. -EMSGSIZE: the configuration is too long. */
int rlog_state_encode(const struct rlog_owner *owner, const struct rlog_state *state, void *slot);
/* -EUCLEAN: not a valid slot; -EXDEV: of another cluster or server. conf points into the slot. */
int rlog_state_decode(const struct rlog_owner *owner, const void *slot, struct rlog_state *state);

/* Into WEFT_LOG_BLOCK bytes. */
void rlog_header_encode(const struct rlog_owner *owner, const struct rlog_header *header,
			void *block);
/* -ENODATA: not the header of that segment; -EXDEV: a valid one of another cluster or server. */
int rlog_header_decode(const struct rlog_owner *owner, uint64_t segment, const void *block,
		       struct rlog_header *header);

/* Bytes that a record takes. */
uint64_t rlog_record_size(uint32_t length);
/* Writes record and padding to at, returns the bytes written and sets *crc to the record's. */
uint64_t rlog_record_encode(const struct rlog_entry *entry, uint64_t durable, uint64_t salt,
			    uint32_t prev_crc, void *at, uint32_t *crc);

void rlog_cursor_init(struct rlog_cursor *cursor, const struct rlog_header *header,
		      const void *bytes, uint64_t size);
/* True and the next record, or false: the segment's valid records end here. */
bool rlog_cursor_next(struct rlog_cursor *cursor, struct rlog_record *record);
/*
 * The highest index that any intact record header behind offset says was durable; 0 if none. More
 * than or equal to the index at which a walk ended means that the record there is rotten, not torn.
 */
uint64_t rlog_durable_claim(const void *bytes, uint64_t size, uint64_t offset, uint64_t salt);

/*
 * --- log.c, log_recover.c
 * --------------------------------------------------------------------------------------
 */

struct rlog;

struct rlog_options {
	struct rlog_owner owner;
	uint64_t segment_bytes;
	uint64_t keep_bytes;
	uint64_t keep_ms;
	unsigned int keep_percent;
	uint64_t scan_bytes;	/* of what a checkpoint covers, read at the start so that it can still be sent */
	uint64_t (*random)(void *arg);
	uint64_t (*wall_ms)(void *arg);
	void *arg;
};

/* From this index on, up to the next run, entries have this term. */
struct rlog_run {
	uint64_t first;
	uint64_t term;
};

/* What a log holds when it was opened. */
struct rlog_recovered {
	struct rlog_state state;
	uint64_t first_index;		/* of the runs: at most checkpoint_index + 1 */
	uint64_t last_index;		/* first_index - 1 when there are none */
	struct rlog_run *runs;
	size_t n_runs;
	struct rlog_entry **changes;	/* all configurations from first_index on, in order */
	size_t n_changes;
	bool torn;			/* a write that was cut short was found at the end, for the log line */
};

/* conf: the first entry, of term 1. */
int rlog_format(struct rlog_io *io, const struct rlog_options *options, const void *conf,
		size_t conf_len, char *why);
/* Syncs what it found, leaves the files as they were otherwise. Negative errno and a sentence. */
int rlog_open(struct rlog_io *io, const struct rlog_options *options, struct rlog **log,
	      struct rlog_recovered *recovered, char *why);
void rlog_recovered_clear(struct rlog_recovered *recovered);
void rlog_close(struct rlog *log);

/* Requests, executed one after the other in the order in which they were issued. */
enum rlog_kind {
	RLOG_VOTE,	 /* make term and vote durable */
	RLOG_APPEND,	 /* make entries durable; what the log holds from the first one's index on is replaced */
	RLOG_READ,	 /* bring entries into memory */
	RLOG_CHECKPOINT, /* make the checkpoint durable, say what may go */
	RLOG_TRIM,	 /* let it go */
	RLOG_RESET,	 /* empty the log: it goes on behind a checkpoint that came from elsewhere */
};

struct rlog_request {
	struct rlog_request *next;
	enum rlog_kind kind;
	uint64_t sequence;	/* the driver's */
	struct rlog_state state; /* VOTE: term, vote. CHECKPOINT, RESET: the other fields; conf owned by the request */
	uint64_t first;		/* APPEND, READ: first index. TRIM: keep from here */
	uint64_t room;		/* READ: stop after this many bytes (one entry comes in any case) */
	uint64_t last;		/* APPEND: last index. READ: do not read beyond */
	struct rlog_entry **entries; /* APPEND: references owned by the request; READ: result */
	size_t n;
	void *arg;		/* the driver's */
};

struct rlog_request *rlog_request_alloc(enum rlog_kind kind);
void rlog_request_free(struct rlog_request *request);

/*
 * Executes a list of requests; several APPENDs in a row share a write. Each is complete when the
 * call returns 0. Results: READ entries and n (0: not in the log any more), CHECKPOINT first (the
 * index from which to keep). Any error is final: the log must not be used again.
 */
int rlog_execute(struct rlog *log, struct rlog_request *requests, char *why);
/*
 * Makes the next segment ready, so that no write has to wait for it. To be called when there is
 * nothing else to do.
 */
int rlog_prepare(struct rlog *log, char *why);

uint64_t rlog_first_index(const struct rlog *log);
uint64_t rlog_bytes(const struct rlog *log);	/* of all segments in use */

/*
 * --- conf.c --------------------------------------------------------------------------------------
 * --------------
 */

#define RDRV_SERVERS_MAX 31	/* voters and stand-bys of a cluster */

/* -EBADMSG unless raft_configuration_decode() may be called on it: it does not check bounds. */
int rdrv_conf_check(const void *bytes, size_t len);
/*
 * Both are negative errno of the project, not libraft's. The result of decode is closed with
 * raft_configuration_close().
 */
int rdrv_conf_decode(const void *bytes, size_t len, struct raft_configuration *conf);
int rdrv_conf_encode(const struct raft_configuration *conf, void **bytes, size_t *len);	/* free() */
/* True if exactly one server was added, removed or has another role, and somebody still votes. */
bool rdrv_conf_is_step(const struct raft_configuration *from, const struct raft_configuration *to);
unsigned int rdrv_conf_voters(const struct raft_configuration *conf);

/*
 * --- driver.c, start.c ---------------------------------------------------------------------------
 * -----------------------
 */

struct rdrv;

/* Outputs. Called from within the events below; they must not call back into the driver. */
struct rdrv_ops {
	/*
	 * Takes over the request. Requests are executed in this order and come back in it by
	 * rdrv_logged(); but a VOTE may overtake what is not a VOTE.
	 */
	void (*log)(void *owner, struct rlog_request *request);
	/*
	 * Everything in message is valid during the call only; entries are filled in. May drop it.
	 */
	void (*send)(void *owner, const struct raft_message *message);
	/* The next committed and locally durable entry; one reference is the receiver's. */
	void (*apply)(void *owner, struct rlog_entry *entry);
	void (*lost)(void *owner, void *ctx);
	/* Role, term or leader differ from the last call. */
	void (*role)(void *owner);
	/*
	 * The state of voter from at (index, term) must be copied, durably, beside the state
	 * machine's own; then rdrv_installed() be called. When that cannot be done, or another
	 * state was copied, the driver is to be freed and started anew from disk. NULL: such
	 * messages are dropped.
	 */
	void (*install)(void *owner, uint64_t from, uint64_t index, uint64_t term);
	/*
	 * The log now begins behind that copy: it is the state from here on. After a crash in
	 * between, a start finds a log whose checkpoint is the copy's index and takes it then.
	 */
	void (*adopt)(void *owner, uint64_t index, uint64_t term);
	/* Nothing may be done with the driver any more but rdrv_free(). */
	void (*fatal)(void *owner, const char *why);
};

/* Bugs that the simulator must find; never set elsewhere. */
#define RDRV_BUG_STALE_COMPLETION 0x1	/* a completed write counts though its entries were replaced meanwhile */
#define RDRV_BUG_EARLY_TRIM	  0x2	/* what is applied may leave the log, synced or not */
#define RDRV_BUG_VOTE_UNSYNCED	  0x4	/* messages do not wait for term and vote */

struct rdrv_config {
	uint64_t server;
	const char *address;
	uint64_t seed;
	unsigned int election_ms;
	unsigned int heartbeat_ms;
	size_t queue_bytes;
	unsigned int queue_entries;
	size_t cache_bytes;	/* released entries kept in memory for voters that lag */
	unsigned int bugs;
	const struct rdrv_ops *ops;
	void *owner;
};

int rdrv_alloc(const struct rdrv_config *config, struct rdrv **result);
void rdrv_free(struct rdrv *d);

/*
 * Events. now: milliseconds of a clock that never goes back. They come one at a time.
 * start: the first; a negative errno and a sentence if log and state machine contradict each other.
 */
int rdrv_start(struct rdrv *d, uint64_t now, const struct rlog_recovered *recovered,
	       uint64_t applied, uint64_t applied_term, char *why);
void rdrv_tick(struct rdrv *d, uint64_t now);
/* Copies what it needs. Anything invalid is dropped. */
void rdrv_receive(struct rdrv *d, uint64_t now, const struct raft_message *message);
/* Takes over the request, executed. */
void rdrv_logged(struct rdrv *d, uint64_t now, struct rlog_request *request);
/* A request that will not be executed any more, before rdrv_free(). */
void rdrv_unlogged(struct rdrv *d, struct rlog_request *request);
/*
 * n new entries (type, bytes, ctx set); takes over the references if it returns 0. -EREMOTE,
 * -EAGAIN.
 */
int rdrv_submit(struct rdrv *d, uint64_t now, struct rlog_entry **entries, size_t n);
/* Adds, removes or re-roles one server. -EREMOTE; -EAGAIN: not now; -EINVAL: not a single step. */
int rdrv_change(struct rdrv *d, uint64_t now, const struct raft_configuration *conf);
/* Hands leadership to another voter (0: to whom libraft thinks best). */
int rdrv_transfer(struct rdrv *d, uint64_t now, uint64_t server);
void rdrv_released(struct rdrv *d, uint64_t now, uint64_t index);
void rdrv_checkpoint(struct rdrv *d, uint64_t now, uint64_t index, uint64_t term);
void rdrv_installed(struct rdrv *d, uint64_t now);

/* When rdrv_tick() is due. */
uint64_t rdrv_deadline(const struct rdrv *d);
/*
 * Would rdrv_submit() take n more entries of that many bytes (by rlog_entry_size()) in all? 0,
 * -EREMOTE, -EAGAIN.
 */
int rdrv_may_submit(const struct rdrv *d, size_t n, size_t bytes);
int rdrv_may_read(const struct rdrv *d);
uint64_t rdrv_leader(const struct rdrv *d, const char **address);
void rdrv_status(const struct rdrv *d, struct rnode_status *status);
const struct raft_configuration *rdrv_configuration(const struct rdrv *d);

#endif /* WEFT_DAEMON_RAFT_INTERNAL_H */
