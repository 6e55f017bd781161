// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * All slots of a session used up: who waits, who does not, and who is next.
 *
 * weft-vm: stock
 * It starts 800 processes, which takes the debugging kernel minutes; its KUnit suite of slots runs there.
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CLASS3_SLOTS (WEFT_SLOTS - WEFT_SLOTS_RESERVE)
#define SLOT_WAITS 1 /* state of a request in the dump: it waits for a slot */

static struct fake_meta *meta;
static struct fake_server *server;

/* The server's thread keeps these, the test reads them. */
static uint64_t last_sequence[WEFT_SLOTS], last_id[WEFT_SLOTS];
static _Atomic unsigned int wrong_class, wrong_sequence;
static _Atomic int let_go; /* so many of what is held or comes are answered */

/*
 * Each request that takes a slot has a number of its own, one more than the last of that slot. What
 * is held comes by here once more when it is released.
 */
static enum fake_act policy(const struct fake_request *req, void *arg)
{
	if (req->slot < WEFT_SLOTS && last_id[req->slot] != req->id) {
		wrong_class += req->class == 3 && req->slot < WEFT_SLOTS_RESERVE;
		wrong_sequence += req->sequence != last_sequence[req->slot] + 1;
		last_sequence[req->slot] = req->sequence;
		last_id[req->slot] = req->id;
	}
	if (req->op != WEFT_REQ_SETATTR)
		return FAKE_ANSWER;
	return let_go > 0 && let_go-- > 0 ? FAKE_ANSWER : FAKE_HOLD;
}

struct seen {
	uint16_t op;
	unsigned int count;
};

static bool has_seen(void *arg)
{
	const struct seen *seen = arg;

	return fake_serve_seen(server, seen->op) >= seen->count;
}

static int call_chmod(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", mount_point, name);
	return chmod(path, 0600) ? -errno : 0;
}

static void *chmod_thread(void *name)
{
	return (void *)(long)call_chmod(name);
}

static void count_waiting(const void *attrs, size_t len, void *arg)
{
	if (fake_number(attrs, len, WEFT_A_STATE) == SLOT_WAITS)
		++*(unsigned int *)arg;
}

static bool waiting_are(void *arg)
{
	unsigned int count = 0;
	struct fake fake;

	fake_open(&fake);
	CHECK(fake_dump(&fake, WEFT_CMD_REQUEST_GET, count_waiting, &count) >= 0);
	fake_close(&fake);
	return count == *(unsigned int *)arg;
}

static pthread_t threads[CLASS3_SLOTS];
static char names[CLASS3_SLOTS + 1][8];

/* As many changes of files as class 3 has slots, all of them held by the daemon. */
static void use_up(void)
{
	struct seen all = { WEFT_REQ_SETATTR, CLASS3_SLOTS };
	pthread_attr_t attr;

	for (unsigned int i = 0; i <= CLASS3_SLOTS; i++) {
		snprintf(names[i], sizeof(names[i]), "%u", i);
		CHECK(!call_create(names[i]));
	}
	CHECK(!pthread_attr_init(&attr) && !pthread_attr_setstacksize(&attr, 1 << 20));
	for (unsigned int i = 0; i < CLASS3_SLOTS; i++)
		CHECK(!pthread_create(&threads[i], &attr, chmod_thread, names[i]));
	CHECK(wait_until(has_seen, &all), "%u of %u changes are under way",
	      fake_serve_seen(server, WEFT_REQ_SETATTR), CLASS3_SLOTS);
}

static void finish(void)
{
	void *result;

	let_go = 100000;
	fake_serve_release(server);
	for (unsigned int i = 0; i < CLASS3_SLOTS; i++)
		CHECK(!pthread_join(threads[i], &result) && !result, "%u: %ld", i, (long)result);
	CHECK(!wrong_class, "%u requests of class 3 took reserved slots", wrong_class);
	CHECK(!wrong_sequence, "%u requests had a wrong number", wrong_sequence);
	CHECK(!unmount(0));
	fake_serve_end(server);
}

static void start(void)
{
	meta = fake_meta_new();
	server = fake_serve(meta, policy, NULL);
	CHECK(!mount_volume(NULL));
}

static bool is_forgotten(void *arg)
{
	return fake_meta_forgotten(meta) == 1;
}

/* FORGET is class 1, COMMIT class 2: giving back and cleaning go on. */
static void lower_classes_go_on(void)
{
	char path[256];
	int gone, kept;

	start();
	snprintf(path, sizeof(path), "%s/gone", mount_point);
	gone = open(path, O_CREAT | O_RDWR, 0600);
	CHECK(gone >= 0 && !unlink(path));
	snprintf(path, sizeof(path), "%s/kept", mount_point);
	kept = open(path, O_CREAT | O_RDWR, 0600);
	CHECK(kept >= 0);
	use_up();
	close(gone);
	CHECK(wait_until(is_forgotten, NULL), "FORGET did not get through");
	CHECK(write(kept, "some", 4) == 4 && !fsync(kept), "COMMIT did not get through: %d",
	      errno);
	close(kept);
	finish();
}

static void the_next_one_waits_for_a_slot(void)
{
	struct seen one_more = { WEFT_REQ_SETATTR, CLASS3_SLOTS + 1 };
	unsigned int one = 1;
	pid_t child;

	start();
	use_up();
	child = child_start(call_chmod, names[CLASS3_SLOTS]);
	CHECK(wait_until(waiting_are, &one), "it does not wait");
	CHECK(!has_seen(&one_more));
	let_go = 1;
	fake_serve_release(server);
	CHECK(wait_until(has_seen, &one_more), "the slot was not handed on");
	let_go = 100000;
	fake_serve_release(server);
	CHECK(!child_result(child, 10));
	finish();
}

static void who_waits_for_a_slot_can_be_killed(void)
{
	unsigned int one = 1, none = 0;
	pid_t child;
	int took;

	start();
	use_up();
	child = child_start(call_chmod, names[CLASS3_SLOTS]);
	CHECK(wait_until(waiting_are, &one), "it does not wait");
	took = child_kill(child);
	CHECK(took >= 0 && took < KILL_MS, "the waiter lived for %d ms", took);
	CHECK(wait_until(waiting_are, &none), "its request waits on");
	CHECK(fake_serve_seen(server, WEFT_REQ_SETATTR) == CLASS3_SLOTS);
	finish();
}

int main(void)
{
	static const struct test tests[] = {
		{ "classes 1 and 2 go on when class 3 has used up its slots", lower_classes_go_on },
		{ "the next one waits until a slot is free", the_next_one_waits_for_a_slot },
		{ "who waits for a slot can be killed", who_waits_for_a_slot_can_be_killed },
	};

	return tests_run(tests, sizeof(tests) / sizeof(tests[0]));
}
