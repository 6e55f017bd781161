// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * entry.c - log entries and log requests in memory
 *
 * An entry is allocated once and passed around by reference: loop, log and apply thread each hold
 * what they need, and whoever drops the last reference frees it. The counter is the only field that
 * several threads write.
 */
#include <stdlib.h>
#include <string.h>
#include "raft/internal.h"

struct rlog_entry *rlog_entry_alloc(const void *bytes, size_t len)
{
	struct rlog_entry *entry = malloc(sizeof(*entry) + len);

	if (!entry)
		return NULL;
	memset(entry, 0, sizeof(*entry));
	atomic_init(&entry->refs, 1);
	entry->len = (uint32_t)len;
	if (bytes)
		memcpy(entry->bytes, bytes, len);
	return entry;
}

struct rlog_entry *rlog_entry_get(struct rlog_entry *entry)
{
	atomic_fetch_add_explicit(&entry->refs, 1, memory_order_relaxed);
	return entry;
}

void rlog_entry_put(struct rlog_entry *entry)
{
	if (entry && atomic_fetch_sub_explicit(&entry->refs, 1, memory_order_acq_rel) == 1)
		free(entry);
}

void rlog_entry_show(const struct rlog_entry *entry, struct rnode_entry *shown)
{
	static const enum rnode_type types[] = {
		[WEFT_LOG_COMMAND] = RNODE_COMMAND,
		[WEFT_LOG_BARRIER] = RNODE_BARRIER,
		[WEFT_LOG_CHANGE] = RNODE_CONFIG,
	};

	*shown = (struct rnode_entry){
		.index = entry->index,
		.term = entry->term,
		.type = types[entry->type],
		.leader = entry->leader,
		.bytes = entry->len ? entry->bytes : NULL,
		.len = entry->len,
		.ctx = entry->ctx,
	};
}

struct rlog_request *rlog_request_alloc(enum rlog_kind kind)
{
	struct rlog_request *request = calloc(1, sizeof(*request));

	if (request)
		request->kind = kind;
	return request;
}

void rlog_request_free(struct rlog_request *request)
{
	if (!request)
		return;
	for (size_t i = 0; i < request->n; i++)
		rlog_entry_put(request->entries[i]);
	free(request->entries);
	free(request->state.conf);
	free(request);
}
