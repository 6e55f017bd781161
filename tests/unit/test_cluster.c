// SPDX-License-Identifier: GPL-2.0-or-later
/* Placement and failure detection: pure decisions, in virtual time. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/detector.h"
#include "cluster/placement.h"

#define MS 1000000ull
#define S  1000000000ull
#define TIB (1ull << 40)

static struct placement_store make_store(uint32_t number, uint32_t host, uint32_t rack, uint32_t datacenter)
{
	return (struct placement_store){
		.store = number, .host = host, .disk = number, .rack = rack, .datacenter = datacenter, .region = 1,
		.capacity = TIB, .free = TIB, .uptime = 1, .latency_us = 100, .up = true,
	};
}

static unsigned int shards_in(const struct placement_store *stores, size_t n, const uint32_t *out, size_t chosen,
			      size_t field)
{
	unsigned int most = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned int count = 0;

		for (size_t j = 0; j < n; j++)
			for (size_t s = 0; s < chosen; s++)
				count += out[s] == stores[j].store &&
					 *(const uint32_t *)((const char *)&stores[j] + field) ==
						 *(const uint32_t *)((const char *)&stores[i] + field);
		most = count > most ? count : most;
	}
	return most;
}

static void nine_hosts_in_three_datacenters_hold_three_each(void **state)
{
	struct placement_store stores[9];
	struct placement_report report;
	uint32_t out[PLACEMENT_MAX];

	(void)state;
	for (uint32_t i = 0; i < 9; i++)
		stores[i] = make_store(i + 1, i + 1, i % 6 + 1, i % 3 + 1);
	assert_int_equal(placement_choose(stores, 9, 6, 3, false, NULL, 0, 1, out, &report), 0);
	assert_int_equal(shards_in(stores, 9, out, 9, offsetof(struct placement_store, host)), 1);
	assert_int_equal(shards_in(stores, 9, out, 9, offsetof(struct placement_store, datacenter)), 3);
	assert_true(report.survives_host && report.survives_rack && report.survives_datacenter);
	assert_false(report.survives_region);
}

static void copies_go_to_a_rack_each_and_two_to_a_datacenter(void **state)
{
	struct placement_store stores[24];
	struct placement_report report;
	uint32_t out[PLACEMENT_MAX];

	(void)state;
	for (uint32_t i = 0; i < 24; i++) {
		stores[i] = make_store(i + 1, i + 1, i / 2 + 1, i / 8 + 1);
		stores[i].region = i / 12 + 1;
	}
	for (uint64_t seed = 0; seed < 50; seed++) {
		assert_int_equal(placement_choose(stores, 24, 1, 2, false, NULL, 0, seed, out, &report), 0);
		assert_int_equal(shards_in(stores, 24, out, 3, offsetof(struct placement_store, rack)), 1);
		assert_true(shards_in(stores, 24, out, 3, offsetof(struct placement_store, datacenter)) <= 2);
		assert_true(shards_in(stores, 24, out, 3, offsetof(struct placement_store, region)) <= 2);
	}
}

static void stores_that_are_down_full_or_avoided_are_not_taken(void **state)
{
	struct placement_store stores[9];
	struct placement_report report;
	uint32_t out[PLACEMENT_MAX], avoid[] = { 3 };

	(void)state;
	for (uint32_t i = 0; i < 9; i++)
		stores[i] = make_store(i + 1, i + 1, 0, 0);
	stores[0].up = false;
	stores[1].free = 0;
	assert_int_equal(placement_choose(stores, 9, 3, 3, false, avoid, 1, 1, out, &report), 0);
	for (int i = 0; i < 6; i++)
		assert_true(out[i] > 3);
	assert_int_equal(placement_choose(stores, 9, 4, 3, false, avoid, 1, 1, out, &report), -ENOSPC);
	assert_int_equal(report.found, 6);
	assert_string_equal(report.text, "4+3 needs 7 stores, and only 6 are up with free space and reachable");
}

static void one_host_with_many_disks_is_used_unless_strict(void **state)
{
	struct placement_store stores[4];
	struct placement_report report;
	uint32_t out[PLACEMENT_MAX];

	(void)state;
	for (uint32_t i = 0; i < 4; i++)
		stores[i] = make_store(i + 1, 1, 0, 0);
	assert_int_equal(placement_choose(stores, 4, 2, 2, true, NULL, 0, 1, out, &report), -ENOSPC);
	assert_int_equal(placement_choose(stores, 4, 2, 2, false, NULL, 0, 1, out, &report), 0);
	assert_true(report.same_host);
	assert_false(report.same_disk);
	assert_false(report.survives_host);
}

static void slots_follow_capacity(void **state)
{
	struct placement_store stores[12];
	struct placement_report report;
	uint32_t out[PLACEMENT_MAX];

	(void)state;
	for (uint32_t i = 0; i < 12; i++) {
		stores[i] = make_store(i + 1, i + 1, 0, 0);
		stores[i].capacity = stores[i].free = i < 6 ? TIB : 2 * TIB;
	}
	for (uint64_t seed = 0; seed < 300; seed++) {
		assert_int_equal(placement_choose(stores, 12, 2, 1, false, NULL, 0, seed, out, &report), 0);
		for (int i = 0; i < 3; i++)
			stores[out[i] - 1].slots++;
	}
	/* 900 slots: 50 a small store, 100 a large one. */
	for (uint32_t i = 0; i < 12; i++)
		assert_in_range(stores[i].slots, i < 6 ? 46 : 94, i < 6 ? 54 : 106);
}

static void the_score_has_its_weights(void **state)
{
	struct placement_store best = make_store(1, 1, 0, 0), loaded = best, unreliable = best, slow = best, full = best;

	(void)state;
	best.latency_us = 0;
	loaded.latency_us = unreliable.latency_us = full.latency_us = 0;
	loaded.open_load = 10;
	unreliable.uptime = 0;
	slow.latency_us = 500;
	full.free = 0;
	assert_float_equal(placement_score(&best, 10, 500), 1.0, 1e-9);
	assert_float_equal(placement_score(&loaded, 10, 500), 0.7, 1e-9);
	assert_float_equal(placement_score(&unreliable, 10, 500), 0.8, 1e-9);
	assert_float_equal(placement_score(&slow, 10, 500), 0.8, 1e-9);
	assert_float_equal(placement_score(&full, 10, 500), 0.9, 1e-9);
}

struct changes {
	unsigned int n;
	struct detector_change last;
};

static void note(void *ctx, const struct detector_change *change)
{
	struct changes *changes = ctx;

	changes->n++;
	changes->last = *change;
}

static const struct detector_config config = { .heartbeat_ns = S, .suspect_ns = 2500 * MS, .down_ns = 4500 * MS };

static void silence_makes_suspect_then_down(void **state)
{
	struct detector *detector = detector_new(&config);
	struct changes changes = { 0 };
	struct detector_change change;
	uint64_t now = 10 * S;

	(void)state;
	detector_add(detector, 7, now);
	assert_int_equal(detector_state(detector, 7), DETECTOR_DOWN);
	assert_true(detector_beat(detector, 7, now, &change));
	assert_int_equal(change.to, DETECTOR_UP);
	for (; now < 12 * S + 400 * MS; now += 100 * MS)
		detector_tick(detector, now, note, &changes);
	assert_int_equal(changes.n, 0);
	for (; now <= 14 * S + 600 * MS; now += 100 * MS)
		detector_tick(detector, now, note, &changes);
	assert_int_equal(changes.n, 2);
	assert_int_equal(changes.last.from, DETECTOR_SUSPECT);
	assert_int_equal(changes.last.to, DETECTOR_DOWN);
	assert_float_equal(detector_uptime(detector, 7, now), 4.5 / (4.7), 0.02);
	detector_free(detector);
}

static void a_pause_of_the_detector_takes_nobody_down(void **state)
{
	struct detector *detector = detector_new(&config);
	struct changes changes = { 0 };
	struct detector_change change;

	(void)state;
	detector_add(detector, 1, S);
	detector_beat(detector, 1, S, &change);
	detector_tick(detector, S + 500 * MS, note, &changes);
	detector_tick(detector, 60 * S, note, &changes); /* suspended for a minute */
	assert_int_equal(changes.n, 0);
	for (uint64_t now = 60 * S; now < 65 * S; now += 500 * MS)
		detector_tick(detector, now, note, &changes);
	assert_int_equal(changes.n, 2);
	detector_free(detector);
}

static void a_host_that_flaps_has_to_wait(void **state)
{
	struct detector *detector = detector_new(&config);
	struct changes changes = { 0 };
	struct detector_change change;
	uint64_t now = S, waited[5];

	(void)state;
	detector_add(detector, 1, now);
	detector_beat(detector, 1, now, &change);
	for (int flap = 0; flap < 5; flap++) {
		uint64_t back;

		for (uint64_t end = now + 6 * S; now < end; now += 500 * MS)
			detector_tick(detector, now, note, &changes);
		assert_int_equal(detector_state(detector, 1), DETECTOR_DOWN);
		back = now;
		while (!detector_beat(detector, 1, now, &change)) {
			now += 500 * MS;
			detector_tick(detector, now, note, &changes);
		}
		waited[flap] = now - back;
	}
	for (int flap = 1; flap < 5; flap++)
		assert_true(waited[flap] >= 2 * waited[flap - 1] - S);
	assert_true(waited[4] >= 8 * S);
	detector_free(detector);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nine_hosts_in_three_datacenters_hold_three_each),
		cmocka_unit_test(copies_go_to_a_rack_each_and_two_to_a_datacenter),
		cmocka_unit_test(stores_that_are_down_full_or_avoided_are_not_taken),
		cmocka_unit_test(one_host_with_many_disks_is_used_unless_strict),
		cmocka_unit_test(slots_follow_capacity),
		cmocka_unit_test(the_score_has_its_weights),
		cmocka_unit_test(silence_makes_suspect_then_down),
		cmocka_unit_test(a_pause_of_the_detector_takes_nobody_down),
		cmocka_unit_test(a_host_that_flaps_has_to_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
