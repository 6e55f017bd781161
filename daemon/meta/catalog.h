/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * catalog.h - hosts, stores, groups, volumes and sessions in memory, with what only the leader
 * knows of them
 *
 * The tables are the truth; this is what they say, kept up by hooks of apply, beside what
 * heartbeats and renewals say. Numbers of hosts, stores, volumes and groups are dense, so each is
 * an array by number. Sizes follow the cluster, never its files: a few hundred bytes for each host,
 * store, open mount and group.
 *
 * Threading: the brain thread's.
 */
#ifndef WEFT_META_CATALOG_H
#define WEFT_META_CATALOG_H

#include "meta/meta.h"
#include "weft_ctl.h"

struct cat_host {
	u32 host;
	u32 state;             /* enum weft_host_state */
	u64 changed;           /* version of the map */
	u64 beat_ns; /* last heartbeat, CLOCK_MONOTONIC; 0: none since this leader began */
	u64 client;            /* its connection; 0: none */
	unsigned int addresses;
	char *strings[META_HOST_ADDRESS]; /* name, region, datacenter, rack */
	char **address;
};

struct cat_store {
	u32 store;
	u32 host;
	u64 changed;
	u64 capacity;
	u64 free;
	u64 shards;
	u64 errors;
	u64 disk;
	u64 starts;
	u32 status;            /* enum weft_status of its last heartbeat */
	u32 load;
	u32 usec;
	u32 slots;             /* of groups */
	u32 open_slots;        /* of open groups */
	bool beaten;           /* a heartbeat named it since this leader began */
	u8 uuid[16];
	char *path;
};

struct cat_group {
	u64 group;
	u64 changed;
	u64 domain;
	u8 k;
	u8 m;
	u16 flags;             /* WEFT_GF_* */
	bool pending;          /* an entry about it is under way */
	u32 weight;            /* as the map told it last */
	u32 stores[WEFT_SHARDS_MAX];
};

struct cat_volume {
	u64 volume;
	u64 session;
	struct weft_volume_info info;
	char *name;
};

struct cat_session {
	u64 session;
	u64 volume;
	u64 renewed_ns;        /* last heard of, CLOCK_MONOTONIC; see catalog_session_heard() */
	u32 flags;
	char *name;
};

struct meta_catalog {
	struct cat_host **hosts;     /* by number; [0] is NULL */
	struct cat_store **stores;
	struct cat_group **groups;   /* by counter */
	struct cat_volume **volumes;
	struct cat_session *sessions; /* ascending by id */
	u32 n_hosts, n_stores;       /* highest number + 1 */
	u64 n_groups, n_volumes;
	size_t n_sessions;
	u64 version;                 /* of the map: grows with each change */
};

/* Read all of it from the state. 0 or negative errno. */
int catalog_load(struct meta_catalog *catalog, struct meta_state *state);
void catalog_free(struct meta_catalog *catalog);
/* A record was put: read it again, inside the transaction. */
int catalog_update_host(struct meta_catalog *catalog, struct meta_state *state, u32 host);
int catalog_update_store(struct meta_catalog *catalog, struct meta_state *state, u32 store);
int catalog_update_group(struct meta_catalog *catalog, struct meta_state *state, u64 group);
int catalog_update_volume(struct meta_catalog *catalog, struct meta_state *state, u64 volume);
int catalog_update_session(struct meta_catalog *catalog, struct meta_state *state, u64 session,
			   bool ended);

/*
 * The session sent something that arrived then. Never backwards: what waited long in the log is
 * applied behind what came later.
 */
static inline void catalog_session_heard(struct cat_session *session, u64 arrived_ns)
{
	if (arrived_ns > session->renewed_ns)
		session->renewed_ns = arrived_ns;
}

/* NULL: there is none. */
struct cat_host *catalog_host(const struct meta_catalog *catalog, u32 host);
struct cat_store *catalog_store(const struct meta_catalog *catalog, u32 store);
struct cat_group *catalog_group(const struct meta_catalog *catalog, u64 group);
struct cat_volume *catalog_volume(const struct meta_catalog *catalog, u64 volume);
struct cat_volume *catalog_volume_by_name(const struct meta_catalog *catalog, const char *name);
/* Whose groups it writes to. */
static inline u64 catalog_domain(const struct cat_volume *volume)
{
	u32 domain = le32_to_cpu(volume->info.dedup_domain);

	return domain ? domain : volume->volume;
}
/* Not one that is being ended. */
struct cat_session *catalog_session(const struct meta_catalog *catalog, u64 session);
struct cat_host *catalog_host_by_client(const struct meta_catalog *catalog, u64 client);

/* True if it answers: shards can be read there and deleted. One that is full does. */
bool catalog_store_readable(const struct meta_catalog *catalog, const struct cat_store *store);
/* True if shards can be put there now. */
bool catalog_store_up(const struct meta_catalog *catalog, const struct cat_store *store);
/* All of its stores are up. */
bool catalog_group_up(const struct meta_catalog *catalog, const struct cat_group *group);
void catalog_touch_host(struct meta_catalog *catalog, struct cat_host *host);
void catalog_touch_store(struct meta_catalog *catalog, struct cat_store *store);

#endif
