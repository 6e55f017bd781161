/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a run of content looks like, told from a few samples of it: whether a codec is worth its
 * time, and which.
 *
 * The caller picks spots, adds what stands there, and asks once. Costs some thousand cycles
 * whatever the length of the content, so that content which does not compress is written about as
 * fast as without any codec.
 *
 * Pure: no allocation, any context.
 */
#ifndef WEFT_CHUNK_SAMPLE_H
#define WEFT_CHUNK_SAMPLE_H

#include "../ec/ec_port.h"
#include "weft_format.h"

/* Spots of a chunk, and of a frame, and how long each is. Few bytes look denser than they are. */
#define WEFT_SAMPLE_SPOT	256u
#define WEFT_SAMPLE_CHUNK_SPOTS 16u
#define WEFT_SAMPLE_FRAME_SPOTS 4u

/* The longest beginning that weft_sample_packed() looks at. */
#define WEFT_SAMPLE_HEAD 16u

enum weft_content {
	WEFT_CONTENT_TEXT,	/* worth a thorough codec */
	WEFT_CONTENT_BINARY,	/* worth a fast one */
	WEFT_CONTENT_DENSE,	/* compressed or encrypted already: worth none */
};

struct weft_sample {
	u32 total;
	u32 counts[256];
};

void weft_sample_begin(struct weft_sample *sample);
void weft_sample_add(struct weft_sample *sample, const void *bytes, u32 len);

/*
 * Shannon entropy of what was added, in 1/256 bits a byte: 0 to 2048. Off by at most 3 units, and
 * lower than that of the source by about 255 / (2 ln 2 * total) bits. At most 1 MiB was added.
 */
u32 weft_sample_entropy(const struct weft_sample *sample);

enum weft_content weft_sample_judge(const struct weft_sample *sample);

/* Whether a file that begins like that is an archive, an image, a film: compressed already. */
bool weft_sample_packed(const void *head, u32 len);

/* Where spot @spot of @spots begins in @len bytes; they are spread evenly and do not leave it. */
u32 weft_sample_spot(u32 len, u32 spot, u32 spots);

#endif
