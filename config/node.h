// SPDX-License-Identifier: Apache-2.0
// Internal to config/: YAML text as a bounded tree. What YAML has beyond plain data (anchors,
// aliases, tags, several documents) is refused, so that a file means what it looks like.
#pragma once

#include "config/arena.h"
#include "config/config.h"

enum tl_node_kind { TL_NODE_SCALAR, TL_NODE_LIST, TL_NODE_MAP };

struct tl_node {
	uint8_t kind;
	bool is_quoted;
	uint32_t line;
	uint32_t count;        // children
	const char *key;       // inside a map
	const char *text;      // of a scalar
	struct tl_node *first; // child
	struct tl_node *next;  // sibling
};

// `*ret_root` is NULL for an empty file. 0, -EINVAL with a line in `errors`, or -ENOMEM.
int tl_node_parse(const char *name, const char *text, size_t len, struct tl_arena *arena,
		  struct tl_node **ret_root, struct tl_config_errors *errors);
