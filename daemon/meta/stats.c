// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * stats.c - what a volume's files take, stage by stage
 *
 *	logical --dedup--> plaintext of chunks --compression--> stored --coding--> raw
 *
 * From the totals that the state machine keeps: nothing here walks over files or chunks. Chunks belong
 * to a dedup domain; what volumes share is counted once, for all of them. A chunk counts whole as long
 * as any of its bytes is part of a file, so what is overwritten in pieces may take more than it shows.
 */
#include <errno.h>

#include "meta/service.h"

static double ratio(u64 from, u64 to)
{
	return to ? (double)(from * 1000 / to) / 1000.0 : 0;
}

/* Bytes of the files of all volumes of the domain; their names. */
static u64 count_logical(struct meta_brain *brain, u64 domain, json_t *names)
{
	const struct cat_volume *volume;
	struct meta_volume record;
	u64 logical = 0;
	int err;

	for (u64 i = 0; i < brain->catalog.n_volumes; i++) {
		volume = brain->catalog.volumes[i];
		if (!volume || catalog_domain(volume) != domain)
			continue;
		err = meta_volume_get(&brain->state.txn, volume->volume, &record);
		if (err)
			meta_brain_fatal(brain, "reading", err);
		logical += le64_to_cpu(record.head.bytes);
		json_array_append_new(names, json_string(volume->name));
	}
	return logical;
}

static void add_stages(json_t *json, u64 logical, const struct weft_m_usage *usage)
{
	u64 mapped = le64_to_cpu(usage->mapped_bytes), plain = le64_to_cpu(usage->plain_bytes),
	    stored = le64_to_cpu(usage->stored_bytes), raw = le64_to_cpu(usage->raw_bytes);

	json_object_update_new(
		json, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:{s:f, s:f, s:f, s:f}}", "inline",
				(json_int_t)(logical - mapped), "in_chunks", (json_int_t)mapped,
				"chunks", (json_int_t)le64_to_cpu(usage->chunks), "plain",
				(json_int_t)plain, "stored", (json_int_t)stored, "raw",
				(json_int_t)raw, "ratios", "dedup", ratio(mapped, plain),
				"compression", ratio(plain, stored), "coding", ratio(stored, raw),
				"all", ratio(mapped, raw)));
}

json_t *meta_stats(struct meta_brain *brain, const struct cat_volume *volume)
{
	json_t *names = json_array(), *json;
	struct weft_m_usage usage;
	struct meta_volume record;
	u64 logical;
	int err;

	err = meta_state_read(&brain->state);
	if (!err)
		err = meta_volume_get(&brain->state.txn, volume->volume, &record);
	if (err)
		meta_brain_fatal(brain, "reading", err);
	logical = count_logical(brain, catalog_domain(volume), names);
	err = meta_usage_get(&brain->state.txn, catalog_domain(volume), &usage);
	if (err && err != -ENOENT)
		meta_brain_fatal(brain, "reading", err);
	json = json_pack("{s:s, s:b, s:I, s:I, s:o, s:I, s:b}", "name", volume->name, "dedup",
			 !!volume->info.dedup_domain, "files",
			 (json_int_t)le64_to_cpu(record.head.files), "bytes",
			 (json_int_t)le64_to_cpu(record.head.bytes), "volumes", names, "logical",
			 (json_int_t)logical, "counted", !err);
	if (!err)
		add_stages(json, logical, &usage);
	return json;
}
