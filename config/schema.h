// SPDX-License-Identifier: Apache-2.0
// Internal to config/: the complete tree of rows, made from the static ones and from what the
// registries of decoders and exporters hold.
#pragma once

#include "config/arena.h"
#include "config/config.h"

#define TL_KEY_BYTES 256u // longest dotted key in messages

// What config/ puts before the options struct of a decoder or exporter.
struct tl_module_head {
	bool is_enabled;
	uint64_t timeout_ns;
};
#define TL_MODULE_HEAD_BYTES 16u

struct tl_schema {
	const struct tl_option *rows; // of the root
	uint32_t size;                // of the block that the offsets point into
	uint32_t *protocol_offset;    // [tl_decoder_count], of the module head, 0 for holes
	uint32_t *exporter_offset;    // [exporters], of the head or of the struct tl_option_table
	uint32_t *collector_offset;   // [tl_collector_count()], of its options, 0: it has none
	bool *exporter_has_enabled;   // [exporters], the exporter's own rows have the key
	uint32_t exporter_count;
};

// 0 or -ENOMEM. The schema lives in `arena`.
int tl_schema_init(struct tl_schema *schema, struct tl_arena *arena);

struct tl_given {
	const char *key;
	uint32_t line;
};

struct tl_config_state {
	struct tl_arena arena;
	struct tl_schema schema;
	struct tl_given *given; // keys that the file sets
	uint32_t given_count;
	uint32_t given_max;
};

// The checks that need more than one row. Adds to `errors`.
void tl_config_check(const struct tl_config *config, struct tl_config_errors *errors);

// packetd's `key` has this place here; NULL if it isn't one of packetd's.
const char *tl_packetd_hint(const char *key);
// "not built in" for what exists but isn't compiled in; NULL for what does not exist.
const char *tl_absent_feature(const char *key);

