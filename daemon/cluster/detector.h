/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * detector.h - which hosts are up, by their heartbeats
 *
 * Pure: time comes in as an argument (CLOCK_MONOTONIC, ns). A host that is silent for suspect_ns is suspect, for down_ns down;
 * a heartbeat makes it up again at once, unless it flaps: each return within an hour of the last doubles the time that it
 * has to stay alive first (to an hour). The detector discards its own pauses: when it has not been asked for longer than a
 * heartbeat, all silences start anew, because nobody could have been heard.
 *
 * Cost: a beat is O(log n), a tick O(n) in hosts.
 */
#ifndef WEFT_CLUSTER_DETECTOR_H
#define WEFT_CLUSTER_DETECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct detector_config {
	uint64_t heartbeat_ns; /* how often hosts send */
	uint64_t suspect_ns;
	uint64_t down_ns;
};

enum detector_state { DETECTOR_UP = 1, DETECTOR_SUSPECT = 2, DETECTOR_DOWN = 3 };

struct detector_change {
	uint32_t host;
	enum detector_state from, to;
};

struct detector;

/* NULL: out of memory. */
struct detector *detector_new(const struct detector_config *config);
void detector_free(struct detector *detector);

/* A host that is not known yet: down until it is heard. 0 or -ENOMEM. */
int detector_add(struct detector *detector, uint32_t host, uint64_t now_ns);
void detector_del(struct detector *detector, uint32_t host);

/* It was heard. True if that made it up, and change says from what. Unknown hosts are ignored. */
bool detector_beat(struct detector *detector, uint32_t host, uint64_t now_ns, struct detector_change *change);

/* Time has passed: calls changed for each host whose state changed. Call it every heartbeat or more often. */
void detector_tick(struct detector *detector, uint64_t now_ns,
		   void (*changed)(void *ctx, const struct detector_change *change), void *ctx);

/* DETECTOR_DOWN for hosts that are not known. */
enum detector_state detector_state(const struct detector *detector, uint32_t host);
/* Share of the time since it was added during which it was up, 0 .. 1; 1 for hosts that are not known. */
double detector_uptime(const struct detector *detector, uint32_t host, uint64_t now_ns);

#endif
