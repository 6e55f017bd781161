// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * window.c - consecutive log entries in memory, by index
 *
 * Loop thread only. A ring: entries come at the end, leave at the beginning, and are cut at the end
 * when a leader replaces them.
 */
#include <errno.h>
#include <stdlib.h>
#include "raft/driver.h"

static int window_grow(struct rdrv_window *w)
{
	size_t cap = w->cap ? 2 * w->cap : 64;
	struct rlog_entry **slots = malloc(cap * sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < w->n; i++)
		slots[i] = w->slots[(w->head + i) & (w->cap - 1)];
	free(w->slots);
	w->slots = slots;
	w->cap = cap;
	w->head = 0;
	return 0;
}

int rdrv_window_push(struct rdrv_window *w, struct rlog_entry *entry)
{
	int ret;

	if (w->n == w->cap) {
		ret = window_grow(w);
		if (ret)
			return ret;
	}
	if (!w->n)
		w->first = entry->index;
	w->slots[(w->head + w->n) & (w->cap - 1)] = rlog_entry_get(entry);
	w->n++;
	w->bytes += rlog_entry_size(entry);
	return 0;
}

struct rlog_entry *rdrv_window_at(const struct rdrv_window *w, uint64_t index)
{
	if (!w->n || index < w->first || index - w->first >= w->n)
		return NULL;
	return w->slots[(w->head + (index - w->first)) & (w->cap - 1)];
}

void rdrv_window_pop(struct rdrv_window *w)
{
	struct rlog_entry *entry = w->slots[w->head];

	w->head = (w->head + 1) & (w->cap - 1);
	w->first++;
	w->n--;
	w->bytes -= rlog_entry_size(entry);
	rlog_entry_put(entry);
}

void rdrv_window_cut(struct rdrv_window *w, uint64_t from)
{
	while (w->n && w->first + w->n > from) {
		struct rlog_entry *entry = w->slots[(w->head + --w->n) & (w->cap - 1)];

		w->bytes -= rlog_entry_size(entry);
		rlog_entry_put(entry);
	}
}

void rdrv_window_clear(struct rdrv_window *w)
{
	rdrv_window_cut(w, 0);
	free(w->slots);
	*w = (struct rdrv_window){ 0 };
}
