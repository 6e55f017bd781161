// SPDX-License-Identifier: GPL-2.0-or-later
/* keyfile.c - see keyfile.h. Argon2id and XChaCha20-Poly1305 are libsodium's. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include <sodium.h>

#include "crypt/derive.h"
#include "crypt/name.h"
#include "keyfile.h"

static_assert(KEY_LEN == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "keys");
static_assert(crypto_pwhash_SALTBYTES == 16, "salts");

/* The UUID, and the slot or key up to its nonce. */
static size_t ad_make(const struct keyfile *file, const void *head, size_t len, uint8_t *ad)
{
	memcpy(ad, file->head.volume, 16);
	memcpy(ad + 16, head, len);
	return 16 + len;
}

static void wrap(const struct keyfile *file, const void *head, size_t head_len, const uint8_t *key, const uint8_t *plain,
		 uint8_t nonce[24], uint8_t wrapped[48])
{
	uint8_t ad[128];
	size_t ad_len = ad_make(file, head, head_len, ad);

	randombytes_buf(nonce, 24);
	crypto_aead_xchacha20poly1305_ietf_encrypt(wrapped, NULL, plain, KEY_LEN, ad, ad_len, NULL, nonce, key);
}

static int unwrap(const struct keyfile *file, const void *head, size_t head_len, const uint8_t *key, const uint8_t nonce[24],
		  const uint8_t wrapped[48], uint8_t *plain)
{
	uint8_t ad[128];
	size_t ad_len = ad_make(file, head, head_len, ad);

	return crypto_aead_xchacha20poly1305_ietf_decrypt(plain, NULL, NULL, wrapped, 48, ad, ad_len, nonce, key) ? -ENOKEY : 0;
}

#define SLOT_HEAD offsetof(struct weft_key_slot, nonce)
#define KEY_HEAD  offsetof(struct weft_key_wrapped, nonce)

static unsigned int slots_of(const struct keyfile *file)
{
	return le16_to_cpu(file->head.slots);
}

static unsigned int keys_of(const struct keyfile *file)
{
	return le16_to_cpu(file->head.keys);
}

/* The key under which volume keys are wrapped. */
static void key_key(const struct keyfile *file, uint8_t out[KEY_LEN])
{
	static const char info[] = "weft key wrap";
	uint8_t root[KEY_LEN];

	weft_hkdf_extract(file->head.volume, 16, file->master, KEY_LEN, root);
	weft_hkdf_expand(root, info, sizeof(info) - 1, out, KEY_LEN);
	sodium_memzero(root, sizeof(root));
}

static int add_key(struct keyfile *file)
{
	unsigned int n = keys_of(file);
	struct weft_key_wrapped *key = &file->keys[n];
	uint8_t under[KEY_LEN], plain[KEY_LEN];

	if (n == WEFT_KEYS_MAX)
		return -ENOSPC;
	*key = (struct weft_key_wrapped){
		.id = cpu_to_le32(le32_to_cpu(file->head.newest) + 1),
		.created = cpu_to_le64((uint64_t)time(NULL)),
	};
	key_key(file, under);
	randombytes_buf(plain, sizeof(plain));
	wrap(file, key, KEY_HEAD, under, plain, key->nonce, key->wrapped);
	file->head.keys = cpu_to_le16((uint16_t)(n + 1));
	file->head.newest = key->id;
	sodium_memzero(under, sizeof(under));
	sodium_memzero(plain, sizeof(plain));
	return 0;
}

int keyfile_init(struct keyfile *file, const uint8_t volume[16])
{
	memset(file, 0, sizeof(*file));
	file->head.magic = cpu_to_le32(WEFT_KEY_FILE_MAGIC);
	file->head.version = cpu_to_le16(WEFT_KEY_FILE_VERSION);
	memcpy(file->head.volume, volume, 16);
	file->master = sodium_malloc(KEY_LEN);
	if (!file->master)
		return -ENOMEM;
	randombytes_buf(file->master, KEY_LEN);
	return add_key(file);
}

/* What a passphrase is tried on, and what would make no keys of it. */
static bool slots_sound(const struct keyfile *file)
{
	for (unsigned int i = 0; i < slots_of(file); i++) {
		const struct weft_key_slot *slot = &file->slots[i];

		if (!slot->number || le32_to_cpu(slot->passes) > KEYFILE_PASSES_MAX || le32_to_cpu(slot->kib) > KEYFILE_KIB_MAX)
			return false;
	}
	return true;
}

static bool keys_sound(const struct keyfile *file)
{
	uint32_t last = 0;

	for (unsigned int i = 0; i < keys_of(file); i++) {
		if (le32_to_cpu(file->keys[i].id) <= last)
			return false;
		last = le32_to_cpu(file->keys[i].id);
	}
	return last == le32_to_cpu(file->head.newest) && last < UINT32_MAX;
}

int keyfile_decode(struct keyfile *file, const uint8_t *bytes, size_t len)
{
	size_t slots, keys;

	memset(file, 0, sizeof(*file));
	if (len < sizeof(file->head))
		return -EBADMSG;
	memcpy(&file->head, bytes, sizeof(file->head));
	slots = slots_of(file) * sizeof(file->slots[0]);
	keys = keys_of(file) * sizeof(file->keys[0]);
	if (le32_to_cpu(file->head.magic) != WEFT_KEY_FILE_MAGIC ||
	    le16_to_cpu(file->head.version) != WEFT_KEY_FILE_VERSION || file->head.reserved || slots > sizeof(file->slots) ||
	    !keys || keys > sizeof(file->keys) || len != sizeof(file->head) + slots + keys)
		return -EBADMSG;
	memcpy(file->slots, bytes + sizeof(file->head), slots);
	memcpy(file->keys, bytes + sizeof(file->head) + slots, keys);
	return slots_sound(file) && keys_sound(file) ? 0 : -EBADMSG;
}

size_t keyfile_encode(struct keyfile *file, uint8_t *bytes)
{
	size_t slots = slots_of(file) * sizeof(file->slots[0]), keys = keys_of(file) * sizeof(file->keys[0]);

	file->head.generation = cpu_to_le64(le64_to_cpu(file->head.generation) + 1);
	memcpy(bytes, &file->head, sizeof(file->head));
	memcpy(bytes + sizeof(file->head), file->slots, slots);
	memcpy(bytes + sizeof(file->head) + slots, file->keys, keys);
	return sizeof(file->head) + slots + keys;
}

void keyfile_free(struct keyfile *file)
{
	sodium_free(file->master);
	memset(file, 0, sizeof(*file));
}

/* The key of a slot: of a passphrase, or of a recovery text's bytes. */
static int slot_key(const struct weft_key_slot *slot, const char *secret, size_t len, uint8_t key[KEY_LEN])
{
	static const char info[] = "weft recovery";
	uint8_t bytes[KEYFILE_RECOVERY_TEXT], root[KEY_LEN];

	if (le32_to_cpu(slot->kind) == WEFT_KEY_PASSPHRASE)
		return crypto_pwhash(key, KEY_LEN, secret, len, slot->salt, le32_to_cpu(slot->passes),
				     (size_t)le32_to_cpu(slot->kib) * 1024, crypto_pwhash_ALG_ARGON2ID13) ? -ENOMEM : 0;
	if (le32_to_cpu(slot->kind) != WEFT_KEY_RECOVERY || len != KEYFILE_RECOVERY_TEXT - 1 ||
	    weft_base64url_decode(secret, len, bytes) != (int)KEY_LEN)
		return -ENOKEY;
	weft_hkdf_extract(slot->salt, sizeof(slot->salt), bytes, KEY_LEN, root);
	weft_hkdf_expand(root, info, sizeof(info) - 1, key, KEY_LEN);
	sodium_memzero(bytes, sizeof(bytes));
	sodium_memzero(root, sizeof(root));
	return 0;
}

int keyfile_open(struct keyfile *file, const char *secret, size_t len)
{
	uint8_t *master = sodium_malloc(KEY_LEN), key[KEY_LEN];
	int ret = master ? -ENOKEY : -ENOMEM;

	for (unsigned int i = 0; master && i < slots_of(file); i++) {
		const struct weft_key_slot *slot = &file->slots[i];
		int err = slot_key(slot, secret, len, key);

		if (err == -ENOMEM) {
			ret = err;
			continue;
		}
		if (!err && !unwrap(file, slot, SLOT_HEAD, key, slot->nonce, slot->wrapped, master)) {
			file->master = master;
			sodium_memzero(key, sizeof(key));
			return 0;
		}
	}
	sodium_memzero(key, sizeof(key));
	sodium_free(master);
	return ret;
}

static struct weft_key_slot *slot_new(struct keyfile *file, enum weft_key_slot_kind kind)
{
	unsigned int n = slots_of(file), number = 0;

	if (n == WEFT_KEY_SLOTS_MAX)
		return NULL;
	for (unsigned int i = 0; i < n; i++)
		if (le32_to_cpu(file->slots[i].number) > number)
			number = le32_to_cpu(file->slots[i].number);
	file->slots[n] = (struct weft_key_slot){
		.number = cpu_to_le32(number + 1),
		.kind = cpu_to_le32(kind),
		.created = cpu_to_le64((uint64_t)time(NULL)),
	};
	randombytes_buf(file->slots[n].salt, sizeof(file->slots[n].salt));
	return &file->slots[n];
}

static int slot_close(struct keyfile *file, struct weft_key_slot *slot, const char *secret, size_t len, uint32_t *number)
{
	uint8_t key[KEY_LEN];
	int err = slot_key(slot, secret, len, key);

	if (err)
		return err;
	wrap(file, slot, SLOT_HEAD, key, file->master, slot->nonce, slot->wrapped);
	sodium_memzero(key, sizeof(key));
	file->head.slots = cpu_to_le16((uint16_t)(slots_of(file) + 1));
	*number = le32_to_cpu(slot->number);
	return 0;
}

int keyfile_add_passphrase(struct keyfile *file, const char *secret, size_t len, const struct keyfile_cost *cost,
			   uint32_t *number)
{
	struct weft_key_slot *slot = slot_new(file, WEFT_KEY_PASSPHRASE);

	if (!slot)
		return -ENOSPC;
	slot->passes = cpu_to_le32(cost->passes);
	slot->kib = cpu_to_le32(cost->kib);
	return slot_close(file, slot, secret, len, number);
}

int keyfile_add_recovery(struct keyfile *file, char *text, uint32_t *number)
{
	struct weft_key_slot *slot = slot_new(file, WEFT_KEY_RECOVERY);
	uint8_t bytes[KEY_LEN];

	if (!slot)
		return -ENOSPC;
	randombytes_buf(bytes, sizeof(bytes));
	text[weft_base64url_encode(bytes, sizeof(bytes), (uint8_t *)text)] = 0;
	sodium_memzero(bytes, sizeof(bytes));
	return slot_close(file, slot, text, KEYFILE_RECOVERY_TEXT - 1, number);
}

int keyfile_remove(struct keyfile *file, uint32_t number)
{
	unsigned int n = slots_of(file);

	for (unsigned int i = 0; i < n; i++) {
		if (le32_to_cpu(file->slots[i].number) != number)
			continue;
		if (n == 1)
			return -EBUSY;
		memmove(&file->slots[i], &file->slots[i + 1], (n - i - 1) * sizeof(file->slots[0]));
		file->head.slots = cpu_to_le16((uint16_t)(n - 1));
		return 0;
	}
	return -ENOENT;
}

int keyfile_rotate(struct keyfile *file)
{
	return add_key(file);
}

struct weft_key_ring *keyfile_ring(const struct keyfile *file, size_t *len)
{
	unsigned int n = keys_of(file);
	struct weft_key_ring *ring;
	uint8_t under[KEY_LEN];

	*len = sizeof(*ring) + n * sizeof(struct weft_key_plain);
	ring = sodium_malloc(*len);
	if (!ring)
		return NULL;
	ring->magic = cpu_to_le32(WEFT_KEY_RING_MAGIC);
	ring->keys = cpu_to_le32(n);
	memcpy(ring->volume, file->head.volume, 16);
	key_key(file, under);
	for (unsigned int i = 0; i < n; i++) {
		struct weft_key_plain *plain = (struct weft_key_plain *)(ring + 1) + i;
		const struct weft_key_wrapped *key = &file->keys[i];

		plain->id = key->id;
		if (unwrap(file, key, KEY_HEAD, under, key->nonce, key->wrapped, plain->key)) {
			sodium_free(ring);
			ring = NULL;
			break;
		}
	}
	sodium_memzero(under, sizeof(under));
	return ring;
}
