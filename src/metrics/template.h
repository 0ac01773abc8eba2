// SPDX-License-Identifier: Apache-2.0
// Values without bound as labels: paths, names. A value becomes a template: the configured pattern
// that it matches, else what is left when identifiers and places with too many values are
// replaced. Learning looks at the values alone, never at time, and has a hard cap; a place once
// given up stays so. Not thread-safe: each worker has its own, and the control lcore another that
// makes one of what the workers found.
#pragma once

#include "base/bytes.h"
#include "base/option.h"

#define TL_TEMPLATE_BYTES_MAX 254u  // of what is made; longer ones are cut
#define TL_TEMPLATE_FRONT 8u        // bytes before a value that may be read
#define TL_TEMPLATE_SEGMENTS_MAX 24u // of a value; the others become one `**`
#define TL_TEMPLATE_NODES_MAX 4096u // places that are remembered; beyond, everything is `*`
#define TL_TEMPLATE_PATTERNS_MAX 100u // of one list

enum tl_template_order {
	TL_TEMPLATE_AUTO,  // by the field: names for DNS questions, else paths
	TL_TEMPLATE_PATH,  // segments between slashes, from the front
	TL_TEMPLATE_NAME,  // segments between dots, from the end; letters become small
	TL_TEMPLATE_WHOLE, // one segment
};

// One row of the option metrics.templates.
struct tl_template_rule {
	const char *protocol;
	const char *field;            // label by path, "request.path"
	struct tl_text_list patterns; // "/users/{id}", "*.example.com", "/static/**"
	struct tl_text_list ignore;   // the same; what matches is not counted
	uint64_t values_max;          // different values in one place before it is given up
	uint32_t order;               // enum tl_template_order
	bool learn;
};

struct tl_template;

// Copies what it needs of `rule`, whose order must not be AUTO. With `is_merging` the values are
// what others made: a `*` in them is a place that one of them has given up. NULL on no memory.
struct tl_template *tl_template_create(const struct tl_template_rule *rule, bool is_merging);
void tl_template_destroy(struct tl_template *one); // accepts NULL

// Room for a result.
struct tl_template_room {
	uint8_t front[TL_TEMPLATE_FRONT];
	uint8_t bytes[TL_TEMPLATE_BYTES_MAX + 2];
};

// What `value` becomes, in `room` or `value` itself. False: it is to be ignored.
bool tl_template_apply(struct tl_template *one, struct tl_bytes value,
		       struct tl_template_room *room, struct tl_bytes *ret_value);
// 0, or -EINVAL with words in `error` about a pattern that can't be.
int tl_template_check(const struct tl_template_rule *rule, char *error, uint32_t error_size);
// False: pattern `index` of `patterns`, or of `ignore`, is allowed, but never decides what becomes of a
// value, or not as it reads; why stands in `words`. The rule's order must not be AUTO.
bool tl_template_is_useful(const struct tl_template_rule *rule, bool of_ignore, uint32_t index,
			   char *words, uint32_t words_size);
