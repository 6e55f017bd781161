// SPDX-License-Identifier: GPL-2.0-or-later
/* detector.c - which hosts are up; see detector.h. Hosts are kept in an array sorted by number. */
#include "cluster/detector.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SECOND 1000000000ull
#define HOUR   (3600 * SECOND)

struct host {
	uint32_t host;
	enum detector_state state;
	uint64_t heard;       /* last heartbeat, or the end of our own pause if that is later */
	uint64_t added;
	uint64_t since;       /* of the present state */
	uint64_t up_ns;       /* in earlier states */
	uint64_t returned;    /* when it last came back from down; 0: never */
	uint64_t penalty;     /* how long it must stay alive before it is up */
	uint64_t alive_since; /* first heartbeat of a host that is being watched before it is up; 0: none */
};

struct detector {
	struct detector_config config;
	struct host *hosts;
	size_t n;
	uint64_t ticked;
};

struct detector *detector_new(const struct detector_config *config)
{
	struct detector *detector = calloc(1, sizeof(*detector));

	if (detector)
		detector->config = *config;
	return detector;
}

void detector_free(struct detector *detector)
{
	if (detector)
		free(detector->hosts);
	free(detector);
}

static size_t position(const struct detector *detector, uint32_t host)
{
	size_t low = 0, high = detector->n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (detector->hosts[mid].host < host)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct host *find(const struct detector *detector, uint32_t host)
{
	size_t i = position(detector, host);

	return i < detector->n && detector->hosts[i].host == host ? &detector->hosts[i] : NULL;
}

int detector_add(struct detector *detector, uint32_t number, uint64_t now_ns)
{
	size_t i = position(detector, number);
	struct host *hosts;

	if (find(detector, number))
		return 0;
	hosts = realloc(detector->hosts, (detector->n + 1) * sizeof(*hosts));
	if (!hosts)
		return -ENOMEM;
	detector->hosts = hosts;
	memmove(hosts + i + 1, hosts + i, (detector->n - i) * sizeof(*hosts));
	hosts[i] = (struct host){ .host = number, .state = DETECTOR_DOWN, .heard = now_ns, .added = now_ns, .since = now_ns };
	detector->n++;
	return 0;
}

void detector_del(struct detector *detector, uint32_t number)
{
	struct host *host = find(detector, number);

	if (!host)
		return;
	memmove(host, host + 1, (size_t)(detector->hosts + detector->n - host - 1) * sizeof(*host));
	detector->n--;
}

static void enter(struct host *host, enum detector_state state, uint64_t now, struct detector_change *change)
{
	*change = (struct detector_change){ .host = host->host, .from = host->state, .to = state };
	if (host->state != DETECTOR_DOWN)
		host->up_ns += now - host->since;
	host->since = now;
	host->state = state;
}

/* The first return costs nothing, and neither does one that is an hour after the last. */
static void note_return(struct host *host, uint64_t now, uint64_t heartbeat)
{
	if (!host->returned || now - host->returned >= HOUR)
		host->penalty = 0;
	else
		host->penalty = host->penalty ? (host->penalty * 2 < HOUR ? host->penalty * 2 : HOUR) : heartbeat;
	host->returned = now;
}

bool detector_beat(struct detector *detector, uint32_t number, uint64_t now_ns, struct detector_change *change)
{
	struct host *host = find(detector, number);

	if (!host)
		return false;
	host->heard = now_ns;
	if (host->state == DETECTOR_UP)
		return false;
	if (host->state == DETECTOR_DOWN && !host->alive_since) {
		note_return(host, now_ns, detector->config.heartbeat_ns);
		host->alive_since = now_ns ? now_ns : 1;
	}
	if (host->state == DETECTOR_DOWN && now_ns - host->alive_since < host->penalty)
		return false;
	host->alive_since = 0;
	enter(host, DETECTOR_UP, now_ns, change);
	return true;
}

static void discard_pause(struct detector *detector, uint64_t now)
{
	if (detector->ticked && now - detector->ticked > 2 * detector->config.heartbeat_ns)
		for (size_t i = 0; i < detector->n; i++)
			detector->hosts[i].heard = now;
	detector->ticked = now;
}

void detector_tick(struct detector *detector, uint64_t now_ns,
		   void (*changed)(void *ctx, const struct detector_change *change), void *ctx)
{
	discard_pause(detector, now_ns);
	for (size_t i = 0; i < detector->n; i++) {
		struct host *host = &detector->hosts[i];
		uint64_t silent = now_ns > host->heard ? now_ns - host->heard : 0;
		struct detector_change change;

		if (silent >= detector->config.down_ns)
			host->alive_since = 0;
		if (host->state != DETECTOR_DOWN && silent >= detector->config.down_ns)
			enter(host, DETECTOR_DOWN, now_ns, &change);
		else if (host->state == DETECTOR_UP && silent >= detector->config.suspect_ns)
			enter(host, DETECTOR_SUSPECT, now_ns, &change);
		else
			continue;
		changed(ctx, &change);
	}
}

enum detector_state detector_state(const struct detector *detector, uint32_t number)
{
	const struct host *host = find(detector, number);

	return host ? host->state : DETECTOR_DOWN;
}

double detector_uptime(const struct detector *detector, uint32_t number, uint64_t now_ns)
{
	const struct host *host = find(detector, number);
	uint64_t up;

	if (!host || now_ns <= host->added)
		return 1;
	up = host->up_ns + (host->state != DETECTOR_DOWN ? now_ns - host->since : 0);
	return (double)up / (double)(now_ns - host->added);
}
