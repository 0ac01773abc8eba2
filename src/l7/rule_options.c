// SPDX-License-Identifier: Apache-2.0
#include "l7/rule_options.h"

#include <errno.h>
#include <stdlib.h>

#define LIST_ITEMS_MAX 64u
#define BLOCKS_MAX 64u

struct tl_rule_options {
	void *values;
	void *blocks[BLOCKS_MAX]; // strings and lists that `values` points to
	uint32_t block_count;
};

static void *new_block(struct tl_rule_options *o, size_t size)
{
	if (o->block_count == BLOCKS_MAX)
		return NULL;
	void *block = calloc(1, size);
	if (block != NULL)
		o->blocks[o->block_count++] = block;
	return block;
}

static const struct {
	const char *unit;
	uint64_t factor;
} units[] = {
	{"", 1},
	{"B", 1},
	{"kB", 1000},
	{"MB", 1000000},
	{"GB", 1000000000},
	{"KiB", UINT64_C(1) << 10},
	{"MiB", UINT64_C(1) << 20},
	{"GiB", UINT64_C(1) << 30},
	{"ns", 1},
	{"us", 1000},
	{"ms", 1000000},
	{"s", UINT64_C(1000000000)},
	{"m", UINT64_C(60000000000)},
	{"h", UINT64_C(3600000000000)},
	{"d", UINT64_C(86400000000000)},
};

static int read_number(const char *text, uint64_t *ret_number)
{
	char *end;
	unsigned long long n = strtoull(text, &end, 10);

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (end != text && strcmp(end, units[i].unit) == 0) {
			*ret_number = n * units[i].factor;
			return 0;
		}
	return -EINVAL;
}

// "[a, b]": splits a copy of the text in place; gives the number of items.
static uint32_t split_list(char *text, char *ret_items[LIST_ITEMS_MAX])
{
	uint32_t count = 0;
	char *state = NULL;

	for (char *item = strtok_r(text, "[], ", &state); item != NULL && count < LIST_ITEMS_MAX;
	     item = strtok_r(NULL, "[], ", &state))
		ret_items[count++] = item;
	return count;
}

static int fill_list(struct tl_rule_options *o, const struct tl_option *row, uint8_t *member)
{
	char *items[LIST_ITEMS_MAX];
	size_t len = strlen(row->value) + 1;
	char *copy = new_block(o, len);

	if (copy == NULL)
		return -ENOMEM;
	memcpy(copy, row->value, len);
	uint32_t count = split_list(copy, items);
	if (row->type == TL_OPTION_TEXT_LIST) {
		struct tl_text_list list = {new_block(o, (count + 1) * sizeof(char *)), count};
		if (list.items == NULL)
			return -ENOMEM;
		memcpy(list.items, items, count * sizeof(char *));
		memcpy(member, &list, sizeof(list));
		return 0;
	}
	struct tl_uint_list list = {new_block(o, (count + 1) * sizeof(uint64_t)), count};
	if (list.items == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++)
		if (read_number(items[i], &list.items[i]) != 0)
			return -EINVAL;
	memcpy(member, &list, sizeof(list));
	return 0;
}

static int fill_choice(const struct tl_option *row, uint8_t *member)
{
	for (uint32_t i = 0; row->choices[i] != NULL; i++)
		if (strcmp(row->choices[i], row->value) == 0) {
			memcpy(member, &i, sizeof(i));
			return 0;
		}
	return -EINVAL;
}

static int fill_row(struct tl_rule_options *o, const struct tl_option *row)
{
	uint8_t *member = (uint8_t *)o->values + row->offset;
	const char *text = row->value != NULL ? row->value : "";
	uint64_t number;
	int err;

	switch ((enum tl_option_type)row->type) {
	case TL_OPTION_BOOL: {
		bool value = strcmp(text, "true") == 0;
		memcpy(member, &value, sizeof(value));
		return 0;
	}
	case TL_OPTION_UINT:
	case TL_OPTION_SIZE:
	case TL_OPTION_DURATION:
		err = read_number(text, &number);
		if (err == 0)
			memcpy(member, &number, sizeof(number));
		return err;
	case TL_OPTION_TEXT:
	case TL_OPTION_SECRET:
		text = strcmp(text, "\"\"") == 0 || strcmp(text, "''") == 0 ? "" : text;
		memcpy(member, &text, sizeof(text));
		return 0;
	case TL_OPTION_CHOICE:
		return fill_choice(row, member);
	case TL_OPTION_TEXT_LIST:
	case TL_OPTION_UINT_LIST:
		return row->value != NULL ? fill_list(o, row, member) : 0;
	case TL_OPTION_REAL_LIST:
	case TL_OPTION_TEXT_MAP:
	case TL_OPTION_SECRET_MAP:
	case TL_OPTION_TABLE:
	case TL_OPTION_SECTION:
		return 0;
	}
	return -EINVAL;
}

int tl_rule_options_create(const struct tl_decoder *decoder, struct tl_rule_options **ret_options)
{
	struct tl_rule_options *o = calloc(1, sizeof(*o));

	if (o == NULL)
		return -ENOMEM;
	o->values = new_block(o, decoder->options_size);
	int err = o->values != NULL ? 0 : -ENOMEM;
	for (const struct tl_option *row = decoder->options; err == 0 && row->key != NULL; row++)
		err = fill_row(o, row);
	if (err != 0) {
		tl_rule_options_destroy(o);
		return err;
	}
	*ret_options = o;
	return 0;
}

const void *tl_rule_options_get(const struct tl_rule_options *options)
{
	return options->values;
}

void tl_rule_options_destroy(struct tl_rule_options *options)
{
	if (options == NULL)
		return;
	for (uint32_t i = 0; i < options->block_count; i++)
		free(options->blocks[i]);
	free(options);
}
