// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Speed of the erasure coder, one thread: MB of data shards a second, encoded and decoded, by
 * back-end and, where it is installed, by ISA-L (loaded at run time).
 *
 *	bench_ec [K M [SHARD_BYTES]]	default: several codes, 64 KiB of each shard
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ec/ec.h"

/* The best of many short rounds: others may use the machine too. */
#define ROUNDS	      40
#define ROUND_SECONDS 0.01

struct bench {
	unsigned int k, m;
	size_t len;
	u8 *shard[WEFT_EC_MAX_SHARDS];
	struct weft_ec ec;
	struct weft_ec_plan plan;	/* all of min(k, m) data shards lost */
	const struct weft_ec_ops *ops;
	unsigned char *isal_tables;
	void (*isal_encode)(int len, int k, int rows, unsigned char *tables, unsigned char **data,
			    unsigned char **coding);
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void run_encode(struct bench *b)
{
	weft_ec_encode_with(b->ops, &b->ec, b->len, (const void *const *)b->shard,
			    (void *const *)b->shard + b->k);
}

static void run_decode(struct bench *b)
{
	const void *src[WEFT_EC_MAX_SHARDS];
	void *dst[WEFT_EC_MAX_SHARDS];

	for (unsigned int i = 0; i < b->plan.nsrc; i++)
		src[i] = b->shard[b->plan.src[i]];
	for (unsigned int j = 0; j < b->plan.nout; j++)
		dst[j] = b->shard[b->plan.out[j]];
	weft_ec_plan_run_with(b->ops, &b->plan, b->len, src, dst);
}

static void run_isal(struct bench *b)
{
	b->isal_encode((int)b->len, (int)b->k, (int)b->m, b->isal_tables, b->shard,
		       b->shard + b->k);
}

static void measure(struct bench *b, const char *name, const char *what,
		    void (*run)(struct bench *b))
{
	double best = 0;

	for (int round = 0; round < ROUNDS; round++) {
		double start = now(), seconds;
		unsigned long n = 0;

		do {
			for (int i = 0; i < 4; i++)
				run(b);
			n += 4;
			seconds = now() - start;
		} while (seconds < ROUND_SECONDS);
		if ((double)n * b->len * b->k / seconds / 1e6 > best)
			best = (double)n * b->len * b->k / seconds / 1e6;
	}
	printf("%u+%-3u %-8s %-7s %9zu %10.0f\n", b->k, b->m, name, what, b->len, best);
}

static void isal_measure(struct bench *b)
{
	void (*tables_init)(int k, int rows, const unsigned char *a, unsigned char *tables);
	void *lib = dlopen("libisal.so.2", RTLD_NOW);

	if (!lib)
		return;
	*(void **)&tables_init = dlsym(lib, "ec_init_tables");
	*(void **)&b->isal_encode = dlsym(lib, "ec_encode_data");
	b->isal_tables = malloc(32 * b->k * b->m);
	if (tables_init && b->isal_encode && b->isal_tables) {
		tables_init((int)b->k, (int)b->m, b->ec.coef, b->isal_tables);
		measure(b, "isa-l", "encode", run_isal);
	}
	free(b->isal_tables);
	dlclose(lib);
}

static int bench(unsigned int k, unsigned int m, size_t len)
{
	struct bench b = { .k = k, .m = m, .len = len };
	u32 lost = ~(~0u << (m < k ? m : k));
	void *mem;

	if (weft_ec_init(&b.ec, k, m) || !m || !len)
		return -EINVAL;
	if (weft_ec_plan_init(&b.plan, &b.ec, (~0u >> (32 - k - m)) & ~lost, lost))
		return -EINVAL;
	if (posix_memalign(&mem, 4096, (len + 4095) / 4096 * 4096 * (k + m)))
		return -ENOMEM;
	for (unsigned int i = 0; i < k + m; i++) {
		b.shard[i] = (u8 *)mem + i * ((len + 4095) / 4096 * 4096);
		memset(b.shard[i], (int)(i + 1), len);
	}

	for (unsigned int i = 0; (b.ops = weft_ec_backend_at(i)); i++) {
		if (!b.ops->usable())
			continue;
		measure(&b, b.ops->name, "encode", run_encode);
		measure(&b, b.ops->name, "decode", run_decode);
	}
	isal_measure(&b);
	free(mem);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		unsigned int k, m;
	} codes[] = { { 1, 3 }, { 3, 3 }, { 6, 3 }, { 10, 4 }, { 16, 4 }, { 10, 6 } };
	size_t len = argc > 3 ? strtoul(argv[3], NULL, 0) : 65536;
	int ret = 0;

	printf("code  by       what    shard len    MB/s data\n");
	if (argc > 2) {
		ret = bench((unsigned int)strtoul(argv[1], NULL, 0),
			    (unsigned int)strtoul(argv[2], NULL, 0), len);
	} else {
		for (unsigned int i = 0; i < ARRAY_SIZE(codes) && !ret; i++)
			ret = bench(codes[i].k, codes[i].m, len);
	}
	if (ret)
		fprintf(stderr,
			"bench_ec: %s; wanted: 1 <= K, 1 <= M, K + M <= 32, SHARD_BYTES > 0\n",
			strerror(-ret));
	return ret ? 1 : 0;
}
