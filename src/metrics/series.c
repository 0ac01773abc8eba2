// SPDX-License-Identifier: Apache-2.0
#include "metrics/series.h"

#include "base/check.h"
#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>

static const uint32_t key_sizes[TL_KEY_CLASSES] = {32, 96, 256, 768, TL_KEY_BYTES_MAX};

#define SERIES_MIN 64u
#define SERIES_MAX (1u << 22)
#define VALUES_PER_GROUP 4u // new label values that a group brings, on average

static uint32_t clamp(uint64_t value, uint32_t low, uint32_t high)
{
	return value < low ? low : value > high ? high : (uint32_t)value;
}

static uint32_t power_above(uint64_t n)
{
	uint32_t power = 64;
	while (power < n && power < 1u << 30)
		power *= 2;
	return power;
}

int tl_series_init(struct tl_series *s, const struct tl_plan *plans, uint32_t plan_count,
		   const struct tl_metrics_options *options, uint64_t seed)
{
	memset(s, 0, sizeof(*s));
	s->plans = plans;
	s->seed = seed;
	s->budget = clamp(options->series_max, SERIES_MIN, SERIES_MAX) / TL_GROUP_FAMILIES;
	s->capacity = s->budget + plan_count;
	s->family_max = clamp(options->series_per_family_max, 1, SERIES_MAX);
	s->label_values_max = clamp(options->label_values_max, 1, SERIES_MAX);
	s->slot_mask = power_above(2 * (uint64_t)s->capacity) - 1;
	s->value_mask = power_above(2 * VALUES_PER_GROUP * (uint64_t)s->capacity) - 1;
	s->value_limit = s->value_mask / 2;

	s->groups_size = sizeof(*s->groups) * s->capacity;
	s->slots_size = sizeof(*s->slots) * ((size_t)s->slot_mask + 1);
	s->values_size = sizeof(*s->values) * ((size_t)s->value_mask + 1);
	s->free_size = sizeof(*s->free_ids) * s->capacity;
	s->groups = tl_map(s->groups_size);
	s->slots = tl_map(s->slots_size);
	s->values = tl_map(s->values_size);
	s->free_ids = tl_map(s->free_size);
	s->family_groups = calloc(plan_count, sizeof(*s->family_groups));
	s->distinct = calloc((size_t)plan_count * TL_LABELS_MAX, sizeof(*s->distinct));
	bool is_ok = s->groups != NULL && s->slots != NULL && s->values != NULL &&
		     s->free_ids != NULL && s->family_groups != NULL && s->distinct != NULL;
	// Address space, not memory: any mix of key lengths fits, pages are touched on use.
	for (uint32_t i = 0; is_ok && i < TL_KEY_CLASSES; i++)
		is_ok = tl_pool_init(&s->keys[i], key_sizes[i], s->capacity) == 0;
	if (is_ok)
		return 0;
	tl_series_fini(s);
	return -ENOMEM;
}

void tl_series_fini(struct tl_series *s)
{
	for (uint32_t i = 0; i < TL_KEY_CLASSES; i++)
		tl_pool_fini(&s->keys[i]);
	tl_unmap(s->groups, s->groups_size);
	tl_unmap(s->slots, s->slots_size);
	tl_unmap(s->values, s->values_size);
	tl_unmap(s->free_ids, s->free_size);
	free(s->family_groups);
	free(s->distinct);
	memset(s, 0, sizeof(*s));
}

static inline uint64_t key_word(const uint8_t *bytes, uint32_t i)
{
	uint64_t word;
	memcpy(&word, bytes + (size_t)i * TL_KEY_WORD, sizeof(word));
	return word;
}

static inline uint64_t key_hash(const struct tl_series *s, const struct tl_key *key)
{
	uint64_t hash = s->seed ^ key->len;
	uint32_t words = tl_key_words(key->len);

	for (uint32_t i = 0; i < words; i++)
		hash = tl_hash_mix(key_word(key->bytes, i) ^ UINT64_C(0xa0761d6478bd642f),
				   hash ^ UINT64_C(0xe7037ed1a0b428db));
	return hash;
}

static inline bool key_equal(const struct tl_key *key, const uint8_t *stored)
{
	uint32_t words = tl_key_words(key->len);

	for (uint32_t i = 0; i < words; i++)
		if (key_word(key->bytes, i) != key_word(stored, i))
			return false;
	return true;
}

static uint32_t lookup(const struct tl_series *s, const struct tl_key *key, uint64_t hash)
{
	for (uint32_t at = (uint32_t)hash & s->slot_mask;; at = (at + 1) & s->slot_mask) {
		const struct tl_series_slot *slot = &s->slots[at];
		if (slot->id == 0)
			return TL_GROUP_NONE;
		if (slot->tag != (uint32_t)hash)
			continue;
		const struct tl_group *group = &s->groups[slot->id - 1];
		if (group->key_len == key->len && key_equal(key, group->key))
			return slot->id - 1;
	}
}

// ---- Label values in use -----------------------------------------------------------------------

static uint64_t value_hash(const struct tl_series *s, uint16_t protocol, uint32_t label,
			   struct tl_bytes value)
{
	uint64_t seed = s->seed ^ ((uint64_t)protocol << 16 | label) * UINT64_C(0x9e3779b97f4a7c15);
	return tl_hash64(value.ptr, value.len, seed) | 1; // 0 marks a free slot
}

// The slot of a value, or the free one where it would be.
static struct tl_value_slot *value_slot(const struct tl_series *s, uint64_t hash)
{
	uint32_t at = (uint32_t)(hash >> 8) & s->value_mask;
	while (s->values[at].hash != 0 && s->values[at].hash != hash)
		at = (at + 1) & s->value_mask;
	return &s->values[at];
}

static void value_drop(struct tl_series *s, struct tl_value_slot *slot)
{
	uint32_t hole = (uint32_t)(slot - s->values);

	// Entries behind the hole move up unless they would leave their own run.
	for (uint32_t at = (hole + 1) & s->value_mask; s->values[at].hash != 0;
	     at = (at + 1) & s->value_mask) {
		uint32_t home = (uint32_t)(s->values[at].hash >> 8) & s->value_mask;
		if (((at - home) & s->value_mask) >= ((at - hole) & s->value_mask)) {
			s->values[hole] = s->values[at];
			hole = at;
		}
	}
	s->values[hole] = (struct tl_value_slot) {0};
	s->value_count--;
}

// Books the values of a new group (`is_in`), or gives them back.
static void count_values(struct tl_series *s, const struct tl_group *group, bool is_in)
{
	const struct tl_plan *plan = &s->plans[group->protocol];
	uint32_t *distinct = &s->distinct[group->protocol * TL_LABELS_MAX];
	uint32_t at = 2;

	for (uint32_t i = 0; i < plan->label_count; i++) {
		bool is_other;
		struct tl_bytes value = tl_key_next(tl_bytes(group->key, group->key_len), &at,
						    &is_other);
		if (is_other || value.len == 0)
			continue;
		uint64_t hash = value_hash(s, group->protocol, i, value);
		struct tl_value_slot *slot = value_slot(s, hash);
		if (is_in && slot->hash == 0) {
			slot->hash = hash;
			s->value_count++;
			distinct[i]++;
		}
		if (is_in) {
			slot->users++;
		} else if (--slot->users == 0) {
			value_drop(s, slot);
			distinct[i]--;
		}
	}
}

// Copies `key` to s->other with `other` in the place of values beyond the budget; true if any was.
static bool replace_values(struct tl_series *s, const struct tl_key *key, uint16_t protocol)
{
	const struct tl_plan *plan = &s->plans[protocol];
	struct tl_bytes bytes = tl_bytes(key->bytes, key->len);
	uint32_t at = 2, fresh = 0;
	uint8_t *to = s->other.bytes;
	bool is_replaced = false, is_other;

	memcpy(to, key->bytes, 2);
	to += 2;
	for (uint32_t i = 0; i < plan->label_count; i++) {
		struct tl_bytes value = tl_key_next(bytes, &at, &is_other);
		if (value.len != 0 &&
		    value_slot(s, value_hash(s, protocol, i, value))->hash == 0) {
			if (s->distinct[protocol * TL_LABELS_MAX + i] >= s->label_values_max ||
			    s->value_count + fresh >= s->value_limit)
				is_other = true;
			fresh++;
		}
		is_replaced |= is_other;
		*to++ = is_other ? TL_KEY_OTHER : (uint8_t)value.len;
		if (!is_other && value.len != 0) {
			memcpy(to, value.ptr, value.len);
			to += value.len;
		}
	}
	s->other.len = (uint32_t)(to - s->other.bytes);
	tl_key_pad(&s->other);
	return is_replaced;
}

// ---- Groups ------------------------------------------------------------------------------------

static uint32_t add_group(struct tl_series *s, const struct tl_key *key, uint64_t hash,
			  uint16_t protocol, bool is_overflow)
{
	uint32_t class = 0;
	while (key_sizes[class] < key->len)
		class++;
	uint8_t *storage = tl_pool_take_raw(&s->keys[class]);
	// Overflow groups have a place of their own, one per protocol, and so does every key.
	TL_ASSERT(storage != NULL && (s->free_count != 0 || s->touched < s->capacity));
	uint32_t id = s->free_count != 0 ? s->free_ids[--s->free_count] : s->touched++;
	struct tl_group *group = &s->groups[id];
	memcpy(storage, key->bytes, (size_t)tl_key_words(key->len) * TL_KEY_WORD);
	*group = (struct tl_group) {
		.hash = hash,
		.key = storage,
		.generation = group->generation + 1,
		.key_len = (uint16_t)key->len,
		.protocol = protocol,
		.key_class = (uint8_t)class,
		.is_live = true,
		.is_overflow = is_overflow,
	};
	uint32_t at = (uint32_t)hash & s->slot_mask;
	while (s->slots[at].id != 0)
		at = (at + 1) & s->slot_mask;
	s->slots[at] = (struct tl_series_slot) {.tag = (uint32_t)hash, .id = id + 1};
	if (!is_overflow) {
		s->used++;
		s->family_groups[protocol]++;
	}
	count_values(s, group, true);
	return id;
}

// The slow path: a key never seen, or one that a budget refuses each time.
static uint32_t find_or_add(struct tl_series *s, const struct tl_key *key, uint64_t hash,
			    bool *ret_overflow)
{
	uint16_t protocol;
	bool is_overflow = false;

	memcpy(&protocol, key->bytes, sizeof(protocol));
	if (replace_values(s, key, protocol)) {
		*ret_overflow = true;
		hash = key_hash(s, &s->other);
		uint32_t id = lookup(s, &s->other, hash);
		if (id != TL_GROUP_NONE)
			return id;
	}
	if (s->used >= s->budget || s->family_groups[protocol] >= s->family_max) {
		*ret_overflow = true;
		is_overflow = true;
		memset(s->other.bytes + 2, TL_KEY_OTHER, s->plans[protocol].label_count);
		s->other.len = 2u + s->plans[protocol].label_count;
		tl_key_pad(&s->other);
		hash = key_hash(s, &s->other);
		uint32_t id = lookup(s, &s->other, hash);
		if (id != TL_GROUP_NONE)
			return id;
	}
	return add_group(s, &s->other, hash, protocol, is_overflow);
}

uint32_t tl_series_find(struct tl_series *s, const struct tl_key *key, bool *ret_overflow)
{
	uint64_t hash = key_hash(s, key);
	uint32_t id = lookup(s, key, hash);

	return TL_LIKELY(id != TL_GROUP_NONE) ? id : find_or_add(s, key, hash, ret_overflow);
}

static void remove_group(struct tl_series *s, uint32_t id)
{
	struct tl_group *group = &s->groups[id];
	uint32_t hole = (uint32_t)group->hash & s->slot_mask;

	while (s->slots[hole].id != id + 1)
		hole = (hole + 1) & s->slot_mask;
	for (uint32_t at = (hole + 1) & s->slot_mask; s->slots[at].id != 0;
	     at = (at + 1) & s->slot_mask) {
		uint32_t home = s->slots[at].tag & s->slot_mask;
		if (((at - home) & s->slot_mask) >= ((at - hole) & s->slot_mask)) {
			s->slots[hole] = s->slots[at];
			hole = at;
		}
	}
	s->slots[hole] = (struct tl_series_slot) {0};
	count_values(s, group, false);
	if (!group->is_overflow) {
		s->used--;
		s->family_groups[group->protocol]--;
	}
	tl_pool_put(&s->keys[group->key_class], (void *)(uintptr_t)group->key);
	group->is_live = false;
	s->free_ids[s->free_count++] = id;
}

void tl_series_sweep(struct tl_series *s, uint64_t before_ns, uint32_t epoch)
{
	uint32_t count = s->touched < TL_SWEEP_PER_FLIP ? s->touched : TL_SWEEP_PER_FLIP;

	for (uint32_t i = 0; i < count; i++) {
		if (s->sweep_at >= s->touched)
			s->sweep_at = 0;
		const struct tl_group *group = &s->groups[s->sweep_at];
		if (group->is_live && group->touched_ns < before_ns &&
		    (int32_t)(group->touched_epoch - epoch) < 0)
			remove_group(s, s->sweep_at);
		s->sweep_at++;
	}
}
