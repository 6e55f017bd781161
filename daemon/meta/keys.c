// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * keys.c - key files of encrypted volumes
 *
 * The service keeps them and hands them to whoever administers; what is in them it cannot read, and no key ever comes
 * here. The first key file makes a volume an encrypted one, for good. Two administrators who change one at a time: the
 * generation tells the second that he has not seen what the first did.
 */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "meta/service.h"
#include "weft_key.h"

static struct meta_key keys_key(u8 mgrp, u64 volume)
{
	struct meta_key key = meta_key_state(mgrp, WEFT_MS_KEYS), id = meta_key_u64(volume);

	memcpy(key.bytes + key.len, id.bytes, id.len);
	key.len += id.len;
	return key;
}

int meta_keys_get(struct meta_txn *txn, u8 mgrp, u64 volume, void *file, size_t max, size_t *len)
{
	struct meta_key key = keys_key(mgrp, volume);

	return meta_get(txn, WEFT_MT_STATE, &key, NULL, 0, file, max, len);
}

const char *meta_keys_wrong(const u8 uuid[16], const void *file, size_t len)
{
	struct weft_key_file head;
	struct weft_key_wrapped last;
	unsigned int slots, keys;

	if (len < sizeof(head))
		return "it is cut short";
	memcpy(&head, file, sizeof(head));
	slots = le16_to_cpu(head.slots);
	keys = le16_to_cpu(head.keys);
	if (le32_to_cpu(head.magic) != WEFT_KEY_FILE_MAGIC ||
	    le16_to_cpu(head.version) != WEFT_KEY_FILE_VERSION || head.reserved)
		return "it is no key file, or one of a later version";
	if (!slots || slots > WEFT_KEY_SLOTS_MAX || !keys || keys > WEFT_KEYS_MAX ||
	    len != sizeof(head) + slots * sizeof(struct weft_key_slot) + keys * sizeof(last))
		return "the number of its slots or keys is impossible";
	memcpy(&last, (const u8 *)file + len - sizeof(last), sizeof(last));
	if (last.id != head.newest)
		return "its last key is not the current one";
	return memcmp(head.volume, uuid, 16) ? "it is another volume's" : NULL;
}

/*
 * Nothing is set of which this version does not know whether it would give away what encryption hides: content ids that
 * are no secret, say.
 */
static bool all_known(const struct weft_volume_info *info)
{
	const u8 *bytes = (const u8 *)info;

	for (size_t i = offsetof(struct weft_volume_info, codec_level) + sizeof(info->codec_level); i < sizeof(*info); i++)
		if (bytes[i])
			return false;
	return true;
}

/* May the file be the volume's next? OK, a status or a negative errno. */
static int check_turn(struct meta_state *state, const struct meta_volume *volume, const struct weft_key_file *next)
{
	u8 file[WEFT_KEY_FILE_MAX];
	struct weft_key_file old = { 0 };
	size_t len;
	int err;

	err = meta_keys_get(&state->txn, state->mgrp, volume->volume, file, sizeof(file), &len);
	if (err && err != -ENOENT)
		return err;
	if (!err)
		memcpy(&old, file, sizeof(old));
	else if (volume->head.session || volume->head.files || volume->head.bytes)
		return WEFT_ST_NOTEMPTY;
	else if (!all_known(&volume->head.info))
		return WEFT_ST_OPNOTSUPP;
	return le64_to_cpu(next->generation) == le64_to_cpu(old.generation) + 1 ? WEFT_ST_OK : WEFT_ST_EXIST;
}

int meta_apply_keys_set(struct meta_state *state, const struct meta_entry *entry, struct meta_outcome *outcome)
{
	const struct weft_e_keys *body;
	struct weft_key_file head;
	struct meta_volume volume;
	struct meta_key key;
	const u8 *file;
	size_t len;
	int ret;

	body = meta_entry_body(entry, sizeof(*body), &file, &len);
	if (!body || len != le32_to_cpu(body->len) || len < sizeof(head))
		return -EBADMSG;
	ret = meta_volume_get(&state->txn, le64_to_cpu(body->volume), &volume);
	if (ret)
		return ret == -ENOENT ? WEFT_ST_NO_VOLUME : ret;
	if (meta_keys_wrong(volume.head.info.uuid, file, len))
		return WEFT_ST_INVAL;
	memcpy(&head, file, sizeof(head));
	ret = check_turn(state, &volume, &head);
	if (ret)
		return ret;
	key = keys_key(state->mgrp, volume.volume);
	ret = meta_put(&state->txn, WEFT_MT_STATE, &key, NULL, 0, file, len);
	if (ret || volume.head.info.cipher)
		return ret;
	volume.head.info.cipher = cpu_to_le32(WEFT_CIPHER_AES256_GCM);
	/* Content goes into chunks, which are sealed; nothing of a file is kept with its attributes. */
	volume.head.info.inline_max = 0;
	ret = meta_volume_put(&state->txn, &volume);
	if (!ret && state->hooks)
		state->hooks->volume(state->owner, volume.volume);
	return ret;
}

/* ---- Commands ---- */

#define refuse meta_admin_refuse

static struct cat_volume *volume_of(struct meta_brain *brain, struct meta_op *op, json_t *args)
{
	const char *name = json_string_value(json_object_get(args, "name"));
	struct cat_volume *volume = name ? catalog_volume_by_name(&brain->catalog, name) : NULL;

	if (!volume)
		refuse(op, WEFT_ST_NO_VOLUME, "there is no volume %s", name ? name : "without a name");
	return volume;
}

static void to_hex(const u8 *bytes, size_t len, char *text)
{
	for (size_t i = 0; i < len; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	text[2 * len] = 0;
}

/* Returns how many bytes, or 0: no hexadecimal text, or too long. */
static size_t from_hex(const char *text, u8 *bytes, size_t max)
{
	static const char digits[] = "0123456789abcdef";
	size_t len = text ? strlen(text) : 0;

	if (len % 2 || len / 2 > max || (len && strspn(text, digits) != len))
		return 0;
	for (size_t i = 0; i < len / 2; i++)
		bytes[i] = (u8)((strchr(digits, text[2 * i]) - digits) << 4 | (strchr(digits, text[2 * i + 1]) - digits));
	return len / 2;
}

/* {"name": NAME}: the volume's UUID, its cluster's, and its key file, or "" if it is not encrypted. */
void meta_admin_key_get(struct meta_brain *brain, struct meta_op *op, json_t *args)
{
	struct cat_volume *volume = volume_of(brain, op, args);
	char text[2 * WEFT_KEY_FILE_MAX + 1] = "", uuid[33], cluster[33];
	u8 file[WEFT_KEY_FILE_MAX];
	size_t len;
	int err;

	if (!volume)
		return;
	err = meta_state_read(&brain->state);
	if (!err)
		err = meta_keys_get(&brain->state.txn, brain->state.mgrp, volume->volume, file, sizeof(file), &len);
	if (err && err != -ENOENT)
		meta_brain_fatal(brain, "reading", err);
	if (!err)
		to_hex(file, len, text);
	to_hex(volume->info.uuid, sizeof(volume->info.uuid), uuid);
	to_hex(brain->state.cluster.uuid, sizeof(brain->state.cluster.uuid), cluster);
	meta_admin_answer(op, json_pack("{s:s, s:s, s:s, s:s}", "name", volume->name, "uuid", uuid, "cluster", cluster,
					"keys", text));
}

static void run_set(struct meta_brain *brain, struct meta_op *op)
{
	switch (op->outcome.status) {
	case WEFT_ST_OK:
		meta_admin_answer(op, json_pack("{s:b}", "done", 1));
		return;
	case WEFT_ST_NOTEMPTY:
		refuse(op, WEFT_ST_NOTEMPTY,
		       "only a volume without files that nobody has mounted can become an encrypted one");
		return;
	case WEFT_ST_OPNOTSUPP:
		refuse(op, WEFT_ST_OPNOTSUPP, "a volume that deduplicates cannot be encrypted: create one without --dedup");
		return;
	case WEFT_ST_EXIST:
		refuse(op, WEFT_ST_EXIST, "the volume's keys were changed at the same time; try again");
		return;
	}
	refuse(op, op->outcome.status, "the keys could not be kept: %s", status_text(op->outcome.status));
}

/* {"name": NAME, "keys": HEX} */
void meta_admin_key_set(struct meta_brain *brain, struct meta_op *op, json_t *args)
{
	struct cat_volume *volume = volume_of(brain, op, args);
	u8 file[WEFT_KEY_FILE_MAX];
	size_t len = from_hex(json_string_value(json_object_get(args, "keys")), file, sizeof(file));
	struct weft_e_keys body = { .len = cpu_to_le32((u32)len) };
	const char *wrong;

	if (!volume)
		return;
	wrong = meta_keys_wrong(volume->info.uuid, file, len);
	if (wrong) {
		refuse(op, WEFT_ST_INVAL, "the key file makes no sense: %s", wrong);
		return;
	}
	body.volume = cpu_to_le64(volume->volume);
	op->run = run_set;
	op->step = META_SUBMIT;
	if (meta_entry_begin(&op->entry, WEFT_ME_KEYS_SET) || meta_buffer_put(&op->entry, &body, sizeof(body)) ||
	    meta_buffer_put(&op->entry, file, len))
		refuse(op, WEFT_ST_NOMEM, "the metadata service is out of memory");
	else
		meta_brain_event(brain, "key", "the keys of volume %s were changed", volume->name);
}
