// SPDX-License-Identifier: Apache-2.0
#include "dns_core.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

extern const struct tl_decoder tl_decoder_dns;

static const struct {
	uint64_t answers_max;
} core_options = {.answers_max = 4};

__attribute__((format(printf, 3, 4))) static void add(char *text, size_t size, const char *format,
						      ...)
{
	size_t len = strlen(text);
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text + len, size - len, format, args);
	va_end(args);
}

static struct core_message *message_of(struct tl_ctx *ctx, enum tl_lane lane)
{
	struct core_message *m = &ctx->messages[lane];
	return m->is_begun ? m : NULL;
}

void tl_message_begin(struct tl_ctx *ctx, enum tl_lane lane, uint64_t offset)
{
	ctx->messages[lane] = (struct core_message) {.is_begun = true, .begin = offset};
}

void tl_message_end(struct tl_ctx *ctx, enum tl_lane lane, uint64_t offset)
{
	struct core_message *m = message_of(ctx, lane);
	assert_non_null(m);
	m->has_ended = true;
	m->end = offset;
}

bool tl_message_is_open(const struct tl_ctx *ctx, enum tl_lane lane)
{
	return ctx->messages[lane].is_begun && !ctx->messages[lane].has_ended;
}

void tl_message_body(struct tl_ctx *ctx, enum tl_lane lane, uint64_t bytes)
{
	ctx->messages[lane].body += (uint32_t)bytes;
}

static void field(struct tl_ctx *ctx, enum tl_lane lane, uint8_t id, enum tl_field_type type)
{
	struct core_message *m = message_of(ctx, lane);
	const struct tl_field *f = &tl_decoder_dns.fields[id];

	assert_non_null(m);
	assert_true(id < tl_decoder_dns.field_count);
	assert_true(f->type == type || (f->type == TL_FIELD_BOOL && type == TL_FIELD_UINT));
	add(m->text, sizeof(m->text), " %s=", f->name);
}

void tl_message_text(struct tl_ctx *ctx, enum tl_lane lane, uint8_t id, struct tl_bytes value)
{
	field(ctx, lane, id, TL_FIELD_TEXT);
	add(ctx->messages[lane].text, sizeof(ctx->messages[lane].text), "%.*s", (int)value.len,
	    (const char *)value.ptr);
}

void tl_message_uint(struct tl_ctx *ctx, enum tl_lane lane, uint8_t id, uint64_t value)
{
	field(ctx, lane, id, TL_FIELD_UINT);
	add(ctx->messages[lane].text, sizeof(ctx->messages[lane].text), "%" PRIu64, value);
}

void tl_message_object(struct tl_ctx *ctx, enum tl_lane lane, uint8_t id)
{
	field(ctx, lane, id, TL_FIELD_OBJECTS);
}

void tl_message_flag(struct tl_ctx *ctx, enum tl_lane lane, enum tl_roundtrip_flag flag)
{
	ctx->messages[lane].flags |= (uint32_t)flag;
}

static struct core_pending *find(struct tl_ctx *ctx, enum tl_lane opener, uint64_t key)
{
	for (uint32_t i = 0; i < ctx->pending_count[opener]; i++)
		if (ctx->pending[opener][i].key == key)
			return &ctx->pending[opener][i];
	return NULL;
}

void tl_open(struct tl_ctx *ctx, enum tl_lane lane, uint64_t key, const void *memo)
{
	struct core_message *m = message_of(ctx, lane);
	struct core_pending *p = &ctx->pending[lane][ctx->pending_count[lane]++];

	assert_true(m != NULL && !m->has_role && ctx->pending_count[lane] < 64);
	m->has_role = true;
	*p = (struct core_pending) {.key = key};
	memcpy(p->memo, memo, TL_MEMO_BYTES);
	memcpy(p->text, m->text, sizeof(p->text) - 1);
}

void *tl_pending(struct tl_ctx *ctx, enum tl_lane opener, uint64_t key)
{
	struct core_pending *p = find(ctx, opener, key);
	return p == NULL ? NULL : p->memo;
}

void *tl_pending_oldest(struct tl_ctx *ctx, enum tl_lane opener, uint64_t *ret_key)
{
	if (ctx->pending_count[opener] == 0)
		return NULL;
	*ret_key = ctx->pending[opener][0].key;
	return ctx->pending[opener][0].memo;
}

void tl_part(struct tl_ctx *ctx, enum tl_lane lane, uint64_t key)
{
	(void)key;
	ctx->parts++;
	ctx->messages[lane].is_begun = false;
}

void tl_close(struct tl_ctx *ctx, enum tl_lane lane, uint64_t key, enum tl_status status,
	      enum tl_reason reason)
{
	enum tl_lane opener = lane == TL_CLIENT ? TL_SERVER : TL_CLIENT;
	struct core_message *m = message_of(ctx, lane);
	struct core_pending *p = find(ctx, opener, key);

	assert_true(m != NULL && !m->has_role && reason == TL_REASON_NONE);
	m->has_role = true;
	if (p == NULL) {
		add(ctx->log, sizeof(ctx->log), "orphan%s%s\n", m->text,
		    m->flags & TL_FLAG_GAP ? " GAP" : "");
		return;
	}
	add(ctx->log, sizeof(ctx->log), "status=%d retries=%u%s |%s%s\n", status, p->retries, p->text,
	    m->text, m->flags & TL_FLAG_GAP ? " GAP" : "");
	*p = ctx->pending[opener][--ctx->pending_count[opener]];
}

void tl_one_way(struct tl_ctx *ctx, enum tl_lane lane)
{
	ctx->messages[lane].has_role = true;
	add(ctx->log, sizeof(ctx->log), "one_way%s\n", ctx->messages[lane].text);
}

void tl_retry(struct tl_ctx *ctx, enum tl_lane lane, uint64_t key)
{
	struct core_pending *p = find(ctx, lane, key);
	assert_non_null(p);
	p->retries++;
	ctx->messages[lane].is_begun = false;
}

const void *tl_options(const struct tl_ctx *ctx)
{
	(void)ctx;
	return &core_options;
}

bool tl_is_udp(const struct tl_ctx *ctx)
{
	return ctx->is_udp;
}

uint16_t tl_server_port(const struct tl_ctx *ctx)
{
	return ctx->port;
}

bool tl_is_multicast(const struct tl_ctx *ctx)
{
	return ctx->is_multicast;
}

void tl_count(struct tl_ctx *ctx, uint8_t counter)
{
	assert_true(counter < tl_decoder_dns.counter_count);
	ctx->counters[counter]++;
}

void core_start(struct tl_ctx *ctx, bool is_udp, uint16_t port)
{
	memset(ctx, 0, sizeof(*ctx));
	ctx->is_udp = is_udp;
	ctx->port = port;
}

// One step over an exact copy, so that a sanitizer sees a read beyond the view.
static struct tl_step step(struct tl_ctx *ctx, enum tl_lane lane, const uint8_t *bytes, uint32_t len)
{
	uint8_t *copy = malloc(len);
	assert_non_null(copy);
	memcpy(copy, bytes, len);
	struct tl_view view = {.bytes = tl_bytes(copy, len), .offset = ctx->offset[lane]};
	struct tl_step s = tl_decoder_dns.step(ctx, ctx->state, lane, &view);
	free(copy);
	return s;
}

void core_feed(struct tl_ctx *ctx, enum tl_lane lane, const void *bytes, uint32_t len)
{
	uint8_t *carry = ctx->carry[lane];
	uint32_t at = 0;

	memcpy(carry + ctx->carry_len[lane], bytes, len);
	ctx->carry_len[lane] += len;
	while (at < ctx->carry_len[lane] && !ctx->has_stopped) {
		struct tl_step s = step(ctx, lane, carry + at, ctx->carry_len[lane] - at);
		if (s.kind == TL_STEP_NEED) {
			assert_true(s.bytes <= tl_decoder_dns.need_max);
			assert_true(s.bytes > ctx->carry_len[lane] - at);
			break;
		}
		ctx->has_stopped = s.kind == TL_STEP_STOP;
		at += (uint32_t)s.bytes;
		ctx->offset[lane] += s.bytes;
		if (ctx->messages[lane].has_role && ctx->messages[lane].has_ended)
			ctx->messages[lane].is_begun = false;
	}
	at = at < ctx->carry_len[lane] ? at : ctx->carry_len[lane];
	memmove(carry, carry + at, ctx->carry_len[lane] - at);
	ctx->carry_len[lane] -= at;
}

void core_lose(struct tl_ctx *ctx, enum tl_lane lane, uint32_t len)
{
	ctx->offset[lane] += ctx->carry_len[lane] + len;
	ctx->carry_len[lane] = 0;
	ctx->messages[lane].is_begun = false;
	assert_true(tl_decoder_dns.gap(ctx, ctx->state, lane, len, ctx->offset[lane]));
}
