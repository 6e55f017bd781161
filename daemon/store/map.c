// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * map.c - which host has which store, and where that host listens
 *
 * Filled by the link, read by workers; one lock, held for a copy only. What the service does not name any more stays: an
 * address of a host that is gone costs a worker a failed connection, and the service does not send it there.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "net/tlv.h"
#include "store/link.h"

#define NUMBER_MAX \
	(1u        \
	 << 22) /* numbers are given one by one; anything above is no number of a host or store */

struct store_map {
	pthread_mutex_t lock; /* all below */
	char **hosts;	      /* address by host number */
	size_t n_hosts;
	uint32_t *stores; /* host by store number */
	size_t n_stores;
};

static int grow(void **array, size_t *n, size_t wanted, size_t size)
{
	size_t room = *n ? *n : 64;
	void *bigger;

	if (wanted < *n)
		return 0;
	while (room <= wanted)
		room *= 2;
	bigger = realloc(*array, room * size);
	if (!bigger)
		return -ENOMEM;
	memset((char *)bigger + *n * size, 0, (room - *n) * size);
	*array = bigger;
	*n = room;
	return 0;
}

/* name NUL address NUL [address NUL].. */
static int host_update(struct store_map *map, const struct tlv *tlv)
{
	const char *text = (const char *)tlv->data + sizeof(struct weft_c_host);
	size_t left = tlv->len - sizeof(struct weft_c_host), name;
	struct weft_c_host host;
	char *address;
	uint32_t number;

	memcpy(&host, tlv->data, sizeof(host));
	number = le32_to_cpu(host.host);
	name = strnlen(text, left);
	if (number >= NUMBER_MAX || name == left)
		return -EPROTO;
	text += name + 1;
	left -= name + 1;
	if (left == 0)
		return 0; /* no address yet */
	if (strnlen(text, left) == left)
		return -EPROTO;
	address = strdup(text);
	if (!address || grow((void **)&map->hosts, &map->n_hosts, number, sizeof(char *))) {
		free(address);
		return -ENOMEM;
	}
	free(map->hosts[number]);
	map->hosts[number] = address;
	return 0;
}

static int store_update(struct store_map *map, const struct tlv *tlv)
{
	struct weft_c_store store;
	uint32_t number;

	memcpy(&store, tlv->data, sizeof(store));
	number = le32_to_cpu(store.store);
	if (number >= NUMBER_MAX || le32_to_cpu(store.host) >= NUMBER_MAX)
		return -EPROTO;
	if (grow((void **)&map->stores, &map->n_stores, number, sizeof(uint32_t)))
		return -ENOMEM;
	map->stores[number] = le32_to_cpu(store.host);
	return 0;
}

int store_map_update(struct store_map *map, const void *payload, size_t len)
{
	struct tlv_reader reader;
	struct tlv tlv;
	int err = 0, more = 0;

	tlv_reader_init(&reader, payload, len);
	pthread_mutex_lock(&map->lock);
	while (!err && (more = tlv_next(&reader, &tlv)) == 1) {
		if (tlv.type == WEFT_C_HOST)
			err = tlv.len < sizeof(struct weft_c_host) ? -EPROTO
								   : host_update(map, &tlv);
		else if (tlv.type == WEFT_C_STORE)
			err = tlv.len != sizeof(struct weft_c_store) ? -EPROTO
								     : store_update(map, &tlv);
	}
	pthread_mutex_unlock(&map->lock);
	return err ? err : more;
}

int store_map_address(struct store_map *map, uint32_t store, char *address, size_t size)
{
	const char *text = NULL;
	int err = -ENOENT;

	pthread_mutex_lock(&map->lock);
	if (store < map->n_stores && map->stores[store] && map->stores[store] < map->n_hosts)
		text = map->hosts[map->stores[store]];
	if (text && strlen(text) < size) {
		strcpy(address, text);
		err = 0;
	}
	pthread_mutex_unlock(&map->lock);
	return err;
}

int store_map_init(struct store_map **out)
{
	struct store_map *map = calloc(1, sizeof(*map));

	if (!map)
		return -ENOMEM;
	pthread_mutex_init(&map->lock, NULL);
	*out = map;
	return 0;
}

void store_map_exit(struct store_map *map)
{
	for (size_t i = 0; i < map->n_hosts; i++)
		free(map->hosts[i]);
	pthread_mutex_destroy(&map->lock);
	free(map->hosts);
	free(map->stores);
	free(map);
}
