/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * placement.h - which stores make up a group
 *
 * Pure: a choice is a function of its arguments. Stores are filtered (up, not to be avoided, room), those below their share
 * of slots come first (a store's slots are proportional to its capacity), the score decides among equals, and the caps of
 * the failure domains decide who may join whom. Without strict the caps give way one by one, widest domain first, until
 * k + m stores are found: too small a cluster gets the best spread that there is, and the report says what it lacks.
 *
 * Cost: O(n log n + n * (k + m)) for n stores, at most once for each relaxation (6).
 */
#ifndef WEFT_CLUSTER_PLACEMENT_H
#define WEFT_CLUSTER_PLACEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLACEMENT_MAX 32 /* k + m at most */

/* A store as the choice sees it. Domains are numbers that are equal for equal domains; 0: not known, different from all. */
struct placement_store {
	uint32_t store;       /* number, > 0 */
	uint32_t host;
	uint64_t disk;        /* device, unique together with host */
	uint32_t rack, datacenter, region;
	uint64_t capacity;    /* bytes */
	uint64_t free;        /* bytes that may still be filled */
	double uptime;        /* 0 .. 1 of the time observed */
	double error_rate;    /* 0 .. 1 of the requests */
	double maintenance;   /* 0 .. 1 of the time */
	uint32_t latency_us;  /* of a small request */
	uint32_t slots;       /* in all groups */
	uint32_t open_load;   /* slots in open groups */
	bool up;
};

/* What a choice does not keep: the widest domain whose loss takes no more than m shards, and what had to give way. */
struct placement_report {
	bool same_disk, same_host;     /* two shards share a disk, a host */
	bool survives_host, survives_rack, survives_datacenter, survives_region;
	unsigned int found;            /* stores that could be had when the choice failed */
	char text[200];                /* a sentence when it failed */
};

/*
 * Choose k + m stores, the group's slots in order: out[]. avoid: stores that must not be taken. seed: breaks ties, so that
 * repeated calls spread. strict: the caps of hosts and disks must hold, and no domain of which there are enough takes more
 * than m. 0; -EINVAL: k or m out of range; -ENOSPC: there are not enough stores, report->text says why.
 */
int placement_choose(const struct placement_store *stores, size_t n, unsigned int k, unsigned int m, bool strict,
		     const uint32_t *avoid, size_t n_avoid, uint64_t seed, uint32_t out[PLACEMENT_MAX],
		     struct placement_report *report);

/*
 * 0 .. 1: 0.3 load + 0.4 reliability + 0.2 latency + 0.1 capacity, each 1 at its best. max_load, max_latency_us: the
 * largest among the candidates.
 */
double placement_score(const struct placement_store *store, uint32_t max_load, uint32_t max_latency_us);

#endif
