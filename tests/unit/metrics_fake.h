// SPDX-License-Identifier: Apache-2.0
// A registry of one protocol, two engines that only have counters, and records made by hand: what
// the tests of metrics and their exposition need of the layers below. Included once per program.
#pragma once

#include "metrics/metrics.h"

#include <string.h>

enum {
	FAKE_METHOD, FAKE_STATUS_CODE, FAKE_REASON, FAKE_ROWS, FAKE_SET_ROWS, FAKE_METHOD_ID,
	FAKE_FIELDS
};

static const struct tl_field fake_fields[FAKE_FIELDS] = {
	[FAKE_METHOD] = {.name = "method", .label = "method", .type = TL_FIELD_TEXT,
			 .parent = TL_FIELD_TOP,
			 .flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE | TL_FIELD_DEFAULT_LABEL},
	[FAKE_STATUS_CODE] = {.name = "status_code", .label = "status_code", .type = TL_FIELD_UINT,
			      .parent = TL_FIELD_TOP,
			      .flags = TL_FIELD_RESPONSE | TL_FIELD_DEFAULT_LABEL},
	[FAKE_REASON] = {.name = "reason", .label = "reason", .also = "why", .type = TL_FIELD_TEXT,
			 .parent = TL_FIELD_TOP,
			 .flags = TL_FIELD_RESPONSE},
	[FAKE_ROWS] = {.name = "affected_rows", .type = TL_FIELD_UINT, .help = "Rows changed.",
		       .flags = TL_FIELD_RESPONSE | TL_FIELD_COUNTER},
	[FAKE_SET_ROWS] = {.name = "resultset_rows", .type = TL_FIELD_UINT, .help = "Rows sent.",
			   .flags = TL_FIELD_RESPONSE | TL_FIELD_HISTOGRAM},
	[FAKE_METHOD_ID] = {.name = "method_id", .label = "method_id", .type = TL_FIELD_TEXT,
			    .parent = TL_FIELD_TOP, .flags = TL_FIELD_REQUEST},
};

static const char *const fake_counters[] = {"bad_line", "bad_chunk"};
static const struct tl_naming fake_naming = {.id = FAKE_METHOD_ID, .name = FAKE_METHOD};
static const struct tl_decoder fake_decoder = {
	.name = "http", .title = "HTTP/1", .fields = fake_fields, .field_count = FAKE_FIELDS,
	.counters = fake_counters, .counter_count = 2, .timeout_s = 30,
	.naming = &fake_naming,
};
const struct tl_decoder *const tl_decoders[] = {NULL, &fake_decoder};
const uint16_t tl_decoder_count = 2;

struct tl_engine {
	struct tl_counters counters;
	struct tl_verdict_count verdicts[2 + TL_VERDICT_COUNT];
	uint64_t events[2];
	uint64_t ahead_ns; // of fake_clock; of the thread that polls with this engine
};

static struct tl_engine fake_engines[2];
static uint64_t fake_clock = 1000000000;

static inline struct tl_engine *fake_engine(uint32_t i)
{
	return &fake_engines[i];
}

struct tl_counters *tl_engine_counters(struct tl_engine *engine)
{
	return &engine->counters;
}

uint64_t tl_engine_clock(const struct tl_engine *engine)
{
	return fake_clock + engine->ahead_ns;
}

struct tl_l7 *tl_engine_l7(struct tl_engine *engine)
{
	return (struct tl_l7 *)engine;
}

const struct tl_verdict_count *tl_engine_verdicts(struct tl_engine *engine, uint32_t *ret_count)
{
	*ret_count = 2 + TL_VERDICT_COUNT;
	return engine->verdicts;
}

const uint64_t *tl_l7_decoder_counters(const struct tl_l7 *l7, uint16_t protocol)
{
	return protocol == 1 ? ((const struct tl_engine *)l7)->events : NULL;
}

const char *tl_verdict_name(uint16_t verdict)
{
	static const char *const names[] = {"no_payload", "undecided", "unknown", "ignored", "tls",
					    "quic", "ssh", "upgraded"};
	uint16_t index = (uint16_t)(verdict - TL_VERDICT_BASE);
	// Verdicts that came later have no name here.
	return index < sizeof(names) / sizeof(names[0]) ? names[index] : "later";
}

const char *tl_status_name(enum tl_status status)
{
	static const char *const names[] = {"ok", "client_error", "server_error", "timeout",
					    "reset", "cancelled", "unanswered", "orphan",
					    "one_way"};
	return names[status];
}

static inline struct tl_metrics_options fake_options(void)
{
	return (struct tl_metrics_options) {
		.series_max = 4000,
		.series_per_family_max = 1000,
		.label_values_max = 1000,
		.label_bytes_max = 64,
		.l4_enabled = true,
	};
}

struct fake_record {
	struct tl_roundtrip head;
	uint8_t tail[1024];
};

static inline void fake_add(struct fake_record *r, uint32_t side, uint8_t field, const void *value,
			    uint16_t len)
{
	struct tl_value_head head = {.field = field, .len = len, .full_len = len};
	struct tl_half *half = side == 0 ? &r->head.request : &r->head.response;
	// Requests are filled before responses.
	uint8_t *to = r->tail + r->head.request.tail_len + r->head.response.tail_len;
	memcpy(to, &head, sizeof(head));
	memcpy(to + sizeof(head), value, len);
	half->tail_len += (uint32_t)sizeof(head) + ((len + 3u) & ~3u);
}

static inline void fake_add_text(struct fake_record *r, uint32_t side, uint8_t field,
				 const char *text)
{
	fake_add(r, side, field, text, (uint16_t)strlen(text));
}

static inline void fake_add_uint(struct fake_record *r, uint32_t side, uint8_t field,
				 uint64_t number)
{
	fake_add(r, side, field, &number, sizeof(number));
}

static inline void fake_http(struct fake_record *r, const char *method, uint64_t code,
			     uint64_t duration_ns)
{
	memset(r, 0, sizeof(*r));
	r->head = (struct tl_roundtrip) {
		.protocol = 1, .status = TL_STATUS_OK, .ip_version = 4, .l4 = 6,
		.client_address = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}, .client_port = 36654,
		.server_address = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 2},
		.server_port = 80, .duration_ns = duration_ns,
		.request = {.seen = 1, .first_ns = 1700000000000000000, .bytes = 78},
		.response = {.seen = 1, .bytes = 612, .body_bytes = 349},
	};
	fake_add_text(r, 0, FAKE_METHOD, method);
	fake_add_uint(r, 1, FAKE_STATUS_CODE, code);
}
