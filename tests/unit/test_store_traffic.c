// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The store under traffic: pipelined requests answered in any order, peers that send garbage or go away in the middle,
 * several writers of one shard, peers that do not read, segments that are compacted under reads and writes.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "chunk/crctable.h"
#include "store/segment.h"
#include "store_fixture.h"
#include "weft_status.h"

static enum store_backend backend;
static unsigned int seed;

static uint32_t rng(void)
{
	seed = seed * 1664525u + 1013904223u;
	return seed >> 8;
}

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	fixture_init(fixture, backend);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	if (fixture->server)
		fixture_stop(fixture);
	fixture_exit(fixture);
	free(fixture);
	return 0;
}

/* --- pipelining ------------------------------------------------------------------------------------------------------- */

#define SHARDS 24
#define WINDOW 40

struct pending {
	struct weft_wire_frame frame;
	unsigned int shard;
	bool used;
};

static void send_one(struct store_client *client, const struct shard *shard,
		     struct pending *pending, uint8_t op)
{
	struct iovec iov[3] = {
		{(void *)shard->head, shard->head_len},
		{shard->data, shard->shard_len},
		{shard->table, shard->table_len},
	};

	pending->used = true;
	pending->frame = shard->name;
	pending->frame.op = op;
	if (op == WEFT_OP_PUT)
		weft_wire_frame_put(&pending->frame, shard->head_len, shard->shard_len);
	if (op == WEFT_OP_GET) {
		pending->frame.offset = rng() % (shard->shard_len / 4096 + 1) * 4096;
		pending->frame.length = 1 + rng() % shard->shard_len;
		pending->frame.flags = rng() % 2 ? WEFT_WIRE_GET_HEADER : 0;
		if (pending->frame.offset >= shard->shard_len)
			pending->frame.offset = 0;
	}
	assert_int_equal(store_client_send(client, &pending->frame, iov, op == WEFT_OP_PUT ? 3 : 0),
			 0);
}

/* An answer is right if it may be: ABSENT as long as the PUT was not answered before the request was sent. */
static void check_answer(const struct weft_wire_frame *answer, const struct pending *pending,
			 const struct shard *shard, const uint8_t *payload, bool *stored)
{
	assert_true(weft_wire_frame_answers(answer, &pending->frame));
	if (answer->op == WEFT_OP_PUT) {
		assert_int_equal(answer->status, WEFT_ST_OK);
		*stored = true;
	} else if (answer->op == WEFT_OP_GET && answer->status == WEFT_ST_OK) {
		const uint8_t *data = payload + weft_wire_data_start(answer);

		assert_memory_equal(data, shard->data + answer->offset, answer->length);
		assert_true(weft_crctable_sealed(payload + weft_wire_crc_start(answer),
						 weft_block_count(answer->length)));
		if (answer->head_len)
			assert_memory_equal(payload, shard->head, shard->head_len);
	} else if (answer->status != WEFT_ST_OK) {
		assert_int_equal(answer->status, WEFT_ST_ABSENT);
		assert_false(
			pending->frame
				.usec); /* set below for requests sent after the PUT was answered */
	}
}

static void pipelined_requests_get_their_own_answers(void **state)
{
	static const uint8_t ops[] = {WEFT_OP_PUT,  WEFT_OP_GET,  WEFT_OP_GET,
				      WEFT_OP_STAT, WEFT_OP_PING, WEFT_OP_VERIFY};
	struct fixture *fixture = *state;
	struct pending pending[WINDOW] = {0};
	struct shard shards[SHARDS];
	bool stored[SHARDS] = {false};
	uint8_t *payload = malloc(WEFT_WIRE_PAYLOAD_MAX);
	struct store_client *client;
	unsigned int in_flight = 0, sent = 0;

	fixture_start(fixture);
	client = fixture_connect(fixture, WEFT_ROLE_STORE);
	for (unsigned int i = 0; i < SHARDS; i++)
		shard_init(&shards[i], 9 + i % 3, i + 1,
			   i % 3 ? 1 + rng() % 200000 : 300000 + rng() % 500000, i);
	while (sent < 1500 || in_flight) {
		struct weft_wire_frame answer;
		unsigned int i;

		if (sent < 1500 && in_flight < WINDOW && rng() % 3) {
			uint8_t op = ops[rng() % sizeof(ops)];
			unsigned int shard = rng() % SHARDS;

			for (i = 0; pending[i].used; i++)
				;
			pending[i].shard = shard;
			if (op == WEFT_OP_PING) {
				pending[i].used = true;
				pending[i].frame = (struct weft_wire_frame){.op = WEFT_OP_PING};
				assert_int_equal(
					store_client_send(client, &pending[i].frame, NULL, 0), 0);
			} else {
				send_one(client, &shards[shard], &pending[i], op);
			}
			pending[i].frame.usec = stored[shard];
			sent++;
			in_flight++;
			continue;
		}
		if (!in_flight)
			continue;
		assert_int_equal(store_client_recv(client, &answer, payload, WEFT_WIRE_PAYLOAD_MAX),
				 0);
		for (i = 0; i < WINDOW; i++)
			if (pending[i].used && pending[i].frame.request_id == answer.request_id)
				break;
		assert_true(i < WINDOW);
		check_answer(&answer, &pending[i], &shards[pending[i].shard], payload,
			     &stored[pending[i].shard]);
		pending[i].used = false;
		in_flight--;
	}
	for (unsigned int i = 0; i < SHARDS; i++)
		shard_exit(&shards[i]);
	free(payload);
	store_client_close(client);
}

/* --- garbage ------------------------------------------------------------------------------------------------------------- */

static int raw_connect(struct fixture *fixture)
{
	struct store_client *client = fixture_connect(fixture, WEFT_ROLE_CLIENT);
	int fd = dup(store_client_fd(client));

	store_client_close(client);
	return fd;
}

static void send_raw(int fd, const void *buf, size_t len)
{
	/* The server may close at any time. */
	while (len) {
		ssize_t n = send(fd, buf, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		buf = (const char *)buf + n;
		len -= (size_t)n;
	}
}

static void wait_closed(int fd)
{
	char buf[4096];

	while (recv(fd, buf, sizeof(buf), 0) > 0)
		;
	close(fd);
}

static void garbage_ends_only_its_connection(void **state)
{
	struct fixture *fixture = *state;
	struct store_client *good;
	struct shard shard;
	uint8_t junk[20000];

	fixture_start(fixture);
	good = fixture_connect(fixture, WEFT_ROLE_CLIENT);
	shard_init(&shard, 9, 1, 400000, 1);
	assert_int_equal(shard_put(good, &shard), WEFT_ST_OK);
	for (unsigned int round = 0; round < 120; round++) {
		int fd = raw_connect(fixture);
		struct weft_wire_header header;
		struct weft_wire_frame frame = shard.name;

		switch (round % 4) {
		case 0: /* noise */
			for (size_t i = 0; i < sizeof(junk); i++)
				junk[i] = (uint8_t)rng();
			send_raw(fd, junk, 1 + rng() % sizeof(junk));
			shutdown(fd, SHUT_WR);
			break;
		case 1: /* a good frame with a flipped bit */
			weft_wire_frame_put(&frame, shard.head_len, shard.shard_len);
			weft_wire_header_encode(&header, &frame);
			((uint8_t *)&header)[rng() % 128] ^= 1u << rng() % 8;
			send_raw(fd, &header, sizeof(header));
			break;
		case 2: /* a frame cut off somewhere, and gone */
			weft_wire_frame_put(&frame, shard.head_len, shard.shard_len);
			weft_wire_header_encode(&header, &frame);
			send_raw(fd, &header, sizeof(header));
			send_raw(fd, shard.data, rng() % shard.shard_len);
			shutdown(fd, SHUT_WR);
			break;
		default: /* requests, and gone without their answers */
			for (int i = 0; i < 20; i++) {
				frame = shard.name;
				frame.op = WEFT_OP_GET;
				frame.length = shard.shard_len;
				frame.request_id = rng();
				weft_wire_header_encode(&header, &frame);
				send_raw(fd, &header, sizeof(header));
			}
			close(fd);
			continue;
		}
		wait_closed(fd);
		if (round % 10 == 0)
			assert_int_equal(shard_check(good, &shard), WEFT_ST_OK);
	}
	assert_int_equal(shard_check(good, &shard), WEFT_ST_OK);
	shard_exit(&shard);
	store_client_close(good);
	while (atomic_load(&fixture->server->sessions))
		sched_yield();
	assert_int_equal(atomic_load(&fixture->server->requests), 0);
}

static void rules_are_refused_and_the_connection_goes_on(void **state)
{
	struct weft_wire_frame frame = {.op = WEFT_OP_NR + 5}, answer;
	struct weft_wire_header header;
	struct fixture *fixture = *state;
	struct store_client *client;

	fixture_start(fixture);
	client = fixture_connect(fixture, WEFT_ROLE_CLIENT);
	weft_wire_header_encode(&header, &frame);
	send_raw(store_client_fd(client), &header, sizeof(header));
	/* The answer to an operation that a client does not know is nothing that it can read. */
	assert_int_equal(store_client_recv(client, &answer, NULL, 0), -EPROTO);
	frame = (struct weft_wire_frame){.op = WEFT_OP_PING};
	assert_int_equal(store_client_call(client, &frame, NULL, 0, &answer, NULL, 0), 0);
	store_client_close(client);
}

/* --- bounds --------------------------------------------------------------------------------------------------------------- */

/* Peers that ask for much and read nothing hold buffers; others go on when those are thrown out. */
static void peers_that_do_not_read_are_thrown_out(void **state)
{
	struct fixture *fixture = *state;
	struct store_client *greedy[6], *good;
	struct shard shard;

	fixture->conf.stall_s = 1;
	fixture_start(fixture);
	good = fixture_connect(fixture, WEFT_ROLE_CLIENT);
	shard_init(&shard, 9, 1, 8u << 20, 1);
	assert_int_equal(shard_put(good, &shard), WEFT_ST_OK);
	for (unsigned int i = 0; i < 6; i++) {
		greedy[i] = fixture_connect(fixture, WEFT_ROLE_CLIENT);
		for (unsigned int j = 0; j < 30; j++) {
			struct weft_wire_frame frame = shard.name;

			frame.op = WEFT_OP_GET;
			frame.length = shard.shard_len;
			store_client_send(greedy[i], &frame, NULL, 0);
		}
	}
	assert_int_equal(shard_check(good, &shard), WEFT_ST_OK);
	for (unsigned int i = 0; i < 6; i++)
		store_client_close(greedy[i]);
	shard_exit(&shard);
	store_client_close(good);
}

/* --- one shard, many writers ------------------------------------------------------------------------------------------------- */

struct writer {
	pthread_t thread;
	struct fixture *fixture;
	struct shard *shard;
	int status;
};

static void *writer_main(void *arg)
{
	struct writer *writer = arg;
	struct store_client *client = fixture_connect(writer->fixture, WEFT_ROLE_CLIENT);

	writer->status = shard_put(client, writer->shard);
	store_client_close(client);
	return NULL;
}

static void writers_of_one_name_agree_on_one_content(void **state)
{
	const uint32_t lens[] = {5000, 300000};
	struct fixture *fixture = *state;

	fixture_start(fixture);
	for (unsigned int round = 0; round < 20; round++) {
		struct store_client *client = fixture_connect(fixture, WEFT_ROLE_CLIENT);
		struct writer writers[8];
		struct shard contents[2];
		unsigned int stored[2] = {0, 0};

		shard_init(&contents[0], 9, 100 + round, lens[round % 2], 1);
		shard_init(&contents[1], 9, 100 + round, lens[round % 2], 2);
		for (unsigned int i = 0; i < 8; i++) {
			writers[i] = (struct writer){.fixture = fixture, .shard = &contents[i % 2]};
			assert_int_equal(
				pthread_create(&writers[i].thread, NULL, writer_main, &writers[i]),
				0);
		}
		for (unsigned int i = 0; i < 8; i++) {
			pthread_join(writers[i].thread, NULL);
			if (writers[i].status != WEFT_ST_OK)
				assert_int_equal(writers[i].status, WEFT_ST_CONFLICT);
			stored[i % 2] += writers[i].status == WEFT_ST_OK;
		}
		if (stored[0] + stored[1] != 4 || (stored[0] && stored[1]))
			fail_msg("%u and %u writers of two contents were told that it is stored",
				 stored[0], stored[1]);
		assert_int_equal(shard_check(client, &contents[stored[1] ? 1 : 0]), WEFT_ST_OK);
		shard_exit(&contents[0]);
		shard_exit(&contents[1]);
		store_client_close(client);
	}
}

/* --- batches ------------------------------------------------------------------------------------------------------------------ */

struct many {
	pthread_t thread;
	struct fixture *fixture;
	unsigned int n;
	int failed;
};

static void *many_main(void *arg)
{
	struct many *many = arg;
	struct store_client *client = fixture_connect(many->fixture, WEFT_ROLE_CLIENT);

	for (unsigned int i = 0; i < 300 && !many->failed; i++) {
		struct shard shard;

		shard_init(&shard, 9, many->n * 1000 + i + 1, 200, i);
		many->failed = shard_put(client, &shard) || shard_check(client, &shard);
		shard_exit(&shard);
	}
	store_client_close(client);
	return NULL;
}

static void many_small_puts_share_batches(void **state)
{
	struct fixture *fixture = *state;
	struct many many[8];

	fixture_start(fixture);
	for (unsigned int i = 0; i < 8; i++) {
		many[i] = (struct many){.fixture = fixture, .n = i};
		assert_int_equal(pthread_create(&many[i].thread, NULL, many_main, &many[i]), 0);
	}
	for (unsigned int i = 0; i < 8; i++) {
		pthread_join(many[i].thread, NULL);
		assert_int_equal(many[i].failed, 0);
	}
	assert_int_equal(atomic_load(&fixture->server->stores[0]->shards), 8 * 300);
}

static void answers_longer_than_agreed_are_not_sent(void **state)
{
	struct weft_wire_greeting hello = {.incarnation = 1,
					   .version_min = 1,
					   .version_max = 1,
					   .role = WEFT_ROLE_CLIENT,
					   .in_flight = 4,
					   .payload_max = 10000};
	struct fixture *fixture = *state;
	struct store_client *client;
	struct shard shard;
	uint8_t buf[20000];
	uint32_t got;

	fixture_start(fixture);
	memcpy(hello.cluster, fixture->conf.cluster, 16);
	assert_int_equal(store_client_open(&client, fixture->socket, &hello, 5000), 0);
	shard_init(&shard, 9, 1, 100000, 1);
	assert_int_equal(shard_put(client, &shard), WEFT_ST_OK);
	assert_int_equal(store_client_get(client, &shard.name, 0, 12288, buf, sizeof(buf), &got),
			 WEFT_ST_TOO_BIG);
	assert_int_equal(store_client_get(client, &shard.name, 0, 8192, buf, sizeof(buf), &got),
			 WEFT_ST_OK);
	shard_exit(&shard);
	store_client_close(client);
}

/* --- compaction --------------------------------------------------------------------------------------------------------------- */

static void compaction_keeps_what_is_alive_and_frees_the_rest(void **state)
{
	enum { COUNT = 240 };
	struct fixture *fixture = *state;
	struct store_client *client;
	struct shard *shards = calloc(COUNT, sizeof(*shards));
	struct store *store;
	int64_t before;

	fixture->conf.segment_bytes = 1u << 20;
	fixture_start(fixture);
	store = fixture->server->stores[0];
	client = fixture_connect(fixture, WEFT_ROLE_META);
	for (unsigned int i = 0; i < COUNT; i++) {
		shard_init(&shards[i], 9, i + 1, 20000 + i * 13, i);
		assert_int_equal(shard_put(client, &shards[i]), WEFT_ST_OK);
	}
	before = atomic_load(&store->used);
	for (unsigned int i = 0; i < COUNT; i++) {
		if (i % 4)
			assert_int_equal(shard_call(client, &shards[i], WEFT_OP_DEL), WEFT_ST_OK);
		assert_int_equal(shard_check(client, &shards[i - i % 4]), WEFT_ST_OK);
	}
	/* The keeper works on it; what is alive can be read all the time. */
	while (atomic_load(&store->used) > before / 2)
		for (unsigned int i = 0; i < COUNT; i += 4)
			assert_int_equal(shard_check(client, &shards[i]), WEFT_ST_OK);
	store_client_close(client);
	for (int round = 0; round < 2; round++) {
		char path[512];

		fixture_stop(fixture);
		if (round) { /* all from the segments: deletions must have survived compaction */
			fixture_find(fixture, "data.mdb", path);
			assert_int_equal(unlink(path), 0);
		}
		fixture_start(fixture);
		client = fixture_connect(fixture, WEFT_ROLE_META);
		for (unsigned int i = 0; i < COUNT; i++)
			assert_int_equal(shard_check(client, &shards[i]),
					 i % 4 ? WEFT_ST_ABSENT : WEFT_ST_OK);
		store_client_close(client);
	}
	for (unsigned int i = 0; i < COUNT; i++)
		shard_exit(&shards[i]);
	free(shards);
}

#define TRAFFIC_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TRAFFIC_TEST(pipelined_requests_get_their_own_answers),
		TRAFFIC_TEST(garbage_ends_only_its_connection),
		TRAFFIC_TEST(rules_are_refused_and_the_connection_goes_on),
		TRAFFIC_TEST(peers_that_do_not_read_are_thrown_out),
		TRAFFIC_TEST(writers_of_one_name_agree_on_one_content),
		TRAFFIC_TEST(many_small_puts_share_batches),
		TRAFFIC_TEST(answers_longer_than_agreed_are_not_sent),
		TRAFFIC_TEST(compaction_keeps_what_is_alive_and_frees_the_rest),
	};
	int failed;

	seed = getenv("WEFT_TEST_SEED") ? (unsigned int)atoi(getenv("WEFT_TEST_SEED"))
					: (unsigned int)time(NULL);
	printf("# WEFT_TEST_SEED=%u\n", seed);
	backend = STORE_BACKEND_THREADS;
	failed = cmocka_run_group_tests_name("store traffic with threads", tests, NULL, NULL);
	backend = STORE_BACKEND_URING;
	if (fixture_usable(backend))
		failed += cmocka_run_group_tests_name("store traffic with io_uring", tests, NULL,
						      NULL);
	return failed;
}
