/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * harness.h - what the test programs share: TAP, children that make system calls, mounts
 *
 * A check that fails names its place and ends the test it stands in; the next one starts from a
 * clean state: each test mounts and ends its own daemon.
 */
#ifndef WEFT_HARNESS_H
#define WEFT_HARNESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "fake.h"

struct test {
	const char *name;
	void (*run)(void);
};

/* Runs all and prints TAP; the exit status for main(). */
int tests_run(const struct test *tests, unsigned int count);
__attribute__((format(printf, 4, 5), noreturn)) void
test_fail(const char *file, int line, const char *condition, const char *format, ...);
/* Ends the test as skipped. */
__attribute__((noreturn)) void test_skip(const char *why);

#define CHECK(condition, ...)                                                       \
	do {                                                                        \
		if (!(condition))                                                   \
			test_fail(__FILE__, __LINE__, #condition, " " __VA_ARGS__); \
	} while (0)

/* Where tests mount: an empty folder. */
extern const char mount_point[];
/* mount(2) of fake:home or what source says; 0 or a negative errno. */
int mount_volume(const char *source);
/* umount2(2); 0 or a negative errno. */
int unmount(int flags);

/* A parameter of the module, or of another one: /sys/module/MODULE/parameters/NAME. */
void module_parameter(const char *module, const char *name, const char *value);

/*
 * call(arg) in a child of its own; its result (0 or a negative errno) is the child's exit status.
 */
pid_t child_start(int (*call)(const char *arg), const char *arg);
/*
 * The child's result, or -ETIMEDOUT when it does not end in time (seconds): it then is killed and
 * waited for.
 */
int child_result(pid_t child, int seconds);
/* A wait that a signal ends is over by then, also on an emulated machine; no timeout of the module is as short. */
#define KILL_MS 4500

/*
 * Kills it with SIGKILL; how many milliseconds it took until it was gone, or -1 when 10 s were not
 * enough.
 */
int child_kill(pid_t child);

/* Waits until condition(arg) holds, at most 30 s. */
bool wait_until(bool (*condition)(void *arg), void *arg);

/*
 * System calls on names below the mount point, as calls for children or direct. 0 or a negative
 * errno.
 */
int call_stat(const char *name);
int call_mkdir(const char *name);
int call_unlink(const char *name);
int call_create(const char *name);
int call_truncate(const char *name); /* to 1 byte */
int call_mount(const char *source);

#endif /* WEFT_HARNESS_H */
