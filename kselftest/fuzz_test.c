// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Random messages of a privileged process, random answers of a bound daemon: the kernel refuses or
 * survives each, and afterwards a daemon and a mount work. SEED repeats a run.
 */
#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#define MESSAGES 3000
#define CALLS 400

static unsigned int seed;

static unsigned int pick(unsigned int n)
{
	return rand_r(&seed) % n;
}

/* An attribute that could be meant, or bytes. */
static void random_attr(struct fake_message *message, unsigned int depth)
{
	static const size_t lengths[] = { 0, 1, 2, 4, 8, 12, 16, 36, 64, 255, 4000 };
	uint16_t type = pick(WEFT_A_MAX + 3) | (pick(8) ? 0 : 0x8000);
	size_t len = lengths[pick(sizeof(lengths) / sizeof(lengths[0]))];
	uint32_t start = message->len;
	uint8_t *data;
	uint16_t nested;

	if (depth < 2 && !pick(4)) {
		fake_put(message, (pick(2) ? WEFT_A_ANSWER : type) | 0x8000, NULL, 0);
		for (unsigned int i = pick(4); i; i--)
			random_attr(message, depth + 1);
		nested = message->len - start;
		memcpy(message->bytes + start, &nested, 2);
		return;
	}
	data = fake_put(message, type, NULL, len);
	for (size_t i = 0; i < len; i++)
		data[i] = pick(3) ? pick(8) : pick(256);
	if (!pick(6) && len >= 16)
		memcpy(data, fake_uuid, 16);
	if (!pick(16)) {
		uint16_t wrong = pick(65536);

		memcpy(message->bytes + start, &wrong, 2);
	}
}

static void random_commands(void)
{
	static struct fake_message message;
	unsigned int refused = 0;
	struct fake fake;

	fake_open(&fake);
	for (unsigned int i = 0; i < MESSAGES; i++) {
		uint8_t cmd = pick(WEFT_CMD_MAX + 2);

		if (i % 50 == 0)
			CHECK(!fake_bind(&fake, fake_uuid, "fake"), "message %u: %d %s", i,
			      fake.error, fake.text);
		fake_begin(&fake, &message, cmd, pick(20) ? 0 : 0x300);
		for (unsigned int n = pick(6); n; n--)
			random_attr(&message, 0);
		/*
		 * A dump that is accepted ends with a message of its own, no acknowledgement: ask
		 * for none of those.
		 */
		if (cmd >= WEFT_CMD_REQUEST_GET && cmd <= WEFT_CMD_MOUNT_GET)
			((uint8_t *)message.bytes)[7] = 0;
		refused += fake_send(&fake, &message) != 0;
	}
	CHECK(refused > MESSAGES / 4, "only %u of %u were refused", refused, MESSAGES);
	fake_close(&fake);
}

static enum fake_act garbage(const struct fake_request *req, void *arg)
{
	/* Some answers are good, so that there is something to be wrong about. */
	if (req->op == WEFT_REQ_MOUNT && *(bool *)arg)
		return FAKE_ANSWER;
	return pick(3) ? FAKE_GARBAGE : FAKE_ANSWER;
}

static void random_answers(void)
{
	static int (*const calls[])(const char *name) = { call_stat, call_mkdir, call_create,
							  call_unlink, call_truncate };
	struct fake_meta *meta = fake_meta_new();
	bool mounting = false;
	struct fake_server *server = fake_serve(meta, garbage, &mounting);
	char name[16];

	for (unsigned int i = 0; i < 30; i++)
		if (!mount_volume(NULL))
			CHECK(!unmount(0));
	mounting = true;
	CHECK(!mount_volume(NULL));
	for (unsigned int i = 0; i < CALLS; i++) {
		snprintf(name, sizeof(name), "%u", pick(10));
		calls[pick(sizeof(calls) / sizeof(calls[0]))](name);
	}
	CHECK(!unmount(0));
	fake_serve_end(server);
}

static void everything_works_afterwards(void)
{
	struct fake_meta *meta = fake_meta_new();
	struct fake_server *server = fake_serve(meta, NULL, NULL);

	CHECK(!mount_volume(NULL));
	CHECK(!call_mkdir("dir") && !call_create("dir/file") && !call_stat("dir/file") &&
	      !call_unlink("dir/file"));
	CHECK(!unmount(0));
	fake_serve_end(server);
}

int main(void)
{
	static const struct test tests[] = {
		{ "random commands", random_commands },
		{ "random answers", random_answers },
		{ "everything works afterwards", everything_works_afterwards },
	};

	seed = getenv("SEED") ? atoi(getenv("SEED")) : time(NULL);
	printf("# SEED=%u\n", seed);
	return tests_run(tests, sizeof(tests) / sizeof(tests[0]));
}
