// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The fake daemon as a thread: binds by itself (taking over from whoever is bound), serves until it is ended. One socket.
 */
#include "fake.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fake_server {
	struct fake fake;
	struct fake_meta *meta;
	enum fake_act (*policy)(const struct fake_request *req, void *arg);
	void *arg;
	pthread_t thread;
	bool end;
	unsigned int seen[64];
};

/* Every attribute of the answer a byte shorter. */
static void shorten(struct fake_payload *payload)
{
	struct fake_payload *out = calloc(1, sizeof(*out));
	size_t at = 0;

	while (at + 4 <= payload->len) {
		uint16_t len, type;

		memcpy(&len, payload->bytes + at, 2);
		memcpy(&type, payload->bytes + at + 2, 2);
		fake_attr(out, type, payload->bytes + at + 4, len > 4 ? len - 5 : 0);
		at += (len + 3) & ~3;
	}
	*payload = *out;
	free(out);
}

static void act(struct fake_server *server, const struct fake_request *req, struct fake_payload *payload)
{
	enum fake_act what = server->policy ? server->policy(req, server->arg) : FAKE_ANSWER;
	uint32_t status;

	if (what == FAKE_NEVER)
		return;
	if (what == FAKE_EMPTY) {
		fake_answer(&server->fake, req->id, WEFT_ST_OK, NULL, 0);
		return;
	}
	status = fake_meta_answer(server->meta, req, payload);
	if (what == FAKE_MALFORMED) {
		/* An attribute that says it is longer than all there is. */
		memcpy(payload->bytes, "\xff\x7f\x07\x00", 4);
		payload->len = payload->len < 8 ? 8 : payload->len;
	} else if (what == FAKE_WRONG_SIZE) {
		shorten(payload);
	}
	fake_answer(&server->fake, req->id, status, payload->bytes, payload->len);
	if (what == FAKE_TWICE)
		fake_answer(&server->fake, req->id, status, payload->bytes, payload->len);
}

static void *serve(void *data)
{
	struct fake_payload *payload = malloc(sizeof(*payload));
	struct fake_server *server = data;
	struct fake_request *req;

	while (!__atomic_load_n(&server->end, __ATOMIC_ACQUIRE)) {
		req = fake_next(&server->fake, 50);
		if (!req)
			continue;
		act(server, req, payload);
		if (req->op < 64)
			__atomic_add_fetch(&server->seen[req->op], 1, __ATOMIC_RELEASE);
		free(req);
	}
	free(payload);
	return NULL;
}

struct fake_server *fake_serve(struct fake_meta *meta, enum fake_act (*policy)(const struct fake_request *req, void *arg),
			       void *arg)
{
	struct fake_server *server = calloc(1, sizeof(*server));

	server->meta = meta;
	server->policy = policy;
	server->arg = arg;
	fake_open(&server->fake);
	if (fake_bind(&server->fake, fake_uuid, "fake")) {
		printf("Bail out! BIND: %d %s\n", server->fake.error, server->fake.text);
		exit(1);
	}
	if (pthread_create(&server->thread, NULL, serve, server)) {
		printf("Bail out! no thread\n");
		exit(1);
	}
	return server;
}

void fake_serve_end(struct fake_server *server)
{
	__atomic_store_n(&server->end, true, __ATOMIC_RELEASE);
	pthread_join(server->thread, NULL);
	fake_close(&server->fake);
	free(server);
}

unsigned int fake_serve_seen(struct fake_server *server, uint16_t op)
{
	return __atomic_load_n(&server->seen[op], __ATOMIC_ACQUIRE);
}
