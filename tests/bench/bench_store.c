// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Speed of a store over AF_UNIX, server and clients in this process: small durable PUTs a second (they share syncs), and
 * MB/s of large PUTs and GETs (GETs out of the page cache), for both back-ends.
 *
 *	bench_store DIRECTORY [CLIENTS]	on the file system that shall be measured; default: 16 clients
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "chunk/crctable.h"
#include "chunk/header.h"
#include "store/client.h"
#include "store/store.h"

#define SECONDS 3.0
#define SMALL	4096u
#define LARGE	(684u * 1024)
#define STORE	1

struct work {
	pthread_t thread;
	const char *address;
	const uint8_t *cluster;
	unsigned int client;
	uint32_t len;
	bool get;
	uint64_t written; /* GET: how many there are to read */
	uint64_t done;
	int failed;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct store_client *client_open(const struct work *work)
{
	struct weft_wire_greeting hello = {.version_min = 1,
					   .version_max = 1,
					   .role = WEFT_ROLE_CLIENT,
					   .in_flight = 64,
					   .payload_max = WEFT_WIRE_PAYLOAD_MAX};
	struct store_client *client;

	memcpy(hello.cluster, work->cluster, sizeof(hello.cluster));
	return store_client_open(&client, work->address, &hello, 10000) ? NULL : client;
}

static void *work_main(void *arg)
{
	struct work *work = arg;
	struct weft_shard_info info = {.k = 1,
				       .m = 2,
				       .sid_session = work->len,
				       .group = 9,
				       .plain_len = work->len,
				       .stored_len = work->len};
	uint32_t table_len = weft_crctable_len(work->len), got;
	uint8_t head[sizeof(struct weft_shard_header)];
	uint8_t *data = calloc(1, work->len + table_len), *table = malloc(table_len);
	struct store_client *client = client_open(work);
	double end = now() + SECONDS;

	weft_crctable_fill(table, 0, data, work->len);
	weft_crctable_seal(table, weft_block_count(work->len));
	work->failed = !client || !data || !table;
	while (!work->failed && now() < end) {
		uint64_t n = work->get ? work->done % work->written : work->done;
		struct weft_wire_frame name = {.store = STORE,
					       .group = 9,
					       .session = work->len,
					       .counter = (uint64_t)work->client << 32 | (n + 1)};

		if (work->get) {
			work->failed = store_client_get(client, &name, 0, work->len, data,
							work->len + table_len, &got);
		} else {
			info.sid_counter = name.counter;
			weft_header_encode(&info, head, sizeof(head), NULL);
			work->failed = store_client_put(client, &name, head, sizeof(head), data,
							work->len, table);
		}
		work->done += !work->failed;
	}
	if (client)
		store_client_close(client);
	free(data);
	free(table);
	return NULL;
}

static double run(struct work *works, unsigned int n, const struct store_conf *conf, uint32_t len,
		  bool get)
{
	double start = now();
	uint64_t done = 0;

	for (unsigned int i = 0; i < n; i++) {
		works[i] = (struct work){.address = conf->addresses[0],
					 .cluster = conf->cluster,
					 .client = i + 1,
					 .len = len,
					 .get = get,
					 .written = works[i].done};
		pthread_create(&works[i].thread, NULL, work_main, &works[i]);
	}
	for (unsigned int i = 0; i < n; i++) {
		pthread_join(works[i].thread, NULL);
		done += works[i].done;
		if (works[i].failed) {
			fprintf(stderr, "a request failed: %d\n", works[i].failed);
			exit(1);
		}
	}
	return (double)done / (now() - start);
}

static int bench(const char *directory, enum store_backend backend, const char *name,
		 unsigned int clients)
{
	char path[4096], socket[128];
	const char *paths[] = {path}, *addresses[] = {socket};
	struct work *works = calloc(clients, sizeof(*works));
	struct store_conf conf = {.cluster = "benchmark",
				  .paths = paths,
				  .n_paths = 1,
				  .addresses = addresses,
				  .n_addresses = 1,
				  .backend = backend};
	struct store_server *server;
	double small, put, get;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	snprintf(socket, sizeof(socket), "unix:/tmp/weft-bench-%s.sock", name);
	if (!works || store_server_start(&server, &conf) ||
	    store_set_number(server->stores[0], STORE, 1, 0))
		return 1;
	small = run(works, clients, &conf, SMALL, false);
	put = run(works, clients < 4 ? clients : 4, &conf, LARGE, false);
	get = run(works, clients < 4 ? clients : 4, &conf, LARGE, true);
	printf("%-8s  %8.0f PUT/s of %u bytes   %7.0f MB/s PUT   %7.0f MB/s GET of %u KiB\n", name,
	       small, SMALL, put * LARGE / 1e6, get * LARGE / 1e6, LARGE / 1024);
	store_server_stop(server);
	free(works);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned int clients = argc > 2 ? (unsigned int)atoi(argv[2]) : 16;

	if (argc < 2 || !clients) {
		fprintf(stderr, "usage: bench_store DIRECTORY [CLIENTS]\n");
		return 2;
	}
	log_set_level(LOG_ERROR);
	return bench(argv[1], STORE_BACKEND_THREADS, "threads", clients) ||
	       bench(argv[1], STORE_BACKEND_URING, "uring", clients);
}
