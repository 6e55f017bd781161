// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Names and attributes against tmpfs: a random sequence of system calls on a tree of weft and on one of tmpfs. Each step has to
 * end alike on both, and every now and then, warm and cold, both trees have to be the same: names, types, modes, owners, links,
 * sizes, times, content. Then what needs no second tree: appends of several threads, a directory that is read while names
 * come and go, statfs.
 *
 *	namespace [SEED [STEPS [SCALE]]]	in the current folder
 *
 * weft-vm: timeout=300
 *
 * The first difference ends it; the seed is printed, and everything random depends on nothing else.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define WEFT       0 /* the two trees */
#define ORACLE     1
#define SLOTS      4
#define DATA_MAX   (300u << 10)
#define FILE_LIMIT (1u << 20)
#define ENTRIES    512
#define INODES     4096
#ifndef STEPS /* ../debug/namespace.c has its own */
#define STEPS      1500
#define SCALE      10
#endif
#define LONG_AGO   1500000000 /* times that were set on purpose lie before, what a clock said behind */

/* One step: what is done to both trees. */
struct step {
	const char *what;
	char path[PATH_MAX], path2[PATH_MAX];
	int flags, slot;
	long number, number2;
	uint8_t fill;
};

static uint64_t seed, state;
static unsigned long step_number;
static int root[2] = { -1, -1 }, slots[SLOTS][2];
static char oracle[] = "/tmp/namespace.XXXXXX";
static char long_name[NAME_MAX + 2];
static struct step step;
static uint8_t data[2][FILE_LIMIT + DATA_MAX];

__attribute__((format(printf, 1, 2), noreturn)) static void fail(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	printf("namespace: seed %llu, step %lu: ", (unsigned long long)seed, step_number);
	vprintf(fmt, args);
	if (step.what)
		printf("\n\tlast step: %s '%s' '%s' flags 0x%x, %ld, %ld, slot %d", step.what, step.path, step.path2, step.flags,
		       step.number, step.number2, step.slot);
	printf("\n");
	va_end(args);
	exit(1);
}

static uint64_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state * 0x2545f4914f6cdd1dull;
}

static unsigned long below(unsigned long limit)
{
	return next_random() % limit;
}

static void drop_caches(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);

	if (fd < 0 || write(fd, "3", 1) != 1)
		fail("drop_caches: %s", strerror(errno));
	close(fd);
}

/* --- Which names --- */

static const char *any_name(void)
{
	static const char *const names[] = { "a", "b", "c", "d", "e", "f", "longer-name", "with space" };

	/* The longest that there can be, and one byte more. */
	if (!below(40)) {
		memset(long_name, 'x', NAME_MAX);
		long_name[NAME_MAX] = below(2) ? 'x' : 0;
		return long_name;
	}
	return names[below(sizeof(names) / sizeof(names[0]))];
}

/* A name that is there, if there is one; tmpfs lists them in an order that depends on nothing but the steps. */
static bool known_name(const char *dir, char name[NAME_MAX + 1])
{
	int fd = openat(root[ORACLE], dir, O_RDONLY | O_DIRECTORY);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	unsigned long count = 0;

	if (!stream)
		return false;
	while ((entry = readdir(stream)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") && !below(++count))
			strcpy(name, entry->d_name);
	closedir(stream);
	return count;
}

/* Never "..": it could leave the tree by way of a symbolic link. */
static void any_path(char path[PATH_MAX])
{
	char name[NAME_MAX + 1], dir[PATH_MAX] = ".";
	size_t len = 0;

	for (unsigned int depth = 0; depth < 6; depth++) {
		const char *part = below(4) && known_name(dir, name) ? name : any_name();

		len += snprintf(path + len, PATH_MAX - len, "%s%s", depth ? "/" : "", part);
		if (!below(3))
			break;
		memcpy(dir, path, len + 1);
	}
}

static void fill(uint8_t *to, size_t len, uint8_t with)
{
	for (size_t i = 0; i < len; i++)
		to[i] = (uint8_t)(with + i * 7 + (i >> 8));
}

/* --- Steps: one function each, done to either tree. What depends on chance is in the step. --- */

static long do_create(int tree)
{
	int fd = openat(root[tree], step.path, step.flags | O_CREAT, (mode_t)step.number);

	return fd < 0 ? -1 : close(fd);
}

static long do_append(int tree)
{
	int fd = openat(root[tree], step.path, O_WRONLY | O_APPEND);
	long ret;

	if (fd < 0)
		return -1;
	/* The position means nothing to an append. */
	lseek(fd, step.number / 2, SEEK_SET);
	ret = write(fd, data[0], step.number);
	close(fd);
	return ret;
}

static long do_mkdir(int tree)
{
	return mkdirat(root[tree], step.path, (mode_t)step.number);
}

static long do_rmdir(int tree)
{
	return unlinkat(root[tree], step.path, AT_REMOVEDIR);
}

static long do_unlink(int tree)
{
	return unlinkat(root[tree], step.path, 0);
}

static long do_rename(int tree)
{
	return syscall(SYS_renameat2, root[tree], step.path, root[tree], step.path2, (unsigned int)step.flags);
}

static long do_link(int tree)
{
	return linkat(root[tree], step.path, root[tree], step.path2, step.flags);
}

static long do_symlink(int tree)
{
	return symlinkat(step.path2, root[tree], step.path);
}

static long do_readlink(int tree)
{
	memset(data[tree], 0, PATH_MAX);
	return readlinkat(root[tree], step.path, (char *)data[tree], step.number);
}

static long do_chmod(int tree)
{
	return fchmodat(root[tree], step.path, (mode_t)step.number, 0);
}

static long do_chown(int tree)
{
	return fchownat(root[tree], step.path, (uid_t)step.number, (gid_t)step.number2, step.flags);
}

static long do_utimens(int tree)
{
	/* Access times are not kept. */
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = step.number, .tv_nsec = step.number2 } };

	return utimensat(root[tree], step.path, times, step.flags);
}

static long do_truncate(int tree)
{
	int fd = openat(root[tree], step.path, O_WRONLY);
	long ret;

	if (fd < 0)
		return -1;
	ret = ftruncate(fd, step.number);
	close(fd);
	return ret;
}

static long do_stat(int tree)
{
	struct stat st;

	return fstatat(root[tree], step.path, &st, step.flags) ? -1 : (long)(st.st_mode ^ st.st_nlink << 20);
}

/* Open files, which outlive their names. */
static long do_open(int tree)
{
	if (slots[step.slot][tree] >= 0)
		close(slots[step.slot][tree]);
	slots[step.slot][tree] = openat(root[tree], step.path, O_RDWR);
	return slots[step.slot][tree] < 0 ? -1 : 0;
}

static long do_pwrite(int tree)
{
	return pwrite(slots[step.slot][tree], data[0], step.number, step.number2);
}

static long do_pread(int tree)
{
	memset(data[tree], 0, step.number);
	return pread(slots[step.slot][tree], data[tree], step.number, step.number2);
}

static long do_fstat(int tree)
{
	struct stat st;

	return fstat(slots[step.slot][tree], &st) ? -1 : (long)(st.st_size ^ (off_t)st.st_nlink << 40);
}

static long do_fsync(int tree)
{
	return fsync(slots[step.slot][tree]);
}

static const struct {
	const char *what;
	long (*run)(int tree);
	unsigned int weight;
	bool reads; /* data[] has to be the same afterwards */
} steps[] = {
	{ "create", do_create, 16, false },     { "append", do_append, 8, false },   { "mkdir", do_mkdir, 10, false },
	{ "rmdir", do_rmdir, 4, false },        { "unlink", do_unlink, 7, false },   { "rename", do_rename, 16, false },
	{ "link", do_link, 7, false },          { "symlink", do_symlink, 4, false }, { "readlink", do_readlink, 2, true },
	{ "chmod", do_chmod, 4, false },        { "chown", do_chown, 4, false },     { "utimensat", do_utimens, 5, false },
	{ "ftruncate", do_truncate, 4, false }, { "stat", do_stat, 6, false },       { "open", do_open, 6, false },
	{ "pwrite", do_pwrite, 6, false },      { "pread", do_pread, 4, true },      { "fstat", do_fstat, 4, false },
	{ "fsync", do_fsync, 2, false },
};

/* What a step of this kind takes from chance; the rest of it stays as it is. */
static void step_choose(long (*run)(int tree))
{
	static const unsigned int renames[] = { 0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_NOREPLACE | RENAME_EXCHANGE };
	static const int opens[] = { O_WRONLY, O_WRONLY | O_EXCL, O_WRONLY | O_TRUNC, O_RDONLY | O_NOFOLLOW };

	any_path(step.path);
	any_path(step.path2);
	step.slot = (int)below(SLOTS);
	step.flags = below(2) ? AT_SYMLINK_NOFOLLOW : 0;
	step.number = (long)below((size_t)1 << (2 + below(17)));
	step.number2 = (long)below(FILE_LIMIT);
	step.fill = (uint8_t)next_random();
	if (run == do_create)
		step.flags = opens[below(4)], step.number = (long)below(07777);
	else if (run == do_mkdir)
		step.number = (long)below(07777);
	else if (run == do_rename)
		step.flags = (int)renames[below(6)];
	else if (run == do_link)
		step.flags = below(2) ? AT_SYMLINK_FOLLOW : 0;
	else if (run == do_chmod)
		step.number = (long)below(010000);
	else if (run == do_chown)
		step.number = (long)below(5) - 1, step.number2 = (long)below(70000) - 1;
	else if (run == do_utimens)
		step.number = (long)below(LONG_AGO), step.number2 = (long)below(1000000000);
	else if (run == do_readlink)
		step.number = 1 + (long)below(PATH_MAX - 1);
	else if (run == do_append || run == do_pwrite)
		fill(data[0], step.number, step.fill);
}

static void run_step(void)
{
	unsigned int total = 0, choice, i;
	long ret[2];
	int error[2];

	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		total += steps[i].weight;
	choice = (unsigned int)below(total);
	for (i = 0; choice >= steps[i].weight; i++)
		choice -= steps[i].weight;
	step.what = steps[i].what;
	step_choose(steps[i].run);
	for (int tree = 0; tree < 2; tree++) {
		errno = 0;
		ret[tree] = steps[i].run(tree);
		error[tree] = ret[tree] < 0 ? errno : 0;
	}
	if (ret[WEFT] != ret[ORACLE] || error[WEFT] != error[ORACLE])
		fail("weft returns %ld (%s), tmpfs %ld (%s)", ret[WEFT], strerror(error[WEFT]), ret[ORACLE], strerror(error[ORACLE]));
	if (steps[i].reads && ret[WEFT] > 0 && memcmp(data[WEFT], data[ORACLE], ret[WEFT]))
		fail("other bytes than on tmpfs");
}

/* --- Comparing the trees --- */

struct listing {
	char names[ENTRIES][NAME_MAX + 1];
	unsigned char types[ENTRIES];
	ino_t inos[ENTRIES];
	unsigned int count;
};

static struct {
	ino_t weft, oracle;
} inodes[INODES];
static unsigned int inode_count;

/* Two names are one file on both or on neither. */
static void compare_identity(const char *path, ino_t weft, ino_t other)
{
	for (unsigned int i = 0; i < inode_count; i++) {
		if (inodes[i].weft == weft && inodes[i].oracle == other)
			return;
		if (inodes[i].weft == weft || inodes[i].oracle == other)
			fail("%s: is the same file as another name on one of the two only", path);
	}
	if (inode_count == INODES)
		fail("too many files to compare");
	inodes[inode_count].weft = weft;
	inodes[inode_count++].oracle = other;
}

static int entry_order(const void *a, const void *b, void *arg)
{
	const struct listing *list = arg;

	return strcmp(list->names[*(const unsigned int *)a], list->names[*(const unsigned int *)b]);
}

/* Sorted: order has the indices. */
static void list(int tree, const char *path, struct listing *to, unsigned int order[ENTRIES])
{
	int fd = openat(root[tree], path, O_RDONLY | O_DIRECTORY);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!stream)
		fail("%s: cannot be opened as a directory: %s", path, strerror(errno));
	to->count = 0;
	while (errno = 0, (entry = readdir(stream))) {
		if (to->count == ENTRIES)
			fail("%s: more entries than expected", path);
		strcpy(to->names[to->count], entry->d_name);
		to->types[to->count] = entry->d_type;
		to->inos[to->count] = entry->d_ino;
		order[to->count] = to->count;
		to->count++;
	}
	if (errno)
		fail("%s: readdir: %s", path, strerror(errno));
	closedir(stream);
	qsort_r(order, to->count, sizeof(order[0]), entry_order, to);
}

static void compare_content(const char *path, off_t size)
{
	ssize_t n[2];

	if ((size_t)size > sizeof(data[0]))
		fail("%s: larger than expected", path);
	for (int tree = 0; tree < 2; tree++) {
		int fd = openat(root[tree], path, O_RDONLY);

		if (fd < 0)
			fail("%s: open: %s", path, strerror(errno));
		n[tree] = read(fd, data[tree], sizeof(data[tree]));
		close(fd);
	}
	if (n[WEFT] != size || n[ORACLE] != size)
		fail("%s: read %zd bytes, on tmpfs %zd, size %lld", path, n[WEFT], n[ORACLE], (long long)size);
	for (off_t i = 0; i < size; i++)
		if (data[WEFT][i] != data[ORACLE][i])
			fail("%s: byte %lld of %lld is %02x, on tmpfs %02x", path, (long long)i, (long long)size, data[WEFT][i],
			     data[ORACLE][i]);
}

static void compare_link(const char *path)
{
	char target[2][PATH_MAX] = { 0 };

	for (int tree = 0; tree < 2; tree++)
		if (readlinkat(root[tree], path, target[tree], PATH_MAX - 1) < 0)
			fail("%s: readlink: %s", path, strerror(errno));
	if (strcmp(target[WEFT], target[ORACLE]))
		fail("%s: leads to '%s', on tmpfs to '%s'", path, target[WEFT], target[ORACLE]);
}

static void compare_stat(const char *path, const struct stat *weft, const struct stat *other)
{
	if (weft->st_mode != other->st_mode || weft->st_uid != other->st_uid || weft->st_gid != other->st_gid)
		fail("%s: mode %o, owner %u:%u, on tmpfs %o, %u:%u", path, weft->st_mode, weft->st_uid, weft->st_gid, other->st_mode,
		     other->st_uid, other->st_gid);
	if (weft->st_nlink != other->st_nlink)
		fail("%s: %lu links, on tmpfs %lu", path, (unsigned long)weft->st_nlink, (unsigned long)other->st_nlink);
	/* tmpfs counts 20 bytes an entry as a directory's size; nobody has to. */
	if (!S_ISDIR(weft->st_mode) && weft->st_size != other->st_size)
		fail("%s: size %lld, on tmpfs %lld", path, (long long)weft->st_size, (long long)other->st_size);
	if (other->st_mtim.tv_sec < LONG_AGO || weft->st_mtim.tv_sec < LONG_AGO)
		if (weft->st_mtim.tv_sec != other->st_mtim.tv_sec || weft->st_mtim.tv_nsec != other->st_mtim.tv_nsec)
			fail("%s: mtime %lld.%09ld, on tmpfs %lld.%09ld", path, (long long)weft->st_mtim.tv_sec, weft->st_mtim.tv_nsec,
			     (long long)other->st_mtim.tv_sec, other->st_mtim.tv_nsec);
}

static void compare_dir(const char *path);

static void compare_entry(const char *path, unsigned char type, ino_t ino)
{
	struct stat st[2];

	for (int tree = 0; tree < 2; tree++)
		if (fstatat(root[tree], path, &st[tree], AT_SYMLINK_NOFOLLOW))
			fail("%s: stat: %s", path, strerror(errno));
	if (type != IFTODT(st[WEFT].st_mode) || ino != st[WEFT].st_ino)
		fail("%s: readdir says type %u, number %llu, stat %u, %llu", path, type, (unsigned long long)ino,
		     IFTODT(st[WEFT].st_mode), (unsigned long long)st[WEFT].st_ino);
	compare_stat(path, &st[WEFT], &st[ORACLE]);
	compare_identity(path, st[WEFT].st_ino, st[ORACLE].st_ino);
	if (S_ISDIR(st[WEFT].st_mode))
		compare_dir(path);
	else if (S_ISREG(st[WEFT].st_mode))
		compare_content(path, st[ORACLE].st_size);
	else if (S_ISLNK(st[WEFT].st_mode))
		compare_link(path);
}

static void compare_dir(const char *path)
{
	struct listing *lists = malloc(2 * sizeof(*lists));
	unsigned int order[2][ENTRIES];

	if (!lists)
		fail("out of memory");
	for (int tree = 0; tree < 2; tree++)
		list(tree, path, &lists[tree], order[tree]);
	for (unsigned int i = 0; i < lists[WEFT].count || i < lists[ORACLE].count; i++) {
		unsigned int at = order[WEFT][i];
		const char *name = i < lists[WEFT].count ? lists[WEFT].names[at] : "(end)";
		const char *other = i < lists[ORACLE].count ? lists[ORACLE].names[order[ORACLE][i]] : "(end)";
		char *below_it;

		if (strcmp(name, other))
			fail("%s: readdir shows '%s', on tmpfs '%s'", path, name, other);
		if (!strcmp(name, ".") || !strcmp(name, ".."))
			continue;
		if (asprintf(&below_it, "%s/%s", path, name) < 0)
			fail("out of memory");
		compare_entry(below_it, lists[WEFT].types[at], lists[WEFT].inos[at]);
		free(below_it);
	}
	free(lists);
}

static void compare_trees(bool cold)
{
	if (cold) {
		if (syncfs(root[WEFT]))
			fail("syncfs: %s", strerror(errno));
		drop_caches();
	}
	inode_count = 0;
	compare_dir(".");
}

static void oracle_remove(void)
{
	umount2(oracle, MNT_DETACH);
	rmdir(oracle);
}

static void random_steps(unsigned long count)
{
	struct rlimit size = { sizeof(data[0]), RLIM_INFINITY };

	if (!mkdtemp(oracle) || mount("none", oracle, "tmpfs", 0, "mode=755"))
		fail("tmpfs at %s: %s", oracle, strerror(errno));
	atexit(oracle_remove);
	if (mkdir("tree", 0755))
		fail("mkdir: %s", strerror(errno));
	root[WEFT] = open("tree", O_RDONLY | O_DIRECTORY);
	root[ORACLE] = open(oracle, O_RDONLY | O_DIRECTORY);
	if (root[WEFT] < 0 || root[ORACLE] < 0)
		fail("open: %s", strerror(errno));
	memset(slots, 0xff, sizeof(slots));
	umask(022);
	/* What does not fit data[] any more fails with EFBIG, or is cut, on both. */
	if (setrlimit(RLIMIT_FSIZE, &size) || signal(SIGXFSZ, SIG_IGN) == SIG_ERR)
		fail("rlimit: %s", strerror(errno));
	for (step_number = 1; step_number <= count; step_number++) {
		run_step();
		if (!below(100))
			drop_caches();
		if (!below(80))
			compare_trees(below(2));
	}
	compare_trees(false);
	compare_trees(true);
	for (int slot = 0; slot < SLOTS; slot++)
		for (int tree = 0; tree < 2; tree++)
			if (slots[slot][tree] >= 0)
				close(slots[slot][tree]);
	compare_trees(true);
	printf("namespace: %lu steps, no difference, %u files and directories at the end\n", count, inode_count);
	step.what = NULL;
	size.rlim_cur = RLIM_INFINITY;
	setrlimit(RLIMIT_FSIZE, &size);
	close(root[ORACLE]);
}

/* --- Appends of several threads --- */

#define APPENDERS 4

struct record {
	uint32_t thread, number, len, magic; /* and len bytes of the number's lowest byte */
};

static unsigned int append_count;

static void *append_run(void *arg)
{
	unsigned int thread = (unsigned int)(uintptr_t)arg;
	int fd = open("appended", O_WRONLY | O_APPEND);
	uint8_t bytes[sizeof(struct record) + 6000];

	if (fd < 0)
		fail("appended: %s", strerror(errno));
	for (uint32_t i = 0; i < append_count; i++) {
		struct record record = { thread, i, (thread * 977 + i * 131) % 6000, 0x61707064 };
		size_t len = sizeof(record) + record.len;

		memcpy(bytes, &record, sizeof(record));
		memset(bytes + sizeof(record), (uint8_t)i, record.len);
		if (write(fd, bytes, len) != (ssize_t)len)
			fail("append: %s", strerror(errno));
		if (i % 50 == 49 && fsync(fd))
			fail("fsync: %s", strerror(errno));
	}
	close(fd);
	return NULL;
}

static void check_appends(unsigned int count)
{
	uint32_t next[APPENDERS] = { 0 };
	pthread_t threads[APPENDERS];
	struct record record;
	uint8_t bytes[6000];
	FILE *file;
	int fd = open("appended", O_WRONLY | O_CREAT | O_EXCL, 0600);

	if (fd < 0 || close(fd))
		fail("appended: %s", strerror(errno));
	append_count = count;
	for (uintptr_t i = 0; i < APPENDERS; i++)
		if (pthread_create(&threads[i], NULL, append_run, (void *)i))
			fail("cannot start a thread");
	for (unsigned int i = 0; i < APPENDERS; i++)
		pthread_join(threads[i], NULL);
	sync();
	drop_caches();
	file = fopen("appended", "r");
	if (!file)
		fail("appended: %s", strerror(errno));
	while (fread(&record, sizeof(record), 1, file) == 1) {
		if (record.magic != 0x61707064 || record.thread >= APPENDERS || record.number != next[record.thread]++)
			fail("a record at %ld is not what comes next", ftell(file));
		if (record.len > sizeof(bytes) || fread(bytes, 1, record.len, file) != record.len)
			fail("record %u of thread %u is not whole", record.number, record.thread);
		for (uint32_t i = 0; i < record.len; i++)
			if (bytes[i] != (uint8_t)record.number)
				fail("record %u of thread %u has other bytes", record.number, record.thread);
	}
	for (unsigned int i = 0; i < APPENDERS; i++)
		if (next[i] != count)
			fail("%u of %u appends of thread %u are there", next[i], count, i);
	fclose(file);
	printf("namespace: appends of %u threads are all there\n", APPENDERS);
}

/* --- A directory that is read while names come and go --- */

struct linux_dirent64 {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

static atomic_bool churn_end;
static atomic_ulong churned;

static void *churn_run(void *arg)
{
	char name[32];

	(void)arg;
	for (unsigned long i = 0; !churn_end; i++) {
		int fd;

		snprintf(name, sizeof(name), "dir/passing%lu", i % 40);
		if (i / 40 % 2) {
			if (unlink(name))
				fail("%s: unlink: %s", name, strerror(errno));
		} else {
			fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0600);
			if (fd < 0 || close(fd))
				fail("%s: %s", name, strerror(errno));
		}
		churned++;
	}
	return NULL;
}

/* Each name that stays is there once, in pieces of a few entries. */
static void read_once(unsigned int names)
{
	int fd = open("dir", O_RDONLY | O_DIRECTORY);
	uint8_t *seen = calloc(1, names);
	unsigned int number, found = 0;
	char buffer[700];
	long n;

	if (fd < 0 || !seen)
		fail("dir: %s", strerror(errno));
	while ((n = syscall(SYS_getdents64, fd, buffer, sizeof(buffer))) > 0) {
		for (long at = 0; at < n;) {
			const struct linux_dirent64 *entry = (void *)(buffer + at);

			at += entry->reclen;
			if (sscanf(entry->name, "staying%u", &number) != 1)
				continue;
			if (number >= names || seen[number]++)
				fail("readdir shows %s twice, or it never was", entry->name);
			found++;
		}
	}
	if (n < 0)
		fail("getdents: %s", strerror(errno));
	if (found != names)
		fail("readdir shows %u of %u names that were there all the time", found, names);
	close(fd);
	free(seen);
}

static void check_readdir(unsigned int names, unsigned int rounds)
{
	unsigned long before;
	pthread_t thread;
	char name[32];

	if (mkdir("dir", 0700))
		fail("dir: %s", strerror(errno));
	for (unsigned int i = 0; i < names; i++) {
		snprintf(name, sizeof(name), "dir/staying%u", i);
		if (mknod(name, S_IFREG | 0600, 0))
			fail("%s: %s", name, strerror(errno));
	}
	if (pthread_create(&thread, NULL, churn_run, NULL))
		fail("cannot start a thread");
	for (unsigned int i = 0; i < rounds; i++) {
		before = churned;
		read_once(names);
		if (i % 4 == 3)
			drop_caches();
		/* Otherwise nothing has come or gone since the last one. */
		while (churned == before)
			sched_yield();
	}
	churn_end = true;
	pthread_join(thread, NULL);
	printf("namespace: readdir shows what stays, while %lu names came or went\n", (unsigned long)churned);
}

/* --- statfs --- */

static void check_statfs(void)
{
	struct statfs before, st;
	int fd = open(".", O_RDONLY | O_DIRECTORY);
	time_t end = time(NULL) + 30;

	if (fd < 0 || fstatfs(fd, &before))
		fail("statfs: %s", strerror(errno));
	if (before.f_type != 0x77656674 || before.f_bsize != 4096 || before.f_namelen != NAME_MAX)
		fail("statfs: type %lx, block size %ld, longest name %ld", (long)before.f_type, (long)before.f_bsize,
		     (long)before.f_namelen);
	if (!before.f_blocks || before.f_bfree > before.f_blocks || before.f_bavail > before.f_bfree || !before.f_bavail)
		fail("statfs: %llu blocks, %llu free, %llu available", (unsigned long long)before.f_blocks,
		     (unsigned long long)before.f_bfree, (unsigned long long)before.f_bavail);
	if (!before.f_files || before.f_ffree > before.f_files)
		fail("statfs: %llu files, %llu free", (unsigned long long)before.f_files, (unsigned long long)before.f_ffree);
	/* What is written takes space; stores say so with a heartbeat. */
	memset(data[0], 0x5a, sizeof(data[0]));
	close(fd);
	fd = open("space", O_CREAT | O_WRONLY, 0600);
	for (unsigned int i = 0; i < 4; i++)
		if (fd < 0 || write(fd, data[0], sizeof(data[0])) != (ssize_t)sizeof(data[0]))
			fail("space: %s", strerror(errno));
	if (fsync(fd))
		fail("space: fsync: %s", strerror(errno));
	do {
		if (fstatfs(fd, &st))
			fail("statfs: %s", strerror(errno));
		if (time(NULL) > end)
			fail("statfs: %llu blocks were free, %llu are after writing", (unsigned long long)before.f_bfree,
			     (unsigned long long)st.f_bfree);
		usleep(50000);
	} while (st.f_bfree + 4 * sizeof(data[0]) / 4096 > before.f_bfree);
	close(fd);
	printf("namespace: statfs: %llu of %llu blocks are free\n", (unsigned long long)st.f_bfree, (unsigned long long)st.f_blocks);
}

int main(int argc, char **argv)
{
	unsigned long count = argc > 2 ? strtoul(argv[2], NULL, 0) : STEPS;
	unsigned int scale = argc > 3 ? (unsigned int)strtoul(argv[3], NULL, 0) : SCALE;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 20;
	state = seed * 0x9e3779b97f4a7c15ull + 1;
	printf("namespace: seed %llu\n", (unsigned long long)seed);
	fflush(stdout);
	random_steps(count);
	check_appends(20 * scale);
	check_readdir(40 * scale, 2 * scale);
	check_statfs();
	return 0;
}
