/* SPDX-License-Identifier: GPL-2.0-or-later */
/* value.h - values of the configuration: text to number and back; pure, private to conf/ and its tests. */
#ifndef WEFT_CONF_VALUE_H
#define WEFT_CONF_VALUE_H

#include "conf/conf.h"

/*
 * Check a value against its key. 0 and *number (0 for types without one); a negative errno and a sentence without a full
 * stop in why ("must be between 100ms and 1min").
 */
int value_check(const struct conf_key *key, const char *text, uint64_t *number, char *why, size_t why_size);

/* "8b3f...-..." or 32 hex digits. -EINVAL. */
int value_uuid(const char *text, uint8_t uuid[16]);
/* 36 characters and a NUL. */
void value_uuid_format(const uint8_t uuid[16], char text[37]);

/* How many single-letter changes turn a into b; for "did you mean". Bounded by 255-byte names. */
unsigned int value_distance(const char *a, const char *b);

#endif
