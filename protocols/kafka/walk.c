// SPDX-License-Identifier: Apache-2.0
// Each function below reads one thing at `r->at` and either takes all of it or nothing: then it
// says how many bytes it wants to see, and is called again.
#include "walk.h"

#define VARINT_BYTES_MAX 5u
#define VARLONG_BYTES_MAX 10u
#define RECORD_HEAD_MAX (VARINT_BYTES_MAX + 1u + VARLONG_BYTES_MAX + 2u * VARINT_BYTES_MAX)
#define BATCH_LEAST 17u        // offset, length, 4 more bytes, format: the same in all formats
#define OLD_MESSAGE_LEAST 26u  // formats 0 and 1
#define ATTRIBUTE_CODEC 0x07u
#define ATTRIBUTE_CONTROL 0x20u

struct reader {
	struct kafka_walk *walk;
	const struct kafka_sink *sink;
	struct tl_bytes view;
	uint32_t at;
	uint32_t need;
	uint64_t skip;
	bool is_bad;
};

const struct kafka_variant *tl_kafka_variant(const struct kafka_variant variants[KAFKA_VARIANTS],
					     uint32_t version)
{
	for (uint32_t i = 0; i < KAFKA_VARIANTS; i++)
		if (variants[i].first != 0 && version >= variants[i].from &&
		    version <= variants[i].to)
			return &variants[i];
	return NULL;
}

void tl_kafka_walk_begin(struct kafka_walk *walk, const struct kafka_variant *variant,
			 uint32_t version, bool has_tags, uint64_t left)
{
	*walk = (struct kafka_walk) {
		.left = left,
		.row = variant->first,
		.version = (uint8_t)version,
		.phase = has_tags ? KAFKA_PHASE_TAGS : KAFKA_PHASE_ROW,
		.in_header = has_tags,
		.is_flexible = version >= variant->flexible,
	};
}

// ---- Bytes ----------------------------------------------------------------------------------

static uint32_t seen(const struct reader *r)
{
	return r->view.len - r->at;
}

static bool bad(struct reader *r)
{
	r->is_bad = true;
	return false;
}

// True when the next `len` bytes are in view.
static bool has(struct reader *r, uint32_t len)
{
	if (len > r->walk->left)
		return bad(r);
	if (len > seen(r)) {
		r->need = len;
		return false;
	}
	return true;
}

static void advance(struct reader *r, uint32_t len)
{
	r->at += len;
	r->walk->left -= len;
}

// Passes by `len` bytes that belong to the message, in view or not.
static bool pass(struct reader *r, uint64_t len)
{
	if (len > r->walk->left)
		return bad(r);
	r->walk->left -= len;
	if (len <= seen(r)) {
		r->at += (uint32_t)len;
	} else {
		r->skip = len - seen(r);
		r->at = r->view.len;
	}
	return true;
}

// Nearly all lengths and counts are of one byte. False: this one isn't, or is not in view.
static inline bool short_varint(const struct reader *r, uint32_t *ret_value)
{
	if (r->at >= r->view.len || r->walk->left == 0)
		return false;
	*ret_value = r->view.ptr[r->at];
	return *ret_value < 0x80;
}

// An unsigned varint at `from` bytes behind the position. False: bad, or more is needed.
static bool varint(struct reader *r, uint32_t from, uint32_t *ret_value, uint32_t *ret_len)
{
	uint64_t value = 0;

	for (uint32_t i = 0; i < VARINT_BYTES_MAX; i++) {
		if (!has(r, from + i + 1))
			return false;
		uint8_t byte = r->view.ptr[r->at + from + i];
		value |= (uint64_t)(byte & 0x7f) << (7 * i);
		if ((byte & 0x80) == 0) {
			*ret_value = (uint32_t)value;
			*ret_len = i + 1;
			return value <= UINT32_MAX || bad(r);
		}
	}
	return bad(r);
}

// The length of a text (width 2), a blob or an array (4): compact where the message is flexible.
// Null counts as empty.
static bool length(struct reader *r, uint32_t width, uint32_t *ret_len, uint32_t *ret_head)
{
	uint32_t value;

	if (r->walk->is_flexible) {
		if (short_varint(r, &value))
			*ret_head = 1;
		else if (!varint(r, 0, &value, ret_head))
			return false;
		*ret_len = value == 0 ? 0 : value - 1;
		return true;
	}
	if (!has(r, width))
		return false;
	*ret_head = width;
	const uint8_t *p = r->view.ptr + r->at;
	uint32_t raw = width == 2 ? tl_load_be16(p) : tl_load_be32(p);
	uint32_t sign = width == 2 ? 0x8000u : 0x80000000u;
	uint32_t null = width == 2 ? 0xffffu : UINT32_MAX;
	if ((raw & sign) != 0 && raw != null)
		return bad(r);
	*ret_len = raw == null ? 0 : raw;
	return true;
}

// ---- Values ---------------------------------------------------------------------------------

static int64_t number_of(const uint8_t *p, uint32_t size)
{
	switch (size) {
	case 1:
		return (int8_t)p[0];
	case 2:
		return (int16_t)tl_load_be16(p);
	case 4:
		return (int32_t)tl_load_be32(p);
	default:
		return (int64_t)tl_load_be64(p);
	}
}

static bool read_fixed(struct reader *r, const struct kafka_op *op)
{
	if (op->use == KAFKA_USE_NONE || (r->sink == NULL && op->use != KAFKA_USE_ACKS))
		return pass(r, op->size);
	if (!has(r, op->size))
		return false;
	const uint8_t *p = r->view.ptr + r->at;
	if (r->sink == NULL) {
		advance(r, op->size);
		return (uint64_t)(number_of(p, op->size) + 1) <= 2 || bad(r); // -1, 0, 1
	}
	if (op->size == 16)
		r->sink->id(r->sink->self, p);
	else
		r->sink->number(r->sink->self, op->use, r->walk->depth, number_of(p, op->size));
	advance(r, op->size);
	return true;
}

// Without a sink bytes are to be told from others: texts have no control characters.
static bool read_as_text(struct reader *r, uint32_t head, uint32_t len)
{
	struct tl_bytes text = tl_bytes_first(tl_bytes_from(r->view, r->at + head), len);

	for (uint32_t i = 0; i < text.len; i++)
		if (text.ptr[i] < 0x20)
			return bad(r);
	return pass(r, (uint64_t)head + len);
}

static bool read_string(struct reader *r, uint8_t use)
{
	uint32_t len, head;

	if (!length(r, 2, &len, &head))
		return false;
	if (r->sink == NULL)
		return read_as_text(r, head, len);
	if (use == KAFKA_USE_NONE || len == 0)
		return pass(r, (uint64_t)head + len);
	if ((uint64_t)head + len > r->walk->left)
		return bad(r);
	uint32_t shown = len < KAFKA_TEXT_BYTES_MAX ? len : KAFKA_TEXT_BYTES_MAX;
	if (!has(r, head + shown))
		return false;
	advance(r, head);
	r->sink->text(r->sink->self, use, tl_bytes(r->view.ptr + r->at, shown));
	return pass(r, len);
}

static bool read_blob(struct reader *r, uint8_t use)
{
	uint32_t len, head;

	if (!length(r, 4, &len, &head))
		return false;
	if ((uint64_t)head + len > r->walk->left)
		return bad(r);
	if (use != KAFKA_USE_RECORDS || r->sink == NULL)
		return pass(r, (uint64_t)head + len);
	advance(r, head);
	r->sink->records(r->sink->self, len);
	r->walk->records = len;
	r->walk->phase = KAFKA_PHASE_BATCH;
	return true;
}

// ---- Records --------------------------------------------------------------------------------

// Passes by bytes of the records, and of the batch where one is read.
static bool pass_records(struct reader *r, uint32_t len)
{
	r->walk->records -= len;
	r->walk->batch -= len < r->walk->batch ? len : r->walk->batch;
	r->walk->record -= len < r->walk->record ? len : r->walk->record;
	return pass(r, len);
}

// The rest of the batch is of no use.
static bool leave_batch(struct reader *r)
{
	r->walk->phase = KAFKA_PHASE_BATCH;
	return pass_records(r, r->walk->batch);
}

static void old_message(struct reader *r, const uint8_t *p)
{
	uint8_t codec = p[BATCH_LEAST] & ATTRIBUTE_CODEC;
	struct kafka_batch batch = {
		.records = codec == 0,
		.is_counted = codec == 0, // else it wraps an unknown number
		.compression = codec,
	};
	r->sink->batch(r->sink->self, &batch);
}

// Records end in the middle of a batch where an answer had no more room: that one doesn't count.
static bool read_batch(struct reader *r)
{
	struct kafka_walk *walk = r->walk;

	if (walk->records == 0) {
		walk->phase = KAFKA_PHASE_ROW;
		return true;
	}
	if (walk->records < OLD_MESSAGE_LEAST)
		return pass_records(r, walk->records);
	if (!has(r, BATCH_LEAST + 1))
		return false;
	const uint8_t *p = r->view.ptr + r->at;
	uint8_t format = p[BATCH_LEAST - 1];
	uint64_t len = 12 + (uint64_t)tl_load_be32(p + 8);
	uint32_t least = format < 2 ? OLD_MESSAGE_LEAST : KAFKA_BATCH_HEAD;
	if (len > walk->records || len < least || format > 2)
		return pass_records(r, walk->records);
	walk->batch = (uint32_t)len;
	if (format < 2) {
		old_message(r, p);
		return pass_records(r, (uint32_t)len);
	}
	if (!has(r, KAFKA_BATCH_HEAD))
		return false;
	struct kafka_batch batch = {
		.records = tl_load_be32(p + 57),
		.is_counted = true,
		.compression = p[22] & ATTRIBUTE_CODEC,
		.is_control = (p[22] & ATTRIBUTE_CONTROL) != 0,
	};
	r->sink->batch(r->sink->self, &batch);
	if (!walk->wants_trace || batch.compression != 0 || batch.is_control || batch.records == 0)
		return pass_records(r, (uint32_t)len);
	walk->wants_trace = false;
	walk->phase = KAFKA_PHASE_RECORD;
	return pass_records(r, KAFKA_BATCH_HEAD);
}

// A signed varint of a record. What is not one gives `failed`, as does running out of bytes.
static int64_t zigzag(struct tl_cursor *c)
{
	uint64_t value = 0;

	for (uint32_t i = 0; i < VARLONG_BYTES_MAX; i++) {
		uint8_t byte = tl_cursor_u8(c);
		value |= (uint64_t)(byte & 0x7f) << (7 * i);
		if ((byte & 0x80) == 0)
			return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
	}
	c->failed = true;
	return 0;
}

static uint32_t at_most(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

// What stands before the key of the first record, and the key itself.
static bool read_record(struct reader *r)
{
	struct kafka_walk *walk = r->walk;
	uint32_t want = at_most(RECORD_HEAD_MAX, walk->batch);

	if (!has(r, want))
		return false;
	struct tl_cursor c = tl_cursor(tl_bytes(r->view.ptr + r->at, want));
	int64_t len = zigzag(&c);
	uint32_t head = c.at;
	(void)tl_cursor_u8(&c);
	(void)zigzag(&c); // time
	(void)zigzag(&c); // offset
	int64_t key = zigzag(&c);
	key = key < 0 ? 0 : key; // -1: null
	if (c.failed || len < 0 || len > (int64_t)walk->batch - head ||
	    key > (int64_t)walk->batch - c.at || c.at - head + key > len)
		return leave_batch(r);
	walk->record = head + (uint32_t)len;
	walk->phase = KAFKA_PHASE_VALUE;
	return pass_records(r, c.at + (uint32_t)key);
}

static bool read_value(struct reader *r)
{
	struct kafka_walk *walk = r->walk;
	uint32_t want = at_most(VARINT_BYTES_MAX, walk->record);

	if (!has(r, want))
		return false;
	struct tl_cursor c = tl_cursor(tl_bytes(r->view.ptr + r->at, want));
	int64_t len = zigzag(&c);
	len = len < 0 ? 0 : len;
	if (c.failed || len > (int64_t)walk->record - c.at)
		return leave_batch(r);
	walk->phase = KAFKA_PHASE_HEADERS;
	return pass_records(r, c.at + (uint32_t)len);
}

static bool read_headers(struct reader *r)
{
	struct kafka_walk *walk = r->walk;
	uint32_t want = at_most(KAFKA_HEADERS_BYTES_MAX, walk->record);

	if (!has(r, want))
		return false;
	struct tl_cursor c = tl_cursor(tl_bytes(r->view.ptr + r->at, want));
	int64_t count = zigzag(&c);
	for (uint32_t i = 0; i < KAFKA_HEADERS_MAX && i < count && !c.failed; i++) {
		int64_t len = zigzag(&c);
		struct tl_bytes name = tl_cursor_take(&c, len < 0 ? UINT32_MAX : (uint64_t)len);
		len = zigzag(&c);
		struct tl_bytes value = tl_cursor_take(&c, len < 0 ? 0 : (uint64_t)len);
		if (!c.failed)
			r->sink->header(r->sink->self, name, value);
	}
	return leave_batch(r);
}

// ---- Rows -----------------------------------------------------------------------------------

static void enter(struct reader *r, uint32_t elements)
{
	struct kafka_walk *walk = r->walk;

	walk->frames[walk->depth++] = (struct kafka_frame) {.left = elements, .row = walk->row};
	walk->row++;
	if (r->sink != NULL)
		r->sink->element(r->sink->self, walk->depth);
}

static bool read_array(struct reader *r, const struct kafka_op *op)
{
	uint32_t count, head;

	if (!length(r, 4, &count, &head))
		return false;
	// No element is without a byte.
	if (count > r->walk->left)
		return bad(r);
	advance(r, head);
	if (op->kind == KAFKA_ARRAY) {
		if (count == 0)
			r->walk->row = op->next;
		else
			enter(r, count);
		return true;
	}
	if (op->kind == KAFKA_NUMBERS && (op->use == KAFKA_USE_NONE || r->sink == NULL)) {
		r->walk->row++;
		return pass(r, (uint64_t)count * op->size);
	}
	r->walk->count = count;
	r->walk->phase = KAFKA_PHASE_ELEMENTS;
	return true;
}

static bool read_struct(struct reader *r, const struct kafka_op *op)
{
	if (r->walk->version >= op->null_from) {
		if (!has(r, 1))
			return false;
		bool is_null = (r->view.ptr[r->at] & 0x80) != 0;
		advance(r, 1);
		if (is_null) {
			r->walk->row = op->next;
			return true;
		}
	}
	enter(r, 1);
	return true;
}

static bool read_element(struct reader *r, const struct kafka_op *op)
{
	struct kafka_walk *walk = r->walk;

	if (walk->count == 0) {
		walk->phase = KAFKA_PHASE_ROW;
		walk->row++;
		return true;
	}
	if (op->kind == KAFKA_NUMBERS ? !read_fixed(r, op)
	    : op->kind == KAFKA_STRINGS ? !read_string(r, op->use)
					: !read_blob(r, KAFKA_USE_NONE))
		return false;
	walk->count--;
	return true;
}

// Behind the last row of a structure, and its tags: the next element, or what follows.
static void leave(struct reader *r)
{
	struct kafka_walk *walk = r->walk;

	walk->phase = KAFKA_PHASE_ROW;
	if (walk->in_header) {
		walk->in_header = false;
		return;
	}
	if (walk->depth == 0) { // of the message
		walk->row = 0;
		return;
	}
	struct kafka_frame *frame = &walk->frames[walk->depth - 1];
	if (--frame->left != 0) {
		walk->row = (uint16_t)(frame->row + 1);
		if (r->sink != NULL)
			r->sink->element(r->sink->self, walk->depth);
		return;
	}
	walk->row = tl_kafka_ops[frame->row].next;
	walk->depth--;
}

static bool read_tags(struct reader *r)
{
	struct kafka_walk *walk = r->walk;
	uint32_t count, len;

	walk->phase = KAFKA_PHASE_TAGS;
	if (!varint(r, 0, &count, &len))
		return false;
	if (count > walk->left)
		return bad(r);
	advance(r, len);
	walk->count = count;
	walk->phase = KAFKA_PHASE_TAGGED;
	if (count == 0)
		leave(r);
	return true;
}

static bool read_end(struct reader *r)
{
	uint32_t count;

	if (r->walk->is_flexible) {
		if (!short_varint(r, &count) || count != 0)
			return read_tags(r);
		advance(r, 1);
	}
	leave(r);
	return true;
}

static bool read_tagged(struct reader *r)
{
	uint32_t tag, size, tag_len, size_len;

	if (r->walk->count == 0) {
		leave(r);
		return true;
	}
	if (!varint(r, 0, &tag, &tag_len) || !varint(r, tag_len, &size, &size_len))
		return false;
	if ((uint64_t)tag_len + size_len + size > r->walk->left)
		return bad(r);
	r->walk->count--;
	return pass(r, (uint64_t)tag_len + size_len + size);
}

// Rows of other versions are passed by.
static const struct kafka_op *row_of(struct kafka_walk *walk)
{
	const struct kafka_op *op = &tl_kafka_ops[walk->row];

	while (op->kind != KAFKA_END && (walk->version < op->from || walk->version > op->to)) {
		walk->row = op->next != 0 ? op->next : (uint16_t)(walk->row + 1);
		op = &tl_kafka_ops[walk->row];
	}
	return op;
}

static bool read_row(struct reader *r, const struct kafka_op *op)
{
	switch ((enum kafka_kind)op->kind) {
	case KAFKA_FIXED:
		if (!read_fixed(r, op))
			return false;
		break;
	case KAFKA_STRING:
		if (!read_string(r, op->use))
			return false;
		break;
	case KAFKA_BLOB:
		if (!read_blob(r, op->use))
			return false;
		break;
	case KAFKA_STOP:
		break;
	case KAFKA_STRUCT:
		return read_struct(r, op);
	case KAFKA_END:
		return read_end(r);
	default:
		return read_array(r, op);
	}
	r->walk->row++;
	return true;
}

static bool read_next(struct reader *r)
{
	switch ((enum kafka_phase)r->walk->phase) {
	case KAFKA_PHASE_ROW:
		break;
	case KAFKA_PHASE_ELEMENTS:
		return read_element(r, &tl_kafka_ops[r->walk->row]);
	case KAFKA_PHASE_TAGS:
		return read_tags(r);
	case KAFKA_PHASE_TAGGED:
		return read_tagged(r);
	case KAFKA_PHASE_BATCH:
		return read_batch(r);
	case KAFKA_PHASE_RECORD:
		return read_record(r);
	case KAFKA_PHASE_VALUE:
		return read_value(r);
	case KAFKA_PHASE_HEADERS:
		return read_headers(r);
	}
	return bad(r);
}

// Reads one thing; *ret_kind says when that was all.
static bool walk_on(struct reader *r, enum kafka_walked *ret_kind)
{
	if (r->walk->phase != KAFKA_PHASE_ROW)
		return read_next(r);
	if (r->walk->row == 0) {
		*ret_kind = r->walk->left == 0 ? KAFKA_WALK_DONE : KAFKA_WALK_BAD;
		return true;
	}
	const struct kafka_op *op = row_of(r->walk);
	if (op->kind == KAFKA_STOP && r->sink != NULL) {
		*ret_kind = KAFKA_WALK_STOP;
		return true;
	}
	return read_row(r, op);
}

struct kafka_result tl_kafka_walk(struct kafka_walk *walk, const struct kafka_sink *sink,
				  struct tl_bytes view)
{
	struct reader r = {.walk = walk, .sink = sink, .view = view};
	struct kafka_result result = {.kind = KAFKA_WALK_PAUSE};

	for (uint32_t i = 0; i < KAFKA_OPS_PER_CALL && result.kind == KAFKA_WALK_PAUSE; i++) {
		if (!walk_on(&r, &result.kind))
			result.kind = r.is_bad ? KAFKA_WALK_BAD : KAFKA_WALK_MORE;
		else if (r.skip != 0)
			result.kind = KAFKA_WALK_SKIP;
	}
	// So many rows without a byte are none of Kafka's.
	if (result.kind == KAFKA_WALK_PAUSE && r.at == 0)
		result.kind = KAFKA_WALK_BAD;
	result.ate = r.at;
	result.need = r.need;
	result.skip = r.skip;
	return result;
}
