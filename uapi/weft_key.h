/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * weft_key.h - keys of an encrypted volume: where they are kept, wrapped, and how the kernel gets them
 *
 *   passphrase --Argon2id--> slot key --unwraps--> master key --unwraps--> volume keys 1, 2, ...
 *
 * The metadata service keeps one *key file* a volume: struct weft_key_file, its slots, its volume keys. To it they are bytes
 * that it does not understand; it looks at the head only. Master key and volume keys are 32 random bytes. Each is wrapped
 * by XChaCha20-Poly1305 (libsodium's crypto_aead_xchacha20poly1305_ietf): .wrapped is ciphertext and tag; the additional
 * data is the volume's UUID and the slot or key up to .nonce. A slot of kind RECOVERY has no passphrase but 32 random
 * bytes, printed once as base64url; its slot key is HKDF-SHA-256 of them, with the slot's salt and "weft recovery".
 * A volume key is wrapped under HKDF-SHA-256 of the master key, with the volume's UUID as salt, and "weft key wrap".
 *
 * Into the kernel go the volume keys: as a key of type "logon" with the description "weft:CLUSTER:VOLUME" (UUID of the
 * cluster, name of the volume) and struct weft_key_ring as payload. A mount looks for it among the keys of who mounts, and
 * again when it is told to (WEFT_IOC_KEY_LOAD). A volume for which there is such a key is encrypted, whatever the metadata
 * service says.
 *
 * Changelog
 *   1  first version
 */
#ifndef _UAPI_WEFT_KEY_H
#define _UAPI_WEFT_KEY_H

#include <linux/ioctl.h>

#include "weft_format.h"

#define WEFT_KEY_FILE_MAGIC   0x464b6657u /* "WfKF" */
#define WEFT_KEY_FILE_VERSION 1
#define WEFT_KEY_SLOTS_MAX    16u
#define WEFT_KEYS_MAX         32u  /* of a volume, at a time */

struct weft_key_file {
	__le32 magic;
	__le16 version;
	__le16 slots;         /* how many weft_key_slot follow */
	__le16 keys;          /* how many weft_key_wrapped follow these, by ascending id */
	__le16 reserved;
	__le32 newest;        /* id of the key of new chunks: the last one's */
	__le64 generation;    /* from 1, grows by one with each change */
	__u8 volume[16];      /* UUID */
};
WEFT_ASSERT_SIZE(weft_key_file, 40);

enum weft_key_slot_kind {
	WEFT_KEY_PASSPHRASE = 1, /* Argon2id, version 1.3, one lane */
	WEFT_KEY_RECOVERY = 2,
};

struct weft_key_slot {
	__le32 number;        /* from 1; no two of a file are the same */
	__le32 kind;          /* enum weft_key_slot_kind */
	__le64 created;       /* seconds since 1970 */
	__le32 passes;        /* Argon2id; else 0 */
	__le32 kib;
	__u8 salt[16];
	__u8 nonce[24];
	__u8 wrapped[48];
};
WEFT_ASSERT_SIZE(weft_key_slot, 112);

struct weft_key_wrapped {
	__le32 id;            /* from 1 */
	__le32 reserved;
	__le64 created;
	__u8 nonce[24];
	__u8 wrapped[48];
};
WEFT_ASSERT_SIZE(weft_key_wrapped, 88);

#define WEFT_KEY_FILE_MAX (sizeof(struct weft_key_file) + WEFT_KEY_SLOTS_MAX * sizeof(struct weft_key_slot) + \
			   WEFT_KEYS_MAX * sizeof(struct weft_key_wrapped))

#define WEFT_KEY_RING_MAGIC 0x524b6657u /* "WfKR" */

struct weft_key_plain {
	__le32 id;
	__u8 key[32];
};
WEFT_ASSERT_SIZE(weft_key_plain, 36);

/* Payload of the logon key. New chunks get the last key; names are sealed by the first. */
struct weft_key_ring {
	__le32 magic;
	__le32 keys;          /* how many struct weft_key_plain follow, by ascending id */
	__u8 volume[16];
};
WEFT_ASSERT_SIZE(weft_key_ring, 24);

/* The requests of ioctl(2) ask for CAP_SYS_ADMIN. On any directory of a mount: */
struct weft_key_state {
	__u32 loaded;         /* 1: the mount has keys; 0: names only, sealed */
	__u32 current_id;     /* id of the key of new chunks */
	__u32 oldest;
	__u32 open;           /* files and directories that programs have open */
	__u64 reserved[2];
};
WEFT_ASSERT_SIZE(weft_key_state, 32);

/* On a file that is open for writing: what of a range is not under the newest key is made dirty, to be written anew. */
struct weft_key_rewrite {
	__u64 offset;         /* bytes */
	__u64 length;         /* at most WEFT_KEY_REWRITE_MAX */
	__u64 done;           /* answer: how many bytes will be */
};
WEFT_ASSERT_SIZE(weft_key_rewrite, 24);

#define WEFT_KEY_REWRITE_MAX (64u * 1024 * 1024)

#define WEFT_KEY_FORCE 1u /* UNLOAD: with files open too; the mount ends as by umount -f */

#define WEFT_IOC_KEY_STATE  _IOR('w', 1, struct weft_key_state)
#define WEFT_IOC_KEY_LOAD   _IO('w', 2)         /* the keyrings of the caller have the key: use it */
#define WEFT_IOC_KEY_UNLOAD _IOW('w', 3, __u32) /* 0 or WEFT_KEY_FORCE */
#define WEFT_IOC_KEY_REWRITE _IOWR('w', 4, struct weft_key_rewrite)

#endif /* _UAPI_WEFT_KEY_H */
