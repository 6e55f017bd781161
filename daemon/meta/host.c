// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * host.c - hosts and stores as the state knows them: numbers, names, places, addresses. Whether
 * they are up is known to the leader alone and stands nowhere here.
 */
#include <errno.h>

#include "base/log.h"
#include "meta/meta.h"

bool meta_host_strings_ok(const char *strings, size_t len, unsigned int n)
{
	unsigned int found = 0;

	for (size_t i = 0; i < len; i++)
		found += !strings[i];
	return len && !strings[len - 1] && found == n;
}

const char *meta_host_string(const struct meta_host *host, unsigned int n)
{
	const char *at = host->strings, *end = at + le32_to_cpu(host->head.strings_len);

	for (; n && at < end; n--)
		at += strlen(at) + 1;
	return at < end ? at : "";
}

int meta_host_get(struct meta_txn *txn, u32 id, struct meta_host *host)
{
	struct meta_key key = meta_key_u32(id);
	size_t len;
	int err;

	host->host = id;
	err = meta_get(txn, WEFT_MT_HOST, &key, &host->head, sizeof(host->head), host->strings,
		       sizeof(host->strings), &len);
	if (err)
		return err;
	if (len == le32_to_cpu(host->head.strings_len) &&
	    meta_host_strings_ok(host->strings, len,
				 META_HOST_ADDRESS + le32_to_cpu(host->head.addresses)))
		return 0;
	log_error("the record of host %u is malformed", id);
	return -EBADMSG;
}

int meta_host_put(struct meta_txn *txn, const struct meta_host *host)
{
	struct meta_key key = meta_key_u32(host->host);

	return meta_put(txn, WEFT_MT_HOST, &key, &host->head, sizeof(host->head), host->strings,
			le32_to_cpu(host->head.strings_len));
}

static int find_number(struct meta_txn *txn, enum weft_m_table table, const void *name, size_t len,
		       u32 *number)
{
	struct meta_key key = meta_key_bytes(name, len);
	struct weft_m_number value;
	int err;

	if (!len || len > META_KEY_MAX)
		return -ENOENT;
	err = meta_get(txn, table, &key, &value, sizeof(value), NULL, 0, NULL);
	if (!err)
		*number = (u32)le64_to_cpu(value.number);
	return err;
}

int meta_host_find(struct meta_txn *txn, const char *name, u32 *host)
{
	return find_number(txn, WEFT_MT_HOST_NAME, name, strlen(name), host);
}

int meta_store_get(struct meta_txn *txn, u32 id, struct meta_store *store)
{
	struct meta_key key = meta_key_u32(id);
	size_t len;
	int err;

	store->store = id;
	err = meta_get(txn, WEFT_MT_STORE, &key, &store->head, sizeof(store->head), store->path,
		       sizeof(store->path) - 1, &len);
	if (err)
		return err;
	if (len != le32_to_cpu(store->head.path_len)) {
		log_error("the record of store %u is malformed", id);
		return -EBADMSG;
	}
	store->path[len] = 0;
	return 0;
}

int meta_store_put(struct meta_txn *txn, const struct meta_store *store)
{
	struct meta_key key = meta_key_u32(store->store);

	return meta_put(txn, WEFT_MT_STORE, &key, &store->head, sizeof(store->head), store->path,
			le32_to_cpu(store->head.path_len));
}

int meta_store_find(struct meta_txn *txn, const u8 uuid[16], u32 *store)
{
	return find_number(txn, WEFT_MT_STORE_UUID, uuid, 16, store);
}
