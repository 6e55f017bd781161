// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Speed of the erasure coder, one thread on one core: every back-end, and ISA-L where it is
 * installed (loaded at run time), on the same buffers. "encode" makes all parities, "decode" as
 * many lost data shards as there can be.
 *
 *	bench_ec [--json] [K M [SHARD_BYTES...]]	default: 6 3, from 16 KiB to 1 MiB
 *
 * Every back-end is compared with ISA-L as it chooses for this machine, and with ISA-L's code for
 * the same instruction set, which says something about machines that have no more. All take turns
 * of two milliseconds, so that what else the machine does hits all of them, and the time that other
 * programs get does not count. Printed are medians of all rounds: GB of sources a second, and how
 * much faster a back-end was in the same round. With --json a line is an object, and has the best
 * round as well.
 */
#include <dlfcn.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ec/ec.h"

#define ROUNDS	     51
#define TURN_SECONDS 0.002
#define BATCH_BYTES  1000000	/* of sources between two looks at the clock */
#define MAX_RUNNERS  16
#define MAX_TABLES   (32 * WEFT_EC_MAX_COEFS)

typedef void (*isal_tables_fn)(int k, int rows, unsigned char *a, unsigned char *tables);
typedef void (*isal_encode_fn)(int len, int k, int rows, unsigned char *tables,
			       unsigned char **data, unsigned char **coding);

/*
 * Something to do: @plan.nout outputs from @plan.nsrc sources. Encoding has a plan too, with the
 * codec's coefficients, so that both are the same call.
 */
struct task {
	const char *name;
	struct weft_ec_plan plan;
	size_t len;
	u8 *src[WEFT_EC_MAX_SHARDS];
	u8 *dst[WEFT_EC_MAX_SHARDS];
};

/*
 * A back-end, or a function of ISA-L's.
 * @same: of a back-end, ISA-L's code for the same instructions
 */
struct runner {
	const char *name;
	const struct weft_ec_ops *ops;
	isal_tables_fn isal_tables;
	isal_encode_fn isal_encode;
	const struct runner *same;
	unsigned char tables[MAX_TABLES];
	double speed[ROUNDS];
};

/* @isal: ISA-L's own choice, NULL where it is not installed */
struct bench {
	bool json;
	unsigned int n;
	struct runner runners[MAX_RUNNERS];
	const struct runner *isal;
};

/* Time of this thread alone: what others took of the core is nobody's slowness. */
static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void run(struct runner *r, struct task *t)
{
	if (r->ops)
		weft_ec_plan_run_with(r->ops, &t->plan, t->len, (const void *const *)t->src,
				      (void *const *)t->dst);
	else
		r->isal_encode((int)t->len, t->plan.nsrc, t->plan.nout, r->tables, t->src, t->dst);
}

/* GB a second in one turn. */
static double turn(struct runner *r, struct task *t)
{
	unsigned long batch = 1 + BATCH_BYTES / (t->len * t->plan.nsrc), n = 0;
	double start, seconds;

	/* What the one before left in the caches is not the next one's. */
	run(r, t);
	start = now();
	do {
		for (unsigned long i = 0; i < batch; i++)
			run(r, t);
		n += batch;
		seconds = now() - start;
	} while (seconds < TURN_SECONDS);
	return (double)n * (double)t->len * t->plan.nsrc / seconds / 1e9;
}

static int double_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The median of @a, or of its ratio to @b. */
static double median(const double *a, const double *b)
{
	double v[ROUNDS];

	for (unsigned int i = 0; i < ROUNDS; i++)
		v[i] = b ? a[i] / b[i] : a[i];
	qsort(v, ROUNDS, sizeof(*v), double_compare);
	return v[ROUNDS / 2];
}

/* All must give the same bytes, or the figures say nothing. */
static int results_check(struct bench *b, struct task *t)
{
	int ret = 0;

	for (unsigned int j = 0; j < t->plan.nout; j++) {
		u8 *want = malloc(t->len);

		if (!want)
			return -ENOMEM;
		weft_ec_plan_run_with(&weft_ec_generic_ops, &t->plan, t->len,
				      (const void *const *)t->src, (void *const *)t->dst);
		memcpy(want, t->dst[j], t->len);
		for (unsigned int i = 0; i < b->n; i++) {
			memset(t->dst[j], 0, t->len);
			run(&b->runners[i], t);
			if (memcmp(want, t->dst[j], t->len)) {
				fprintf(stderr, "bench_ec: %s: %s gives other bytes than generic\n",
					t->name, b->runners[i].name);
				ret = -EBADMSG;
			}
		}
		free(want);
	}
	return ret;
}

static void reference_print(const struct runner *r, const struct runner *reference)
{
	if (reference)
		printf(" %8.1f %5.2fx", median(reference->speed, NULL),
		       median(r->speed, reference->speed));
	else
		printf(" %8s %6s", "-", "-");
}

static void json_print(const struct bench *b, const struct task *t, const struct runner *r)
{
	double best = 0;

	for (unsigned int i = 0; i < ROUNDS; i++)
		best = r->speed[i] > best ? r->speed[i] : best;
	printf("{\"bench\": \"ec\", \"task\": \"%s\", \"bytes\": %zu, \"by\": \"%s\", \"gbs\": %.2f, \"best\": %.2f",
	       t->name, t->len, r->name, median(r->speed, NULL), best);
	if (b->isal)
		printf(", \"isal_gbs\": %.2f, \"to_isal\": %.3f", median(b->isal->speed, NULL),
		       median(r->speed, b->isal->speed));
	if (r->same)
		printf(", \"to_same_in_isal\": %.3f", median(r->speed, r->same->speed));
	printf("}\n");
}

static int measure(struct bench *b, struct task *t)
{
	int ret;

	for (unsigned int i = 0; i < b->n; i++)
		if (b->runners[i].isal_tables)
			b->runners[i].isal_tables(t->plan.nsrc, t->plan.nout, t->plan.coef,
						  b->runners[i].tables);
	ret = results_check(b, t);
	if (ret)
		return ret;

	for (unsigned int round = 0; round < ROUNDS; round++)
		for (unsigned int i = 0; i < b->n; i++)
			b->runners[i].speed[round] = turn(&b->runners[i], t);

	for (unsigned int i = 0; i < b->n; i++) {
		const struct runner *r = &b->runners[i];

		if (!r->ops)
			continue;
		if (b->json) {
			json_print(b, t, r);
			continue;
		}
		printf("%-6s %8zu %-8s %7.1f", t->name, t->len, r->name, median(r->speed, NULL));
		reference_print(r, b->isal);
		reference_print(r, r->same);
		printf("\n");
	}
	return 0;
}

static struct runner *isal_add(struct bench *b, void *lib, const char *name, const char *tables)
{
	struct runner *r = &b->runners[b->n];

	if (!lib || b->n == MAX_RUNNERS)
		return NULL;
	r->name = name;
	*(void **)&r->isal_encode = dlsym(lib, name);
	*(void **)&r->isal_tables = dlsym(lib, tables);
	/* Until 2.30 there is one kind of tables. */
	if (!r->isal_tables)
		*(void **)&r->isal_tables = dlsym(lib, "ec_init_tables");
	if (!r->isal_encode || !r->isal_tables)
		return NULL;
	b->n++;
	return r;
}

static const struct runner *isal_same_add(struct bench *b, void *lib, const char *backend)
{
	static const struct {
		const char *backend, *encode, *tables;
	} same[] = {
		{ "avx512", "ec_encode_data_avx512_gfni", "ec_init_tables" },
		{ "avx512", "ec_encode_data_avx512", "ec_init_tables_base" },
		{ "gfni", "ec_encode_data_avx2_gfni", "ec_init_tables" },
		{ "avx2", "ec_encode_data_avx2", "ec_init_tables_base" },
		{ "ssse3", "ec_encode_data_sse", "ec_init_tables_base" },
		{ "generic", "ec_encode_data_base", "ec_init_tables_base" },
	};
	const struct runner *r = NULL;

	for (unsigned int i = 0; i < ARRAY_SIZE(same) && !r; i++)
		if (!strcmp(same[i].backend, backend))
			r = isal_add(b, lib, same[i].encode, same[i].tables);
	return r;
}

static void runners_find(struct bench *b)
{
	void *lib = dlopen("libisal.so.2", RTLD_NOW);
	const struct weft_ec_ops *ops;

	b->isal = isal_add(b, lib, "ec_encode_data", "ec_init_tables");
	if (!b->isal)
		fprintf(stderr, "ISA-L is not installed (libisal.so.2): nothing to compare with\n");
	for (unsigned int i = 0; (ops = weft_ec_backend_at(i)); i++) {
		struct runner *r = &b->runners[b->n];

		if (!ops->usable() || b->n == MAX_RUNNERS) {
			fprintf(stderr, "%s: skipped, this machine cannot run it\n", ops->name);
			continue;
		}
		b->n++;
		r->name = ops->name;
		r->ops = ops;
		r->same = isal_same_add(b, lib, ops->name);
	}
}

static int tasks_run(struct bench *b, struct task *encode, struct task *decode, u8 *const shard[])
{
	int ret;

	for (unsigned int i = 0; i < encode->plan.nsrc; i++) {
		encode->src[i] = shard[encode->plan.src[i]];
		decode->src[i] = shard[decode->plan.src[i]];
	}
	for (unsigned int j = 0; j < encode->plan.nout; j++)
		encode->dst[j] = shard[encode->plan.out[j]];
	for (unsigned int j = 0; j < decode->plan.nout; j++)
		decode->dst[j] = shard[decode->plan.out[j]];

	ret = measure(b, encode);
	return ret ? ret : measure(b, decode);
}

static int bench(struct bench *b, unsigned int k, unsigned int m, size_t len)
{
	struct task encode = { .name = "encode", .len = len };
	struct task decode = { .name = "decode", .len = len };
	size_t each = (len + 4095) / 4096 * 4096;
	u8 *shard[WEFT_EC_MAX_SHARDS];
	struct weft_ec ec;
	void *mem;
	u32 lost;
	int ret;

	if (!m || !len || len > INT_MAX || weft_ec_init(&ec, k, m))
		return -EINVAL;
	lost = ~(~0u << (m < k ? m : k));
	if (weft_ec_plan_init(&encode.plan, &ec, ~0u >> (32 - k), (~0u >> (32 - m)) << k) ||
	    weft_ec_plan_init(&decode.plan, &ec, (~0u >> (32 - k - m)) & ~lost, lost))
		return -EINVAL;
	if (posix_memalign(&mem, 4096, each * (k + m)))
		return -ENOMEM;
	for (unsigned int i = 0; i < k + m; i++) {
		shard[i] = (u8 *)mem + i * each;
		for (size_t at = 0; at < len; at++)
			shard[i][at] = (u8)(at * 131 + at / 256 * 7 + i);
	}
	ret = tasks_run(b, &encode, &decode, shard);
	free(mem);
	return ret;
}

/* Moving to another core would cost somebody the caches. */
static void pin(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		perror("bench_ec: not bound to one core");
}

int main(int argc, char **argv)
{
	static struct bench b;
	unsigned int k = 6, m = 3;
	int ret;

	b.json = argc > 1 && !strcmp(argv[1], "--json");
	argc -= b.json;
	argv += b.json;
	ret = argc == 2 ? -EINVAL : 0;
	if (argc > 2) {
		k = (unsigned int)strtoul(argv[1], NULL, 0);
		m = (unsigned int)strtoul(argv[2], NULL, 0);
	}
	pin();
	runners_find(&b);
	if (!b.json)
		printf("%u+%-4u %8s %-8s %7s %15s %15s\n", k, m, "bytes", "by", "GB/s",
		       "ISA-L's choice", "same in ISA-L");
	for (int i = 3; i < argc && !ret; i++)
		ret = bench(&b, k, m, strtoul(argv[i], NULL, 0));
	for (size_t len = 16384; len <= 1 << 20 && argc <= 3 && !ret; len *= 2)
		ret = bench(&b, k, m, len);
	if (ret)
		fprintf(stderr,
			"bench_ec: %s; wanted: 1 <= K, 1 <= M, K + M <= 32, SHARD_BYTES > 0\n",
			strerror(-ret));
	return ret ? 1 : 0;
}
