// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Ends: the module while it is used, namespaces that go under load, what is left behind. Has the
 * module to itself.
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int module_remove(void)
{
	return syscall(SYS_delete_module, "weft", O_NONBLOCK) ? -errno : 0;
}

/* Its KUnit suites have run when it was loaded first. */
static void module_insert(void)
{
	if (!access("/sys/module/kunit/parameters/filter_glob", W_OK))
		module_parameter("kunit", "filter_glob", "none");
	CHECK(!system("modprobe weft"), "modprobe weft");
}

static void the_module_stays_while_it_is_mounted(void)
{
	struct fake_meta *meta = fake_meta_new();
	struct fake_server *server = fake_serve(meta, NULL, NULL);

	CHECK(!mount_volume(NULL));
	CHECK(module_remove() == -EWOULDBLOCK, "it went while mounted");
	CHECK(!call_mkdir("still works"));
	CHECK(!unmount(0));
	fake_serve_end(server);
}

/*
 * The daemon is still bound, its cluster known, answers have just come: none of it keeps the
 * module.
 */
static void the_module_goes_at_once_after_the_last_umount(void)
{
	struct fake_meta *meta = fake_meta_new();
	struct fake_server *server = fake_serve(meta, NULL, NULL);

	CHECK(!mount_volume(NULL));
	for (int i = 0; i < 100; i++) {
		char name[16];

		snprintf(name, sizeof(name), "%d", i);
		CHECK(!call_create(name) && (i % 2 || !call_unlink(name)));
	}
	CHECK(!unmount(0));
	CHECK(!module_remove(), "rmmod: %s", strerror(errno));
	module_insert();
	fake_serve_end(server);
}

/* Below the mount until it fails. */
static int call_load(const char *name)
{
	char path[64];

	for (int i = 0; ; i++) {
		snprintf(path, sizeof(path), "%s%d", name, i % 50);
		int error = i % 100 < 50 ? call_create(path) : call_unlink(path);

		if (error && error != -EEXIST && error != -ENOENT)
			return error;
	}
}

/* In a namespace of its own: daemon, mount. Tells when it is mounted, lives until it is killed. */
static int call_host(const char *told)
{
	struct fake_meta *meta = fake_meta_new();
	char done = 1;

	if (unshare(CLONE_NEWNET))
		return -errno;
	fake_serve(meta, NULL, NULL);
	if (mount_volume(NULL))
		return -EINVAL;
	if (write(atoi(told), &done, 1) != 1)
		return -EIO;
	pause();
	return 0;
}

static void a_namespace_goes_under_load(void)
{
	pid_t host, load[4];
	int told[2], error;
	char fd[16], done;

	CHECK(!pipe(told));
	snprintf(fd, sizeof(fd), "%d", told[1]);
	host = child_start(call_host, fd);
	close(told[1]);
	CHECK(read(told[0], &done, 1) == 1, "no mount in a new namespace");
	for (int i = 0; i < 4; i++)
		load[i] = child_start(call_load, (const char *[]){ "a", "b", "c", "d" }[i]);
	/* The namespace's last process takes its daemon with it. */
	CHECK(child_kill(host) >= 0);
	for (int i = 0; i < 4; i++) {
		error = child_result(load[i], 30);
		CHECK(error == -EIO, "a program ended with %d", error);
	}
	CHECK(call_stat("x") == -EIO);
	CHECK(!unmount(0));
	CHECK(!module_remove(), "rmmod: %s", strerror(errno));
	module_insert();
}

static int call_read(const char *path)
{
	char byte;
	int fd = open(path, O_RDONLY);

	return fd < 0 ? -errno : read(fd, &byte, 1) < 0 ? -errno : 0;
}

static int call_write(const char *path)
{
	static char bytes[1 << 20];
	int fd = open(path, O_RDWR);

	if (fd < 0)
		return -errno;
	for (int i = 0; i < 64; i++)
		if (write(fd, bytes, sizeof(bytes)) < 0)
			return -errno;
	return 0;
}

static int call_fsync(const char *path)
{
	int fd = open(path, O_RDWR);

	if (fd < 0 || write(fd, "x", 1) != 1 || fsync(fd))
		return -errno;
	return 0;
}

struct seen {
	struct fake_server *server;
	uint16_t op;
};

static bool has_seen(void *arg)
{
	const struct seen *seen = arg;

	return fake_serve_seen(seen->server, seen->op) > 0;
}

static const char *made(const char *name, off_t size)
{
	static char paths[3][64];
	static unsigned int n;
	char *path = paths[n++];
	int fd;

	snprintf(path, sizeof(paths[0]), "%s/%s", mount_point, name);
	fd = open(path, O_CREAT | O_RDWR, 0644);
	CHECK(fd >= 0 && !ftruncate(fd, size));
	close(fd);
	return path;
}

/* The budget of mounts to come, as small as it may be. */
static void limit_budget(void)
{
	static struct fake_message message;
	struct fake fake;

	fake_open(&fake);
	fake_begin(&fake, &message, WEFT_CMD_LIMITS, 0);
	fake_put(&message, WEFT_A_CLUSTER, fake_uuid, 16);
	fake_put_u64(&message, WEFT_A_BUDGET, 16 << 20);
	CHECK(!fake_send(&fake, &message), "%d %s", fake.error, fake.text);
	fake_close(&fake);
}

/* Programs wait in read, write, fsync and a lookup for a daemon that answers none of it. */
static void umount_force_ends_io(void)
{
	static const uint16_t held[] = { WEFT_REQ_EXTENTS, WEFT_REQ_GROUP_WANT, WEFT_REQ_COMMIT,
					 WEFT_REQ_LOOKUP };
	static int (*const calls[])(const char *path) = { call_read, call_write, call_fsync };
	struct fake_server *server = fake_serve(fake_meta_new(), NULL, NULL);
	const char *paths[3];
	pid_t children[4];
	int error, fd;

	limit_budget();
	CHECK(!mount_volume(NULL));
	paths[0] = made("read", 1 << 20);
	paths[1] = made("write", 0);
	paths[2] = made("fsync", 0);
	/* What is known of the first file's content goes. */
	CHECK(!unmount(0) && !mount_volume(NULL));
	for (int i = 0; i < 3; i++)
		CHECK(!access(paths[i], F_OK));
	fd = open("/proc/sys/vm/drop_caches", O_WRONLY);
	CHECK(fd >= 0 && write(fd, "1", 1) == 1);
	close(fd);
	for (int i = 0; i < 4; i++) {
		struct seen seen = { server, held[i] };
		unsigned int before = fake_serve_seen(server, held[i]);

		fake_serve_act(server, held[i], FAKE_HOLD);
		children[i] = child_start(i < 3 ? calls[i] : call_stat, i < 3 ? paths[i] : "none");
		CHECK(before || wait_until(has_seen, &seen), "call %d does not ask", i);
	}
	umount2(mount_point, MNT_FORCE);
	for (int i = 0; i < 4; i++) {
		error = child_result(children[i], 20);
		CHECK(error == -EIO, "call %d ended with %d", i, error);
	}
	/* Unless nobody was in it any more, and it went at once. */
	error = unmount(0);
	CHECK(!error || error == -EINVAL, "umount: %d", error);
	CHECK(!module_remove(), "rmmod: %s", strerror(errno));
	module_insert();
	fake_serve_end(server);
}

int main(void)
{
	static const struct test tests[] = {
		{ "the module stays while it is mounted", the_module_stays_while_it_is_mounted },
		{ "the module goes at once after the last umount",
		  the_module_goes_at_once_after_the_last_umount },
		{ "a network namespace goes under load", a_namespace_goes_under_load },
		{ "umount -f ends reads, writes, fsyncs and lookups", umount_force_ends_io },
	};

	return tests_run(tests, sizeof(tests) / sizeof(tests[0]));
}
