/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * store_fixture.h - a store server in this process on a temporary directory, and shards to feed it with
 *
 * Every test of the store runs once with each back-end; io_uring is skipped where it is forbidden.
 */
#ifndef TESTS_UNIT_STORE_FIXTURE_H
#define TESTS_UNIT_STORE_FIXTURE_H

#include "store/client.h"
#include "store/store.h"

#define FIXTURE_STORE 7 /* number of the one store */

struct fixture {
	char dir[64]; /* store/ and socket are in it */
	char path[80], socket[96];
	const char *paths[1], *addresses[1];
	struct store_conf conf;
	struct store_server *server;
};

struct shard {
	struct weft_wire_frame name; /* store, group, sid, index */
	uint8_t head[WEFT_SHARD_HEADER_MAX];
	uint32_t head_len, shard_len, table_len;
	uint8_t *data, *table;
};

/* conf may be changed between the two. Directory and server end the test on failure. */
void fixture_init(struct fixture *fixture, enum store_backend backend);
void fixture_start(struct fixture *fixture);
void fixture_stop(struct fixture *fixture);
/* Removes the directory too; the server must be stopped. */
void fixture_exit(struct fixture *fixture);
/* True if the back-end works here. */
bool fixture_usable(enum store_backend backend);

struct store_client *fixture_connect(struct fixture *fixture, enum weft_wire_role role);

/* A shard of a k = 1 chunk with random bytes, about len long; counter names it. */
void shard_init(struct shard *shard, uint64_t group, uint64_t counter, uint32_t len,
		unsigned int seed);
void shard_exit(struct shard *shard);
int shard_put(struct store_client *client, const struct shard *shard);
/* GET of all of it: the status; fails the test if the status is 0 and the bytes are others. */
int shard_check(struct store_client *client, const struct shard *shard);
int shard_call(struct store_client *client, const struct shard *shard, uint8_t op);

/* Path of the only file below the fixture's store whose name ends so; fails the test if there is none. */
void fixture_find(struct fixture *fixture, const char *suffix, char path[512]);

#endif
