// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * program.c - many runs of one plan, one line of TAP (program.h)
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "program.h"

static unsigned int tests;
static unsigned int failures;

static bool report(bool ok, const char *name)
{
	tests++;
	failures += !ok;
	printf("%sok %u - %s\n", ok ? "" : "not ", tests, name);
	fflush(stdout);
	return ok;
}

static uint64_t number_of(const char *variable, uint64_t otherwise)
{
	const char *text = getenv(variable);

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

static void add(struct sim_result *sum, const struct sim_result *r)
{
	sum->applied += r->applied;
	sum->acknowledged += r->acknowledged;
	sum->crashes += r->crashes;
	sum->power_cuts += r->power_cuts;
	sum->elections += r->elections;
	sum->installs += r->installs;
	sum->trims += r->trims;
}

/* The seed of the first run that fails, 0 if none. */
static uint64_t run_many(struct sim_plan *plan, uint64_t runs, struct sim_result *sum,
			 struct sim_result *last)
{
	uint64_t seed = number_of("SEED", 0);
	uint64_t first = seed ? seed : 1;

	plan->verbose = seed != 0;
	*sum = (struct sim_result){ 0 };
	for (plan->seed = first; plan->seed < first + (seed ? 1 : runs); plan->seed++) {
		sim_cluster_run(plan, last);
		add(sum, last);
		if (last->failed)
			return plan->seed;
	}
	return 0;
}

bool program_expect_sound(const char *name, struct sim_plan plan, unsigned int runs)
{
	struct sim_result sum, last;
	uint64_t seed = run_many(&plan, runs * number_of("SOAK", 1), &sum, &last);

	printf("# %s: %" PRIu64 " applied, %" PRIu64 " acknowledged, %" PRIu64 " crashes (%" PRIu64
	       " power cuts), %" PRIu64 " elections, %" PRIu64 " copies, %" PRIu64 " trims\n",
	       name, sum.applied, sum.acknowledged, sum.crashes, sum.power_cuts, sum.elections,
	       sum.installs, sum.trims);
	if (seed)
		printf("# SEED=%" PRIu64 ": %s\n", seed, last.what);
	return report(!seed, name);
}

bool program_expect_found(const char *name, struct sim_plan plan, unsigned int runs)
{
	struct sim_result sum, last;
	uint64_t seed = run_many(&plan, runs, &sum, &last);

	if (seed)
		printf("# found with seed %" PRIu64 ": %s\n", seed, last.what);
	else
		printf("# %u runs did not find it\n", runs);
	return report(seed, name);
}

int program_end(void)
{
	printf("1..%u\n", tests);
	return failures != 0;
}
