// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Writeback against a daemon that does not answer, or says no: pages do not stay under writeback,
 * waits can be killed, and what was written is not lost.
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct fake_meta *meta;
static struct fake_server *server;
static _Atomic unsigned int needs; /* so many COMMITs are answered with NEED */

static enum fake_act policy(const struct fake_request *req, void *arg)
{
	if (req->op == WEFT_REQ_COMMIT && needs > 0) {
		needs--;
		return FAKE_NEED;
	}
	return FAKE_ANSWER;
}

static void start(void)
{
	meta = fake_meta_new();
	server = fake_serve(meta, policy, NULL);
	CHECK(!mount_volume(NULL));
}

static void end(void)
{
	CHECK(!unmount(0));
	CHECK(!fake_meta_sessions(meta), "%u sessions are open", fake_meta_sessions(meta));
	fake_serve_end(server);
	fake_meta_free(meta);
}

static bool commits_are(void *arg)
{
	return fake_serve_seen(server, WEFT_REQ_COMMIT) >= *(unsigned int *)arg;
}

static int open_below(const char *name)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", mount_point, name);
	fd = open(path, O_CREAT | O_RDWR, 0644);
	return fd < 0 ? -errno : fd;
}

static int call_write(const char *name)
{
	int fd = open_below(name);

	if (fd < 0)
		return fd;
	if (pwrite(fd, "content", 7, 0) != 7)
		return -errno;
	close(fd);
	return 0;
}

static int call_fsync(const char *name)
{
	int fd = open_below(name);

	return fd < 0 ? fd : fsync(fd) ? -errno : 0;
}

static int call_syncfs(const char *name)
{
	int fd = open_below(name);

	return fd < 0 ? fd : syncfs(fd) ? -errno : 0;
}

/* Until no page of the file is under writeback. Cannot be killed. */
static int call_wait_for_writeback(const char *name)
{
	int fd = open_below(name);

	return fd < 0 ? fd : sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE) ? -errno : 0;
}

static bool content_is_safe(const char *name)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);
	char bytes[8];
	bool safe;

	CHECK(fd >= 0 && write(fd, "3", 1) == 1);
	close(fd);
	fd = open_below(name);
	safe = fd >= 0 && read(fd, bytes, sizeof(bytes)) == 7 && !memcmp(bytes, "content", 7);
	close(fd);
	return safe;
}

static void pause_ms(long milliseconds)
{
	struct timespec pause = { .tv_sec = milliseconds / 1000,
				  .tv_nsec = milliseconds % 1000 * 1000000 };

	nanosleep(&pause, NULL);
}

static void kill_soon(pid_t child)
{
	int took;

	/* Nothing tells when it waits. */
	pause_ms(300);
	took = child_kill(child);
	CHECK(took >= 0 && took < KILL_MS, "the waiter lived for %d ms", took);
}

/*
 * The daemon is there and does not answer the COMMIT. After the time to park no page is under
 * writeback, nor does any stay so for long when it is tried again.
 */
static void a_commit_without_an_answer_is_parked(void)
{
	unsigned int one = 1;
	pid_t waiter;

	module_parameter("weft", "commit_timeout_ms", "4000"); /* instead of 20 s, to be done in time */
	start();
	fake_serve_act(server, WEFT_REQ_COMMIT, FAKE_HOLD);
	CHECK(!call_write("file"));
	waiter = child_start(call_fsync, "file");
	CHECK(wait_until(commits_are, &one));
	CHECK(!child_result(child_start(call_wait_for_writeback, "file"), 15),
	      "pages are under writeback for more than 15 s");
	/* The waiter of fsync() writes them again. */
	pause_ms(3000);
	CHECK(!child_result(child_start(call_wait_for_writeback, "file"), 15),
	      "pages are under writeback again, for more than 15 s");
	kill_soon(waiter);
	waiter = child_start(call_fsync, "file");
	kill_soon(waiter);
	fake_serve_act(server, WEFT_REQ_COMMIT, FAKE_ANSWER);
	fake_serve_release(server);
	CHECK(!child_result(child_start(call_fsync, "file"), 20));
	CHECK(content_is_safe("file"));
	end();
	module_parameter("weft", "commit_timeout_ms", "20000");
}

/* sync(2) waits for what is parked, in a wait of our own. */
static void sync_of_what_is_parked_can_be_killed(void)
{
	unsigned int one = 1;

	start();
	fake_serve_act(server, WEFT_REQ_COMMIT, FAKE_HOLD);
	CHECK(!call_write("file"));
	CHECK(wait_until(commits_are, &one));
	/* Without a daemon the time to park is 5 s. */
	fake_serve_end(server);
	CHECK(!child_result(child_start(call_wait_for_writeback, "file"), 20),
	      "pages are under writeback for more than 20 s");
	kill_soon(child_start(call_syncfs, "file"));
	kill_soon(child_start(call_fsync, "file"));
	server = fake_serve(meta, policy, NULL);
	CHECK(!child_result(child_start(call_syncfs, "file"), 20));
	CHECK(content_is_safe("file"));
	end();
}

/* The metadata service wants to have it written again: fsync() knows nothing of that. */
static void what_is_needed_is_written_again(void)
{
	start();
	needs = 3;
	CHECK(!call_write("file"));
	CHECK(!child_result(child_start(call_fsync, "file"), 30));
	CHECK(!needs && fake_serve_seen(server, WEFT_REQ_COMMIT) >= 4);
	CHECK(content_is_safe("file"));
	end();
}

/* An error that fsync() reports; the data stays, and the next fsync() writes it. */
static void what_is_refused_is_kept(void)
{
	int fd;

	start();
	fd = open_below("file");
	fake_serve_act(server, WEFT_REQ_COMMIT, FAKE_REFUSE);
	CHECK(pwrite(fd, "content", 7, 0) == 7);
	CHECK(fsync(fd) == -1 && errno == EPERM, "%d", errno);
	fake_serve_act(server, WEFT_REQ_COMMIT, FAKE_ANSWER);
	CHECK(!fsync(fd), "%d", errno);
	close(fd);
	CHECK(content_is_safe("file"));
	end();
}

int main(void)
{
	static const struct test tests[] = {
		{ "a COMMIT without an answer is parked", a_commit_without_an_answer_is_parked },
		{ "a sync of what is parked can be killed", sync_of_what_is_parked_can_be_killed },
		{ "what is NEEDed is written again", what_is_needed_is_written_again },
		{ "what is refused is kept", what_is_refused_is_kept },
	};

	return tests_run(tests, sizeof(tests) / sizeof(tests[0]));
}
