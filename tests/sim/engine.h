/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * engine.h - the parts of a simulated cluster among themselves
 *
 *	cluster.c	events, network, clients, faults, the run
 *	voter.c		one voter: driver, log on its disk, state machine, crash and start
 *	oracle.c	what must be true at any time
 */
#ifndef WEFT_SIM_ENGINE_H
#define WEFT_SIM_ENGINE_H

#include "cluster.h"

#define VOTERS_MAX 5

enum event_kind {
	EVENT_TICK,	/* a voter's timer */
	EVENT_DISK,	/* a voter's log thread has finished what it was working on */
	EVENT_VOTE,	/* term and vote, kept apart from the log, are to be written */
	EVENT_LOGGED,	/* and the loop hears of it */
	EVENT_APPLY,	/* the apply thread runs */
	EVENT_MESSAGE,
	EVENT_INSTALL,	/* a copy of another voter's state has arrived */
	EVENT_START,	/* a voter starts */
	EVENT_CLIENT,	/* somebody submits */
	EVENT_FAULT,	/* something breaks or heals */
	EVENT_ORPHAN,	/* a leader whose last entries only one other has seen loses power */
};

struct event {
	uint64_t at;		/* microseconds */
	uint64_t order;
	enum event_kind kind;
	unsigned int voter;
	uint64_t life;		/* of the voter: events of an earlier life are void */
	void *payload;
};

struct voter {
	struct sim_cluster *c;
	unsigned int number;	/* raft id is number + 1 */
	struct sim_disk *disk;
	void *medium;
	bool alive;
	uint64_t life;

	struct rlog *log;
	struct rdrv *driver;
	void *machine;
	bool dead;		/* the driver gave up */
	uint64_t tick_at;	/* of the scheduled EVENT_TICK */

	struct rlog_request *waiting;	/* for the log thread */
	struct rlog_request **waiting_last;
	struct rlog_request *working;
	struct rlog_request *done;
	struct rlog_request **done_last;
	bool busy;

	struct rlog_entry **queue;	/* for the apply thread */
	size_t n_queue;
	size_t cap_queue;
	bool applying;
	uint64_t applied;
	uint64_t applied_term;
	uint64_t seen_commit;

	/*
	 * What its log holds durably: terms by index; below base anything is covered by a
	 * checkpoint.
	 */
	uint64_t *durable;
	size_t n_durable;
	uint64_t durable_base;
	uint64_t durable_last;
	uint64_t durable_term;
	uint64_t durable_vote;

	uint64_t slow_until;		/* its disk is slow */
	uint64_t stalled_until;		/* nothing that it begins ends before */
};

/* What is known of an index. */
struct fact {
	uint64_t term;
	uint64_t state;		/* hash of the state after it, if has_state */
	uint32_t crc;
	bool known;
	bool has_state;
};

struct sim_cluster {
	const struct sim_plan *plan;
	struct sim_result *result;
	uint64_t random;
	uint64_t now;
	uint64_t order;
	struct event *heap;
	size_t n_heap;
	size_t cap_heap;
	struct voter voters[VOTERS_MAX];
	bool cut[VOTERS_MAX][VOTERS_MAX];	/* from, to */
	unsigned int loss;			/* of 1000 messages */
	uint64_t delay_us;
	bool faults;
	bool votes_overtake;	/* VOTE requests do not queue behind others */
	uint64_t submitted;

	struct fact *facts;
	size_t n_facts;
	uint64_t *leaders;	/* by term: raft id */
	size_t n_leaders;
	uint64_t acknowledged;	/* highest index */
};

/* cluster.c */
void sim_fail(struct sim_cluster *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_note(struct sim_cluster *c, const struct voter *v, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void sim_schedule(struct sim_cluster *c, uint64_t after_us, enum event_kind kind, struct voter *v,
		  void *payload);
void sim_send(struct voter *from, const struct raft_message *message);
bool sim_chance(struct sim_cluster *c, unsigned int of_1000);

/* voter.c */
void voter_alloc(struct sim_cluster *c, unsigned int number);
void voter_free(struct voter *v);
void voter_start(struct voter *v);
void voter_crash(struct voter *v, bool power);
/* Handles the event if it is one of a voter's. */
void voter_event(struct voter *v, const struct event *event);
void voter_submit(struct voter *v);

/* oracle.c */
void oracle_applied(struct voter *v, const struct rnode_entry *entry);
void oracle_state(struct voter *v, uint64_t index, uint64_t hash);
void oracle_leader(struct voter *v, uint64_t term);
void oracle_committed(struct voter *v);
void oracle_sent(struct voter *v, const struct raft_message *message);
void oracle_appended(struct voter *v, const struct rlog_request *request);
void oracle_recovered(struct voter *v, const struct rlog_recovered *recovered);
/* At the end, everything healed: true if all voters are where they must be. */
bool oracle_settled(struct sim_cluster *c);

#endif /* WEFT_SIM_ENGINE_H */
