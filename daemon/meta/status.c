// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * status.c - how the cluster is: what works, what is at risk, what can still be lost, what to do
 *
 * Numbers come from the totals that apply keeps and from the catalog: nothing here walks over a
 * table of files or chunks.
 */
#include <errno.h>
#include <stdio.h>

#include "meta/service.h"

struct tally {
	unsigned int hosts, hosts_up, stores, stores_up, stores_full;
	/* _up: of stores that can be written to. */
	u64 capacity, free, capacity_up, free_up;
	/* Stores up beyond k, of the group that has fewest; WEFT_SHARDS_MAX: none has chunks. */
	unsigned int least_up;
	unsigned int groups, groups_open, groups_degraded, groups_unreadable;
	/* Whose loss takes more shards of an open group than its parity covers; 0: none. */
	u32 heavy_host;
};

/* Whether a group holds anything stands in its record only: commits do not touch the catalog. */
static bool is_empty(struct meta_brain *brain, u64 id)
{
	struct meta_group record;
	int err;

	err = meta_state_read(&brain->state);
	if (!err)
		err = meta_group_get(&brain->state.txn, id, &record);
	if (err)
		meta_brain_fatal(brain, "reading", err);
	return !record.head.chunks;
}

/* A host with more than m slots of a group. 0: none. */
static u32 find_heavy_host(const struct meta_catalog *catalog, const struct cat_group *group)
{
	unsigned int slots = (unsigned int)group->k + group->m, same;
	const struct cat_store *store, *other;

	for (unsigned int i = 0; i < slots; i++) {
		store = catalog_store(catalog, group->stores[i]);
		same = 0;
		for (unsigned int n = 0; n < slots && store; n++) {
			other = catalog_store(catalog, group->stores[n]);
			same += other && other->host == store->host;
		}
		if (same > group->m)
			return store->host;
	}
	return 0;
}

static void tally_groups(struct meta_brain *brain, struct tally *tally)
{
	struct meta_catalog *catalog = &brain->catalog;
	const struct cat_group *group;
	unsigned int up, spare;

	tally->least_up = WEFT_SHARDS_MAX;
	for (u64 i = 0; i < catalog->n_groups; i++) {
		group = catalog->groups[i];
		if (!group || !group->group)
			continue;
		tally->groups++;
		tally->groups_open += !!(group->flags & WEFT_GF_OPEN);
		if (group->flags & WEFT_GF_OPEN && group->m && !tally->heavy_host)
			tally->heavy_host = find_heavy_host(catalog, group);
		if (is_empty(brain, group->group))
			continue;
		up = 0;
		for (unsigned int n = 0; n < (unsigned int)group->k + group->m; n++)
			up += catalog_store_readable(catalog,
						     catalog_store(catalog, group->stores[n]));
		tally->groups_degraded += up < (unsigned int)group->k + group->m;
		tally->groups_unreadable += up < group->k;
		spare = up < group->k ? 0 : up - group->k;
		if (spare < tally->least_up)
			tally->least_up = spare;
	}
}

static void count(struct meta_brain *brain, struct tally *tally)
{
	struct meta_catalog *catalog = &brain->catalog;
	const struct cat_store *store;
	bool up;

	*tally = (struct tally){ 0 };
	for (u32 i = 0; i < catalog->n_hosts; i++) {
		if (!catalog->hosts[i])
			continue;
		tally->hosts++;
		tally->hosts_up += catalog->hosts[i]->state == WEFT_HOST_UP;
	}
	for (u32 i = 0; i < catalog->n_stores; i++) {
		store = catalog->stores[i];
		if (!store)
			continue;
		up = catalog_store_up(catalog, store);
		tally->stores++;
		tally->stores_up += catalog_store_readable(catalog, store);
		tally->stores_full += store->beaten && store->status == WEFT_ST_STORE_FULL;
		tally->capacity += store->capacity;
		tally->free += store->free;
		tally->capacity_up += up ? store->capacity : 0;
		tally->free_up += up ? store->free : 0;
	}
}

/* ---- statfs ---- */

void meta_status_space(struct meta_brain *brain, const struct cat_volume *volume,
		       struct weft_statfs *statfs)
{
	u64 k = le32_to_cpu(volume->info.k), m = le32_to_cpu(volume->info.m), used, map;
	struct tally tally;

	count(brain, &tally);
	meta_db_size(&brain->state.db, &used, &map);
	/*
	 * What coding leaves of it. Files are bounded by the metadata only: about 512 bytes each.
	 */
	*statfs = (struct weft_statfs){
		.bytes_total = cpu_to_le64(tally.capacity / (k + m) * k),
		.bytes_free = cpu_to_le64(tally.free / (k + m) * k),
		.bytes_avail = cpu_to_le64(tally.free_up / (k + m) * k),
		.files = cpu_to_le64(le64_to_cpu(brain->state.counters.files) + (map - used) / 512),
		.files_free = cpu_to_le64((map - used) / 512),
	};
}

void meta_run_statfs(struct meta_brain *brain, struct meta_op *op)
{
	struct cat_session *session = catalog_session(&brain->catalog, op->frame.session);
	struct cat_volume *volume =
		session ? catalog_volume(&brain->catalog, session->volume) : NULL;
	struct weft_statfs statfs;

	if (!volume) {
		op->outcome.status = WEFT_ST_SESSION_LOST;
		return;
	}
	meta_status_space(brain, volume, &statfs);
	tlv_put(&op->outcome.answer, WEFT_P_STATFS, &statfs, sizeof(statfs));
}

/* ---- weft status ---- */

static void say(json_t *list, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void say(json_t *list, const char *fmt, ...)
{
	char text[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	json_array_append_new(list, json_string(text));
}

static void say_works(struct meta_brain *brain, const struct tally *tally, json_t *list)
{
	if (!tally->stores)
		return;
	if (tally->stores_up && !tally->groups)
		say(list, "%u of %u stores on %u of %u hosts are up; nothing was written yet",
		    tally->stores_up, tally->stores, tally->hosts_up, tally->hosts);
	else if (tally->groups_open)
		say(list, "reading and writing: %u of %u stores on %u of %u hosts are up",
		    tally->stores_up, tally->stores, tally->hosts_up, tally->hosts);
	else if (tally->stores_up)
		say(list, "reading: %u of %u stores on %u of %u hosts are up", tally->stores_up,
		    tally->stores, tally->hosts_up, tally->hosts);
}

static void say_risks(struct meta_brain *brain, const struct tally *tally, json_t *list,
		      json_t *todo)
{
	const struct meta_catalog *catalog = &brain->catalog;
	u64 missing = le64_to_cpu(brain->state.counters.missing);

	for (u32 i = 0; i < catalog->n_hosts; i++)
		if (catalog->hosts[i] && catalog->hosts[i]->state != WEFT_HOST_UP) {
			say(list, "host %s is %s", catalog->hosts[i]->strings[META_HOST_NAME],
			    catalog->hosts[i]->state == WEFT_HOST_SUSPECT ? "suspect" : "down");
			say(todo, "start weftd on host %s, or look why it cannot be reached",
			    catalog->hosts[i]->strings[META_HOST_NAME]);
		}
	for (u32 i = 0; i < catalog->n_stores; i++)
		if (catalog->stores[i] && catalog->stores[i]->beaten &&
		    catalog->stores[i]->status != WEFT_ST_OK) {
			say(list, "store %u in %s: %s", i, catalog->stores[i]->path,
			    status_text(catalog->stores[i]->status));
			say(todo,
			    catalog->stores[i]->status == WEFT_ST_STORE_FULL
				    ? "make room in %s, or add stores; what it has is read and "
				      "deleted as before"
				    : "look at the disk of %s",
			    catalog->stores[i]->path);
		}
	if (tally->heavy_host) {
		say(list,
		    "without host %s more shards of some chunks are gone than their parity covers",
		    catalog_host(catalog, tally->heavy_host)->strings[META_HOST_NAME]);
		say(todo, "add hosts with stores: the redundancy asks for more than there are");
	}
	if (missing)
		say(list, "%llu shards of %llu chunks are missing and wait to be rebuilt",
		    (unsigned long long)missing,
		    (unsigned long long)le64_to_cpu(brain->state.counters.exceptions));
	if (tally->groups_unreadable)
		say(list,
		    "%u groups have fewer stores up than reading needs: their chunks cannot be "
		    "read now",
		    tally->groups_unreadable);
	if (brain->disk_low) {
		say(list, "the disk of the metadata service is nearly full; new files are refused");
		say(todo, "make room on the disk of the metadata service");
	}
}

static void say_losses(struct meta_brain *brain, const struct tally *tally, json_t *list)
{
	unsigned int voters = __atomic_load_n(&brain->service->voters, __ATOMIC_RELAXED);

	if (tally->groups_unreadable)
		say(list, "chunks: some cannot be read; any further loss may be for good");
	else if (!tally->least_up)
		say(list, "chunks: the next store that fails makes some unreadable until it is back");
	else if (tally->least_up < WEFT_SHARDS_MAX)
		say(list, "chunks: any %u more store%s may fail and all can still be read%s",
		    tally->least_up, tally->least_up > 1 ? "s" : "", brain->state.counters.missing ? ", less what is missing" : "");
	if (voters > 2)
		say(list, "metadata: %u of its %u servers", (voters - 1) / 2, voters);
	else if (voters == 2)
		say(list, "metadata: none of its 2 servers; both have to be there");
	else
		say(list, "metadata: nothing; with the disk of its only server everything is lost");
}

static json_t *chunk_health(struct meta_brain *brain)
{
	const struct weft_m_counters *c = &brain->state.counters;

	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "total",
			 (json_int_t)le64_to_cpu(c->chunks), "bytes",
			 (json_int_t)le64_to_cpu(c->plain_bytes), "with_missing_shards",
			 (json_int_t)le64_to_cpu(c->exceptions), "missing_shards",
			 (json_int_t)le64_to_cpu(c->missing), "condemned",
			 (json_int_t)le64_to_cpu(c->condemned), "deleting",
			 (json_int_t)le64_to_cpu(c->deleting), "rebuilding",
			 (json_int_t)meta_heal_running(brain));
}

static const char *health(const struct meta_brain *brain, const struct tally *tally)
{
	if (tally->groups_unreadable || (tally->stores && !tally->stores_up))
		return "unavailable";
	if (!tally->stores)
		return "empty";
	if (tally->stores_up < tally->stores || tally->stores_full ||
	    brain->state.counters.missing)
		return "degraded";
	return "ok";
}

json_t *meta_status(struct meta_brain *brain)
{
	json_t *works = json_array(), *risks = json_array(), *losses = json_array(),
	       *todo = json_array();
	const struct weft_m_counters *c = &brain->state.counters;
	struct tally tally;
	char uuid[37], *at = uuid;
	u64 used, map;

	count(brain, &tally);
	tally_groups(brain, &tally);
	meta_db_size(&brain->state.db, &used, &map);
	for (unsigned int i = 0; i < 16; i++)
		at += sprintf(at, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x",
			      brain->state.cluster.uuid[i]);
	say_works(brain, &tally, works);
	if (!tally.stores)
		say(todo, "add stores: start weftd with 'path' in [store] on the hosts that shall "
			  "keep data");
	say_risks(brain, &tally, risks, todo);
	say_losses(brain, &tally, losses);
	return json_pack(
		"{s:s, s:s, s:s, s:b, s:o, s:o, s:o, s:o, s:{s:i, s:i}, s:{s:i, s:i, s:I, s:I},"
		" s:{s:i, s:i, s:i, s:i}, s:o, s:I, s:I, s:I, s:{s:I, s:I, s:I, s:I, s:I, s:i, "
		"s:b, s:b}}",
		"cluster", brain->state.cluster_name, "uuid", uuid, "health", health(brain, &tally),
		"encrypted", 0, "works", works, "at_risk", risks, "can_be_lost", losses, "to_do",
		todo, "hosts", "total", (int)tally.hosts, "up", (int)tally.hosts_up, "stores",
		"total", (int)tally.stores, "up", (int)tally.stores_up, "capacity",
		(json_int_t)tally.capacity, "free", (json_int_t)tally.free, "groups", "total",
		(int)tally.groups, "open", (int)tally.groups_open, "degraded",
		(int)tally.groups_degraded, "unreadable", (int)tally.groups_unreadable, "chunks",
		chunk_health(brain), "files", (json_int_t)le64_to_cpu(c->files), "sessions",
		(json_int_t)le64_to_cpu(c->sessions), "orphans",
		(json_int_t)le64_to_cpu(c->orphans), "metadata", "index",
		(json_int_t)brain->state.index, "durable_index",
		(json_int_t)brain->state.durable_index, "bytes", (json_int_t)used, "log_bytes",
		(json_int_t)__atomic_load_n(&brain->service->log_bytes, __ATOMIC_RELAXED),
		"sync_us",
		(json_int_t)(__atomic_load_n(&brain->service->sync_ns, __ATOMIC_RELAXED) / 1000),
		"voters", (int)__atomic_load_n(&brain->service->voters, __ATOMIC_RELAXED), "leader",
		brain->leader, "disk_low", brain->disk_low);
}
