/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * meta_fixture.h - a metadata state machine in a directory of its own, driven without log and
 * network
 *
 * Requests are made as a kernel makes them, go through the parser, and are applied as entries one
 * after the other, again as long as the outcome says so. Every call that cannot fail in a sound
 * program fails the test by itself.
 */
#ifndef WEFT_TESTS_META_FIXTURE_H
#define WEFT_TESTS_META_FIXTURE_H

#include "meta/meta.h"
#include "weft_ctl.h"

struct meta_fixture {
	char dir[64];
	struct meta_state state;
	u64 index;
	u64 time_ns;
	u64 volume;
	u64 root;
	u64 session;
	u64 sequence[WEFT_SLOTS];
	unsigned int steps;      /* of the last request */
	u64 most_records;        /* that one entry touched */
	struct tlv_writer payload;
	struct meta_outcome outcome;
	u64 counter;             /* of sids: the last one that was given */
	/* Entries as applied, for a second database. */
	struct { u8 *bytes; size_t len; } *log;
	size_t log_len;
	bool keep_log;
	bool dedup;              /* of the volume that fixture_mounted() makes */
};

void fixture_open(struct meta_fixture *f);
/* With a volume coded k+m, n stores, and a mount of it. */
void fixture_mounted(struct meta_fixture *f, unsigned int k, unsigned int m, unsigned int stores);
void fixture_close(struct meta_fixture *f);
/*
 * For tests: *state becomes a new fixture with a volume of k + m, mounted, and so many stores. The end checks its invariants,
 * and switches planted bugs off.
 */
int fixture_setup(void **state, u8 k, u8 m, unsigned int stores);
int fixture_setup_2_2(void **state);
/* The same with a volume that deduplicates. */
int fixture_setup_dedup(void **state);
int fixture_teardown(void **state);
/* Commit, close, open: what a restart of the process does. */
void fixture_reopen(struct meta_fixture *f);

/* Apply an entry, again while it says so; its status. */
u32 fixture_apply(struct meta_fixture *f, struct meta_buffer *entry);
/*
 * The payload under construction becomes a request in slot with its next number (WEFT_SLOT_NONE:
 * without).
 */
u32 fixture_request(struct meta_fixture *f, u16 op, u32 slot);
/* The same with a number of one's own choice. */
u32 fixture_request_as(struct meta_fixture *f, u16 op, u32 slot, u64 sequence);
/* Begin a payload. */
struct tlv_writer *fixture_payload(struct meta_fixture *f);
/* A request that reads: its status; the answer stands in f->outcome. */
u32 fixture_read(struct meta_fixture *f, u16 op);

/* Shorthands; each returns a status, the inode in *ino. */
u32 fixture_create(struct meta_fixture *f, u64 dir, const char *name, u32 mode, u64 *ino);
u32 fixture_unlink(struct meta_fixture *f, u64 dir, const char *name, bool rmdir);
u32 fixture_rename(struct meta_fixture *f, u64 dir, const char *name, u64 dir2, const char *name2,
		   u32 flags);
u32 fixture_link(struct meta_fixture *f, u64 ino, u64 dir, const char *name);
u32 fixture_lookup(struct meta_fixture *f, u64 dir, const char *name, struct weft_attr *attr);
u32 fixture_getattr(struct meta_fixture *f, u64 ino, struct weft_attr *attr);
u32 fixture_truncate(struct meta_fixture *f, u64 ino, u64 size);
u32 fixture_forget(struct meta_fixture *f, u64 ino);
u32 fixture_mount(struct meta_fixture *f, u8 client, u32 flags, u64 *session);
u32 fixture_end_session(struct meta_fixture *f, u64 session);
/* Another volume; dedup_domain as in weft_volume_info. */
u32 fixture_volume(struct meta_fixture *f, const char *name, u32 k, u32 m, u32 dedup_domain, u64 *volume);
u32 fixture_group(struct meta_fixture *f, u8 k, u8 m, u32 first_store, u64 *group);

/* A COMMIT under construction: the chunks first, then the extents, then the end. */
void fixture_commit_begin(struct meta_fixture *f, u64 ino, u64 size, u32 flags);
/*
 * A chunk in group with all shards where the group says (missing: bits of shards that nobody has).
 */
void fixture_commit_chunk(struct meta_fixture *f, u64 group, u32 plain_len, u32 missing);
/* The same with a content id that is made of the number (0: none) and flags (WEFT_NF_*). */
void fixture_commit_content(struct meta_fixture *f, u64 group, u32 plain_len, u32 missing, u32 content,
			    u32 flags);
void fixture_content_id(u32 content, u8 id[32]);
void fixture_commit_extents(struct meta_fixture *f, const struct weft_extent *extents, size_t n);
u32 fixture_commit_end(struct meta_fixture *f, u32 slot);
/* One chunk for one run of a file. */
u32 fixture_write(struct meta_fixture *f, u64 ino, u64 group, u64 offset, u32 length, u32 missing);

/* CLONE: how much was cloned is the LENGTH of the answer. The payload, for a request of one's own. */
void fixture_clone_payload(struct meta_fixture *f, u64 source, u64 from, u64 ino, u64 to, u64 length);
u32 fixture_clone(struct meta_fixture *f, u64 source, u64 from, u64 ino, u64 to, u64 length);

/* An attribute of the last answer; fails the test if it is not there. */
struct tlv fixture_answer(struct meta_fixture *f, enum weft_p type);
/*
 * The chunk records' references against the extents, the queues against the chunks, the totals
 * against the records.
 */
void fixture_check(struct meta_fixture *f);

#endif
