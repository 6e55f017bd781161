// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * model.c - the smallest state machine: a running hash of everything applied
 *
 * Its medium remembers every state since the last sync; after a power cut it is at a random one of
 * them, as a database whose transactions are atomic but not yet synced. A copy for another voter is
 * taken from the medium's history, so that it is exactly the state at the asked index.
 */
#include <stdlib.h>
#include <string.h>
#include "chunk/crc32c.h"
#include "cluster.h"

struct state {
	uint64_t applied;
	uint64_t term;
	uint64_t hash;
};

struct medium {
	struct state synced;
	struct state copy; /* of another voter's state */
	struct state *since; /* states after it, the last one is current */
	size_t n;
	size_t cap;
	struct state *history; /* every state ever, by applied index */
	size_t n_history;
};

static struct state *current(struct medium *m)
{
	return m->n ? &m->since[m->n - 1] : &m->synced;
}

static void push(struct medium *m, const struct state *s)
{
	if (m->n == m->cap) {
		m->cap = m->cap ? 2 * m->cap : 64;
		m->since = realloc(m->since, m->cap * sizeof(*m->since));
		if (!m->since)
			abort();
	}
	m->since[m->n++] = *s;
	if (s->applied >= m->n_history) {
		m->history = realloc(m->history, 2 * (s->applied + 1) * sizeof(*m->history));
		if (!m->history)
			abort();
		memset(m->history + m->n_history, 0,
		       (2 * (s->applied + 1) - m->n_history) * sizeof(*m->history));
		m->n_history = 2 * (s->applied + 1);
	}
	m->history[s->applied] = *s;
}

static void *model_open(void *medium, uint64_t *applied, uint64_t *term)
{
	struct medium *m = medium;

	*applied = current(m)->applied;
	*term = current(m)->term;
	return m;
}

static bool model_apply(void *state, const struct rnode_entry *entries, unsigned int n)
{
	struct medium *m = state;

	for (unsigned int i = 0; i < n; i++) {
		struct state next = *current(m);

		/* What a copy from elsewhere brought already. */
		if (entries[i].index <= next.applied)
			continue;
		next.applied = entries[i].index;
		next.term = entries[i].term;
		next.hash = next.hash * 0x100000001b3ull +
			    weft_crc32c((u32)entries[i].term, entries[i].bytes, entries[i].len);
		push(m, &next);
	}
	return true;
}

static bool model_sync(void *state)
{
	struct medium *m = state;

	m->synced = *current(m);
	m->n = 0;
	return true;
}

static uint64_t model_hash(void *state)
{
	return current(state)->hash;
}

static bool model_copy(void *state, void *from_medium, uint64_t index, uint64_t term)
{
	struct medium *m = state;
	struct medium *from = from_medium;

	if (index >= from->n_history || from->history[index].term != term)
		return false;
	m->copy = from->history[index];
	return true;
}

static void model_adopt(void *state, uint64_t index)
{
	struct medium *m = state;

	if (m->copy.applied != index || !index)
		return;
	push(m, &m->copy);
	model_sync(m);
}

static void model_crash(void *state, void *medium, bool power, uint64_t *random)
{
	struct medium *m = medium;

	/* A killed process loses nothing, but what it wrote is not synced either. */
	if (!power)
		return;
	m->n = sim_below(random, m->n + 1);
	model_sync(m);
}

static void *model_medium_alloc(uint64_t seed)
{
	struct medium *m = calloc(1, sizeof(*m));

	if (!m)
		abort();
	return m;
}

static void model_medium_free(void *medium)
{
	struct medium *m = medium;

	free(m->since);
	free(m->history);
	free(m);
}

static size_t model_command(uint64_t random, unsigned int bugs, uint8_t *bytes)
{
	size_t len = 8 + random % 400;

	memset(bytes, (int)(random >> 32), len);
	memcpy(bytes, &random, sizeof(random));
	return len;
}

const struct sim_machine_ops sim_model_machine = {
	.name = "model",
	.open = model_open,
	.apply = model_apply,
	.sync = model_sync,
	.hash = model_hash,
	.copy = model_copy,
	.adopt = model_adopt,
	.crash = model_crash,
	.medium_alloc = model_medium_alloc,
	.medium_free = model_medium_free,
	.command = model_command,
};
