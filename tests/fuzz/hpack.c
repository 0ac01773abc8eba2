// SPDX-License-Identifier: Apache-2.0
// Header blocks for one table. Input: a byte of options, then pieces: a byte of what happens (below),
// a length (one byte), the bytes. Three tables read them: as they come, byte by byte, and showing only
// names that mean something. They agree in all that they show, and none outgrows its limits.
#include "fuzz.h"

#include "base/hash.h"
#include "protocols/http2/hpack.h"

enum { PIECE_ENDS = 1u << 0, PIECE_LOST = 1u << 1 };

struct reader {
	struct hpack table;
	uint64_t hash;        // of all fields shown
	uint64_t tagged_hash; // of those with a tag, without their names
	bool is_good;
};

static uint64_t hash_bytes(uint64_t hash, struct tl_bytes bytes)
{
	for (uint32_t i = 0; i < bytes.len; i++)
		hash = tl_hash_mix(hash + 1, bytes.ptr[i]);
	return tl_hash_mix(hash, bytes.len);
}

static void take(void *arg, const struct hpack_field *field)
{
	struct reader *reader = (struct reader *)arg;
	bool has_tag = field->tag != HTTP2_NAME_OTHER || (field->flags & HPACK_ANY_UNKNOWN) != 0;

	FUZZ_CHECK(field->name.len <= HPACK_NAME_MAX && field->value.len <= HPACK_VALUE_MAX);
	FUZZ_CHECK((field->flags & HPACK_VALUE_UNKNOWN) != 0 || field->value.len <= field->value_len);
	FUZZ_CHECK(((field->flags & HPACK_VALUE_CUT) != 0) == (field->value.len < field->value_len));
	FUZZ_CHECK(!reader->table.only_tagged || has_tag);
	if (!reader->table.only_tagged && (field->flags & HPACK_NAME_UNKNOWN) == 0)
		FUZZ_CHECK(field->tag == tl_http2_name(field->name));
	reader->hash = hash_bytes(reader->hash + field->flags, field->name);
	reader->hash = hash_bytes(reader->hash, field->value);
	if (has_tag)
		reader->tagged_hash = hash_bytes(reader->tagged_hash + field->tag, field->value);
}

static void check_table(const struct hpack *table)
{
	uint64_t size = 0;
	uint32_t used = 0;

	FUZZ_CHECK(table->count <= HPACK_ENTRIES_MAX && table->used <= HPACK_ARENA_BYTES);
	for (uint32_t i = 0; i < table->count; i++) {
		const struct hpack_entry *entry =
			&table->entries[(table->first + i) % HPACK_ENTRIES_MAX];
		size += (uint64_t)entry->name_len + entry->value_len + HPACK_ENTRY_OVERHEAD;
		used += entry->value_kept + (entry->static_name != 0 ? 0u : entry->name_kept);
		FUZZ_CHECK(entry->static_name <= HPACK_STATIC_COUNT);
	}
	FUZZ_CHECK(size == table->size && used == table->used);
	FUZZ_CHECK(!table->max_known || table->size <= table->max);
}

static void read_piece(struct reader *reader, struct tl_bytes bytes, uint32_t step, bool ends)
{
	bool is_good = true;

	for (uint32_t at = 0; at < bytes.len && is_good; at += step)
		is_good = tl_hpack_read(&reader->table,
					tl_bytes_first(tl_bytes_from(bytes, at), step), take, reader);
	reader->is_good = is_good && (!ends || tl_hpack_end(&reader->table));
	if (!reader->is_good)
		tl_hpack_rejoin(&reader->table);
	check_table(&reader->table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct reader whole, bytewise, brief;
	struct reader *const readers[] = {&whole, &bytewise, &brief};

	if (size < 1 || size > UINT16_MAX)
		return 0;
	for (int i = 0; i < 3; i++) {
		readers[i]->hash = readers[i]->tagged_hash = 0;
		tl_hpack_init(&readers[i]->table, (data[0] & 1) != 0);
	}
	for (size_t at = 1; size - at >= 2;) {
		uint8_t what = data[at];
		uint32_t len = data[at + 1];
		at += 2;
		if (len > size - at)
			len = (uint32_t)(size - at);
		struct tl_bytes bytes = tl_bytes(data + at, len);
		at += len;
		for (int i = 0; i < 3; i++) {
			if ((what & PIECE_LOST) != 0)
				tl_hpack_rejoin(&readers[i]->table);
			readers[i]->table.only_tagged = readers[i] == &brief;
			read_piece(readers[i], bytes, readers[i] == &bytewise || len == 0 ? 1 : len,
				   (what & PIECE_ENDS) != 0);
		}
		FUZZ_CHECK(whole.is_good == bytewise.is_good && whole.is_good == brief.is_good);
		FUZZ_CHECK(whole.hash == bytewise.hash && whole.tagged_hash == brief.tagged_hash);
		FUZZ_CHECK(whole.table.size == bytewise.table.size);
		FUZZ_CHECK(whole.table.size == brief.table.size);
	}
	return 0;
}
