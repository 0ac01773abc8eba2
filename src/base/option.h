// SPDX-License-Identifier: Apache-2.0
// How a module states the options it takes: one row per key. The configuration loader, the
// reference YAML, `config --check`, the man page and docs/ are all made from these rows; nobody
// parses YAML himself. A row describes one member of the module's options struct.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tl_option_type {
	TL_OPTION_BOOL,      // bool
	TL_OPTION_UINT,      // uint64_t
	TL_OPTION_SIZE,      // uint64_t bytes; "64MiB", "10kB", plain number
	TL_OPTION_DURATION,  // uint64_t nanoseconds; "30s", "100ms", "5m", "1h", "7d"
	TL_OPTION_TEXT,      // const char *, "" when unset, never NULL
	TL_OPTION_SECRET,    // the same, masked wherever it is printed
	TL_OPTION_CHOICE,    // uint32_t: index into `choices`
	TL_OPTION_TEXT_LIST, // struct tl_text_list
	TL_OPTION_UINT_LIST, // struct tl_uint_list
	TL_OPTION_REAL_LIST, // struct tl_real_list, ascending
	TL_OPTION_TEXT_MAP,  // struct tl_text_map, in file order
	TL_OPTION_TABLE,     // struct tl_option_table: list of mappings described by `rows`
	TL_OPTION_SECRET_MAP, // a TEXT_MAP, every value masked wherever it is printed
	TL_OPTION_SECTION,   // a nested struct at `offset`, described by `rows`
};

struct tl_text_list {
	const char **items;
	uint32_t count;
};

struct tl_uint_list {
	uint64_t *items;
	uint32_t count;
};

struct tl_real_list {
	double *items;
	uint32_t count;
};

struct tl_text_pair {
	const char *key;
	const char *value;
};

struct tl_text_map {
	struct tl_text_pair *items;
	uint32_t count;
};

struct tl_option_table {
	void *items; // `count` structs of the row's `item_size`
	uint32_t count;
};

struct tl_option {
	const char *key;           // last part of the dotted key, packetd's word where it has one
	uint8_t type;              // enum tl_option_type
	bool hot;                  // takes effect on reload; false: needs a restart
	bool required;             // must be given (only meaningful inside a TABLE row)
	uint32_t offset;           // of the member in the options struct
	const char *value;         // default, in YAML flow syntax ("30s", "[80, 8080]", "{}")
	uint64_t min, max;         // bounds of UINT, SIZE, DURATION; both 0: unbounded
	const char *const *choices; // CHOICE: words, NULL-terminated
	const struct tl_option *rows; // TABLE, SECTION: nested rows, ended by key == NULL
	uint32_t item_size;        // TABLE: sizeof one item
	const char *help;          // one or two plain sentences, without the default
};

#define TL_OPTION_END {.key = NULL}
