// SPDX-License-Identifier: Apache-2.0
// Names of addresses: of the kernel by /proc/kallsyms, of processes by their maps and the symbol
// tables of the files in them (of executables, libraries; without one: module and offset). One
// thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

#define TL_SYMBOL_NAME_BYTES 128u
#define TL_SYMBOL_FILES_MAX 128u     // whose symbols are kept
#define TL_SYMBOL_PROCESSES_MAX 512u // whose maps are

struct tl_symbol {
	char name[TL_SYMBOL_NAME_BYTES];   // "" where nothing is known but the module
	char module[64];                   // "libc.so.6"; "" for the kernel proper
	uint64_t offset;                   // from the symbol's begin, else from that of the module
};

struct tl_symbols;

struct tl_symbols *tl_symbols_create(void); // NULL on no memory
void tl_symbols_destroy(struct tl_symbols *symbols); // accepts NULL

// False: nothing is known of this address (kernel.kptr_restrict, a process that has gone, ...).
bool tl_symbol_kernel(struct tl_symbols *symbols, uint64_t address, struct tl_symbol *ret_symbol);
bool tl_symbol_user(struct tl_symbols *symbols, uint32_t pid, uint64_t address,
		    struct tl_symbol *ret_symbol);
// Reads a process' maps now, for it may be gone when its addresses are asked for.
void tl_symbols_note(struct tl_symbols *symbols, uint32_t pid);

// "tcp_v4_rcv+0x1c", "work+0x10 (libwork.so)", "0xffff..." as lines, the innermost first. `pid` 0: a
// stack of the kernel.
void tl_symbols_print(struct tl_symbols *symbols, uint32_t pid, const uint64_t *addresses,
		      uint32_t count, struct tl_text *ret_text);
