/* SPDX-License-Identifier: GPL-2.0-only */
/* The back-ends that look for content-defined cuts on x86-64, best first. */
#ifndef WEFT_CHUNK_X86_CDC_ARCH_H
#define WEFT_CHUNK_X86_CDC_ARCH_H

#include "../cdc.h"

extern const struct weft_cdc_ops weft_cdc_avx2_ops;

#define WEFT_CDC_ARCH_BACKENDS	&weft_cdc_avx2_ops,

#endif
