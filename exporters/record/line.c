// SPDX-License-Identifier: Apache-2.0
#include "exporters/record/record.h"

#include <inttypes.h>

#define COLOUR_RESET "\033[0m"
#define COLOUR_DIM "\033[2m"
#define COLOUR_BOLD "\033[1m"
#define COLOUR_RED "\033[31m"
#define COLOUR_YELLOW "\033[33m"
#define COLOUR_GREEN "\033[32m"

// Columns in characters; longer values push the rest to the right rather than being cut.
#define PROTOCOL_COLUMNS 5
#define CLIENT_COLUMNS 21
#define SERVER_COLUMNS 18
#define VALUE_BYTES_MAX 160u // of one field in a line

static void pad(struct tl_text *text, size_t from, size_t columns)
{
	while (text->len - from < columns)
		tl_text_add(text, " ", 1);
}

static void endpoint(struct tl_text *text, const uint8_t address[16], uint8_t ip_version,
		     uint16_t port, size_t columns)
{
	size_t from = text->len;

	if (ip_version == 6)
		tl_text_puts(text, "[");
	tl_text_address(text, address, ip_version);
	tl_text_printf(text, ip_version == 6 ? "]:%u" : ":%u", port);
	pad(text, from, columns);
}

static void scalar(struct tl_text *text, const struct tl_field *field, const struct tl_value *value)
{
	struct tl_bytes bytes = tl_bytes_first(value->bytes, VALUE_BYTES_MAX);

	switch (field->type) {
	case TL_FIELD_UINT:
		tl_text_printf(text, "%" PRIu64, tl_value_uint(value));
		return;
	case TL_FIELD_INT:
		tl_text_printf(text, "%" PRId64, (int64_t)tl_value_uint(value));
		return;
	case TL_FIELD_BOOL:
		tl_text_puts(text, tl_value_uint(value) != 0 ? "yes" : "no");
		return;
	case TL_FIELD_REAL:
		tl_text_printf(text, "%g", tl_value_real(value));
		return;
	case TL_FIELD_TEXT:
		tl_text_terminal(text, bytes, value->full_len > bytes.len);
		if (value->full_len > bytes.len)
			tl_text_puts(text, "...");
		return;
	default:
		return;
	}
}

// The summary fields of one half, in table order, not in the order of the wire.
static bool summary(struct tl_text *text, const struct tl_decoder *decoder, struct tl_bytes tail)
{
	bool any = false;

	for (uint8_t id = 0; id < decoder->field_count; id++) {
		const struct tl_field *field = &decoder->fields[id];
		struct tl_value value;

		if ((field->flags & TL_FIELD_SUMMARY) == 0)
			continue;
		for (uint32_t at = 0; tl_value_next(tail, &at, &value);) {
			if (value.field != id)
				continue;
			if (any)
				tl_text_puts(text, " ");
			scalar(text, field, &value);
			any = true;
			break;
		}
	}
	return any;
}

static const char *status_colour(const struct tl_roundtrip *r)
{
	switch (r->status) {
	case TL_STATUS_OK:
		return COLOUR_GREEN;
	case TL_STATUS_ONE_WAY:
	case TL_STATUS_ORPHAN:
		return COLOUR_DIM;
	case TL_STATUS_CLIENT_ERROR:
	case TL_STATUS_CANCELLED:
	case TL_STATUS_UNANSWERED:
		return COLOUR_YELLOW;
	default:
		return COLOUR_RED;
	}
}

// The protocol's own answer ("200", "NXDOMAIN"), and our word for it where that says more.
static void outcome(struct tl_text *text, const struct tl_decoder *decoder,
		    const struct tl_roundtrip *r)
{
	bool any = r->response.seen != 0 && summary(text, decoder, tl_roundtrip_response_tail(r));

	if (r->status <= TL_STATUS_SERVER_ERROR && any)
		return;
	if (any)
		tl_text_puts(text, "  ");
	tl_text_puts(text, tl_status_name((enum tl_status)r->status));
	if (r->reason != TL_REASON_NONE)
		tl_text_printf(text, " (%s)", tl_reason_name((enum tl_reason)r->reason));
}

static void times(struct tl_text *text, const struct tl_roundtrip *r)
{
	tl_text_duration(text, r->duration_ns);
	if (r->request.seen != 0 && r->response.seen != 0) {
		tl_text_puts(text, " (server ");
		tl_text_duration(text, r->server_ns);
		tl_text_puts(text, ")");
	}
}

void tl_record_text_line(struct tl_text *text, const struct tl_roundtrip_signal *signal,
			 bool with_colour, uint64_t slow_ns)
{
	const struct tl_roundtrip *r = signal->record;
	const struct tl_decoder *decoder = tl_decoder_at(r->protocol);
	if (decoder == NULL)
		return;

	tl_text_clock_local(text, tl_roundtrip_time(r));
	tl_text_puts(text, " ");
	size_t from = text->len;
	tl_text_puts(text, decoder->name);
	pad(text, from, PROTOCOL_COLUMNS);
	tl_text_puts(text, " ");
	endpoint(text, r->client_address, r->ip_version, r->client_port, CLIENT_COLUMNS);
	tl_text_puts(text, " > ");
	endpoint(text, r->server_address, r->ip_version, r->server_port, SERVER_COLUMNS);
	tl_text_puts(text, "  ");
	if (r->request.seen == 0 || !summary(text, decoder, tl_roundtrip_request_tail(r)))
		tl_text_puts(text, "-");
	tl_text_puts(text, "  ");
	if (with_colour)
		tl_text_puts(text, status_colour(r));
	outcome(text, decoder, r);
	if (with_colour)
		tl_text_puts(text, COLOUR_RESET);
	tl_text_puts(text, "  ");
	if (r->response.seen != 0) {
		tl_text_size(text, r->response.body_bytes);
		tl_text_puts(text, "  ");
	}
	bool is_slow = slow_ns != 0 && r->duration_ns >= slow_ns;
	if (with_colour && is_slow)
		tl_text_puts(text, COLOUR_BOLD COLOUR_RED);
	times(text, r);
	if (with_colour && is_slow)
		tl_text_puts(text, COLOUR_RESET);
	tl_text_puts(text, "\n");
}
