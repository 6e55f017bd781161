// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Maps of the cluster, as the metadata service pushes them to bridges and stores: frames, each behind two bytes of length.
 * What a bridge then knows is in order and within bounds; what a store knows can be asked for.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "bridge/bridge.h"
#include "store/link.h"

#define require(what) do { if (!(what)) abort(); } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct bridge *bridge)
{
	const struct bridge_map *map = &bridge->map;
	struct weft_c_group record;

	for (size_t i = 0; i < map->n_hosts; i++) {
		require(!i || map->hosts[i - 1].host < map->hosts[i].host);
		require(map->hosts[i].name && strlen(map->hosts[i].name) <= 255);
		require(bridge_map_host(bridge, map->hosts[i].host) == &map->hosts[i]);
		for (size_t j = 0; j < map->hosts[i].n_addresses; j++)
			require(map->hosts[i].addresses[j]);
		for (size_t j = 0; j < map->hosts[i].n_stores; j++)
			require(map->hosts[i].stores[j]);
	}
	for (size_t i = 0; i < map->n_groups; i++) {
		require(!i || map->groups[i - 1].group < map->groups[i].group);
		require(map->groups[i].len >= sizeof(record));
		memcpy(&record, map->groups[i].record, sizeof(record));
		require(record.k && record.k + record.m <= WEFT_SHARDS_MAX);
		require(map->groups[i].len == sizeof(record) + 4u * (record.k + record.m));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* No kernel here: messages to it are made, and not sent. */
	static uint8_t *tx;
	struct bridge bridge = { 0 };
	struct store_map *map;
	char address[256];
	uint8_t *frame;
	size_t len;

	if (!tx) {
		log_init(open("/dev/null", O_WRONLY | O_CLOEXEC), "fuzz", LOG_ERROR, true);
		tx = malloc(64 * 1024);
		require(tx);
	}
	bridge.nl.tx = tx;
	require(!store_map_init(&map));
	while (size >= 2) {
		len = data[0] | (size_t)data[1] << 8;
		len = len < size - 2 ? len : size - 2;
		frame = malloc(len ? len : 1);
		require(frame);
		memcpy(frame, data + 2, len);
		bridge_map_update(&bridge, frame, len);
		store_map_update(map, frame, len);
		free(frame);
		check(&bridge);
		data += 2 + len;
		size -= 2 + len;
	}
	for (uint32_t store = 0; store < 100; store++)
		require(store_map_address(map, store, address, sizeof(address)) || strlen(address) < sizeof(address));
	store_map_exit(map);
	bridge_map_push(&bridge);
	bridge_map_free(&bridge);
	return 0;
}
