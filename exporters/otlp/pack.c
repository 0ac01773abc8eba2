// SPDX-License-Identifier: Apache-2.0
#include "exporters/otlp/pack.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

#include "common.pb-c.h"

#define BLOCK_BYTES (256u << 10)
#define LIST_ITEMS_MIN 16u // room of a list when it begins

struct otlp_block {
	struct otlp_block *next;
	size_t used, size;
	_Alignas(16) char data[];
};

// Running out of memory ends the process, as in base/text.c: an exporter can't report it either.
void *tl_otlp_take(struct otlp_arena *arena, size_t size)
{
	struct otlp_block *block = arena->blocks;

	size = (size + 15) & ~(size_t)15;
	if (block == NULL || block->size - block->used < size) {
		size_t want = size > BLOCK_BYTES ? size : BLOCK_BYTES;
		block = malloc(sizeof(*block) + want);
		TL_ASSERT(block != NULL && "out of memory");
		*block = (struct otlp_block) {.next = arena->blocks, .size = want};
		arena->blocks = block;
	}
	void *memory = block->data + block->used;
	block->used += size;
	return memset(memory, 0, size);
}

char *tl_otlp_text(struct otlp_arena *arena, const char *text, size_t len)
{
	char *copy = tl_otlp_take(arena, len + 1);

	memcpy(copy, text, len);
	return copy;
}

void tl_otlp_empty(struct otlp_arena *arena)
{
	while (arena->blocks != NULL) {
		struct otlp_block *block = arena->blocks;
		arena->blocks = block->next;
		free(block);
	}
}

static Otlp__AnyValue *new_value(struct otlp_arena *arena, Otlp__AnyValue__ValueCase value_case)
{
	Otlp__AnyValue *value = tl_otlp_take(arena, sizeof(*value));

	otlp__any_value__init(value);
	value->value_case = value_case;
	return value;
}

// Doubles the room of a list of pointers in the arena; the old one is forgotten with it.
static void *grow(struct otlp_arena *arena, void *items, size_t count, size_t *capacity)
{
	if (count < *capacity)
		return items;
	size_t more = *capacity == 0 ? LIST_ITEMS_MIN : *capacity * 2;
	void *larger = tl_otlp_take(arena, more * sizeof(void *));
	if (count != 0)
		memcpy(larger, items, count * sizeof(void *));
	*capacity = more;
	return larger;
}

static Otlp__AnyValue *add(struct otlp_arena *arena, struct otlp_attributes *list, const char *key,
			   Otlp__AnyValue__ValueCase value_case)
{
	Otlp__KeyValue *pair = tl_otlp_take(arena, sizeof(*pair));

	otlp__key_value__init(pair);
	pair->key = tl_otlp_text(arena, key, strlen(key));
	pair->value = new_value(arena, value_case);
	list->items = grow(arena, list->items, list->count, &list->capacity);
	list->items[list->count++] = pair;
	return pair->value;
}

// Protobuf strings must be UTF-8.
static char *valid_text(struct otlp_arena *arena, const char *text, size_t len)
{
	struct tl_text valid = {0};

	tl_text_utf8(&valid, tl_bytes((const uint8_t *)text, (uint32_t)len), false);
	char *copy = tl_otlp_text(arena, valid.data == NULL ? "" : valid.data, valid.len);
	tl_text_free(&valid);
	return copy;
}

void tl_otlp_add_text(struct otlp_arena *arena, struct otlp_attributes *list, const char *key,
		   const char *value, size_t len)
{
	add(arena, list, key, OTLP__ANY_VALUE__VALUE_STRING_VALUE)->string_value =
		valid_text(arena, value, len);
}

void tl_otlp_add_string(struct otlp_arena *arena, struct otlp_attributes *list, const char *key,
		     const char *value)
{
	if (value[0] != '\0')
		tl_otlp_add_text(arena, list, key, value, strlen(value));
}

void tl_otlp_add_int(struct otlp_arena *arena, struct otlp_attributes *list, const char *key,
		  int64_t value)
{
	add(arena, list, key, OTLP__ANY_VALUE__VALUE_INT_VALUE)->int_value = value;
}

void tl_otlp_add_double(struct otlp_arena *arena, struct otlp_attributes *list, const char *key,
		     double value)
{
	add(arena, list, key, OTLP__ANY_VALUE__VALUE_DOUBLE_VALUE)->double_value = value;
}

void tl_otlp_add_bool(struct otlp_arena *arena, struct otlp_attributes *list, const char *key,
		   bool value)
{
	add(arena, list, key, OTLP__ANY_VALUE__VALUE_BOOL_VALUE)->bool_value = value;
}

void tl_otlp_add_element(struct otlp_arena *arena, struct otlp_attributes *list, const char *key,
		      const char *value, size_t len)
{
	Otlp__ArrayValue *array = NULL;

	for (size_t i = 0; i < list->count && array == NULL; i++) {
		if (strcmp(list->items[i]->key, key) != 0)
			continue;
		if (list->items[i]->value->value_case != OTLP__ANY_VALUE__VALUE_ARRAY_VALUE)
			return; // the first says what it is
		array = list->items[i]->value->array_value;
	}
	for (size_t i = 0; array != NULL && i < array->n_values; i++)
		if (strlen(array->values[i]->string_value) == len &&
		    memcmp(array->values[i]->string_value, value, len) == 0)
			return;
	if (array == NULL) {
		array = tl_otlp_take(arena, sizeof(*array));
		otlp__array_value__init(array);
		add(arena, list, key, OTLP__ANY_VALUE__VALUE_ARRAY_VALUE)->array_value = array;
	}
	size_t capacity = array->n_values == 0 ? 0 : LIST_ITEMS_MIN; // not kept: as grow() left it
	while (capacity < array->n_values)
		capacity *= 2;
	array->values = grow(arena, array->values, array->n_values, &capacity);
	Otlp__AnyValue *element = new_value(arena, OTLP__ANY_VALUE__VALUE_STRING_VALUE);
	element->string_value = valid_text(arena, value, len);
	array->values[array->n_values++] = element;
}

Otlp__InstrumentationScope *tl_otlp_scope(struct otlp_arena *arena, const char *version)
{
	Otlp__InstrumentationScope *scope = tl_otlp_take(arena, sizeof(*scope));

	otlp__instrumentation_scope__init(scope);
	scope->name = tl_otlp_text(arena, "tapline", strlen("tapline"));
	scope->version = tl_otlp_text(arena, version, strlen(version));
	return scope;
}

void tl_otlp_pack(const ProtobufCMessage *message, struct tl_text *ret_payload)
{
	size_t size = protobuf_c_message_get_packed_size(message);
	uint8_t *bytes = malloc(size + 1);

	TL_ASSERT(bytes != NULL && "out of memory");
	(void)protobuf_c_message_pack(message, bytes);
	tl_text_clear(ret_payload);
	tl_text_add(ret_payload, bytes, size);
	free(bytes);
}
