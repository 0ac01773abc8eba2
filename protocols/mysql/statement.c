// SPDX-License-Identifier: Apache-2.0
#include "statement.h"

// Entries lie one after another, oldest first: a head, the summary, the text.
struct head {
	uint64_t digest;
	uint32_t id;
	uint32_t key;
	uint32_t text_full;
	uint8_t text_len;
	uint8_t summary_len;
	uint8_t has_id;
	uint8_t reserved;
};
_Static_assert(sizeof(struct head) == 24, "padding");

#define STATEMENTS_MAX (MYSQL_STATEMENT_BYTES / (uint32_t)sizeof(struct head)) // bounds every walk
_Static_assert(sizeof(struct head) + MYSQL_STATEMENT_TEXT_MAX + MYSQL_STATEMENT_SUMMARY_MAX <=
		       MYSQL_STATEMENT_BYTES, "no room for one");

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
	s->used = (uint16_t)(s->used - size);
	s->count--;
}

uint32_t tl_mysql_statement_add(struct mysql_statements *s, uint32_t key, const struct tl_sql *sql,
				struct tl_bytes text)
{
	struct tl_bytes summary = tl_sql_summary(sql);
	struct tl_bytes kept = tl_bytes_first(text, MYSQL_STATEMENT_TEXT_MAX);
	struct head head = {.digest = sql->digest, .key = key, .text_full = text.len};
	uint32_t evicted = 0;

	if (summary.len > MYSQL_STATEMENT_SUMMARY_MAX)
		summary.len = 0;
	head.text_len = (uint8_t)kept.len;
	head.summary_len = (uint8_t)summary.len;
	for (uint32_t i = 0; i < STATEMENTS_MAX; i++) {
		struct head oldest;
		if (s->used + size_of(&head) <= MYSQL_STATEMENT_BYTES ||
		    !read_head(s, 0, &oldest))
			break;
		remove_at(s, 0, size_of(&oldest));
		evicted++;
	}
	uint8_t *to = s->bytes + s->used;
	memcpy(to, &head, sizeof(head));
	if (summary.len != 0)
		memcpy(to + sizeof(head), summary.ptr, summary.len);
	if (kept.len != 0)
		memcpy(to + sizeof(head) + summary.len, kept.ptr, kept.len);
	s->used = (uint16_t)(s->used + size_of(&head));
	s->count++;
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

bool tl_mysql_statement_find(const struct mysql_statements *s, uint32_t id,
			     struct mysql_statement *ret)
{
	struct head head;
	bool found = false;

	for (uint32_t at = 0; read_head(s, at, &head); at += size_of(&head)) {
		bool fits = id == MYSQL_STATEMENT_LAST || (head.has_id != 0 && head.id == id);
		if (!fits)
			continue;
		const uint8_t *bytes = s->bytes + at + sizeof(head);
		ret->digest = head.digest;
		ret->summary = tl_bytes(bytes, head.summary_len);
		ret->text = tl_bytes(bytes + head.summary_len, head.text_len);
		ret->text_len = head.text_full;
		found = true;
	}
	return found;
}

void tl_mysql_statement_close(struct mysql_statements *s, uint32_t id)
{
	struct head head;

	for (uint32_t at = 0; read_head(s, at, &head); at += size_of(&head))
		if (head.has_id != 0 && head.id == id) {
			remove_at(s, at, size_of(&head));
			return;
		}
}

void tl_mysql_statement_forget(struct mysql_statements *s, uint32_t key, bool all)
{
	struct head head;

	for (uint32_t at = 0; read_head(s, at, &head);)
		if (head.has_id == 0 && (all || head.key == key))
			remove_at(s, at, size_of(&head));
		else
			at += size_of(&head);
}
