// SPDX-License-Identifier: Apache-2.0
// What the files of this folder share.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

// ---- perf.c --------------------------------------------------------------------------------------

#define TL_PERF_CPUS_MAX 1024u

// A perf event on `cpu` for a BPF program: a tracepoint by its number, or the CPU clock `hz` times a
// second. A file descriptor, or -errno.
int tl_perf_open_tracepoint(int64_t id, uint32_t cpu);
int tl_perf_open_clock(uint32_t hz, uint32_t cpu);
// CPUs that are online, at most `max`; how many.
uint32_t tl_perf_cpus(uint32_t *ret_cpus, uint32_t max);

// ---- symbols.c, elf.c ----------------------------------------------------------------------------

#define TL_SYMBOL_ROWS_MAX 400000u // of one table

struct tl_symbol_row {
	uint64_t address;
	uint32_t size; // 0: up to the next one
	uint32_t name; // offset of its name, behind which is that of its module
};

// Sorted by address once it is complete.
struct tl_symbol_table {
	struct tl_symbol_row *rows;
	uint32_t count, capacity;
	struct tl_text names;
};

// False: it is full.
bool tl_symbol_table_add(struct tl_symbol_table *table, uint64_t address, uint64_t size,
			 const char *name, const char *module);
void tl_symbol_table_sort(struct tl_symbol_table *table);

// The functions of an ELF file, by their places in the file. 0 or -errno.
int tl_elf_read(const char *path, struct tl_symbol_table *ret_table);
