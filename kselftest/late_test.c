// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Answers that come when their waiter has gone: what they do, what they must not do, and who waits
 * for them.
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const uint8_t other_uuid[16] = { 0x0e, 0xee, 2 };
static const char other_point[] = "/tmp/weft-kselftest-other";

static struct fake_meta *meta;
static struct fake_server *server;

static void start(void)
{
	meta = fake_meta_new();
	server = fake_serve(meta, NULL, NULL);
	CHECK(!mount_volume(NULL));
}

static void end(void)
{
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

/* Starts the call, waits until its request is held by the daemon, kills the caller. */
static void kill_caller(int (*call)(const char *name), const char *name, uint16_t op)
{
	struct seen seen = { op, fake_serve_seen(server, op) + 1 };
	pid_t child;

	fake_serve_act(server, op, FAKE_HOLD);
	child = child_start(call, name);
	CHECK(wait_until(has_seen, &seen));
	CHECK(child_kill(child) >= 0);
}

/* What was held is treated so, and what comes after it is answered. */
static void release_as(uint16_t op, enum fake_act what)
{
	fake_serve_act(server, op, what);
	fake_serve_release(server);
	fake_serve_act(server, op, FAKE_ANSWER);
}

static int below(const char *name, int flags)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", mount_point, name);
	fd = open(path, flags, 0644);
	return fd < 0 ? -errno : fd;
}

/* More than what is kept inline becomes dirty. The open file, or a negative errno. */
static int fill(const char *name)
{
	static const char bytes[256 << 10];
	int fd = below(name, O_RDWR);

	if (fd < 0)
		return fd;
	return write(fd, bytes, sizeof(bytes)) == sizeof(bytes) ? fd : -errno;
}

static int call_fill_and_cut(const char *name)
{
	int fd = fill(name);

	return fd < 0 ? fd : ftruncate(fd, 0) ? -errno : 0;
}

static int call_fill_and_sync(const char *name)
{
	int fd = fill(name);

	return fd < 0 ? fd : fsync(fd) ? -errno : 0;
}

static int call_umount_other(const char *path)
{
	return umount(path) ? -errno : 0;
}

/*
 * A late answer about a file of one mount waits for units of that file, and they for a daemon that
 * does not say where to; the umount of a mount of another cluster is none of its business.
 */
static void umount_waits_for_its_own_late_answers_only(void)
{
	struct seen wants = { WEFT_REQ_GROUP_WANT, 1 };
	struct fake_meta *other_meta = fake_meta_new();
	struct fake_server *other;

	start();
	other = fake_serve_cluster(other_uuid, "other", other_meta, NULL, NULL);
	mkdir(other_point, 0700);
	CHECK(!mount("other:home", other_point, "weft", 0, NULL), "%d", errno);
	CHECK(!call_create("file"));
	fake_serve_act(server, WEFT_REQ_GROUP_WANT, FAKE_HOLD);
	kill_caller(call_fill_and_cut, "file", WEFT_REQ_SETATTR);
	/* The killed one has closed the file. */
	CHECK(wait_until(has_seen, &wants));
	release_as(WEFT_REQ_SETATTR, FAKE_ANSWER);
	CHECK(!child_result(child_start(call_umount_other, other_point), 5),
	      "the umount waits for what is not its own");
	fake_serve_end(other);
	rmdir(other_point);
	release_as(WEFT_REQ_GROUP_WANT, FAKE_ANSWER);
	end();
}

/*
 * There is no group, and then the daemon takes its time: the second question waits for its own
 * answer, not for that of the first, and is not asked a third time meanwhile.
 */
static void a_group_that_is_asked_for_again(void)
{
	struct timespec pause = { .tv_sec = 4 }; /* two tries come sooner */
	struct seen wants = { WEFT_REQ_GROUP_WANT, 1 };
	pid_t child;

	start();
	CHECK(!call_create("file"));
	child = child_start(call_fill_and_sync, "file");
	CHECK(wait_until(has_seen, &wants));
	fake_serve_act(server, WEFT_REQ_GROUP_WANT, FAKE_HOLD);
	wants.count = fake_serve_seen(server, WEFT_REQ_GROUP_WANT) + 1;
	CHECK(wait_until(has_seen, &wants));
	nanosleep(&pause, NULL);
	release_as(WEFT_REQ_GROUP_WANT, FAKE_ANSWER);
	CHECK(child_kill(child) >= 0);
	/* What has nowhere to go is lost. */
	umount2(mount_point, MNT_FORCE);
	unmount(0);
	fake_serve_end(server);
	fake_meta_free(meta);
}

static int call_rmdir(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", mount_point, name);
	return rmdir(path) ? -errno : 0;
}

static bool is_there(void *arg)
{
	return !call_stat(arg);
}

/* For a while: nothing tells that a late answer has done nothing. */
static bool stays_for(const char *name, int milliseconds)
{
	struct timespec pause = { .tv_nsec = 10000000 };

	for (; milliseconds > 0; milliseconds -= 10) {
		if (call_stat(name))
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

/* Somebody has mounted something below; to drop the directory's name would unmount it. */
static void a_late_refusal_drops_no_names(void)
{
	char path[256];

	start();
	snprintf(path, sizeof(path), "%s/dir/sub", mount_point);
	CHECK(!call_mkdir("dir") && !call_mkdir("dir/sub"));
	CHECK(!mount("none", path, "tmpfs", 0, NULL) && !call_mkdir("dir/sub/mounted"));
	kill_caller(call_rmdir, "dir", WEFT_REQ_UNLINK);
	/* The directory is not empty. */
	release_as(WEFT_REQ_UNLINK, FAKE_ANSWER);
	CHECK(stays_for("dir/sub/mounted", 300), "it was unmounted");
	CHECK(!umount(path));
	end();
}

/* It was done, but the answer does not say so, nor that it was not. */
static void a_late_answer_without_sense_drops_names(void)
{
	start();
	CHECK(call_stat("dir") == -ENOENT);
	kill_caller(call_mkdir, "dir", WEFT_REQ_CREATE);
	CHECK(call_stat("dir") == -ENOENT);
	release_as(WEFT_REQ_CREATE, FAKE_MALFORMED);
	CHECK(wait_until(is_there, "dir"));
	end();
}

static int call_write_durably(const char *name)
{
	int fd = below(name, O_RDWR);

	if (fd < 0)
		return fd;
	if (pwrite(fd, "later", 5, 0) != 5)
		return -errno;
	if (fsync(fd))
		return -errno;
	close(fd);
	return 0;
}

static void drop_caches(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);

	sync();
	CHECK(fd >= 0 && write(fd, "3", 1) == 1);
	close(fd);
}

/*
 * A truncation whose waiter was killed may still happen. Whoever writes to the file waits until
 * that is known, also when the file was not used meanwhile: else what he has made durable would be
 * cut off behind him.
 */
static void doubt_survives_reclaim(void)
{
	struct timespec pause = { .tv_nsec = 300000000 };
	char bytes[8];
	pid_t child;
	int fd;

	start();
	CHECK(!call_create("file"));
	kill_caller(call_truncate, "file", WEFT_REQ_SETATTR);
	drop_caches();
	child = child_start(call_write_durably, "file");
	/* Nothing tells that it waits; it would not need that long to write. */
	nanosleep(&pause, NULL);
	release_as(WEFT_REQ_SETATTR, FAKE_ANSWER);
	CHECK(!child_result(child, 10));
	drop_caches();
	fd = below("file", O_RDONLY);
	CHECK(fd >= 0 && read(fd, bytes, sizeof(bytes)) == 5 && !memcmp(bytes, "later", 5),
	      "what was durable is gone");
	close(fd);
	end();
}

/* The file is shorter in the metadata service, or is not: nothing is read from it any more. */
static void a_size_in_doubt_is_not_believed(void)
{
	static const enum fake_act acts[] = { FAKE_MALFORMED, FAKE_WRONG_SIZE, FAKE_EMPTY };
	char name[8];
	int fd;

	start();
	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
		snprintf(name, sizeof(name), "%zu", i);
		CHECK(!call_create(name) && !call_write_durably(name));
		fd = below(name, O_RDONLY);
		fake_serve_act(server, WEFT_REQ_SETATTR, acts[i]);
		CHECK(call_truncate(name) == -EPROTO, "act %d", acts[i]);
		fake_serve_act(server, WEFT_REQ_SETATTR, FAKE_ANSWER);
		CHECK(read(fd, name, 1) == -1 && errno == EIO, "act %d is read through", acts[i]);
		close(fd);
	}
	/* A refusal is another matter. */
	CHECK(!call_create("kept") && !call_write_durably("kept"));
	fake_serve_act(server, WEFT_REQ_SETATTR, FAKE_REFUSE);
	CHECK(call_truncate("kept") == -EPERM);
	fake_serve_act(server, WEFT_REQ_SETATTR, FAKE_ANSWER);
	CHECK(!call_write_durably("kept"));
	end();
}

static int call_clone(const char *name)
{
	int from = below(name, O_RDONLY), to = below("copy", O_CREAT | O_RDWR);

	if (from < 0 || to < 0)
		return -EBADF;
	return ioctl(to, FICLONE, from) ? -errno : 0;
}

static int call_write_other(const char *name)
{
	int fd = below(name, O_RDWR);

	return fd < 0 || pwrite(fd, "other", 5, 0) != 5 || fsync(fd) ? -errno : 0;
}

static bool content_is(const char *name, const char *text)
{
	char bytes[16];
	int fd = below(name, O_RDONLY);
	ssize_t n = read(fd, bytes, sizeof(bytes));

	close(fd);
	return n == (ssize_t)strlen(text) && !memcmp(bytes, text, n);
}

/*
 * A clone whose waiter was killed may still be made, of what the source was when it was asked for:
 * whoever writes to either file waits until that is known. Then what is cached is the clone.
 */
static void a_clone_in_doubt_keeps_its_source(void)
{
	struct timespec pause = { .tv_nsec = 300000000 };
	pid_t writer, other;

	start();
	CHECK(!call_create("file") && !call_write_durably("file"));
	CHECK(!call_create("copy") && content_is("copy", ""));
	kill_caller(call_clone, "file", WEFT_REQ_CLONE);
	drop_caches();
	writer = child_start(call_write_other, "file");
	/* Nothing tells that it waits; it would not need that long to write. */
	nanosleep(&pause, NULL);
	release_as(WEFT_REQ_CLONE, FAKE_ANSWER);
	CHECK(!child_result(writer, 10));
	CHECK(content_is("copy", "later"), "the clone is of what was written later");
	drop_caches();
	CHECK(content_is("copy", "later") && content_is("file", "other"));

	kill_caller(call_clone, "file", WEFT_REQ_CLONE);
	other = child_start(call_truncate, "copy");
	nanosleep(&pause, NULL);
	release_as(WEFT_REQ_CLONE, FAKE_REFUSE);
	/* It was refused: the copy is what it was, cut short by who waited for that. */
	CHECK(!child_result(other, 10) && !content_is("copy", "other"));
	end();
}

static void abort_cluster(void)
{
	static struct fake_message message;
	struct fake fake;

	fake_open(&fake);
	fake_begin(&fake, &message, WEFT_CMD_ABORT, 0);
	fake_put(&message, WEFT_A_CLUSTER, fake_uuid, 16);
	CHECK(!fake_send(&fake, &message), "%d %s", fake.error, fake.text);
	fake_close(&fake);
}

static bool no_session(void *arg)
{
	return !fake_meta_sessions(meta);
}

/* mount(2) waits for the daemon as well. The session that it was to have is closed again. */
static void abort_ends_a_mount_that_begins(void)
{
	struct seen mounts = { WEFT_REQ_MOUNT, 1 };
	pid_t child;

	meta = fake_meta_new();
	server = fake_serve(meta, NULL, NULL);
	fake_serve_act(server, WEFT_REQ_MOUNT, FAKE_HOLD);
	child = child_start(call_mount, "fake:home");
	CHECK(wait_until(has_seen, &mounts));
	abort_cluster();
	CHECK(child_result(child, 10) == -EIO);
	release_as(WEFT_REQ_MOUNT, FAKE_ANSWER);
	CHECK(wait_until(no_session, NULL), "%u sessions are open", fake_meta_sessions(meta));
	CHECK(!mount_volume(NULL));
	end();
}

int main(void)
{
	static const struct test tests[] = {
		{ "umount waits for its own late answers only",
		  umount_waits_for_its_own_late_answers_only },
		{ "a group that is asked for again is waited for",
		  a_group_that_is_asked_for_again },
		{ "a late refusal drops no names", a_late_refusal_drops_no_names },
		{ "a late answer without sense drops names",
		  a_late_answer_without_sense_drops_names },
		{ "a size in doubt stays in doubt when caches are dropped",
		  doubt_survives_reclaim },
		{ "a size in doubt is not believed", a_size_in_doubt_is_not_believed },
		{ "a clone in doubt keeps its source", a_clone_in_doubt_keeps_its_source },
		{ "ABORT ends a mount(2) that waits", abort_ends_a_mount_that_begins },
	};

	return tests_run(tests, sizeof(tests) / sizeof(tests[0]));
}
