// SPDX-License-Identifier: Apache-2.0
#include "exporters/record/template.h"

#include <inttypes.h>
#include <string.h>

static bool find(const struct tl_decoder *decoder, struct tl_bytes tail, const char *name,
		 size_t len, const struct tl_field **ret_field, struct tl_value *ret_value)
{
	uint32_t at = 0;

	while (tl_value_next(tail, &at, ret_value)) {
		const struct tl_field *field = ret_value->field < decoder->field_count ?
			&decoder->fields[ret_value->field] : NULL;
		if (field == NULL || field->parent != TL_FIELD_TOP ||
		    strncmp(field->name, name, len) != 0 || field->name[len] != '\0')
			continue;
		*ret_field = field;
		return true;
	}
	return false;
}

static bool find_value(const struct tl_roundtrip *record, const char *name, size_t len,
		       const struct tl_field **ret_field, struct tl_value *ret_value)
{
	const struct tl_decoder *decoder = tl_decoder_at(record->protocol);

	return decoder != NULL &&
	       (find(decoder, tl_roundtrip_request_tail(record), name, len, ret_field, ret_value) ||
		find(decoder, tl_roundtrip_response_tail(record), name, len, ret_field, ret_value));
}

bool tl_record_value(const struct tl_roundtrip *record, const char *name,
		     const struct tl_field **ret_field, struct tl_value *ret_value)
{
	return find_value(record, name, strlen(name), ret_field, ret_value);
}

void tl_record_value_text(struct tl_text *text, const struct tl_field *field,
			  const struct tl_value *value)
{
	switch (field->type) {
	case TL_FIELD_UINT:
		tl_text_printf(text, "%" PRIu64, tl_value_uint(value));
		break;
	case TL_FIELD_INT:
		tl_text_printf(text, "%" PRId64, (int64_t)tl_value_uint(value));
		break;
	case TL_FIELD_BOOL:
		tl_text_puts(text, tl_value_uint(value) != 0 ? "true" : "false");
		break;
	case TL_FIELD_REAL:
		tl_text_printf(text, "%g", tl_value_real(value));
		break;
	default:
		tl_text_utf8(text, value->bytes, value->full_len > value->bytes.len);
	}
}

// What every record has besides its fields.
static bool add_known(struct tl_text *text, const char *name, size_t len,
		      const struct tl_roundtrip *record)
{
	if (len == strlen("server.address") && memcmp(name, "server.address", len) == 0)
		tl_text_address(text, record->server_address, record->ip_version);
	else if (len == strlen("server.port") && memcmp(name, "server.port", len) == 0)
		tl_text_printf(text, "%u", record->server_port);
	else if (len == strlen("protocol") && memcmp(name, "protocol", len) == 0)
		tl_text_puts(text, tl_decoder_at(record->protocol)->name);
	else
		return false;
	return true;
}

bool tl_record_template(struct tl_text *text, const char *template,
			const struct tl_roundtrip *record)
{
	size_t before = text->len;
	const struct tl_field *field;
	struct tl_value value;

	while (*template != '\0') {
		size_t plain = strcspn(template, "{");
		tl_text_add(text, template, plain);
		template += plain;
		if (*template == '\0')
			break;
		size_t len = strcspn(template + 1, "}");
		const char *name = template + 1;
		bool has_value = find_value(record, name, len, &field, &value) &&
				 value.bytes.len != 0;
		if (has_value)
			tl_record_value_text(text, field, &value);
		else if (!add_known(text, name, len, record)) {
			text->len = before;
			return false;
		}
		template = name + len + (name[len] == '}');
	}
	tl_text_puts(text, ""); // a terminated text
	return true;
}
