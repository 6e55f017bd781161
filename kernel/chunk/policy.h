/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Policies: how new content is cut into chunks and compressed, of a volume and of a file.
 *
 * A volume has a whole policy. A directory or file may have some settings of its own (struct
 * weft_attr.policy, bits as weft_payload.h says); what it does not set is as the volume has it, at
 * the time of writing. Whoever changes one of the two is told here what is wrong with it; when the
 * other changes afterwards so that they do not fit any more, the volume's alone counts.
 *
 * Pure.
 */
#ifndef WEFT_CHUNK_POLICY_H
#define WEFT_CHUNK_POLICY_H

#include "chunker.h"

/* @codec_level: 0: the codec's own */
struct weft_policy {
	const struct weft_chunker_ops *chunker;
	struct weft_chunker_params chunks;
	u8 codec;		/* enum weft_codec */
	u8 codec_policy;	/* enum weft_codec_policy */
	u8 codec_level;
};

/* hybrid with the sizes of weft_chunker_defaults, not compressed */
extern const struct weft_policy weft_policy_defaults;

/*
 * What is to be other than before. Zeros: nothing.
 * @chunker: or NULL
 * @size, @min, @max, @random: or 0
 * @codec, @codec_policy: with @has_codec
 * @level: with @has_level
 */
struct weft_policy_wish {
	const struct weft_chunker_ops *chunker;
	u32 size;
	u32 min;
	u32 max;
	u32 random;
	bool has_codec;
	bool has_level;
	u8 codec;
	u8 codec_policy;
	u8 level;
};

/*
 * @base with what @wish says. Sizes that are not wished for are kept as long as chunker and mean
 * are, else they are in the proportions of the defaults: 1/16 and 4 times the mean. Returns NULL, or
 * what is wrong with it, as a clause for the person who wishes.
 */
const char *weft_policy_make(struct weft_policy *policy, const struct weft_policy *base,
			     const struct weft_policy_wish *wish);

/* As options name it: "adaptive", or the codec's name. NULL: there is none of that number. */
const char *weft_policy_codec_name(u32 codec, u32 codec_policy);
/* False: there is no codec of that name. */
bool weft_policy_codec_find(const char *name, size_t len, u8 *codec, u8 *codec_policy);

/* The policy of a volume from its record. False: that makes no sense, or is unknown here. */
bool weft_policy_of_volume(struct weft_policy *policy, const struct weft_volume_info *info);
void weft_policy_to_volume(const struct weft_policy *policy, struct weft_volume_info *info);

/* --- What a directory or file sets itself --- */

/* "chunker", "chunk-size" ...: its number in enum weft_own_setting, or -1. */
int weft_own_find(const char *name);
const char *weft_own_name(enum weft_own_setting setting);
/*
 * Sets one setting from text, which need not end with NUL. Returns NULL, or what is wrong with the
 * text; whether it fits the volume and the other settings is weft_own_apply()'s to say.
 */
const char *weft_own_set(u64 *own, enum weft_own_setting setting, const char *text, size_t len);
void weft_own_unset(u64 *own, enum weft_own_setting setting);
/* As weft_own_set() would take it, with a NUL; its length, or 0: not set. */
#define WEFT_OWN_TEXT_MAX 16
size_t weft_own_show(u64 own, enum weft_own_setting setting, char text[WEFT_OWN_TEXT_MAX]);
/* NULL, or what is wrong; then policy is the volume's. */
const char *weft_own_apply(struct weft_policy *policy, const struct weft_policy *volume, u64 own);

#endif
