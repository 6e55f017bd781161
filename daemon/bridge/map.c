// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * map.c - hosts, stores and groups: what the leader says, told to the kernel
 *
 * A frame adds and changes; a frame with VERSION ends a whole map, and what no frame of it named goes. Tables are sorted by
 * number, so a look-up is O(log n) and a whole map of n entries costs O(n log n) at most. Only what changed is told to the
 * kernel. Everything is checked before it is believed.
 */
#include <endian.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "bridge/bridge.h"

#define STORES_MAX 4096u /* of a host: what the kernel takes, and a message to it holds */

/* --- telling the kernel ---------------------------------------------------------------------------------------------- */

static void tell_host(struct bridge *bridge, const struct map_host *host)
{
	struct nlmsghdr *msg = bridge_netlink_begin(bridge, WEFT_CMD_HOST_SET, 0);

	mnl_attr_put_u32(msg, WEFT_A_HOST, host->host);
	mnl_attr_put_u32(msg, WEFT_A_STATE, host->state);
	mnl_attr_put_strz(msg, WEFT_A_NAME, host->name);
	for (size_t i = 0; i < host->n_stores; i++)
		mnl_attr_put_u32(msg, WEFT_A_STORE, host->stores[i]);
	bridge_netlink_send(bridge, "know a host");
}

static void tell_host_gone(struct bridge *bridge, uint32_t host)
{
	struct nlmsghdr *msg = bridge_netlink_begin(bridge, WEFT_CMD_HOST_DEL, 0);

	mnl_attr_put_u32(msg, WEFT_A_HOST, host);
	bridge_netlink_send(bridge, "forget a host");
}

static void tell_group(struct bridge *bridge, const struct map_group *group)
{
	struct nlmsghdr *msg = bridge_netlink_begin(bridge, WEFT_CMD_GROUP_SET, 0);
	struct weft_c_group record;

	memcpy(&record, group->record, sizeof(record));
	mnl_attr_put_u64(msg, WEFT_A_GROUP, group->group);
	mnl_attr_put_u8(msg, WEFT_A_K, record.k);
	mnl_attr_put_u8(msg, WEFT_A_M, record.m);
	mnl_attr_put_u32(msg, WEFT_A_FLAGS, le16toh(record.flags));
	mnl_attr_put_u32(msg, WEFT_A_WEIGHT, le32toh(record.weight));
	mnl_attr_put_u64(msg, WEFT_A_DOMAIN, le64toh(record.domain));
	mnl_attr_put(msg, WEFT_A_SLOTS, group->len - sizeof(record), group->record + sizeof(record));
	bridge_netlink_send(bridge, "know a group");
}

static void tell_group_gone(struct bridge *bridge, uint64_t group)
{
	struct nlmsghdr *msg = bridge_netlink_begin(bridge, WEFT_CMD_GROUP_DEL, 0);

	mnl_attr_put_u64(msg, WEFT_A_GROUP, group);
	bridge_netlink_send(bridge, "forget a group");
}

void bridge_map_push(struct bridge *bridge)
{
	for (size_t i = 0; i < bridge->map.n_hosts; i++)
		tell_host(bridge, &bridge->map.hosts[i]);
	for (size_t i = 0; i < bridge->map.n_groups; i++)
		tell_group(bridge, &bridge->map.groups[i]);
}

/* --- hosts ------------------------------------------------------------------------------------------------------------- */

static size_t host_position(const struct bridge_map *map, uint32_t host)
{
	size_t low = 0, high = map->n_hosts;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (map->hosts[mid].host < host)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct map_host *bridge_map_host(struct bridge *bridge, uint32_t host)
{
	size_t i = host_position(&bridge->map, host);

	return i < bridge->map.n_hosts && bridge->map.hosts[i].host == host ? &bridge->map.hosts[i] : NULL;
}

static struct map_host *add_host(struct bridge_map *map, uint32_t number)
{
	size_t i = host_position(map, number);
	struct map_host *hosts = realloc(map->hosts, (map->n_hosts + 1) * sizeof(*hosts));

	if (!hosts)
		return NULL;
	map->hosts = hosts;
	memmove(hosts + i + 1, hosts + i, (map->n_hosts - i) * sizeof(*hosts));
	memset(&hosts[i], 0, sizeof(hosts[i]));
	hosts[i].host = number;
	map->n_hosts++;
	return &hosts[i];
}

static void free_texts(struct map_host *host)
{
	free(host->name);
	for (size_t i = 0; i < host->n_addresses; i++)
		free(host->addresses[i]);
	free(host->addresses);
	host->name = NULL;
	host->addresses = NULL;
	host->n_addresses = 0;
}

static void free_host(struct map_host *host)
{
	bridge_host_forget(host);
	free_texts(host);
	free(host->stores);
}

/* "name\0address\0address\0" */
static int read_texts(struct map_host *host, const char *text, size_t len)
{
	const char *end = text + len;

	if (!len || end[-1])
		return -EPROTO;
	free_texts(host);
	host->name = strndup(text, 255);
	if (!host->name)
		return -ENOMEM;
	for (text += strlen(text) + 1; text < end; text += strlen(text) + 1) {
		char **addresses = realloc(host->addresses, (host->n_addresses + 1) * sizeof(*addresses));

		if (!addresses)
			return -ENOMEM;
		host->addresses = addresses;
		addresses[host->n_addresses] = strdup(text);
		if (!addresses[host->n_addresses])
			return -ENOMEM;
		host->n_addresses++;
	}
	return 0;
}

static int read_host(struct bridge *bridge, const struct tlv *tlv)
{
	struct weft_c_host record;
	struct map_host *host;
	int ret;

	if (tlv->len <= sizeof(record))
		return -EPROTO;
	memcpy(&record, tlv->data, sizeof(record));
	host = bridge_map_host(bridge, le32toh(record.host));
	if (!host)
		host = add_host(&bridge->map, le32toh(record.host));
	if (!host)
		return -ENOMEM;
	ret = read_texts(host, (const char *)tlv->data + sizeof(record), tlv->len - sizeof(record));
	if (!host->name)
		host->name = strdup("?");
	if (ret || !host->name)
		return ret ? ret : -ENOMEM;
	host->state = le32toh(record.state);
	host->seen = true;
	tell_host(bridge, host);
	return 0;
}

/* A store that appears on a host has left the one where it was: a disk may move. */
static void drop_store(struct bridge *bridge, uint32_t store)
{
	for (size_t i = 0; i < bridge->map.n_hosts; i++) {
		struct map_host *host = &bridge->map.hosts[i];

		for (size_t j = 0; j < host->n_stores; j++)
			if (host->stores[j] == store) {
				host->stores[j] = host->stores[--host->n_stores];
				tell_host(bridge, host);
				return;
			}
	}
}

static int read_store(struct bridge *bridge, const struct tlv *tlv)
{
	static struct log_limit limit;
	struct weft_c_store record;
	struct map_host *host;
	uint32_t *stores, store;

	if (tlv->len != sizeof(record))
		return -EPROTO;
	memcpy(&record, tlv->data, sizeof(record));
	host = bridge_map_host(bridge, le32toh(record.host));
	store = le32toh(record.store);
	if (!host || !store)
		return -EPROTO;
	for (size_t i = 0; i < host->n_stores; i++)
		if (host->stores[i] == store)
			return 0;
	if (host->n_stores >= STORES_MAX) {
		if (log_limit(&limit, 2, 60))
			log_error("host %s has more than %u stores; store %u cannot be used by this "
				  "client: divide the stores among several hosts",
				  host->name, STORES_MAX, store);
		return 0;
	}
	drop_store(bridge, store);
	stores = realloc(host->stores, (host->n_stores + 1) * sizeof(*stores));
	if (!stores)
		return -ENOMEM;
	host->stores = stores;
	stores[host->n_stores++] = store;
	tell_host(bridge, host);
	return 0;
}

/* --- groups ------------------------------------------------------------------------------------------------------------ */

static size_t group_position(const struct bridge_map *map, uint64_t group)
{
	size_t low = 0, high = map->n_groups;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (map->groups[mid].group < group)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int read_group(struct bridge *bridge, const struct tlv *tlv)
{
	struct bridge_map *map = &bridge->map;
	struct weft_c_group record;
	struct map_group *group;
	uint8_t *bytes;
	uint64_t id;
	size_t i;

	if (tlv->len < sizeof(record))
		return -EPROTO;
	memcpy(&record, tlv->data, sizeof(record));
	if (!record.k || record.k + record.m > (int)WEFT_SHARDS_MAX || tlv->len != sizeof(record) + 4u * (record.k + record.m))
		return -EPROTO;
	id = le64toh(record.group);
	i = group_position(map, id);
	if (i == map->n_groups || map->groups[i].group != id) {
		group = realloc(map->groups, (map->n_groups + 1) * sizeof(*group));
		if (!group)
			return -ENOMEM;
		map->groups = group;
		memmove(group + i + 1, group + i, (map->n_groups - i) * sizeof(*group));
		memset(&group[i], 0, sizeof(group[i]));
		group[i].group = id;
		map->n_groups++;
	}
	group = &map->groups[i];
	group->seen = true;
	if (group->len == tlv->len && !memcmp(group->record, tlv->data, tlv->len))
		return 0;
	bytes = realloc(group->record, tlv->len);
	if (!bytes)
		return -ENOMEM;
	group->record = bytes;
	group->len = tlv->len;
	memcpy(bytes, tlv->data, tlv->len);
	tell_group(bridge, group);
	return 0;
}

/* --- frames ------------------------------------------------------------------------------------------------------------ */

/* The whole map has come: what it did not name is gone. */
static void sweep(struct bridge *bridge)
{
	struct bridge_map *map = &bridge->map;
	size_t kept = 0;

	for (size_t i = 0; i < map->n_groups; i++) {
		if (map->groups[i].seen) {
			map->groups[i].seen = false;
			map->groups[kept++] = map->groups[i];
			continue;
		}
		tell_group_gone(bridge, map->groups[i].group);
		free(map->groups[i].record);
	}
	map->n_groups = kept;
	kept = 0;
	for (size_t i = 0; i < map->n_hosts; i++) {
		if (map->hosts[i].seen) {
			map->hosts[i].seen = false;
			map->hosts[kept++] = map->hosts[i];
			continue;
		}
		tell_host_gone(bridge, map->hosts[i].host);
		free_host(&map->hosts[i]);
	}
	map->n_hosts = kept;
}

void bridge_map_update(struct bridge *bridge, const void *payload, size_t len)
{
	struct tlv_reader reader;
	struct tlv tlv;
	bool whole = false;
	int ret = 0;

	tlv_reader_init(&reader, payload, len);
	while (!ret && (ret = tlv_next(&reader, &tlv)) == 1) {
		ret = 0;
		if (tlv.type == WEFT_C_HOST)
			ret = read_host(bridge, &tlv);
		else if (tlv.type == WEFT_C_STORE)
			ret = read_store(bridge, &tlv);
		else if (tlv.type == WEFT_C_GROUP)
			ret = read_group(bridge, &tlv);
		else if (tlv.type == WEFT_C_VERSION)
			whole = true;
	}
	if (ret) {
		log_error("the metadata server sent a map that cannot be used: %s", strerror(-ret));
		bridge_leader_next(bridge);
		return;
	}
	if (whole)
		sweep(bridge);
}

void bridge_map_free(struct bridge *bridge)
{
	for (size_t i = 0; i < bridge->map.n_hosts; i++)
		free_host(&bridge->map.hosts[i]);
	for (size_t i = 0; i < bridge->map.n_groups; i++)
		free(bridge->map.groups[i].record);
	free(bridge->map.hosts);
	free(bridge->map.groups);
	memset(&bridge->map, 0, sizeof(bridge->map));
}
