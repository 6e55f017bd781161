// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Power cuts: a PUT that was answered is there afterwards, whatever the disk made of what was not synced.
 *
 * Calls that open, link, rename, remove and sync files below the store are intercepted in this process and kept in a model:
 * for each file the bytes that its last sync made durable, and whether its name is. A cut stops the model at any moment of
 * the traffic; the image then gets, of everything not durable, a random part: a name or not, blocks of the tail or zeros.
 * A store opened on the image must have every shard that was answered before the cut, and of the others whole ones or none.
 *
 * The same with planted faults: then shards must be missing, or this test would see nothing.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/fault.h"
#include "store_fixture.h"
#include "weft_status.h"

static unsigned int seed;

static uint32_t rng(void)
{
	seed = seed * 1664525u + 1013904223u;
	return seed >> 8;
}

/* --- the model ---------------------------------------------------------------------------------------------------------- */

struct node {
	ino_t ino;
	char name[96]; /* relative to the store; "" without a name */
	bool name_durable;
	uint8_t *durable; /* bytes at the last sync */
	size_t durable_len;
	struct node *next;
};

static struct {
	pthread_mutex_t lock;
	bool watching, cut;
	dev_t dev;
	char root[80];
	struct node *nodes;
} model = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct node *node_of(const struct stat *st)
{
	struct node *node;

	for (node = model.nodes; node; node = node->next)
		if (node->ino == st->st_ino)
			return node;
	node = calloc(1, sizeof(*node));
	node->ino = st->st_ino;
	node->next = model.nodes;
	model.nodes = node;
	return node;
}

/* The path of a descriptor below the store; false if it is elsewhere. */
static bool path_of(int fd, char path[96])
{
	char link[64], full[512];
	size_t root = strlen(model.root);
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, full, sizeof(full) - 1);
	if (n < 0)
		return false;
	full[n] = '\0';
	if (strncmp(full, model.root, root) != 0 || full[root] != '/')
		return false;
	snprintf(path, 96, "%.95s", full + root + 1);
	return true;
}

static bool is_modelled(const char *path)
{
	return !strncmp(path, "shards", 6) || !strncmp(path, "segments", 8);
}

static void model_sync_dir(const char *path)
{
	size_t len = strlen(path);

	for (struct node *node = model.nodes; node; node = node->next)
		if (!strncmp(node->name, path, len) && node->name[len] == '/' &&
		    !strchr(node->name + len + 1, '/'))
			node->name_durable = true;
}

static void model_sync(int fd, bool with_name)
{
	struct stat st;
	struct node *node;
	char path[96];

	if (!model.watching || !path_of(fd, path) || !is_modelled(path) || fstat(fd, &st))
		return;
	pthread_mutex_lock(&model.lock);
	if (model.cut) {
		;
	} else if (S_ISDIR(st.st_mode)) {
		model_sync_dir(path);
	} else {
		char self[64];
		int in;

		node = node_of(&st);
		if (!node->name[0] && !strstr(path, "#") && !strstr(path, "(deleted)"))
			strcpy(node->name, path);
		node->durable = realloc(node->durable, (size_t)st.st_size + 1);
		snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
		in = open(self, O_RDONLY | O_CLOEXEC);
		node->durable_len =
			in < 0 ? 0 : (size_t)pread(in, node->durable, (size_t)st.st_size, 0);
		if (in >= 0)
			close(in);
		if (with_name && node->name[0])
			node->name_durable = true;
	}
	pthread_mutex_unlock(&model.lock);
}

static void model_link(int fd, const char *name)
{
	struct stat st;

	if (!model.watching || fstat(fd, &st))
		return;
	pthread_mutex_lock(&model.lock);
	if (!model.cut)
		snprintf(node_of(&st)->name, sizeof(model.nodes->name), "%s", name);
	pthread_mutex_unlock(&model.lock);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int fsync(int fd)
{
	int ret = REAL(fsync)(fd);

	if (!ret)
		model_sync(fd, true);
	return ret;
}

int fdatasync(int fd)
{
	int ret = REAL(fdatasync)(fd);

	if (!ret)
		model_sync(fd, false);
	return ret;
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
	int ret = REAL(linkat)(from_dir, from, to_dir, to, flags), fd;

	if (!ret && sscanf(from, "/proc/self/fd/%d", &fd) == 1)
		model_link(fd, to);
	return ret;
}

static void model_begin(const char *root)
{
	snprintf(model.root, sizeof(model.root), "%s", root);
	model.cut = false;
	model.watching = true;
}

static void model_end(void)
{
	model.watching = false;
	while (model.nodes) {
		struct node *node = model.nodes;

		model.nodes = node->next;
		free(node->durable);
		free(node);
	}
}

/* --- the image ------------------------------------------------------------------------------------------------------------ */

static void make_parents(const char *root, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
}

/* What was written behind the last sync is there in part: some blocks, zeros for the others, up to some length. */
static void write_tail(int out, const struct node *node)
{
	uint8_t block[512], zero[512] = {0};
	char path[256];
	size_t at = node->durable_len;
	int in;

	snprintf(path, sizeof(path), "%s/%s", model.root, node->name);
	in = open(path, O_RDONLY);
	if (in < 0)
		return;
	while (rng() % 8) {
		ssize_t n = pread(in, block, sizeof(block), (off_t)at);

		if (n <= 0)
			break;
		assert_int_equal(pwrite(out, rng() % 2 ? block : zero, (size_t)n, (off_t)at), n);
		at += (size_t)n;
	}
	close(in);
}

static void image_write(const char *root)
{
	char from[256], to[256], bytes[4096];
	ssize_t n;
	int in, out;

	make_parents(root, "STORE");
	snprintf(from, sizeof(from), "%s/STORE", model.root);
	snprintf(to, sizeof(to), "%s/STORE", root);
	in = open(from, O_RDONLY);
	out = open(to, O_WRONLY | O_CREAT, 0600);
	n = read(in, bytes, sizeof(bytes));
	assert_int_equal(write(out, bytes, (size_t)n), n);
	close(in);
	close(out);
	for (struct node *node = model.nodes; node; node = node->next) {
		if (!node->name[0] || (!node->name_durable && rng() % 2))
			continue;
		make_parents(root, node->name);
		snprintf(to, sizeof(to), "%s/%s", root, node->name);
		out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
		assert_true(out >= 0);
		assert_int_equal(write(out, node->durable, node->durable_len), node->durable_len);
		if (!strncmp(node->name, "segments", 8))
			write_tail(out, node);
		close(out);
	}
}

/* --- traffic ----------------------------------------------------------------------------------------------------------------- */

#define WRITERS 4
#define EACH	40
#define ROUNDS	5

struct writer {
	pthread_t thread;
	struct fixture *fixture;
	struct shard shards[EACH];
	bool answered[EACH];
};

static atomic_uint answers;

static void *writer_main(void *arg)
{
	struct writer *writer = arg;
	struct store_client *client = fixture_connect(writer->fixture, WEFT_ROLE_CLIENT);

	for (unsigned int i = 0; i < EACH; i++) {
		if (shard_put(client, &writer->shards[i]) != WEFT_ST_OK)
			break;
		pthread_mutex_lock(&model.lock);
		writer->answered[i] = !model.cut;
		pthread_mutex_unlock(&model.lock);
		atomic_fetch_add(&answers, 1);
	}
	store_client_close(client);
	return NULL;
}

/* Traffic, a cut in the middle, and how many shards of those answered are not in the image. Fails on damaged ones. */
static unsigned int lost_after_a_cut(void)
{
	struct writer *writers = calloc(WRITERS, sizeof(*writers));
	unsigned int lost = 0, cut_at = 1 + rng() % (WRITERS * EACH);
	struct fixture fixture, after;
	struct store_client *client;

	fixture_init(&fixture, STORE_BACKEND_THREADS);
	fixture_init(&after, STORE_BACKEND_THREADS);
	fixture.conf.segment_bytes = 1u << 20;
	model_begin(fixture.path);
	fixture_start(&fixture);
	atomic_store(&answers, 0);
	for (unsigned int w = 0; w < WRITERS; w++) {
		writers[w].fixture = &fixture;
		for (unsigned int i = 0; i < EACH; i++)
			shard_init(&writers[w].shards[i], 9 + w % 2, w * 1000 + i + 1,
				   i % 4 ? 100 + rng() % 30000 : WEFT_STORE_FILE_MIN + rng() % 8192,
				   rng());
		assert_int_equal(pthread_create(&writers[w].thread, NULL, writer_main, &writers[w]),
				 0);
	}
	while (atomic_load(&answers) < cut_at)
		sched_yield();
	pthread_mutex_lock(&model.lock);
	model.cut = true;
	pthread_mutex_unlock(&model.lock);
	for (unsigned int w = 0; w < WRITERS; w++)
		pthread_join(writers[w].thread, NULL);
	image_write(after.path);
	fixture_stop(&fixture);
	model_end();

	fixture_start(&after);
	client = fixture_connect(&after, WEFT_ROLE_CLIENT);
	for (unsigned int w = 0; w < WRITERS; w++) {
		for (unsigned int i = 0; i < EACH; i++) {
			int status = shard_check(client, &writers[w].shards[i]);

			if (status != WEFT_ST_OK)
				assert_int_equal(status, WEFT_ST_ABSENT);
			lost += status != WEFT_ST_OK && writers[w].answered[i];
			shard_exit(&writers[w].shards[i]);
		}
	}
	store_client_close(client);
	fixture_stop(&after);
	fixture_exit(&after);
	fixture_exit(&fixture);
	free(writers);
	return lost;
}

static void invariant_1_answered_puts_survive_a_power_cut(void **state)
{
	for (int round = 0; round < ROUNDS; round++)
		assert_int_equal(lost_after_a_cut(), 0);
}

static void a_name_that_is_not_synced_is_found(void **state)
{
	unsigned int lost = 0;

	store_fault_name_unsynced = true;
	for (int round = 0; round < ROUNDS; round++)
		lost += lost_after_a_cut();
	store_fault_name_unsynced = false;
	assert_true(lost > 0);
}

static void a_record_that_is_not_synced_is_found(void **state)
{
	unsigned int lost = 0;

	store_fault_record_unsynced = true;
	for (int round = 0; round < ROUNDS; round++)
		lost += lost_after_a_cut();
	store_fault_record_unsynced = false;
	assert_true(lost > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(invariant_1_answered_puts_survive_a_power_cut),
		cmocka_unit_test(a_name_that_is_not_synced_is_found),
		cmocka_unit_test(a_record_that_is_not_synced_is_found),
	};

	seed = getenv("WEFT_TEST_SEED") ? (unsigned int)atoi(getenv("WEFT_TEST_SEED"))
					: (unsigned int)time(NULL);
	printf("# WEFT_TEST_SEED=%u\n", seed);
	return cmocka_run_group_tests_name("store power cut", tests, NULL, NULL);
}
