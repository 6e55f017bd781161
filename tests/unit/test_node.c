// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_node.c - a voter as a state machine uses it: a poll loop, an apply thread, a real directory
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "raft/raft.h"

#define ENTRIES 5000

/* A state machine: sums what it gets and notes the order. */
struct machine {
	struct rnode *node;
	struct rnode_config config;
	char directory[64];
	pthread_t thread;
	pthread_mutex_t lock;
	uint64_t applied;
	uint64_t applied_term;
	uint64_t sum;
	uint64_t commands;
	uint64_t with_ctx;
	uint64_t ready_at; /* index of the leader's first own entry */
	bool in_order;
	bool checkpoints;
	/* loop thread */
	enum rnode_role role;
	unsigned int lost;
	char why[RNODE_WHY_MAX];
};

static void on_role(void *owner, enum rnode_role role, uint64_t term, uint64_t leader,
		    const char *address)
{
	((struct machine *)owner)->role = role;
}

static void on_lost(void *owner, void *ctx)
{
	((struct machine *)owner)->lost++;
}

static void on_fatal(void *owner, const char *why)
{
	snprintf(((struct machine *)owner)->why, RNODE_WHY_MAX, "%s", why);
}

static const struct rnode_ops ops = { .role = on_role, .lost = on_lost, .fatal = on_fatal };

static void apply_one(struct machine *m, const struct rnode_entry *e)
{
	if (e->index != m->applied + 1)
		m->in_order = false;
	m->applied = e->index;
	m->applied_term = e->term;
	if (e->leader)
		m->ready_at = e->index;
	if (e->type != RNODE_COMMAND)
		return;
	m->commands++;
	m->with_ctx += e->ctx != NULL;
	for (uint32_t i = 0; i < e->len; i++)
		m->sum = m->sum * 31 + ((const uint8_t *)e->bytes)[i];
}

static void *apply_main(void *arg)
{
	struct machine *m = arg;
	struct rnode_entry entries[64];
	unsigned int n;

	while ((n = rnode_fetch(m->node, entries, 64))) {
		pthread_mutex_lock(&m->lock);
		for (unsigned int i = 0; i < n; i++)
			apply_one(m, &entries[i]);
		pthread_mutex_unlock(&m->lock);
		rnode_release(m->node, entries[n - 1].index);
		if (m->checkpoints)
			rnode_checkpoint(m->node, entries[n - 1].index, entries[n - 1].term);
	}
	return NULL;
}

static void remove_directory(const char *path)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", path);
	assert_int_equal(system(command), 0);
}

static void machine_init(struct machine *m)
{
	const char *base = access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";

	*m = (struct machine){ .in_order = true };
	pthread_mutex_init(&m->lock, NULL);
	snprintf(m->directory, sizeof(m->directory), "%s/weft-node-XXXXXX", base);
	assert_non_null(mkdtemp(m->directory));
	m->config = (struct rnode_config){
		.directory = m->directory,
		.server = 7,
		.cluster = "0123456789abcde",
		.address = "10.0.0.1:7000",
		.seed = 1,
		.segment_bytes = 4u << 20,
		.ops = &ops,
		.owner = m,
	};
	assert_int_equal(rnode_format(&m->config, m->why), 0);
}

static void machine_start(struct machine *m)
{
	m->config.applied = m->applied;
	m->config.applied_term = m->applied_term;
	assert_int_equal(rnode_start(&m->config, &m->node, m->why), 0);
	assert_int_equal(pthread_create(&m->thread, NULL, apply_main, m), 0);
}

static void machine_stop(struct machine *m)
{
	rnode_wake(m->node);
	pthread_join(m->thread, NULL);
	rnode_stop(m->node);
	m->node = NULL;
}

static void turn(struct machine *m)
{
	struct pollfd pollfd = { .fd = rnode_fd(m->node), .events = POLLIN };

	poll(&pollfd, 1, rnode_timeout(m->node));
	rnode_dispatch(m->node);
}

static uint64_t commands(struct machine *m)
{
	uint64_t n;

	pthread_mutex_lock(&m->lock);
	n = m->commands;
	pthread_mutex_unlock(&m->lock);
	return n;
}

static void until_ready(struct machine *m)
{
	while (rnode_may_read(m->node))
		turn(m);
}

/* Submits n entries, a few in each turn, and waits until they are applied. */
static void submit_many(struct machine *m, unsigned int n)
{
	uint64_t goal = commands(m) + n;
	char bytes[256];

	for (unsigned int i = 0; i < n;) {
		int ret;

		memset(bytes, 'a' + (int)(i % 26), sizeof(bytes));
		ret = rnode_submit(m->node, bytes, 1 + i % sizeof(bytes), m);
		assert_true(ret == 0 || ret == -EAGAIN);
		i += ret == 0;
		if (ret || i % 50 == 0)
			turn(m);
	}
	while (commands(m) < goal)
		turn(m);
}

static void a_voter_alone_elects_itself_and_applies_in_order(void **state)
{
	struct machine m;

	machine_init(&m);
	machine_start(&m);
	until_ready(&m);
	assert_int_equal(m.role, RNODE_LEADER);
	submit_many(&m, ENTRIES);
	machine_stop(&m);
	assert_true(m.in_order);
	assert_int_equal(m.commands, ENTRIES);
	assert_int_equal(m.with_ctx, ENTRIES);
	assert_int_equal(m.lost, 0);
	assert_true(m.ready_at > 0);
	assert_string_equal(m.why, "");
	remove_directory(m.directory);
}

static void a_restart_replays_what_the_state_lacks(void **state)
{
	struct machine m;
	uint64_t sum;

	machine_init(&m);
	machine_start(&m);
	until_ready(&m);
	submit_many(&m, ENTRIES);
	machine_stop(&m);
	sum = m.sum;

	m.applied = m.applied_term = m.sum = m.commands = m.with_ctx = 0;
	machine_start(&m);
	until_ready(&m);
	machine_stop(&m);
	assert_true(m.in_order);
	assert_int_equal(m.commands, ENTRIES);
	assert_int_equal(m.with_ctx, 0);
	assert_int_equal(m.sum, sum);
	remove_directory(m.directory);
}

static void a_checkpoint_frees_the_log(void **state)
{
	struct machine m;
	struct rnode_status status;

	machine_init(&m);
	m.checkpoints = true;
	m.config.keep_bytes = 8u << 20;
	machine_start(&m);
	until_ready(&m);
	/* Each batch takes a block at least: enough to fill several segments. */
	submit_many(&m, 10 * ENTRIES);
	rnode_status(m.node, &status);
	machine_stop(&m);
	assert_true(status.checkpoint_index > 0);
	assert_true(status.log_bytes <= 4 * m.config.segment_bytes);

	/* The state machine may not be older than the log's beginning. */
	m.config.applied = 1;
	m.config.applied_term = 0;
	assert_int_equal(rnode_start(&m.config, &m.node, m.why), -EUCLEAN);
	assert_non_null(strstr(m.why, "old copy"));
	machine_start(&m);
	until_ready(&m);
	machine_stop(&m);
	assert_true(m.in_order);
	remove_directory(m.directory);
}

static void a_full_queue_refuses_and_takes_again(void **state)
{
	struct machine m;
	char bytes[1024] = "x";
	unsigned int taken = 0;

	machine_init(&m);
	m.config.queue_entries = 100;
	machine_start(&m);
	until_ready(&m);
	/* Nothing of it can be released before the loop turns. */
	while (rnode_submit(m.node, bytes, sizeof(bytes), &m) == 0)
		taken++;
	assert_in_range(taken, 90, 100);
	assert_int_equal(rnode_submit(m.node, bytes, sizeof(bytes), &m), -EAGAIN);
	assert_int_equal(rnode_submit(m.node, bytes, RNODE_ENTRY_MAX + 1, &m), -EMSGSIZE);
	while (commands(&m) < taken)
		turn(&m);
	submit_many(&m, 1000);
	machine_stop(&m);
	remove_directory(m.directory);
}

static void a_directory_of_somebody_else_is_refused(void **state)
{
	struct machine m;

	machine_init(&m);
	assert_int_equal(rnode_format(&m.config, m.why), -EEXIST);
	m.config.server = 8;
	assert_int_equal(rnode_start(&m.config, &m.node, m.why), -EXDEV);
	m.config.server = 7;
	m.config.cluster[0] ^= 1;
	assert_int_equal(rnode_start(&m.config, &m.node, m.why), -EXDEV);
	assert_non_null(strstr(m.why, "another cluster"));
	m.config.cluster[0] ^= 1;
	m.config.applied = 1000;
	assert_int_equal(rnode_start(&m.config, &m.node, m.why), -EUCLEAN);
	machine_start(&m);
	until_ready(&m);
	machine_stop(&m);
	remove_directory(m.directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_voter_alone_elects_itself_and_applies_in_order),
		cmocka_unit_test(a_restart_replays_what_the_state_lacks),
		cmocka_unit_test(a_checkpoint_frees_the_log),
		cmocka_unit_test(a_full_queue_refuses_and_takes_again),
		cmocka_unit_test(a_directory_of_somebody_else_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
