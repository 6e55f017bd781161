// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * client.c - the requesting side of the chunk protocol on a blocking socket
 *
 * What the store sends is checked like everything foreign: headers by kernel/node/wire.c, data by its CRCs.
 */
#include "store/client.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "kernel/chunk/crc32c.h"
#include "kernel/chunk/crctable.h"
#include "net/address.h"
#include "uapi/weft_status.h"

struct store_client {
	int fd;
	uint64_t next_id;
	uint32_t payload_max;
};

int store_client_fd(const struct store_client *client)
{
	return client->fd;
}

static int connect_timed(int fd, const struct sockaddr *sockaddr, socklen_t len,
			 unsigned int timeout_ms)
{
	struct timeval tv = {.tv_sec = timeout_ms / 1000,
			     .tv_usec = (long)(timeout_ms % 1000) * 1000};

	/* SO_SNDTIMEO bounds connect(), too. */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)))
		return -errno;
	if (connect(fd, sockaddr, len))
		return errno == EINPROGRESS ? -ETIMEDOUT : -errno;
	return 0;
}

static int send_all(int fd, struct iovec *iov, int n_iov)
{
	while (n_iov) {
		struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)n_iov};
		ssize_t n = sendmsg(fd, &msg, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		while (n_iov && (size_t)n >= iov->iov_len) {
			n -= (ssize_t)iov->iov_len;
			iov++;
			n_iov--;
		}
		if (n_iov) {
			iov->iov_base = (char *)iov->iov_base + n;
			iov->iov_len -= (size_t)n;
		}
	}
	return 0;
}

static int recv_all(int fd, void *buf, size_t len)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = recv(fd, (char *)buf + got, len - got, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		if (n == 0)
			return -ECONNRESET;
		got += (size_t)n;
	}
	return 0;
}

int store_client_send(struct store_client *client, struct weft_wire_frame *frame,
		      const struct iovec *iov, int n_iov)
{
	struct weft_wire_header header;
	struct iovec all[8];

	if (n_iov > 7)
		return -EINVAL;
	frame->request_id = client->next_id++;
	weft_wire_header_encode(&header, frame);
	all[0] = (struct iovec){&header, sizeof(header)};
	if (n_iov)
		memcpy(all + 1, iov, (size_t)n_iov * sizeof(*iov));
	return send_all(client->fd, all, n_iov + 1);
}

int store_client_recv(struct store_client *client, struct weft_wire_frame *answer, void *buf,
		      size_t size)
{
	struct weft_wire_header header;
	bool own_crcs;
	int err = recv_all(client->fd, &header, sizeof(header));

	if (!err)
		err = weft_wire_header_decode(answer, &header, true, client->payload_max, NULL);
	if (!err && answer->payload_len > size)
		err = -EMSGSIZE;
	if (!err)
		err = recv_all(client->fd, buf, answer->payload_len);
	if (err)
		return err;
	own_crcs = answer->op == WEFT_OP_PUT || answer->op == WEFT_OP_GET ||
		   answer->op == WEFT_OP_STAT;
	if (!own_crcs && weft_crc32c(0, buf, answer->payload_len) != answer->payload_crc)
		return -EPROTO;
	return 0;
}

int store_client_call(struct store_client *client, struct weft_wire_frame *frame,
		      const struct iovec *iov, int n_iov, struct weft_wire_frame *answer, void *buf,
		      size_t size)
{
	int err = store_client_send(client, frame, iov, n_iov);

	if (!err)
		err = store_client_recv(client, answer, buf, size);
	if (!err && !weft_wire_frame_answers(answer, frame))
		err = -EPROTO;
	return err ? err : (int)answer->status;
}

static int client_hello(struct store_client *client, struct weft_wire_greeting *hello)
{
	struct weft_wire_frame frame = {.op = WEFT_OP_HELLO,
					.payload_len = sizeof(struct weft_wire_hello)},
			       answer;
	struct weft_wire_hello ours, theirs;
	struct iovec iov = {&ours, sizeof(ours)};
	int err;

	weft_wire_hello_encode(&ours, hello);
	frame.payload_crc = weft_crc32c(0, &ours, sizeof(ours));
	err = store_client_call(client, &frame, &iov, 1, &answer, &theirs, sizeof(theirs));
	return err ? err : weft_wire_hello_decode(hello, &theirs, NULL);
}

int store_client_open(struct store_client **out, const char *text, struct weft_wire_greeting *hello,
		      unsigned int timeout_ms)
{
	struct store_client *client;
	struct sockaddr_storage sockaddr;
	struct address address;
	socklen_t len;
	int err, one = 1;

	err = address_parse(text, &address);
	if (!err)
		err = address_sockaddr(&address, &sockaddr, &len);
	if (err)
		return err;
	client = calloc(1, sizeof(*client));
	if (!client)
		return -ENOMEM;
	client->payload_max = WEFT_WIRE_PAYLOAD_MAX;
	client->fd = socket(sockaddr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (client->fd < 0) {
		err = -errno;
		goto err_free;
	}
	if (!address.unix_path)
		setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	err = connect_timed(client->fd, (struct sockaddr *)&sockaddr, len, timeout_ms);
	if (!err)
		err = client_hello(client, hello);
	if (err)
		goto err_close;
	*out = client;
	return 0;
err_close:
	close(client->fd);
err_free:
	free(client);
	return err;
}

void store_client_close(struct store_client *client)
{
	close(client->fd);
	free(client);
}

int store_client_put(struct store_client *client, const struct weft_wire_frame *name,
		     const void *head, uint32_t head_len, const void *data, uint32_t shard_len,
		     const void *crcs)
{
	struct weft_wire_frame frame = *name, answer;
	struct iovec iov[3];

	weft_wire_frame_put(&frame, head_len, shard_len);
	iov[0] = (struct iovec){(void *)head, head_len};
	iov[1] = (struct iovec){(void *)data, shard_len};
	iov[2] = (struct iovec){(void *)crcs, frame.crc_len};
	return store_client_call(client, &frame, iov, 3, &answer, NULL, 0);
}

int store_client_get(struct store_client *client, const struct weft_wire_frame *name,
		     uint64_t offset, uint32_t length, void *buf, size_t size, uint32_t *got)
{
	struct weft_wire_frame frame = *name, answer;
	const uint8_t *crcs;
	int status;

	frame.op = WEFT_OP_GET;
	frame.offset = offset;
	frame.length = length;
	frame.flags = 0;
	status = store_client_call(client, &frame, NULL, 0, &answer, buf, size);
	if (status)
		return status;
	crcs = (const uint8_t *)buf + weft_wire_crc_start(&answer);
	if (!weft_crctable_sealed(crcs, weft_block_count(answer.length)) ||
	    weft_crctable_check(crcs, buf, answer.length, NULL))
		return -EBADMSG;
	*got = answer.length;
	return 0;
}
