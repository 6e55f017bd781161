// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What clones do at their edges: which ranges are refused and with which error, content that is inline at either end, holes,
 * a file cloned to itself, stores through a mapping, times, and copy_file_range() of what can be cloned and what cannot.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 4096
#define LARGE (40 * BLOCK + 1000)

static char large[LARGE];

#define CHECK(condition)                                                                                     \
	do {                                                                                                 \
		if (!(condition)) {                                                                          \
			printf("line %d: not so: %s (%s)\n", __LINE__, #condition, strerror(errno));         \
			exit(1);                                                                             \
		}                                                                                            \
	} while (0)

static void drop_caches(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);

	CHECK(fd >= 0 && write(fd, "3", 1) == 1);
	close(fd);
}

/* A file with that content, open for both. */
static int make(const char *name, const void *content, size_t length)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);

	CHECK(fd >= 0);
	CHECK(pwrite(fd, content, length, 0) == (ssize_t)length);
	return fd;
}

static int clone_range(int source, long from, long length, int fd, long to)
{
	struct file_clone_range range = {
		.src_fd = source, .src_offset = from, .src_length = length, .dest_offset = to
	};

	return ioctl(fd, FICLONERANGE, &range) ? -errno : 0;
}

static bool reads(int fd, const void *expected, size_t length)
{
	char *got = malloc(length + 1);
	bool same = pread(fd, got, length + 1, 0) == (ssize_t)length && !memcmp(got, expected, length);

	free(got);
	return same;
}

/* Now, and from the stores. */
static bool holds(int fd, const void *expected, size_t length)
{
	struct stat st;

	CHECK(!fstat(fd, &st));
	if (st.st_size != (long)length || !reads(fd, expected, length))
		return false;
	CHECK(!fsync(fd));
	drop_caches();
	return reads(fd, expected, length);
}

static void ranges_are_refused(void)
{
	int source = make("source", large, LARGE), fd = make("file", large, 8 * BLOCK), dir = open(".", O_RDONLY), other;

	CHECK(clone_range(source, 1, BLOCK, fd, 0) == -EINVAL);
	CHECK(clone_range(source, 0, BLOCK, fd, 512) == -EINVAL);
	CHECK(clone_range(source, 0, BLOCK + 1, fd, 0) == -EINVAL);
	CHECK(clone_range(source, 0, LARGE + BLOCK, fd, 0) == -EINVAL);
	CHECK(clone_range(source, 44 * BLOCK, BLOCK, fd, 0) == -EINVAL);
	/* The end of the source in the middle of the destination. */
	CHECK(clone_range(source, 40 * BLOCK, 0, fd, 0) == -EINVAL);
	CHECK(clone_range(source, 0, 4 * BLOCK, source, 2 * BLOCK) == -EINVAL);
	CHECK(clone_range(source, 0, 0, source, 0) == -EINVAL);
	CHECK(clone_range(dir, 0, 0, fd, 0) == -EISDIR);
	CHECK(ioctl(dir, FICLONE, source) == -1 && (errno == EBADF || errno == EISDIR));
	other = open("source", O_WRONLY);
	CHECK(clone_range(other, 0, BLOCK, fd, 0) == -EBADF);
	close(other);
	other = open("file", O_RDONLY);
	CHECK(clone_range(source, 0, BLOCK, other, 0) == -EBADF);
	close(other);
	other = open("file", O_RDWR | O_APPEND);
	CHECK(clone_range(source, 0, BLOCK, other, 0) == -EBADF);
	close(other);
	other = open("/tmp/clone-ranges", O_RDWR | O_CREAT, 0600);
	CHECK(clone_range(source, 0, BLOCK, other, 0) == -EXDEV);
	CHECK(!unlink("/tmp/clone-ranges"));
	close(other);
	CHECK(holds(fd, large, 8 * BLOCK));
	close(source);
	close(fd);
	close(dir);
}

static void what_is_dirty_is_cloned(void)
{
	int source = make("source", large, LARGE), fd = make("file", "to be replaced", 14);
	char expected[LARGE];
	struct stat before, after;
	char *map;

	/* Neither has been written back. */
	CHECK(!fstat(fd, &before));
	CHECK(!clone_range(source, 0, 0, fd, 0));
	CHECK(!fstat(fd, &after));
	CHECK(after.st_mtim.tv_sec > before.st_mtim.tv_sec ||
	      (after.st_mtim.tv_sec == before.st_mtim.tv_sec && after.st_mtim.tv_nsec > before.st_mtim.tv_nsec));
	CHECK(holds(fd, large, LARGE));
	CHECK(!fstat(fd, &before) && before.st_mtim.tv_nsec == after.st_mtim.tv_nsec);

	/* A mapping of either, made before the clone, stored to before and behind it. */
	map = mmap(NULL, LARGE, PROT_READ | PROT_WRITE, MAP_SHARED, source, 0);
	CHECK(map != MAP_FAILED);
	memcpy(expected, large, LARGE);
	map[2 * BLOCK] ^= 1;
	expected[2 * BLOCK] ^= 1;
	CHECK(!clone_range(source, BLOCK, 3 * BLOCK, fd, BLOCK));
	map[3 * BLOCK] ^= 1;
	CHECK(holds(fd, expected, LARGE));
	expected[3 * BLOCK] ^= 1;
	CHECK(holds(source, expected, LARGE));
	CHECK(!munmap(map, LARGE));
	map = mmap(NULL, LARGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(map != MAP_FAILED && map[3 * BLOCK] == large[3 * BLOCK]);
	map[5 * BLOCK] ^= 1;
	CHECK(!clone_range(source, 3 * BLOCK, 4 * BLOCK, fd, 3 * BLOCK));
	CHECK(!memcmp(map, expected, LARGE));
	CHECK(!munmap(map, LARGE));
	CHECK(holds(fd, expected, LARGE));
	close(source);
	close(fd);
}

static void holes_and_ends(void)
{
	int source = make("source", large, LARGE), fd = make("file", large, LARGE), sparse = make("sparse", "", 0);
	char expected[70 * BLOCK] = { 0 };

	CHECK(!ftruncate(sparse, 30 * BLOCK));
	memcpy(expected, large, LARGE);
	memset(expected + 5 * BLOCK, 0, 10 * BLOCK);
	CHECK(!clone_range(sparse, 0, 10 * BLOCK, fd, 5 * BLOCK));
	CHECK(holds(fd, expected, LARGE));
	/* Beyond the end, which is in the middle of a block: what lies between is a hole. */
	memcpy(expected + 60 * BLOCK, large + 39 * BLOCK, BLOCK + 1000);
	CHECK(!clone_range(source, 39 * BLOCK, 0, fd, 60 * BLOCK));
	CHECK(holds(fd, expected, 61 * BLOCK + 1000));
	/* To itself. */
	memcpy(expected + 20 * BLOCK, expected, 10 * BLOCK);
	CHECK(!clone_range(fd, 0, 10 * BLOCK, fd, 20 * BLOCK));
	CHECK(holds(fd, expected, 61 * BLOCK + 1000));
	close(source);
	close(fd);
	close(sparse);
}

/* A small file's content is in the metadata, until a clone needs it in a chunk. */
static void small_files(void)
{
	static const char text[] = "a small file, whose content is kept in the metadata";
	size_t length = sizeof(text);
	int small = make("small", text, length), fd = make("file", large, 2 * BLOCK), other = make("other", "", 0);
	char expected[3 * BLOCK] = { 0 };

	CHECK(!fsync(small));
	CHECK(!clone_range(small, 0, 0, other, 0));
	CHECK(holds(other, text, length) && holds(small, text, length));
	CHECK(pwrite(other, "A", 1, 0) == 1 && holds(small, text, length));
	/* Behind other content. */
	memcpy(expected, large, 2 * BLOCK);
	memcpy(expected + 2 * BLOCK, text, length);
	CHECK(!clone_range(small, 0, 0, fd, 2 * BLOCK));
	CHECK(holds(fd, expected, 2 * BLOCK + length) && holds(small, text, length));
	/* To a small file: all of it is replaced, or it keeps its beginning. */
	close(other);
	other = make("other", text, length);
	CHECK(!fsync(other));
	CHECK(!clone_range(fd, 0, BLOCK, other, 0));
	CHECK(holds(other, large, BLOCK));
	close(other);
	other = make("other", text, length);
	CHECK(!fsync(other));
	CHECK(!clone_range(fd, 0, 2 * BLOCK, other, BLOCK));
	memset(expected, 0, sizeof(expected));
	memcpy(expected, text, length);
	memcpy(expected + BLOCK, large, 2 * BLOCK);
	CHECK(holds(other, expected, 3 * BLOCK));
	/* One that was longer once, and is small again. */
	CHECK(!ftruncate(other, 1) && !clone_range(small, 0, 0, other, 0) && holds(other, text, length));
	CHECK(pwrite(other, large, LARGE, 0) == LARGE && holds(other, large, LARGE));
	close(small);
	close(fd);
	close(other);
}

static void copies(void)
{
	static const char text[] = "small";
	int source = make("source", large, LARGE), fd = make("file", "", 0), small = make("small", text, 5);
	char expected[LARGE];
	off_t in = 0, out = 0;

	CHECK(!fsync(small));
	CHECK(copy_file_range(small, &in, fd, &out, 100, 0) == 5 && holds(fd, text, 5));
	in = 1;
	out = 3;
	CHECK(copy_file_range(small, &in, fd, &out, 3, 0) == 3 && holds(fd, "smamal", 6));
	in = 0;
	out = 0;
	while (in < LARGE)
		CHECK(copy_file_range(source, &in, fd, &out, LARGE - in, 0) > 0);
	CHECK(holds(fd, large, LARGE));
	memcpy(expected, large, LARGE);
	memcpy(expected + 100, large + 5000, 10000);
	in = 5000;
	out = 100;
	while (in < 15000)
		CHECK(copy_file_range(source, &in, fd, &out, 15000 - in, 0) > 0);
	CHECK(holds(fd, expected, LARGE));
	close(source);
	close(fd);
	close(small);
}

static struct {
	int fd;
	atomic_bool stop;
	unsigned long reads;
} reader;

/* Blocks 0 and 16 on are 'i' for ever, those between all 'a' or all 'b' once they are not 'i': whatever is read is one of these. */
static void *read_edges(void *arg)
{
	static char got[3 * BLOCK];

	while (!atomic_load(&reader.stop)) {
		off_t at = reader.reads++ % 2 ? 0 : 15 * BLOCK;

		CHECK(pread(reader.fd, got, sizeof(got), at) == sizeof(got));
		for (unsigned int block = 0; block < 3; block++) {
			char first = got[block * BLOCK];
			bool kept = at + block * BLOCK < BLOCK || at + block * BLOCK >= 16 * BLOCK;

			CHECK(first == 'i' || (!kept && (first == 'a' || first == 'b')));
			for (unsigned int i = 0; i < BLOCK; i++)
				CHECK(got[block * BLOCK + i] == first);
		}
	}
	return arg;
}

/* A range with edges within large folios, cloned over what somebody reads from the cache. */
static void readers_see_old_or_new(void)
{
	static char content[64 * BLOCK];
	int sources[2];
	pthread_t thread;

	for (unsigned int i = 0; i < 2; i++) {
		memset(content, 'a' + i, sizeof(content));
		sources[i] = make(i ? "b" : "a", content, sizeof(content));
	}
	memset(content, 'i', sizeof(content));
	reader.fd = make("edges", content, sizeof(content));
	CHECK(!pthread_create(&thread, NULL, read_edges, NULL));
	for (unsigned int i = 0; i < 60; i++) {
		CHECK(!clone_range(sources[i % 2], 0, 15 * BLOCK, reader.fd, BLOCK));
		CHECK(pread(reader.fd, content, sizeof(content), 0) == sizeof(content));
		CHECK(content[BLOCK] == (i % 2 ? 'b' : 'a') && content[15 * BLOCK] == content[BLOCK]);
	}
	atomic_store(&reader.stop, true);
	pthread_join(thread, NULL);
	printf("%lu reads beside 60 clones\n", reader.reads);
	close(reader.fd);
	close(sources[0]);
	close(sources[1]);
}

int main(void)
{
	for (size_t i = 0; i < LARGE; i++)
		large[i] = (char)(i * 31 ^ i >> 9 ^ i >> 4);
	ranges_are_refused();
	what_is_dirty_is_cloned();
	holes_and_ends();
	small_files();
	copies();
	readers_see_old_or_new();
	return 0;
}
