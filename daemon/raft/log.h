/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * log.h - the open log, shared by log.c (which writes it) and log_recover.c (which finds out what
 * it holds)
 *
 * Used by one thread at a time.
 */
#ifndef WEFT_DAEMON_RAFT_LOG_H
#define WEFT_DAEMON_RAFT_LOG_H

#include "raft/internal.h"

#define RLOG_STATE_NAME	  "state"
#define RLOG_PREPARE_NAME "prepare.tmp"
#define RLOG_NAME_SIZE	  32

/*
 * A segment in use. It holds first_index up to the next one's first_index - 1, the last one up to
 * last_index.
 */
struct rlog_segment {
	struct rlog_header header;
	uint64_t used;		/* bytes up to the end of the last record; UINT64_MAX: not scanned */
};

/* The segment that was read last, as a whole, and where reading it stopped. */
struct rlog_reader {
	uint64_t segment;	/* 0: none */
	uint8_t *bytes;
	uint64_t size;
	struct rlog_cursor cursor;
};

struct rlog {
	struct rlog_io *io;
	struct rlog_options options;
	int state_file;
	struct rlog_state state;	/* as on disk; conf owned */

	struct rlog_segment *segments;	/* by number */
	size_t n_segments;
	size_t cap_segments;
	uint64_t *spares;		/* numbers of prepared files, ascending, above all segments */
	size_t n_spares;
	uint64_t next_segment;		/* number of the next file to make */

	int file;		/* the segment that this run appends to; -1: the next write begins one */
	uint64_t offset;	/* in it: where the next batch goes */
	bool reset;		/* the segment begun next voids all others */
	uint64_t last_index;
	uint64_t last_term;
	uint32_t last_crc;

	uint8_t *batch;		/* aligned to WEFT_LOG_BLOCK */
	size_t batch_size;
	struct rlog_reader reader;
};

void rlog_segment_name(uint64_t segment, char *name);
/* Opens, reads size bytes from the beginning, closes. */
int rlog_segment_load(struct rlog *log, uint64_t segment, uint8_t *bytes, uint64_t size);
/* Adds behind the last one. */
int rlog_segment_add(struct rlog *log, const struct rlog_header *header, uint64_t used);
/* The segment that holds index, or would; NULL if index is below the first. */
struct rlog_segment *rlog_segment_find(struct rlog *log, uint64_t index);
/* All copies of the state, durable; log->state as given then (takes over conf). */
int rlog_state_write(struct rlog *log, struct rlog_state *state);
void *rlog_alloc_blocks(size_t size);

#endif /* WEFT_DAEMON_RAFT_LOG_H */
