// SPDX-License-Identifier: Apache-2.0
// A worker's groups: one per protocol and combination of label values. All families of a protocol
// share its groups, so a record is looked up once. Bounded in groups, distinct label values and
// bytes; what exceeds a budget is booked under the label value `other`.
#pragma once

#include "base/pool.h"
#include "metrics/labels.h"

#define TL_GROUP_NONE UINT32_MAX
#define TL_GROUP_FAMILIES 4u // families that a group appears in: its price in series
#define TL_KEY_CLASSES 5u    // sizes of key storage
#define TL_SWEEP_PER_FLIP 1024u // groups looked at for idleness per flip

struct tl_group {
	uint64_t hash;
	uint64_t touched_ns;    // packet time of the flip before its last use
	const uint8_t *key;
	uint32_t generation;    // of its id: grows when the id is used anew
	uint32_t touched_epoch; // epoch of its last use
	uint16_t key_len;
	uint16_t protocol;
	uint8_t key_class;
	bool is_live;
	bool is_overflow;
};

struct tl_series_slot {
	uint32_t tag; // low half of the hash
	uint32_t id;  // + 1, 0: free
};

struct tl_value_slot {
	uint64_t hash; // 0: free
	uint64_t users;
};

struct tl_series {
	const struct tl_plan *plans; // by registry id
	struct tl_group *groups;
	struct tl_series_slot *slots; // open addressing, linear probing
	struct tl_value_slot *values; // label values in use, by hash of label and value
	uint32_t *free_ids;
	uint32_t *family_groups;      // by registry id: groups that count against the budget
	uint32_t *distinct;           // [registry id][label]: values in use
	struct tl_pool keys[TL_KEY_CLASSES];
	size_t groups_size, slots_size, values_size, free_size;
	uint32_t capacity;     // groups, overflow groups included
	uint32_t budget;       // groups, without these
	uint32_t used;         // of the budget
	uint32_t touched;      // ids given at least once
	uint32_t free_count;
	uint32_t slot_mask;
	uint32_t value_mask;
	uint32_t value_count;
	uint32_t value_limit;
	uint32_t family_max;
	uint32_t label_values_max;
	uint32_t sweep_at;
	uint64_t seed;
	struct tl_key other; // scratch of the slow path
};

// 0 or -ENOMEM. `plans` has `plan_count` entries and outlives it.
int tl_series_init(struct tl_series *series, const struct tl_plan *plans, uint32_t plan_count,
		   const struct tl_metrics_options *options, uint64_t seed);
void tl_series_fini(struct tl_series *series);

// The group of `key`, made if need be; `ret_overflow` is set when a budget changed the key.
uint32_t tl_series_find(struct tl_series *series, const struct tl_key *key, bool *ret_overflow);

// Frees groups not used since `before_ns` nor in one of the epochs from `epoch` on; looks at
// TL_SWEEP_PER_FLIP of them.
void tl_series_sweep(struct tl_series *series, uint64_t before_ns, uint32_t epoch);
