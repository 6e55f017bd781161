/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Work queues, timers, allocation and socket addresses of 7.3, on kernels from 6.12 on.
 */
#ifndef WEFT_COMPAT_CORE_H
#define WEFT_COMPAT_CORE_H

#include <linux/hrtimer.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/socket.h>
#include <linux/timer.h>
#include <linux/workqueue.h>

#include "probed.h"

/* 7.3 wants WQ_UNBOUND or WQ_PERCPU to be said; before, per CPU was what remained. */
#ifndef HAVE_WQ_PERCPU
#define WQ_PERCPU 0
#endif

#ifndef HAVE_SYSTEM_DFL_WQ
#define system_dfl_wq system_unbound_wq
#endif

#ifndef HAVE_HRTIMER_SETUP
static inline void hrtimer_setup(struct hrtimer *timer,
				 enum hrtimer_restart (*function)(struct hrtimer *timer),
				 clockid_t clock, enum hrtimer_mode mode)
{
	hrtimer_init(timer, clock, mode);
	timer->function = function;
}
#endif

#ifndef HAVE_TIMER_CONTAINER_OF
#define timer_container_of(var, callback_timer, field) from_timer(var, callback_timer, field)
#endif

/* 7.0: allocation by type. These take the GFP flags always, which 7.x allows. */
#ifndef kmalloc_obj
#define kmalloc_obj(type, gfp) ((typeof(type) *)kmalloc(sizeof(typeof(type)), gfp))
#define kzalloc_obj(type, gfp) ((typeof(type) *)kzalloc(sizeof(typeof(type)), gfp))
#define kmalloc_objs(type, n, gfp) ((typeof(type) *)kmalloc_array(n, sizeof(typeof(type)), gfp))
#define kzalloc_objs(type, n, gfp) ((typeof(type) *)kcalloc(n, sizeof(typeof(type)), gfp))
#define kzalloc_flex(type, member, n, gfp) \
	((typeof(type) *)kzalloc(struct_size_t(typeof(type), member, n), gfp))
#define kvmalloc_objs(type, n, gfp) ((typeof(type) *)kvmalloc_array(n, sizeof(typeof(type)), gfp))
#define kvzalloc_objs(type, n, gfp) ((typeof(type) *)kvcalloc(n, sizeof(typeof(type)), gfp))
#endif

/* What kernel_bind() and kernel_connect() take. */
#ifdef HAVE_SOCKADDR_UNSIZED
#define weft_sockaddr(address) ((struct sockaddr_unsized *)(address))
#else
#define weft_sockaddr(address) ((struct sockaddr *)(address))
#endif

#endif /* WEFT_COMPAT_CORE_H */
