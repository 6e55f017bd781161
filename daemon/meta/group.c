// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * group.c - groups: ordered lists of stores, and the numbers of the chunks in them, which ascend
 * and never come again.
 */
#include <errno.h>

#include "base/log.h"
#include "meta/meta.h"

int meta_group_decode(const struct meta_key *key, const u8 *value, size_t len,
		      struct meta_group *group)
{
	unsigned int slots;

	memset(group, 0, sizeof(*group));
	group->group = meta_key_get_u64(key, 0);
	if (len < sizeof(group->head))
		goto bad;
	memcpy(&group->head, value, sizeof(group->head));
	slots = (unsigned int)group->head.k + group->head.m;
	if (!group->head.k || slots > WEFT_SHARDS_MAX ||
	    len != sizeof(group->head) + slots * sizeof(group->stores[0]))
		goto bad;
	memcpy(group->stores, value + sizeof(group->head), slots * sizeof(group->stores[0]));
	return 0;
bad:
	log_error("the record of group %llu is malformed", (unsigned long long)group->group);
	return -EBADMSG;
}

int meta_group_get(struct meta_txn *txn, u64 id, struct meta_group *group)
{
	struct meta_key key = meta_key_u64(id);
	u8 value[sizeof(struct weft_m_group) + sizeof(group->stores)];
	size_t len;
	int err;

	err = meta_get(txn, WEFT_MT_GROUP, &key, NULL, 0, value, sizeof(value), &len);
	if (err)
		return err;
	return meta_group_decode(&key, value, len, group);
}

int meta_group_put(struct meta_txn *txn, const struct meta_group *group)
{
	struct meta_key key = meta_key_u64(group->group);

	return meta_put(txn, WEFT_MT_GROUP, &key, &group->head, sizeof(group->head), group->stores,
			((size_t)group->head.k + group->head.m) * sizeof(group->stores[0]));
}
