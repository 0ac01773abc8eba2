// SPDX-License-Identifier: Apache-2.0
#include "l7/trace.h"

#define TRACE_ID_CHARS 32u
#define SPAN_ID_CHARS 16u

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

// Exactly `size` bytes out of 2 * size digits.
static bool read_hex(struct tl_bytes text, uint8_t *ret, uint32_t size)
{
	if (text.len != 2 * size)
		return false;
	for (uint32_t i = 0; i < size; i++) {
		int high = hex_digit(text.ptr[2 * i]);
		int low = hex_digit(text.ptr[2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		ret[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static bool is_zero(const uint8_t *bytes, uint32_t size)
{
	for (uint32_t i = 0; i < size; i++)
		if (bytes[i] != 0)
			return false;
	return true;
}

static bool has_upper(struct tl_bytes text)
{
	for (uint32_t i = 0; i < text.len; i++)
		if (text.ptr[i] >= 'A' && text.ptr[i] <= 'F')
			return true;
	return false;
}

bool tl_trace_from_traceparent(struct tl_bytes value, struct tl_trace *ret_trace)
{
	struct tl_trace trace = {0};
	uint8_t version;
	uint8_t flags;

	value = tl_bytes_trim(value);
	if (value.len < TL_TRACEPARENT_BYTES || value.ptr[2] != '-' || value.ptr[35] != '-' ||
	    value.ptr[52] != '-')
		return false;
	// The specification allows lower-case digits only.
	if (has_upper(tl_bytes_first(value, TL_TRACEPARENT_BYTES)))
		return false;
	if (!read_hex(tl_bytes(value.ptr, 2), &version, 1) || version == 0xff)
		return false;
	// A later version may go on after the part that is known, but only behind a dash.
	if (version == 0 ? value.len != TL_TRACEPARENT_BYTES
			 : value.len > TL_TRACEPARENT_BYTES && value.ptr[TL_TRACEPARENT_BYTES] != '-')
		return false;
	if (!read_hex(tl_bytes(value.ptr + 3, TRACE_ID_CHARS), trace.trace_id, 16) ||
	    !read_hex(tl_bytes(value.ptr + 36, SPAN_ID_CHARS), trace.parent_span_id, 8) ||
	    !read_hex(tl_bytes(value.ptr + 53, 2), &flags, 1))
		return false;
	if (is_zero(trace.trace_id, 16) || is_zero(trace.parent_span_id, 8))
		return false;
	trace.flags = TL_TRACE_PRESENT | TL_TRACE_HAS_SAMPLED;
	if ((flags & 1) != 0)
		trace.flags |= TL_TRACE_SAMPLED;
	*ret_trace = trace;
	return true;
}

static void complete(struct tl_trace *trace)
{
	if (!is_zero(trace->trace_id, 16) && !is_zero(trace->parent_span_id, 8))
		trace->flags |= TL_TRACE_PRESENT;
}

bool tl_trace_add_b3_trace_id(struct tl_bytes value, struct tl_trace *trace)
{
	uint8_t id[16] = {0};

	value = tl_bytes_trim(value);
	// 64-bit ids stand in the right half, as OpenTelemetry pads them.
	bool ok = value.len == SPAN_ID_CHARS ? read_hex(value, id + 8, 8) : read_hex(value, id, 16);
	if (!ok || is_zero(id, 16))
		return false;
	memcpy(trace->trace_id, id, sizeof(id));
	complete(trace);
	return true;
}

bool tl_trace_add_b3_span_id(struct tl_bytes value, struct tl_trace *trace)
{
	uint8_t id[8];

	if (!read_hex(tl_bytes_trim(value), id, 8) || is_zero(id, 8))
		return false;
	memcpy(trace->parent_span_id, id, sizeof(id));
	complete(trace);
	return true;
}

bool tl_trace_add_b3_sampled(struct tl_bytes value, struct tl_trace *trace)
{
	value = tl_bytes_trim(value);
	// "d" (debug) implies sampled; "true" and "false" are what early tracers sent.
	bool yes = tl_bytes_is(value, "1") || tl_bytes_is(value, "d") || tl_bytes_is(value, "true");
	bool no = tl_bytes_is(value, "0") || tl_bytes_is(value, "false");

	if (!yes && !no)
		return false;
	trace->flags &= ~(uint32_t)TL_TRACE_SAMPLED;
	trace->flags |= TL_TRACE_HAS_SAMPLED | (yes ? (uint32_t)TL_TRACE_SAMPLED : 0);
	return true;
}

bool tl_trace_from_b3(struct tl_bytes value, struct tl_trace *ret_trace)
{
	struct tl_trace trace = {0};
	struct tl_bytes part[4] = {{0}};
	uint32_t count = 0;

	value = tl_bytes_trim(value);
	while (count < 4) {
		uint32_t dash = tl_bytes_find(value, '-', 0);
		part[count++] = tl_bytes_first(value, dash);
		if (dash == TL_BYTES_NONE)
			break;
		value = tl_bytes_from(value, dash + 1);
		if (count == 4)
			return false;
	}
	if (count < 2 || !tl_trace_add_b3_trace_id(part[0], &trace) ||
	    !tl_trace_add_b3_span_id(part[1], &trace))
		return false;
	if (count > 2 && !tl_trace_add_b3_sampled(part[2], &trace))
		return false;
	uint8_t parent[8]; // the sender's own parent: checked, but of no use to us
	if (count > 3 && !read_hex(part[3], parent, 8))
		return false;
	*ret_trace = trace;
	return true;
}

// Gives the number of bytes, 0 where the text is no base64 or too long.
static uint32_t read_base64(struct tl_bytes text, uint8_t *ret, uint32_t size)
{
	uint32_t bits = 0;
	uint32_t count = 0;
	uint32_t len = 0;

	while (text.len != 0 && text.ptr[text.len - 1] == '=')
		text.len--;
	for (uint32_t i = 0; i < text.len; i++) {
		int digit = tl_base64_digit(text.ptr[i]);
		if (digit < 0)
			return 0;
		bits = bits << 6 | (uint32_t)digit;
		count += 6;
		if (count < 8)
			continue;
		if (len == size)
			return 0;
		count -= 8;
		ret[len++] = (uint8_t)(bits >> count);
	}
	return len;
}

// Version 0, then fields, each behind its number: 0 the trace, 1 the span, 2 the options.
bool tl_trace_from_grpc_bin(struct tl_bytes value, struct tl_trace *ret_trace)
{
	enum { SPAN = 18, OPTIONS = 27, ALL = 29 };
	struct tl_trace trace = {0};
	uint8_t bytes[2 * ALL];
	uint32_t len = read_base64(tl_bytes_trim(value), bytes, sizeof(bytes));

	if (len < OPTIONS || bytes[0] != 0 || bytes[1] != 0 || bytes[SPAN] != 1)
		return false;
	memcpy(trace.trace_id, bytes + 2, sizeof(trace.trace_id));
	memcpy(trace.parent_span_id, bytes + SPAN + 1, sizeof(trace.parent_span_id));
	complete(&trace);
	if ((trace.flags & TL_TRACE_PRESENT) == 0)
		return false;
	if (len >= ALL && bytes[OPTIONS] == 2)
		trace.flags |= TL_TRACE_HAS_SAMPLED |
			       ((bytes[ALL - 1] & 1) != 0 ? (uint32_t)TL_TRACE_SAMPLED : 0);
	*ret_trace = trace;
	return true;
}
