/* SPDX-License-Identifier: GPL-2.0-or-later */
/* keyring.h - a volume's keys in the kernel. Functions return 0 or a negative errno. */
#ifndef WEFT_TOOL_KEYRING_H
#define WEFT_TOOL_KEYRING_H

#include <stdbool.h>
#include <stddef.h>

#include "weft_key.h"

/* @cluster: UUID, as text with dashes. */
void keyring_description(const char *cluster, const char *volume, char *text, size_t size);
/* Adds or replaces the key, where this process's requests to the kernel find it. */
int keyring_add(const char *description, const struct weft_key_ring *ring, size_t len);
bool keyring_has(const char *description);
int keyring_del(const char *description);

/* Every mount of the volume, until visit returns something else than 0. @cluster: name, or NULL. */
int keyring_each_mount(const char *cluster, const char *volume, int (*visit)(int fd, const char *path, void *data), void *data);

/* --- reencrypt.c */
struct options;
/* Every file below the mount: 0, or 1 after a failure that was said. */
int reencrypt(const struct options *options, const char *path);

#endif
