// SPDX-License-Identifier: Apache-2.0
#include "hpack.h"

#include "base/check.h"
#include "huffman_table.h"
#include "static_table.h"

#include <stddef.h>

#define NUMBER_MAX (1u << 28) // no index, length or size comes near
#define HUFFMAN_SHORTEST 5u
#define HUFFMAN_LONGEST 30u
#define HUFFMAN_EOS 256u
#define FIRST_DYNAMIC (HPACK_STATIC_COUNT + 1u)
#define PSEUDO_HEADERS_MAX 5u // of a request, RFC 9113 section 8.3.1 and RFC 8441

enum phase {
	AT_FIELD,
	IN_NUMBER,     // of the first byte: an index or a size
	AT_NAME,
	IN_NAME_LEN,
	IN_NAME,
	AT_VALUE,
	IN_VALUE_LEN,
	IN_VALUE,
};

enum kind { INDEXED, INSERTED, PLAIN, RESIZED };

_Static_assert(TL_COUNT_OF(static_table) == HPACK_STATIC_COUNT + 1, "the table counts from 1");

void tl_hpack_init(struct hpack *hpack, bool late)
{
	memset(hpack, 0, offsetof(struct hpack, entries));
	hpack->max = HPACK_TABLE_DEFAULT;
	hpack->max_known = !late;
	hpack->incomplete = late;
}

void tl_hpack_rejoin(struct hpack *hpack)
{
	tl_hpack_init(hpack, true);
}

// ---- The dynamic table ----------------------------------------------------------------------

static uint32_t entry_size(const struct hpack_entry *entry)
{
	return entry->name_len + entry->value_len + HPACK_ENTRY_OVERHEAD;
}

// Bytes of the arena that it takes.
static uint32_t entry_bytes(const struct hpack_entry *entry)
{
	return (entry->static_name != 0 ? 0u : entry->name_kept) + entry->value_kept;
}

static void drop_oldest(struct hpack *hpack)
{
	const struct hpack_entry *entry = &hpack->entries[hpack->first];

	hpack->size -= entry_size(entry);
	hpack->used = (uint16_t)(hpack->used - entry_bytes(entry));
	hpack->first = (uint16_t)((hpack->first + 1u) % HPACK_ENTRIES_MAX);
	hpack->count--;
}

static void evict(struct hpack *hpack, uint32_t room)
{
	while (hpack->count != 0 && hpack->size > room)
		drop_oldest(hpack);
}

static void arena_add(struct hpack *hpack, const uint8_t *bytes, uint32_t len)
{
	uint32_t first = HPACK_ARENA_BYTES - hpack->head;

	if (first > len)
		first = len;
	memcpy(hpack->arena + hpack->head, bytes, first);
	memcpy(hpack->arena, bytes + first, len - first);
	hpack->head = (uint16_t)((hpack->head + len) % HPACK_ARENA_BYTES);
	hpack->used = (uint16_t)(hpack->used + len);
}

__attribute__((noinline)) static struct tl_bytes
put_together(const struct hpack *hpack, uint32_t at, uint32_t len, uint8_t *scratch)
{
	uint32_t first = HPACK_ARENA_BYTES - at;

	memcpy(scratch, hpack->arena + at, first);
	memcpy(scratch + first, hpack->arena, len - first);
	return tl_bytes(scratch, len);
}

// `len` bytes of the arena; put together in `scratch` where they lie across its end.
static inline struct tl_bytes arena_view(const struct hpack *hpack, uint32_t at, uint32_t len,
					 uint8_t *scratch)
{
	at %= HPACK_ARENA_BYTES;
	if (TL_LIKELY(at + len <= HPACK_ARENA_BYTES))
		return tl_bytes(hpack->arena + at, len);
	return put_together(hpack, at, len, scratch);
}

// Enters the field that was just read. `unknown` names have no size: what is summed up is then
// less than the peers have, and evicts later than they do.
static void insert(struct hpack *hpack)
{
	struct hpack_entry entry = {
		.name_len = hpack->name_len,
		.value_len = hpack->value_len,
		.name_kept = hpack->name_kept,
		.value_kept = hpack->value_kept,
		.static_name = hpack->static_name,
		.flags = hpack->flags,
		.tag = hpack->tag,
	};
	uint32_t size = entry_size(&entry);
	uint32_t bytes = entry_bytes(&entry);

	if (hpack->max_known)
		evict(hpack, hpack->max > size ? hpack->max - size : 0);
	if (hpack->max_known ? size > hpack->max : size > HPACK_TABLE_DEFAULT) {
		// It empties the table. Where its size isn't known, the entry may be there or not:
		// what can't be told begins anew, with the entries that follow.
		hpack->incomplete = hpack->incomplete || !hpack->max_known;
		evict(hpack, 0);
		return;
	}
	while (hpack->count == HPACK_ENTRIES_MAX || hpack->used + bytes > HPACK_ARENA_BYTES) {
		hpack->incomplete = true;
		drop_oldest(hpack);
	}
	entry.at = hpack->head;
	arena_add(hpack, hpack->name, bytes - entry.value_kept);
	arena_add(hpack, hpack->value, entry.value_kept);
	hpack->entries[(hpack->first + hpack->count) % HPACK_ENTRIES_MAX] = entry;
	hpack->count++;
	hpack->size += size;
}

// The entry that is `back` ones before the next: 1 is the newest.
static inline const struct hpack_entry *entry_at(const struct hpack *hpack, uint32_t back)
{
	return &hpack->entries[(hpack->first + hpack->count - back) % HPACK_ENTRIES_MAX];
}

static inline void show_row(uint32_t index, struct hpack_field *ret)
{
	ret->name = static_table[index].name;
	ret->value = static_table[index].value;
	ret->name_len = ret->name.len;
	ret->value_len = ret->value.len;
	ret->flags = 0;
	ret->tag = static_table[index].tag;
}

// No literal is held meanwhile: its buffers may take what lies across the arena's end.
static inline void show_entry(struct hpack *hpack, const struct hpack_entry *entry,
			      struct hpack_field *ret, bool with_name)
{
	uint32_t at = entry->at;

	if (!with_name)
		ret->name = tl_bytes(NULL, 0);
	else if (entry->static_name != 0)
		ret->name = static_table[entry->static_name].name;
	else
		ret->name = arena_view(hpack, at, entry->name_kept, hpack->name);
	if (entry->static_name == 0)
		at += entry->name_kept;
	ret->value = arena_view(hpack, at, entry->value_kept, hpack->value);
	ret->name_len = entry->name_len;
	ret->value_len = entry->value_len;
	ret->flags = entry->flags;
	ret->tag = entry->tag;
}

// The field at `index`; false if there can't be one.
static bool look_up(struct hpack *hpack, uint32_t index, struct hpack_field *ret)
{
	if (index <= HPACK_STATIC_COUNT) {
		show_row(index, ret);
		return index != 0;
	}
	uint32_t back = index - HPACK_STATIC_COUNT;
	if (back > hpack->count) {
		*ret = (struct hpack_field) {.flags = HPACK_NAME_UNKNOWN | HPACK_VALUE_UNKNOWN};
		return hpack->incomplete;
	}
	show_entry(hpack, entry_at(hpack, back), ret, true);
	return true;
}

// ---- Representations ------------------------------------------------------------------------

static struct tl_bytes name_of(const struct hpack *hpack)
{
	return hpack->static_name != 0 ? static_table[hpack->static_name].name
				       : tl_bytes(hpack->name, hpack->name_kept);
}

static void show(const struct hpack *hpack, const struct hpack_field *field, tl_hpack_fn *fn, void *arg)
{
	if (!hpack->only_tagged || field->tag != HTTP2_NAME_OTHER ||
	    (field->flags & HPACK_ANY_UNKNOWN) != 0)
		fn(arg, field);
}

static void literal_done(struct hpack *hpack, tl_hpack_fn *fn, void *arg)
{
	const struct hpack_field field = {
		.name = name_of(hpack),
		.value = tl_bytes(hpack->value, hpack->value_kept),
		.name_len = hpack->name_len,
		.value_len = hpack->value_len,
		.flags = hpack->flags,
		.tag = hpack->tag,
	};

	show(hpack, &field, fn, arg);
	if (hpack->kind == INSERTED)
		insert(hpack);
	hpack->phase = AT_FIELD;
}

// A literal's name by index: it is copied, for the entry may go when the new one comes.
static bool name_by_index(struct hpack *hpack, uint32_t index)
{
	struct hpack_field field;

	if (!look_up(hpack, index, &field))
		return false;
	hpack->tag = field.tag;
	hpack->static_name = index <= HPACK_STATIC_COUNT ? (uint8_t)index : 0;
	hpack->name_len = field.name_len;
	hpack->flags = (uint8_t)(field.flags & (HPACK_NAME_UNKNOWN | HPACK_NAME_CUT));
	hpack->name_kept = (uint8_t)field.name.len;
	if (hpack->static_name == 0 && field.name.len != 0)
		memmove(hpack->name, field.name.ptr, field.name.len);
	hpack->phase = AT_VALUE;
	return true;
}

// The number of the first byte is complete.
static bool number_done(struct hpack *hpack, tl_hpack_fn *fn, void *arg)
{
	struct hpack_field field;

	switch ((enum kind)hpack->kind) {
	case INDEXED:
		if (!look_up(hpack, hpack->number, &field))
			return false;
		hpack->phase = AT_FIELD;
		show(hpack, &field, fn, arg);
		return true;
	case RESIZED:
		hpack->max = hpack->number;
		hpack->max_known = true;
		evict(hpack, hpack->max);
		hpack->phase = AT_FIELD;
		return true;
	case INSERTED:
	case PLAIN:
		break;
	}
	if (hpack->number != 0)
		return name_by_index(hpack, hpack->number);
	hpack->static_name = 0;
	hpack->flags = 0;
	hpack->tag = HTTP2_NAME_OTHER;
	hpack->phase = AT_NAME;
	return true;
}

// A string's length is complete.
static bool string_begins(struct hpack *hpack, bool is_name)
{
	if (hpack->number > HPACK_STRING_MAX)
		return false;
	hpack->left = hpack->number;
	hpack->bits = 0;
	hpack->bit_count = 0;
	if (is_name) {
		hpack->name_len = 0;
		hpack->name_kept = 0;
		hpack->phase = IN_NAME;
	} else {
		hpack->value_len = 0;
		hpack->value_kept = 0;
		hpack->phase = IN_VALUE;
	}
	return true;
}

// The first byte of a number with `width` bits; true when it is complete.
static bool number_begins(struct hpack *hpack, uint8_t byte, uint32_t width)
{
	uint32_t mask = (1u << width) - 1;

	hpack->number = byte & mask;
	hpack->shift = 0;
	return hpack->number != mask;
}

enum more { BAD, MORE, DONE };

static enum more number_goes_on(struct hpack *hpack, uint8_t byte)
{
	if (hpack->shift > 21)
		return BAD;
	hpack->number += (uint32_t)(byte & 0x7f) << hpack->shift;
	hpack->shift = (uint8_t)(hpack->shift + 7);
	if (hpack->number > NUMBER_MAX)
		return BAD;
	return (byte & 0x80) != 0 ? MORE : DONE;
}

static bool field_begins(struct hpack *hpack, uint8_t byte, tl_hpack_fn *fn, void *arg)
{
	uint32_t width;

	if ((byte & 0x80) != 0) {
		hpack->kind = INDEXED;
		width = 7;
	} else if ((byte & 0x40) != 0) {
		hpack->kind = INSERTED;
		width = 6;
	} else if ((byte & 0x20) != 0) {
		hpack->kind = RESIZED;
		width = 5;
	} else {
		hpack->kind = PLAIN;
		width = 4;
	}
	if (hpack->kind == RESIZED && hpack->begun)
		return false; // RFC 7541 section 4.2: only at the beginning of a block
	hpack->begun = hpack->kind != RESIZED;
	if (number_begins(hpack, byte, width))
		return number_done(hpack, fn, arg);
	hpack->phase = IN_NUMBER;
	return true;
}

// ---- Strings --------------------------------------------------------------------------------

// The string being read, cut at its limit.
struct sink {
	uint8_t *bytes;
	uint32_t kept;
	uint32_t max;
	uint32_t len;
};

static struct sink sink_of(struct hpack *hpack)
{
	if (hpack->phase == IN_NAME)
		return (struct sink) {hpack->name, hpack->name_kept, HPACK_NAME_MAX,
				      hpack->name_len};
	return (struct sink) {hpack->value, hpack->value_kept, HPACK_VALUE_MAX, hpack->value_len};
}

static void sink_back(struct hpack *hpack, const struct sink *sink)
{
	if (hpack->phase == IN_NAME) {
		hpack->name_kept = (uint8_t)sink->kept;
		hpack->name_len = sink->len;
	} else {
		hpack->value_kept = (uint16_t)sink->kept;
		hpack->value_len = sink->len;
	}
}

static void put_plain(struct sink *sink, struct tl_bytes bytes)
{
	uint32_t room = sink->max - sink->kept;
	uint32_t len = bytes.len < room ? bytes.len : room;

	if (len != 0)
		memcpy(sink->bytes + sink->kept, bytes.ptr, len);
	sink->kept += len;
	sink->len += bytes.len;
}

// A code longer than eight bits at the top of `window`: its symbol, and its length in *ret_length.
__attribute__((noinline)) static uint32_t long_symbol(uint32_t window, uint32_t *ret_length)
{
	uint32_t length = 9;

	while (length < HUFFMAN_LONGEST && window >= huffman_limit[length])
		length++;
	*ret_length = length;
	return huffman_symbols[huffman_index[length] + (window >> (32 - length)) -
			       huffman_first[length]];
}

static inline void put_symbol(struct sink *sink, uint32_t symbol)
{
	if (TL_LIKELY(sink->kept < sink->max))
		sink->bytes[sink->kept++] = (uint8_t)symbol;
	sink->len++;
}

// Fills the bits up, at least to 57 where there are so many bytes.
static inline void take_bits(struct tl_bytes *bytes, uint64_t *bits, uint32_t *count)
{
	if (TL_LIKELY(bytes->len >= sizeof(*bits))) {
		uint32_t len = (63 - *count) >> 3;
		*bits |= tl_load_be64(bytes->ptr) >> *count;
		*count += len * 8;
		*bits &= ~UINT64_C(0) << (64 - *count);
		*bytes = tl_bytes(bytes->ptr + len, bytes->len - len);
		return;
	}
	for (; bytes->len != 0 && *count <= 56; *count += 8) {
		*bits |= (uint64_t)bytes->ptr[0] << (56 - *count);
		*bytes = tl_bytes(bytes->ptr + 1, bytes->len - 1);
	}
}

// False at the end-of-string symbol, which no string may hold.
static bool put_huffman(struct hpack *hpack, struct sink *to, struct tl_bytes bytes)
{
	uint64_t bits = hpack->bits;
	uint32_t count = hpack->bit_count;
	struct sink sink = *to;
	uint32_t length;

	do {
		take_bits(&bytes, &bits, &count);
		while (count >= HUFFMAN_SHORTEST) { // zeros stand for what is to come
			uint32_t symbol = huffman_short[bits >> 56];
			length = huffman_short_length[bits >> 56];
			if (TL_UNLIKELY(length == 0))
				symbol = long_symbol((uint32_t)(bits >> 32), &length);
			if (length > count)
				break;
			if (TL_UNLIKELY(symbol == HUFFMAN_EOS))
				return false;
			bits <<= length;
			count -= length;
			put_symbol(&sink, symbol);
		}
	} while (bytes.len != 0);
	*to = sink;
	hpack->bits = bits;
	hpack->bit_count = (uint8_t)count;
	return true;
}

// Takes what there is of the string; false when it is no string.
static bool string_goes_on(struct hpack *hpack, struct tl_bytes bytes)
{
	struct sink sink = sink_of(hpack);

	hpack->left -= bytes.len;
	if (!hpack->huffman)
		put_plain(&sink, bytes);
	else if (!put_huffman(hpack, &sink, bytes))
		return false;
	sink_back(hpack, &sink);
	if (hpack->left != 0)
		return true;
	if (sink.kept < sink.len)
		hpack->flags |= hpack->phase == IN_NAME ? HPACK_NAME_CUT : HPACK_VALUE_CUT;
	// Padding: less than a byte, the beginning of the end-of-string symbol, which is all ones.
	return !hpack->huffman ||
	       (hpack->bit_count < 8 && hpack->bits >> 56 == (0xff00u >> hpack->bit_count & 0xff));
}

static bool string_done(struct hpack *hpack, tl_hpack_fn *fn, void *arg)
{
	if (hpack->phase == IN_NAME) {
		hpack->phase = AT_VALUE;
		hpack->tag = (uint8_t)tl_http2_name(tl_bytes(hpack->name, hpack->name_kept));
	} else {
		literal_done(hpack, fn, arg);
	}
	return true;
}

// ---- Blocks ---------------------------------------------------------------------------------

// One byte outside of a string.
static bool read_byte(struct hpack *hpack, uint8_t byte, tl_hpack_fn *fn, void *arg)
{
	bool is_name = hpack->phase == AT_NAME || hpack->phase == IN_NAME_LEN;
	enum more more;

	switch ((enum phase)hpack->phase) {
	case AT_FIELD:
		return field_begins(hpack, byte, fn, arg);
	case IN_NUMBER:
		more = number_goes_on(hpack, byte);
		return more == DONE ? number_done(hpack, fn, arg) : more == MORE;
	case AT_NAME:
	case AT_VALUE:
		hpack->huffman = (byte & 0x80) != 0;
		more = number_begins(hpack, byte, 7) ? DONE : MORE;
		hpack->phase = is_name ? IN_NAME_LEN : IN_VALUE_LEN;
		break;
	case IN_NAME_LEN:
	case IN_VALUE_LEN:
		more = number_goes_on(hpack, byte);
		break;
	case IN_NAME:
	case IN_VALUE:
	default:
		return false;
	}
	if (more != DONE)
		return more == MORE;
	if (!string_begins(hpack, is_name))
		return false;
	return hpack->left != 0 || string_done(hpack, fn, arg);
}

// Reads fields that are an index in one byte, as most are. Gives what comes behind; NULL when one
// can't be. The table stays as it is meanwhile.
static const uint8_t *read_indices(struct hpack *hpack, const uint8_t *at, const uint8_t *end,
				   tl_hpack_fn *fn, void *arg)
{
	const bool only_tagged = hpack->only_tagged;
	const uint32_t count = hpack->count;
	const uint8_t *begin = at;
	struct hpack_field field;

	for (; at != end && *at > 0x80 && *at < 0xff; at++) {
		uint32_t index = *at - 0x80u;
		if (index <= HPACK_STATIC_COUNT) {
			if (only_tagged && static_table[index].tag == HTTP2_NAME_OTHER)
				continue;
			show_row(index, &field);
		} else if (TL_LIKELY(index - HPACK_STATIC_COUNT <= count)) {
			const struct hpack_entry *entry = entry_at(hpack, index - HPACK_STATIC_COUNT);
			if (only_tagged && entry->tag == HTTP2_NAME_OTHER &&
			    (entry->flags & HPACK_ANY_UNKNOWN) == 0)
				continue;
			show_entry(hpack, entry, &field, !only_tagged);
		} else if (!look_up(hpack, index, &field)) {
			return NULL;
		}
		fn(arg, &field);
	}
	hpack->begun = hpack->begun || at != begin;
	return at;
}

bool tl_hpack_read(struct hpack *hpack, struct tl_bytes fragment, tl_hpack_fn *fn, void *arg)
{
	if (fragment.len == 0) // and nowhere
		return true;
	const uint8_t *at = fragment.ptr;
	const uint8_t *end = at + fragment.len;
	while (at != end) {
		if (hpack->phase == IN_NAME || hpack->phase == IN_VALUE) {
			struct tl_bytes part =
				tl_bytes_first(tl_bytes(at, (uint32_t)(end - at)), hpack->left);
			if (!string_goes_on(hpack, part))
				return false;
			at += part.len;
			if (hpack->left == 0)
				(void)string_done(hpack, fn, arg);
			continue;
		}
		if (hpack->phase == AT_FIELD) {
			at = read_indices(hpack, at, end, fn, arg);
			if (at == NULL || at == end)
				return at != NULL;
		}
		if (!read_byte(hpack, *at++, fn, arg))
			return false;
	}
	return true;
}

bool tl_hpack_end(struct hpack *hpack)
{
	bool is_whole = hpack->phase == AT_FIELD;

	hpack->begun = false;
	hpack->phase = AT_FIELD;
	return is_whole;
}

bool tl_hpack_looks_like_begin(struct tl_bytes block, bool request)
{
	uint32_t at = 0;

	// Pseudo-headers come first, but who joins late can't tell those by a dynamic index.
	while (at < block.len && at < PSEUDO_HEADERS_MAX && block.ptr[at] >= 0x80 + FIRST_DYNAMIC &&
	       block.ptr[at] != 0xff)
		at++;
	if (at >= block.len)
		return false;
	uint8_t byte = block.ptr[at];
	if (at == 0 && byte >= 0x20 && byte < 0x40) // a size update; more than a byte is rare
		return block.len > 1 && (byte == 0x20 || byte == 0x3f);
	uint32_t index = (byte & 0x80) != 0   ? byte & 0x7fu
			 : (byte & 0x40) != 0 ? byte & 0x3fu
					      : byte & 0x0fu;
	return request ? index >= 1 && index <= 7 : index >= 8 && index <= 14;
}
