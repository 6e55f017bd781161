// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * worker.c - tasks of the metadata service: a few threads that rebuild shards and delete them
 *
 * Threads: each works on one frame of tasks at a time, with connections of its own. Frames wait in one bounded queue.
 * A frame's answer is the frame itself with statuses, flags and checksums filled in (uapi/weft_ctl.h).
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/tlv.h"
#include "store/client.h"
#include "store/link.h"
#include "store/rebuild.h"

#define QUEUE_MAX     64
#define DELETE_WINDOW 32u
#define TIMEOUT_MS    10000u

struct store_workers {
	struct store_worker_conf conf;
	pthread_mutex_t lock; /* queue, waiting, stop */
	pthread_cond_t more;
	struct store_task *queue, **queue_end;
	unsigned int waiting;
	bool stop;
	unsigned int n;
	pthread_t threads[];
};

void store_task_free(struct store_task *task)
{
	free(task->payload);
	free(task);
}

/* --- DELETE ------------------------------------------------------------------------------------------------------------- */

/* One DELETE of a frame: where its status goes. */
struct deletion {
	struct weft_wire_frame frame;
	uint8_t *task; /* struct weft_c_task, unaligned */
};

static void task_set_status(uint8_t *task, uint32_t status)
{
	__le32 raw = cpu_to_le32(status);

	memcpy(task + offsetof(struct weft_c_task, status), &raw, sizeof(raw));
}

/* Answers come in any order; request ids are those that the client gave when it sent. */
static int deletions_collect(struct store_client *client, struct deletion *deletions, size_t first,
			     size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct weft_wire_frame answer;
		size_t j;
		int err = store_client_recv(client, &answer, NULL, 0);

		if (err)
			return err;
		for (j = first;
		     j < first + n && !weft_wire_frame_answers(&answer, &deletions[j].frame); j++)
			;
		if (j == first + n)
			return -EPROTO;
		task_set_status(deletions[j].task, answer.status);
	}
	return 0;
}

static int deletions_run(const struct store_worker_conf *conf, struct deletion *deletions, size_t n)
{
	struct weft_wire_greeting hello = conf->hello;
	struct store_client *client;
	size_t window = DELETE_WINDOW;
	int err = store_client_open(&client, conf->own_address, &hello, TIMEOUT_MS);

	if (err)
		return err < 0 ? err : -EACCES;
	if (hello.in_flight < window)
		window = hello.in_flight;
	for (size_t first = 0; first < n && !err; first += window) {
		size_t part = n - first < window ? n - first : window;

		for (size_t i = first; i < first + part && !err; i++)
			err = store_client_send(client, &deletions[i].frame, NULL, 0);
		if (!err)
			err = deletions_collect(client, deletions, first, part);
	}
	store_client_close(client);
	return err;
}

static bool deletion_parse(struct deletion *deletion, uint8_t *data, size_t len)
{
	struct weft_c_task_shard shard;
	struct weft_c_task task;

	if (len != sizeof(task) + sizeof(shard))
		return false;
	memcpy(&task, data, sizeof(task));
	memcpy(&shard, data + sizeof(task), sizeof(shard));
	deletion->task = data;
	deletion->frame = (struct weft_wire_frame){
		.op = WEFT_OP_DEL,
		.store = le32_to_cpu(shard.store),
		.group = le64_to_cpu(task.group),
		.session = le64_to_cpu(task.sid.session),
		.counter = le64_to_cpu(task.sid.counter),
		.index = shard.index,
	};
	return deletion->frame.store && deletion->frame.group &&
	       deletion->frame.index < WEFT_SHARDS_MAX &&
	       (deletion->frame.session || deletion->frame.counter);
}

/* --- frames -------------------------------------------------------------------------------------------------------------- */

static uint32_t task_kind(const struct tlv *tlv)
{
	__le32 kind;

	if (tlv->type != WEFT_C_TASK || tlv->len < sizeof(struct weft_c_task))
		return 0;
	memcpy(&kind, tlv->data, sizeof(kind));
	return le32_to_cpu(kind);
}

/* All DELETEs of a frame together, so that they share syncs. */
static void frame_deletions(const struct store_worker_conf *conf, struct store_task *frame,
			    size_t n)
{
	struct deletion *deletions = calloc(n, sizeof(*deletions));
	struct tlv_reader reader;
	struct tlv tlv;
	size_t i = 0;
	int err;

	if (!deletions) {
		frame->status = WEFT_ST_NOMEM;
		return;
	}
	tlv_reader_init(&reader, frame->payload, frame->len);
	while (tlv_next(&reader, &tlv) == 1) {
		if (task_kind(&tlv) != WEFT_TASK_DELETE)
			continue;
		task_set_status((uint8_t *)tlv.data, WEFT_ST_INVAL);
		if (deletion_parse(&deletions[i], (uint8_t *)tlv.data, tlv.len)) {
			task_set_status((uint8_t *)tlv.data, WEFT_ST_LOST_PEER);
			i++;
		}
	}
	err = i ? deletions_run(conf, deletions, i) : 0;
	if (err)
		log_warn("shards could not be deleted: %s; the metadata service asks again",
			 strerror(-err));
	free(deletions);
}

static void frame_run(const struct store_worker_conf *conf, struct store_task *frame)
{
	struct tlv_reader reader;
	struct tlv tlv;
	size_t deletions = 0;
	int more;

	frame->status = WEFT_ST_OK;
	tlv_reader_init(&reader, frame->payload, frame->len);
	while ((more = tlv_next(&reader, &tlv)) == 1) {
		switch (task_kind(&tlv)) {
		case WEFT_TASK_DELETE:
			deletions++;
			break;
		case WEFT_TASK_REBUILD:
			store_task_run(conf, (uint8_t *)tlv.data, tlv.len);
			break;
		default:
			if (tlv.type == WEFT_C_TASK)
				frame->status = WEFT_ST_UNKNOWN_OP;
		}
	}
	if (more < 0)
		frame->status = WEFT_ST_PROTO;
	else if (deletions)
		frame_deletions(conf, frame, deletions);
}

void store_task_run(const struct store_worker_conf *conf, uint8_t *attribute, size_t len)
{
	task_set_status(attribute, store_rebuild(conf, attribute, len));
}

static void *worker_main(void *arg)
{
	struct store_workers *workers = arg;

	pthread_mutex_lock(&workers->lock);
	for (;;) {
		struct store_task *task;

		while (!workers->queue && !workers->stop)
			pthread_cond_wait(&workers->more, &workers->lock);
		if (workers->stop)
			break;
		task = workers->queue;
		workers->queue = task->next;
		if (!workers->queue)
			workers->queue_end = &workers->queue;
		workers->waiting--;
		pthread_mutex_unlock(&workers->lock);
		frame_run(&workers->conf, task);
		workers->conf.done(workers->conf.ctx, task);
		pthread_mutex_lock(&workers->lock);
	}
	pthread_mutex_unlock(&workers->lock);
	return NULL;
}

int store_workers_submit(struct store_workers *workers, struct store_task *task)
{
	int err = 0;

	task->next = NULL;
	pthread_mutex_lock(&workers->lock);
	if (workers->waiting == QUEUE_MAX) {
		err = -EAGAIN;
	} else {
		*workers->queue_end = task;
		workers->queue_end = &task->next;
		workers->waiting++;
		pthread_cond_signal(&workers->more);
	}
	pthread_mutex_unlock(&workers->lock);
	return err;
}

void store_workers_stop(struct store_workers *workers)
{
	pthread_mutex_lock(&workers->lock);
	workers->stop = true;
	pthread_cond_broadcast(&workers->more);
	pthread_mutex_unlock(&workers->lock);
	for (unsigned int i = 0; i < workers->n; i++)
		pthread_join(workers->threads[i], NULL);
	while (workers->queue) {
		struct store_task *task = workers->queue;

		workers->queue = task->next;
		store_task_free(task);
	}
	pthread_cond_destroy(&workers->more);
	pthread_mutex_destroy(&workers->lock);
	free(workers);
}

int store_workers_start(struct store_workers **out, const struct store_worker_conf *conf,
			unsigned int n)
{
	struct store_workers *workers =
		calloc(1, sizeof(*workers) + n * sizeof(workers->threads[0]));
	sigset_t all, before;
	int err = 0;

	if (!workers)
		return -ENOMEM;
	workers->conf = *conf;
	workers->queue_end = &workers->queue;
	pthread_mutex_init(&workers->lock, NULL);
	pthread_cond_init(&workers->more, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (!err && workers->n < n) {
		err = -pthread_create(&workers->threads[workers->n], NULL, worker_main, workers);
		if (!err)
			workers->n++;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err) {
		store_workers_stop(workers);
		return err;
	}
	*out = workers;
	return 0;
}
