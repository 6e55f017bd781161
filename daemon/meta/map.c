// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * map.c - what bridges and stores are told of the cluster: hosts with addresses, stores, groups
 *
 * Every object of the catalog says in which version of the map it changed last; every watcher, up
 * to which version it was told. A frame without VERSION adds to what a watcher knows. A whole map
 * comes in several frames, the last one with VERSION: what none of them named is gone.
 *
 * Brain thread. A watcher whose connection does not take a frame loses the connection, and begins
 * anew on another one, with a whole map.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "meta/service.h"

#define FRAME_BYTES (256u * 1024)
#define REFRESH_NS  30000000000ull /* how often weights follow the stores' free space */
#define WEIGHT_STEP 50u            /* thousandths that are worth telling */

struct watcher {
	u64 client;
	u64 version; /* 0: knows nothing */
};

struct meta_map {
	struct watcher *watchers;
	size_t n;
	u64 refreshed_ns;
};

static int send_frame(struct meta_brain *brain, u64 client, struct tlv_writer *writer)
{
	struct meta_op *op = meta_op_alloc(NULL);
	int err = tlv_finish(writer);

	if (!op || err) {
		meta_op_free(op);
		return err ? err : -ENOMEM;
	}
	/* The op takes the writer's memory over. */
	op->payload = writer->data;
	op->payload_len = writer->len;
	writer->data = NULL;
	tlv_writer_free(writer);
	tlv_writer_init(writer, WEFT_CTL_PAYLOAD_MAX);
	op->number = client;
	op->finish = meta_server_push_map;
	op->step = META_DONE;
	meta_brain_continue(brain, op);
	return 0;
}

static int room(struct meta_brain *brain, u64 client, struct tlv_writer *writer)
{
	return writer->len > FRAME_BYTES ? send_frame(brain, client, writer) : 0;
}

static u8 *add_text(u8 *at, const char *text)
{
	size_t len = strlen(text) + 1;

	memcpy(at, text, len);
	return at + len;
}

static void put_host(struct tlv_writer *writer, const struct cat_host *host)
{
	struct weft_c_host head = { cpu_to_le32(host->host), cpu_to_le32(host->state) };
	size_t len = sizeof(head) + strlen(host->strings[META_HOST_NAME]) + 1;
	u8 *at;

	for (unsigned int i = 0; i < host->addresses; i++)
		len += strlen(host->address[i]) + 1;
	at = tlv_reserve(writer, WEFT_C_HOST, len);
	if (!at)
		return;
	memcpy(at, &head, sizeof(head));
	at = add_text(at + sizeof(head), host->strings[META_HOST_NAME]);
	for (unsigned int i = 0; i < host->addresses; i++)
		at = add_text(at, host->address[i]);
}

static void put_store(struct meta_brain *brain, struct tlv_writer *writer,
		      const struct cat_store *store)
{
	const struct cat_host *host = catalog_host(&brain->catalog, store->host);
	struct weft_c_store record = {
		.store = cpu_to_le32(store->store),
		.host = cpu_to_le32(store->host),
		.state = cpu_to_le32(host && catalog_store_up(&brain->catalog, store)
					     ? host->state
					     : WEFT_HOST_DOWN),
		.capacity = cpu_to_le64(store->capacity),
		.free = cpu_to_le64(store->free),
	};

	tlv_put(writer, WEFT_C_STORE, &record, sizeof(record));
}

/* What the emptiest store of all has free. */
static u64 most_free(const struct meta_brain *brain)
{
	u64 most = 1;

	for (u32 i = 0; i < brain->catalog.n_stores; i++)
		if (brain->catalog.stores[i] && brain->catalog.stores[i]->free > most)
			most = brain->catalog.stores[i]->free;
	return most;
}

/*
 * Free space of its fullest store in thousandths of the emptiest store of all: for taking groups in
 * turn.
 */
static u32 weight(struct meta_brain *brain, const struct cat_group *group, u64 most)
{
	u64 least = UINT64_MAX;
	const struct cat_store *store;

	for (unsigned int i = 0; i < (unsigned int)group->k + group->m; i++) {
		store = catalog_store(&brain->catalog, group->stores[i]);
		if (store && store->free < least)
			least = store->free;
	}
	least = least > most ? most : least;
	return 1 + (u32)(least / (most / 999 + 1));
}

static void put_group(struct meta_brain *brain, struct tlv_writer *writer, struct cat_group *group,
		      u64 most)
{
	unsigned int slots = (unsigned int)group->k + group->m;
	struct weft_c_group head = {
		.group = cpu_to_le64(group->group),
		.domain = cpu_to_le64(group->domain),
		.k = group->k,
		.m = group->m,
		.flags = cpu_to_le16(group->flags),
	};
	__le32 stores[WEFT_SHARDS_MAX];
	u8 *at = tlv_reserve(writer, WEFT_C_GROUP, sizeof(head) + slots * sizeof(*stores));

	if (!at)
		return;
	group->weight = weight(brain, group, most);
	head.weight = cpu_to_le32(group->weight);
	for (unsigned int i = 0; i < slots; i++)
		stores[i] = cpu_to_le32(group->stores[i]);
	memcpy(at, &head, sizeof(head));
	memcpy(at + sizeof(head), stores, slots * sizeof(*stores));
}

/*
 * All that changed after the watcher's version. Hosts first: a store is told of with its host
 * known.
 */
static int tell(struct meta_brain *brain, struct watcher *watcher)
{
	struct meta_catalog *catalog = &brain->catalog;
	bool whole = !watcher->version;
	u64 most = most_free(brain);
	struct tlv_writer writer;
	int err = 0;

	tlv_writer_init(&writer, WEFT_CTL_PAYLOAD_MAX);
	for (u32 i = 0; i < catalog->n_hosts && !err; i++) {
		if (!catalog->hosts[i] || catalog->hosts[i]->changed <= watcher->version)
			continue;
		put_host(&writer, catalog->hosts[i]);
		err = room(brain, watcher->client, &writer);
	}
	for (u32 i = 0; i < catalog->n_stores && !err; i++) {
		if (!catalog->stores[i] || catalog->stores[i]->changed <= watcher->version)
			continue;
		put_store(brain, &writer, catalog->stores[i]);
		err = room(brain, watcher->client, &writer);
	}
	for (u64 i = 0; i < catalog->n_groups && !err; i++) {
		if (!catalog->groups[i] || catalog->groups[i]->changed <= watcher->version)
			continue;
		put_group(brain, &writer, catalog->groups[i], most);
		err = room(brain, watcher->client, &writer);
	}
	if (whole)
		tlv_put_u64(&writer, WEFT_C_VERSION, catalog->version);
	if (!err && writer.len)
		err = send_frame(brain, watcher->client, &writer);
	if (!err)
		watcher->version = catalog->version;
	tlv_writer_free(&writer);
	return err;
}

static struct watcher *find_watcher(struct meta_map *map, u64 client)
{
	for (size_t i = 0; i < map->n; i++)
		if (map->watchers[i].client == client)
			return &map->watchers[i];
	return NULL;
}

void meta_map_flush(struct meta_brain *brain)
{
	struct meta_map *map = brain->map;

	for (size_t i = 0; i < map->n; i++)
		if (map->watchers[i].version < brain->catalog.version &&
		    tell(brain, &map->watchers[i]))
			log_warn("out of memory; a change of the cluster's map is told later");
}

void meta_map_refresh(struct meta_brain *brain)
{
	struct meta_catalog *catalog = &brain->catalog;
	u64 most = most_free(brain);
	struct cat_group *group;
	u32 now;

	if (brain->now_ns < brain->map->refreshed_ns + REFRESH_NS)
		return;
	brain->map->refreshed_ns = brain->now_ns;
	for (u64 i = 0; i < catalog->n_groups; i++) {
		group = catalog->groups[i];
		if (!group || !(group->flags & WEFT_GF_OPEN) || !group->weight)
			continue;
		now = weight(brain, group, most);
		if (now > group->weight + WEIGHT_STEP || now + WEIGHT_STEP < group->weight)
			group->changed = ++catalog->version;
	}
}

/*
 * WATCH_MAP. One watch a connection: what it was sent once stands, for a frame that it does not take
 * ends it. So a repeat is told of changes only, and cannot make whole maps pile up.
 */
void meta_run_watch(struct meta_brain *brain, struct meta_op *op)
{
	struct meta_map *map = brain->map;
	struct watcher *grown;

	if (!brain->leader) {
		op->outcome.status = WEFT_ST_NOT_LEADER;
		return;
	}
	if (!find_watcher(map, op->number)) {
		grown = realloc(map->watchers, (map->n + 1) * sizeof(*grown));
		if (!grown) {
			op->outcome.status = WEFT_ST_NOMEM;
			return;
		}
		map->watchers = grown;
		map->watchers[map->n++] = (struct watcher){ .client = op->number };
	}
	if (op->client && op->client->role == WEFT_CTL_ROLE_BRIDGE && brain->contents)
		meta_contents_watch(brain, op->number);
	/* The whole map stands before the answer. */
	meta_map_flush(brain);
}

void meta_run_unwatch(struct meta_brain *brain, struct meta_op *op)
{
	struct meta_map *map = brain->map;
	struct watcher *watcher = find_watcher(map, op->number);

	if (watcher)
		*watcher = map->watchers[--map->n];
	if (brain->contents)
		meta_contents_unwatch(brain, op->number);
}

int meta_map_init(struct meta_brain *brain)
{
	brain->map = calloc(1, sizeof(*brain->map));
	/* Version 0 is that of a watcher that knows nothing. */
	brain->catalog.version++;
	return brain->map ? 0 : -ENOMEM;
}

void meta_map_free(struct meta_brain *brain)
{
	if (brain->map)
		free(brain->map->watchers);
	free(brain->map);
}
