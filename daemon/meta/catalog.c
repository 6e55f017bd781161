// SPDX-License-Identifier: GPL-2.0-or-later
/* catalog.c - the cluster in memory; see catalog.h */
#include <errno.h>
#include <stdlib.h>

#include "meta/catalog.h"

static int text_copy(char **to, const char *from)
{
	char *copy = strdup(from);

	if (!copy)
		return -ENOMEM;
	free(*to);
	*to = copy;
	return 0;
}

/* Room for number in an array of pointers; what is new is NULL. */
static int array_grow(void *array, u64 *n, u64 number)
{
	void **old, **grown;
	u64 size = number + 1;

	memcpy(&old, array, sizeof(old));
	if (number < *n)
		return 0;
	if (size > SIZE_MAX / (2 * sizeof(void *)))
		return -EOVERFLOW;
	if (size < *n + *n / 2)
		size = *n + *n / 2;
	grown = realloc(old, size * sizeof(void *));
	if (!grown)
		return -ENOMEM;
	memset(grown + *n, 0, (size - *n) * sizeof(void *));
	memcpy(array, &grown, sizeof(grown));
	*n = size;
	return 0;
}

static void *array_slot(void *array, u64 *n, u64 number, size_t size, int *err)
{
	void **base;

	*err = array_grow(array, n, number);
	if (*err)
		return NULL;
	memcpy(&base, array, sizeof(base));
	if (!base[number])
		base[number] = calloc(1, size);
	if (!base[number])
		*err = -ENOMEM;
	return base[number];
}

struct cat_host *catalog_host(const struct meta_catalog *catalog, u32 host)
{
	return host < catalog->n_hosts ? catalog->hosts[host] : NULL;
}

struct cat_store *catalog_store(const struct meta_catalog *catalog, u32 store)
{
	return store < catalog->n_stores ? catalog->stores[store] : NULL;
}

static u64 group_counter(u64 group)
{
	return group & ((1ull << WEFT_GROUP_COUNTER_BITS) - 1);
}

struct cat_group *catalog_group(const struct meta_catalog *catalog, u64 group)
{
	u64 at = group_counter(group);
	struct cat_group *found = at < catalog->n_groups ? catalog->groups[at] : NULL;

	return found && found->group == group ? found : NULL;
}

struct cat_volume *catalog_volume(const struct meta_catalog *catalog, u64 volume)
{
	return volume < catalog->n_volumes ? catalog->volumes[volume] : NULL;
}

struct cat_volume *catalog_volume_by_name(const struct meta_catalog *catalog, const char *name)
{
	for (u64 i = 0; i < catalog->n_volumes; i++)
		if (catalog->volumes[i] && !strcmp(catalog->volumes[i]->name, name))
			return catalog->volumes[i];
	return NULL;
}

struct cat_host *catalog_host_by_client(const struct meta_catalog *catalog, u64 client)
{
	for (u32 i = 0; client && i < catalog->n_hosts; i++)
		if (catalog->hosts[i] && catalog->hosts[i]->client == client)
			return catalog->hosts[i];
	return NULL;
}

static size_t session_position(const struct meta_catalog *catalog, u64 session)
{
	size_t low = 0, high = catalog->n_sessions;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (catalog->sessions[mid].session < session)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct cat_session *catalog_session(const struct meta_catalog *catalog, u64 session)
{
	size_t at = session_position(catalog, session);

	if (at == catalog->n_sessions || catalog->sessions[at].session != session ||
	    catalog->sessions[at].flags & WEFT_MSF_CLOSING)
		return NULL;
	return &catalog->sessions[at];
}

void catalog_touch_host(struct meta_catalog *catalog, struct cat_host *host)
{
	host->changed = ++catalog->version;
}

void catalog_touch_store(struct meta_catalog *catalog, struct cat_store *store)
{
	store->changed = ++catalog->version;
}

static void free_addresses(struct cat_host *host)
{
	for (unsigned int i = 0; i < host->addresses; i++)
		free(host->address[i]);
	free(host->address);
	host->address = NULL;
	host->addresses = 0;
}

static int set_addresses(struct cat_host *host, const struct meta_host *record)
{
	unsigned int n = le32_to_cpu(record->head.addresses);

	free_addresses(host);
	host->address = calloc(n + 1, sizeof(*host->address));
	if (!host->address)
		return -ENOMEM;
	for (; host->addresses < n; host->addresses++) {
		host->address[host->addresses] =
			strdup(meta_host_string(record, META_HOST_ADDRESS + host->addresses));
		if (!host->address[host->addresses])
			return -ENOMEM;
	}
	return 0;
}

int catalog_update_host(struct meta_catalog *catalog, struct meta_state *state, u32 id)
{
	struct meta_host record;
	struct cat_host *host;
	u64 n = catalog->n_hosts;
	int err;

	err = meta_host_get(&state->txn, id, &record);
	if (err)
		return err;
	host = array_slot(&catalog->hosts, &n, id, sizeof(*host), &err);
	catalog->n_hosts = (u32)n;
	if (!host || err)
		return err;
	if (!host->host)
		host->state = WEFT_HOST_DOWN;
	host->host = id;
	for (unsigned int i = 0; i < META_HOST_ADDRESS && !err; i++)
		err = text_copy(&host->strings[i], meta_host_string(&record, i));
	if (!err)
		err = set_addresses(host, &record);
	catalog_touch_host(catalog, host);
	return err;
}

int catalog_update_store(struct meta_catalog *catalog, struct meta_state *state, u32 id)
{
	struct meta_store record;
	struct cat_store *store;
	u64 n = catalog->n_stores;
	int err;

	err = meta_store_get(&state->txn, id, &record);
	if (err)
		return err;
	store = array_slot(&catalog->stores, &n, id, sizeof(*store), &err);
	catalog->n_stores = (u32)n;
	if (!store || err)
		return err;
	if (!store->store)
		store->free = le64_to_cpu(record.head.capacity);
	store->store = id;
	store->host = le32_to_cpu(record.head.host);
	store->capacity = le64_to_cpu(record.head.capacity);
	store->disk = le64_to_cpu(record.head.disk);
	store->starts = le64_to_cpu(record.head.starts);
	memcpy(store->uuid, record.head.uuid, sizeof(store->uuid));
	catalog_touch_store(catalog, store);
	return text_copy(&store->path, record.path);
}

/* What a group takes of its stores. */
static void count_slots(struct meta_catalog *catalog, const struct cat_group *group, bool add)
{
	u32 n = add ? 1 : (u32)-1;
	struct cat_store *store;

	for (unsigned int i = 0; i < (unsigned int)group->k + group->m; i++) {
		store = catalog_store(catalog, group->stores[i]);
		if (!store)
			continue;
		store->slots += n;
		if (group->flags & WEFT_GF_OPEN)
			store->open_slots += n;
	}
}

static int update_group(struct meta_catalog *catalog, const struct meta_group *record)
{
	struct cat_group *group;
	int err;

	group = array_slot(&catalog->groups, &catalog->n_groups, group_counter(record->group),
			   sizeof(*group), &err);
	if (!group || err)
		return err;
	if (group->group)
		count_slots(catalog, group, false);
	group->group = record->group;
	group->domain = le64_to_cpu(record->head.domain);
	group->k = record->head.k;
	group->m = record->head.m;
	group->flags = le16_to_cpu(record->head.flags);
	for (unsigned int i = 0; i < (unsigned int)group->k + group->m; i++)
		group->stores[i] = le32_to_cpu(record->stores[i]);
	count_slots(catalog, group, true);
	group->pending = false;
	group->changed = ++catalog->version;
	return 0;
}

int catalog_update_group(struct meta_catalog *catalog, struct meta_state *state, u64 id)
{
	struct meta_group record;
	int err;

	err = meta_group_get(&state->txn, id, &record);
	return err ? err : update_group(catalog, &record);
}

int catalog_update_volume(struct meta_catalog *catalog, struct meta_state *state, u64 id)
{
	struct meta_volume record;
	struct cat_volume *volume;
	int err;

	err = meta_volume_get(&state->txn, id, &record);
	if (err)
		return err;
	volume = array_slot(&catalog->volumes, &catalog->n_volumes, id, sizeof(*volume), &err);
	if (!volume || err)
		return err;
	volume->volume = id;
	volume->session = le64_to_cpu(record.head.session);
	volume->info = record.head.info;
	return text_copy(&volume->name, record.name);
}

int catalog_update_session(struct meta_catalog *catalog, struct meta_state *state, u64 id,
			   bool ended)
{
	size_t at = session_position(catalog, id);
	bool known = at < catalog->n_sessions && catalog->sessions[at].session == id;
	struct cat_session *sessions = catalog->sessions;
	struct meta_session record;
	int err;

	if (ended) {
		if (!known)
			return 0;
		free(sessions[at].name);
		memmove(sessions + at, sessions + at + 1,
			(catalog->n_sessions - at - 1) * sizeof(*sessions));
		catalog->n_sessions--;
		return 0;
	}
	err = meta_session_get(&state->txn, id, &record);
	if (err)
		return err;
	if (!known) {
		sessions = realloc(sessions, (catalog->n_sessions + 1) * sizeof(*sessions));
		if (!sessions)
			return -ENOMEM;
		catalog->sessions = sessions;
		memmove(sessions + at + 1, sessions + at,
			(catalog->n_sessions - at) * sizeof(*sessions));
		sessions[at] = (struct cat_session){ .session = id };
		catalog->n_sessions++;
	}
	sessions[at].volume = le64_to_cpu(record.head.volume);
	sessions[at].flags = le32_to_cpu(record.head.flags);
	return text_copy(&sessions[at].name, record.name);
}

bool catalog_store_readable(const struct meta_catalog *catalog, const struct cat_store *store)
{
	const struct cat_host *host = store ? catalog_host(catalog, store->host) : NULL;

	return host && store->beaten &&
	       (store->status == WEFT_ST_OK || store->status == WEFT_ST_STORE_FULL) &&
	       (host->state == WEFT_HOST_UP || host->state == WEFT_HOST_SUSPECT);
}

bool catalog_store_up(const struct meta_catalog *catalog, const struct cat_store *store)
{
	return catalog_store_readable(catalog, store) && store->status == WEFT_ST_OK;
}

bool catalog_group_up(const struct meta_catalog *catalog, const struct cat_group *group)
{
	for (unsigned int i = 0; i < (unsigned int)group->k + group->m; i++)
		if (!catalog_store_up(catalog, catalog_store(catalog, group->stores[i])))
			return false;
	return true;
}

/* Every record of a table through one of the functions above. */
static int load_table(struct meta_catalog *catalog, struct meta_state *state,
		      enum weft_m_table table)
{
	struct meta_walk walk;
	int err;

	err = meta_walk_begin(&walk, &state->txn, table);
	if (err)
		return err;
	for (err = meta_walk_seek(&walk, &(struct meta_key){ .len = 1 }); !err;
	     err = meta_walk_next(&walk)) {
		switch (table) {
		case WEFT_MT_HOST:
			err = catalog_update_host(catalog, state, meta_key_get_u32(&walk.key, 0));
			break;
		case WEFT_MT_STORE:
			err = catalog_update_store(catalog, state, meta_key_get_u32(&walk.key, 0));
			break;
		case WEFT_MT_GROUP:
			err = catalog_update_group(catalog, state, meta_key_get_u64(&walk.key, 0));
			break;
		case WEFT_MT_VOLUME:
			err = catalog_update_volume(catalog, state, meta_key_get_u64(&walk.key, 0));
			break;
		default:
			err = catalog_update_session(catalog, state, meta_key_get_u64(&walk.key, 0),
						     false);
		}
		if (err)
			break;
	}
	meta_walk_end(&walk);
	return err == -ENOENT ? 0 : err;
}

int catalog_load(struct meta_catalog *catalog, struct meta_state *state)
{
	static const enum weft_m_table tables[] = { WEFT_MT_HOST, WEFT_MT_STORE, WEFT_MT_GROUP,
						    WEFT_MT_VOLUME, WEFT_MT_SESSION };
	int err;

	err = meta_state_read(state);
	for (size_t i = 0; i < ARRAY_SIZE(tables) && !err; i++)
		err = load_table(catalog, state, tables[i]);
	meta_state_idle(state);
	return err;
}

void catalog_free(struct meta_catalog *catalog)
{
	for (u32 i = 0; i < catalog->n_hosts; i++) {
		if (!catalog->hosts[i])
			continue;
		free_addresses(catalog->hosts[i]);
		for (unsigned int n = 0; n < META_HOST_ADDRESS; n++)
			free(catalog->hosts[i]->strings[n]);
		free(catalog->hosts[i]);
	}
	for (u32 i = 0; i < catalog->n_stores; i++) {
		if (catalog->stores[i])
			free(catalog->stores[i]->path);
		free(catalog->stores[i]);
	}
	for (u64 i = 0; i < catalog->n_groups; i++)
		free(catalog->groups[i]);
	for (u64 i = 0; i < catalog->n_volumes; i++) {
		if (catalog->volumes[i])
			free(catalog->volumes[i]->name);
		free(catalog->volumes[i]);
	}
	for (size_t i = 0; i < catalog->n_sessions; i++)
		free(catalog->sessions[i].name);
	free(catalog->hosts);
	free(catalog->stores);
	free(catalog->groups);
	free(catalog->volumes);
	free(catalog->sessions);
	memset(catalog, 0, sizeof(*catalog));
}
