// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The content of files against a copy in memory: writes of any size and place, appends, stores through a shared mapping,
 * truncation both ways, clones of ranges, copies by copy_file_range(), fsync, closing and opening again, while the page cache
 * is dropped every now and then. Several threads, each with files of its own: small ones that are inline at times, and ones of several chunks.
 *
 *	content [SEED [OPERATIONS [THREADS]]]	in the current folder
 *
 * weft-vm: timeout=400
 *
 * The first difference ends it: file, offset, what was expected and what is there. The seed is printed; the order of
 * operations of a thread depends on nothing else.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILE_MAX_BYTES (12u << 20)
#define WRITE_MAX      (3u << 20)
#define FILES          3
#ifndef OPERATIONS /* of a thread; ../debug/content.c has its own */
#define OPERATIONS     150
#endif

struct file {
	char name[32];
	int fd;
	size_t limit;         /* it does not grow beyond this */
	size_t size;
	uint8_t *shadow;      /* limit bytes; zero behind size */
};

struct worker {
	pthread_t thread;
	unsigned int index;
	uint64_t random;
	unsigned int operations;
	struct file files[FILES];
	uint8_t *buffer;      /* FILE_MAX_BYTES */
};

static uint64_t seed;

__attribute__((format(printf, 1, 2), noreturn)) static void fail(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fprintf(stderr, "content: seed %llu: ", (unsigned long long)seed);
	vfprintf(stderr, fmt, args);
	fprintf(stderr, "\n");
	va_end(args);
	_exit(1);
}

static uint64_t next_random(struct worker *worker)
{
	uint64_t x = worker->random;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	worker->random = x;
	return x * 0x2545f4914f6cdd1dull;
}

static size_t below(struct worker *worker, size_t limit)
{
	return limit ? next_random(worker) % limit : 0;
}

/* Small numbers are as likely as large ones. */
static size_t any_length(struct worker *worker, size_t limit)
{
	size_t length = 1 + below(worker, (size_t)1 << (1 + below(worker, 23)));

	return length < limit ? length : limit;
}

static void compare(const struct file *file, size_t offset, const uint8_t *got, size_t length, const char *when)
{
	const uint8_t *expected = file->shadow + offset;
	size_t i;

	if (!memcmp(expected, got, length))
		return;
	for (i = 0; expected[i] == got[i]; i++)
		;
	fail("%s, %s: byte %zu of %zu is %02x, expected %02x (read of %zu at %zu)", file->name, when, offset + i, file->size,
	     got[i], expected[i], length, offset);
}

static void read_range(struct worker *worker, struct file *file, size_t offset, size_t length, const char *when)
{
	size_t expected = offset < file->size ? file->size - offset : 0, done = 0;

	if (expected > length)
		expected = length;
	while (done < length) {
		ssize_t n = pread(file->fd, worker->buffer + done, length - done, offset + done);

		if (n < 0)
			fail("%s, %s: read of %zu at %zu: %s", file->name, when, length - done, offset + done, strerror(errno));
		if (!n)
			break;
		done += n;
	}
	if (done != expected)
		fail("%s, %s: read %zu bytes at %zu, expected %zu", file->name, when, done, offset, expected);
	compare(file, offset, worker->buffer, done, when);
}

static void check_whole(struct worker *worker, struct file *file, const char *when)
{
	struct stat st;

	if (fstat(file->fd, &st))
		fail("%s, %s: fstat: %s", file->name, when, strerror(errno));
	if ((size_t)st.st_size != file->size)
		fail("%s, %s: size is %lld, expected %zu", file->name, when, (long long)st.st_size, file->size);
	read_range(worker, file, 0, file->limit, when);
}

/* Nothing that a codec could shorten, something like text, or long runs: no byte tells where the others come from. */
static void fill(struct worker *worker, uint8_t *to, size_t length)
{
	static const char letters[] = "etaoin shrdlu\n,e";
	uint64_t word = next_random(worker);
	unsigned int kind = word >> 62;
	size_t i;

	for (i = 0; i < length; i++) {
		uint8_t noise = (uint8_t)(word >> (i % 7)) ^ (uint8_t)(i * 31) ^ (uint8_t)(i >> 9);

		if (kind == 0)
			to[i] = letters[noise & 15];
		else if (kind == 1)
			to[i] = (uint8_t)(word >> 8) ^ (uint8_t)(i >> 9);
		else
			to[i] = noise;
	}
}

static void op_write(struct worker *worker, struct file *file)
{
	size_t offset = below(worker, 4) ? below(worker, file->size + 1) : below(worker, file->limit);
	size_t length, done = 0;

	/* Many writes begin and end at the borders that blocks and chunks have. */
	if (!below(worker, 3))
		offset &= ~(size_t)4095;
	if (!below(worker, 8))
		offset = file->size;
	length = any_length(worker, WRITE_MAX);
	if (!below(worker, 3))
		length = (length + 4095) & ~(size_t)4095;
	if (offset >= file->limit)
		return;
	if (length > file->limit - offset)
		length = file->limit - offset;
	fill(worker, worker->buffer, length);
	while (done < length) {
		ssize_t n = pwrite(file->fd, worker->buffer + done, length - done, offset + done);

		if (n <= 0)
			fail("%s: write of %zu at %zu: %s", file->name, length - done, offset + done, strerror(errno));
		done += n;
	}
	memcpy(file->shadow + offset, worker->buffer, length);
	if (offset + length > file->size)
		file->size = offset + length;
}

static void op_read(struct worker *worker, struct file *file)
{
	size_t offset = below(worker, file->size + 4096);

	if (offset < file->limit)
		read_range(worker, file, offset, any_length(worker, file->limit - offset), "random read");
}

static void op_truncate(struct worker *worker, struct file *file)
{
	size_t size = below(worker, 3) ? below(worker, file->size + 1) : below(worker, file->limit);

	if (!below(worker, 12))
		size = 0;
	if (ftruncate(file->fd, size))
		fail("%s: ftruncate to %zu: %s", file->name, size, strerror(errno));
	if (size < file->size)
		memset(file->shadow + size, 0, file->size - size);
	file->size = size;
}

/* Stores through a shared mapping, also behind the end of file in the last page: those must never become content. */
static void op_mmap(struct worker *worker, struct file *file)
{
	size_t length = (file->size + 4095) & ~(size_t)4095;
	unsigned int stores = 1 + below(worker, 20);
	uint8_t *map;

	if (!file->size)
		return;
	map = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, file->fd, 0);
	if (map == MAP_FAILED)
		fail("%s: mmap of %zu: %s", file->name, length, strerror(errno));
	while (stores--) {
		size_t offset = below(worker, length), n = 1 + below(worker, 300);

		if (n > length - offset)
			n = length - offset;
		fill(worker, map + offset, n);
		if (offset >= file->size)
			continue;
		if (n > file->size - offset)
			n = file->size - offset;
		memcpy(file->shadow + offset, map + offset, n);
	}
	if (!below(worker, 2) && msync(map, length, MS_SYNC))
		fail("%s: msync: %s", file->name, strerror(errno));
	if (munmap(map, length))
		fail("%s: munmap: %s", file->name, strerror(errno));
}

static bool overlaps(const struct file *source, size_t from, const struct file *file, size_t to, size_t length)
{
	size_t rounded = (length + 4095) & ~(size_t)4095;

	return source == file && from < to + rounded && to < from + rounded;
}

/* What was cloned or copied, in the memory's copy. */
static void shadow_copy(const struct file *source, size_t from, struct file *file, size_t to, size_t length)
{
	memmove(file->shadow + to, source->shadow + from, length);
	if (to + length > file->size)
		file->size = to + length;
}

/* Whole blocks, or to the end of the source; an end within a block can only become an end. */
static void op_clone(struct worker *worker, struct file *file)
{
	struct file *source = &worker->files[below(worker, FILES)];
	size_t from = below(worker, source->size) & ~(size_t)4095, to = below(worker, file->limit) & ~(size_t)4095;
	size_t length = any_length(worker, source->size - from) & ~(size_t)4095;
	struct file_clone_range range = { .src_fd = source->fd, .src_offset = from, .dest_offset = to };
	bool refused;

	if (!below(worker, 3))
		to = 0;
	range.dest_offset = to;
	if (!source->size)
		return;
	if (!length || !below(worker, 2))
		length = source->size - from;
	range.src_length = length == source->size - from && below(worker, 2) ? 0 : length;
	if (to + length > file->limit)
		return;
	refused = overlaps(source, from, file, to, length) || (length % 4096 && to + length < file->size);
	if (ioctl(file->fd, FICLONERANGE, &range) ? !refused || errno != EINVAL : refused)
		fail("%s: clone of %zu at %zu of %s, %zu bytes long, to %zu of %zu: %s", file->name, length, from, source->name,
		     source->size, to, file->size, refused ? "it was to be refused" : strerror(errno));
	if (!refused)
		shadow_copy(source, from, file, to, length);
}

static void op_copy(struct worker *worker, struct file *file)
{
	struct file *source = &worker->files[below(worker, FILES)];
	size_t from = below(worker, source->size), to = below(worker, file->limit), done = 0, length;

	if (!source->size)
		return;
	length = any_length(worker, source->size - from);
	if (to + length > file->limit || overlaps(source, from, file, to, length))
		return;
	while (done < length) {
		off_t in = from + done, out = to + done;
		ssize_t n = copy_file_range(source->fd, &in, file->fd, &out, length - done, 0);

		if (n <= 0)
			fail("%s: copy of %zu at %zu of %s to %zu: %s", file->name, length - done, from + done, source->name,
			     to + done, strerror(errno));
		done += n;
	}
	shadow_copy(source, from, file, to, length);
}

static void op_reopen(struct worker *worker, struct file *file)
{
	(void)worker;
	if (close(file->fd))
		fail("%s: close: %s", file->name, strerror(errno));
	file->fd = open(file->name, O_RDWR);
	if (file->fd < 0)
		fail("%s: open: %s", file->name, strerror(errno));
}

static void op_drop_caches(struct worker *worker, struct file *file)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);

	(void)worker;
	if (fd < 0 || write(fd, "3", 1) != 1)
		fail("%s: drop_caches: %s", file->name, strerror(errno));
	close(fd);
}

static void op_fsync(struct worker *worker, struct file *file)
{
	if (below(worker, 2) ? fsync(file->fd) : fdatasync(file->fd))
		fail("%s: fsync: %s", file->name, strerror(errno));
}

static void op_check(struct worker *worker, struct file *file)
{
	check_whole(worker, file, "whole file");
}

static const struct {
	void (*run)(struct worker *worker, struct file *file);
	unsigned int weight;
} operations[] = {
	{ op_write, 40 }, { op_read, 20 }, { op_truncate, 8 }, { op_mmap, 8 }, { op_clone, 12 }, { op_copy, 4 },
	{ op_fsync, 10 }, { op_reopen, 4 }, { op_drop_caches, 4 }, { op_check, 2 },
};

static void run_one(struct worker *worker)
{
	struct file *file = &worker->files[below(worker, FILES)];
	unsigned int total = 0, choice, i;

	for (i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
		total += operations[i].weight;
	choice = below(worker, total);
	for (i = 0; choice >= operations[i].weight; i++)
		choice -= operations[i].weight;
	operations[i].run(worker, file);
}

static void *worker_run(void *arg)
{
	static const size_t limits[FILES] = { 6000, 1u << 20, FILE_MAX_BYTES };
	struct worker *worker = arg;
	unsigned int i;

	worker->random = seed * 0x9e3779b97f4a7c15ull + worker->index * 0xbf58476d1ce4e5b9ull + 1;
	worker->buffer = malloc(FILE_MAX_BYTES);
	for (i = 0; i < FILES; i++) {
		struct file *file = &worker->files[i];

		snprintf(file->name, sizeof(file->name), "content.%u.%u", worker->index, i);
		file->limit = limits[i];
		file->shadow = calloc(1, file->limit);
		file->fd = open(file->name, O_RDWR | O_CREAT | O_TRUNC, 0644);
		if (file->fd < 0 || !file->shadow || !worker->buffer)
			fail("%s: open: %s", file->name, strerror(errno));
	}
	for (i = 0; i < worker->operations; i++)
		run_one(worker);
	for (i = 0; i < FILES; i++) {
		struct file *file = &worker->files[i];

		op_fsync(worker, file);
		op_drop_caches(worker, file);
		check_whole(worker, file, "at the end");
		if (close(file->fd) || unlink(file->name))
			fail("%s: close or unlink: %s", file->name, strerror(errno));
	}
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned int count = argc > 2 ? strtoul(argv[2], NULL, 0) : OPERATIONS, threads = argc > 3 ? strtoul(argv[3], NULL, 0) : 3, i;
	struct worker *workers = calloc(threads, sizeof(*workers));
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 20;
	printf("content: seed %llu, %u operations in each of %u threads\n", (unsigned long long)seed, count, threads);
	fflush(stdout);
	for (i = 0; i < threads; i++) {
		workers[i].index = i;
		workers[i].operations = count;
		if (pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]))
			fail("cannot start a thread");
	}
	for (i = 0; i < threads; i++)
		pthread_join(workers[i].thread, NULL);
	printf("content: no difference\n");
	return 0;
}
