// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Connections between daemons: what a stranger sends to a listening socket, then hangs up. Bit 0 of the first byte: sign
 * what looks like frames, so that the rules behind the checksums are reached; bit 1: they come in two pieces, cut where the
 * second byte says; bit 2: the stranger was called.
 */
#include <endian.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "chunk/crc32c.h"
#include "net/ctl.h"

#define HEAD sizeof(struct weft_ctl_header)
#define require(what) do { if (!(what)) abort(); } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct ctl_self self = { .role = WEFT_CTL_ROLE_META, .cluster = "a cluster's uuid", .name = "server" };
static struct { unsigned int asked, answered, closed; bool ready; } seen;
static uv_loop_t loop;

static void *accepted(struct ctl_conn *conn, void *ctx)
{
	return &seen;
}

static void done(void *ctx, const struct ctl_frame *frame)
{
	seen.answered++;
	require(frame->status == WEFT_ST_LOST_PEER || frame->flags & WEFT_CTL_REPLY);
}

static int ready(struct ctl_conn *conn, void *ctx)
{
	struct ctl_frame frame = { .type = WEFT_CTL_TASK, .slot = WEFT_SLOT_NONE };

	seen.ready = true;
	require(!memcmp(ctl_peer(conn)->cluster, self.cluster, 16) ||
		!memcmp(ctl_peer(conn)->cluster, (uint8_t[16]){ 0 }, 16));
	for (; seen.asked < 3; seen.asked++)
		require(!ctl_call(conn, &frame, done, NULL));
	return 0;
}

static void request(struct ctl_conn *conn, void *ctx, const struct ctl_frame *frame)
{
	struct weft_ctl_header header;
	struct ctl_frame again;
	uint32_t crc;

	require(seen.ready && frame->type > WEFT_CTL_HELLO && frame->type < WEFT_CTL_NR);
	require(!(frame->flags & WEFT_CTL_REPLY) && frame->len <= WEFT_CTL_PAYLOAD_MAX);
	ctl_header_encode(frame, &header);
	require(!ctl_header_decode(&header, &again, &crc) && crc == weft_crc32c(0, frame->payload, frame->len));
	again.payload = frame->payload;
	require(!memcmp(&again, frame, sizeof(again)));
	if (!(frame->flags & WEFT_CTL_PUSH))
		require(!ctl_reply(conn, frame, WEFT_ST_OK, frame->payload, frame->len));
}

static void closed(struct ctl_conn *conn, void *ctx, int why, const char *what)
{
	seen.closed++;
	require(why < 0 && *what && seen.answered == seen.asked);
}

static const struct ctl_ops ops = { .ready = ready, .request = request, .closed = closed };

static void sign(uint8_t *bytes, size_t size)
{
	struct weft_ctl_header header;
	size_t left;

	for (; size >= HEAD; bytes += HEAD + left, size -= HEAD + left) {
		memcpy(&header, bytes, HEAD);
		left = le32toh(header.length) < size - HEAD ? le32toh(header.length) : size - HEAD;
		header.magic = htole32(WEFT_CTL_MAGIC);
		header.version = WEFT_CTL_VERSION;
		header.payload_crc = htole32(weft_crc32c(0, bytes + HEAD, left));
		header.crc = 0;
		header.crc = htole32(weft_crc32c(0, &header, HEAD));
		memcpy(bytes, &header, HEAD);
	}
}

/* One end of a connection whose other end is a ctl_conn. Names in the file system are gone before anybody looks. */
static int connection(bool called)
{
	static char folder[] = "/tmp/weft-fuzz-XXXXXX", url[64];
	static struct sockaddr_un path, sun = { .sun_family = AF_UNIX };
	static struct ctl_listener *listener;
	static int raw;
	int fd;

	if (!listener) {
		path = sun;
		require(!uv_loop_init(&loop) && mkdtemp(folder));
		snprintf(url, sizeof(url), "unix:%s/s", folder);
		strcpy(path.sun_path, url + 5);
		require(!ctl_listen(&loop, url, &self, &ops, accepted, NULL, &listener));
		snprintf(sun.sun_path, sizeof(sun.sun_path), "/proc/self/fd/%d", open(path.sun_path, O_PATH));
		unlink(path.sun_path);
		raw = socket(AF_UNIX, SOCK_STREAM, 0);
		require(!bind(raw, (struct sockaddr *)&path, sizeof(path)) && !listen(raw, 8));
		snprintf(url, sizeof(url), "unix:/proc/self/fd/%d", open(path.sun_path, O_PATH));
		unlink(path.sun_path);
		rmdir(folder);
	}
	if (called) {
		require(ctl_connect(&loop, url, &self, &ops, &seen, 10000));
		return accept(raw, NULL, NULL);
	}
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	require(!connect(fd, (struct sockaddr *)&sun, sizeof(sun)));
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t cut = size > 2 && data[0] & 2 ? data[1] % (size - 2) : 0;
	uint8_t *bytes = malloc(size);
	int fd;

	if (size >= 2 && size <= 65536 && bytes) {
		memset(&seen, 0, sizeof(seen));
		memcpy(bytes, data + 2, size - 2);
		if (data[0] & 1)
			sign(bytes, size - 2);
		fd = connection(data[0] & 4);
		require(fd >= 0 && send(fd, bytes, cut, MSG_NOSIGNAL) == (ssize_t)cut);
		for (int i = 0; cut && i < 3; i++)
			uv_run(&loop, UV_RUN_NOWAIT);
		send(fd, bytes + cut, size - 2 - cut, MSG_NOSIGNAL);
		shutdown(fd, SHUT_WR);
		while (!seen.closed)
			uv_run(&loop, UV_RUN_ONCE);
		close(fd);
	}
	free(bytes);
	return 0;
}
