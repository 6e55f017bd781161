// SPDX-License-Identifier: GPL-2.0-only
/* What a policy is made of, and what is wrong with it. See policy.h. */
#include "policy.h"

#define KIB 1024u
#define MIB (1024u * KIB)

/* Sizes of a file's own are multiples of it. */
#define OWN_UNIT (4 * KIB)

const struct weft_policy weft_policy_defaults = {
	.chunker = &weft_chunker_hybrid,
	.chunks = {
		.min = 256 * KIB,
		.target = 4 * MIB,
		.max = 16 * MIB,
		.random = 256 * KIB,
	},
};

/* --- Codecs --- */

static const char *const codec_names[] = {
	[WEFT_CODEC_RAW] = "none",
	[WEFT_CODEC_ZSTD] = "zstd",
	[WEFT_CODEC_LZ4] = "lz4",
	[WEFT_CODEC_DEFLATE] = "deflate",
};

static bool name_is(const char *name, const char *text, size_t len)
{
	return strlen(name) == len && !memcmp(name, text, len);
}

const char *weft_policy_codec_name(u32 codec, u32 codec_policy)
{
	if (codec_policy == WEFT_CODEC_ADAPTIVE)
		return "adaptive";
	return codec < ARRAY_SIZE(codec_names) ? codec_names[codec] : NULL;
}

bool weft_policy_codec_find(const char *name, size_t len, u8 *codec, u8 *codec_policy)
{
	*codec_policy = WEFT_CODEC_FIXED;
	for (unsigned int i = 0; i < ARRAY_SIZE(codec_names); i++) {
		*codec = i;
		if (name_is(codec_names[i], name, len))
			return true;
	}
	/* What looks like text gets zstd, all else LZ4 or nothing. */
	*codec_policy = WEFT_CODEC_ADAPTIVE;
	*codec = WEFT_CODEC_ZSTD;
	return name_is("adaptive", name, len);
}

static const char *check_level(const struct weft_policy *policy)
{
	if (!policy->codec_level)
		return NULL;
	switch (policy->codec) {
	case WEFT_CODEC_RAW:
		return "level is of no use without a codec";
	case WEFT_CODEC_LZ4:
		return "lz4 has no levels";
	case WEFT_CODEC_DEFLATE:
		return policy->codec_level > WEFT_LEVEL_DEFLATE_MAX ? "level of deflate is 1 to 9"
								    : NULL;
	}
	return policy->codec_level > WEFT_LEVEL_ZSTD_MAX ? "level of zstd is 1 to 19" : NULL;
}

/* --- A whole policy --- */

static const char *check_wish(const struct weft_policy *policy, const struct weft_policy_wish *wish)
{
	if (policy->chunker == &weft_chunker_fixed && (wish->min || wish->max || wish->random))
		return "with the chunker \"fixed\" there is only chunk-size";
	if (policy->chunker != &weft_chunker_hybrid && wish->random)
		return "chunk-random is for the chunker \"hybrid\"";
	if (wish->size > WEFT_CHUNK_MAX)
		return "chunk-size is at most 16 MiB, and not 0";
	if (policy->chunker == &weft_chunker_fixed && policy->chunks.target % WEFT_FRAME_SIZE)
		return "with the chunker \"fixed\" chunk-size is a multiple of 128 KiB";
	return NULL;
}

static void fill_chunks(struct weft_policy *policy, const struct weft_policy_wish *wish, bool keep)
{
	struct weft_chunker_params *chunks = &policy->chunks;
	u32 target = chunks->target;

	if (policy->chunker == &weft_chunker_fixed) {
		chunks->min = chunks->max = chunks->random = target;
		return;
	}
	if (!keep) {
		chunks->min = target / 16;
		chunks->max = target <= WEFT_CHUNK_MAX / 4 ? target * 4 : WEFT_CHUNK_MAX;
		chunks->random = 256 * KIB < target ? 256 * KIB : target;
	}
	chunks->min = wish->min ?: chunks->min;
	chunks->max = wish->max ?: chunks->max;
	chunks->random = wish->random ?: chunks->random;
}

static const char *make_chunks(struct weft_policy *policy, const struct weft_policy_wish *wish)
{
	bool keep = (!wish->chunker || wish->chunker == policy->chunker) && !wish->size;
	const char *wrong;

	policy->chunker = wish->chunker ?: policy->chunker;
	policy->chunks.target = wish->size ?: policy->chunks.target;
	wrong = check_wish(policy, wish);
	if (wrong)
		return wrong;
	fill_chunks(policy, wish, keep);
	if (policy->chunks.min < OWN_UNIT)
		return "chunk-min is at least 4 KiB";
	if (policy->chunks.min > WEFT_CHUNK_MAX || policy->chunks.max > WEFT_CHUNK_MAX ||
	    policy->chunks.random > WEFT_CHUNK_MAX)
		return "chunk-min, chunk-max and chunk-random are at most 16 MiB, and not 0";
	return weft_chunker_check(policy->chunker, &policy->chunks);
}

const char *weft_policy_make(struct weft_policy *policy, const struct weft_policy *base,
			     const struct weft_policy_wish *wish)
{
	const char *wrong;

	*policy = *base;
	if (wish->has_codec) {
		/* Another codec's level says nothing. */
		if (wish->codec != base->codec)
			policy->codec_level = 0;
		policy->codec = wish->codec;
		policy->codec_policy = wish->codec_policy;
	}
	if (wish->has_level)
		policy->codec_level = wish->level;
	wrong = check_level(policy);
	return wrong ?: make_chunks(policy, wish);
}

bool weft_policy_of_volume(struct weft_policy *policy, const struct weft_volume_info *info)
{
	u32 codec = le32_to_cpu(info->codec), how = le16_to_cpu(info->codec_policy),
	    level = le16_to_cpu(info->codec_level);

	*policy = (struct weft_policy){
		.chunker = weft_chunker_of(le32_to_cpu(info->chunker)),
		.chunks = {
			.min = le32_to_cpu(info->chunk_min),
			.target = le32_to_cpu(info->chunk_size),
			.max = le32_to_cpu(info->chunk_max),
			.random = le32_to_cpu(info->chunk_random),
		},
		.codec = codec,
		.codec_policy = how,
		.codec_level = level,
	};
	if (!policy->chunker || codec >= ARRAY_SIZE(codec_names) || how > WEFT_CODEC_ADAPTIVE ||
	    level > WEFT_LEVEL_ZSTD_MAX || (codec == WEFT_CODEC_RAW && how) || check_level(policy))
		return false;
	return !weft_chunker_check(policy->chunker, &policy->chunks);
}

void weft_policy_to_volume(const struct weft_policy *policy, struct weft_volume_info *info)
{
	info->chunker = cpu_to_le32(policy->chunker->kind);
	info->chunk_size = cpu_to_le32(policy->chunks.target);
	info->chunk_min = cpu_to_le32(policy->chunks.min);
	info->chunk_max = cpu_to_le32(policy->chunks.max);
	info->chunk_random = cpu_to_le32(policy->chunks.random);
	info->codec = cpu_to_le32(policy->codec);
	info->codec_policy = cpu_to_le16(policy->codec_policy);
	info->codec_level = cpu_to_le16(policy->codec_level);
}

/* --- What a directory or file sets itself --- */

static const struct {
	const char *name;
	u8 shift, bits;
} settings[] = {
	[WEFT_OWN_CHUNKER] = { "chunker", 0, 3 },
	[WEFT_OWN_CODEC] = { "codec", 3, 3 },
	[WEFT_OWN_LEVEL] = { "level", 6, 5 },
	[WEFT_OWN_CHUNK_SIZE] = { "chunk-size", 11, 13 },
	[WEFT_OWN_CHUNK_MIN] = { "chunk-min", 24, 13 },
	[WEFT_OWN_CHUNK_MAX] = { "chunk-max", 37, 13 },
	[WEFT_OWN_CHUNK_RANDOM] = { "chunk-random", 50, 13 },
};
static_assert(ARRAY_SIZE(settings) == WEFT_OWN_NR, "a line for each setting");

/* Of WEFT_OWN_CODEC: one more than enum weft_codec, or this. */
#define OWN_ADAPTIVE 7u

static u32 own_get(u64 own, enum weft_own_setting setting)
{
	return own >> settings[setting].shift & ((1u << settings[setting].bits) - 1);
}

static void own_put(u64 *own, enum weft_own_setting setting, u32 value)
{
	weft_own_unset(own, setting);
	*own |= (u64)value << settings[setting].shift;
}

int weft_own_find(const char *name)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(settings); i++)
		if (!strcmp(settings[i].name, name))
			return i;
	return -1;
}

const char *weft_own_name(enum weft_own_setting setting)
{
	return settings[setting].name;
}

void weft_own_unset(u64 *own, enum weft_own_setting setting)
{
	*own &= ~((((u64)1 << settings[setting].bits) - 1) << settings[setting].shift);
}

/* Up to 9 digits. False: something else. */
static bool parse_number(const char **text, size_t *len, u32 *number)
{
	unsigned int digits = 0;

	*number = 0;
	for (; *len && **text >= '0' && **text <= '9' && digits < 9; digits++, ++*text, --*len)
		*number = *number * 10 + (**text - '0');
	return digits;
}

static const char *set_size(u64 *own, enum weft_own_setting setting, const char *text, size_t len)
{
	u64 unit = 1;
	u32 number;

	if (!parse_number(&text, &len, &number) || len > 1)
		return "a size is a number of bytes, such as 65536, 64K or 4M";
	if (len == 1 && *text == 'K')
		unit = KIB;
	else if (len == 1 && *text == 'M')
		unit = MIB;
	else if (len)
		return "a size is a number of bytes, such as 65536, 64K or 4M";
	if (!number || number * unit > WEFT_CHUNK_MAX)
		return "a size is at most 16 MiB, and not 0";
	if (number * unit % OWN_UNIT)
		return "a size of a file's own is a multiple of 4 KiB";
	own_put(own, setting, (u32)(number * unit / OWN_UNIT));
	return NULL;
}

static const char *set_chunker(u64 *own, const char *text, size_t len)
{
	const struct weft_chunker_ops *ops;

	for (u32 kind = WEFT_CHUNKER_FIXED; (ops = weft_chunker_of(kind)); kind++) {
		if (!name_is(ops->name, text, len))
			continue;
		own_put(own, WEFT_OWN_CHUNKER, kind);
		return NULL;
	}
	return "chunker is \"hybrid\", \"cdc\", \"variable\" or \"fixed\"";
}

static const char *set_codec(u64 *own, const char *text, size_t len)
{
	u8 codec, how;

	if (!weft_policy_codec_find(text, len, &codec, &how))
		return "codec is \"none\", \"zstd\", \"lz4\", \"deflate\" or \"adaptive\"";
	own_put(own, WEFT_OWN_CODEC, how == WEFT_CODEC_ADAPTIVE ? OWN_ADAPTIVE : codec + 1u);
	return NULL;
}

static const char *set_level(u64 *own, const char *text, size_t len)
{
	u32 level;

	if (!parse_number(&text, &len, &level) || len || !level || level > WEFT_LEVEL_ZSTD_MAX)
		return "level is 1 to 19, of deflate 1 to 9";
	own_put(own, WEFT_OWN_LEVEL, level);
	return NULL;
}

const char *weft_own_set(u64 *own, enum weft_own_setting setting, const char *text, size_t len)
{
	switch (setting) {
	case WEFT_OWN_CHUNKER:
		return set_chunker(own, text, len);
	case WEFT_OWN_CODEC:
		return set_codec(own, text, len);
	case WEFT_OWN_LEVEL:
		return set_level(own, text, len);
	default:
		return set_size(own, setting, text, len);
	}
}

static bool own_codec(u64 own, u8 *codec, u8 *how)
{
	u32 value = own_get(own, WEFT_OWN_CODEC);

	*how = value == OWN_ADAPTIVE ? WEFT_CODEC_ADAPTIVE : WEFT_CODEC_FIXED;
	*codec = value == OWN_ADAPTIVE ? WEFT_CODEC_ZSTD : value - 1;
	return value && (value == OWN_ADAPTIVE || value <= ARRAY_SIZE(codec_names));
}

size_t weft_own_show(u64 own, enum weft_own_setting setting, char text[WEFT_OWN_TEXT_MAX])
{
	u32 value = own_get(own, setting);
	const struct weft_chunker_ops *ops;
	const char *name = NULL;
	u8 codec, how;

	if (!value)
		return 0;
	if (setting == WEFT_OWN_LEVEL)
		return snprintf(text, WEFT_OWN_TEXT_MAX, "%u", value);
	if (setting == WEFT_OWN_CHUNKER) {
		ops = weft_chunker_of(value);
		name = ops ? ops->name : NULL;
	} else if (setting == WEFT_OWN_CODEC) {
		name = own_codec(own, &codec, &how) ? weft_policy_codec_name(codec, how) : NULL;
	} else if (value % (MIB / OWN_UNIT)) {
		return snprintf(text, WEFT_OWN_TEXT_MAX, "%uK", value * (OWN_UNIT / KIB));
	} else {
		return snprintf(text, WEFT_OWN_TEXT_MAX, "%uM", value / (MIB / OWN_UNIT));
	}
	/* From a newer version. */
	return snprintf(text, WEFT_OWN_TEXT_MAX, "%s", name ?: "unknown");
}

static const char *own_wish(struct weft_policy_wish *wish, u64 own)
{
	static const char *const unknown = "this version does not know all of its settings";

	*wish = (struct weft_policy_wish){
		.chunker = weft_chunker_of(own_get(own, WEFT_OWN_CHUNKER)),
		.size = own_get(own, WEFT_OWN_CHUNK_SIZE) * OWN_UNIT,
		.min = own_get(own, WEFT_OWN_CHUNK_MIN) * OWN_UNIT,
		.max = own_get(own, WEFT_OWN_CHUNK_MAX) * OWN_UNIT,
		.random = own_get(own, WEFT_OWN_CHUNK_RANDOM) * OWN_UNIT,
		.level = own_get(own, WEFT_OWN_LEVEL),
	};
	if (own >> 63 || (own_get(own, WEFT_OWN_CHUNKER) && !wish->chunker))
		return unknown;
	wish->has_level = wish->level;
	wish->has_codec = own_get(own, WEFT_OWN_CODEC);
	if (wish->has_codec && !own_codec(own, &wish->codec, &wish->codec_policy))
		return unknown;
	return NULL;
}

const char *weft_own_apply(struct weft_policy *policy, const struct weft_policy *volume, u64 own)
{
	struct weft_policy_wish wish;
	const char *wrong;

	if (!own) {
		*policy = *volume;
		return NULL;
	}
	wrong = own_wish(&wish, own);
	if (!wrong)
		wrong = weft_policy_make(policy, volume, &wish);
	if (wrong)
		*policy = *volume;
	return wrong;
}
