/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cluster.h - voters in virtual time: real driver, real log, simulated disks and network
 *
 * Everything happens in one thread, in an order that a seed decides: a run is repeated exactly by
 * its seed. Each voter has a disk (disk.h), a queue of log requests that is worked on in the
 * background, and a state machine. What is checked all the time:
 *  - an index, once applied anywhere, has one content for ever, on every voter, after every crash;
 *  - what a leader calls committed is durable in the logs of a majority; what a voter acknowledges,
 *    in its own; and it speaks of no term, and gives no vote, that is not;
 *  - what was acknowledged is applied;
 *  - a term has at most one leader;
 *  - states are equal at equal applied index;
 *  - no client is answered what only a broken one could be;
 *  - a log opens after every power cut.
 */
#ifndef WEFT_SIM_CLUSTER_H
#define WEFT_SIM_CLUSTER_H

#include "disk.h"

struct sim_cluster;

/* A state machine; one object a voter. state: whatever open returned. */
struct sim_machine_ops {
	const char *name;
	/* On a fresh or surviving medium. Sets the applied index and term found on it. */
	void *(*open)(void *medium, uint64_t *applied, uint64_t *term);
	/* False: the power went in the middle of it. */
	bool (*apply)(void *state, const struct rnode_entry *entries, unsigned int n);
	/* Makes everything applied durable. False as above. */
	bool (*sync)(void *state);
	/* A number that is equal for equal states. */
	uint64_t (*hash)(void *state);
	/*
	 * Puts a durable copy of another voter's state, as it was at index, beside the own one;
	 * false: cannot. This and the next are NULL where a state cannot be copied: for a voter
	 * alone.
	 */
	bool (*copy)(void *state, void *from_medium, uint64_t index, uint64_t term);
	/* That copy, if it is of index, is the state from now on. */
	void (*adopt)(void *state, uint64_t index);
	/* The process ends. power: and what was not synced is lost or not, by seed. */
	void (*crash)(void *state, void *medium, bool power, uint64_t *random);
	void *(*medium_alloc)(uint64_t seed);
	void (*medium_free)(void *medium);
	/*
	 * Writes a command for the random number into bytes (at most 512), returns its length.
	 * bugs: those of the plan.
	 */
	size_t (*command)(uint64_t random, unsigned int bugs, uint8_t *bytes);
	/* An answer that no client may ever get, NULL: there was none. May be NULL itself. */
	const char *(*complaint)(void *state);
};

struct sim_plan {
	uint64_t seed;
	unsigned int voters;
	uint64_t virtual_ms;		/* length of the run before everything is healed */
	const struct sim_machine_ops *machine;
	unsigned int bugs;		/* RDRV_BUG_*; SIM_BUG_* */
	bool orphans;			/* mostly leaders whose last entries are forgotten while a follower writes them */
	bool verbose;
};

/* The state machine says "durable" of what it applied, before it synced. */
#define SIM_BUG_CHECKPOINT_UNSYNCED 0x100
/* The client gives a slot's number to a second request. */
#define SIM_BUG_REUSE_NUMBER	    0x200

struct sim_result {
	bool failed;
	char what[512];
	uint64_t applied;
	uint64_t acknowledged;
	uint64_t crashes;
	uint64_t power_cuts;
	uint64_t elections;
	uint64_t installs;
	uint64_t trims;
};

void sim_cluster_run(const struct sim_plan *plan, struct sim_result *result);

/* A state machine that sums its commands; keeps everything in memory, durable only when synced. */
extern const struct sim_machine_ops sim_model_machine;

/* The metadata state machine on LMDB, its file on a disk of its own that loses power, too. */
extern const struct sim_machine_ops sim_meta_machine;

#endif /* WEFT_SIM_CLUSTER_H */
