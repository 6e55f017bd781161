/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * client.h - the requesting side of the chunk protocol: for the worker, for tests and measurements
 *
 * Threading: a client belongs to one thread at a time. Calls block, at most for the client's timeout for each piece of
 * progress. After a negative errno from any call the connection is of no use any more: close it.
 */
#ifndef WEFT_STORE_CLIENT_H
#define WEFT_STORE_CLIENT_H

#include <sys/uio.h>

#include "kernel/node/wire.h"

struct store_client;

/*
 * Connect to "IP:PORT", "[IP6]:PORT" or "unix:/path" and exchange HELLO. hello: role, cluster, incarnation and limits that
 * are asked for; overwritten with what was agreed on. Returns 0, a negative errno, or a positive enum weft_status: refused.
 */
int store_client_open(struct store_client **client, const char *address,
		      struct weft_wire_greeting *hello, unsigned int timeout_ms);
void store_client_close(struct store_client *client);

/* The socket, for tests that misbehave. */
int store_client_fd(const struct store_client *client);

/* Send a request with its payload (request_id is made here and written to frame). 0 or a negative errno. */
int store_client_send(struct store_client *client, struct weft_wire_frame *frame,
		      const struct iovec *iov, int n_iov);

/*
 * Receive the next answer, whatever request it belongs to, its payload to buf. 0; -EMSGSIZE when size is too small; another
 * negative errno. Checks header and payload_crc, not [CRCs].
 */
int store_client_recv(struct store_client *client, struct weft_wire_frame *answer, void *buf,
		      size_t size);

/* Send and receive with nothing else in flight. Returns enum weft_status or a negative errno (-EPROTO: another's answer). */
int store_client_call(struct store_client *client, struct weft_wire_frame *frame,
		      const struct iovec *iov, int n_iov, struct weft_wire_frame *answer, void *buf,
		      size_t size);

/*
 * PUT of a whole shard: head as by weft_header_encode() for this index, crcs as by weft_crctable_*(). name: store, group,
 * sid, index. Returns as store_client_call().
 */
int store_client_put(struct store_client *client, const struct weft_wire_frame *name,
		     const void *head, uint32_t head_len, const void *data, uint32_t shard_len,
		     const void *crcs);

/*
 * GET of bytes [offset, offset + length) of a shard; offset a multiple of 4096. buf: length rounded up to blocks, and
 * weft_wire_crc_len() of that. The data stands at its start; it was checked against [CRCs] (-EBADMSG). *got: bytes of data.
 * Returns as store_client_call().
 */
int store_client_get(struct store_client *client, const struct weft_wire_frame *name,
		     uint64_t offset, uint32_t length, void *buf, size_t size, uint32_t *got);

#endif
