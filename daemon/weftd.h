/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftd.h - the roles of the daemon
 *
 * One binary, one process a role; `weftd` without --role is their supervisor. A role's main returns an exit status: 0 after
 * SIGTERM or SIGINT, 1 after an error that a restart may cure, 2 (WEFTD_EXIT_FATAL) after one that somebody has to look at
 * (the sentence is in the log); the supervisor does not restart the latter.
 *
 * Order of locks in a role: none is shared between roles; each component states its own at its head.
 */
#ifndef WEFTD_H
#define WEFTD_H

struct conf;

#define WEFTD_EXIT_FATAL 2

/* Each runs until it is told to stop, in a process of its own, with logging set up and SIGPIPE ignored. */
int meta_main(const struct conf *conf);
int store_main(const struct conf *conf);
int bridge_main(const struct conf *conf);

#endif
