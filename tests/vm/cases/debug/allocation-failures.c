// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Allocations that fail, in each place where the module makes one.
 *
 * First each operation of the list below is run with the n-th allocation failing that this task makes below a function of the
 * module, slabs and pages alike, n = 1, 2, 3 and so on until the operation does not come as far. It succeeds or says ENOMEM (or
 * what its line of the table allows besides); then it works without faults, and what was synced before is there.
 *
 * Then allocations fail at random in every task that runs code of the module, its own workers and the daemon's commands
 * included, while files are written, synced and read from cold: a call may fail, but what an fsync has confirmed stays.
 *
 *	allocation-failures [VERBOSE]	in a folder of the volume; 2: the stack of each failing allocation is in the kernel's log
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

#include "weft_netlink.h"

#define MOUNT_POINT "/mnt/weft"
#define SOURCE      "demo:main"
#define DEBUGFS     "/sys/kernel/debug/"

#define KEPT_SIZE   (96u << 10)
#define FILE_SIZE   (48u << 10)
#define ENTRIES     12

#define OPERATION_S  2.0 /* after so long an operation's n is counted in strides */
#define N_MAX        600
#define EVERYWHERE_S 3.0
#define RANDOM_S     7.0

static char folder[256];
static uint8_t kept[KEPT_SIZE], bytes[KEPT_SIZE];
static int fail_nth = -1;
static const char *operation = "preparation";
static unsigned int at; /* n */

__attribute__((format(printf, 1, 2), noreturn)) static void fail(const char *fmt, ...)
{
	va_list args;

	printf("%s, n = %u: ", operation, at);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	exit(1);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* A name in the case's folder. Nobody stands in it: the volume is unmounted meanwhile. */
static const char *in_folder(const char *name)
{
	static char paths[4][320];
	static unsigned int turn;
	char *path = paths[turn++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static void set(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, value, strlen(value)) != (ssize_t)strlen(value))
		fail("cannot write %s to %s: %s", value, path, strerror(errno));
	close(fd);
}

/* --- Which allocations fail ------------------------------------------------------------------------------------------- */

static const char *const injectors[] = { DEBUGFS "failslab/", DEBUGFS "fail_page_alloc/" };

static void set_both(const char *attribute, const char *value)
{
	char path[128];

	for (size_t i = 0; i < sizeof(injectors) / sizeof(injectors[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", injectors[i], attribute);
		set(path, value);
	}
}

/* Where the module's functions lie. */
static void module_range(uint64_t *start, uint64_t *end)
{
	char line[512], type, owner[64];
	FILE *file = fopen("/proc/kallsyms", "r");
	unsigned long long address;

	*start = UINT64_MAX;
	*end = 0;
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%llx %c %*s %63s", &address, &type, owner) != 3 || strcmp(owner, "[weft]") ||
		    (type != 't' && type != 'T'))
			continue;
		*start = address < *start ? address : *start;
		*end = address > *end ? address : *end;
	}
	if (file)
		fclose(file);
	if (*end <= *start || !*start)
		fail("/proc/kallsyms does not say where the module is");
	*end += 4096;
}

/* Only those below a function of the module, whichever kind; nothing fails yet. */
static void injection_begin(const char *verbose)
{
	uint64_t start, end;
	char text[32];

	module_range(&start, &end);
	set_both("probability", "0");
	set_both("times", "-1");
	set_both("verbose", verbose);
	set_both("ignore-gfp-wait", "0");
	set_both("stacktrace-depth", "32");
	snprintf(text, sizeof(text), "0x%llx", (unsigned long long)start);
	set_both("require-start", text);
	snprintf(text, sizeof(text), "0x%llx", (unsigned long long)end);
	set_both("require-end", text);
	set(DEBUGFS "fail_page_alloc/ignore-gfp-highmem", "0");
	set(DEBUGFS "fail_page_alloc/min-order", "0");
	fail_nth = open("/proc/thread-self/fail-nth", O_RDWR);
	if (fail_nth < 0)
		fail("/proc/thread-self/fail-nth: %s", strerror(errno));
}

static void injection_end(void)
{
	set_both("probability", "0");
	set_both("interval", "1");
	set_both("require-start", "0");
	set_both("require-end", "0xffffffffffffffff");
	set_both("ignore-gfp-wait", "1");
}

static void arm(unsigned int n)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", n);

	if (pwrite(fail_nth, text, len, 0) != len)
		fail("cannot ask for a failing allocation: %s", strerror(errno));
}

/* True: the allocation was reached, and failed. */
static bool disarm(void)
{
	char text[16] = "";

	if (pread(fail_nth, text, sizeof(text) - 1, 0) <= 0)
		fail("cannot see whether an allocation failed: %s", strerror(errno));
	arm(0);
	return !atoi(text);
}

/* One that any task makes below the module, the n-th counted from somewhere. */
static void arm_everywhere(unsigned int n)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", n);
	set_both("interval", text);
	set_both("times", "1");
	set_both("probability", "100");
}

static bool disarm_everywhere(void)
{
	char path[128], text[16] = "";
	bool hit = false;

	set_both("probability", "0");
	for (size_t i = 0; i < sizeof(injectors) / sizeof(injectors[0]); i++) {
		int fd;

		snprintf(path, sizeof(path), "%stimes", injectors[i]);
		fd = open(path, O_RDONLY);
		if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
			fail("cannot read %s: %s", path, strerror(errno));
		close(fd);
		hit |= !atoi(text);
	}
	return hit;
}

/* --- Files ------------------------------------------------------------------------------------------------------------ */

static void fill(uint8_t *to, size_t len, uint32_t x)
{
	x = x * 2654435761u + 1;
	for (size_t i = 0; i < len; i++) {
		x = x * 1664525 + 1013904223;
		to[i] = (uint8_t)(x >> 24);
	}
}

static int result(bool good)
{
	return good ? 0 : -errno;
}

static int file_write(const char *name, size_t len, uint32_t content, bool sync_it)
{
	int fd = open(in_folder(name), O_WRONLY | O_CREAT, 0644), error = 0;

	if (fd < 0)
		return -errno;
	fill(bytes, len, content);
	for (size_t done = 0; done < len && !error;) {
		ssize_t n = pwrite(fd, bytes + done, len - done, done);

		error = n > 0 ? 0 : -errno;
		done += n > 0 ? n : 0;
	}
	if (!error && sync_it)
		error = result(!fsync(fd));
	close(fd);
	return error;
}

/* 1: something else is in it. */
static int file_check(const char *name, size_t len, const uint8_t *wanted)
{
	int fd = open(in_folder(name), O_RDONLY), error = 0;
	static uint8_t found[KEPT_SIZE];

	if (fd < 0)
		return -errno;
	for (size_t done = 0; done < len && !error;) {
		ssize_t n = pread(fd, found + done, len - done, done);

		error = n > 0 ? 0 : n ? -errno : 1;
		done += n > 0 ? n : 0;
	}
	close(fd);
	return error ? error : memcmp(found, wanted, len) ? 1 : 0;
}

static int file_is(const char *name, size_t len, uint32_t content)
{
	fill(bytes, len, content);
	return file_check(name, len, bytes);
}

static void drop_caches(void)
{
	set("/proc/sys/vm/drop_caches", "3");
}

static void must(int error, const char *what)
{
	if (error)
		fail("%s: %s", what, error > 0 ? "other content than was written" : strerror(-error));
}

static void must_mount(const char *what)
{
	if (mount(SOURCE, MOUNT_POINT, "weft", 0, ""))
		fail("%s: %s", what, strerror(errno));
}

/* --- Operations: what goes before, what is run with a fault and then without, what is looked at afterwards ------------------ */

static uint32_t generation; /* of content */

static void gone(const char *name)
{
	if (unlink(in_folder(name)) && errno != ENOENT)
		must(-errno, name);
}

/* A failed create may have happened. */
static void no_file(void)
{
	gone("new");
}

static int run_create(void)
{
	int fd = open(in_folder("new"), O_CREAT | O_EXCL | O_WRONLY, 0644);

	return fd < 0 ? -errno : result(!close(fd));
}

static void cold(void)
{
	drop_caches();
}

static int run_read(void)
{
	return file_check("kept", KEPT_SIZE, kept);
}

static int run_write(void)
{
	return file_write("written", FILE_SIZE, ++generation, true);
}

static void check_written(bool good)
{
	if (good)
		must(file_is("written", FILE_SIZE, generation), "what was written");
}

static sigjmp_buf bus;

static void on_bus(int signal)
{
	(void)signal;
	siglongjmp(bus, 1);
}

/* What is there is known before the mapping is changed. */
static void mapped_cold(void)
{
	must(file_write("mapped", FILE_SIZE, 1, true), "writing mapped");
	drop_caches();
}

static int run_mmap(void)
{
	int fd = open(in_folder("mapped"), O_RDWR), error;
	uint8_t *map;

	if (fd < 0)
		return -errno;
	fill(bytes, FILE_SIZE, ++generation);
	map = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (map == MAP_FAILED)
		return -errno;
	if (sigsetjmp(bus, 1)) {
		error = -EFAULT;
	} else {
		memcpy(map, bytes, FILE_SIZE);
		error = result(!msync(map, FILE_SIZE, MS_SYNC));
	}
	munmap(map, FILE_SIZE);
	return error;
}

static void check_mapped(bool good)
{
	if (good)
		must(file_is("mapped", FILE_SIZE, generation), "what a mapping stored");
}

static void no_folder(void)
{
	if (rmdir(in_folder("folder")) && errno != ENOENT)
		must(-errno, "rmdir");
}

static int run_mkdir(void)
{
	return result(!mkdir(in_folder("folder"), 0755));
}

static void two_files(void)
{
	gone("from");
	gone("to");
	must(file_write("to", 5000, 1, true), "writing to");
	must(file_write("from", FILE_SIZE, 2, false), "writing from");
}

static int run_rename(void)
{
	return result(!rename(in_folder("from"), in_folder("to")));
}

static void check_renamed(bool good)
{
	must(good ? file_is("to", FILE_SIZE, 2) : file_is("to", 5000, 1), "the name that was replaced");
	if (good == !access(in_folder("from"), F_OK))
		fail("the old name is %s", good ? "still there" : "gone");
}

static void one_name(void)
{
	gone("link");
	must(file_write("name", 100, 1, false), "writing name");
}

static int run_link(void)
{
	return result(!link(in_folder("name"), in_folder("link")));
}

static int run_symlink(void)
{
	char target[64];

	if (symlink("a/target/of/some/length", in_folder("link")))
		return -errno;
	drop_caches();
	return result(readlink(in_folder("link"), target, sizeof(target)) == 23);
}

static int run_unlink(void)
{
	return result(!unlink(in_folder("name")));
}

static void check_unlinked(bool good)
{
	if (good == !access(in_folder("name"), F_OK))
		fail("the name is %s", good ? "still there" : "gone");
}

static int run_readdir(void)
{
	DIR *dir = opendir(in_folder("many"));
	unsigned int n = 0;
	int error;

	if (!dir)
		return -errno;
	for (errno = 0; readdir(dir); errno = 0)
		n++;
	error = -errno;
	closedir(dir);
	return error ? error : n == ENTRIES + 2 ? 0 : -ENODATA;
}

static void file_to_cut(void)
{
	must(file_write("cut", FILE_SIZE, 1, true), "writing cut");
}

static int run_truncate(void)
{
	if (truncate(in_folder("cut"), 30001))
		return -errno;
	return result(!truncate(in_folder("cut"), FILE_SIZE));
}

static void check_truncated(bool good)
{
	static uint8_t wanted[FILE_SIZE];
	struct stat stat_buf;

	fill(wanted, FILE_SIZE, 1);
	must(result(!stat(in_folder("cut"), &stat_buf)), "stat");
	if (good)
		memset(wanted + 30001, 0, FILE_SIZE - 30001);
	else if (stat_buf.st_size != FILE_SIZE && stat_buf.st_size != 30001)
		fail("the file has %lld bytes", (long long)stat_buf.st_size);
	must(file_check("cut", good ? FILE_SIZE : 30001, wanted), "the file that was truncated");
}

static int run_chmod(void)
{
	return result(!chmod(in_folder("kept"), 0600 + generation++ % 8));
}

static int run_statfs(void)
{
	struct statfs buf;

	return result(!statfs(MOUNT_POINT, &buf));
}

static void some_dirty(void)
{
	must(file_write("dirty", FILE_SIZE, ++generation, false), "writing dirty");
}

static int run_umount(void)
{
	return result(!umount(MOUNT_POINT));
}

/* At once: the session has ended with the mount. */
static void check_umounted(bool good)
{
	if (good)
		must_mount("mount after umount");
	must(file_is("dirty", FILE_SIZE, generation), "what was dirty when the volume was unmounted");
}

static void unmounted(void)
{
	must(run_umount(), "umount");
}

static int run_mount(void)
{
	return result(!mount(SOURCE, MOUNT_POINT, "weft", 0, ""));
}

static int genl_send(struct mnl_socket *sock, struct nlmsghdr *msg, int flags)
{
	uint8_t answer[8192];
	ssize_t n;

	msg->nlmsg_flags = NLM_F_REQUEST | flags;
	if (mnl_socket_sendto(sock, msg, msg->nlmsg_len) < 0)
		return -errno;
	n = mnl_socket_recvfrom(sock, answer, sizeof(answer));
	if (n < 0)
		return -errno;
	memcpy(msg, answer, n);
	if (msg->nlmsg_type == NLMSG_ERROR)
		return ((const struct nlmsgerr *)mnl_nlmsg_get_payload(msg))->error;
	return 0;
}

static struct nlmsghdr *genl_begin(void *buffer, uint16_t family, uint8_t cmd, uint8_t version)
{
	struct nlmsghdr *msg = mnl_nlmsg_put_header(buffer);
	struct genlmsghdr *genl;

	msg->nlmsg_type = family;
	genl = mnl_nlmsg_put_extra_header(msg, sizeof(*genl));
	genl->cmd = cmd;
	genl->version = version;
	return msg;
}

static int take_family(const struct nlattr *attr, void *data)
{
	if (mnl_attr_get_type(attr) == CTRL_ATTR_FAMILY_ID)
		*(uint16_t *)data = mnl_attr_get_u16(attr);
	return MNL_CB_OK;
}

/* A daemon of another cluster, a new one each time, which nobody mounts. */
static int run_bind(void)
{
	struct mnl_socket *sock = mnl_socket_open(NETLINK_GENERIC);
	static uint8_t buffer[8192];
	uint8_t uuid[16] = "allocation";
	static uint16_t family;
	struct nlmsghdr *msg;
	int error;

	if (!sock || mnl_socket_bind(sock, 0, MNL_SOCKET_AUTOPID) < 0)
		fail("no netlink socket: %s", strerror(errno));
	if (!family) {
		msg = genl_begin(buffer, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1);
		mnl_attr_put_strz(msg, CTRL_ATTR_FAMILY_NAME, WEFT_FAMILY_NAME);
		error = genl_send(sock, msg, 0);
		if (!error)
			mnl_attr_parse(msg, sizeof(struct genlmsghdr), take_family, &family);
		if (!family)
			fail("there is no family %s", WEFT_FAMILY_NAME);
	}
	memcpy(uuid + 12, &generation, sizeof(generation));
	generation++;
	msg = genl_begin(buffer, family, WEFT_CMD_BIND, WEFT_FAMILY_VERSION);
	mnl_attr_put(msg, WEFT_A_CLUSTER, sizeof(uuid), uuid);
	mnl_attr_put_strz(msg, WEFT_A_CLUSTER_NAME, "failing");
	mnl_attr_put_u32(msg, WEFT_A_INCARNATION, 1);
	error = genl_send(sock, msg, NLM_F_ACK);
	mnl_socket_close(sock);
	return error;
}

static const struct operation {
	const char *name;
	void (*prepare)(void);
	int (*run)(void);
	void (*check)(bool good); /* whether it was well */
	int other;		  /* errno that it may have besides ENOMEM */
	bool everywhere;	  /* workers do most of it: their allocations fail as well, one a call */
} operations[] = {
	{ "create", no_file, run_create, NULL, 0, false },
	/* Readahead has only a folio's flag to tell the reader with. */
	{ "open and read", cold, run_read, NULL, EIO, true },
	{ "write and fsync", NULL, run_write, check_written, 0, true },
	/* SIGBUS is what a mapping has for an error. */
	{ "mmap and msync", mapped_cold, run_mmap, check_mapped, EFAULT, false },
	{ "mkdir", no_folder, run_mkdir, NULL, 0, false },
	{ "rename", two_files, run_rename, check_renamed, 0, false },
	{ "link", one_name, run_link, NULL, 0, false },
	{ "symlink", one_name, run_symlink, NULL, 0, false },
	{ "unlink", one_name, run_unlink, check_unlinked, 0, false },
	{ "readdir", cold, run_readdir, NULL, 0, false },
	{ "truncate", file_to_cut, run_truncate, check_truncated, 0, true },
	{ "chmod", NULL, run_chmod, NULL, 0, false },
	{ "statfs", NULL, run_statfs, NULL, 0, false },
	{ "umount", some_dirty, run_umount, check_umounted, 0, true },
	{ "mount", unmounted, run_mount, NULL, 0, false },
	{ "bind", NULL, run_bind, NULL, 0, false },
};

static double longest; /* call, and with which n */
static unsigned int longest_at;

/* True: it came as far as the n-th allocation. */
static bool operation_run(const struct operation *op, bool everywhere, unsigned int *failed)
{
	double start;
	bool hit;
	int error;

	if (op->prepare)
		op->prepare();
	start = now();
	if (everywhere)
		arm_everywhere(at);
	else
		arm(at);
	error = op->run();
	hit = everywhere ? disarm_everywhere() : disarm();
	if (now() - start > longest) {
		longest = now() - start;
		longest_at = at;
	}
	if (error > 0)
		fail("it read something else than was written");
	if (error && !hit)
		fail("without a fault: %s", strerror(-error));
	if (error && error != -ENOMEM && error != -op->other)
		fail("%s", strerror(-error));
	*failed += error != 0;
	if (op->check)
		op->check(!error);
	if (error) {
		/* A failed mount leaves what mount needs, and an unmount does not. */
		if (op->prepare && op->run != run_mount)
			op->prepare();
		must(op->run(), "without faults, after a failure");
		if (op->check)
			op->check(true);
	}
	return hit;
}

static void operation_all(const struct operation *op)
{
	unsigned int hits = 0, failed = 0, every = 0;
	double start = now();
	bool hit;

	operation = op->name;
	longest = 0;
	for (at = 1; at <= N_MAX; at += every ? 1 + at / 2 : 1) {
		hit = operation_run(op, false, &failed);
		hits += hit;
		if (!hit)
			break;
		if (!every && now() - start > OPERATION_S)
			every = at;
	}
	if (!hits)
		fail("it met no failing allocation");
	printf("%-16s %3u allocations failed, the call failed with %3u of them", op->name, hits, failed);
	if (every)
		printf(", in strides behind the %u-th", every);
	printf("%s; %.1f s, the longest call %.1f s with n = %u\n", at > N_MAX ? ", and there are more" : "", now() - start,
	       longest, longest_at);
	fflush(stdout);
}

static void operation_everywhere(const struct operation *op)
{
	unsigned int hits = 0, failed = 0;
	double start = now();

	operation = op->name;
	longest = 0;
	for (at = 1; now() - start < EVERYWHERE_S; at++)
		hits += operation_run(op, true, &failed);
	if (!hits)
		fail("no allocation failed in %u calls", at - 1);
	printf("%-16s %3u allocations of any task failed, the call failed with %3u of them; the longest call %.1f s with n = %u\n",
	       op->name, hits, failed, longest, longest_at);
	fflush(stdout);
}

/* --- At random, everywhere -------------------------------------------------------------------------------------------- */

#define RANDOM_FILES 6

static void random_all(void)
{
	uint32_t synced[RANDOM_FILES] = { 0 };
	unsigned int failed = 0, good = 0;
	double start = now();
	char name[16];
	int error;

	operation = "at random";
	at = 0;
	set_both("interval", "1");
	set_both("times", "-1");
	set_both("probability", "2");
	for (unsigned int i = 0; now() - start < RANDOM_S; i++) {
		unsigned int file = i % RANDOM_FILES;

		snprintf(name, sizeof(name), "random.%u", i);
		error = file_write(name, FILE_SIZE / (1 + file * file * file), i, true);
		if (!error) {
			snprintf(name, sizeof(name), "random.%u", synced[file]);
			/* It may stay: this call may fail like any other. */
			if (synced[file] && unlink(in_folder(name)) && errno != ENOMEM && errno != EIO)
				must(-errno, name);
			synced[file] = i;
		}
		if (file == RANDOM_FILES - 1)
			drop_caches();
		snprintf(name, sizeof(name), "random.%u", synced[0]);
		if (!error && synced[0])
			error = file_is(name, FILE_SIZE, synced[0]);
		if (error > 0 || (error && error != -ENOMEM && error != -EIO))
			must(error, "writing and reading");
		failed += error != 0;
		good += !error;
	}
	set_both("probability", "0");
	printf("%s: %u rounds, %u more in which a call failed\n", operation, good, failed);
	drop_caches();
	for (unsigned int file = 0; file < RANDOM_FILES; file++) {
		snprintf(name, sizeof(name), "random.%u", synced[file]);
		if (synced[file])
			must(file_is(name, FILE_SIZE / (1 + file * file * file), synced[file]), name);
	}
}

static void prepare(void)
{
	char name[16];
	int fd;

	if (!getcwd(folder, sizeof(folder)) || strncmp(folder, MOUNT_POINT "/", sizeof(MOUNT_POINT)) || chdir("/"))
		fail("the folder is not below " MOUNT_POINT);
	fill(kept, KEPT_SIZE, 4711);
	fd = open(in_folder("kept"), O_CREAT | O_WRONLY, 0644);
	if (fd < 0 || write(fd, kept, KEPT_SIZE) != KEPT_SIZE || fsync(fd) || close(fd))
		fail("kept: %s", strerror(errno));
	must(result(!mkdir(in_folder("many"), 0755)), "mkdir");
	for (unsigned int i = 0; i < ENTRIES; i++) {
		snprintf(name, sizeof(name), "many/%u", i);
		must(file_write(name, 10, i, false), name);
	}
}

int main(int argc, char **argv)
{
	signal(SIGBUS, on_bus);
	prepare();
	injection_begin(argc > 1 ? argv[1] : "0");
	atexit(injection_end);
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
		operation_all(&operations[i]);
		if (operations[i].everywhere)
			operation_everywhere(&operations[i]);
		must(run_read(), "what was synced before");
	}
	random_all();
	operation = "at the end";
	drop_caches();
	must(run_read(), "what was synced before");
	return 0;
}
