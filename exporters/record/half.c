// SPDX-License-Identifier: Apache-2.0
// The straight way: members are written as their values come. Lists, maps and objects are written as
// a whole where their first value stands, so that others may come in between. What needs a second look
// (a value that replaces an earlier one, a name that makes two into a list, real numbers) is left to
// the library's objects (tree.c), whose bytes these are.
#include "exporters/record/half.h"

#include "base/json.h"

#define MAP_ENTRIES_MAX 32u // more are left to the library, which hashes names

// Fields that have been written.
struct fields_seen {
	uint64_t bits[(UINT8_MAX + 1) / 64];
};

// The half being written.
struct writer {
	struct tl_text *text;
	const struct tl_decoder *decoder;
	struct tl_bytes tail;
	uint16_t side;
};

static bool is_seen(const struct fields_seen *seen, uint8_t field)
{
	return (seen->bits[field / 64] >> field % 64 & 1) != 0;
}

static bool is_first(struct fields_seen *seen, uint8_t field)
{
	uint64_t *word = &seen->bits[field / 64];
	uint64_t bit = UINT64_C(1) << field % 64;
	bool is_new = (*word & bit) == 0;

	*word |= bit;
	return is_new;
}

static void put_wide(struct tl_text *text, const struct tl_field *field, uint64_t number)
{
	tl_text_add(text, "\"", 1);
	if (field->type == TL_FIELD_INT)
		tl_text_int(text, (int64_t)number);
	else
		tl_text_uint(text, number);
	tl_text_add(text, "\"", 1);
}

// False for what the library writes.
static bool put_scalar(struct tl_text *text, const struct tl_field *field,
		       const struct tl_value *value)
{
	switch (field->type) {
	case TL_FIELD_TEXT:
		tl_json_string(text, value->bytes, value->full_len > value->bytes.len);
		return true;
	case TL_FIELD_UINT:
	case TL_FIELD_INT:
		if ((field->flags & TL_FIELD_WIDE) != 0)
			put_wide(text, field, tl_value_uint(value));
		else
			tl_text_int(text, (int64_t)tl_value_uint(value));
		return true;
	case TL_FIELD_BOOL:
		tl_json_raw(text, tl_value_uint(value) != 0 ? "true" : "false");
		return true;
	default:
		return false;
	}
}

// A member that occurs once, with its length on the wire if it was cut.
static bool put_member(struct tl_text *text, const struct tl_field *field,
		       const struct tl_value *value)
{
	tl_json_key(text, field->name);
	if (!put_scalar(text, field, value))
		return false;
	if (value->full_len > value->bytes.len) {
		tl_json_raw(text, ",\"");
		tl_text_puts(text, field->name);
		tl_json_raw(text, "_length\":");
		tl_text_uint(text, value->full_len);
	}
	return true;
}

// `from` is where its first value lies.
static bool put_list(const struct writer *w, uint8_t id, uint32_t from)
{
	const struct tl_field *field = &w->decoder->fields[id];
	struct tl_value value;
	bool is_begun = false;

	tl_json_key(w->text, field->name);
	while (tl_value_next(w->tail, &from, &value)) {
		if (value.field != id)
			continue;
		tl_json_raw(w->text, is_begun ? "," : "[");
		is_begun = true;
		if (!put_scalar(w->text, field, &value))
			return false;
	}
	tl_json_raw(w->text, "]");
	return true;
}

// Plain ASCII can't become equal by the replacement of invalid bytes.
static bool is_new_name(struct tl_bytes *names, uint32_t count, struct tl_bytes name)
{
	if (name.len == 0 || count == MAP_ENTRIES_MAX)
		return false;
	for (uint32_t i = 0; i < name.len; i++)
		if (name.ptr[i] >= 0x80)
			return false;
	for (uint32_t i = 0; i < count; i++)
		if (tl_bytes_equal(names[i], name))
			return false;
	names[count] = name;
	return true;
}

// "headers":{"name":"text"}: a value is the name, a NUL, the text.
static bool put_map(const struct writer *w, uint8_t id, uint32_t from)
{
	struct tl_bytes names[MAP_ENTRIES_MAX];
	struct tl_value value;
	uint32_t count = 0;

	tl_json_key(w->text, w->decoder->fields[id].name);
	while (tl_value_next(w->tail, &from, &value)) {
		if (value.field != id)
			continue;
		uint32_t nul = tl_bytes_find(value.bytes, 0, 0);
		if (nul == TL_BYTES_NONE ||
		    !is_new_name(names, count, tl_bytes_first(value.bytes, nul)))
			return false;
		tl_json_raw(w->text, count++ == 0 ? "{" : ",");
		tl_json_string(w->text, tl_bytes_first(value.bytes, nul), false);
		tl_json_raw(w->text, ":");
		tl_json_string(w->text, tl_bytes_from(value.bytes, nul + 1),
			       value.full_len > value.bytes.len);
	}
	tl_json_raw(w->text, "}");
	return true;
}

static bool is_plain_member(const struct tl_field *field)
{
	return field->type != TL_FIELD_OBJECTS && field->type != TL_FIELD_MAP &&
	       (field->flags & TL_FIELD_REPEATED) == 0;
}

// "answers":[{...},{...}]: members belong to the newest object.
static bool put_objects(const struct writer *w, uint8_t id, uint32_t from)
{
	const struct tl_field *fields = w->decoder->fields;
	struct fields_seen seen = {0};
	struct tl_value value;
	bool has_object = false, has_member = false;

	tl_json_key(w->text, fields[id].name);
	while (tl_value_next(w->tail, &from, &value)) {
		if (value.field == id) {
			tl_json_raw(w->text, has_object ? "},{" : "[{");
			seen = (struct fields_seen) {0};
			has_object = true;
			has_member = false;
			continue;
		}
		if (value.field >= w->decoder->field_count || fields[value.field].parent != id)
			continue;
		const struct tl_field *field = &fields[value.field];
		if (!has_object || !is_plain_member(field) || !is_first(&seen, value.field))
			return false;
		if (has_member)
			tl_json_raw(w->text, ",");
		has_member = true;
		if (!put_member(w->text, field, &value))
			return false;
	}
	tl_json_raw(w->text, "}]");
	return true;
}

// A value of its own, or the first of a list, a map or objects.
static bool put_first(const struct writer *w, const struct tl_value *value, uint32_t from)
{
	const struct tl_field *field = &w->decoder->fields[value->field];

	if ((field->flags & w->side) == 0)
		return false;
	tl_json_raw(w->text, ",");
	if (field->type == TL_FIELD_OBJECTS)
		return put_objects(w, value->field, from);
	if (field->type == TL_FIELD_MAP)
		return put_map(w, value->field, from);
	if ((field->flags & TL_FIELD_REPEATED) != 0)
		return put_list(w, value->field, from);
	return put_member(w->text, field, value);
}

// False: this tail is left to the library.
static bool put_values(const struct writer *w)
{
	const struct tl_field *fields = w->decoder->fields;
	struct fields_seen seen = {0};
	struct tl_value value;

	for (uint32_t from = 0, next = 0; tl_value_next(w->tail, &next, &value); from = next) {
		if (value.field >= w->decoder->field_count)
			continue;
		const struct tl_field *field = &fields[value.field];
		bool is_right = true;
		if (field->parent != TL_FIELD_TOP) // written with the objects that it belongs to
			is_right = is_seen(&seen, field->parent) &&
				   fields[field->parent].type == TL_FIELD_OBJECTS;
		else if (is_first(&seen, value.field))
			is_right = put_first(w, &value, from);
		else
			is_right = !is_plain_member(field);
		if (!is_right)
			return false;
	}
	return true;
}

bool tl_record_half(struct tl_text *text, const struct tl_decoder *decoder,
		    const struct tl_half *half, struct tl_bytes tail, enum tl_field_flag side)
{
	const struct writer writer = {
		.text = text, .decoder = decoder, .tail = tail, .side = (uint16_t)side};
	size_t before = text->len;

	if (half->seen == 0) {
		tl_json_raw(text, "null");
		return true;
	}
	tl_json_raw(text, "{\"time\":\"");
	tl_text_time_utc(text, half->first_ns);
	tl_json_raw(text, "\",\"bytes\":");
	tl_text_int(text, (int64_t)half->bytes);
	tl_json_raw(text, ",\"body_bytes\":");
	tl_text_int(text, (int64_t)half->body_bytes);
	if (put_values(&writer)) {
		tl_json_raw(text, "}");
		return true;
	}
	text->len = before;
	return tl_record_half_by_tree(text, decoder, half, tail);
}
