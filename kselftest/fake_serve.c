// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The fake daemon as a thread: binds by itself (taking over from whoever is bound), serves until it
 * is ended. One socket.
 */
#include "fake.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fake_server {
	struct fake fake;
	struct fake_meta *meta;
	enum fake_act (*policy)(const struct fake_request *req, void *arg);
	void *arg;
	pthread_t thread;
	bool end, release;
	_Atomic enum fake_act acts[64]; /* by operation */
	unsigned int seen[64];
	struct fake_request *held; /* the server's thread alone */
	unsigned int seed;
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

static void scramble(struct fake_server *server, struct fake_payload *payload)
{
	unsigned int count = rand_r(&server->seed) % 8;

	payload->len = 0;
	for (unsigned int i = 0; i < count; i++) {
		/*
		 * Small types and the lengths of known structures more often than chance would have
		 * it.
		 */
		static const size_t lengths[] = { 0,  1,  4,   8,   16,	 40,  56,
						  88, 96, 128, 144, 160, 255, 1000 };
		size_t len =
			lengths[rand_r(&server->seed) % (sizeof(lengths) / sizeof(lengths[0]))];
		uint8_t *data =
			fake_attr(payload, rand_r(&server->seed) % (WEFT_P_NR + 2), NULL, len);

		for (size_t byte = 0; byte < len; byte++)
			data[byte] = rand_r(&server->seed) % 3 ? 0 : rand_r(&server->seed);
	}
}

static void act(struct fake_server *server, const struct fake_request *req,
		struct fake_payload *payload, enum fake_act what)
{
	uint32_t status;

	if (what == FAKE_EMPTY || what == FAKE_REFUSE || what == FAKE_AGAIN) {
		status = what == FAKE_EMPTY  ? WEFT_ST_OK :
			 what == FAKE_REFUSE ? WEFT_ST_PERM :
					       WEFT_ST_OVERLOADED;
		fake_answer(&server->fake, req->id, status, NULL, 0);
		return;
	}
	if (what == FAKE_NEED) {
		payload->len = 0;
		fake_attr(payload, WEFT_P_NUMBERS, NULL, 8);
		fake_answer(&server->fake, req->id, WEFT_ST_NEED, payload->bytes, payload->len);
		return;
	}
	status = fake_meta_answer(server->meta, req, payload);
	if (what == FAKE_MALFORMED) {
		/* An attribute that says it is longer than all there is. */
		memcpy(payload->bytes, "\xff\x7f\x07\x00", 4);
		payload->len = payload->len < 8 ? 8 : payload->len;
	} else if (what == FAKE_WRONG_SIZE) {
		shorten(payload);
	} else if (what == FAKE_GARBAGE) {
		scramble(server, payload);
		status = rand_r(&server->seed) % 4 ? WEFT_ST_OK
						   : (uint32_t)rand_r(&server->seed) % 100;
	}
	fake_answer(&server->fake, req->id, status, payload->bytes, payload->len);
	if (what == FAKE_TWICE)
		fake_answer(&server->fake, req->id, status, payload->bytes, payload->len);
}

static enum fake_act decide(struct fake_server *server, const struct fake_request *req)
{
	enum fake_act what = server->policy ? server->policy(req, server->arg) : FAKE_ANSWER;

	if (what == FAKE_ANSWER && req->op < 64)
		what = server->acts[req->op];
	return what;
}

static void hold(struct fake_server *server, struct fake_request *req)
{
	struct fake_request **end = &server->held;

	while (*end)
		end = &(*end)->next;
	*end = req;
}

static void release(struct fake_server *server, struct fake_payload *payload)
{
	struct fake_request *held = server->held, *req;
	enum fake_act what;

	server->held = NULL;
	while ((req = held)) {
		held = req->next;
		req->next = NULL;
		what = decide(server, req);
		if (what == FAKE_HOLD) {
			hold(server, req);
			continue;
		}
		act(server, req, payload, what);
		free(req);
	}
	__atomic_store_n(&server->release, false, __ATOMIC_RELEASE);
}

static void *serve(void *data)
{
	struct fake_payload *payload = malloc(sizeof(*payload));
	struct fake_server *server = data;
	struct fake_request *req;
	enum fake_act what;
	uint16_t op;

	while (!__atomic_load_n(&server->end, __ATOMIC_ACQUIRE)) {
		if (__atomic_load_n(&server->release, __ATOMIC_ACQUIRE))
			release(server, payload);
		req = fake_next(&server->fake, 20);
		if (!req)
			continue;
		op = req->op;
		what = decide(server, req);
		/* Counted once it is held, or before the caller can know that it was answered. */
		if (what == FAKE_HOLD)
			hold(server, req);
		if (op < 64)
			__atomic_add_fetch(&server->seen[op], 1, __ATOMIC_RELEASE);
		if (what != FAKE_HOLD) {
			act(server, req, payload, what);
			free(req);
		}
	}
	while ((req = server->held)) {
		server->held = req->next;
		free(req);
	}
	free(payload);
	return NULL;
}

void fake_serve_release(struct fake_server *server)
{
	__atomic_store_n(&server->release, true, __ATOMIC_RELEASE);
	while (__atomic_load_n(&server->release, __ATOMIC_ACQUIRE))
		sched_yield();
}

void fake_serve_act(struct fake_server *server, uint16_t op, enum fake_act what)
{
	server->acts[op] = what;
}

struct fake_server *
fake_serve_cluster(const uint8_t uuid[16], const char *name, struct fake_meta *meta,
		   enum fake_act (*policy)(const struct fake_request *req, void *arg), void *arg)
{
	struct fake_server *server = calloc(1, sizeof(*server));

	server->meta = meta;
	server->seed = getenv("SEED") ? atoi(getenv("SEED")) : 1;
	server->policy = policy;
	server->arg = arg;
	fake_open(&server->fake);
	if (fake_bind(&server->fake, uuid, name)) {
		printf("Bail out! BIND: %d %s\n", server->fake.error, server->fake.text);
		exit(1);
	}
	if (pthread_create(&server->thread, NULL, serve, server)) {
		printf("Bail out! no thread\n");
		exit(1);
	}
	return server;
}

struct fake_server *fake_serve(struct fake_meta *meta,
			       enum fake_act (*policy)(const struct fake_request *req, void *arg),
			       void *arg)
{
	return fake_serve_cluster(fake_uuid, "fake", meta, policy, arg);
}

uint64_t fake_serve_generation(const struct fake_server *server)
{
	return server->fake.generation;
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
