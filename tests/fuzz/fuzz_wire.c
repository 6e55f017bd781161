// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Frames of the chunk protocol and HELLO. Bit 0 of the first byte: sign the header first, so that the rules behind its
 * checksum are reached; bit 1: decode it as an answer.
 */
#include <stdlib.h>

#include "chunk/crc32c.h"
#include "node/wire.h"

#define require(what)            \
	do {                     \
		if (!(what))     \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static void sign(struct weft_wire_header *header)
{
	header->magic = cpu_to_le32(WEFT_WIRE_MAGIC);
	header->version = WEFT_WIRE_VERSION;
	header->crc = 0;
	header->crc = cpu_to_le32(weft_crc32c(0, header, sizeof(*header)));
}

/* What a frame that was accepted promises. */
static void accepted(const struct weft_wire_frame *frame, const struct weft_wire_header *header,
		     bool reply)
{
	struct weft_wire_header again;
	u64 parts = (u64)frame->head_len + frame->length + frame->crc_len;

	weft_wire_header_encode(&again, frame);
	require(!memcmp(&again, header, sizeof(again)));
	require(frame->payload_len <= WEFT_WIRE_PAYLOAD_MAX && frame->index < WEFT_SHARDS_MAX);
	require(!(frame->flags & WEFT_WIRE_REPLY) == !reply);
	if (frame->crc_len) {
		require(parts == frame->payload_len && weft_wire_shard_len_ok(frame->shard_len));
		require(weft_wire_crc_start(frame) + frame->crc_len == frame->payload_len);
		require(frame->offset + frame->length <= frame->shard_len);
	}
	if (frame->op == WEFT_OP_GET && !reply)
		require(weft_wire_range_clamp(frame->offset, frame->length, WEFT_SHARD_LEN_MAX) <=
			WEFT_SHARD_LEN_MAX);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct weft_wire_greeting greeting, agreed;
	struct weft_wire_header header;
	struct weft_wire_hello hello, again;
	struct weft_wire_frame frame;
	const char *why = NULL;

	if (size >= 1 + sizeof(header)) {
		memcpy(&header, data + 1, sizeof(header));
		if (data[0] & 1)
			sign(&header);
		if (!weft_wire_header_decode(&frame, &header, data[0] & 2, WEFT_WIRE_PAYLOAD_MAX,
					     &why))
			accepted(&frame, &header, data[0] & 2);
		else
			require(why);
	}
	if (size >= 1 + sizeof(hello)) {
		memcpy(&hello, data + size - sizeof(hello), sizeof(hello));
		if (!weft_wire_hello_decode(&greeting, &hello, &why)) {
			weft_wire_hello_encode(&again, &greeting);
			require(!memcmp(&again, &hello, sizeof(again)));
			weft_wire_hello_agree(&agreed, &greeting, &greeting);
		}
	}
	return 0;
}
