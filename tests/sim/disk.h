/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * disk.h - a disk that can lose power
 *
 * What a file system promises, and nothing more:
 *  - a block written since the last sync of its file is, after a power cut, at a random one of its
 *    versions: the one at the last sync or any later one; each block for itself, in blocks of 512
 *    or 4096 bytes;
 *  - so is the file's size;
 *  - names made, changed or removed since the last sync of the directory are there or not, each for
 *    itself;
 *  - what was synced is there.
 *
 * Two ways to use it:
 *  - sim_disk_io(): files that live in the model only, for the log;
 *  - sim_disk_watch(): files that a library writes by itself below a real directory (LMDB's
 *    data.mdb). Opening, writing and syncing them is intercepted in this process and mirrored;
 *    sim_disk_power_cut() and sim_disk_write_out() then give a directory as it could be found
 *    afterwards. Needs writes by calls; writable mappings go unnoticed.
 *
 * All from one thread.
 */
#ifndef WEFT_SIM_DISK_H
#define WEFT_SIM_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "raft/internal.h"

struct sim_disk;

/* A generator that gives the same numbers for the same seed everywhere. */
uint64_t sim_random(uint64_t *state);
/* 0 .. n - 1; n > 0. */
uint64_t sim_below(uint64_t *state, uint64_t n);

struct sim_disk *sim_disk_alloc(uint64_t seed, unsigned int tear_bytes);
void sim_disk_free(struct sim_disk *disk);

struct rlog_io *sim_disk_io(struct sim_disk *disk);

/*
 * The n-th operation from now on that changes something (0: the next) is cut short, it and all
 * later ones fail.
 */
void sim_disk_cut_after(struct sim_disk *disk, uint64_t n);
void sim_disk_cut(struct sim_disk *disk);	/* now */
bool sim_disk_is_cut(const struct sim_disk *disk);
/* Operations that changed something so far. */
uint64_t sim_disk_operations(const struct sim_disk *disk);

/* Power goes and comes back: everything not synced is as described above. */
void sim_disk_power_cut(struct sim_disk *disk);
/* The processes are gone, the machine lives: nothing is lost. Ends a cut. */
void sim_disk_kill(struct sim_disk *disk);

/* Changes a byte of a file for good; false if there is no such byte. */
bool sim_disk_rot(struct sim_disk *disk, const char *name, uint64_t offset);
/* The current contents; NULL if there is no such file. */
const uint8_t *sim_disk_bytes(struct sim_disk *disk, const char *name, uint64_t *size);
/* Calls each() for all names, in no order. */
void sim_disk_names(struct sim_disk *disk, void (*each)(void *arg, const char *name), void *arg);

/*
 * From now on: the file of this name in directory, until sim_disk_free(). A sync of it makes its
 * name durable as well.
 */
void sim_disk_watch(struct sim_disk *disk, const char *directory, const char *name);
/* Writes all files into an existing directory. Negative errno. */
int sim_disk_write_out(struct sim_disk *disk, const char *directory);

/* watch.c */
void sim_disk_unwatch(struct sim_disk *disk);

/* For watch.c. create: the file is made if need be. */
struct sim_file;
struct sim_file *sim_disk_file(struct sim_disk *disk, const char *name, bool create);
int sim_file_write(struct sim_disk *disk, struct sim_file *file, const void *buf, size_t len,
		   uint64_t offset, bool durable);
int sim_file_sync(struct sim_disk *disk, struct sim_file *file);
int sim_file_truncate(struct sim_disk *disk, struct sim_file *file, uint64_t size);

#endif /* WEFT_SIM_DISK_H */
