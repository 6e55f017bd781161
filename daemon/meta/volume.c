// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * volume.c - volumes: policies, root, totals, and who has it mounted. A name leads to one volume.
 */
#include <errno.h>

#include "base/log.h"
#include "meta/meta.h"

int meta_volume_decode(const struct meta_key *key, const u8 *value, size_t len,
		       struct meta_volume *volume)
{
	size_t name_len, packed;

	memset(volume, 0, sizeof(*volume));
	volume->volume = meta_key_get_u64(key, 0);
	if (len < sizeof(volume->head))
		goto bad;
	memcpy(&volume->head, value, sizeof(volume->head));
	name_len = le32_to_cpu(volume->head.name_len);
	if (name_len >= sizeof(volume->name) || len < sizeof(volume->head) + name_len)
		goto bad;
	packed = len - sizeof(volume->head) - name_len;
	if (packed && packed != sizeof(volume->packed))
		goto bad;
	memcpy(volume->name, value + sizeof(volume->head), name_len);
	memcpy(&volume->packed, value + sizeof(volume->head) + name_len, packed);
	return 0;
bad:
	log_error("the record of volume %llu is malformed", (unsigned long long)volume->volume);
	return -EBADMSG;
}

int meta_volume_get(struct meta_txn *txn, u64 id, struct meta_volume *volume)
{
	struct meta_key key = meta_key_u64(id);
	u8 value[sizeof(volume->head) + sizeof(volume->name) + sizeof(volume->packed)];
	size_t len;
	int err;

	err = meta_get(txn, WEFT_MT_VOLUME, &key, NULL, 0, value, sizeof(value), &len);
	if (err)
		return err;
	return meta_volume_decode(&key, value, len, volume);
}

int meta_volume_put(struct meta_txn *txn, const struct meta_volume *volume)
{
	struct meta_key key = meta_key_u64(volume->volume);
	u8 tail[sizeof(volume->name) + sizeof(volume->packed)];
	size_t len = le32_to_cpu(volume->head.name_len);

	memcpy(tail, volume->name, len);
	/* A volume without compressed chunks has the record that it had before there were any. */
	if (volume->packed.plain_bytes || volume->packed.stored_bytes) {
		memcpy(tail + len, &volume->packed, sizeof(volume->packed));
		len += sizeof(volume->packed);
	}
	return meta_put(txn, WEFT_MT_VOLUME, &key, &volume->head, sizeof(volume->head), tail, len);
}

int meta_volume_find(struct meta_txn *txn, const char *name, u64 *volume)
{
	struct meta_key key = meta_key_bytes(name, strlen(name));
	struct weft_m_number number;
	int err;

	if (!key.len || strlen(name) > WEFT_NAME_MAX)
		return -ENOENT;
	err = meta_get(txn, WEFT_MT_VOLUME_NAME, &key, &number, sizeof(number), NULL, 0, NULL);
	if (!err)
		*volume = le64_to_cpu(number.number);
	return err;
}

u64 meta_volume_domain(const struct weft_volume_info *info)
{
	u32 domain = le32_to_cpu(info->dedup_domain);

	return domain ? domain : le64_to_cpu(info->volume);
}

int meta_volume_account(struct meta_state *state, u64 id, s64 files, s64 bytes)
{
	struct meta_volume volume;
	int err;

	le64_add(&state->counters.files, (u64)files);
	if (!files && !bytes)
		return 0;
	err = meta_volume_get(&state->txn, id, &volume);
	if (err)
		return err == -ENOENT ? -EBADMSG : err;
	le64_add(&volume.head.files, (u64)files);
	le64_add(&volume.head.bytes, (u64)bytes);
	return meta_volume_put(&state->txn, &volume);
}

int meta_volume_account_packed(struct meta_state *state, u64 id, s64 plain, s64 stored)
{
	struct meta_volume volume;
	int err;

	err = meta_volume_get(&state->txn, id, &volume);
	if (err)
		return err == -ENOENT ? -EBADMSG : err;
	le64_add(&volume.packed.plain_bytes, (u64)plain);
	le64_add(&volume.packed.stored_bytes, (u64)stored);
	return meta_volume_put(&state->txn, &volume);
}
