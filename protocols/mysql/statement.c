// SPDX-License-Identifier: Apache-2.0
#include "statement.h"

// Entries lie one after another, oldest first: a head, the summary, the text.
struct head {
	uint64_t digest;
	uint32_t id;
	uint32_t key;
	uint32_t text_full;
	uint32_t used;     // clock of its latest use
	uint16_t text_len;
	uint8_t summary_len;
	uint8_t has_id;
	uint32_t reserved;
};
_Static_assert(sizeof(struct head) == 32, "padding");

#define STATEMENTS_MAX (MYSQL_STATEMENT_BYTES / (uint32_t)sizeof(struct head)) // bounds every walk
#define NONE UINT32_MAX // no entry
_Static_assert(sizeof(struct head) + MYSQL_STATEMENT_TEXT_MAX + MYSQL_STATEMENT_SUMMARY_MAX <=
		       MYSQL_STATEMENT_BYTES, "no room for one");
_Static_assert(MYSQL_STATEMENT_BYTES < UINT16_MAX, "an offset is a hint");

static bool read_head(const struct mysql_statements *s, uint32_t at, struct head *ret)
{
	if (at + sizeof(*ret) > s->used)
		return false;
	memcpy(ret, s->bytes + at, sizeof(*ret));
	return true;
}

static uint32_t size_of(const struct head *head)
{
	return (uint32_t)sizeof(*head) + head->summary_len + head->text_len;
}

static void remove_at(struct mysql_statements *s, uint32_t at, uint32_t size)
{
	memmove(s->bytes + at, s->bytes + at + size, s->used - at - size);
	s->used -= size;
	memset(s->hints, 0, sizeof(s->hints));
}

// The entry not used for longest.
static uint32_t find_oldest(const struct mysql_statements *s, struct head *ret)
{
	uint32_t oldest = NONE;
	struct head head;

	for (uint32_t at = 0; read_head(s, at, &head); at += size_of(&head))
		if (oldest == NONE || (int32_t)(head.used - ret->used) < 0) {
			oldest = at;
			*ret = head;
		}
	return oldest;
}

uint32_t tl_mysql_statement_add(struct mysql_statements *s, uint32_t key, const struct tl_sql *sql,
				struct tl_bytes text)
{
	struct tl_bytes summary = tl_sql_summary(sql);
	struct tl_bytes kept = tl_bytes_cut(text, MYSQL_STATEMENT_TEXT_MAX);
	struct head head = {
		.digest = sql->digest, .key = key, .text_full = sql->text_full, .used = s->clock++};
	uint32_t evicted = 0;

	if (summary.len > MYSQL_STATEMENT_SUMMARY_MAX)
		summary.len = 0;
	head.text_len = (uint16_t)kept.len;
	head.summary_len = (uint8_t)summary.len;
	for (uint32_t i = 0; i < STATEMENTS_MAX; i++) {
		struct head oldest = {0};
		if (s->used + size_of(&head) <= MYSQL_STATEMENT_BYTES)
			break;
		uint32_t at = find_oldest(s, &oldest);
		if (at == NONE)
			break;
		remove_at(s, at, size_of(&oldest));
		evicted++;
	}
	uint8_t *to = s->bytes + s->used;
	memcpy(to, &head, sizeof(head));
	if (summary.len != 0)
		memcpy(to + sizeof(head), summary.ptr, summary.len);
	if (kept.len != 0)
		memcpy(to + sizeof(head) + summary.len, kept.ptr, kept.len);
	s->used += size_of(&head);
	return evicted;
}

void tl_mysql_statement_name(struct mysql_statements *s, uint32_t key, uint32_t id)
{
	struct head head;

	for (uint32_t at = 0; read_head(s, at, &head); at += size_of(&head))
		if (head.has_id == 0 && head.key == key) {
			head.has_id = 1;
			head.id = id;
			memcpy(s->bytes + at, &head, sizeof(head));
			return;
		}
}

static uint32_t find(struct mysql_statements *s, uint32_t id, struct head *ret)
{
	uint16_t *hint = &s->hints[id % MYSQL_STATEMENT_HINTS];

	// Hints are forgotten when entries move: where one points an entry begins.
	if (*hint != 0 && read_head(s, *hint - 1u, ret) && ret->has_id != 0 && ret->id == id)
		return *hint - 1u;
	for (uint32_t at = 0; read_head(s, at, ret); at += size_of(ret))
		if (ret->has_id != 0 && ret->id == id) {
			*hint = (uint16_t)(at + 1);
			return at;
		}
	return NONE;
}

// Entries lie in the order in which they were prepared.
static uint32_t find_last(const struct mysql_statements *s, struct head *ret)
{
	uint32_t last = NONE;
	struct head head;

	for (uint32_t at = 0; read_head(s, at, &head); at += size_of(&head)) {
		last = at;
		*ret = head;
	}
	return last;
}

bool tl_mysql_statement_find(struct mysql_statements *s, uint32_t id, struct mysql_statement *ret)
{
	struct head head = {0};
	uint32_t at = id == MYSQL_STATEMENT_LAST ? find_last(s, &head) : find(s, id, &head);

	if (at == NONE)
		return false;
	const uint8_t *bytes = s->bytes + at + sizeof(head);
	head.used = s->clock++;
	memcpy(s->bytes + at, &head, sizeof(head));
	ret->digest = head.digest;
	ret->summary = tl_bytes(bytes, head.summary_len);
	ret->text = tl_bytes(bytes + head.summary_len, head.text_len);
	ret->text_full = head.text_full;
	return true;
}

void tl_mysql_statement_close(struct mysql_statements *s, uint32_t id)
{
	struct head head;
	uint32_t at = find(s, id, &head);

	if (at != NONE)
		remove_at(s, at, size_of(&head));
}

void tl_mysql_statement_clear(struct mysql_statements *s)
{
	s->used = 0;
	memset(s->hints, 0, sizeof(s->hints));
}

static void forget(struct mysql_statements *s, uint32_t key, bool all)
{
	struct head head;

	for (uint32_t at = 0; read_head(s, at, &head);)
		if (head.has_id == 0 && (all || head.key == key))
			remove_at(s, at, size_of(&head));
		else
			at += size_of(&head);
}

void tl_mysql_statement_forget(struct mysql_statements *s, uint32_t key)
{
	forget(s, key, false);
}

void tl_mysql_statement_forget_unnamed(struct mysql_statements *s)
{
	forget(s, 0, true);
}
