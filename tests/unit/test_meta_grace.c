// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_meta_grace.c - the grace time of condemned chunks, whatever the clock on the wall does
 *
 * A leader lives through virtual time and ticks each quarter of a second; a chunk is condemned now
 * and then by an entry whose time is max(wall clock, last + 1 ns), as apply has it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "meta/service.h"

#define SECOND	1000000000ull
#define GRACE	(600 * SECOND)
#define TICK	(SECOND / 4)
#define EVERY	40u	/* ticks between two condemnations */
#define CHUNKS	1000u

struct world {
	struct meta_grace grace;
	u64 now;		/* monotonic */
	s64 wall_ahead;		/* of the wall clock, beside monotonic */
	u64 time_ns;		/* of the last entry */
	struct {
		u64 entry;	/* its time */
		u64 condemned;	/* monotonic */
		u64 over;	/* when its grace time was; 0: not yet */
	} chunks[CHUNKS];
	unsigned int n;
};

static void entry(struct world *w)
{
	u64 wall = (u64)((s64)(w->now + 1700000000ull * SECOND) + w->wall_ahead);

	w->time_ns = wall > w->time_ns ? wall : w->time_ns + 1;
}

static void tick(struct world *w)
{
	u64 until;

	w->now += TICK;
	meta_grace_note(&w->grace, w->now, w->time_ns, GRACE);
	if (!meta_grace_over(&w->grace, w->now, GRACE, &until))
		return;
	for (unsigned int i = 0; i < w->n; i++)
		if (!w->chunks[i].over && w->chunks[i].entry <= until)
			w->chunks[i].over = w->now;
}

static void live(struct world *w, u64 seconds)
{
	for (u64 i = 0; i < seconds * SECOND / TICK; i++) {
		if (i % EVERY == 0 && w->n < CHUNKS) {
			entry(w);
			w->chunks[w->n].entry = w->time_ns;
			w->chunks[w->n++].condemned = w->now;
		}
		tick(w);
	}
}

/* Each waited for its whole grace time, and not much longer. */
static void check(const struct world *w, u64 at_most)
{
	for (unsigned int i = 0; i < w->n; i++) {
		u64 end = w->chunks[i].over ? w->chunks[i].over : w->now;

		if (w->chunks[i].over)
			assert_true(end - w->chunks[i].condemned >= GRACE);
		assert_true(end - w->chunks[i].condemned <= at_most);
	}
}

static void begin(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->now = 5 * SECOND;
	meta_grace_reset(&w->grace);
}

static void a_steady_clock(void **state)
{
	static struct world w;

	begin(&w);
	live(&w, 3000);
	check(&w, GRACE + GRACE / 8 + 2 * TICK);
	assert_true(w.chunks[0].over);
}

/* By an hour, ten years; forward, back, and back again. */
static void a_clock_that_jumps(void **state)
{
	static const s64 jumps[] = { 3600, -3600, 315360000, -315360000, -7200, 0, 86400, -1 };
	static struct world w;

	begin(&w);
	for (size_t i = 0; i < ARRAY_SIZE(jumps); i++) {
		live(&w, 250);
		w.wall_ahead += jumps[i] * (s64)SECOND;
	}
	live(&w, 3000);
	check(&w, GRACE + GRACE / 8 + 2 * TICK);
	assert_true(w.chunks[100].over);
}

/* A new leader gives everything its time again, once. */
static void a_new_leader(void **state)
{
	static struct world w;

	begin(&w);
	live(&w, 400);
	meta_grace_reset(&w.grace);
	live(&w, 2000);
	check(&w, 400 * SECOND + GRACE + GRACE / 8 + 2 * TICK);
	assert_true(w.chunks[0].over >= (405 + 600) * SECOND);
}

static void no_grace_at_all(void **state)
{
	struct meta_grace grace;
	u64 until = 0;

	meta_grace_reset(&grace);
	for (u64 now = SECOND; now < 100 * SECOND; now += TICK) {
		meta_grace_note(&grace, now, now + 7, 0);
		assert_true(meta_grace_over(&grace, now, 0, &until));
		assert_int_equal(until, now + 7);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_steady_clock),
		cmocka_unit_test(a_clock_that_jumps),
		cmocka_unit_test(a_new_leader),
		cmocka_unit_test(no_grace_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
