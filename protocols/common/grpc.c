// SPDX-License-Identifier: Apache-2.0
#include "grpc.h"

#include "base/check.h"

#define UNKNOWN "<unknown>"
#define PATH_BYTES_MAX 1024u
#define TIMEOUT_DIGITS_MAX 8u
#define MS UINT64_C(1000000)

enum { GRPC_COMPRESSED = 1u << 0, GRPC_TRAILERS = 1u << 7 }; // flags of a message's head

// grpc/status.h; 0 is OK.
enum grpc_code {
	GRPC_OK = 0,
	GRPC_CANCELLED = 1,
	GRPC_UNKNOWN = 2,
	GRPC_DEADLINE_EXCEEDED = 4,
	GRPC_PERMISSION_DENIED = 7,
	GRPC_UNIMPLEMENTED = 12,
	GRPC_INTERNAL = 13,
	GRPC_UNAVAILABLE = 14,
	GRPC_DATA_LOSS = 15,
	GRPC_UNAUTHENTICATED = 16,
};

// ---- Headers ---------------------------------------------------------------------------------

enum tl_grpc_kind tl_grpc_kind_of(struct tl_bytes content_type)
{
	static const char native[] = "application/grpc", web[] = "-web", text[] = "-text";
	enum tl_grpc_kind kind = TL_GRPC_NATIVE;
	struct tl_bytes rest = tl_bytes_from(content_type, sizeof(native) - 1);

	if (!tl_grpc_is_type(content_type))
		return TL_GRPC_NONE;
	if (rest.len >= 4 && tl_is_word(rest.ptr, web, 4)) {
		kind = TL_GRPC_WEB;
		rest = tl_bytes_from(rest, 4);
		if (rest.len >= 5 && tl_is_word(rest.ptr, text, 5)) {
			kind = TL_GRPC_WEB_TEXT;
			rest = tl_bytes_from(rest, 5);
		}
	}
	bool ends = rest.len == 0 || rest.ptr[0] == '+' || rest.ptr[0] == ';' || rest.ptr[0] == ' ';
	return ends ? kind : TL_GRPC_NONE;
}

// "100m": up to eight digits and a unit.
static uint64_t timeout_ns(struct tl_bytes value)
{
	static const struct {
		char letter;
		uint64_t ns;
	} units[] = {
		{'H', 3600000 * MS}, {'M', 60000 * MS}, {'S', 1000 * MS},
		{'m', MS},	     {'u', 1000},	{'n', 1},
	};
	uint64_t number = 0;

	if (value.len < 2 || value.len > TIMEOUT_DIGITS_MAX + 1)
		return 0;
	for (uint32_t i = 0; i + 1 < value.len; i++) {
		if (value.ptr[i] < '0' || value.ptr[i] > '9')
			return 0;
		number = number * 10 + (uint64_t)(value.ptr[i] - '0');
	}
	for (uint32_t i = 0; i < TL_COUNT_OF(units); i++)
		if (value.ptr[value.len - 1] == (uint8_t)units[i].letter)
			return number * units[i].ns;
	return 0;
}

void tl_grpc_request_timeout(struct tl_grpc_request *request, struct tl_bytes value)
{
	request->timeout_ns = timeout_ns(value);
}

void tl_grpc_request_encoding(struct tl_grpc_request *request, struct tl_bytes value)
{
	value = tl_bytes_first(value, TL_GRPC_ENCODING_BYTES_MAX);
	request->encoding_len = (uint8_t)value.len;
	tl_copy_short(request->encoding, value.ptr, value.len);
}

// Where the request is the current message, values go straight into it.
static void put(struct tl_values *values, uint64_t key, uint8_t field, uint32_t max,
		struct tl_bytes value)
{
	if (TL_LIKELY(values->message != NULL))
		tl_values_text(values, field, max, value);
	else
		tl_request_text(values->ctx, TL_CLIENT, key, field, value);
}

// "/package.Service/Method".
static void name_fields(struct tl_values *values, uint64_t key, struct tl_bytes path)
{
	uint32_t slash = path.len;

	while (slash != 0 && path.ptr[slash - 1] != '/')
		slash--;
	bool is_known = slash > 1 && path.ptr[0] == '/';
	put(values, key, GRPC_FIELD_SERVICE, TL_FIELD_BYTES_DEFAULT,
	    is_known ? tl_bytes(path.ptr + 1, slash - 2) : tl_bytes_of(UNKNOWN));
	put(values, key, GRPC_FIELD_METHOD, TL_FIELD_BYTES_DEFAULT,
	    is_known ? tl_bytes_from(path, slash) : tl_bytes_of(UNKNOWN));
}

static void request_fields(struct tl_ctx *ctx, uint64_t key, const struct tl_grpc_request *request,
			   bool is_current)
{
	struct tl_values values = {.ctx = ctx, .lane = TL_CLIENT};
	struct tl_bytes path = is_current ? tl_message_value(ctx, TL_CLIENT, HTTP_FIELD_PATH)
					  : tl_request_value(ctx, TL_CLIENT, key, HTTP_FIELD_PATH);
	uint8_t copy[PATH_BYTES_MAX]; // the message's values move as it grows

	path = tl_bytes_first(path, sizeof(copy));
	tl_copy_short(copy, path.ptr, path.len);
	if (is_current)
		tl_values_open(&values, ctx, TL_CLIENT);
	name_fields(&values, key, tl_bytes(copy, path.len));
	if (request->encoding_len != 0)
		put(&values, key, GRPC_FIELD_ENCODING, TL_GRPC_ENCODING_BYTES_MAX,
		    tl_bytes(request->encoding, request->encoding_len));
	if (request->timeout_ns != 0)
		put(&values, key, GRPC_FIELD_TIMEOUT, sizeof(request->timeout_ns),
			 tl_bytes(&request->timeout_ns, sizeof(request->timeout_ns)));
	tl_values_close(&values);
}

struct tl_grpc *tl_grpc_begin(struct tl_ctx *ctx, uint64_t key, uint16_t protocol,
			      const struct tl_grpc_request *request, bool is_current)
{
	struct tl_grpc *grpc = tl_inner_begin(ctx, TL_CLIENT, key, protocol);

	if (grpc == NULL)
		return NULL;
	grpc->key = key;
	grpc->lane[TL_CLIENT].kind = grpc->lane[TL_SERVER].kind = request->kind;
	grpc->timeout_ns = request->timeout_ns;
	request_fields(ctx, key, request, is_current);
	if (request->timeout_ns != 0)
		tl_allow(ctx, TL_CLIENT, key, request->timeout_ns);
	return grpc;
}

static int hex(uint8_t c)
{
	uint8_t lower = tl_ascii_lower(c);

	return c >= '0' && c <= '9' ? c - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// Percent-encoded; what is no escape stands for itself.
void tl_grpc_response_message(struct tl_grpc *grpc, struct tl_ctx *ctx, struct tl_bytes value)
{
	uint8_t text[TL_GRPC_MESSAGE_BYTES_MAX];
	uint32_t len = 0;

	if (grpc->has_message || value.len == 0)
		return;
	grpc->has_message = true;
	for (uint32_t i = 0; i < value.len && len < sizeof(text); i++) {
		uint8_t c = value.ptr[i];
		if (c == '%' && i + 2 < value.len && hex(value.ptr[i + 1]) >= 0 &&
		    hex(value.ptr[i + 2]) >= 0) {
			c = (uint8_t)(hex(value.ptr[i + 1]) << 4 | hex(value.ptr[i + 2]));
			i += 2;
		}
		text[len++] = c;
	}
	tl_message_text(ctx, TL_SERVER, GRPC_FIELD_MESSAGE, tl_bytes(text, len));
}

void tl_grpc_response_status(struct tl_grpc *grpc, struct tl_bytes value)
{
	uint32_t code = 0;

	if (value.len == 0 || value.len > 2)
		return;
	for (uint32_t i = 0; i < value.len; i++) {
		if (value.ptr[i] < '0' || value.ptr[i] > '9')
			return;
		code = code * 10 + (uint32_t)(value.ptr[i] - '0');
	}
	grpc->status = (uint8_t)code;
	grpc->has_status = true;
}

void tl_grpc_response_type(struct tl_grpc *grpc, struct tl_bytes value)
{
	struct tl_grpc_lane *response = &grpc->lane[TL_SERVER];

	response->kind = (uint8_t)tl_grpc_kind_of(value);
	if (response->kind == TL_GRPC_NONE) // a page that says what went wrong, for one
		response->is_lost = true;
}

void tl_grpc_response_encoding(struct tl_ctx *ctx, struct tl_bytes value)
{
	tl_message_text(ctx, TL_SERVER, GRPC_FIELD_ENCODING, value);
}

void tl_grpc_response_line(struct tl_grpc *grpc, struct tl_ctx *ctx, struct tl_bytes name,
			   struct tl_bytes value)
{
	if (name.len == 11 && tl_bytes_is_word(name, "grpc-status"))
		tl_grpc_response_status(grpc, value);
	else if (name.len == 12 && tl_bytes_is_word(name, "grpc-message"))
		tl_grpc_response_message(grpc, ctx, value);
	else if (name.len == 12 && tl_bytes_is_word(name, "content-type"))
		tl_grpc_response_type(grpc, value);
	else if (name.len == 13 && tl_bytes_is_word(name, "grpc-encoding"))
		tl_grpc_response_encoding(ctx, value);
}

// ---- Bodies ----------------------------------------------------------------------------------

static void trailer_line(struct tl_grpc *grpc, struct tl_ctx *ctx)
{
	struct tl_bytes line = tl_bytes(grpc->line, grpc->line_len);
	uint32_t colon = tl_bytes_find(line, ':', 0);

	grpc->line_len = 0;
	if (colon == TL_BYTES_NONE)
		return;
	tl_grpc_response_line(grpc, ctx, tl_bytes_trim(tl_bytes_first(line, colon)),
			      tl_bytes_trim(tl_bytes_from(line, colon + 1)));
}

// gRPC-Web's trailers: lines as in HTTP/1. Those of a request say nothing.
static void trailer_byte(struct tl_grpc *grpc, struct tl_ctx *ctx, enum tl_lane lane, uint8_t byte)
{
	struct tl_grpc_lane *me = &grpc->lane[lane];

	me->left--;
	if (lane == TL_SERVER) {
		if (byte != '\r' && byte != '\n' && grpc->line_len < sizeof(grpc->line))
			grpc->line[grpc->line_len++] = byte;
		if (byte == '\n' || me->left == 0)
			trailer_line(grpc, ctx);
	}
	me->in_trailers = me->left != 0;
}

// A message's head begins with the byte at `offset`. False: no message begins like this.
static inline bool head_begins(struct tl_grpc *grpc, struct tl_ctx *ctx, enum tl_lane lane,
			       uint8_t byte, uint64_t offset)
{
	struct tl_grpc_lane *me = &grpc->lane[lane];
	uint8_t known = GRPC_COMPRESSED;

	if (me->kind != TL_GRPC_NATIVE)
		known |= GRPC_TRAILERS;
	if ((byte & ~known) != 0) {
		me->is_lost = true;
		return false;
	}
	me->in_trailers = (byte & GRPC_TRAILERS) != 0;
	if (me->in_trailers)
		return true;
	me->last_ns = tl_elapsed_ns(ctx, lane, offset, TL_CLIENT, grpc->key);
	if (me->count == 0)
		me->first_ns = me->last_ns;
	return true;
}

// `head` is whole.
static inline void head_ends(struct tl_grpc *grpc, struct tl_grpc_lane *me, const uint8_t *head)
{
	me->left = tl_load_be32(head + 1);
	if (me->in_trailers) {
		me->in_trailers = me->left != 0;
		me->is_lost = grpc->hides_status = (head[0] & GRPC_COMPRESSED) != 0;
		return;
	}
	me->count++;
	me->bytes += me->left;
}

static void head_byte(struct tl_grpc *grpc, struct tl_ctx *ctx, enum tl_lane lane, uint8_t byte,
		      uint64_t offset)
{
	struct tl_grpc_lane *me = &grpc->lane[lane];

	if (me->head_len == 0 && !head_begins(grpc, ctx, lane, byte, offset))
		return;
	me->head[me->head_len++] = byte;
	if (me->head_len < TL_GRPC_HEAD_BYTES)
		return;
	me->head_len = 0;
	head_ends(grpc, me, me->head);
}

static void plain_byte(struct tl_grpc *grpc, struct tl_ctx *ctx, enum tl_lane lane, uint8_t byte,
		       uint64_t offset)
{
	struct tl_grpc_lane *me = &grpc->lane[lane];

	if (me->is_lost)
		return;
	if (me->in_trailers && me->head_len == 0)
		trailer_byte(grpc, ctx, lane, byte);
	else if (me->left != 0)
		me->left--;
	else
		head_byte(grpc, ctx, lane, byte, offset);
}

// Each flush of the sender is padded by itself, so padding may come anywhere.
static void text_byte(struct tl_grpc *grpc, struct tl_ctx *ctx, enum tl_lane lane, uint8_t byte,
		      uint64_t offset)
{
	struct tl_grpc_lane *me = &grpc->lane[lane];
	int value = tl_base64_digit(byte);

	if (byte == '\r' || byte == '\n')
		return;
	if (value < 0 && (byte != '=' || me->quad_len < 2)) {
		me->is_lost = true;
		return;
	}
	me->quad[me->quad_len++] = byte == '=' ? 0xff : (uint8_t)value;
	if (me->quad_len < 4)
		return;
	const uint8_t *q = me->quad;
	me->quad_len = 0;
	plain_byte(grpc, ctx, lane, (uint8_t)(q[0] << 2 | (q[1] & 63) >> 4), offset);
	if (q[2] != 0xff)
		plain_byte(grpc, ctx, lane, (uint8_t)((q[1] & 15) << 4 | q[2] >> 2), offset);
	if (q[3] != 0xff)
		plain_byte(grpc, ctx, lane, (uint8_t)((q[2] & 3) << 6 | q[3]), offset);
}

uint32_t tl_grpc_read(struct tl_grpc *grpc, struct tl_ctx *ctx, enum tl_lane lane,
		      struct tl_bytes bytes, uint64_t offset)
{
	struct tl_grpc_lane *me = &grpc->lane[lane];
	uint32_t at = 0;

	// Nearly always a whole head of a message lies in view.
	if (TL_LIKELY(bytes.len >= TL_GRPC_HEAD_BYTES && me->head_len == 0 && !me->in_trailers &&
		      me->kind != TL_GRPC_WEB_TEXT)) {
		if (!head_begins(grpc, ctx, lane, bytes.ptr[0], offset))
			return 1;
		head_ends(grpc, me, bytes.ptr);
		return TL_GRPC_HEAD_BYTES;
	}
	do {
		if (me->kind == TL_GRPC_WEB_TEXT)
			text_byte(grpc, ctx, lane, bytes.ptr[at], offset + at);
		else
			plain_byte(grpc, ctx, lane, bytes.ptr[at], offset + at);
		at++;
	} while (at < bytes.len && tl_grpc_skip(grpc, lane) == 0 && !me->is_lost);
	return at;
}

// ---- The end ---------------------------------------------------------------------------------

static struct tl_grpc_outcome outcome_of(uint32_t code)
{
	switch (code) {
	case GRPC_OK:
		return (struct tl_grpc_outcome) {.status = TL_STATUS_OK};
	case GRPC_CANCELLED:
		return (struct tl_grpc_outcome) {.status = TL_STATUS_CANCELLED};
	case GRPC_DEADLINE_EXCEEDED:
		return (struct tl_grpc_outcome) {TL_STATUS_TIMEOUT, TL_REASON_DEADLINE, false};
	case GRPC_UNKNOWN:
	case GRPC_UNIMPLEMENTED:
	case GRPC_INTERNAL:
	case GRPC_UNAVAILABLE:
	case GRPC_DATA_LOSS:
		return (struct tl_grpc_outcome) {.status = TL_STATUS_SERVER_ERROR};
	default:
		return (struct tl_grpc_outcome) {.status = TL_STATUS_CLIENT_ERROR};
	}
}

// doc/http-grpc-status-mapping.md.
static uint32_t code_of_http(uint32_t code)
{
	switch (code) {
	case 400:
		return GRPC_INTERNAL;
	case 401:
		return GRPC_UNAUTHENTICATED;
	case 403:
		return GRPC_PERMISSION_DENIED;
	case 404:
		return GRPC_UNIMPLEMENTED;
	case 429:
	case 502:
	case 503:
	case 504:
		return GRPC_UNAVAILABLE;
	default:
		return GRPC_UNKNOWN;
	}
}

struct tl_grpc_outcome tl_grpc_outcome(const struct tl_grpc *grpc, uint32_t code,
				       bool may_be_hidden)
{
	const struct tl_grpc_lane *response = &grpc->lane[TL_SERVER];

	if (grpc->has_status)
		return outcome_of(grpc->status);
	// In gRPC-Web it would stand in the body.
	may_be_hidden = may_be_hidden || grpc->hides_status ||
			(response->kind != TL_GRPC_NATIVE && response->has_missed);
	bool is_hidden = may_be_hidden && (code == 0 || code == 200);
	struct tl_grpc_outcome outcome = outcome_of(is_hidden ? GRPC_OK : code_of_http(code));
	outcome.is_estimated = true;
	return outcome;
}

// A deadline shows as a cancellation by the client at the time it had named. Its clock began a
// little before the first byte was sent.
struct tl_grpc_outcome tl_grpc_cancelled(const struct tl_grpc *grpc, uint64_t elapsed_ns)
{
	uint64_t tolerance = grpc->timeout_ns / 10;

	if (tolerance < 10 * MS)
		tolerance = 10 * MS;
	bool is_due = grpc->timeout_ns != 0 && elapsed_ns + tolerance >= grpc->timeout_ns;
	return outcome_of(is_due ? GRPC_DEADLINE_EXCEEDED : GRPC_CANCELLED);
}

static const char *call_type(const struct tl_grpc *grpc)
{
	bool many_sent = grpc->lane[TL_CLIENT].count > 1;
	bool many_received = grpc->lane[TL_SERVER].count > 1;

	if (many_sent)
		return many_received ? "bidi_stream" : "client_stream";
	return many_received ? "server_stream" : "unary";
}

void tl_grpc_end(struct tl_ctx *ctx, void *state, enum tl_lane lane, enum tl_end end, uint64_t offset)
{
	const struct tl_grpc *grpc = (const struct tl_grpc *)state;
	const struct tl_grpc_lane *me = &grpc->lane[lane];

	(void)end, (void)offset;
	struct tl_values values;
	tl_values_open(&values, ctx, lane);
	if (lane == TL_SERVER && grpc->has_status)
		tl_values_uint(&values, GRPC_FIELD_STATUS, grpc->status);
	if (lane == TL_SERVER && !me->has_missed && !grpc->lane[TL_CLIENT].has_missed)
		tl_values_text(&values, GRPC_FIELD_CALL_TYPE, TL_FIELD_BYTES_DEFAULT,
			       tl_bytes_of(call_type(grpc)));
	if (!me->has_missed) {
		tl_values_uint(&values, GRPC_FIELD_MESSAGES, me->count);
		tl_values_uint(&values, GRPC_FIELD_MESSAGE_BYTES, me->bytes);
	}
	if (!me->has_missed && me->count != 0) {
		tl_values_uint(&values, GRPC_FIELD_FIRST_MESSAGE, me->first_ns);
		tl_values_uint(&values, GRPC_FIELD_LAST_MESSAGE, me->last_ns);
	}
	tl_values_close(&values);
}
