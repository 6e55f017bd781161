/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fault.h - wrong behaviour that tests switch on, to show that they would find it
 *
 * Nothing in the daemon sets these; they are constants false in a running store.
 */
#ifndef WEFT_STORE_FAULT_H
#define WEFT_STORE_FAULT_H

#include <stdbool.h>

/* Answer a PUT before its file's name is durable. */
extern bool store_fault_name_unsynced;
/* Answer a PUT before its segment record is durable. */
extern bool store_fault_record_unsynced;
/* The disk has no room for the index. */
extern bool store_fault_index_full;

#endif
