// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Shard headers and frame tables as a damaged or lying store would have them: flipped bits, files cut short, and with a
 * right CRC again frames that overlap, are empty, too long or outside, lengths at the end of numbers, another codec, a
 * cipher and a key. All shards of a file's chunks have them: reading gives an error or what was written, and the kernel
 * goes on. weft-vm: alone timeout=900
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
#include <sys/stat.h>
#include <unistd.h>

#include "chunk/crc32c.h"
#include "chunk/header.h"

#define STORES	   "/run/weft-vm/stores"
#define CLIENT	   "nsenter --net=/run/netns/weft-client "
#define FILE_BYTES (2u << 20)
#define AT(field)  offsetof(struct weft_shard_header, field)
#define TABLE	   sizeof(struct weft_shard_header)

static char base[] = "/tmp/hostile.XXXXXX";
static uint8_t content[FILE_BYTES], seen[FILE_BYTES];
static uint64_t state = 4711, ino;
static unsigned int changed;

__attribute__((format(printf, 1, 2), noreturn)) static void fail(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\n");
	exit(1);
}

static void run(const char *command)
{
	if (system(command))
		fail("failed: %s", command);
}

static uint32_t next_random(void)
{
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(state >> 32);
}

/* Half of it is there twice: zstd makes about half of it. */
static void make_content(void)
{
	for (size_t at = 0; at < FILE_BYTES; at += 4096) {
		for (size_t i = 0; i < 2048; i++)
			content[at + i] = (uint8_t)next_random();
		memcpy(content + at + 2048, content + at, 2048);
	}
}

static void put(uint8_t *bytes, size_t at, uint32_t value)
{
	__le32 field = cpu_to_le32(value);

	memcpy(bytes + at, &field, 4);
}

static uint32_t get(const uint8_t *bytes, size_t at)
{
	__le32 field;

	memcpy(&field, bytes + at, 4);
	return le32_to_cpu(field);
}

/* --- lies: each changes the first bytes of a shard file. Signed again unless it is damage.
 * ------------------------------------ */

static void bits_flip(uint8_t *bytes)
{
	for (unsigned int i = 0; i < 3; i++)
		bytes[next_random() % get(bytes, AT(header_len))] ^= (uint8_t)(1 << next_random() % 8);
}

static void frames_overlap(uint8_t *bytes)
{
	put(bytes, TABLE + 8, get(bytes, TABLE) + 1);
}

static void frame_empty(uint8_t *bytes)
{
	put(bytes, TABLE + 4, get(bytes, TABLE));
}

static void frame_too_long(uint8_t *bytes)
{
	put(bytes, TABLE, WEFT_FRAME_SIZE + 1);
}

static void frame_outside(uint8_t *bytes)
{
	put(bytes, TABLE + 4 * (get(bytes, AT(frame_count)) - 1), get(bytes, AT(stored_len)) + 4096);
}

static void frames_overflow(uint8_t *bytes)
{
	put(bytes, TABLE + 4, ~0u);
}

static void length_overflows(uint8_t *bytes)
{
	put(bytes, AT(stored_len), ~0u - 8191);
}

static void shard_longer(uint8_t *bytes)
{
	put(bytes, AT(shard_len), get(bytes, AT(shard_len)) + 4096);
}

static void codec_unknown(uint8_t *bytes)
{
	bytes[AT(codec)] = 200;
}

/* These two obey every rule: only the chunk's record says otherwise. */
static void codec_other(uint8_t *bytes)
{
	bytes[AT(codec)] = WEFT_CODEC_LZ4;
}

static void key_invented(uint8_t *bytes)
{
	bytes[AT(cipher)] = WEFT_CIPHER_AES256_GCM;
	put(bytes, AT(key_id), 7);
	bytes[AT(seal)] = 1;
}

static const struct lie {
	const char *what;
	void (*change)(uint8_t *bytes);
	bool damage;
	off_t cut; /* not 0: the file's new length */
} lies[] = {
	{ "bits that are flipped", bits_flip, true, 0 },
	{ "the first 100 bytes only", NULL, true, 100 },
	{ "the first 5000 bytes only", NULL, true, 5000 },
	{ "frames that overlap", frames_overlap, false, 0 },
	{ "a frame without bytes", frame_empty, false, 0 },
	{ "a frame that is too long", frame_too_long, false, 0 },
	{ "a frame outside", frame_outside, false, 0 },
	{ "a frame at the end of numbers", frames_overflow, false, 0 },
	{ "a length at the end of numbers", length_overflows, false, 0 },
	{ "shards that are longer", shard_longer, false, 0 },
	{ "an unknown codec", codec_unknown, false, 0 },
	{ "another codec", codec_other, false, 0 },
	{ "a key that nobody has", key_invented, false, 0 },
};

static const struct lie *lie;

static void sign(uint8_t *bytes)
{
	put(bytes, AT(crc), 0);
	put(bytes, AT(crc), weft_crc32c(0, bytes, get(bytes, AT(header_len))));
}

static int shard_visit(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	uint8_t bytes[WEFT_SHARD_HEADER_MAX];
	struct weft_shard_info info;
	int fd;

	(void)ftw;
	if (type != FTW_F || !strstr(path, "/shards/") || (size_t)st->st_size < sizeof(bytes))
		return 0;
	fd = open(path, O_RDWR);
	if (fd < 0 || pread(fd, bytes, sizeof(bytes), 0) != sizeof(bytes))
		fail("%s: %s", path, strerror(errno));
	if (!weft_header_decode(&info, bytes, sizeof(bytes), NULL) && info.ino == ino && info.frames &&
	    info.frame_count > 3) {
		if (lie->change)
			lie->change(bytes);
		if (!lie->damage)
			sign(bytes);
		if (pwrite(fd, bytes, sizeof(bytes), 0) != sizeof(bytes) || (lie->cut && ftruncate(fd, lie->cut)))
			fail("%s: %s", path, strerror(errno));
		changed++;
	}
	close(fd);
	return 0;
}

/* --- readers
 * -------------------------------------------------------------------------------------------------------------------
 */

static void write_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
	struct stat st;

	if (fd < 0 || write(fd, content, FILE_BYTES) != FILE_BYTES || fsync(fd) || fstat(fd, &st) || close(fd))
		fail("%s: %s", path, strerror(errno));
	ino = st.st_ino;
}

/* Returns whether all of it could be read. */
static bool read_file(const char *path)
{
	int fd = open(path, O_RDONLY);
	bool all = true;

	if (fd < 0)
		fail("%s: %s", path, strerror(errno));
	for (size_t at = 0; at < FILE_BYTES; at += FILE_BYTES / 2) {
		ssize_t n = pread(fd, seen, FILE_BYTES / 2, (off_t)at);

		if (n < 0 && errno != EIO)
			fail("%s: reading gives %s", path, strerror(errno));
		if (n > 0 && memcmp(seen, content + at, (size_t)n))
			fail("%s, with %s: what is read from byte %zu on is not what was written", path, lie->what, at);
		all = all && n == FILE_BYTES / 2;
	}
	close(fd);
	return all;
}

static void mount_anew(void)
{
	char command[200];

	snprintf(command, sizeof(command), CLIENT "umount %s && " CLIENT "mount -t weft demo:headers %s", base, base);
	run(command);
}

static void lie_and_read(void)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/file-%d", base, (int)(lie - lies));
	write_file(path);
	mount_anew();
	changed = 0;
	if (nftw(STORES, shard_visit, 16, FTW_PHYS) || changed < 3)
		fail("only %u compressed shards of %s were found below " STORES, changed, path);
	if (read_file(path))
		fail("%s with %s in each of %u shards was read", path, lie->what, changed);
	printf("%s: refused, in %u shards\n", lie->what, changed);
	fflush(stdout);
}

int main(void)
{
	char command[200], path[64];

	make_content();
	if (!mkdtemp(base))
		fail("mkdtemp: %s", strerror(errno));
	run("weft --cluster demo volume create headers --k 2 --m 1 --codec zstd >/dev/null");
	snprintf(command, sizeof(command), CLIENT "mount -t weft demo:headers %s", base);
	run(command);
	for (lie = lies; lie < lies + ARRAY_SIZE(lies); lie++)
		lie_and_read();
	snprintf(path, sizeof(path), "%s/sound", base);
	write_file(path);
	mount_anew();
	if (!read_file(path))
		fail("a sound file cannot be read any more");
	snprintf(command, sizeof(command), CLIENT "umount %s && rmdir %s", base, base);
	run(command);
	return 0;
}
