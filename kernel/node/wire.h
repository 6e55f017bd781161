/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The chunk protocol's frames: encoder, decoder and validator of the header, the geometry of payloads, HELLO.
 *
 * Pure: shared by the module, the daemon and the tests. Nothing here allocates, sleeps, locks or keeps state, and no
 * byte of a frame is believed before it was checked. What a decoder returns with 0 obeys every rule of its operation
 * in uapi/weft_wire.h; the only things left to the caller are the payload's own checksums and the match of an answer
 * with its request (weft_wire_frame_answers()).
 */
#ifndef WEFT_NODE_WIRE_H
#define WEFT_NODE_WIRE_H

#include "ec/ec_port.h"
#include "weft_wire.h"

/* A frame's header in the machine's byte order. Fields as in struct weft_wire_header. */
struct weft_wire_frame {
	u8 op;
	u8 index;
	u16 flags;
	u32 status;
	u64 request_id;
	u64 group;
	u64 session;	/* of the sid */
	u64 counter;
	u64 offset;
	u32 store;
	u32 shard_len;
	u32 length;
	u32 head_len;
	u32 crc_len;
	u32 payload_len;
	u32 payload_crc;
	u32 usec;
};

/* HELLO in the machine's byte order. Fields as in struct weft_wire_hello. */
struct weft_wire_greeting {
	u8 cluster[16];
	u32 incarnation;
	u8 version_min;
	u8 version_max;
	u8 role;
	u64 features;
	u32 in_flight;
	u32 payload_max;
	u32 host;
};

/* Bytes of [CRCs] that stand behind @length bytes of data: an entry for each block, then the CRC of the entries. */
static inline u32 weft_wire_crc_len(u32 length)
{
	return 4 * (length / WEFT_CRC_BLOCK + (length % WEFT_CRC_BLOCK != 0) + 1);
}

/* Where the parts of the payload of a PUT, GET or STAT stand: [head][data][CRCs]. */
static inline u32 weft_wire_data_start(const struct weft_wire_frame *frame)
{
	return frame->head_len;
}

static inline u32 weft_wire_crc_start(const struct weft_wire_frame *frame)
{
	return frame->head_len + frame->length;
}

/* True if a shard may be @shard_len bytes long, as far as the length alone can tell. */
bool weft_wire_shard_len_ok(u32 shard_len);

/*
 * Clamp the range that a GET asks for to a shard of @shard_len bytes: @length is rounded up to whole blocks and ends at
 * the shard's end. Returns the number of bytes to answer with; 0 if @offset is at or behind the end.
 */
u32 weft_wire_range_clamp(u64 offset, u32 length, u32 shard_len);

/* Write @frame as a header, checksum included. The caller filled @frame by the rules of its operation. */
void weft_wire_header_encode(struct weft_wire_header *header, const struct weft_wire_frame *frame);

/*
 * Check @header and write it to @frame.
 * @reply: whether an answer or a request is expected here
 * @payload_max: longest payload the caller takes, at most WEFT_WIRE_PAYLOAD_MAX
 * @why: set to a constant sentence when the return value is not 0; may be NULL
 *
 * Returns 0; -EOPNOTSUPP for a request of an operation that this version has not: @frame is filled, its payload can be
 * skipped and UNKNOWN_OP answered; -EBADRQC for a request that is intact but breaks its operation's rules: likewise,
 * with INVAL. The connection must end after -EPROTO (no frame of this protocol, or damaged), -EPROTONOSUPPORT (other
 * version) and -EMSGSIZE (payload above @payload_max); answers know only these three.
 */
int weft_wire_header_decode(struct weft_wire_frame *frame, const struct weft_wire_header *header, bool reply,
			    u32 payload_max, const char **why);

/*
 * True if @answer, decoded, is an answer to @request: same operation, id, store, group, sid and index, for a GET also a
 * range that the request's clamps to and a shard header if and only if one was asked for.
 */
bool weft_wire_frame_answers(const struct weft_wire_frame *answer, const struct weft_wire_frame *request);

/* Fill @answer as an answer with @status and without payload to @request. */
void weft_wire_frame_reply(struct weft_wire_frame *answer, const struct weft_wire_frame *request, u32 status);

/* Fill lengths of a PUT of a shard of @shard_len bytes with a shard header of @head_len bytes; the rest is kept. */
void weft_wire_frame_put(struct weft_wire_frame *frame, u32 head_len, u32 shard_len);

/* HELLO's payload. The decoder returns 0 or -EPROTO with *@why set (@why may be NULL). */
void weft_wire_hello_encode(struct weft_wire_hello *hello, const struct weft_wire_greeting *greeting);
int weft_wire_hello_decode(struct weft_wire_greeting *greeting, const struct weft_wire_hello *hello, const char **why);

/*
 * What the accepting side (@ours) answers to @theirs: @agreed gets the highest common version (min and max alike), the
 * features of both and the smaller limits, the role that was claimed, and cluster, incarnation and host of @ours.
 * Returns an enum weft_status: OK, WRONG_CLUSTER, OLD_INCARNATION or VERSION.
 */
u32 weft_wire_hello_agree(struct weft_wire_greeting *agreed, const struct weft_wire_greeting *ours,
			  const struct weft_wire_greeting *theirs);

#endif
