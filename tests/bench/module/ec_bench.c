// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Speed of the erasure coder in a kernel, measured when /sys/kernel/debug/weft_ec_bench is read: 6+3, shards of 16 KiB
 * to 1 MiB, making all parities and three lost data shards, by the back-end that the module would use. A line is an
 * object as bench_ec --json has it; MB of sources a second.
 *
 * What else the host does cannot be left out here, so each figure is the best of many short turns.
 */
#include <linux/debugfs.h>
#include <linux/gfp.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/seq_file.h>

#include "ec/ec.h"

#define K	  6
#define M	  3
#define SHARD_MAX (1u << 20)
#define ROUNDS	  101
#define TURN_NS	  2000000
#define BATCH	  1000000 /* bytes of sources between two looks at the clock */

static u8 *shard[K + M];
static struct dentry *file;

struct task {
	const char *name;
	struct weft_ec_plan plan;
	const void *src[K];
	void *dst[M];
};

static void run(const struct task *task, size_t len)
{
	weft_ec_plan_run(&task->plan, len, task->src, task->dst);
}

/* MB a second. */
static u64 turn(const struct task *task, size_t len)
{
	unsigned long batch = 1 + BATCH / (len * K), n = 0;
	u64 start, ns;

	run(task, len);
	start = ktime_get_ns();
	do {
		for (unsigned long i = 0; i < batch; i++)
			run(task, len);
		n += batch;
		ns = ktime_get_ns() - start;
	} while (ns < TURN_NS);
	return div64_u64((u64)n * len * K * 1000, ns);
}

static int task_init(struct task *task, const char *name, const struct weft_ec *ec, u32 have, u32 want)
{
	int err = weft_ec_plan_init(&task->plan, ec, have, want);

	task->name = name;
	for (unsigned int i = 0; i < task->plan.nsrc; i++)
		task->src[i] = shard[task->plan.src[i]];
	for (unsigned int i = 0; i < task->plan.nout; i++)
		task->dst[i] = shard[task->plan.out[i]];
	return err;
}

static int bench_show(struct seq_file *seq, void *unused)
{
	struct task tasks[2];
	struct weft_ec ec;

	weft_ec_init(&ec, K, M);
	if (task_init(&tasks[0], "encode", &ec, 0x3f, 0x1c0) || task_init(&tasks[1], "decode", &ec, 0x1f8, 0x7))
		return -EINVAL;
	for (size_t len = 16384; len <= SHARD_MAX; len *= 2) {
		u64 best[2] = { 0 };

		for (unsigned int round = 0; round < ROUNDS; round++)
			for (unsigned int i = 0; i < 2; i++) {
				best[i] = max(best[i], turn(&tasks[i], len));
				cond_resched();
			}
		for (unsigned int i = 0; i < 2; i++)
			seq_printf(seq,
				   "{\"bench\": \"ec-kernel\", \"task\": \"%s\", \"bytes\": %zu, \"by\": \"%s\", "
				   "\"mbs\": %llu}\n",
				   tasks[i].name, len, weft_ec_backend()->name, best[i]);
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(bench);

static void shards_free(void)
{
	for (unsigned int i = 0; i < K + M; i++)
		if (shard[i])
			free_pages_exact(shard[i], SHARD_MAX);
}

static int __init bench_init(void)
{
	for (unsigned int i = 0; i < K + M; i++) {
		shard[i] = alloc_pages_exact(SHARD_MAX, GFP_KERNEL);
		if (!shard[i]) {
			shards_free();
			return -ENOMEM;
		}
		for (size_t at = 0; at < SHARD_MAX; at++)
			shard[i][at] = at * 131 + at / 256 * 7 + i;
	}
	weft_ec_start();
	file = debugfs_create_file("weft_ec_bench", 0400, NULL, NULL, &bench_fops);
	return 0;
}

static void __exit bench_exit(void)
{
	debugfs_remove(file);
	shards_free();
}

module_init(bench_init);
module_exit(bench_exit);
MODULE_DESCRIPTION("Speed of weft's erasure coder");
MODULE_LICENSE("GPL");
