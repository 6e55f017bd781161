// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * conf.c - configurations: who votes, who stands by
 *
 * Pure. libraft encodes a configuration as: version byte, 64 bit number of servers, then for each
 * 64 bit id, NUL-terminated address, role byte; all little-endian, padded with zeros to a multiple
 * of 8. Its decoder trusts the lengths in there, so bytes from a disk or a network pass
 * rdrv_conf_check() first.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "raft/internal.h"

#define CONF_VERSION 1
#define CONF_HEAD    (1 + 8)

static uint64_t get_le64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

int rdrv_conf_check(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	const uint8_t *end = p + len;
	uint64_t n;

	if (len < CONF_HEAD || len > WEFT_LOG_CONF_MAX || p[0] != CONF_VERSION)
		return -EBADMSG;
	n = get_le64(p + 1);
	if (n == 0 || n > RDRV_SERVERS_MAX)
		return -EBADMSG;
	p += CONF_HEAD;
	for (uint64_t i = 0; i < n; i++) {
		const uint8_t *nul;

		if ((size_t)(end - p) < 8 || get_le64(p) == 0)
			return -EBADMSG;
		p += 8;
		nul = memchr(p, 0, (size_t)(end - p));
		if (!nul || nul + 1 == end || nul[1] > RAFT_SPARE)
			return -EBADMSG;
		p = nul + 2;
	}
	/* Padding; at most what the encoder adds. */
	if (end - p >= 8)
		return -EBADMSG;
	for (; p < end; p++)
		if (*p)
			return -EBADMSG;
	return 0;
}

static int from_libraft(int rv)
{
	switch (rv) {
	case 0:
		return 0;
	case RAFT_NOMEM:
		return -ENOMEM;
	default:
		return -EBADMSG;
	}
}

int rdrv_conf_decode(const void *bytes, size_t len, struct raft_configuration *conf)
{
	struct raft_buffer buf = { .base = (void *)bytes, .len = len };
	int ret = rdrv_conf_check(bytes, len);

	raft_configuration_init(conf);
	if (ret)
		return ret;
	/* Duplicate ids and addresses are found by the decoder. */
	return from_libraft(raft_configuration_decode(&buf, conf));
}

int rdrv_conf_encode(const struct raft_configuration *conf, void **bytes, size_t *len)
{
	struct raft_buffer buf;
	int ret = from_libraft(raft_configuration_encode(conf, &buf));

	if (ret)
		return ret;
	*bytes = malloc(buf.len);
	if (*bytes) {
		memcpy(*bytes, buf.base, buf.len);
		*len = buf.len;
	} else {
		ret = -ENOMEM;
	}
	raft_free(buf.base);
	return ret;
}

static const struct raft_server *conf_find(const struct raft_configuration *conf, raft_id id)
{
	for (unsigned int i = 0; i < conf->n; i++)
		if (conf->servers[i].id == id)
			return &conf->servers[i];
	return NULL;
}

unsigned int rdrv_conf_voters(const struct raft_configuration *conf)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < conf->n; i++)
		n += conf->servers[i].role == RAFT_VOTER;
	return n;
}

bool rdrv_conf_is_step(const struct raft_configuration *from, const struct raft_configuration *to)
{
	unsigned int changes = 0;

	for (unsigned int i = 0; i < from->n; i++) {
		const struct raft_server *other = conf_find(to, from->servers[i].id);

		changes += !other || other->role != from->servers[i].role;
	}
	for (unsigned int i = 0; i < to->n; i++)
		changes += !conf_find(from, to->servers[i].id);
	return changes == 1 && rdrv_conf_voters(to) > 0;
}
