// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Compressed chunks whose shards are not what the codec made, but have right checksums: as a store would have them that lies.
 * Frames full of garbage, with flipped bits, of zeros, tables with other frames. The reader gets an error, or what the codec
 * makes of it without a fault; the kernel goes on, and when the shards are what they were all of it reads.
 * weft-vm: timeout=400
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "chunk/crctable.h"
#include "chunk/header.h"

#define STORES	   "/run/weft-vm/stores"
#define CLIENT	   "nsenter --net=/run/netns/weft-client "
#define FILE_BYTES (2u << 20)
#define SHARDS_MAX 64
#define ROUNDS	   8

struct shard {
	char path[256];
	uint8_t *bytes;
	size_t size;
	struct weft_shard_info info;
};

static struct shard shards[SHARDS_MAX];
static size_t n_shards;
static uint8_t content[FILE_BYTES], seen[FILE_BYTES];
static uint64_t state = 4711;
static unsigned int refused;
static unsigned int codec;
static struct timespec began;

__attribute__((format(printf, 1, 2), noreturn)) static void fail(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\n");
	exit(1);
}

__attribute__((format(printf, 1, 2))) static void run(const char *fmt, ...)
{
	char command[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(command, sizeof(command), fmt, args);
	va_end(args);
	if (system(command))
		fail("failed: %s", command);
}

static uint32_t next_random(void)
{
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(state >> 32);
}

static void write_file(const char *path, const uint8_t *bytes, size_t size, int flags)
{
	int fd = open(path, O_WRONLY | flags, 0644);

	if (fd < 0 || pwrite(fd, bytes, size, 0) != (ssize_t)size || fsync(fd) || close(fd))
		fail("%s: %s", path, strerror(errno));
}

/* Half of it is there twice: every codec makes about half of it. */
static void make_content(void)
{
	for (size_t at = 0; at < FILE_BYTES; at += 4096) {
		for (size_t i = 0; i < 2048; i++)
			content[at + i] = (uint8_t)next_random();
		memcpy(content + at + 2048, content + at, 2048);
	}
}

static int shard_add(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	struct shard *shard = &shards[n_shards];
	int fd;

	/* Other cases leave shards, and some that they have damaged: ours were written after this began. */
	if (type != FTW_F || !strstr(path, "/shards/") || st->st_mtim.tv_sec < began.tv_sec ||
	    (st->st_mtim.tv_sec == began.tv_sec && st->st_mtim.tv_nsec < began.tv_nsec))
		return 0;
	fd = open(path, O_RDONLY);
	shard->size = (size_t)st->st_size;
	shard->bytes = malloc(shard->size);
	if (fd < 0 || !shard->bytes || read(fd, shard->bytes, shard->size) != (ssize_t)shard->size)
		fail("%s: %s", path, strerror(errno));
	close(fd);
	snprintf(shard->path, sizeof(shard->path), "%s", path);
	if (weft_header_decode(&shard->info, shard->bytes, shard->size, NULL) || shard->info.codec != codec ||
	    shard->size < shard->info.header_len + weft_crctable_len(shard->info.shard_len) + shard->info.shard_len ||
	    n_shards + 1 == SHARDS_MAX)
		free(shard->bytes);
	else
		n_shards++;
	return 0;
}

/* --- what a store that lies would have: each changes a copy of the shard's file ----------------------------------------------- */

static uint8_t *data_of(const struct shard *shard, uint8_t *bytes)
{
	return bytes + shard->size - shard->info.shard_len;
}

static void sum(const struct shard *shard, uint8_t *bytes)
{
	uint8_t *table = bytes + shard->info.header_len;

	weft_crctable_fill(table, 0, data_of(shard, bytes), shard->info.shard_len);
	weft_crctable_seal(table, weft_block_count(shard->info.shard_len));
}

static void make_garbage(const struct shard *shard, uint8_t *bytes)
{
	for (uint32_t i = 0; i < shard->info.shard_len; i++)
		data_of(shard, bytes)[i] = (uint8_t)next_random();
	sum(shard, bytes);
}

static void flip_some(const struct shard *shard, uint8_t *bytes)
{
	for (unsigned int i = 0; i < 40; i++)
		data_of(shard, bytes)[next_random() % shard->info.shard_len] ^= (uint8_t)(1 << next_random() % 8);
	sum(shard, bytes);
}

static void all_zeros(const struct shard *shard, uint8_t *bytes)
{
	memset(data_of(shard, bytes), 0, shard->info.shard_len);
	sum(shard, bytes);
}

/* Frames begin and end elsewhere, in a table that obeys the format. The same for all shards of the chunk. */
static void other_table(const struct shard *shard, uint8_t *bytes)
{
	uint32_t n = shard->info.frame_count, start = 0;
	uint8_t *table = bytes + sizeof(struct weft_shard_header);

	for (uint32_t i = 0; i + 1 < n; i++) {
		uint32_t left = shard->info.stored_len - start, least = left > (n - i - 1) * WEFT_FRAME_SIZE ?
			left - (n - i - 1) * WEFT_FRAME_SIZE : 1, most = left - (n - i - 1);
		__le32 end;

		if (most > WEFT_FRAME_SIZE)
			most = WEFT_FRAME_SIZE;
		start += i % 3 ? (least + most) / 2 : most - (most > least);
		end = cpu_to_le32(start);
		memcpy(table + 4 * i, &end, 4);
	}
	weft_header_stamp(bytes, shard->info.index);
	if (weft_header_decode(&(struct weft_shard_info){ 0 }, bytes, shard->size, NULL))
		fail("the other table is no table");
}

static const struct {
	const char *what;
	void (*change)(const struct shard *shard, uint8_t *bytes);
	bool may_read;
} lies[] = {
	{ "garbage", make_garbage, false }, { "flipped bits", flip_some, true }, { "zeros", all_zeros, false },
	{ "another table", other_table, false },
};

/* --- readers ------------------------------------------------------------------------------------------------------------------- */

/* Returns how many of the reads failed. Lies of some kinds nobody can find out: bytes are compared where none are told. */
static unsigned int read_all(const char *path, bool same)
{
	int caches = open("/proc/sys/vm/drop_caches", O_WRONLY), fd = open(path, O_RDONLY);
	unsigned int failed = 0;

	if (caches < 0 || write(caches, "3", 1) != 1 || fd < 0)
		fail("%s: %s", path, strerror(errno));
	close(caches);
	for (size_t at = 0; at < FILE_BYTES; at += FILE_BYTES / ROUNDS) {
		ssize_t n = pread(fd, seen + at, FILE_BYTES / ROUNDS, (off_t)at);

		if (n < 0 && errno != EIO)
			fail("%s: reading gives %s", path, strerror(errno));
		failed += n != FILE_BYTES / ROUNDS;
		if (same && (n != FILE_BYTES / ROUNDS || memcmp(seen + at, content + at, FILE_BYTES / ROUNDS)))
			fail("%s: byte %zu and those behind it are not what was written", path, at);
	}
	close(fd);
	return failed;
}

/* So that nothing is known of its chunks. */
static void mount_anew(const char *name, const char *base)
{
	run(CLIENT "umount %s && " CLIENT "mount -t weft demo:hostile-%s %s", base, name, base);
}

static void lie(const char *name, const char *base, const char *path, size_t l)
{
	unsigned int failed;

	mount_anew(name, base);
	for (size_t i = 0; i < n_shards; i++) {
		uint8_t *bytes = malloc(shards[i].size);

		memcpy(bytes, shards[i].bytes, shards[i].size);
		lies[l].change(&shards[i], bytes);
		write_file(shards[i].path, bytes, shards[i].size, 0);
		free(bytes);
	}
	failed = read_all(path, false);
	printf("%s: %s: %u of %u reads failed\n", path, lies[l].what, failed, ROUNDS);
	if (!failed && !lies[l].may_read)
		fail("%s: shards with %s were read", path, lies[l].what);
	refused += failed;
	for (size_t i = 0; i < n_shards; i++)
		write_file(shards[i].path, shards[i].bytes, shards[i].size, 0);
	mount_anew(name, base);
	read_all(path, true);
}

static void one_codec(const char *name, unsigned int number)
{
	char base[] = "/tmp/hostile.XXXXXX", path[64];

	if (!mkdtemp(base))
		fail("mkdtemp: %s", strerror(errno));
	run("weft --cluster demo volume create hostile-%s --k 2 --m 1 --codec %s >/dev/null", name, name);
	run(CLIENT "mount -t weft demo:hostile-%s %s", name, base);
	snprintf(path, sizeof(path), "%s/file", base);
	/* The clock that files' times are taken from. */
	clock_gettime(CLOCK_REALTIME_COARSE, &began);
	write_file(path, content, FILE_BYTES, O_CREAT);
	codec = number;
	n_shards = 0;
	if (nftw(STORES, shard_add, 16, FTW_PHYS) || !n_shards)
		fail("no compressed shards were found below " STORES);
	for (size_t l = 0; l < sizeof(lies) / sizeof(*lies); l++)
		lie(name, base, path, l);
	for (size_t i = 0; i < n_shards; i++)
		free(shards[i].bytes);
	run("rm %s && sync && " CLIENT "umount %s && rmdir %s", path, base, base);
}

/* Only zstd with an argument: a kernel may have no other library. */
int main(int argc, char **argv)
{
	static char log[1 << 20];
	int n;

	(void)argv;
	make_content();
	one_codec("zstd", WEFT_CODEC_ZSTD);
	if (argc == 1) {
		one_codec("lz4", WEFT_CODEC_LZ4);
		one_codec("deflate", WEFT_CODEC_DEFLATE);
	}
	n = klogctl(3, log, sizeof(log) - 1);
	log[n < 0 ? 0 : n] = 0;
	if (!strstr(log, "has right checksums, but is not what the codec"))
		fail("%u reads were refused, and nobody was told why", refused);
	return 0;
}
