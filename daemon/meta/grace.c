// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * grace.c - for how long chunks have been condemned, by a clock that nobody sets
 *
 * Entries carry the leader's wall clock (raised to the last entry's + 1 ns), which orders them and
 * nothing more: an administrator or a time server moves it by hours in either direction. So the
 * leader notes now and then what time the last applied entry carries, with its own monotonic clock
 * beside it:
 *
 *	monotonic	m1          m2          m3          now
 *	entries		t1          t2          t3
 *	                            |<------- grace ------->|
 *
 * What was condemned by an entry up to t2 had been condemned when m2 was noted. A new leader knows
 * nothing of the time before its first note and gives everything its whole grace time again; so
 * does a machine that slept, of the time that it slept.
 */
#include "meta/service.h"

void meta_grace_reset(struct meta_grace *grace)
{
	grace->n = 0;
}

void meta_grace_note(struct meta_grace *grace, u64 now_ns, u64 time_ns, u64 grace_ns)
{
	struct meta_grace_note *notes = grace->notes;
	unsigned int old = 0;

	/* A pause between two notes of an eighth of the grace time makes nothing wait much longer. */
	if (grace->n && now_ns - notes[grace->n - 1].now_ns < grace_ns / 8)
		return;
	/* Of those that are old enough the newest says all that the others do. */
	while (old + 1 < grace->n && now_ns - notes[old + 1].now_ns >= grace_ns)
		old++;
	grace->n -= old;
	memmove(notes, notes + old, grace->n * sizeof(*notes));
	if (grace->n == META_GRACE_NOTES)
		return;
	notes[grace->n++] = (struct meta_grace_note){ now_ns, time_ns };
}

bool meta_grace_over(const struct meta_grace *grace, u64 now_ns, u64 grace_ns, u64 *time_ns)
{
	bool found = false;

	for (unsigned int i = 0; i < grace->n && now_ns - grace->notes[i].now_ns >= grace_ns; i++) {
		*time_ns = grace->notes[i].time_ns;
		found = true;
	}
	return found;
}
