// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The write pipeline on one core, stage by stage: a file is cut into chunks, and each chunk is hashed, compressed,
 *sealed, coded 6+3 and summed, as the module does it.
 *
 *	bench_pipeline [--json] FILE [MIB]	at most that much of it (default: 64)
 *
 * Of the module's own files are cutting, coding and the tables of CRCs. What the kernel's libraries do in the module is
 *done by others here: SHA-256 and AES-256-GCM by libcrypto, zstd by libzstd, and the CRC32C below the tables by
 *libweftpure's. Stages take turns chunk by chunk, so each finds in the caches what the one before left there, and the
 *time of this thread alone counts. ISA-L codes and sums the same chunks in between, where it is installed. Printed is
 *the best of all rounds.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>
#include <zstd.h>

#include "chunk/cdc.h"
#include "chunk/chunker.h"
#include "chunk/crctable.h"
#include "chunk/frames.h"
#include "ec/ec.h"

#define MIB    (1024u * 1024)
#define K      6
#define M      3
#define ROUNDS 6
#define COLUMN (64u * 1024)
#define LEVEL  3

enum stage { CUT, HASH, ZSTD, GCM, ENCODE, CRC, ISAL_ENCODE, ISAL_CRC, N_STAGES };

static const char *const names[N_STAGES] = { "cut", "hash", "zstd", "gcm", "encode", "crc", "isal-encode", "isal-crc" };

typedef void (*isal_tables_fn)(int k, int rows, unsigned char *a, unsigned char *tables);
typedef void (*isal_encode_fn)(int len, int k, int rows, unsigned char *tables, unsigned char **data,
			       unsigned char **coding);
typedef unsigned int (*isal_crc_fn)(unsigned char *bytes, int len, unsigned int crc);

/*
 * @seconds: of the round under way, by stage; @passed: bytes that went into the stage
 * @stored: what is coded: a chunk's frames, room for k shards; @packed: before they are sealed
 */
struct bench {
	u8 *data;
	size_t len;
	u8 *packed, *stored, *parity, *table;
	struct weft_chunker chunker;
	struct weft_ec ec;
	EVP_MD_CTX *md;
	EVP_CIPHER_CTX *cipher;
	ZSTD_CCtx *zstd;
	isal_encode_fn isal_encode;
	isal_crc_fn isal_crc;
	unsigned char isal_tables[32 * K * M];
	double seconds[N_STAGES];
	size_t passed[N_STAGES];
	u32 sink;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void stage_end(struct bench *b, enum stage stage, double start, size_t bytes)
{
	b->seconds[stage] += now() - start;
	b->passed[stage] += bytes;
}

/* --- stages
 * -------------------------------------------------------------------------------------------------------------- */

static size_t stage_cut(struct bench *b, size_t at)
{
	size_t done = 0, left = b->len - at, most = b->chunker.params.max;
	double start = now();

	left = left < most ? left : most;
	while (done < left) {
		u32 n = left - done < WEFT_FRAME_SIZE ? (u32)(left - done) : WEFT_FRAME_SIZE;
		bool cut;

		n = weft_cdc_scan_with(weft_cdc_backend(), &b->chunker, b->data + at + done, n, &cut);
		b->chunker.pos += n;
		done += n;
		if (cut)
			break;
	}
	weft_chunker_reset(&b->chunker);
	stage_end(b, CUT, start, done);
	return done;
}

static void stage_hash(struct bench *b, const u8 *plain, size_t len)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	double start = now();

	EVP_DigestInit_ex(b->md, EVP_sha256(), NULL);
	EVP_DigestUpdate(b->md, plain, len);
	EVP_DigestFinal_ex(b->md, digest, NULL);
	stage_end(b, HASH, start, len);
	b->sink += digest[0];
}

/* The frames one behind the other at .packed; how long they are. */
static u32 stage_zstd(struct bench *b, const u8 *plain, u32 len, __le32 *ends)
{
	struct weft_frames frames;
	double start = now();
	u32 at = 0, next;

	weft_frames_begin(&frames, len, ends);
	while ((next = weft_frames_next(&frames))) {
		const u8 *from = plain + frames.done * WEFT_FRAME_SIZE;
		size_t n = ZSTD_compressCCtx(b->zstd, b->packed + at, weft_frames_room(next), from, next, LEVEL);
		u32 took = weft_frames_add(&frames, ZSTD_isError(n) ? 0 : (u32)n);

		if (took == next)
			memcpy(b->packed + at, from, next);
		at += took;
	}
	stage_end(b, ZSTD, start, len);
	return at;
}

/*
 * Frame by frame, each with its tag, from `from` to .stored; how long they are. A chunk has a key of its own, a frame a
 * nonce and some additional data.
 */
static u32 stage_gcm(struct bench *b, const u8 *from, u32 plain_len, const __le32 *ends)
{
	static const u8 key[32] = "measured, not secret", more[40] = "which frame of which chunk";
	u8 nonce[12] = "salt";
	u32 frames = weft_frame_count(plain_len), at = 0, begin = 0, passed = 0;
	double start = now();

	EVP_EncryptInit_ex(b->cipher, EVP_aes_256_gcm(), NULL, key, NULL);
	for (u32 i = 0; i < frames; i++) {
		u32 end = ends ? le32_to_cpu(ends[i]) : begin + weft_frame_plain_len(plain_len, i);
		int n;

		memcpy(nonce + 8, &i, sizeof(i));
		EVP_EncryptInit_ex(b->cipher, NULL, NULL, NULL, nonce);
		EVP_EncryptUpdate(b->cipher, NULL, &n, more, sizeof(more));
		EVP_EncryptUpdate(b->cipher, b->stored + at, &n, from + begin, (int)(end - begin));
		EVP_EncryptFinal_ex(b->cipher, b->stored + at, &n);
		at += end - begin;
		EVP_CIPHER_CTX_ctrl(b->cipher, EVP_CTRL_GCM_GET_TAG, WEFT_CIPHER_TAG, b->stored + at);
		at += WEFT_CIPHER_TAG;
		passed += end - begin;
		begin = end;
	}
	stage_end(b, GCM, start, passed);
	return at;
}

static void shards_set(u8 *shard[K + M], u8 *stored, u8 *parity, u32 shard_len)
{
	for (unsigned int i = 0; i < K + M; i++)
		shard[i] = i < K ? stored + i * shard_len : parity + (i - K) * shard_len;
}

static void stage_encode(struct bench *b, u8 *stored, const struct weft_layout *layout, bool isal)
{
	u8 *shard[K + M], *at[K + M];
	double start = now();

	shards_set(shard, stored, b->parity, layout->shard_len);
	for (u32 pos = 0; pos < layout->shard_len; pos += COLUMN) {
		u32 n = layout->shard_len - pos < COLUMN ? layout->shard_len - pos : COLUMN;

		for (unsigned int i = 0; i < K + M; i++)
			at[i] = shard[i] + pos;
		if (isal)
			b->isal_encode((int)n, K, M, b->isal_tables, at, at + K);
		else
			weft_ec_encode(&b->ec, n, (const void *const *)at, (void *const *)at + K);
	}
	stage_end(b, isal ? ISAL_ENCODE : ENCODE, start, layout->stored_len);
}

static void stage_crc(struct bench *b, u8 *stored, const struct weft_layout *layout, bool isal)
{
	u8 *shard[K + M];
	double start = now();

	shards_set(shard, stored, b->parity, layout->shard_len);
	for (unsigned int i = 0; i < K + M; i++) {
		if (!isal) {
			weft_crctable_fill(b->table, 0, shard[i], layout->shard_len);
			b->sink += weft_crctable_seal(b->table, weft_block_count(layout->shard_len));
			continue;
		}
		for (u32 at = 0; at < layout->shard_len; at += WEFT_CRC_BLOCK)
			b->sink += b->isal_crc(shard[i] + at,
					       (int)weft_block_len(layout->shard_len, at / WEFT_CRC_BLOCK), ~0u);
	}
	/* Of what is summed, parity too, so that it compares with what sums one buffer. */
	stage_end(b, isal ? ISAL_CRC : CRC, start, (size_t)(K + M) * layout->shard_len);
}

/* --- rounds
 * --------------------------------------------------------------------------------------------------------------- */

/* isal_first: who comes second finds more in the caches, so they change places from round to round. */
static void chunk_pass(struct bench *b, u8 *plain, u32 len, bool zstd, bool gcm, bool isal_first)
{
	__le32 ends[WEFT_CHUNK_MAX / WEFT_FRAME_SIZE];
	struct weft_layout layout;
	u8 *stored = plain;
	u32 stored_len = len;

	stage_hash(b, plain, len);
	if (zstd) {
		stored_len = stage_zstd(b, plain, len, ends);
		stored = b->packed;
	}
	if (gcm) {
		stored_len = stage_gcm(b, stored, len, zstd ? ends : NULL);
		stored = b->stored;
	}
	if (weft_layout_init(&layout, stored_len, K, M))
		abort();
	for (unsigned int i = 0; i < 2; i++)
		if (i == isal_first || b->isal_encode)
			stage_encode(b, stored, &layout, i != isal_first);
	for (unsigned int i = 0; i < 2; i++)
		if (i == isal_first || b->isal_crc)
			stage_crc(b, stored, &layout, i != isal_first);
}

static double tsc_hz(void)
{
	struct timespec a, z;
	u64 begin, end;
	double s;

	clock_gettime(CLOCK_MONOTONIC, &a);
	begin = __rdtsc();
	do {
		clock_gettime(CLOCK_MONOTONIC, &z);
		end = __rdtsc();
		s = (double)(z.tv_sec - a.tv_sec) + (double)(z.tv_nsec - a.tv_nsec) / 1e9;
	} while (s < 0.05);
	return (double)(end - begin) / s;
}

static void print_stage(bool json, const char *mode, enum stage stage, double best, size_t passed, double sum,
			double hz, size_t len)
{
	double mbs = (double)passed / best / 1e6, cycles = best * hz / (double)passed;

	if (json)
		printf("{\"bench\": \"pipeline\", \"mode\": \"%s\", \"stage\": \"%s\", \"mbs\": %.1f, "
		       "\"cycles_per_byte\": %.3f, "
		       "\"share\": %.4f, \"of_file_mbs\": %.1f}\n",
		       mode, names[stage], mbs, cycles, stage < ISAL_ENCODE ? best / sum : 0, (double)len / best / 1e6);
	else
		printf("%-10s %-12s %10.0f %12.3f %7.1f %%\n", mode, names[stage], mbs, cycles,
		       stage < ISAL_ENCODE ? best / sum * 100 : 0);
}

static void mode_run(struct bench *b, bool json, bool zstd, bool gcm, double hz)
{
	double best[N_STAGES] = { 0 }, sum = 0;
	char mode[20];

	snprintf(mode, sizeof(mode), "%s+%s", zstd ? "zstd" : "none", gcm ? "gcm" : "none");
	for (unsigned int round = 0; round < ROUNDS; round++) {
		memset(b->seconds, 0, sizeof(b->seconds));
		memset(b->passed, 0, sizeof(b->passed));
		for (size_t at = 0, n; at < b->len; at += n) {
			n = stage_cut(b, at);
			chunk_pass(b, b->data + at, (u32)n, zstd, gcm, round & 1);
		}
		for (unsigned int i = 0; i < N_STAGES; i++)
			if (!round || b->seconds[i] < best[i])
				best[i] = b->seconds[i];
	}
	for (unsigned int i = 0; i < ISAL_ENCODE; i++)
		sum += best[i];
	for (unsigned int i = 0; i < N_STAGES; i++)
		if (b->passed[i])
			print_stage(json, mode, i, best[i], b->passed[i], sum, hz, b->len);
	if (json)
		printf("{\"bench\": \"pipeline\", \"mode\": \"%s\", \"stage\": \"all\", \"mbs\": %.1f, "
		       "\"cycles_per_byte\": %.3f, "
		       "\"share\": 1, \"of_file_mbs\": %.1f}\n",
		       mode, (double)b->len / sum / 1e6, sum * hz / (double)b->len, (double)b->len / sum / 1e6);
	else
		printf("%-10s %-12s %10.0f %12.3f\n", mode, "all", (double)b->len / sum / 1e6,
		       sum * hz / (double)b->len);
}

/* --- setting up
 * ------------------------------------------------------------------------------------------------------------ */

/* Zeros, in huge pages: so is the kernel's own view of the page cache. In small ones half the time is spent finding
 * them. */
static u8 *memory(size_t len)
{
	const size_t huge = 2 * MIB;
	u8 *bytes;

	len = (len + huge - 1) / huge * huge;
	bytes = aligned_alloc(huge, len);
	if (!bytes)
		return NULL;
	madvise(bytes, len, MADV_HUGEPAGE);
	return memset(bytes, 0, len);
}

static int data_read(struct bench *b, const char *path, size_t max)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 1;

	/* Behind it, what the last shard of the last chunk is padded with. */
	b->data = memory(max + (size_t)K * WEFT_SHARD_ALIGN);
	while (fd >= 0 && b->data && b->len < max && (n = read(fd, b->data + b->len, max - b->len)) > 0)
		b->len += (size_t)n;
	if (fd < 0 || n < 0 || !b->data || b->len < MIB) {
		fprintf(stderr, "bench_pipeline: %s: %s\n", path,
			fd < 0 || n < 0 ? strerror(errno) : "it has less than 1 MiB");
		return -EIO;
	}
	close(fd);
	return 0;
}

static int bench_init(struct bench *b)
{
	const struct weft_chunker_params params = {
		.min = MIB / 4, .target = 4 * MIB, .max = 16 * MIB, .random = MIB / 4
	};
	size_t room = WEFT_STORED_MAX + (size_t)K * WEFT_SHARD_ALIGN;
	void *isal = dlopen("libisal.so.2", RTLD_NOW);
	isal_tables_fn isal_tables = NULL;

	b->packed = memory(room);
	b->stored = memory(room);
	b->parity = memory(room);
	b->table = malloc(weft_crctable_len(WEFT_SHARD_LEN_MAX));
	b->md = EVP_MD_CTX_new();
	b->cipher = EVP_CIPHER_CTX_new();
	b->zstd = ZSTD_createCCtx();
	if (!b->packed || !b->stored || !b->parity || !b->table || !b->md || !b->cipher || !b->zstd ||
	    weft_ec_init(&b->ec, K, M) || weft_chunker_begin(&b->chunker, &weft_chunker_cdc, &params, NULL, 0))
		return -ENOMEM;
	if (!isal) {
		fprintf(stderr, "bench_pipeline: ISA-L is not installed (libisal.so.2): nothing to compare with\n");
		return 0;
	}
	*(void **)&b->isal_encode = dlsym(isal, "ec_encode_data");
	*(void **)&b->isal_crc = dlsym(isal, "crc32_iscsi");
	*(void **)&isal_tables = dlsym(isal, "ec_init_tables");
	if (b->isal_encode && isal_tables)
		isal_tables(K, M, b->ec.coef, b->isal_tables);
	return 0;
}

/* Moving to another core would cost the caches. */
static void pin(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		perror("bench_pipeline: not bound to one core");
}

int main(int argc, char **argv)
{
	bool json = argc > 1 && !strcmp(argv[1], "--json");
	static struct bench b;
	size_t mib;

	argc -= json;
	argv += json;
	mib = argc > 2 ? strtoul(argv[2], NULL, 0) : 64;
	if (argc < 2 || argc > 3 || !mib) {
		fprintf(stderr, "usage: bench_pipeline [--json] FILE [MIB]\n");
		return 2;
	}
	pin();
	if (data_read(&b, argv[1], mib * MIB) || bench_init(&b))
		return 1;
	if (!json)
		printf("%-10s %-12s %10s %12s %9s\n", "mode", "stage", "MB/s", "cycles/byte", "share");
	for (unsigned int mode = 0; mode < 4; mode++)
		mode_run(&b, json, mode & 1, mode & 2, tsc_hz());
	return 0;
}
