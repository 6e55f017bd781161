// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * contents.c - contents that surely nobody has: answered here, without a trip to the leader
 *
 * The leader sends a filter of all content ids, in parts, then the ids that come to it. What is asked
 * for and surely new is added at once: the mount is about to write it, and may ask for it again before
 * the leader has told of it. A filter that is too old lets a duplicate be written, nothing else.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "bridge/bridge.h"

static int begin_filter(struct bridge_contents *contents, const struct tlv *tlv)
{
	struct weft_c_bloom head;

	if (tlv->len != sizeof(head))
		return -EPROTO;
	memcpy(&head, tlv->data, sizeof(head));
	bloom_free(&contents->coming);
	contents->have = 0;
	return bloom_init(&contents->coming, le64toh(head.bits), le32toh(head.hashes));
}

static int take_part(struct bridge_contents *contents, const struct tlv *tlv)
{
	struct bloom *coming = &contents->coming;

	if (!coming->bits || tlv->len > bloom_bytes(coming) - contents->have)
		return -EPROTO;
	memcpy(coming->bits + contents->have, tlv->data, tlv->len);
	contents->have += tlv->len;
	if (contents->have < bloom_bytes(coming))
		return 0;
	bloom_free(&contents->filter);
	contents->filter = *coming;
	*coming = (struct bloom){ 0 };
	return 0;
}

static int take_id(struct bridge_contents *contents, const struct tlv *tlv)
{
	if (tlv->len != BLOOM_ID)
		return -EPROTO;
	if (contents->filter.bits)
		bloom_add(&contents->filter, tlv->data);
	return 0;
}

void bridge_contents_update(struct bridge *bridge, const void *payload, size_t len)
{
	struct bridge_contents *contents = &bridge->contents;
	struct tlv_reader reader;
	struct tlv tlv;
	int ret = 0;

	tlv_reader_init(&reader, payload, len);
	while (!ret && (ret = tlv_next(&reader, &tlv)) == 1) {
		ret = 0;
		if (tlv.type == WEFT_C_BLOOM)
			ret = begin_filter(contents, &tlv);
		else if (tlv.type == WEFT_C_BLOOM_PART)
			ret = take_part(contents, &tlv);
		else if (tlv.type == WEFT_C_BLOOM_ID)
			ret = take_id(contents, &tlv);
	}
	if (!ret)
		return;
	/* Without one everything is asked for: slower, and right. */
	log_error("the metadata server sent a filter of contents that cannot be used: %s", strerror(-ret));
	bridge_contents_free(bridge);
}

bool bridge_contents_are_new(struct bridge *bridge, const void *payload, size_t len)
{
	struct bloom *filter = &bridge->contents.filter;
	struct weft_chunk_ask ask;
	struct tlv known[WEFT_P_NR];
	const struct tlv *asks = &known[WEFT_P_ASK];

	/* What is malformed is for the leader to refuse. */
	if (!filter->bits || tlv_collect(payload, len, known, WEFT_P_NR, false) || !asks->len ||
	    asks->len % sizeof(ask))
		return false;
	for (size_t at = 0; at < asks->len; at += sizeof(ask)) {
		memcpy(&ask, (const uint8_t *)asks->data + at, sizeof(ask));
		if (bloom_may_have(filter, ask.content_id))
			return false;
	}
	for (size_t at = 0; at < asks->len; at += sizeof(ask)) {
		memcpy(&ask, (const uint8_t *)asks->data + at, sizeof(ask));
		bloom_add(filter, ask.content_id);
	}
	return true;
}

void bridge_contents_free(struct bridge *bridge)
{
	bloom_free(&bridge->contents.filter);
	bloom_free(&bridge->contents.coming);
	bridge->contents.have = 0;
}
