/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * trace.h - trace points: requests to the daemon, chunks stored and fetched, units of writeback
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM weft

#if !defined(_WEFT_OBS_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _WEFT_OBS_TRACE_H

#include <linux/tracepoint.h>

#include "weft.h"

#ifndef _WEFT_OBS_TRACE_ENUMS
#define _WEFT_OBS_TRACE_ENUMS

#define WEFT_REQUEST_STEPS(X) \
	X(weft_request_queued, "queued") X(weft_request_fetched, "fetched") X(weft_request_returned, "returned") \
	X(weft_request_completed, "completed")

enum weft_request_step {
#define WEFT_TRACE_ENUM(name, text) name,
	WEFT_REQUEST_STEPS(WEFT_TRACE_ENUM)
#undef WEFT_TRACE_ENUM
};
#endif

#define WEFT_TRACE_DEFINE(name, text) TRACE_DEFINE_ENUM(name);
WEFT_REQUEST_STEPS(WEFT_TRACE_DEFINE)
#undef WEFT_TRACE_DEFINE

TRACE_EVENT(weft_request,
	TP_PROTO(const struct weft_request *req, enum weft_request_step step),
	TP_ARGS(req, step),
	TP_STRUCT__entry(
		__field(u64, id)
		__field(u64, session)
		__field(u64, ino)
		__field(u64, sequence)
		__field(u32, slot)
		__field(u32, status)
		__field(u16, op)
		__field(u8, class)
		__field(u8, step)
	),
	TP_fast_assign(
		__entry->id = req->id;
		__entry->session = req->session;
		__entry->ino = req->ino;
		__entry->sequence = req->sequence;
		__entry->slot = req->slot;
		__entry->status = req->status;
		__entry->op = req->op;
		__entry->class = req->class;
		__entry->step = step;
	),
#define WEFT_TRACE_STRING(name, text) { name, text },
	TP_printk("%llu %s op=%u class=%u session=%llu ino=%llu slot=%d sequence=%llu status=%u", __entry->id,
		  __print_symbolic(__entry->step, WEFT_REQUEST_STEPS(WEFT_TRACE_STRING) { 255, "" }), __entry->op,
		  __entry->class, __entry->session, __entry->ino, (int)__entry->slot, __entry->sequence, __entry->status)
);

TRACE_EVENT(weft_put_done,
	TP_PROTO(const struct weft_put *put),
	TP_ARGS(put),
	TP_STRUCT__entry(
		__field(u64, ino)
		__field(u64, offset)
		__field(u64, group)
		__field(u64, sid_counter)
		__field(u32, length)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->ino = put->ino;
		__entry->offset = put->file_offset;
		__entry->group = put->group;
		__entry->sid_counter = put->sid_counter;
		__entry->length = put->plain_len;
		__entry->error = put->error;
	),
	TP_printk("ino=%llu offset=%llu length=%u group=%llu sid_counter=%llu error=%d", __entry->ino, __entry->offset,
		  __entry->length, __entry->group, __entry->sid_counter, __entry->error)
);

TRACE_EVENT(weft_get_done,
	TP_PROTO(const struct weft_get *get),
	TP_ARGS(get),
	TP_STRUCT__entry(
		__field(u64, ino)
		__field(u64, file_offset)
		__field(u64, group)
		__field(u64, number)
		__field(u32, offset)
		__field(u32, length)
		__field(int, error)
		__field(bool, degraded)
	),
	TP_fast_assign(
		__entry->ino = get->ino;
		__entry->file_offset = get->file_offset;
		__entry->group = get->chunk->group;
		__entry->number = get->chunk->number;
		__entry->offset = get->offset;
		__entry->length = get->length;
		__entry->error = get->error;
		__entry->degraded = get->degraded;
	),
	TP_printk("ino=%llu file_offset=%llu chunk=%llu:%llu offset=%u length=%u degraded=%d error=%d", __entry->ino,
		  __entry->file_offset, __entry->group, __entry->number, __entry->offset, __entry->length,
		  __entry->degraded, __entry->error)
);

/* A unit of writeback: cut, stored, committed, parked, failed. what is a string constant. */
TRACE_EVENT(weft_unit,
	TP_PROTO(u64 ino, u64 offset, u64 length, const char *what, int error),
	TP_ARGS(ino, offset, length, what, error),
	TP_STRUCT__entry(
		__field(u64, ino)
		__field(u64, offset)
		__field(u64, length)
		__string(what, what)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->ino = ino;
		__entry->offset = offset;
		__entry->length = length;
		__assign_str(what);
		__entry->error = error;
	),
	TP_printk("ino=%llu offset=%llu length=%llu %s error=%d", __entry->ino, __entry->offset, __entry->length,
		  __get_str(what), __entry->error)
);

#endif /* _WEFT_OBS_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH obs
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
