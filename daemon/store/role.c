// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * role.c - the store's process: configuration, the cluster it belongs to, start and stop
 *
 * Threading: this thread runs the link's loop (link.c) and waits for signals; the server has its own threads. The cluster
 * is known from the configuration, or from a store that was in it before: then shards are served even while no metadata
 * server can be reached. Otherwise serving begins when one was.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/log.h"
#include "conf/conf.h"
#include "store/link.h"
#include "store/store.h"
#include "weftd.h"

struct role {
	uv_loop_t loop;
	uv_signal_t on_term, on_int;
	struct store_conf conf;
	struct store_link_conf link_conf;
	struct store_server *server;
	struct store_link *link;
	bool failed;
	char name[256];
	char labels[3][300];
};

static const char **texts(const struct conf *conf, const char *section, const char *key,
			  unsigned int *n)
{
	const char **list;

	*n = (unsigned int)conf_count(conf, section, NULL, key);
	list = calloc(*n + 1, sizeof(*list));
	for (unsigned int i = 0; list && i < *n; i++)
		list[i] = conf_text(conf, section, NULL, key, i);
	return list;
}

static enum store_backend backend_of(const char *text)
{
	return !strcmp(text, "uring")	  ? STORE_BACKEND_URING
	       : !strcmp(text, "threads") ? STORE_BACKEND_THREADS
					  : STORE_BACKEND_AUTO;
}

/* The cluster of the first store that was used before. */
static bool cluster_of_stores(const struct store_conf *conf, uint8_t cluster[16])
{
	for (unsigned int i = 0; i < conf->n_paths; i++) {
		struct weft_store_file file;
		char path[4096];
		ssize_t n;
		int fd;

		snprintf(path, sizeof(path), "%s/STORE", conf->paths[i]);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		n = read(fd, &file, sizeof(file));
		close(fd);
		if (n == sizeof(file) && le32_to_cpu(file.magic) == WEFT_STORE_MAGIC) {
			memcpy(cluster, file.cluster, sizeof(file.cluster));
			return true;
		}
	}
	return false;
}

static int role_configure(struct role *role, const struct conf *conf)
{
	static const char *const labels[] = {"region", "datacenter", "rack"};
	struct store_conf *store = &role->conf;
	struct store_link_conf *link = &role->link_conf;
	const char *name = conf_text(conf, "host", NULL, "name", 0);

	store->paths = texts(conf, "store", "path", &store->n_paths);
	store->addresses = texts(conf, "store", "listen", &store->n_addresses);
	link->addresses = texts(conf, "meta", "address", &link->n_addresses);
	link->advertise = texts(conf, "store", "advertise", &link->n_advertise);
	if (!store->paths || !store->addresses || !link->addresses || !link->advertise)
		return -ENOMEM;
	if (!store->n_paths || !store->n_addresses || !link->n_addresses) {
		log_error("the configuration lacks %s",
			  !store->n_paths	? "the directory of a store: set 'path' in [store]"
			  : !store->n_addresses ? "where stores listen: set 'listen' in [store]"
						: "a metadata server: set 'address' in [meta]");
		return -EINVAL;
	}
	if (!link->n_advertise) {
		free((void *)link->advertise);
		link->advertise = store->addresses;
		link->n_advertise = store->n_addresses;
	}
	store->backend = backend_of(conf_text(conf, "store", NULL, "backend", 0));
	store->pool_threads = (unsigned int)conf_number(conf, "store", NULL, "threads");
	store->memory = conf_number(conf, "store", NULL, "memory");
	store->capacity = conf_number(conf, "store", NULL, "size");
	store->rebuild_percent = (unsigned int)conf_number(conf, "store", NULL, "reserve");
	store->reserve_percent = (unsigned int)conf_number(conf, "store", NULL, "reserve-hard");
	store->segment_bytes = (uint32_t)conf_number(conf, "store", NULL, "segment");
	link->heartbeat_ms = (unsigned int)conf_number(conf, "meta", NULL, "heartbeat");

	if (name)
		snprintf(role->name, sizeof(role->name), "%s", name);
	else if (gethostname(role->name, sizeof(role->name) - 1))
		return -errno;
	link->name = role->name;
	for (size_t i = 0; i < 3; i++) {
		const char *value = conf_text(conf, "host", NULL, labels[i], 0);

		if (!value || !*value)
			continue;
		snprintf(role->labels[i], sizeof(role->labels[i]), "%s=%s", labels[i], value);
		link->labels[i] = role->labels[i];
	}
	return 0;
}

static struct store_server *role_serve(void *ctx, const uint8_t cluster[16], uint32_t incarnation)
{
	struct role *role = ctx;

	memmove(role->conf.cluster, cluster,
		sizeof(role->conf.cluster)); /* it may be the same memory */
	role->conf.incarnation = incarnation;
	if (store_server_start(&role->server, &role->conf)) {
		role->failed = true;
		uv_stop(&role->loop);
		return NULL;
	}
	return role->server;
}

static void role_signal(uv_signal_t *handle, int number)
{
	struct role *role = handle->data;

	log_info("ending on signal %d", number);
	uv_stop(&role->loop);
}

static void role_run(struct role *role)
{
	uv_signal_init(&role->loop, &role->on_term);
	uv_signal_init(&role->loop, &role->on_int);
	role->on_term.data = role->on_int.data = role;
	uv_signal_start(&role->on_term, role_signal, SIGTERM);
	uv_signal_start(&role->on_int, role_signal, SIGINT);
	uv_run(&role->loop, UV_RUN_DEFAULT);

	uv_close((uv_handle_t *)&role->on_term, NULL);
	uv_close((uv_handle_t *)&role->on_int, NULL);
	store_link_stop(role->link);
	uv_run(&role->loop, UV_RUN_DEFAULT);
	store_link_free(role->link);
}

int store_main(const struct conf *conf)
{
	struct role *role = calloc(1, sizeof(*role));
	int status = WEFTD_EXIT_FATAL, err;
	bool known;

	if (!role)
		return 1;
	err = role_configure(role, conf);
	if (err)
		goto out_free;
	known = conf_uuid(conf, "cluster", "uuid", role->conf.cluster) ||
		cluster_of_stores(&role->conf, role->conf.cluster);
	if (known && !role_serve(role, role->conf.cluster, 0))
		goto out_free;
	memcpy(role->link_conf.cluster, role->conf.cluster, sizeof(role->conf.cluster));
	role->link_conf.known = role_serve;
	role->link_conf.ctx = role;
	if (uv_loop_init(&role->loop))
		goto out_stop;
	if (store_link_start(&role->link, &role->loop, &role->link_conf))
		goto out_loop;
	if (role->server)
		store_link_set_server(role->link, role->server);
	role_run(role);
	status = role->failed ? WEFTD_EXIT_FATAL : 0;
out_loop:
	uv_loop_close(&role->loop);
out_stop:
	if (role->server)
		store_server_stop(role->server);
out_free:
	if (role->link_conf.advertise != role->conf.addresses)
		free((void *)role->link_conf.advertise);
	free((void *)role->link_conf.addresses);
	free((void *)role->conf.addresses);
	free((void *)role->conf.paths);
	free(role);
	return status;
}
