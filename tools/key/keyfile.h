/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * keyfile.h - a volume's key file (uapi/weft_key.h): made, opened by a passphrase, changed
 *
 * Secrets live in locked memory (sodium_malloc) and are wiped when they are freed.
 */
#ifndef WEFT_TOOL_KEYFILE_H
#define WEFT_TOOL_KEYFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weft_key.h"

#define KEY_LEN 32u

struct keyfile {
	struct weft_key_file head;
	struct weft_key_slot slots[WEFT_KEY_SLOTS_MAX];
	struct weft_key_wrapped keys[WEFT_KEYS_MAX];
	uint8_t *master;            /* NULL: not opened */
};

/* How a passphrase becomes a key. */
struct keyfile_cost {
	uint32_t passes;
	uint32_t kib;
};

/* What Argon2id may cost: a file that asks for more would only keep whoever opens it busy. */
#define KEYFILE_PASSES_MAX 100u
#define KEYFILE_KIB_MAX    (4u << 20)

/* A new one without slots, with one volume key, opened. */
int keyfile_init(struct keyfile *file, const uint8_t volume[16]);
/* The metadata service may send anything. -EBADMSG: no key file of this version. */
int keyfile_decode(struct keyfile *file, const uint8_t *bytes, size_t len);
/* For the metadata service: the generation grows. @bytes has room for WEFT_KEY_FILE_MAX. Returns the length. */
size_t keyfile_encode(struct keyfile *file, uint8_t *bytes);
void keyfile_free(struct keyfile *file);

/* Opens it by a passphrase, or by the text of a recovery slot. -ENOKEY: fits no slot; -ENOMEM. */
int keyfile_open(struct keyfile *file, const char *secret, size_t len);

/*
 * All these want an opened file. add: *number is the new slot's; -ENOSPC: there are as many as there can be.
 * text: WEFT_RECOVERY_TEXT bytes, with a NUL.
 */
#define KEYFILE_RECOVERY_TEXT 44u
int keyfile_add_passphrase(struct keyfile *file, const char *secret, size_t len, const struct keyfile_cost *cost,
			   uint32_t *number);
int keyfile_add_recovery(struct keyfile *file, char *text, uint32_t *number);
/* -ENOENT; -EBUSY: it is the last one. */
int keyfile_remove(struct keyfile *file, uint32_t number);
/* A new volume key for new chunks. -ENOSPC. */
int keyfile_rotate(struct keyfile *file);
/* What the kernel gets: in locked memory, to be freed by sodium_free(). NULL: a key does not open (damaged), or no memory. */
struct weft_key_ring *keyfile_ring(const struct keyfile *file, size_t *len);

#endif
