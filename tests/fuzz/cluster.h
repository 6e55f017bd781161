/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cluster.h - a small cluster for fuzz targets of the metadata service: one volume, mounted; one host "h" with four stores, a
 * group of 2+2 on them. The root is inode 1, an empty file "x" in it inode 2; the group is 1, the incarnation 1. What
 * targets apply to it is undone, so that each input meets the same state.
 */
#ifndef WEFT_TESTS_FUZZ_CLUSTER_H
#define WEFT_TESTS_FUZZ_CLUSTER_H

#include <stdlib.h>

#include "meta/meta.h"

#define require(what) do { if (!(what)) abort(); } while (0)

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

/* A directory for a database, and its end: the database stays open without it. Errors are not logged from here on. */
const char *cluster_directory(void);
void cluster_directory_remove(void);
/* Fills a state that was just opened and commits it; the session of the mount. */
u64 cluster_form(struct meta_state *state);
/* The result of meta_apply() as the next entry. */
int cluster_apply(struct meta_state *state, const void *entry, size_t len, struct meta_outcome *outcome);
/* Back to what cluster_form() made. */
void cluster_undo(struct meta_state *state);

#endif
