// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_meta_contents.c - what the leader tells of contents: by answers to CHUNKS, by the filter that bridges get, and by totals
 *
 * The brain's functions are called as its thread would, on a state that was made before. What goes to the loop thread stands in
 * a queue, and is given to a bridge.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/bloom.h"
#include "bridge/bridge.h"
#include "meta/service.h"
#include "meta_fixture.h"

#define LEN      65536u
#define CONTENTS 300u
#define CLIENT   5u

struct fixture {
	struct meta_fixture made;
	struct meta_service service;
	struct meta_brain brain;
	struct bridge bridge;
	bool full;               /* the connection takes nothing */
	bool slow;               /* what is sent stays in: */
	struct meta_op *waiting;
};

static void write_contents(struct meta_fixture *f)
{
	static struct weft_extent extents[100];
	u64 group, ino;

	assert_int_equal(fixture_group(f, 2, 2, 1, &group), WEFT_ST_OK);
	assert_int_equal(fixture_create(f, f->root, "file", S_IFREG | 0644, &ino), WEFT_ST_OK);
	for (unsigned int done = 0; done < CONTENTS; done += 100) {
		fixture_commit_begin(f, ino, (u64)(done + 100) * LEN, 0);
		for (unsigned int i = 0; i < 100; i++) {
			fixture_commit_content(f, group, LEN, 0, done + i + 1, 0);
			extents[i] = (struct weft_extent){ .offset = cpu_to_le64((u64)(done + i) * LEN),
							   .length = cpu_to_le64(LEN),
							   .number = cpu_to_le64(i) };
		}
		fixture_commit_extents(f, extents, 100);
		assert_int_equal(fixture_commit_end(f, 2), WEFT_ST_OK);
	}
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	fixture_open(&f->made);
	f->made.dedup = true;
	fixture_mounted(&f->made, 2, 2, 4);
	write_contents(&f->made);
	/* From here on it is the brain's. */
	assert_int_equal(meta_state_commit(&f->made.state), 0);
	meta_state_close(&f->made.state);
	assert_int_equal(meta_state_open(&f->brain.state, f->made.dir, 1ull << 32, NULL, NULL), 0);
	assert_int_equal(catalog_load(&f->brain.catalog, &f->brain.state), 0);
	assert_int_equal(uv_loop_init(&f->service.loop), 0);
	uv_async_init(&f->service.loop, &f->service.inbox_async, NULL);
	meta_queue_init(&f->service.inbox);
	f->service.brain = &f->brain;
	f->brain.service = &f->service;
	f->brain.leader = true;
	assert_int_equal(meta_contents_init(&f->brain), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	meta_contents_free(&f->brain);
	catalog_free(&f->brain.catalog);
	meta_state_close(&f->brain.state);
	assert_int_equal(meta_state_open(&f->made.state, f->made.dir, 1ull << 32, NULL, NULL), 0);
	fixture_close(&f->made);
	bridge_contents_free(&f->bridge);
	meta_queue_destroy(&f->service.inbox);
	uv_close((uv_handle_t *)&f->service.inbox_async, NULL);
	uv_run(&f->service.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->service.loop), 0);
	free(f);
	return 0;
}

/* The loop thread's part for one frame: it is taken, or it is not, and the brain learns which. Returns the bytes of it. */
static size_t take(struct fixture *f, struct meta_op *op)
{
	struct meta_op *told = op->ctx;
	size_t bytes = f->full ? 0 : op->payload_len;

	assert_int_equal(op->number, CLIENT);
	assert_ptr_equal(op->finish, meta_server_push_contents);
	assert_non_null(told);
	if (!f->full)
		bridge_contents_update(&f->bridge, op->payload, op->payload_len);
	op->finish = NULL;
	meta_op_free(op);
	told->outcome.status = f->full ? WEFT_ST_OVERLOADED : WEFT_ST_OK;
	told->run(&f->brain, told);
	meta_op_free(told);
	return bytes;
}

/* Time passes; the bridge is told what there is to tell. Returns how many bytes that was. */
static size_t tick(struct fixture *f)
{
	struct meta_op *op, *next;
	size_t bytes = 0;

	meta_contents_tick(&f->brain);
	for (op = meta_queue_take(&f->service.inbox, 0); op; op = next) {
		next = op->next;
		if (f->slow) {
			assert_null(f->waiting);
			f->waiting = op;
			continue;
		}
		bytes += take(f, op);
	}
	return bytes;
}

static bool is_new(struct fixture *f, u32 content)
{
	struct weft_chunk_ask ask = { .plain_len = cpu_to_le32(LEN) };
	struct tlv_writer writer;
	bool answer;

	fixture_content_id(content, ask.content_id);
	tlv_writer_init(&writer, WEFT_PAYLOAD_MAX);
	tlv_put(&writer, WEFT_P_ASK, &ask, sizeof(ask));
	answer = bridge_contents_are_new(&f->bridge, writer.data, writer.len);
	tlv_writer_free(&writer);
	return answer;
}

static void add(struct fixture *f, u32 content)
{
	u8 id[32];

	fixture_content_id(content, id);
	meta_contents_add(&f->brain, id);
}

static void a_bridge_knows_what_the_index_has(void **state)
{
	struct fixture *f = *state;
	unsigned int fresh = 0;

	meta_contents_watch(&f->brain, CLIENT);
	assert_in_range(tick(f), 125000, 140000);
	for (u32 i = 1; i <= CONTENTS; i++)
		assert_false(is_new(f, i));
	for (u32 i = 0; i < 100; i++)
		fresh += is_new(f, 1000000 + i);
	assert_in_range(fresh, 99, 100);
	/* Nothing has changed. */
	assert_int_equal(tick(f), 0);
	/* What comes to the index is told by itself. */
	assert_true(is_new(f, 2000000));
	add(f, 2000001);
	assert_in_range(tick(f), BLOOM_ID, 64);
	assert_false(is_new(f, 2000001));
}

static void a_bridge_that_comes_late_is_told_all(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(tick(f), 0);
	for (u32 i = 0; i < 50; i++)
		add(f, 3000000 + i);
	assert_int_equal(tick(f), 0);
	meta_contents_watch(&f->brain, CLIENT);
	meta_contents_watch(&f->brain, CLIENT);
	assert_in_range(tick(f), 125000, 140000);
	for (u32 i = 0; i < 50; i++)
		assert_false(is_new(f, 3000000 + i));
	/* More at once than are told one by one. */
	for (u32 i = 0; i < 5000; i++)
		add(f, 4000000 + i);
	assert_in_range(tick(f), 125000, 140000);
	for (u32 i = 0; i < 5000; i++)
		assert_false(is_new(f, 4000000 + i));
	/* It has gone: nobody is told. */
	meta_contents_unwatch(&f->brain, CLIENT);
	add(f, 5000000);
	assert_int_equal(tick(f), 0);
}

/* More went into it than it holds well, and most of that has gone from the index since. */
static void a_worn_filter_is_made_anew(void **state)
{
	struct fixture *f = *state;
	u64 many = bloom_capacity(BLOOM_BITS_MIN) + 10;

	meta_contents_watch(&f->brain, CLIENT);
	tick(f);
	for (u32 i = 0; i < many; i++)
		add(f, 6000000 + i);
	assert_in_range(tick(f), 125000, 140000);
	assert_true(is_new(f, 6000000));
	for (u32 i = 1; i <= CONTENTS; i++)
		assert_false(is_new(f, i));
}

static void a_new_leader_begins_anew(void **state)
{
	struct fixture *f = *state;

	meta_contents_watch(&f->brain, CLIENT);
	tick(f);
	meta_contents_reset(&f->brain);
	add(f, 7000000);
	assert_in_range(tick(f), 125000, 140000);
	assert_false(is_new(f, 1));
}

/* What a connection does not take costs nothing but time: it is sent when it does, and is whole then. */
static void what_is_not_taken_is_sent_again(void **state)
{
	struct fixture *f = *state;

	meta_contents_watch(&f->brain, CLIENT);
	f->full = true;
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(tick(f), 0);
	f->full = false;
	assert_in_range(tick(f), 125000, 140000);
	for (u32 i = 1; i <= CONTENTS; i++)
		assert_false(is_new(f, i));
	/* Ids likewise, with those that came in between. */
	f->full = true;
	add(f, 8000000);
	assert_int_equal(tick(f), 0);
	add(f, 8000001);
	f->full = false;
	assert_in_range(tick(f), 2 * BLOOM_ID, 64);
	assert_false(is_new(f, 8000000));
	assert_false(is_new(f, 8000001));
	assert_int_equal(tick(f), 0);
}

/* One frame at a time is on its way to a connection, and ids that come meanwhile go with the next. */
static void one_frame_is_on_its_way(void **state)
{
	struct fixture *f = *state;

	meta_contents_watch(&f->brain, CLIENT);
	f->slow = true;
	for (u32 i = 0; i < 5; i++) {
		assert_int_equal(tick(f), 0);
		add(f, 9000000 + i);
	}
	assert_non_null(f->waiting);
	assert_in_range(take(f, f->waiting), 125000, 140000);
	f->slow = false;
	assert_in_range(tick(f), 5 * BLOOM_ID, 128);
	for (u32 i = 0; i < 5; i++)
		assert_false(is_new(f, 9000000 + i));
	/* A bridge that has gone before it took one is nobody's business any more. */
	f->slow = true;
	f->waiting = NULL;
	add(f, 9000005);
	assert_int_equal(tick(f), 0);
	meta_contents_unwatch(&f->brain, CLIENT);
	take(f, f->waiting);
	assert_int_equal(tick(f), 0);
}

/* ---- CHUNKS ---- */

static enum weft_found ask(struct fixture *f, u32 content)
{
	struct weft_chunk_ask ask = { .plain_len = cpu_to_le32(LEN) };
	struct meta_op *op = meta_op_alloc(meta_run_chunks);
	struct weft_chunk_found found;
	struct tlv known[WEFT_P_NR];

	assert_non_null(op);
	op->frame.session = f->made.session;
	op->ask.length = 1;
	fixture_content_id(content, ask.content_id);
	assert_int_equal(meta_buffer_put(&op->entry, &ask, sizeof(ask)), 0);
	op->run(&f->brain, op);
	assert_int_equal(op->outcome.status, WEFT_ST_OK);
	assert_int_equal(op->step, META_DONE);
	assert_int_equal(tlv_collect(op->outcome.answer.data, op->outcome.answer.len, known, WEFT_P_NR, true), 0);
	assert_int_equal(known[WEFT_P_FOUND].len, sizeof(found));
	memcpy(&found, known[WEFT_P_FOUND].data, sizeof(found));
	meta_op_free(op);
	return le32_to_cpu(found.what);
}

/* Nobody is told to rely on a chunk with a shard on a store that does not answer. */
static void stores_that_are_away_make_a_chunk_unfit(void **state)
{
	struct fixture *f = *state;
	struct meta_catalog *catalog = &f->brain.catalog;

	/* A leader that has just begun has heard of no store. */
	assert_int_equal(ask(f, 1), WEFT_FOUND_NOTHING);
	assert_int_equal(ask(f, 999), WEFT_FOUND_NEW);
	for (u32 i = 1; i <= 4; i++) {
		catalog->hosts[i]->state = WEFT_HOST_UP;
		catalog->stores[i]->beaten = true;
	}
	assert_int_equal(ask(f, 1), WEFT_FOUND_EXISTS);
	catalog->stores[2]->status = WEFT_ST_STORE_FULL;
	assert_int_equal(ask(f, 1), WEFT_FOUND_EXISTS);
	catalog->stores[2]->status = WEFT_ST_STORE_IO;
	assert_int_equal(ask(f, 1), WEFT_FOUND_NOTHING);
	catalog->stores[2]->status = WEFT_ST_OK;
	catalog->hosts[3]->state = WEFT_HOST_SUSPECT;
	assert_int_equal(ask(f, 1), WEFT_FOUND_NOTHING);
	catalog->hosts[3]->state = WEFT_HOST_UP;
	assert_int_equal(ask(f, 1), WEFT_FOUND_EXISTS);
}

/* ---- Totals ---- */

static json_int_t number(const json_t *json, const char *name)
{
	assert_true(json_is_integer(json_object_get(json, name)));
	return json_integer_value(json_object_get(json, name));
}

static double stage(const json_t *json, const char *name)
{
	return json_real_value(json_object_get(json_object_get(json, "ratios"), name));
}

/* 300 chunks of a volume of 2+2, some of them compressed to half; one more file that refers to some of them. */
static void totals_say_what_each_stage_saves(void **state)
{
	struct fixture *f = *state;
	const struct cat_volume *volume = catalog_volume(&f->brain.catalog, f->made.volume);
	json_t *json = meta_stats(&f->brain, volume);
	struct weft_m_usage usage;

	assert_int_equal(meta_usage_get(&f->brain.state.txn, f->made.volume, &usage), 0);
	assert_true(json_is_true(json_object_get(json, "counted")));
	assert_int_equal(number(json, "files"), 1);
	assert_int_equal(number(json, "bytes"), CONTENTS * LEN);
	assert_int_equal(number(json, "logical"), CONTENTS * LEN);
	assert_int_equal(number(json, "inline"), 0);
	assert_int_equal(number(json, "chunks"), CONTENTS);
	assert_int_equal(number(json, "plain"), CONTENTS * LEN);
	assert_int_equal(number(json, "stored"), CONTENTS * LEN - CONTENTS / 3 * LEN / 2);
	assert_int_equal(number(json, "raw"), le64_to_cpu(usage.raw_bytes));
	assert_true(stage(json, "dedup") == 1.0);
	assert_true(stage(json, "compression") == 1.2);
	/* The fixture makes shards as long as the plaintext wants them, and a block longer. */
	assert_true(stage(json, "coding") > 0.36 && stage(json, "coding") < 0.38);
	json_decref(json);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_bridge_knows_what_the_index_has),
		TEST(a_bridge_that_comes_late_is_told_all),
		TEST(a_worn_filter_is_made_anew),
		TEST(a_new_leader_begins_anew),
		TEST(what_is_not_taken_is_sent_again),
		TEST(one_frame_is_on_its_way),
		TEST(stores_that_are_away_make_a_chunk_unfit),
		TEST(totals_say_what_each_stage_saves),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}
