// SPDX-License-Identifier: Apache-2.0
#include "l7/names.h"

#include "base/hash.h"

#define SLOTS (TL_NAMES_MAX * 2)

// The slot that has `text`, or a free one where it would go: one in two is free.
static struct tl_name *slot_of(struct tl_names *names, const char *text)
{
	uint64_t at = tl_hash64(text, strlen(text), 0);

	for (;; at++) {
		struct tl_name *name = &names->at[at % SLOTS];
		if (name->count == 0 || strcmp(name->text, text) == 0)
			return name;
	}
}

void tl_names_add(struct tl_names *names, const char *text, uint64_t n)
{
	char lower[TL_NAME_TEXT_MAX];
	uint32_t len = 0;

	for (; text[len] != '\0' && len + 1 < sizeof(lower); len++)
		lower[len] = (char)tl_ascii_lower((uint8_t)text[len]);
	lower[len] = '\0';
	if (len == 0 || n == 0)
		return;
	struct tl_name *name = slot_of(names, lower);
	if (name->count == 0) {
		if (names->used == TL_NAMES_MAX) {
			names->others += n;
			return;
		}
		names->used++;
		memcpy(name->text, lower, len + 1);
	}
	name->count += n;
}

void tl_names_merge(struct tl_names *to, const struct tl_names *from)
{
	for (uint32_t i = 0; i < SLOTS; i++)
		tl_names_add(to, from->at[i].text, from->at[i].count);
	to->others += from->others;
}

static bool is_before(const struct tl_name *a, const struct tl_name *b)
{
	return a->count != b->count ? a->count > b->count : strcmp(a->text, b->text) < 0;
}

uint32_t tl_names_top(const struct tl_names *names, const struct tl_name **ret_names, uint32_t max)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < SLOTS; i++) {
		const struct tl_name *name = &names->at[i];
		if (name->count == 0)
			continue;
		uint32_t at = count;
		while (at > 0 && is_before(name, ret_names[at - 1]))
			at--;
		if (at == max)
			continue;
		count += count < max;
		for (uint32_t k = count - 1; k > at; k--)
			ret_names[k] = ret_names[k - 1];
		ret_names[at] = name;
	}
	return count;
}
