// SPDX-License-Identifier: GPL-2.0-or-later
/* admin.c - asking the metadata server over its administration socket: one request at a time, blocking. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "chunk/crc32c.h"
#include "net/ctl.h"
#include "weft.h"

#define RUN_FOLDER "/run/weft"

struct admin {
	const struct options *options;
	int fd;
	uint64_t tag;
	char path[108];
	uint8_t *rx;
	size_t rx_size;
};

/* A failure to connect, unless the caller wants to try again without a word. */
#define complain(options, ...) do { if (!(options)->quiet) fail(__VA_ARGS__); } while (0)

static int find_only_cluster(const struct options *options, char *name, size_t size)
{
	struct dirent *entry;
	unsigned int n = 0;
	DIR *dir = opendir(RUN_FOLDER);

	while (dir && (entry = readdir(dir))) {
		char candidate[512];

		snprintf(candidate, sizeof(candidate), RUN_FOLDER "/%s/admin.sock", entry->d_name);
		if (entry->d_name[0] == '.' || access(candidate, F_OK))
			continue;
		n++;
		snprintf(name, size, "%s", entry->d_name);
	}
	if (dir)
		closedir(dir);
	if (n == 1)
		return 0;
	if (n)
		complain(options, "metadata servers of several clusters run here; name one with --cluster");
	else
		complain(options, "no metadata server runs on this host; start one with 'weft up', or run this where it is");
	return -1;
}

int admin_find_socket(const struct options *options, char *path, size_t size)
{
	char name[256];
	int n;

	if (!options->socket && !options->cluster && find_only_cluster(options, name, sizeof(name)))
		return -1;
	if (options->socket)
		n = snprintf(path, size, "%s", options->socket);
	else
		n = snprintf(path, size, RUN_FOLDER "/%s/admin.sock", options->cluster ? options->cluster : name);
	if (n < (int)size)
		return 0;
	complain(options, "%s...: the path of a socket has at most %zu bytes", path, size - 1);
	return -1;
}

static int write_all(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int read_all(int fd, void *data, size_t len)
{
	char *at = data;

	while (len) {
		ssize_t n = read(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			if (!n)
				errno = ECONNRESET;
			return -1;
		}
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Send one frame and read frames until its answer comes. */
static int exchange(struct admin *admin, struct ctl_frame *frame, struct ctl_frame *answer)
{
	struct weft_ctl_header header;
	uint32_t crc;

	frame->tag = ++admin->tag;
	frame->slot = WEFT_SLOT_NONE;
	ctl_header_encode(frame, &header);
	if (write_all(admin->fd, &header, sizeof(header)) || write_all(admin->fd, frame->payload, frame->len))
		return -1;
	do {
		if (read_all(admin->fd, &header, sizeof(header)))
			return -1;
		if (ctl_header_decode(&header, answer, &crc)) {
			errno = EPROTO;
			return -1;
		}
		if (answer->len > admin->rx_size) {
			uint8_t *rx = realloc(admin->rx, answer->len);

			if (!rx)
				return -1;
			admin->rx = rx;
			admin->rx_size = answer->len;
		}
		if (read_all(admin->fd, admin->rx, answer->len))
			return -1;
		answer->payload = admin->rx;
		if (answer->len && crc != weft_crc32c(0, admin->rx, answer->len)) {
			errno = EPROTO;
			return -1;
		}
	} while (!(answer->flags & WEFT_CTL_REPLY) || answer->tag != frame->tag);
	return 0;
}

static int hello(struct admin *admin)
{
	static const uint8_t unknown[16];
	struct ctl_frame frame = { .type = WEFT_CTL_HELLO }, answer;
	struct tlv_writer writer;
	int ret;

	tlv_writer_init(&writer, 4096);
	tlv_put(&writer, WEFT_C_CLUSTER, unknown, sizeof(unknown));
	tlv_put_u32(&writer, WEFT_C_INCARNATION, 0);
	tlv_put_u32(&writer, WEFT_C_ROLE, WEFT_CTL_ROLE_CLI);
	tlv_put_u32(&writer, WEFT_C_HOST_NR, 0);
	tlv_put_text(&writer, WEFT_C_NAME, "weft");
	frame.payload = writer.data;
	frame.len = writer.len;
	ret = tlv_finish(&writer);
	if (!ret)
		ret = exchange(admin, &frame, &answer);
	tlv_writer_free(&writer);
	return ret;
}

struct admin *admin_open(const struct options *options)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct admin *admin = calloc(1, sizeof(*admin));

	if (!admin) {
		fail("out of memory");
		return NULL;
	}
	admin->options = options;
	admin->fd = -1;
	if (admin_find_socket(options, admin->path, sizeof(admin->path)))
		goto err_close;
	memcpy(un.sun_path, admin->path, sizeof(un.sun_path));
	admin->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (admin->fd < 0 || connect(admin->fd, (struct sockaddr *)&un, sizeof(un))) {
		if (errno == EACCES || errno == EPERM)
			complain(options, "only root may administer the cluster: try 'sudo weft ...'");
		else if (errno == ENOENT || errno == ECONNREFUSED)
			complain(options, "the metadata server does not answer at %s; is weftd running?", admin->path);
		else
			complain(options, "cannot connect to %s: %s", admin->path, strerror(errno));
		goto err_close;
	}
	if (hello(admin)) {
		complain(options, "the metadata server at %s did not answer: %s", admin->path, strerror(errno));
		goto err_close;
	}
	return admin;

err_close:
	admin_close(admin);
	return NULL;
}

void admin_close(struct admin *admin)
{
	if (!admin)
		return;
	if (admin->fd >= 0)
		close(admin->fd);
	free(admin->rx);
	free(admin);
}

/* A long answer comes in several attributes, in order. */
static json_t *join_json(const struct admin *admin, const struct ctl_frame *answer)
{
	char *text = malloc(answer->len + 1);
	struct tlv_reader reader;
	json_error_t error;
	struct tlv tlv;
	size_t len = 0;
	json_t *json;

	if (!text) {
		complain(admin->options, "out of memory");
		return NULL;
	}
	tlv_reader_init(&reader, answer->payload, answer->len);
	while (tlv_next(&reader, &tlv) == 1)
		if (tlv.type == WEFT_C_JSON) {
			memcpy(text + len, tlv.data, tlv.len);
			len += tlv.len;
		}
	json = json_loadb(text, len, JSON_DECODE_ANY, &error);
	if (!json)
		complain(admin->options, "the answer of %s is not JSON: %s", admin->path, error.text);
	free(text);
	return json;
}

static json_t *read_answer(const struct admin *admin, const struct ctl_frame *answer)
{
	struct tlv known[WEFT_C_NR];

	if (tlv_collect(answer->payload, answer->len, known, WEFT_C_NR, false)) {
		complain(admin->options, "the answer of %s cannot be read", admin->path);
		return NULL;
	}
	if (answer->status != WEFT_ST_OK) {
		if (known[WEFT_C_TEXT].data)
			complain(admin->options, "%.*s", (int)known[WEFT_C_TEXT].len, (const char *)known[WEFT_C_TEXT].data);
		else
			complain(admin->options, "the metadata server answered with status %u", answer->status);
		return NULL;
	}
	return join_json(admin, answer);
}

json_t *admin_call(struct admin *admin, const char *name, json_t *args)
{
	struct ctl_frame frame = { .type = WEFT_CTL_ADMIN }, answer;
	struct tlv_writer writer;
	json_t *json = NULL;
	char *text = NULL;

	if (!args)
		args = json_object();
	json_object_set_new(args, "command", json_string(name));
	text = json_dumps(args, JSON_COMPACT);
	json_decref(args);
	tlv_writer_init(&writer, WEFT_CTL_PAYLOAD_MAX);
	if (text)
		tlv_put_text(&writer, WEFT_C_JSON, text);
	frame.payload = writer.data;
	frame.len = writer.len;
	if (!text || tlv_finish(&writer))
		complain(admin->options, "the command is too long");
	else if (exchange(admin, &frame, &answer))
		complain(admin->options, "the metadata server at %s went away: %s", admin->path, strerror(errno));
	else
		json = read_answer(admin, &answer);
	tlv_writer_free(&writer);
	free(text);
	return json;
}

int admin_show(const struct options *options, const char *name, json_t *args, int (*show)(const json_t *answer))
{
	struct admin *admin = admin_open(options);
	json_t *answer;
	int ret = 1;

	if (!admin) {
		json_decref(args);
		return 1;
	}
	answer = admin_call(admin, name, args);
	if (answer && options->json) {
		json_dumpf(answer, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
		putchar('\n');
		ret = 0;
	} else if (answer) {
		ret = show(answer);
	}
	json_decref(answer);
	admin_close(admin);
	return ret;
}
