// SPDX-License-Identifier: Apache-2.0
// Messages of OTLP are built in an arena and packed, then the arena is emptied. One thread.
#pragma once

#include "base/text.h"

#include <protobuf-c/protobuf-c.h>

// Generated from proto/ by protoc-c.
typedef struct Otlp__KeyValue Otlp__KeyValue;
typedef struct Otlp__Resource Otlp__Resource;
typedef struct Otlp__InstrumentationScope Otlp__InstrumentationScope;

struct otlp_block;

struct otlp_arena {
	struct otlp_block *blocks;
};

void *tl_otlp_take(struct otlp_arena *arena, size_t size); // zeroed, lives until the arena is emptied
char *tl_otlp_text(struct otlp_arena *arena, const char *text, size_t len);
void tl_otlp_empty(struct otlp_arena *arena);

// A list of attributes that grows.
struct otlp_attributes {
	Otlp__KeyValue **items;
	size_t count, capacity;
};

void tl_otlp_add_text(struct otlp_arena *arena, struct otlp_attributes *list, const char *key,
		   const char *value, size_t len);
void tl_otlp_add_string(struct otlp_arena *arena, struct otlp_attributes *list, const char *key,
		     const char *value); // nothing for ""
void tl_otlp_add_int(struct otlp_arena *arena, struct otlp_attributes *list, const char *key,
		  int64_t value);
void tl_otlp_add_double(struct otlp_arena *arena, struct otlp_attributes *list, const char *key,
		     double value);
void tl_otlp_add_bool(struct otlp_arena *arena, struct otlp_attributes *list, const char *key,
		   bool value);
// One more element of the array `key`, which is made by its first. Nothing where it has that element,
// or where `key` is no array.
void tl_otlp_add_element(struct otlp_arena *arena, struct otlp_attributes *list, const char *key,
		      const char *value, size_t len);

// `ret_payload` is replaced.
void tl_otlp_pack(const ProtobufCMessage *message, struct tl_text *ret_payload);

// Who made the data: tapline and its version.
Otlp__InstrumentationScope *tl_otlp_scope(struct otlp_arena *arena, const char *version);

#define OTLP_SCHEMA_URL "https://opentelemetry.io/schemas/1.44.0"
