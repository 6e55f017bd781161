/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * crypt.h - the keys of a mount, and sealing and opening with them
 *
 * Keys come from the keyrings of whoever mounts, or says that there are keys now: one key of type "logon" for a volume
 * (uapi/weft_key.h). What is derived of it is immutable and counted, so that what is under way keeps the keys that it began
 * with; a key that is revoked or expires is none from then on, also for those.
 *
 * A mount without keys of an encrypted volume shows names in their bare form and can remove; nothing can be opened,
 * read, written or made: -ENOKEY.
 *
 * Ciphers of the kernel may be asynchronous and may want to sleep. What they work in belongs to a space, of which a mount
 * has a few; whoever has one computes and gives it back.
 */
#ifndef _WEFT_CRYPT_CRYPT_H
#define _WEFT_CRYPT_CRYPT_H

#include <linux/list.h>
#include <linux/refcount.h>
#include <linux/scatterlist.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>

#include "crypt/frame.h"
#include "crypt/name.h"

struct crypto_aead;
struct aead_request;
struct key;
struct weft_key_state;
struct weft_mount;

struct weft_crypt_key {
	u32 id;
	u8 root[WEFT_KEY_LEN];
};

struct weft_crypt {
	refcount_t ref;
	struct key *key;              /* a reference: with its end these are none any more */
	struct weft_name_keys names;
	unsigned int n_keys;
	struct weft_crypt_key keys[]; /* by ascending id: the last is for new content, the first made .names */
};

/* Embedded in struct weft_mount. */
struct weft_crypt_mount {
	bool encrypted;               /* set once, when it is mounted */
	spinlock_t lock;              /* below */
	struct weft_crypt *crypt;     /* NULL: there are no keys */
	bool closing;                 /* they are about to go: nothing new begins */
	unsigned int open;            /* files and directories */

	spinlock_t space_lock;        /* below */
	struct list_head spaces;      /* idle */
	unsigned int n_spaces;        /* of all; does not change */
	wait_queue_head_t space_wait;
};

/* --- keyring.c: which keys -------------------------------------------------------------------------------------------- */

/*
 * Before MOUNT's answer is believed: does this host have keys of the volume? A reference; NULL if not; ERR_PTR(-EBADMSG) if
 * they make no sense, or what the keyrings say.
 */
struct weft_crypt *weft_crypt_find(struct weft_mount *mount, u8 volume_uuid[16]);
void weft_crypt_put(struct weft_crypt *crypt);
/* The key of new content: @crypt->keys[.n_keys - 1]; that of an id, or NULL. */
const struct weft_crypt_key *weft_crypt_key(const struct weft_crypt *crypt, u32 id);

/* --- mount.c: the keys that a mount has --------------------------------------------------------------------------------- */

void weft_crypt_mount_prepare(struct weft_mount *mount);
/* The mount is of an encrypted volume; takes over @crypt, which may be NULL. Also after a failure there is an exit. */
int weft_crypt_mount_init(struct weft_mount *mount, struct weft_crypt *crypt);
void weft_crypt_mount_exit(struct weft_mount *mount);

/* A reference to the keys; NULL: there are none, or they were revoked. */
struct weft_crypt *weft_crypt_get(struct weft_mount *mount);
/* The same while they are not about to go, for what begins. */
struct weft_crypt *weft_crypt_get_new(struct weft_mount *mount);
/* 0 or -ENOKEY: whether content may be looked at. */
int weft_crypt_permitted(struct weft_mount *mount);

/* Around the time that something is open. needs_key: it is of no use without; -ENOKEY. */
int weft_crypt_open(struct weft_mount *mount, bool needs_key);
void weft_crypt_release(struct weft_mount *mount);

/* The keys of the caller's keyrings from now on. -ENOKEY; -EKEYREJECTED: they are another volume's. */
int weft_crypt_load(struct weft_mount *mount);
/* Writes and evicts what is cached, then forgets the keys. -EBUSY; force: the mount ends. */
int weft_crypt_unload(struct weft_mount *mount, bool force);
void weft_crypt_state(struct weft_mount *mount, struct weft_key_state *state);

/* --- aead.c: AES-256-GCM -------------------------------------------------------------------------------------------------- */

#define WEFT_AEAD_SGS 80 /* a frame and its tag in single pages, additional data, and something more */

struct weft_aead {
	struct list_head link;
	struct crypto_aead *tfm;
	struct aead_request *request;
	unsigned int n_sgs;
	u32 text_len, ad_len;
	u8 nonce[WEFT_NONCE_LEN];
	u8 ad[64];
	struct scatterlist sgs[WEFT_AEAD_SGS];
};

int weft_aead_spaces_init(struct weft_crypt_mount *crypt);
void weft_aead_spaces_exit(struct weft_crypt_mount *crypt);
/* No cipher keeps the key that it had last. By one at a time: two would wait for each other. Sleeps. */
void weft_aead_spaces_forget(struct weft_crypt_mount *crypt);
struct weft_aead *weft_aead_get(struct weft_crypt_mount *crypt);
void weft_aead_put(struct weft_crypt_mount *crypt, struct weft_aead *aead);

int weft_aead_set_key(struct weft_aead *aead, const u8 key[WEFT_KEY_LEN]);
/* One text: additional data (at most 64 bytes), then pieces of the text with its tag, which are changed in place. */
void weft_aead_begin(struct weft_aead *aead, const void *ad, u32 ad_len);
void weft_aead_add_page(struct weft_aead *aead, struct page *page, u32 len, u32 offset);
void weft_aead_add(struct weft_aead *aead, void *bytes, u32 len); /* any memory but the stack */
/* The tag is the last WEFT_CIPHER_TAG bytes. Sleeps. 0, -EBADMSG: was not sealed so, or another negative errno. */
int weft_aead_run(struct weft_aead *aead, const u8 nonce[WEFT_NONCE_LEN], bool seal);

/* --- value.c: what is sealed by itself ------------------------------------------------------------------------------------- */

/*
 * @out: @len + WEFT_VALUE_OVERHEAD bytes from kmalloc. Returns their number, or -ENOKEY, -ENOMEM. A kind's values are bound
 * to what they belong to.
 */
int weft_value_seal(struct weft_mount *mount, u8 kind, const struct weft_value_ad *ad, const void *plain, u32 len, u8 *out);
/* Opens in place: the plaintext is at @bytes + sizeof(struct weft_value). Returns its length, or -EBADMSG, -ENOKEY, ... */
int weft_value_open(struct weft_mount *mount, u8 kind, const struct weft_value_ad *ad, u8 *bytes, u32 len);

#endif /* _WEFT_CRYPT_CRYPT_H */
