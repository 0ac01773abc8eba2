// SPDX-License-Identifier: Apache-2.0
// The general way of writing a half: the library's objects, which hold values in any order and any
// number.
#include "exporters/record/half.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

static void set(json_t *object, const char *key, json_t *value)
{
	// Takes `value`, also a NULL one after a failed allocation: a record without one
	// member is better than none.
	(void)json_object_set_new_nocheck(object, key, value);
}

static json_t *utf8_string(struct tl_bytes bytes, bool is_cut)
{
	struct tl_text text = {0};
	tl_text_utf8(&text, bytes, is_cut);
	json_t *value = json_stringn_nocheck(text.data == NULL ? "" : text.data, text.len);
	tl_text_free(&text);
	return value;
}

static json_t *time_string(uint64_t ns)
{
	struct tl_text text = {0};
	tl_text_time_utc(&text, ns);
	json_t *value = json_stringn_nocheck(text.data, text.len);
	tl_text_free(&text);
	return value;
}

static json_t *base64_object(struct tl_bytes bytes)
{
	struct tl_text text = {0};

	tl_text_base64(&text, bytes);
	json_t *object = json_object();
	set(object, "base64", json_stringn_nocheck(text.data == NULL ? "" : text.data, text.len));
	tl_text_free(&text);
	return object;
}

static json_t *scalar(const struct tl_field *field, const struct tl_value *value)
{
	char digits[24];

	switch (field->type) {
	case TL_FIELD_UINT:
		if ((field->flags & TL_FIELD_WIDE) == 0)
			return json_integer((json_int_t)tl_value_uint(value));
		(void)snprintf(digits, sizeof(digits), "%" PRIu64, tl_value_uint(value));
		return json_string_nocheck(digits);
	case TL_FIELD_INT:
		if ((field->flags & TL_FIELD_WIDE) == 0)
			return json_integer((json_int_t)tl_value_uint(value));
		(void)snprintf(digits, sizeof(digits), "%" PRId64, (int64_t)tl_value_uint(value));
		return json_string_nocheck(digits);
	case TL_FIELD_BOOL:
		return json_boolean(tl_value_uint(value) != 0);
	case TL_FIELD_REAL:
		return json_real(tl_value_real(value));
	case TL_FIELD_BYTES:
		return base64_object(value->bytes);
	default:
		return utf8_string(value->bytes, value->full_len > value->bytes.len);
	}
}

// Adds `value` under `key`; a second one turns the member into a list.
static void add_repeatable(json_t *object, const char *key, json_t *value)
{
	json_t *present = json_object_get(object, key);

	if (present == NULL) {
		set(object, key, value);
	} else if (json_is_array(present)) {
		(void)json_array_append_new(present, value);
	} else {
		json_t *list = json_array();
		(void)json_array_append(list, present);
		(void)json_array_append_new(list, value);
		set(object, key, list);
	}
}

// "headers": {"name": "text"}: the value is the name, a NUL, the text.
static void add_map_entry(json_t *object, const struct tl_field *field,
			  const struct tl_value *value)
{
	uint32_t nul = tl_bytes_find(value->bytes, 0, 0);
	if (nul == TL_BYTES_NONE)
		return;
	json_t *map = json_object_get(object, field->name);
	if (map == NULL) {
		map = json_object();
		set(object, field->name, map);
	}
	struct tl_text name = {0};
	tl_text_utf8(&name, tl_bytes_first(value->bytes, nul), false);
	if (name.data != NULL)
		add_repeatable(map, name.data,
			       utf8_string(tl_bytes_from(value->bytes, nul + 1),
					   value->full_len > value->bytes.len));
	tl_text_free(&name);
}

static json_t *list_of(json_t *object, const char *key)
{
	json_t *list = json_object_get(object, key);
	if (list == NULL) {
		list = json_array();
		set(object, key, list);
	}
	return list;
}

// The newest object of the OBJECTS field `parent`, where a member value belongs.
static json_t *newest_object(json_t *half, const struct tl_field *parent)
{
	json_t *list = list_of(half, parent->name);
	size_t count = json_array_size(list);
	if (count == 0) {
		(void)json_array_append_new(list, json_object());
		count = 1;
	}
	return json_array_get(list, count - 1);
}

static void add_value(json_t *half, const struct tl_decoder *decoder, const struct tl_value *value)
{
	char length_key[64];

	if (value->field >= decoder->field_count)
		return;
	const struct tl_field *field = &decoder->fields[value->field];
	json_t *object = half;
	if (field->parent != TL_FIELD_TOP && field->parent < decoder->field_count)
		object = newest_object(half, &decoder->fields[field->parent]);
	if (field->type == TL_FIELD_OBJECTS) {
		(void)json_array_append_new(list_of(object, field->name), json_object());
	} else if (field->type == TL_FIELD_MAP) {
		add_map_entry(object, field, value);
	} else if ((field->flags & TL_FIELD_REPEATED) != 0) {
		(void)json_array_append_new(list_of(object, field->name), scalar(field, value));
	} else {
		set(object, field->name, scalar(field, value));
		if (value->full_len > value->bytes.len) {
			(void)snprintf(length_key, sizeof(length_key), "%s_length", field->name);
			set(object, length_key, json_integer(value->full_len));
		}
	}
}

static json_t *half_json(const struct tl_decoder *decoder, const struct tl_half *half,
			 struct tl_bytes tail)
{
	struct tl_value value;
	json_t *object = json_object();

	set(object, "time", time_string(half->first_ns));
	set(object, "bytes", json_integer((json_int_t)half->bytes));
	set(object, "body_bytes", json_integer((json_int_t)half->body_bytes));
	for (uint32_t at = 0; tl_value_next(tail, &at, &value);)
		add_value(object, decoder, &value);
	return object;
}

static int append(const char *data, size_t len, void *text)
{
	tl_text_add(text, data, len);
	return 0;
}

bool tl_record_half_by_tree(struct tl_text *text, const struct tl_decoder *decoder,
			    const struct tl_half *half, struct tl_bytes tail)
{
	size_t before = text->len;
	json_t *object = half_json(decoder, half, tail);
	int rc = json_dump_callback(object, append, text, JSON_COMPACT | JSON_PRESERVE_ORDER);

	json_decref(object);
	if (rc != 0)
		text->len = before;
	return rc == 0;
}
