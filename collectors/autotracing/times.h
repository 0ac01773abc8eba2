// SPDX-License-Identifier: Apache-2.0
// What each thread ran and waited for a CPU between two looks (/proc/TID/schedstat). One thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct tl_times;

struct tl_times *tl_times_create(void);         // NULL on no memory
void tl_times_destroy(struct tl_times *times);  // accepts NULL
// A new look begins.
void tl_times_begin(struct tl_times *times);
// Notes what thread `tid` has run and waited so far, and says how much of it came since the
// previous look. What a thread that was not there then did is taken as done since, at most
// `span_ns`. False on no memory.
bool tl_times_note(struct tl_times *times, uint32_t tid, uint64_t run_ns, uint64_t wait_ns,
		   uint64_t span_ns, uint64_t *ret_run_ns, uint64_t *ret_wait_ns);
