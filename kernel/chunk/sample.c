// SPDX-License-Identifier: GPL-2.0-only
/*
 * Judging content by samples. See sample.h.
 *
 * Entropy counts bytes, not repetitions: content of which each byte is as likely as any other but
 * that repeats itself passes for dense. That is the price of not running a codec to find out.
 */
#include "sample.h"

/*
 * In 1/256 bits. From 7.5 bits a byte on, coding of single bytes saves less than the sixteenth that
 * a frame has to save.
 */
#define ENTROPY_DENSE (7 * 256 + 128)

/* Few samples of content that is as dense as can be show less than 8 bits. */
#define FEW_SAMPLES	  2048u
#define ENTROPY_DENSE_FEW (7 * 256 + 76)

struct magic {
	u8 offset;
	u8 len;
	const char *bytes;
};

static const struct magic magics[] = {
	{ 0, 3, "\x1f\x8b\x08" },		   /* gzip */
	{ 0, 4, "PK\x03\x04" },			   /* zip and what is made of it */
	{ 0, 8, "\x89PNG\r\n\x1a\n" },		   /* PNG */
	{ 0, 3, "\xff\xd8\xff" },		   /* JPEG */
	{ 0, 4, "GIF8" },			   /* GIF */
	{ 4, 4, "ftyp" },			   /* MP4, MOV, HEIC, AVIF */
	{ 0, 4, "\x1a\x45\xdf\xa3" },		   /* Matroska, WebM */
	{ 8, 4, "WEBP" },			   /* WebP */
	{ 0, 4, "OggS" },			   /* Ogg */
	{ 0, 4, "fLaC" },			   /* FLAC */
	{ 0, 3, "ID3" },			   /* MP3 */
	{ 0, 4, "\x28\xb5\x2f\xfd" },		   /* zstd */
	{ 0, 6, "\3757zXZ\x00" },		   /* xz */
	{ 0, 4, "\x04\x22\x4d\x18" },		   /* LZ4 */
	{ 4, 6, "\x31\x41\x59\x26\x53\x59" },	   /* bzip2 */
	{ 0, 6, "7z\xbc\xaf\x27\x1c" },		   /* 7z */
	{ 0, 6, "Rar!\x1a\x07" },		   /* RAR */
	{ 0, 4, "LZIP" },			   /* lzip */
};

void weft_sample_begin(struct weft_sample *sample)
{
	memset(sample, 0, sizeof(*sample));
}

void weft_sample_add(struct weft_sample *sample, const void *bytes, u32 len)
{
	const u8 *p = bytes;

	for (u32 i = 0; i < len; i++)
		sample->counts[p[i]]++;
	sample->total += len;
}

/* log2(n) in 1/65536, n > 0: the bits in front of the comma are exact, those behind interpolated. */
static u32 log2_fixed(u32 n)
{
	u32 whole = 31 - __builtin_clz(n);
	u32 part = (u32)((u64)n << 16 >> whole) - 65536;

	/* log2(1 + x) is x, and up to 0.0861 more: a parabola of that height is off by 0.0079. */
	return (whole << 16) + part + (u32)((u64)part * (65536 - part) / 65536 * 22571 / 65536);
}

u32 weft_sample_entropy(const struct weft_sample *sample)
{
	u64 sum = 0;

	if (!sample->total)
		return 0;
	for (u32 i = 0; i < 256; i++)
		if (sample->counts[i])
			sum += (u64)sample->counts[i] *
			       (log2_fixed(sample->total) - log2_fixed(sample->counts[i]));
	return (u32)(sum >> 8) / sample->total;
}

/* Letters, digits, signs, blanks, and bytes of letters beyond ASCII; a few control characters. */
static bool sample_is_text(const struct weft_sample *sample)
{
	u32 control = sample->counts[127];

	if (sample->counts[0])
		return false;
	for (u32 i = 1; i < 32; i++)
		if (i != '\t' && i != '\n' && i != '\r')
			control += sample->counts[i];
	return control <= sample->total / 64;
}

enum weft_content weft_sample_judge(const struct weft_sample *sample)
{
	u32 dense = sample->total < FEW_SAMPLES ? ENTROPY_DENSE_FEW : ENTROPY_DENSE;

	if (weft_sample_entropy(sample) >= dense)
		return WEFT_CONTENT_DENSE;
	return sample_is_text(sample) ? WEFT_CONTENT_TEXT : WEFT_CONTENT_BINARY;
}

bool weft_sample_packed(const void *head, u32 len)
{
	for (size_t i = 0; i < ARRAY_SIZE(magics); i++) {
		const struct magic *magic = &magics[i];

		if (len >= (u32)magic->offset + magic->len &&
		    !memcmp((const u8 *)head + magic->offset, magic->bytes, magic->len))
			return true;
	}
	return false;
}

u32 weft_sample_spot(u32 len, u32 spot, u32 spots)
{
	if (len <= WEFT_SAMPLE_SPOT || spots < 2)
		return 0;
	return (u32)((u64)(len - WEFT_SAMPLE_SPOT) * spot / (spots - 1));
}
