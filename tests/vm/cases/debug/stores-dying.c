// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Stores die while they are used, on the kernel that watches lifetimes and locks: threads append and sync, write much, and read
 * from cold, while store hosts are killed and started; as many as the redundancy covers, which no call may notice, then one more.
 * Then umount -f with requests under way: every call ends, with EIO, the volume can be unmounted and mounted, and has what an
 * fsync had confirmed. That once with too few stores left, where nothing moves, and once with enough of them.
 *
 * Four hosts, 2+2. Calls are counted, not timed: an emulated machine is late by nature.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOUNT_POINT "/mnt/weft"
#define SOURCE      "demo:main"

#define LOGS        2
#define RECORD_MAX  9000
#define KEPT_SIZE   (160u << 10)
#define PIECE       (64u << 10)
#define PIECES      16

#define AWAIT_S     90.0 /* nothing takes so long */
#define ENDED_S     30.0 /* until every call has ended behind umount -f */

/* What the threads do; each counts what went well. */
enum { LOG_0, LOG_1, LARGE, READER, THREADS };
static const char *const names[THREADS] = { "the first log", "the second log", "the large file", "the reader" };

static char folder[256];
static const char *cluster_sh;
static uint8_t kept[KEPT_SIZE];
static _Atomic unsigned int count[THREADS], acked[LOGS];
static atomic_bool forced, too_few; /* umount -f is under way; stores are left that what was written is not read from */
static _Atomic unsigned int ended;
static const char *dead; /* store hosts */
static double begun;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
	va_list args;

	printf("%5.1f s: ", now() - begun);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
}

static int cluster(const char *verb, const char *arguments)
{
	char command[640];

	snprintf(command, sizeof(command), "%s %s %s", cluster_sh, verb, arguments);
	return system(command);
}

__attribute__((format(printf, 1, 2), noreturn)) static void fail(const char *fmt, ...)
{
	va_list args;

	printf("%5.1f s: ", now() - begun);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
	/* The machine is left as it was found. */
	if (dead)
		cluster("start", dead);
	_exit(1);
}

static void must_cluster(const char *verb, const char *arguments)
{
	if (cluster(verb, arguments))
		fail("cluster.sh %s %s failed", verb, arguments);
	say("cluster.sh %s %s", verb, arguments);
}

static void hosts_kill(const char *hosts)
{
	dead = hosts;
	must_cluster("kill", hosts);
}

static void hosts_start(void)
{
	must_cluster("start", dead);
	dead = NULL;
	must_cluster("wait", "stores=4 --timeout 90");
}

/* --- Content ---------------------------------------------------------------------------------------------------------- */

static void fill(uint8_t *to, size_t len, uint32_t x)
{
	x = x * 2654435761u + 1;
	for (size_t i = 0; i < len; i++) {
		x = x * 1664525 + 1013904223;
		to[i] = (uint8_t)(x >> 24);
	}
}

/* Records of a log follow each other, numbered from 1. */
static size_t record(uint8_t *to, unsigned int log, unsigned int n)
{
	size_t len = 100 + (n * 2654435761u >> 7) % (RECORD_MAX - 100);

	fill(to, len, n * LOGS + log);
	return len;
}

/* Nobody stands in the folder, and no host that is started inherits a file of the volume. */
static int file_open(const char *name, int flags)
{
	char path[320];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return open(path, flags | O_CLOEXEC, 0644);
}

/* --- Threads: until umount -f ends them; before it no call may fail -------------------------------------------------------- */

static void thread_end(unsigned int which, const char *call)
{
	int error = errno;

	if (!atomic_load(&forced))
		fail("%s: %s: %s", names[which], call, strerror(error));
	/* Behind the unmount the folder is not there. */
	if (error != EIO && !(error == ENOENT && !strcmp(call, "open")))
		fail("%s: %s behind umount -f: %s", names[which], call, strerror(error));
	atomic_fetch_add(&ended, 1);
}

static void *append(void *arg)
{
	unsigned int log = *(unsigned int *)arg, n;
	uint8_t bytes[RECORD_MAX];
	char name[8];
	int fd;

	snprintf(name, sizeof(name), "log%u", log);
	fd = file_open(name, O_WRONLY | O_APPEND);
	if (fd < 0) {
		thread_end(log, "open");
		return NULL;
	}
	for (n = acked[log] + 1;; n++) {
		size_t len = record(bytes, log, n);

		if (write(fd, bytes, len) != (ssize_t)len) {
			thread_end(log, "write");
			break;
		}
		if (fsync(fd)) {
			thread_end(log, "fsync");
			break;
		}
		atomic_store(&acked[log], n);
		atomic_fetch_add(&count[log], 1);
	}
	close(fd);
	return NULL;
}

static void *write_much(void *arg)
{
	static uint8_t bytes[PIECE];
	int fd = file_open("large", O_WRONLY);
	const char *call = "open";

	(void)arg;
	for (unsigned int n = 0; fd >= 0; n++) {
		fill(bytes, PIECE, n);
		call = "write";
		if (pwrite(fd, bytes, PIECE, (off_t)(n % PIECES) * PIECE) != PIECE)
			break;
		call = "fsync";
		if (n % PIECES == PIECES - 1 && fsync(fd))
			break;
		atomic_fetch_add(&count[LARGE], 1);
		/* The hosts need the processors as well. */
		usleep(50000);
	}
	thread_end(LARGE, call);
	if (fd >= 0)
		close(fd);
	return NULL;
}

/* NULL: well; otherwise the call that failed. */
static const char *kept_read(void)
{
	static uint8_t bytes[KEPT_SIZE];
	int fd = file_open("kept", O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return "open";
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	for (size_t done = 0; done < KEPT_SIZE; done += n) {
		n = pread(fd, bytes + done, KEPT_SIZE - done, done);
		if (n <= 0) {
			int error = n ? errno : ENODATA;

			close(fd);
			errno = error;
			return "read";
		}
	}
	close(fd);
	if (memcmp(bytes, kept, KEPT_SIZE))
		fail("what was read is not what was written");
	return NULL;
}

static void *read_cold(void *arg)
{
	const char *call;

	(void)arg;
	for (;;) {
		call = kept_read();
		if (!call)
			atomic_fetch_add(&count[READER], 1);
		else if (errno == EIO && atomic_load(&too_few) && !atomic_load(&forced))
			usleep(100000);
		else
			break;
	}
	thread_end(READER, call);
	return NULL;
}

static void threads_start(void)
{
	static void *(*const run[THREADS])(void *arg) = { append, append, write_much, read_cold };
	static unsigned int which[THREADS];
	pthread_t thread;

	atomic_store(&forced, false);
	atomic_store(&ended, 0);
	for (unsigned int i = 0; i < THREADS; i++) {
		which[i] = i;
		if (pthread_create(&thread, NULL, run[i], &which[i]) || pthread_detach(thread))
			fail("cannot start a thread");
	}
}

/* Every thread gets on: what was under way has ended, and what began since went well. */
static void await_progress(const char *when)
{
	unsigned int before[THREADS];
	double start = now();

	for (unsigned int i = 0; i < THREADS; i++)
		before[i] = atomic_load(&count[i]);
	for (unsigned int i = 0; i < THREADS; i++)
		while (atomic_load(&count[i]) < before[i] + 2) {
			if (now() - start > AWAIT_S)
				fail("%s %s does not get on", when, names[i]);
			usleep(20000);
		}
	say("%s all go on", when);
}

/* Nothing is synced any more: the calls wait for stores. */
static void await_stuck(void)
{
	double start = now(), since = start;
	unsigned int before = 0;

	while (now() - since < 2) {
		unsigned int synced = atomic_load(&acked[0]) + atomic_load(&acked[1]);

		if (synced != before)
			since = now();
		before = synced;
		if (now() - start > AWAIT_S)
			fail("fsync goes on without the stores");
		usleep(20000);
	}
	say("nothing is synced any more");
}

/* --- umount -f -------------------------------------------------------------------------------------------------------- */

static void unmount_by_force(const char *when)
{
	double start = now();

	atomic_store(&forced, true);
	/* The first ends every wait; the volume is in use until the threads have seen it. */
	while (umount2(MOUNT_POINT, MNT_FORCE)) {
		if (errno != EBUSY)
			fail("umount -f %s: %s", when, strerror(errno));
		if (now() - start > ENDED_S)
			fail("umount -f %s: still busy, %u of %u calls have ended", when, atomic_load(&ended), THREADS);
		usleep(20000);
	}
	while (atomic_load(&ended) < THREADS) {
		if (now() - start > ENDED_S)
			fail("umount -f %s: %u of %u calls have ended", when, atomic_load(&ended), THREADS);
		usleep(20000);
	}
	say("umount -f %s took %.1f s", when, now() - start);
}

static void mount_again(void)
{
	double start = now();

	while (mount(SOURCE, MOUNT_POINT, "weft", 0, "")) {
		if (now() - start > ENDED_S)
			fail("mount behind umount -f: %s", strerror(errno));
		usleep(100000);
	}
	say("mounted, after %.1f s", now() - start);
}

static void log_check(unsigned int log)
{
	uint8_t wanted[RECORD_MAX], bytes[RECORD_MAX];
	char name[8];
	FILE *file;
	int fd;

	snprintf(name, sizeof(name), "log%u", log);
	fd = file_open(name, O_RDONLY);
	file = fd < 0 ? NULL : fdopen(fd, "r");
	if (!file)
		fail("%s: %s", name, strerror(errno));
	for (unsigned int n = 1; n <= acked[log]; n++) {
		size_t len = record(wanted, log, n);

		if (fread(bytes, 1, len, file) != len)
			fail("%s: %u records were synced, the %u-th cannot be read: %s", name, acked[log], n,
			     ferror(file) ? strerror(errno) : "end of file");
		if (memcmp(bytes, wanted, len))
			fail("%s: %u records were synced, the %u-th is another", name, acked[log], n);
	}
	fclose(file);
}

/* What was written and not confirmed may be there or not: the log goes on behind what was. */
static void log_cut(unsigned int log)
{
	uint8_t bytes[RECORD_MAX];
	off_t size = 0;
	char name[8];
	int fd;

	snprintf(name, sizeof(name), "log%u", log);
	for (unsigned int n = 1; n <= acked[log]; n++)
		size += record(bytes, log, n);
	fd = file_open(name, O_WRONLY);
	if (fd < 0 || ftruncate(fd, size) || close(fd))
		fail("%s: %s", name, strerror(errno));
}

static void check_all(void)
{
	const char *call = kept_read();

	if (call)
		fail("kept: %s: %s", call, strerror(errno));
	for (unsigned int log = 0; log < LOGS; log++) {
		log_check(log);
		log_cut(log);
	}
	say("%u and %u synced records are there", acked[0], acked[1]);
}

/* --- The case --------------------------------------------------------------------------------------------------------- */

static void prepare(void)
{
	int fd;

	cluster_sh = getenv("CLUSTER_SH");
	if (!cluster_sh)
		fail("CLUSTER_SH has to name tests/vm/guest/cluster.sh, as tests/vm/run-cases has it");
	if (!getcwd(folder, sizeof(folder)) || strncmp(folder, MOUNT_POINT "/", sizeof(MOUNT_POINT)) || chdir("/"))
		fail("the folder is not below " MOUNT_POINT);
	fill(kept, KEPT_SIZE, 4711);
	fd = file_open("kept", O_CREAT | O_WRONLY);
	if (fd < 0 || write(fd, kept, KEPT_SIZE) != KEPT_SIZE || fsync(fd) || close(fd))
		fail("kept: %s", strerror(errno));
	if (close(file_open("log0", O_CREAT | O_WRONLY)) || close(file_open("log1", O_CREAT | O_WRONLY)) ||
	    close(file_open("large", O_CREAT | O_WRONLY)))
		fail("making files: %s", strerror(errno));
}

int main(void)
{
	begun = now();
	prepare();
	threads_start();
	await_progress("at the start");

	must_cluster("wait", "whole --timeout 90");
	hosts_kill("1 2");
	await_progress("with two stores dead");
	hosts_start();
	await_progress("with the stores back");
	atomic_store(&too_few, true);
	/* One alone would take what it can get: the volume prefers little redundancy to none at all. */
	hosts_kill("1 2 3 4");
	await_stuck();
	unmount_by_force("with all stores dead");
	hosts_start();
	mount_again();
	check_all();
	atomic_store(&too_few, false);

	/* What was written with two stores has the others again before the next one goes. */
	must_cluster("wait", "whole --timeout 90");
	threads_start();
	await_progress("in the new mount");
	hosts_kill("4");
	await_progress("with one store dead");
	unmount_by_force("with one store dead");
	hosts_start();
	mount_again();
	check_all();
	return 0;
}
