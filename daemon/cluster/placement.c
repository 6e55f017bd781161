// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * placement.c - choosing the stores of a group; see placement.h
 *
 * Invariant: a choice never holds a store twice and never one that is down or avoided. Caps are counted per domain over the
 * stores chosen so far; a domain that is not known (0) counts for itself alone.
 */
#include "cluster/placement.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WEIGHT_LOAD        0.3
#define WEIGHT_RELIABILITY 0.4
#define WEIGHT_LATENCY     0.2
#define WEIGHT_CAPACITY    0.1

enum domain { DISK, HOST, RACK, DATACENTER, REGION, N_DOMAINS };

struct candidate {
	const struct placement_store *store;
	double share;  /* slots held against slots due: below 1 is under its share */
	double score;
	uint64_t tie;
	bool taken;
};

struct caps {
	unsigned int at_most[N_DOMAINS];
};

static double clamp(double x)
{
	return x < 0 ? 0 : x > 1 ? 1 : x;
}

double placement_score(const struct placement_store *store, uint32_t max_load, uint32_t max_latency_us)
{
	double load = max_load ? 1 - (double)store->open_load / max_load : 1;
	double reliability = 0.5 * clamp(store->uptime) + 0.3 * (1 - clamp(store->error_rate)) +
			     0.2 * (1 - clamp(store->maintenance));
	double latency = max_latency_us ? 1 - (double)store->latency_us / max_latency_us : 1;
	double capacity = store->capacity ? (double)store->free / (double)store->capacity : 0;

	return WEIGHT_LOAD * clamp(load) + WEIGHT_RELIABILITY * reliability + WEIGHT_LATENCY * clamp(latency) +
	       WEIGHT_CAPACITY * clamp(capacity);
}

/* splitmix64: an even mix of seed and store for ties. */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static bool listed(const uint32_t *list, size_t n, uint32_t store)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == store)
			return true;
	return false;
}

/*
 * Emptier against their share first; then better; then by lot. Shares within a twentieth are equal: a pool is balanced by
 * many choices, not by one.
 */
static int compare(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	double sx = (double)(int64_t)(x->share * 20), sy = (double)(int64_t)(y->share * 20);

	if (sx != sy)
		return sx < sy ? -1 : 1;
	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return x->tie < y->tie ? -1 : x->tie > y->tie;
}

static size_t rank(const struct placement_store *stores, size_t n, const uint32_t *avoid, size_t n_avoid, uint64_t seed,
		   struct candidate *candidates)
{
	uint32_t max_load = 0, max_latency = 0;
	double capacity = 0, slots = 0;
	size_t count = 0;

	for (size_t i = 0; i < n; i++) {
		const struct placement_store *s = &stores[i];

		if (!s->up || !s->free || listed(avoid, n_avoid, s->store))
			continue;
		candidates[count++] = (struct candidate){ .store = s, .tie = mix(seed ^ mix(s->store)) };
		max_load = s->open_load > max_load ? s->open_load : max_load;
		max_latency = s->latency_us > max_latency ? s->latency_us : max_latency;
		capacity += (double)s->capacity;
		slots += s->slots;
	}
	for (size_t i = 0; i < count; i++) {
		struct candidate *c = &candidates[i];
		double due = capacity > 0 ? (slots + 1) * (double)c->store->capacity / capacity : 0;

		c->share = due > 0 ? c->store->slots / due : c->store->slots;
		c->score = placement_score(c->store, max_load, max_latency);
	}
	qsort(candidates, count, sizeof(*candidates), compare);
	return count;
}

static bool same_domain(const struct placement_store *a, const struct placement_store *b, enum domain domain)
{
	switch (domain) {
	case DISK:
		return a->host == b->host && a->disk == b->disk;
	case HOST:
		return a->host == b->host;
	case RACK:
		return a->rack && a->rack == b->rack;
	case DATACENTER:
		return a->datacenter && a->datacenter == b->datacenter;
	case REGION:
		return a->region && a->region == b->region;
	default:
		return false;
	}
}

static unsigned int count_domain(const struct placement_store *const *chosen, size_t n, const struct placement_store *s,
				 enum domain domain)
{
	unsigned int count = 0;

	for (size_t i = 0; i < n; i++)
		count += same_domain(chosen[i], s, domain);
	return count;
}

static size_t pick(struct candidate *candidates, size_t count, unsigned int want, const struct caps *caps,
		   const struct placement_store **chosen)
{
	size_t found = 0;

	for (size_t i = 0; i < count && found < want; i++) {
		const struct placement_store *s = candidates[i].store;
		bool fits = true;

		for (enum domain d = DISK; d < N_DOMAINS && fits; d++)
			fits = count_domain(chosen, found, s, d) < caps->at_most[d];
		if (fits)
			chosen[found++] = s;
	}
	return found;
}

/* The most shards that one domain holds. */
static unsigned int worst(const struct placement_store *const *chosen, size_t n, enum domain domain)
{
	unsigned int most = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned int count = count_domain(chosen, n, chosen[i], domain);

		most = count > most ? count : most;
	}
	return most;
}

static void describe(const struct placement_store *const *chosen, size_t n, unsigned int m, struct placement_report *report)
{
	report->same_disk = worst(chosen, n, DISK) > 1;
	report->same_host = worst(chosen, n, HOST) > 1;
	report->survives_host = m && worst(chosen, n, HOST) <= m;
	report->survives_rack = m && worst(chosen, n, RACK) <= m;
	report->survives_datacenter = m && worst(chosen, n, DATACENTER) <= m;
	report->survives_region = m && worst(chosen, n, REGION) <= m;
}

/*
 * From what is wanted to what there may be: 1 a disk and a host and at most m a rack, datacenter and region (copies: one a
 * rack, two a datacenter); then the widest domain gives way first.
 */
static void set_caps(struct caps *caps, unsigned int k, unsigned int m, unsigned int step)
{
	unsigned int spread = m ? m : 1, none = PLACEMENT_MAX;

	caps->at_most[DISK] = step >= 6 ? none : 1;
	caps->at_most[HOST] = step >= 5 ? none : step >= 4 ? spread : 1;
	caps->at_most[RACK] = step >= 3 ? none : k == 1 && !step ? 1 : spread;
	caps->at_most[DATACENTER] = step >= 2 ? none : k == 1 && !step ? 2 : spread;
	caps->at_most[REGION] = step >= 1 ? none : spread;
}

#define STEPS        7
#define STEPS_STRICT 4 /* up to this one, a host and a disk hold one shard */

int placement_choose(const struct placement_store *stores, size_t n, unsigned int k, unsigned int m, bool strict,
		     const uint32_t *avoid, size_t n_avoid, uint64_t seed, uint32_t out[PLACEMENT_MAX],
		     struct placement_report *report)
{
	const struct placement_store *chosen[PLACEMENT_MAX];
	struct candidate *candidates;
	size_t count, found = 0;
	struct caps caps;

	memset(report, 0, sizeof(*report));
	if (!k || k + m > PLACEMENT_MAX)
		return -EINVAL;
	candidates = calloc(n ? n : 1, sizeof(*candidates));
	if (!candidates)
		return -ENOMEM;
	count = rank(stores, n, avoid, n_avoid, seed, candidates);
	for (unsigned int step = 0; step < (strict ? STEPS_STRICT : STEPS) && found < k + m; step++) {
		set_caps(&caps, k, m, step);
		found = pick(candidates, count, k + m, &caps, chosen);
	}
	free(candidates);
	report->found = (unsigned int)found;
	if (found < k + m) {
		snprintf(report->text, sizeof(report->text),
			 "%u+%u needs %u stores%s, and only %zu are up with free space%s", k, m, k + m,
			 strict ? " on hosts of their own" : "", found, n_avoid ? " and reachable" : "");
		return -ENOSPC;
	}
	describe(chosen, found, m, report);
	for (size_t i = 0; i < found; i++)
		out[i] = chosen[i]->store;
	/* The order of the slots goes by lot, so that parity does not always fall on the same stores. */
	for (size_t i = found - 1; i > 0; i--) {
		size_t j = (size_t)(mix(seed + i) % (i + 1));
		uint32_t swap = out[i];

		out[i] = out[j];
		out[j] = swap;
	}
	return 0;
}
