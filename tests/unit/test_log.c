// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_log.c - the log on disk: what comes back after a restart, what is torn, what is rotten
 */
#include <errno.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>
#include <cmocka.h>
#include "raft/log.h"

#define SEGMENT (32u * 4096)

struct fixture {
	char directory[64];
	struct rlog_io *io;
	struct rlog_options options;
	struct rlog *log;
	struct rlog_recovered recovered;
	void *conf;
	size_t conf_len;
	uint64_t salt;
	uint64_t wall_ms;
	char why[RNODE_WHY_MAX];
};

static uint64_t next_salt(void *arg)
{
	return ++((struct fixture *)arg)->salt * 0x9e3779b97f4a7c15ull;
}

static uint64_t wall(void *arg)
{
	return ((struct fixture *)arg)->wall_ms;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct raft_configuration conf;

	snprintf(f->directory, sizeof(f->directory), "/tmp/weft-log-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	f->options = (struct rlog_options){
		.owner = { .cluster = "a cluster's uuid", .server = 1 },
		.segment_bytes = SEGMENT,
		.keep_bytes = 2 * SEGMENT,
		.keep_ms = 1000000,
		.keep_percent = 10,
		.scan_bytes = SEGMENT,
		.random = next_salt,
		.wall_ms = wall,
		.arg = f,
	};
	f->wall_ms = 1000;
	raft_configuration_init(&conf);
	assert_int_equal(raft_configuration_add(&conf, 1, "one:1", RAFT_VOTER), 0);
	assert_int_equal(rdrv_conf_encode(&conf, &f->conf, &f->conf_len), 0);
	raft_configuration_close(&conf);
	assert_int_equal(rlog_io_open_dir(f->directory, &f->io, f->why), 0);
	assert_int_equal(rlog_format(f->io, &f->options, f->conf, f->conf_len, f->why), 0);
	assert_int_equal(rlog_open(f->io, &f->options, &f->log, &f->recovered, f->why), 0);
	*state = f;
	return 0;
}

static void close_log(struct fixture *f)
{
	rlog_recovered_clear(&f->recovered);
	rlog_close(f->log);
	f->log = NULL;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[128];

	close_log(f);
	rlog_io_close_dir(f->io);
	free(f->conf);
	snprintf(command, sizeof(command), "rm -rf %s", f->directory);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static int reopen(struct fixture *f)
{
	close_log(f);
	return rlog_open(f->io, &f->options, &f->log, &f->recovered, f->why);
}

/* Entries first..last of a term; their bytes are made from index and term. */
static struct rlog_request *entries(uint64_t first, uint64_t last, uint64_t term, size_t len)
{
	struct rlog_request *r = rlog_request_alloc(RLOG_APPEND);

	r->first = first;
	r->last = last;
	r->entries = calloc(last - first + 1, sizeof(*r->entries));
	for (uint64_t i = first; i <= last; i++) {
		struct rlog_entry *e = rlog_entry_alloc(NULL, len);

		memset(e->bytes, (int)(i * 7 + term), len);
		e->index = i;
		e->term = term;
		e->type = WEFT_LOG_COMMAND;
		r->entries[r->n++] = e;
	}
	return r;
}

static void execute(struct fixture *f, struct rlog_request *requests)
{
	int ret = rlog_execute(f->log, requests, f->why);

	if (ret)
		fail_msg("%s", f->why);
	while (requests) {
		struct rlog_request *next = requests->next;

		rlog_request_free(requests);
		requests = next;
	}
}

static void append(struct fixture *f, uint64_t first, uint64_t last, uint64_t term)
{
	execute(f, entries(first, last, term, 100));
}

static void set_term(struct fixture *f, uint64_t term)
{
	struct rlog_request *r = rlog_request_alloc(RLOG_VOTE);

	r->state.term = term;
	r->state.vote = 1;
	execute(f, r);
}

static void checkpoint(struct fixture *f, uint64_t index, uint64_t term)
{
	struct rlog_request *r = rlog_request_alloc(RLOG_CHECKPOINT);
	struct rlog_request *trim = rlog_request_alloc(RLOG_TRIM);

	r->state.checkpoint_index = index;
	r->state.checkpoint_term = term;
	r->state.conf_index = 1;
	r->state.conf = malloc(f->conf_len);
	memcpy(r->state.conf, f->conf, f->conf_len);
	r->state.conf_len = (uint32_t)f->conf_len;
	assert_int_equal(rlog_execute(f->log, r, f->why), 0);
	trim->first = r->first;
	rlog_request_free(r);
	execute(f, trim);
}

/* Everything from first to last reads back, with the term that it must have. */
static void expect_entries(struct fixture *f, uint64_t first, uint64_t last, uint64_t term)
{
	while (first <= last) {
		struct rlog_request *r = rlog_request_alloc(RLOG_READ);

		r->first = first;
		r->last = last;
		r->room = 1000;
		assert_int_equal(rlog_execute(f->log, r, f->why), 0);
		assert_true(r->n > 0);
		for (size_t i = 0; i < r->n; i++, first++) {
			const struct rlog_entry *e = r->entries[i];

			assert_int_equal(e->index, first);
			assert_int_equal(e->term, term);
			for (uint32_t b = 0; b < e->len; b++)
				assert_int_equal(e->bytes[b], (uint8_t)(first * 7 + term));
		}
		rlog_request_free(r);
	}
}

/* Flips a byte of the record of index, or zeroes everything from it on. */
static void damage(struct fixture *f, uint64_t index, bool zero_rest)
{
	const struct rlog_segment *segment = rlog_segment_find(f->log, index);
	uint8_t *bytes = malloc(SEGMENT);
	struct rlog_cursor cursor;
	struct rlog_record record;
	char path[128], name[RLOG_NAME_SIZE];
	int fd;

	assert_int_equal(rlog_segment_load(f->log, segment->header.segment, bytes, SEGMENT), 0);
	rlog_cursor_init(&cursor, &segment->header, bytes, SEGMENT);
	do
		assert_true(rlog_cursor_next(&cursor, &record));
	while (record.index < index);
	if (zero_rest)
		memset(bytes + record.offset, 0, SEGMENT - 4096 - record.offset);
	else
		bytes[record.offset + 70] ^= 1;
	rlog_segment_name(segment->header.segment, name);
	snprintf(path, sizeof(path), "%s/%s", f->directory, name);
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, bytes, SEGMENT, 0), SEGMENT);
	close(fd);
	free(bytes);
}

static void what_was_appended_comes_back(void **state)
{
	struct fixture *f = *state;

	append(f, 2, 100, 1);
	set_term(f, 3);
	append(f, 101, 2000, 3);
	expect_entries(f, 2, 100, 1);
	expect_entries(f, 101, 2000, 3);
	assert_int_equal(reopen(f), 0);
	assert_int_equal(f->recovered.first_index, 1);
	assert_int_equal(f->recovered.last_index, 2000);
	assert_int_equal(f->recovered.state.term, 3);
	assert_int_equal(f->recovered.n_runs, 2);
	assert_int_equal(f->recovered.runs[1].first, 101);
	assert_int_equal(f->recovered.n_changes, 1);
	expect_entries(f, 101, 2000, 3);
	append(f, 2001, 2010, 3);
	assert_int_equal(reopen(f), 0);
	assert_int_equal(f->recovered.last_index, 2010);
}

static void waiting_appends_share_a_batch(void **state)
{
	struct fixture *f = *state;
	struct rlog_request *first = entries(2, 5, 1, 50);

	first->next = entries(6, 9, 1, 50);
	first->next->next = entries(10, 10, 1, 50);
	execute(f, first);
	/* One block for all of them: the segment holds its header, and that. */
	assert_int_equal(f->log->offset, 2 * WEFT_LOG_BLOCK);
	expect_entries(f, 2, 10, 1);
}

static void entries_that_are_replaced_do_not_come_back(void **state)
{
	struct fixture *f = *state;

	set_term(f, 5);
	append(f, 2, 700, 1);
	append(f, 300, 310, 2);
	assert_int_equal(reopen(f), 0);
	assert_int_equal(f->recovered.last_index, 310);
	expect_entries(f, 2, 299, 1);
	expect_entries(f, 300, 310, 2);
	/* All of it, and then all but the first. */
	append(f, 300, 305, 3);
	append(f, 2, 4, 4);
	append(f, 5, 6, 4);
	assert_int_equal(reopen(f), 0);
	assert_int_equal(f->recovered.last_index, 6);
	expect_entries(f, 2, 6, 4);
}

static void a_torn_end_is_cut(void **state)
{
	struct fixture *f = *state;

	append(f, 2, 50, 1);
	append(f, 51, 60, 1);
	damage(f, 55, false);
	assert_int_equal(reopen(f), 0);
	assert_int_equal(f->recovered.last_index, 54);
	assert_true(f->recovered.torn);
	append(f, 55, 70, 1);
	assert_int_equal(reopen(f), 0);
	assert_int_equal(f->recovered.last_index, 70);
	expect_entries(f, 2, 70, 1);
}

static void rot_below_what_was_durable_is_refused(void **state)
{
	struct fixture *f = *state;

	append(f, 2, 50, 1);
	append(f, 51, 60, 1);
	append(f, 61, 70, 1);
	damage(f, 30, false);
	assert_int_equal(reopen(f), -EUCLEAN);
	assert_non_null(strstr(f->why, "damaged"));
	assert_non_null(strstr(f->why, "entry 30"));
}

static void rot_in_an_earlier_segment_is_refused(void **state)
{
	struct fixture *f = *state;

	append(f, 2, 50, 1);
	append(f, 51, 2000, 1);
	damage(f, 40, true);
	assert_int_equal(reopen(f), -EUCLEAN);
	assert_non_null(strstr(f->why, "damaged"));
}

static void rot_below_a_checkpoint_does_no_harm(void **state)
{
	struct fixture *f = *state;

	append(f, 2, 50, 1);
	append(f, 51, 2000, 1);
	damage(f, 40, true);
	checkpoint(f, 1900, 1);
	assert_int_equal(reopen(f), 0);
	assert_in_range(f->recovered.first_index, 51, 1901);
	assert_int_equal(f->recovered.last_index, 2000);
	assert_int_equal(f->recovered.state.checkpoint_index, 1900);
}

static void one_bad_header_or_slot_is_survived_two_are_not(void **state)
{
	struct fixture *f = *state;
	char path[128];
	uint8_t junk[WEFT_LOG_BLOCK];
	int fd;

	append(f, 2, 50, 1);
	memset(junk, 0xa5, sizeof(junk));
	snprintf(path, sizeof(path), "%s/%016x.log", f->directory,
		 (unsigned int)f->log->segments[1].header.segment);
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, junk, sizeof(junk), 0), sizeof(junk));
	close(fd);
	snprintf(path, sizeof(path), "%s/state", f->directory);
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, junk, sizeof(junk), 0), sizeof(junk));
	assert_int_equal(reopen(f), 0);
	assert_int_equal(f->recovered.last_index, 50);
	/* Opening has mended the slot: the other may go now. */
	assert_int_equal(pwrite(fd, junk, sizeof(junk), WEFT_LOG_STATE_SLOT), sizeof(junk));
	assert_int_equal(reopen(f), 0);
	assert_int_equal(pwrite(fd, junk, sizeof(junk), 0), sizeof(junk));
	assert_int_equal(pwrite(fd, junk, sizeof(junk), WEFT_LOG_STATE_SLOT), sizeof(junk));
	close(fd);
	assert_int_equal(reopen(f), -EUCLEAN);
	assert_non_null(strstr(f->why, "vote twice"));
}

static void a_checkpoint_lets_segments_go_and_only_what_it_covers(void **state)
{
	struct fixture *f = *state;

	append(f, 2, 3000, 1);
	checkpoint(f, 100, 1);
	assert_in_range(rlog_first_index(f->log), 1, 101);
	checkpoint(f, 2500, 1);
	assert_in_range(rlog_first_index(f->log), 2, 2501);
	assert_true(rlog_bytes(f->log) <= 4 * SEGMENT);
	assert_int_equal(reopen(f), 0);
	assert_int_equal(f->recovered.last_index, 3000);
	expect_entries(f, f->recovered.first_index, 3000, 1);
	/* By age. */
	f->options.keep_bytes = 1ull << 40;
	f->wall_ms += 2000000;
	append(f, 3001, 3002, 1);
	checkpoint(f, 3001, 1);
	assert_true(rlog_first_index(f->log) > 2501);
}

static void a_reset_voids_everything_before(void **state)
{
	struct fixture *f = *state;
	struct rlog_request *r = rlog_request_alloc(RLOG_RESET);

	set_term(f, 9);
	append(f, 2, 500, 1);
	r->state.checkpoint_index = 400;
	r->state.checkpoint_term = 7;
	r->state.conf_index = 1;
	r->state.conf = malloc(f->conf_len);
	memcpy(r->state.conf, f->conf, f->conf_len);
	r->state.conf_len = (uint32_t)f->conf_len;
	execute(f, r);
	assert_int_equal(reopen(f), 0);
	assert_int_equal(f->recovered.first_index, 401);
	assert_int_equal(f->recovered.last_index, 400);
	append(f, 401, 410, 8);
	assert_int_equal(reopen(f), 0);
	assert_int_equal(f->recovered.first_index, 401);
	assert_int_equal(f->recovered.last_index, 410);
	expect_entries(f, 401, 410, 8);
}

static void records_inside_an_entry_are_not_records(void **state)
{
	struct fixture *f = *state;
	struct rlog_request *r = entries(2, 2, 1, 64 * 40);
	struct rlog_entry fake = { .index = 3, .term = 1, .type = WEFT_LOG_BARRIER };
	uint32_t crc;

	/* Whoever writes this knows the format, but not the salt. */
	for (int i = 0; i < 40; i++)
		rlog_record_encode(&fake, 1000000, 12345, 0, r->entries[0]->bytes + 64 * i, &crc);
	execute(f, r);
	append(f, 3, 4, 1);
	damage(f, 3, false);
	assert_int_equal(reopen(f), 0);
	assert_int_equal(f->recovered.last_index, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_was_appended_comes_back, setup, teardown),
		cmocka_unit_test_setup_teardown(waiting_appends_share_a_batch, setup, teardown),
		cmocka_unit_test_setup_teardown(entries_that_are_replaced_do_not_come_back, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_torn_end_is_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(rot_below_what_was_durable_is_refused, setup,
						teardown),
		cmocka_unit_test_setup_teardown(rot_in_an_earlier_segment_is_refused, setup,
						teardown),
		cmocka_unit_test_setup_teardown(rot_below_a_checkpoint_does_no_harm, setup,
						teardown),
		cmocka_unit_test_setup_teardown(one_bad_header_or_slot_is_survived_two_are_not,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_checkpoint_lets_segments_go_and_only_what_it_covers, setup, teardown),
		cmocka_unit_test_setup_teardown(a_reset_voids_everything_before, setup, teardown),
		cmocka_unit_test_setup_teardown(records_inside_an_entry_are_not_records, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
