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

static void module_insert(void)
{
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

int main(void)
{
	static const struct test tests[] = {
		{ "the module stays while it is mounted", the_module_stays_while_it_is_mounted },
		{ "the module goes at once after the last umount",
		  the_module_goes_at_once_after_the_last_umount },
		{ "a network namespace goes under load", a_namespace_goes_under_load },
	};

	return tests_run(tests, sizeof(tests) / sizeof(tests[0]));
}
