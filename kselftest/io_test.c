// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Content that cannot be committed or read now: nothing waits unkillably for the daemon, and
 * unmounting takes a bounded time.
 * weft-vm: timeout=400
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

#define OP_ALL -1

/* What the daemon does with one operation; the rest is answered. Changed while it runs. */
static struct {
	_Atomic int op;
	_Atomic int what;
} special;

static struct fake_meta *meta;
static struct fake_server *server;

static enum fake_act policy(const struct fake_request *req, void *arg)
{
	return special.op == OP_ALL || req->op == special.op ? special.what : FAKE_ANSWER;
}

static void set_special(int op, enum fake_act what)
{
	special.what = what;
	special.op = op;
}

static void start(void)
{
	special.op = 0;
	meta = fake_meta_new();
	server = fake_serve(meta, policy, NULL);
	CHECK(!mount_volume(NULL));
}

static void end(void)
{
	special.op = 0;
	CHECK(!unmount(0));
	CHECK(!fake_meta_sessions(meta), "%u sessions are open", fake_meta_sessions(meta));
	fake_serve_end(server);
	fake_meta_free(meta);
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

static int file_open(const char *name)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", mount_point, name);
	fd = open(path, O_RDWR);
	return fd < 0 ? -errno : fd;
}

/* 100 bytes, and close: its writeback starts. */
static int call_write(const char *name)
{
	char bytes[100] = "content";
	int fd = file_open(name), error;

	if (fd < 0)
		return fd;
	error = write(fd, bytes, sizeof(bytes)) == sizeof(bytes) ? 0 : -errno;
	close(fd);
	return error;
}

static int call_fsync(const char *name)
{
	int fd = file_open(name), error;

	if (fd < 0)
		return fd;
	error = fsync(fd) ? -errno : 0;
	close(fd);
	return error;
}

/* Starts writeback and waits until none is under way, which no signal ends. */
static int call_writeback(const char *name)
{
	int fd = file_open(name), error;

	if (fd < 0)
		return fd;
	error = sync_file_range(fd, 0, 0,
				SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER) ? -errno : 0;
	close(fd);
	return error;
}

static int call_read(const char *name)
{
	int fd = file_open(name), error;
	char byte;

	if (fd < 0)
		return fd;
	error = read(fd, &byte, 1) == 1 ? 0 : -errno;
	close(fd);
	return error;
}

static int call_unmount(const char *flags)
{
	return unmount(atoi(flags));
}

static void daemon_goes(void)
{
	fake_serve_end(server);
	special.op = 0;
}

static void daemon_comes(void)
{
	server = fake_serve(meta, policy, NULL);
}

/* Its data is under way in a COMMIT that is not answered. */
static void write_held(const char *name)
{
	struct seen seen = { WEFT_REQ_COMMIT, fake_serve_seen(server, WEFT_REQ_COMMIT) + 1 };

	set_special(WEFT_REQ_COMMIT, FAKE_HOLD);
	CHECK(!call_write(name));
	CHECK(wait_until(has_seen, &seen));
}

/*
 * A COMMIT gives its pages back while no daemon answers it. What is written behind it must not wait
 * for that answer under writeback either.
 */
static void writes_behind_a_lost_commit(void)
{
	start();
	CHECK(!call_create("file"));
	write_held("file");
	daemon_goes();
	for (int i = 0; i < 3; i++) {
		CHECK(!child_result(child_start(call_writeback, "file"), 30), "round %d", i);
		CHECK(!call_write("file"));
	}
	daemon_comes();
	CHECK(!child_result(child_start(call_fsync, "file"), 30));
	end();
}

/* A change of times while a COMMIT is under way is committed by one of its own, without data. */
static void commit_times_held(const char *name, pid_t *waiter)
{
	struct seen seen = { WEFT_REQ_COMMIT, 0 };
	char path[256];

	write_held(name);
	snprintf(path, sizeof(path), "%s/%s", mount_point, name);
	CHECK(!utimensat(AT_FDCWD, path, NULL, 0));
	set_special(0, FAKE_ANSWER);
	fake_serve_release(server);
	CHECK(!call_writeback(name));
	seen.count = fake_serve_seen(server, WEFT_REQ_COMMIT) + 1;
	set_special(WEFT_REQ_COMMIT, FAKE_HOLD);
	*waiter = child_start(call_fsync, name);
	CHECK(wait_until(has_seen, &seen));
}

static void writes_behind_a_commit_of_times(void)
{
	pid_t waiter;

	module_parameter("weft", "commit_timeout_ms", "4000");
	start();
	CHECK(!call_create("file"));
	commit_times_held("file", &waiter);
	daemon_goes();
	CHECK(!call_write("file"));
	CHECK(!child_result(child_start(call_writeback, "file"), 30));
	daemon_comes();
	CHECK(!child_result(waiter, 30));
	CHECK(!child_result(child_start(call_fsync, "file"), 30));
	end();
	module_parameter("weft", "commit_timeout_ms", "20000");
}

/* How often the kernel's log has the words. */
static unsigned int log_count(const char *words)
{
	static char log[1 << 20];
	unsigned int count = 0;
	int len = klogctl(3, log, sizeof(log) - 1);

	log[len > 0 ? len : 0] = '\0';
	for (const char *at = log; (at = strstr(at, words)); at++)
		count++;
	return count;
}

static int call_statfs(const char *name)
{
	struct statfs statfs_now;

	(void)name;
	return statfs(mount_point, &statfs_now) ? -errno : 0;
}

/*
 * A plain umount(2) that can write nothing gives up after 30 s, or what the module is told, and
 * says what it has dropped. umount(8) asks what kind of file system it is before.
 */
static void unmount_gives_up(void)
{
	unsigned int before = log_count("has lost");

	module_parameter("weft", "umount_timeout_ms", "4000");
	CHECK(!child_result(child_start(call_statfs, ""), 10));
	CHECK(!child_result(child_start(call_unmount, "0"), 60));
	CHECK(log_count("has lost") > before, "nobody is told of the loss");
	module_parameter("weft", "umount_timeout_ms", "30000");
	CHECK(call_stat("file") == -ENOENT, "it is mounted still");
}

static void unmount_without_a_daemon(void)
{
	int fd;

	start();
	CHECK(!call_create("file"));
	fd = file_open("file");
	daemon_goes();
	CHECK(write(fd, "lost", 4) == 4);
	close(fd);
	unmount_gives_up();
	/* The session that was left is closed by whoever comes. */
	daemon_comes();
	CHECK(!mount_volume(NULL) && !call_stat("file"));
	end();
}

static void unmount_with_a_daemon_that_hangs(void)
{
	start();
	CHECK(!call_create("file"));
	write_held("file");
	set_special(OP_ALL, FAKE_HOLD);
	unmount_gives_up();
	daemon_goes();
}

/* "Ask again" is asked again, after a pause. */
static void a_map_that_is_refused(void)
{
	struct seen seen = { WEFT_REQ_EXTENTS, 1 };
	struct timespec second = { .tv_sec = 1 };
	unsigned int asked;
	long took;
	pid_t child;

	start();
	CHECK(!call_create("file") && !call_truncate("file"));
	CHECK(!unmount(0) && !mount_volume(NULL));
	set_special(WEFT_REQ_EXTENTS, FAKE_AGAIN);
	child = child_start(call_read, "file");
	CHECK(wait_until(has_seen, &seen));
	nanosleep(&second, NULL);
	asked = fake_serve_seen(server, WEFT_REQ_EXTENTS);
	CHECK(asked < 50, "asked %u times within a second", asked);
	took = child_kill(child);
	CHECK(took >= 0 && took < KILL_MS, "the reader lived for %ld ms", took);
	child = child_start(call_read, "file");
	set_special(0, FAKE_ANSWER);
	CHECK(!child_result(child, 10));
	end();
}

int main(void)
{
	static const struct test tests[] = {
		{ "writes behind a COMMIT that was lost are parked", writes_behind_a_lost_commit },
		{ "writes behind a COMMIT of times are parked", writes_behind_a_commit_of_times },
		{ "umount without a daemon gives up", unmount_without_a_daemon },
		{ "umount with a daemon that hangs gives up", unmount_with_a_daemon_that_hangs },
		{ "a map that is refused is asked for again, with pauses", a_map_that_is_refused },
	};

	return tests_run(tests, sizeof(tests) / sizeof(tests[0]));
}
