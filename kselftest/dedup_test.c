// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the daemon says of contents, and what it says without meaning it. Nothing can be stored here, so
 * whoever wants to store asks for a group: that is how it is seen that a content was not taken for one
 * that exists.
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK (1u << 20)

static struct fake_meta *meta;
static struct fake_server *server;

static void start(enum fake_found found, unsigned int needs)
{
	meta = fake_meta_new();
	fake_meta_dedup(meta, found, needs);
	server = fake_serve(meta, NULL, NULL);
	CHECK(!mount_volume(NULL));
}

/* flags: MNT_FORCE when there is what cannot be written. */
static void end(int flags)
{
	CHECK(!unmount(flags));
	fake_serve_end(server);
	fake_meta_free(meta);
}

static bool seen(void *op)
{
	return fake_serve_seen(server, *(uint16_t *)op);
}

static bool wants_group(void *arg)
{
	return fake_serve_seen(server, WEFT_REQ_GROUP_WANT);
}

static bool needs_are(void *left)
{
	return fake_meta_needs(meta) == *(unsigned int *)left;
}

/* Chunks of different contents. */
static int call_write_chunks(const char *name, unsigned int n)
{
	static uint8_t bytes[CHUNK];
	char path[256];
	int fd, ret = 0;

	snprintf(path, sizeof(path), "%s/%s", mount_point, name);
	fd = open(path, O_CREAT | O_RDWR, 0644);
	if (fd < 0)
		return -errno;
	for (unsigned int i = 0; i < n && !ret; i++) {
		memset(bytes, (int)i + 1, sizeof(bytes));
		if (pwrite(fd, bytes, sizeof(bytes), (off_t)i * CHUNK) != CHUNK)
			ret = -errno;
	}
	if (!ret && fsync(fd))
		ret = -errno;
	close(fd);
	return ret;
}

static int call_one(const char *name)
{
	return call_write_chunks(name, 1);
}

static int call_two(const char *name)
{
	return call_write_chunks(name, 2);
}

static void what_exists_is_not_stored(void)
{
	start(FAKE_FOUND_CHUNK, 0);
	CHECK(!child_result(child_start(call_one, "file"), 30));
	CHECK(fake_serve_seen(server, WEFT_REQ_CHUNKS) == 1);
	CHECK(!fake_serve_seen(server, WEFT_REQ_GROUP_WANT), "what exists is to be stored");
	CHECK(fake_meta_named(meta) == 2, "chunks %llx were named", (unsigned long long)fake_meta_named(meta));
	end(0);
}

/* A volume that does not deduplicate asks for nothing. */
static void off_means_no_question(void)
{
	pid_t writer;

	start(FAKE_FOUND_OFF, 0);
	writer = child_start(call_one, "file");
	CHECK(wait_until(wants_group, NULL));
	CHECK(!fake_serve_seen(server, WEFT_REQ_CHUNKS));
	child_kill(writer);
	end(MNT_FORCE);
}

/* Sent to be stored, as if nobody had been asked; nothing but what was found is named in a COMMIT. */
static void goes_on_to_be_stored(enum fake_found found, enum fake_act how)
{
	uint16_t op = WEFT_REQ_CHUNKS;
	pid_t writer;

	start(found, 0);
	fake_serve_act(server, WEFT_REQ_CHUNKS, how);
	writer = child_start(call_one, "file");
	CHECK(wait_until(seen, &op));
	CHECK(wait_until(wants_group, NULL), "answer %d, %d: it is not stored", found, how);
	CHECK(!fake_meta_named(meta), "answer %d, %d: chunks %llx were named", found, how,
	      (unsigned long long)fake_meta_named(meta));
	child_kill(writer);
	end(MNT_FORCE);
}

static void what_is_new_is_stored(void)
{
	goes_on_to_be_stored(FAKE_FOUND_NEW, FAKE_ANSWER);
	goes_on_to_be_stored(FAKE_FOUND_NEW, FAKE_TWICE);
}

static void an_answer_that_makes_no_sense_is_none(void)
{
	static const enum fake_found nonsense[] = { FAKE_FOUND_LENGTH, FAKE_FOUND_NO_CHUNK, FAKE_FOUND_INDEX,
						    FAKE_FOUND_GEOMETRY, FAKE_FOUND_NUMBER };
	static const enum fake_act how[] = { FAKE_MALFORMED, FAKE_WRONG_SIZE, FAKE_GARBAGE, FAKE_EMPTY,
					     FAKE_REFUSE };

	for (unsigned int i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++)
		goes_on_to_be_stored(nonsense[i], FAKE_ANSWER);
	for (unsigned int i = 0; i < sizeof(how) / sizeof(how[0]); i++)
		goes_on_to_be_stored(FAKE_FOUND_CHUNK, how[i]);
}

/* It comes when nobody waits for it any more, and does no harm. */
static void an_answer_that_does_not_come_is_not_waited_for(void)
{
	pid_t writer;

	start(FAKE_FOUND_CHUNK, 0);
	fake_serve_act(server, WEFT_REQ_CHUNKS, FAKE_HOLD);
	writer = child_start(call_two, "file");
	CHECK(wait_until(wants_group, NULL), "an answer is waited for");
	/* While one is overdue no other is asked for. */
	CHECK(fake_serve_seen(server, WEFT_REQ_CHUNKS) == 1);
	fake_serve_act(server, WEFT_REQ_CHUNKS, FAKE_ANSWER);
	fake_serve_release(server);
	child_kill(writer);
	end(MNT_FORCE);
}

/* "It exists", and in the COMMIT: "it does not". It is stored, and not asked for again and again. */
static void a_lie_is_found_out(void)
{
	pid_t writer;

	start(FAKE_FOUND_CHUNK, 1000);
	writer = child_start(call_one, "file");
	CHECK(wait_until(wants_group, NULL), "what is NEEDed is not stored");
	CHECK(fake_serve_seen(server, WEFT_REQ_CHUNKS) == 1, "%u questions",
	      fake_serve_seen(server, WEFT_REQ_CHUNKS));
	CHECK(fake_meta_needs(meta) == 999, "%u COMMITs that name it", 1000 - fake_meta_needs(meta));
	CHECK(!fake_meta_named(meta));
	child_kill(writer);
	end(MNT_FORCE);
}

/* Of two files the one is NEEDed, then the other: each is stored, none is lost or waited for. */
static void what_is_needed_twice_is_stored_twice(void)
{
	unsigned int one = 1, none = 0;
	pid_t first, second;

	start(FAKE_FOUND_CHUNK, 2);
	first = child_start(call_one, "first");
	CHECK(wait_until(needs_are, &one));
	second = child_start(call_one, "second");
	CHECK(wait_until(needs_are, &none));
	CHECK(wait_until(wants_group, NULL));
	CHECK(!fake_meta_named(meta));
	/* A third is believed again. */
	CHECK(!child_result(child_start(call_one, "third"), 30));
	CHECK(fake_meta_named(meta));
	child_kill(first);
	child_kill(second);
	end(MNT_FORCE);
}

int main(void)
{
	static const struct test tests[] = {
		{ "what exists is not stored", what_exists_is_not_stored },
		{ "off means no question", off_means_no_question },
		{ "what is new is stored", what_is_new_is_stored },
		{ "an answer that makes no sense is none", an_answer_that_makes_no_sense_is_none },
		{ "an answer that does not come is not waited for", an_answer_that_does_not_come_is_not_waited_for },
		{ "a lie is found out", a_lie_is_found_out },
		{ "what is NEEDed twice is stored twice", what_is_needed_twice_is_stored_twice },
	};

	return tests_run(tests, sizeof(tests) / sizeof(tests[0]));
}
