// SPDX-License-Identifier: Apache-2.0
#include "config/load.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "config/expand.h"
#include "config/value.h"

#define ROWS_MAX 64u               // keys of a section considered as suggestions
#define SHOWN_BYTES 60             // of a wrong value in a message

struct loader {
	const char *file;
	struct tl_config_state *state;
	struct tl_config_errors *errors;
	bool no_memory;
	char key[TL_KEY_BYTES]; // dotted, of the node at hand
	uint32_t key_len;
};

static uint32_t push_key(struct loader *l, const char *part)
{
	uint32_t before = l->key_len;
	int len = snprintf(l->key + before, sizeof(l->key) - before, "%s%s",
			   before > 0 && *part != '[' ? "." : "", part);

	l->key_len = before + (uint32_t)(len > 0 ? len : 0);
	if (l->key_len >= sizeof(l->key))
		l->key_len = sizeof(l->key) - 1;
	return before;
}

static void pop_key(struct loader *l, uint32_t before)
{
	l->key_len = before;
	l->key[before] = '\0';
}

static void *take(struct loader *l, size_t size)
{
	void *piece = tl_arena_take(&l->state->arena, size);

	if (piece == NULL)
		l->no_memory = true;
	return piece;
}

static void wrong(struct loader *l, const struct tl_node *node, const char *should)
{
	if (node->kind == TL_NODE_SCALAR)
		tl_config_error(l->errors, l->file, node->line, l->key, "must be %s, not \"%.*s\"",
				should, SHOWN_BYTES, node->text);
	else
		tl_config_error(l->errors, l->file, node->line, l->key, "must be %s, not a %s",
				should, node->kind == TL_NODE_LIST ? "list" : "section");
}

static bool is_null(const struct tl_node *node)
{
	return node->kind == TL_NODE_SCALAR && !node->is_quoted &&
	       (*node->text == '\0' || strcmp(node->text, "~") == 0 ||
		strcmp(node->text, "null") == 0);
}

// The node's text with references to the environment replaced. NULL after an error.
static const char *expand(struct loader *l, const struct tl_node *node)
{
	char error[256];
	const char *text = NULL;
	int ret = tl_expand(&l->state->arena, node->text, &text, error, sizeof(error));

	if (ret == -ENOMEM)
		l->no_memory = true;
	else if (ret < 0)
		tl_config_error(l->errors, l->file, node->line, l->key, "%s", error);
	return text;
}

// ---- Scalars --------------------------------------------------------------------------------

static void out_of_range(struct loader *l, const struct tl_node *node, const struct tl_option *row)
{
	char low[TL_VALUE_TEXT_BYTES];
	char high[TL_VALUE_TEXT_BYTES];

	switch (row->type) {
	case TL_OPTION_SIZE:
		(void)tl_format_size(row->min, low);
		(void)tl_format_size(row->max, high);
		break;
	case TL_OPTION_DURATION:
		(void)tl_format_duration(row->min, low);
		(void)tl_format_duration(row->max, high);
		break;
	default:
		(void)snprintf(low, sizeof(low), "%" PRIu64, row->min);
		(void)snprintf(high, sizeof(high), "%" PRIu64, row->max);
	}
	if (row->max == 0)
		tl_config_error(l->errors, l->file, node->line, l->key,
				"%.*s is too small, must be at least %s", SHOWN_BYTES, node->text,
				low);
	else
		tl_config_error(l->errors, l->file, node->line, l->key,
				"%.*s is out of range, must be %s to %s", SHOWN_BYTES, node->text,
				low, high);
}

static void set_number(struct loader *l, const struct tl_option *row, const struct tl_node *node,
		       const char *text, uint64_t *ret)
{
	uint64_t number;

	switch (row->type) {
	case TL_OPTION_SIZE:
		if (!tl_parse_size(text, &number)) {
			wrong(l, node, "a size such as 4096, 64MiB or 10kB");
			return;
		}
		break;
	case TL_OPTION_DURATION:
		if (!tl_parse_duration(text, &number)) {
			uint64_t plain;
			wrong(l, node,
			      tl_parse_uint(text, &plain)
				      ? "a time with its unit, such as 30s, 100ms or 5m"
				      : "a time such as 30s, 100ms, 5m or 1h");
			return;
		}
		break;
	default:
		if (!tl_parse_uint(text, &number)) {
			wrong(l, node, "a whole number");
			return;
		}
	}
	if (number < row->min || (row->max != 0 && number > row->max))
		out_of_range(l, node, row);
	else
		*ret = number;
}

static void set_choice(struct loader *l, const struct tl_option *row, const struct tl_node *node,
		       const char *text, uint32_t *ret)
{
	char words[128] = "";
	uint32_t count = 0;

	for (; row->choices[count] != NULL; count++) {
		if (strcmp(row->choices[count], text) == 0) {
			*ret = count;
			return;
		}
		size_t len = strlen(words);
		const char *glue = count == 0 ? ""
				   : row->choices[count + 1] == NULL ? " or "
								     : ", ";
		(void)snprintf(words + len, sizeof(words) - len, "%s%s", glue, row->choices[count]);
	}
	wrong(l, node, words);
}

static void set_scalar(struct loader *l, const struct tl_option *row, const struct tl_node *node,
		       void *value)
{
	static const char *const expected[] = {
		[TL_OPTION_BOOL] = "true or false",
		[TL_OPTION_UINT] = "a whole number",
		[TL_OPTION_SIZE] = "a size such as 4096, 64MiB or 10kB",
		[TL_OPTION_DURATION] = "a time such as 30s, 100ms, 5m or 1h",
		[TL_OPTION_TEXT] = "a text",
		[TL_OPTION_SECRET] = "a text",
		[TL_OPTION_CHOICE] = "one word",
	};

	if (node->kind != TL_NODE_SCALAR) {
		wrong(l, node, expected[row->type]);
		return;
	}
	const char *text = expand(l, node);
	if (text == NULL)
		return;
	// From here on messages show the file's own text, never what the environment holds.
	switch (row->type) {
	case TL_OPTION_BOOL:
		if (!tl_parse_bool(text, (bool *)value))
			wrong(l, node, "true or false");
		break;
	case TL_OPTION_TEXT:
	case TL_OPTION_SECRET:
		*(const char **)value = text;
		break;
	case TL_OPTION_CHOICE:
		set_choice(l, row, node, text, (uint32_t *)value);
		break;
	default:
		set_number(l, row, node, text, (uint64_t *)value);
	}
}

// ---- Lists and maps of scalars --------------------------------------------------------------

static void set_real(struct loader *l, const struct tl_node *node, double *items, uint32_t index)
{
	const char *text = expand(l, node);

	if (text == NULL)
		return;
	if (!tl_parse_real(text, &items[index]))
		wrong(l, node, "a number");
	else if (index > 0 && items[index] <= items[index - 1])
		tl_config_error(l->errors, l->file, node->line, l->key,
				"%.*s is not above the number before it, must be ascending",
				SHOWN_BYTES, node->text);
}

static void set_list(struct loader *l, const struct tl_option *row, const struct tl_node *node,
		     void *value)
{
	struct tl_option item = *row;
	size_t item_size = sizeof(uint64_t);
	uint32_t index = 0;

	_Static_assert(sizeof(struct tl_text_list) == sizeof(struct tl_uint_list) &&
			       sizeof(struct tl_text_list) == sizeof(struct tl_real_list) &&
			       sizeof(const char *) == sizeof(uint64_t) &&
			       sizeof(double) == sizeof(uint64_t),
		       "the lists are filled alike");
	if (node->kind != TL_NODE_LIST) {
		wrong(l, node,
		      row->type == TL_OPTION_TEXT_LIST ? "a list such as [a, b]"
						       : "a list of numbers such as [80, 8080]");
		return;
	}
	unsigned char *items = (unsigned char *)take(l, node->count * item_size);
	if (items == NULL)
		return;
	item.type = row->type == TL_OPTION_TEXT_LIST ? TL_OPTION_TEXT : TL_OPTION_UINT;
	for (const struct tl_node *child = node->first; child != NULL; child = child->next) {
		char part[24];

		(void)snprintf(part, sizeof(part), "[%u]", index);
		uint32_t before = push_key(l, part);
		if (child->kind != TL_NODE_SCALAR || is_null(child))
			wrong(l, child, item.type == TL_OPTION_TEXT ? "a text" : "a number");
		else if (row->type == TL_OPTION_REAL_LIST)
			set_real(l, child, (double *)(void *)items, index);
		else
			set_scalar(l, &item, child, items + index * item_size);
		pop_key(l, before);
		index++;
	}
	*(struct tl_text_list *)value = (struct tl_text_list) {
		.items = (const char **)(void *)items,
		.count = index,
	};
}

static void report_repeated_keys(struct loader *l, const struct tl_node *map);

static void set_map(struct loader *l, const struct tl_option *row, const struct tl_node *node,
		    struct tl_text_map *value)
{
	const struct tl_option item = {.type = TL_OPTION_TEXT};
	uint32_t index = 0;

	(void)row;
	if (node->kind != TL_NODE_MAP) {
		wrong(l, node, "a section of names and texts");
		return;
	}
	report_repeated_keys(l, node);
	struct tl_text_pair *items =
		(struct tl_text_pair *)take(l, node->count * sizeof(struct tl_text_pair));
	if (items == NULL)
		return;
	for (const struct tl_node *child = node->first; child != NULL; child = child->next) {
		uint32_t before = push_key(l, child->key);

		items[index].key = child->key;
		items[index].value = "";
		set_scalar(l, &item, child, &items[index].value);
		pop_key(l, before);
		index++;
	}
	*value = (struct tl_text_map) {.items = items, .count = index};
}

// ---- Sections -------------------------------------------------------------------------------

static int by_key(const void *a, const void *b)
{
	const struct tl_node *x = *(const struct tl_node *const *)a;
	const struct tl_node *y = *(const struct tl_node *const *)b;
	int order = strcmp(x->key, y->key);

	return order != 0 ? order : (x->line > y->line) - (x->line < y->line);
}

static void report_repeated_keys(struct loader *l, const struct tl_node *map)
{
	uint32_t count = 0;

	if (map->count < 2)
		return;
	const struct tl_node **sorted =
		(const struct tl_node **)malloc(map->count * sizeof(*sorted));
	if (sorted == NULL) {
		l->no_memory = true;
		return;
	}
	for (const struct tl_node *child = map->first; child != NULL; child = child->next)
		sorted[count++] = child;
	qsort(sorted, count, sizeof(*sorted), by_key);
	for (uint32_t i = 1; i < count; i++)
		if (strcmp(sorted[i]->key, sorted[i - 1]->key) == 0) {
			uint32_t before = push_key(l, sorted[i]->key);
			tl_config_error(l->errors, l->file, sorted[i]->line, l->key,
					"given twice, first in line %u", sorted[i - 1]->line);
			pop_key(l, before);
		}
	free(sorted);
}

// The deepest keys below `node` that were packetd's get their new place; true if there were any.
static bool report_packetd(struct loader *l, const struct tl_node *node)
{
	const char *hint = tl_packetd_hint(l->key);
	bool found = hint != NULL;

	if (hint != NULL) {
		tl_config_error(l->errors, l->file, node->line, l->key, "packetd's key; here: %s",
				hint);
		return true;
	}
	if (node->kind == TL_NODE_SCALAR)
		return false;
	for (const struct tl_node *child = node->first; child != NULL; child = child->next) {
		// The entries of a list share its key, without an index.
		uint32_t before = child->key != NULL ? push_key(l, child->key) : l->key_len;
		found = report_packetd(l, child) || found;
		pop_key(l, before);
	}
	return found;
}

static void report_unknown(struct loader *l, const struct tl_option *rows,
			   const struct tl_node *node)
{
	const char *words[ROWS_MAX];
	uint32_t count = 0;
	const char *absent = tl_absent_feature(l->key);

	if (absent != NULL) {
		tl_config_error(l->errors, l->file, node->line, l->key, "%s", absent);
		return;
	}
	if (report_packetd(l, node))
		return;
	for (; rows[count].key != NULL && count < ROWS_MAX; count++)
		words[count] = rows[count].key;
	const char *nearest = tl_nearest(node->key, words, count);
	if (nearest != NULL)
		tl_config_error(l->errors, l->file, node->line, l->key,
				"unknown key, did you mean %s?", nearest);
	else if (strchr(node->key, '.') != NULL)
		tl_config_error(l->errors, l->file, node->line, l->key,
				"unknown key; sections are nested, not dotted");
	else
		tl_config_error(l->errors, l->file, node->line, l->key,
				"unknown key; `tapline config` prints those there are");
}

static void remember(struct loader *l, uint32_t line)
{
	struct tl_config_state *state = l->state;

	if (state->given_count == state->given_max) {
		uint32_t max = state->given_max * 2 + 64;
		struct tl_given *given = (struct tl_given *)take(l, max * sizeof(*given));

		if (given == NULL)
			return;
		if (state->given_count > 0)
			memcpy(given, state->given, state->given_count * sizeof(*given));
		state->given = given;
		state->given_max = max;
	}
	const char *key = tl_arena_text(&state->arena, l->key, l->key_len);
	if (key == NULL)
		l->no_memory = true;
	else
		state->given[state->given_count++] = (struct tl_given) {.key = key, .line = line};
}

static void set_value(struct loader *l, const struct tl_option *row, const struct tl_node *node,
		      unsigned char *base);
static void set_defaults(struct loader *l, const struct tl_option *rows, unsigned char *base);

static void set_section(struct loader *l, const struct tl_option *rows, const struct tl_node *node,
			unsigned char *base)
{
	if (is_null(node))
		return;
	if (node->kind != TL_NODE_MAP) {
		wrong(l, node, "a section");
		return;
	}
	report_repeated_keys(l, node);
	for (const struct tl_node *child = node->first; child != NULL; child = child->next) {
		uint32_t before = push_key(l, child->key);
		const struct tl_option *row = rows;

		while (row->key != NULL && strcmp(row->key, child->key) != 0)
			row++;
		if (row->key == NULL)
			report_unknown(l, rows, child);
		else
			set_value(l, row, child, base);
		pop_key(l, before);
	}
}

static void check_required(struct loader *l, const struct tl_option *rows,
			   const struct tl_node *node)
{
	for (; rows->key != NULL; rows++) {
		const struct tl_node *child = node->first;

		if (!rows->required)
			continue;
		while (child != NULL && strcmp(child->key, rows->key) != 0)
			child = child->next;
		if (child == NULL || is_null(child))
			tl_config_error(l->errors, l->file, node->line, l->key, "%s is missing",
					rows->key);
	}
}

static void set_table(struct loader *l, const struct tl_option *row, const struct tl_node *node,
		      struct tl_option_table *value)
{
	uint32_t index = 0;

	if (node->kind != TL_NODE_LIST) {
		wrong(l, node, "a list of entries, each \"- key: value\"");
		return;
	}
	unsigned char *items = (unsigned char *)take(l, (size_t)node->count * row->item_size);
	if (items == NULL)
		return;
	for (const struct tl_node *child = node->first; child != NULL; child = child->next) {
		char part[24];

		(void)snprintf(part, sizeof(part), "[%u]", index);
		uint32_t before = push_key(l, part);
		unsigned char *item = items + (size_t)index * row->item_size;
		set_defaults(l, row->rows, item);
		remember(l, child->line);
		set_section(l, row->rows, child, item);
		if (child->kind == TL_NODE_MAP)
			check_required(l, row->rows, child);
		pop_key(l, before);
		index++;
	}
	*value = (struct tl_option_table) {.items = items, .count = index};
}

static void set_value(struct loader *l, const struct tl_option *row, const struct tl_node *node,
		      unsigned char *base)
{
	void *value = base + row->offset;

	if (is_null(node)) // the key alone: its default
		return;
	remember(l, node->line);
	switch (row->type) {
	case TL_OPTION_TEXT_LIST:
	case TL_OPTION_UINT_LIST:
	case TL_OPTION_REAL_LIST:
		set_list(l, row, node, value);
		break;
	case TL_OPTION_TEXT_MAP:
	case TL_OPTION_SECRET_MAP:
		set_map(l, row, node, (struct tl_text_map *)value);
		break;
	case TL_OPTION_TABLE:
		set_table(l, row, node, (struct tl_option_table *)value);
		break;
	case TL_OPTION_SECTION:
		set_section(l, row->rows, node, (unsigned char *)value);
		break;
	default:
		set_scalar(l, row, node, value);
	}
}

// ---- Defaults -------------------------------------------------------------------------------

// A row's default that isn't a plain word.
static void set_default_tree(struct loader *l, const struct tl_option *row, unsigned char *base)
{
	struct tl_node *node = NULL;
	int ret = tl_node_parse("default", row->value, strlen(row->value), &l->state->arena, &node,
				l->errors);

	if (ret == -ENOMEM)
		l->no_memory = true;
	else if (ret == 0 && node != NULL)
		set_value(l, row, node, base);
}

static void set_defaults(struct loader *l, const struct tl_option *rows, unsigned char *base)
{
	for (; rows->key != NULL; rows++) {
		uint32_t before = push_key(l, rows->key);
		const char *value = rows->value != NULL ? rows->value : "";

		if (rows->type == TL_OPTION_SECTION) {
			set_defaults(l, rows->rows, base + rows->offset);
		} else if (rows->type == TL_OPTION_TEXT || rows->type == TL_OPTION_SECRET) {
			bool quoted = strcmp(value, "\"\"") == 0 || strcmp(value, "''") == 0;
			*(const char **)(void *)(base + rows->offset) = quoted ? "" : value;
		} else if (rows->type < TL_OPTION_TEXT_LIST) {
			struct tl_node node = {.kind = TL_NODE_SCALAR, .text = value};
			if (*value != '\0')
				set_scalar(l, rows, &node, base + rows->offset);
		} else if (*value != '\0' && strcmp(value, "[]") != 0 && strcmp(value, "{}") != 0) {
			set_default_tree(l, rows, base);
		}
		pop_key(l, before);
	}
}

int tl_config_fill(struct tl_config_state *state, const char *file, const struct tl_node *root,
		   struct tl_config *config, struct tl_config_errors *errors)
{
	struct loader l = {.file = file, .state = state, .errors = errors};

	if (root == NULL)
		set_defaults(&l, state->schema.rows, (unsigned char *)config);
	else
		set_section(&l, state->schema.rows, root, (unsigned char *)config);
	return l.no_memory ? -ENOMEM : 0;
}
