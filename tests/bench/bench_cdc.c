// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Content-defined chunking, one thread, beside the plain algorithm: FastCDC with a gear hash, a byte at a time, which
 * skips min bytes after each cut and has the same rates of cuts, hence the same mean.
 *
 *	bench_cdc [TARGET_KIB...]		speed by target and back-end, over random bytes (default: several)
 *	bench_cdc dedup TARGET_KIB FILE...	all bytes of the files by those that are left when equal chunks
 *						are stored once; plain with several tables, since a table is luck
 *	bench_cdc over FILE...			speed over what is in files
 *
 * With --json in front of all that a line is an object. min is a sixteenth of the target, max four times the target.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "chunk/cdc.h"
#include "chunk/chunker.h"

#define KIB	 1024u
#define MIB	 (1024u * KIB)
#define ROUNDS	 10		/* the best counts: others may use the machine too */
#define DATA	 (256u * MIB)
#define SCAN_MAX (128u * KIB)	/* as much as a folio of the page cache holds */

static bool json;

/* Plain gear */

static u64 plain_gear[256];

struct plain {
	struct weft_chunker_params params;
	u64 hard, easy;
};

static u64 splitmix(u64 *state)
{
	u64 x = *state += 0x9e3779b97f4a7c15u;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static void plain_table(u64 seed)
{
	for (unsigned int i = 0; i < 256; i++)
		plain_gear[i] = splitmix(&seed);
}

static void plain_init(struct plain *plain, const struct weft_chunker_params *params)
{
	plain->params = *params;
	/* WEFT_CDC_RATE is the rate times 2^44. */
	plain->hard = (WEFT_CDC_RATE << 20) / (params->target - params->min);
	plain->easy = plain->hard * WEFT_CDC_EASIER;
}

/* The length of the chunk at the start of @buf. */
static noinline size_t plain_cut(const struct plain *plain, const u8 *buf, size_t len)
{
	const struct weft_chunker_params *p = &plain->params;
	size_t end = len < p->max ? len : p->max;
	size_t target = end < p->target ? end : p->target;
	const u64 hard = plain->hard, easy = plain->easy;
	size_t i = p->min;
	u64 hash = 0;

	for (; i < target; i++) {
		hash = (hash << 1) + plain_gear[buf[i]];
		if (hash < hard)
			return i + 1;
	}
	for (; i < end; i++) {
		hash = (hash << 1) + plain_gear[buf[i]];
		if (hash < easy)
			return i + 1;
	}
	return end;
}

/* The same with masks of the paper's kind instead of thresholds, for comparison of speed only. */
static noinline size_t mask_cut(const struct plain *plain, const u8 *buf, size_t len)
{
	const struct weft_chunker_params *p = &plain->params;
	size_t end = len < p->max ? len : p->max;
	size_t target = end < p->target ? end : p->target;
	unsigned int bits = 63 - (unsigned int)__builtin_clzll(p->target);
	const u64 hard = ~0ull << (64 - bits - 2), easy = ~0ull << (64 - bits + 2);
	size_t i = p->min;
	u64 hash = 0;

	for (; i < target; i++) {
		hash = (hash << 1) + plain_gear[buf[i]];
		if (!(hash & hard))
			return i + 1;
	}
	for (; i < end; i++) {
		hash = (hash << 1) + plain_gear[buf[i]];
		if (!(hash & easy))
			return i + 1;
	}
	return end;
}

/* Cuts of a buffer */

struct cuts {
	const struct weft_cdc_ops *ops;		/* NULL: the plain algorithm */
	size_t (*plain_cut)(const struct plain *plain, const u8 *buf, size_t len);
	struct plain plain;
	struct weft_chunker chunker;
};

static size_t next_cut(struct cuts *cuts, const u8 *buf, size_t len)
{
	size_t done = 0;

	if (!cuts->ops)
		return len <= cuts->plain.params.min ? len : cuts->plain_cut(&cuts->plain, buf, len);
	while (done < len) {
		size_t left = len - done, room = cuts->chunker.params.max - cuts->chunker.pos;
		u32 n = left < SCAN_MAX ? (u32)left : SCAN_MAX;
		bool cut;

		n = n < room ? n : (u32)room;
		n = weft_cdc_scan_with(cuts->ops, &cuts->chunker, buf + done, n, &cut);
		done += n;
		cuts->chunker.pos += n;
		if (cut || cuts->chunker.pos == cuts->chunker.params.max)
			break;
	}
	weft_chunker_reset(&cuts->chunker);
	return done;
}

static int cuts_init(struct cuts *cuts, const struct weft_cdc_ops *ops, u32 target)
{
	struct weft_chunker_params params = { .min = target / 16, .target = target, .max = target * 4, .random = 4096 };
	const char *wrong = target > WEFT_CHUNK_MAX / 4 ? "max must not be above 16 MiB" :
							  weft_chunker_check(&weft_chunker_cdc, &params);

	if (wrong) {
		fprintf(stderr, "bench_cdc: a target of %u KiB: %s\n", target / KIB, wrong);
		return -EINVAL;
	}
	cuts->ops = ops;
	cuts->plain_cut = plain_cut;
	plain_init(&cuts->plain, &params);
	return weft_chunker_begin(&cuts->chunker, &weft_chunker_cdc, &params, NULL, 0);
}

/* Speed */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double round_speed(struct cuts *cuts, const u8 *buf, size_t len, size_t *chunks)
{
	double start = now();

	*chunks = 0;
	for (size_t pos = 0; pos < len; pos += next_cut(cuts, buf + pos, len - pos))
		*chunks += 1;
	return (double)len / (now() - start) / 1e9;
}

/* Plain, plain with masks, then the back-ends: a round of each in turn, so that a slow moment hits all. */
#define CANDIDATES 5

static int speed(const u8 *buf, size_t len, u32 target, const char *what)
{
	static const char *const names[] = { "plain gear", "plain, masks" };
	struct cuts cuts[CANDIDATES];
	double best[CANDIDATES] = { 0 };
	size_t chunks[CANDIDATES];
	unsigned int n = 2;

	if (cuts_init(&cuts[0], NULL, target) || cuts_init(&cuts[1], NULL, target))
		return -EINVAL;
	cuts[1].plain_cut = mask_cut;
	for (unsigned int i = 0; weft_cdc_backend_at(i) && n < CANDIDATES; i++)
		if (weft_cdc_backend_at(i)->usable() && cuts_init(&cuts[n++], weft_cdc_backend_at(i), target))
			return -EINVAL;
	for (int round = 0; round < ROUNDS; round++) {
		for (unsigned int i = 0; i < n; i++) {
			double gbs = round_speed(&cuts[i], buf, len, &chunks[i]);

			best[i] = gbs > best[i] ? gbs : best[i];
		}
	}
	for (unsigned int i = 0; i < n && json; i++)
		printf("{\"bench\": \"cdc\", \"over\": \"%s\", \"target_kib\": %u, \"by\": \"%s\", "
		       "\"gbs\": %.3f, \"to_plain\": %.3f, \"mean_kib\": %.1f}\n", what, target / KIB,
		       i < 2 ? names[i] : cuts[i].ops->name, best[i], best[i] / best[0],
		       (double)len / (double)chunks[i] / KIB);
	for (unsigned int i = 0; i < n && !json; i++)
		printf("%-10s %7u %-13s %8.2f %8.2f %10.0f\n", what, target / KIB,
		       i < 2 ? names[i] : cuts[i].ops->name, best[i], best[i] / best[0],
		       (double)len / (double)chunks[i] / KIB);
	return 0;
}

static void speed_head(void)
{
	if (!json)
		printf("over       target  by                GB/s    ratio   mean KiB\n");
}

static int speed_random(int argc, char **argv)
{
	static const u32 targets[] = { 64, 512, 4096 };
	u8 *buf = malloc(DATA);
	u64 state = 42;
	int ret = buf ? 0 : -ENOMEM;

	for (size_t i = 0; !ret && i < DATA; i += 8) {
		u64 x = splitmix(&state);

		memcpy(buf + i, &x, 8);
	}
	speed_head();
	for (int i = 1; i < argc && !ret; i++)
		ret = speed(buf, DATA, (u32)strtoul(argv[i], NULL, 0) * KIB, "random");
	for (unsigned int i = 0; argc < 2 && i < ARRAY_SIZE(targets) && !ret; i++)
		ret = speed(buf, DATA, targets[i] * KIB, "random");
	free(buf);
	return ret;
}

static const u8 *file_map(const char *path, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	void *mem = MAP_FAILED;
	struct stat st;

	if (fd >= 0 && !fstat(fd, &st) && st.st_size > 0) {
		*len = (size_t)st.st_size;
		mem = mmap(NULL, *len, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	}
	if (mem == MAP_FAILED)
		fprintf(stderr, "bench_cdc: cannot read %s: %s\n", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return mem == MAP_FAILED ? NULL : mem;
}

static int speed_files(int argc, char **argv)
{
	int ret = 0;

	speed_head();
	for (int i = 2; i < argc && !ret; i++) {
		size_t len;
		const u8 *buf = file_map(argv[i], &len);

		if (!buf)
			return -EIO;
		ret = speed(buf, len, 4096 * KIB, "file");
		munmap((void *)buf, len);
	}
	return ret;
}

/* Dedup */

#define PLAIN_TABLES 5

struct id {
	u64 a, b;
};

/* Chunks that are there, by open addressing; an id of zeros is an empty place. */
struct known {
	struct id *ids;
	size_t size, count;
};

static struct id chunk_id(const u8 *buf, size_t len)
{
	struct id id = { len, ~(u64)len };
	size_t i;
	u64 word;

	for (i = 0; i + 8 <= len; i += 8) {
		memcpy(&word, buf + i, 8);
		id.a = (id.a ^ word) * 0xff51afd7ed558ccdull;
		id.a ^= id.a >> 32;
		id.b = (id.b + word) * 0xc4ceb9fe1a85ec53ull;
		id.b ^= id.b >> 29;
	}
	for (; i < len; i++) {
		id.a = (id.a ^ buf[i]) * 0xff51afd7ed558ccdull;
		id.b = (id.b + buf[i]) * 0xc4ceb9fe1a85ec53ull;
	}
	id.b |= 1;
	return id;
}

/* True if the chunk was not there. */
static bool known_add(struct known *known, struct id id)
{
	size_t at = id.a % known->size;

	while (known->ids[at].b) {
		if (known->ids[at].a == id.a && known->ids[at].b == id.b)
			return false;
		at = (at + 1) % known->size;
	}
	known->ids[at] = id;
	known->count++;
	return true;
}

/* All bytes divided by those that have to be stored; a negative errno on failure. */
static double dedup_ratio(struct cuts *cuts, int count, char **paths, double *mean)
{
	struct known known = { .size = 1u << 22 };
	size_t total = 0, stored = 0, chunks = 0;

	known.ids = calloc(known.size, sizeof(*known.ids));
	if (!known.ids)
		return -ENOMEM;
	for (int i = 0; i < count; i++) {
		size_t len, n;
		const u8 *buf = file_map(paths[i], &len);

		for (size_t pos = 0; buf && pos < len && known.count < known.size / 2; pos += n, chunks++) {
			n = next_cut(cuts, buf + pos, len - pos);
			stored += known_add(&known, chunk_id(buf + pos, n)) ? n : 0;
		}
		if (!buf || known.count >= known.size / 2) {
			free(known.ids);
			return -EIO;
		}
		total += len;
		munmap((void *)buf, len);
	}
	free(known.ids);
	*mean = (double)total / (double)chunks / KIB;
	return (double)total / (double)stored;
}

static int dedup(int argc, char **argv)
{
	u32 target = (u32)strtoul(argv[2], NULL, 0) * KIB;
	double plain[PLAIN_TABLES], sum = 0, weft, mean, mean_sum = 0;
	double low = 1e9, high = 0;
	struct cuts cuts;

	if (cuts_init(&cuts, NULL, target))
		return -EINVAL;
	for (unsigned int i = 0; i < PLAIN_TABLES; i++) {
		plain_table(1 + i * 1000);
		plain[i] = dedup_ratio(&cuts, argc - 3, argv + 3, &mean);
		if (plain[i] < 0)
			return -EIO;
		sum += plain[i] / PLAIN_TABLES;
		mean_sum += mean / PLAIN_TABLES;
		low = plain[i] < low ? plain[i] : low;
		high = plain[i] > high ? plain[i] : high;
	}
	cuts_init(&cuts, weft_cdc_backend(), target);
	weft = dedup_ratio(&cuts, argc - 3, argv + 3, &mean);
	if (weft < 0)
		return -EIO;
	if (json)
		printf("{\"bench\": \"dedup\", \"target_kib\": %u, \"files\": %d, \"plain\": %.4f, "
		       "\"plain_low\": %.4f, \"plain_high\": %.4f, \"plain_mean_kib\": %.0f, \"weft\": %.4f, "
		       "\"weft_mean_kib\": %.0f, \"to_plain\": %.4f}\n",
		       target / KIB, argc - 3, sum, low, high, mean_sum, weft, mean, weft / sum);
	else
		printf("target %5u KiB: plain %.4f (%.4f to %.4f; mean %.0f KiB), "
		       "weft %.4f (mean %.0f KiB): %+.2f %%\n",
		       target / KIB, sum, low, high, mean_sum, weft, mean, (weft / sum - 1) * 100);
	return 0;
}

int main(int argc, char **argv)
{
	int ret;

	json = argc > 1 && !strcmp(argv[1], "--json");
	argc -= json;
	argv += json;
	plain_table(1);
	if (argc > 3 && !strcmp(argv[1], "dedup"))
		ret = dedup(argc, argv);
	else if (argc > 2 && !strcmp(argv[1], "over"))
		ret = speed_files(argc, argv);
	else
		ret = speed_random(argc, argv);
	return ret ? 1 : 0;
}
