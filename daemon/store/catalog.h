/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * catalog.h - what a store has of a group: LIST, DIGEST and VERIFY
 *
 * All three block and run on threads of the pool. They fill the request's answer and return a status.
 */
#ifndef WEFT_STORE_CATALOG_H
#define WEFT_STORE_CATALOG_H

#include "store/store.h"

uint32_t store_catalog_list(struct store_request *request);
uint32_t store_catalog_digest(struct store_request *request);
uint32_t store_catalog_verify(struct store_request *request);

#endif
