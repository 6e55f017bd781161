// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The estimator of a host's usual time, and when a request is late.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/latency.h"

static void fed(struct weft_latency *latency, unsigned int n, u32 usec)
{
	for (unsigned int i = 0; i < n; i++)
		weft_latency_add(latency, usec);
}

static void a_host_never_asked_is_given_more_time(void **state)
{
	struct weft_latency latency = {};

	assert_int_equal(weft_latency_usual(&latency), 0);
	assert_int_equal(weft_latency_get_late(&latency, 20000), 160000);
	assert_int_equal(weft_latency_put_late(&latency, 200000), 1600000);
	assert_int_equal(weft_latency_get_late(&latency, UINT32_MAX), WEFT_LATENCY_MAX);
}

static void the_first_sample_is_taken_as_it_is(void **state)
{
	struct weft_latency latency = {};

	weft_latency_add(&latency, 1000);
	assert_int_equal(weft_latency_usual(&latency), 1000);
	/* The deviation starts at half the sample: smoothed + 4 deviations is three times the sample. */
	assert_int_equal(weft_latency_get_late(&latency, 1), 3000);
	assert_int_equal(weft_latency_put_late(&latency, 1), 4000);
}

static void a_steady_host_is_late_soon(void **state)
{
	struct weft_latency latency = {};

	fed(&latency, 100, 5000);
	assert_in_range(weft_latency_usual(&latency), 4990, 5010);
	assert_in_range(weft_latency_get_late(&latency, 1), 4990, 5100);
	assert_int_equal(weft_latency_get_late(&latency, 20000), 20000);
}

static void an_uneven_host_is_late_later(void **state)
{
	struct weft_latency even = {}, uneven = {};

	fed(&even, 100, 5000);
	for (unsigned int i = 0; i < 50; i++) {
		weft_latency_add(&uneven, 1000);
		weft_latency_add(&uneven, 9000);
	}
	assert_in_range(weft_latency_usual(&uneven), 4000, 6000);
	assert_true(weft_latency_get_late(&uneven, 1) > 3 * weft_latency_get_late(&even, 1));
}

static void it_follows_a_change_both_ways(void **state)
{
	struct weft_latency latency = {};

	fed(&latency, 50, 100);
	fed(&latency, 50, 10000);
	assert_in_range(weft_latency_usual(&latency), 9900, 10000);
	fed(&latency, 100, 100);
	assert_in_range(weft_latency_usual(&latency), 99, 120);
}

static void small_differences_are_not_rounded_away(void **state)
{
	struct weft_latency latency = {};

	fed(&latency, 50, 10);
	fed(&latency, 100, 13);
	assert_in_range(weft_latency_usual(&latency), 12, 13);
}

static void one_outlier_counts_as_the_longest_only(void **state)
{
	struct weft_latency latency = {};

	fed(&latency, 50, 1000);
	weft_latency_add(&latency, UINT64_MAX);
	assert_true(weft_latency_usual(&latency) <= 1000 + WEFT_LATENCY_MAX / 8);
	fed(&latency, 100, 1000);
	assert_in_range(weft_latency_usual(&latency), 990, 1100);
}

static void zero_is_a_sample(void **state)
{
	struct weft_latency latency = {};

	fed(&latency, 100, 0);
	assert_int_equal(weft_latency_usual(&latency), 0);
	/* Known to be fast, not unknown. */
	assert_int_equal(weft_latency_get_late(&latency, 20000), 20000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_host_never_asked_is_given_more_time),
		cmocka_unit_test(the_first_sample_is_taken_as_it_is),
		cmocka_unit_test(a_steady_host_is_late_soon),
		cmocka_unit_test(an_uneven_host_is_late_later),
		cmocka_unit_test(it_follows_a_change_both_ways),
		cmocka_unit_test(small_differences_are_not_rounded_away),
		cmocka_unit_test(one_outlier_counts_as_the_longest_only),
		cmocka_unit_test(zero_is_a_sample),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
