// SPDX-License-Identifier: Apache-2.0
// The kernel's log as it is written (/dev/kmsg, Documentation/ABI/testing/dev-kmsg): the one source
// of some events that every kernel has. One thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "collectors/collector.h"

#define TL_KMSG_LINE_BYTES 1024u
#define TL_KMSG_STACK_LINES_MAX 200u // of the lines behind an event
#define TL_KMSG_STACK_NS UINT64_C(300000000) // and the time they have to come

struct tl_kmsg;

// What is written from now on. 0 or -errno; give back with tl_kmsg_close.
int tl_kmsg_open(struct tl_kmsg **ret_kmsg);
void tl_kmsg_close(struct tl_kmsg *kmsg); // accepts NULL
// The next message, without its head and line end; NULL when the run is to end, or after `wait_ns`
// (0: no limit). Valid until the next call.
const char *tl_kmsg_next(struct tl_kmsg *kmsg, struct tl_ctx *ctx, uint64_t wait_ns);
// Messages that follow an event, such as a call trace, one per line in `ret_text`: until `end`
// occurs in one, or the limits above.
void tl_kmsg_gather(struct tl_kmsg *kmsg, struct tl_ctx *ctx, const char *end,
		    struct tl_text *ret_text);
