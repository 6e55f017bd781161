// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * TAP, children and mounts for the test programs. Each test runs in a process of its own, so that
 * one that fails leaves no thread behind; what it has mounted is taken down after it.
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define EXIT_SKIP 4
#define TEST_SECONDS 300

const char mount_point[] = "/tmp/weft-kselftest";

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void test_fail(const char *file, int line, const char *condition, const char *format, ...)
{
	va_list args;

	printf("# %s:%d: %s:", file, line, condition);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
	_exit(1);
}

void test_skip(const char *why)
{
	printf("# skipped: %s\n", why);
	fflush(stdout);
	_exit(EXIT_SKIP);
}

static int test_status(const struct test *test)
{
	pid_t child;
	int status;

	fflush(stdout);
	child = fork();
	if (!child) {
		alarm(TEST_SECONDS);
		test->run();
		fflush(stdout);
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		return 1;
	/* What a failed test has left. */
	while (!umount2(mount_point, MNT_FORCE | MNT_DETACH))
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int tests_run(const struct test *tests, unsigned int count)
{
	bool failed = false;

	mkdir(mount_point, 0700);
	printf("TAP version 13\n1..%u\n", count);
	for (unsigned int i = 0; i < count; i++) {
		long start = now_ms();
		int status = test_status(&tests[i]);

		printf("# %ld ms\n", now_ms() - start);
		printf("%s %u %s%s\n", status && status != EXIT_SKIP ? "not ok" : "ok", i + 1,
		       tests[i].name, status == EXIT_SKIP ? " # SKIP" : "");
		failed |= status && status != EXIT_SKIP;
	}
	rmdir(mount_point);
	return failed;
}

int mount_volume(const char *source)
{
	return mount(source ?: "fake:home", mount_point, "weft", 0, NULL) ? -errno : 0;
}

int unmount(int flags)
{
	return umount2(mount_point, flags) ? -errno : 0;
}

void module_parameter(const char *module, const char *name, const char *value)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "/sys/module/%s/parameters/%s", module, name);
	fd = open(path, O_WRONLY);
	CHECK(fd >= 0 && write(fd, value, strlen(value)) == (ssize_t)strlen(value), "%s", path);
	close(fd);
}

pid_t child_start(int (*call)(const char *arg), const char *arg)
{
	pid_t child;

	fflush(stdout);
	child = fork();
	if (!child)
		_exit(-call(arg));
	CHECK(child > 0);
	return child;
}

/* False: it has not ended within the time. */
static bool child_wait(pid_t child, int milliseconds, int *status)
{
	long deadline = now_ms() + milliseconds;
	struct timespec pause = { .tv_nsec = 2000000 };

	while (waitpid(child, status, WNOHANG) != child) {
		if (now_ms() > deadline)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

int child_result(pid_t child, int seconds)
{
	int status;

	if (!child_wait(child, seconds * 1000, &status)) {
		child_kill(child);
		return -ETIMEDOUT;
	}
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EINTR;
}

int child_kill(pid_t child)
{
	long start = now_ms();
	int status;

	kill(child, SIGKILL);
	return child_wait(child, 10000, &status) ? now_ms() - start : -1;
}

bool wait_until(bool (*condition)(void *arg), void *arg)
{
	long deadline = now_ms() + 30000;
	struct timespec pause = { .tv_nsec = 2000000 };

	while (!condition(arg)) {
		if (now_ms() > deadline)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

static const char *path_of(const char *name)
{
	static char path[4096];

	snprintf(path, sizeof(path), "%s/%s", mount_point, name);
	return path;
}

int call_stat(const char *name)
{
	struct stat st;

	return stat(path_of(name), &st) ? -errno : 0;
}

int call_mkdir(const char *name)
{
	return mkdir(path_of(name), 0755) ? -errno : 0;
}

int call_unlink(const char *name)
{
	return unlink(path_of(name)) ? -errno : 0;
}

int call_create(const char *name)
{
	int fd = open(path_of(name), O_CREAT | O_EXCL | O_RDWR, 0644);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

int call_truncate(const char *name)
{
	return truncate(path_of(name), 1) ? -errno : 0;
}

int call_mount(const char *source)
{
	return mount_volume(source);
}
