// SPDX-License-Identifier: Apache-2.0
// What a message may look like: for framing, detection, and the search for a start after a loss.
// Source: PostgreSQL 15 documentation, section 55.7 (message formats).
#include "protocols/postgresql/state.h"

#define LONG_BYTES_MAX 0x40000000u // the server takes no more (PQ_LARGE_MESSAGE_LIMIT)
#define SHORT_BYTES_MAX 65536u     // of types that carry no data
#define CHAIN_MAX 64u              // messages followed to be sure of the first

// A type of message in one lane: the bounds of its length, which counts itself.
struct shape {
	uint32_t min, max;
	uint32_t wanted; // bytes of the body that are looked at
};

static const struct shape client_shapes[128] = {
	['Q'] = {5, LONG_BYTES_MAX, PG_TEXT_BYTES_MAX},
	['P'] = {8, LONG_BYTES_MAX, PG_TEXT_BYTES_MAX},
	['B'] = {12, LONG_BYTES_MAX, PG_NAMES_BYTES_MAX},
	['E'] = {9, SHORT_BYTES_MAX, PG_NAMES_BYTES_MAX},
	['D'] = {6, SHORT_BYTES_MAX, PG_NAMES_BYTES_MAX},
	['C'] = {6, SHORT_BYTES_MAX, PG_NAMES_BYTES_MAX},
	['F'] = {14, LONG_BYTES_MAX, 0},
	['S'] = {4, 4, 0},
	['H'] = {4, 4, 0},
	['X'] = {4, 4, 0},
	['c'] = {4, 4, 0},
	['d'] = {4, LONG_BYTES_MAX, 0},
	['f'] = {5, SHORT_BYTES_MAX, 0},
	['p'] = {4, SHORT_BYTES_MAX, 0},
};

static const struct shape server_shapes[128] = {
	['R'] = {8, SHORT_BYTES_MAX, 64},
	['K'] = {12, 4 + 4 + 256, 4},
	['S'] = {6, SHORT_BYTES_MAX, 256},
	['Z'] = {5, 5, 1},
	['C'] = {5, SHORT_BYTES_MAX, 256},
	['E'] = {5, LONG_BYTES_MAX, PG_ERROR_BYTES_MAX},
	['N'] = {5, LONG_BYTES_MAX, 0},
	['A'] = {10, LONG_BYTES_MAX, PG_NAMES_BYTES_MAX},
	['T'] = {6, LONG_BYTES_MAX, 0},
	['D'] = {6, LONG_BYTES_MAX, 0},
	['d'] = {4, LONG_BYTES_MAX, 0},
	['t'] = {6, LONG_BYTES_MAX, 0},
	['V'] = {8, LONG_BYTES_MAX, 0},
	['v'] = {12, SHORT_BYTES_MAX, 0},
	['G'] = {7, SHORT_BYTES_MAX, 0},
	['H'] = {7, SHORT_BYTES_MAX, 0},
	['W'] = {7, SHORT_BYTES_MAX, 0},
	['1'] = {4, 4, 0},
	['2'] = {4, 4, 0},
	['3'] = {4, 4, 0},
	['I'] = {4, 4, 0},
	['c'] = {4, 4, 0},
	['n'] = {4, 4, 0},
	['s'] = {4, 4, 0},
};

static const struct shape *shape_of(enum tl_lane lane, uint8_t type)
{
	return &(lane == TL_CLIENT ? client_shapes : server_shapes)[type & 0x7f];
}

bool tl_pg_head_is_plausible(enum tl_lane lane, struct tl_bytes first, uint32_t *ret_wanted)
{
	uint8_t type = first.ptr[0];
	const struct shape *shape = shape_of(lane, type);
	uint32_t length = tl_load_be32(first.ptr + 1);

	*ret_wanted = shape->wanted;
	return type < 128 && shape->max != 0 && length >= shape->min && length <= shape->max;
}

// ---- Bodies -----------------------------------------------------------------------------------

// Text of a query: no control characters but white space, as far as it is here.
static bool is_text(struct tl_bytes b)
{
	for (uint32_t i = 0; i < b.len; i++)
		if (b.ptr[i] < 0x20 && !(b.ptr[i] >= '\t' && b.ptr[i] <= '\r'))
			return false;
	return true;
}

static bool is_name(struct tl_bytes b)
{
	return b.len <= PG_NAMES_BYTES_MAX && is_text(b);
}

// A C string that ends with the body; `is_whole`: all of the body is here.
static bool is_one_string(struct tl_bytes body, bool is_whole)
{
	uint32_t end = tl_bytes_find(body, 0, 0);

	if (end == TL_BYTES_NONE)
		return !is_whole && is_text(body);
	return is_whole && end == body.len - 1 && is_text(tl_bytes_first(body, end));
}

// Two C strings, of which the first is a name; more may follow.
static bool has_two_names(struct tl_bytes body, bool is_whole)
{
	struct tl_cursor c = tl_cursor(body);
	struct tl_bytes first = pg_string(&c);

	if (c.failed)
		return !is_whole && is_name(body);
	struct tl_bytes second = pg_string(&c);
	if (c.failed)
		return !is_whole && is_name(first) && is_text(tl_bytes_from(body, c.at));
	return is_name(first) && is_text(second);
}

// Fields of an error: a letter and a C string each, a NUL at the end.
static bool has_error_fields(struct tl_bytes body, bool is_whole)
{
	struct tl_cursor c = tl_cursor(body);

	for (uint32_t i = 0; i < CHAIN_MAX && tl_cursor_left(&c) != 0; i++) {
		uint8_t code = tl_cursor_u8(&c);
		if (code == 0)
			return i != 0 && is_whole && tl_cursor_left(&c) == 0;
		if (!((code >= 'A' && code <= 'Z') || (code >= 'a' && code <= 'z')))
			return false;
		struct tl_bytes text = pg_string(&c);
		if (!is_text(text))
			return false;
		if (c.failed)
			return !is_whole;
	}
	return !is_whole;
}

static bool is_client_body(uint8_t type, struct tl_bytes body, bool is_whole)
{
	switch (type) {
	case 'Q':
	case 'f':
		return is_one_string(body, is_whole);
	case 'P':
	case 'B':
		return has_two_names(body, is_whole);
	case 'D':
	case 'C':
		return (body.ptr[0] == 'S' || body.ptr[0] == 'P') &&
		       is_one_string(tl_bytes_from(body, 1), is_whole);
	case 'E':
		return is_whole && body.ptr[body.len - 5] == 0 &&
		       is_one_string(tl_bytes_first(body, body.len - 4), true);
	default:
		return true;
	}
}

static bool is_server_body(uint8_t type, struct tl_bytes body, bool is_whole)
{
	switch (type) {
	case 'R':
		return body.len < 4 || (tl_load_be32(body.ptr) <= 12 && tl_load_be32(body.ptr) != 1);
	case 'Z':
		return tl_pg_state_word(body.ptr[0]) != NULL;
	case 'C':
		return is_one_string(body, is_whole) && body.ptr[0] >= 'A' && body.ptr[0] <= 'Z';
	case 'E':
	case 'N':
		return has_error_fields(body, is_whole);
	case 'S':
		return has_two_names(body, is_whole);
	default:
		return true;
	}
}

// ---- Chains -----------------------------------------------------------------------------------

struct chain {
	uint32_t whole;  // messages that are here in full
	bool is_broken;  // followed by what is none
	bool is_exact;   // the last one ends with the view
	bool has_strong; // one of them can't be chance
};

// Types whose bodies were compared with what they must hold.
static bool is_strong(enum tl_lane lane, uint8_t type)
{
	return strchr(lane == TL_CLIENT ? "QPBDCES" : "RZCENS", type) != NULL;
}

static struct chain follow(enum tl_lane lane, struct tl_bytes view)
{
	struct chain chain = {.is_exact = false};

	for (uint32_t i = 0; i < CHAIN_MAX; i++) {
		uint32_t wanted;
		if (view.len == 0) {
			chain.is_exact = true;
			return chain;
		}
		if (view.len < PG_HEAD_BYTES) {
			chain.is_broken = view.ptr[0] >= 128 ||
					  shape_of(lane, view.ptr[0])->max == 0 ||
					  (view.len > 1 && view.ptr[1] >= 0x40);
			return chain;
		}
		if (!tl_pg_head_is_plausible(lane, view, &wanted)) {
			chain.is_broken = true;
			return chain;
		}
		uint32_t total = 1 + tl_load_be32(view.ptr + 1);
		struct tl_bytes body = tl_bytes_from(tl_bytes_first(view, total), PG_HEAD_BYTES);
		bool is_whole = total <= view.len;
		bool is_like = body.len == 0 ||
			       (lane == TL_CLIENT ? is_client_body(view.ptr[0], body, is_whole)
						  : is_server_body(view.ptr[0], body, is_whole));
		// Execute ends with a number: nothing to compare until all of it is here.
		if (!is_like && !(lane == TL_CLIENT && view.ptr[0] == 'E' && !is_whole)) {
			chain.is_broken = true;
			return chain;
		}
		if (!is_whole)
			return chain;
		chain.whole++;
		chain.has_strong = chain.has_strong || is_strong(lane, view.ptr[0]);
		view = tl_bytes_from(view, total);
	}
	return chain;
}

static bool is_certain(const struct chain *chain)
{
	return !chain->is_broken && chain->has_strong &&
	       (chain->whole >= 2 || (chain->whole == 1 && chain->is_exact));
}

static bool is_length_of_code(uint16_t minor, uint32_t len)
{
	if (minor == PG_CODE_CANCEL)
		return len >= 16 && len <= 12 + 256; // a longer secret since 3.2
	return (minor == PG_CODE_SSL || minor == PG_CODE_GSS) && len == PG_STARTUP_HEAD_BYTES;
}

bool tl_pg_is_startup(struct tl_bytes first, uint32_t *ret_len)
{
	uint32_t len = tl_load_be32(first.ptr);
	uint16_t major = tl_load_be16(first.ptr + 4);
	uint16_t minor = tl_load_be16(first.ptr + 6);

	*ret_len = len;
	if (major == PG_CODE_MAJOR)
		return is_length_of_code(minor, len);
	return major == 3 && len > PG_STARTUP_HEAD_BYTES && len <= PG_STARTUP_BYTES_MAX;
}

static enum tl_match match_startup(struct tl_bytes first)
{
	uint32_t len;

	if (first.len < 8) {
		// The length of a start-up packet begins with two zero bytes.
		return first.len < 2 || first.ptr[1] == 0 ? TL_MATCH_UNSURE : TL_MATCH_NO;
	}
	if (!tl_pg_is_startup(first, &len))
		return TL_MATCH_NO;
	if (tl_load_be16(first.ptr + 4) != 3)
		return TL_MATCH_CERTAIN;
	struct tl_bytes parameters = tl_bytes_from(tl_bytes_first(first, len), 8);
	uint32_t name = tl_bytes_find(parameters, 0, 0);
	// Without a name only the end may come. Kafka's Metadata requests begin with a 3, too.
	if (name == 0 && len != PG_STARTUP_HEAD_BYTES + 1)
		return TL_MATCH_NO;
	if (name == TL_BYTES_NONE)
		return is_name(parameters) ? TL_MATCH_LIKELY : TL_MATCH_NO;
	return is_name(tl_bytes_first(parameters, name)) ? TL_MATCH_CERTAIN : TL_MATCH_NO;
}

enum tl_match tl_pg_match(enum tl_lane lane, struct tl_bytes first)
{
	enum tl_match startup = lane == TL_CLIENT && first.ptr[0] == 0 ? match_startup(first)
								       : TL_MATCH_NO;
	if (startup != TL_MATCH_NO || first.len < PG_HEAD_BYTES)
		return startup != TL_MATCH_NO ? startup : TL_MATCH_UNSURE;
	struct chain chain = follow(lane, first);
	if (is_certain(&chain))
		return TL_MATCH_CERTAIN;
	if (!chain.is_broken)
		return chain.whole != 0 ? TL_MATCH_LIKELY : TL_MATCH_UNSURE;
	// The answer to a request for encryption is one byte, with anything behind it.
	if (lane == TL_SERVER && chain.whole == 0 && strchr("SNG", first.ptr[0]) != NULL)
		return TL_MATCH_UNSURE;
	// Joined in the middle of a message: the other lane may know.
	return tl_pg_find_start(lane, first) < first.len ? TL_MATCH_UNSURE : TL_MATCH_NO;
}

uint32_t tl_pg_find_start(enum tl_lane lane, struct tl_bytes view)
{
	for (uint32_t i = 0; i < view.len; i++) {
		// Type and length of all but huge messages tell most bytes apart.
		uint8_t type = view.ptr[i];
		if (type == 0 || type >= 128 || shape_of(lane, type)->max == 0)
			continue;
		struct chain chain = follow(lane, tl_bytes_from(view, i));
		if (is_certain(&chain))
			return i;
		// A long query that has only begun, at the front of what came in one piece.
		if (i == 0 && !chain.is_broken && view.len > PG_HEAD_BYTES + 16 &&
		    strchr(lane == TL_CLIENT ? "QP" : "", type) != NULL)
			return i;
	}
	return view.len;
}
