// SPDX-License-Identifier: Apache-2.0
// From rows and structs back to YAML: the reference, the effective configuration, the differences
// between two.
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "base/text.h"
#include "config/schema.h"
#include "config/value.h"

#define MASK "******"
#define HELP_COLUMNS 96u
#define REAL_DIGITS 15 // every decimal a person writes comes back as written

// ---- Values as flow text --------------------------------------------------------------------

static bool is_plain(const char *text)
{
	static const char *const words[] = {"true", "false", "yes", "no", "on", "off", "null"};

	if (*text == '\0' || strchr("0123456789-.~", *text) != NULL)
		return false;
	for (size_t i = 0; i < TL_COUNT_OF(words); i++)
		if (strcasecmp(text, words[i]) == 0)
			return false;
	return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./") ==
	       strlen(text);
}

// Characters that YAML does not take as they are, or reads as line breaks: bytes of UTF-8 and the
// escape that stands for them. C0 and DEL are handled by their number.
struct escape {
	const char *bytes;
	const char *text;
};

static const struct escape escapes[] = {
	{"\"", "\\\""},
	{"\\", "\\\\"},
	{"${", "$${"}, // what was "$${" in the file must become that again
	{"\xe2\x80\xa8", "\\u2028"},
	{"\xe2\x80\xa9", "\\u2029"},
	{"\xef\xbb\xbf", "\\ufeff"},
	{"\xef\xbf\xbe", "\\ufffe"},
	{"\xef\xbf\xbf", "\\uffff"},
};

// Prints the character at `at`, returns the bytes it took.
static size_t print_character(FILE *out, const char *at)
{
	unsigned char c = (unsigned char)*at;
	unsigned char next = (unsigned char)at[1];

	for (size_t i = 0; i < TL_COUNT_OF(escapes); i++)
		if (strncmp(at, escapes[i].bytes, strlen(escapes[i].bytes)) == 0) {
			(void)fputs(escapes[i].text, out);
			return strlen(escapes[i].bytes);
		}
	if (c < 0x20 || c == 0x7f) {
		(void)fprintf(out, "\\x%02x", c);
		return 1;
	}
	if (c == 0xc2 && next < 0xa0) { // C1
		(void)fprintf(out, "\\x%02x", next);
		return 2;
	}
	(void)fputc(c, out);
	return 1;
}

static void print_text(FILE *out, const char *text)
{
	struct tl_text valid = {0};

	if (is_plain(text)) {
		(void)fputs(text, out);
		return;
	}
	// The environment may have given bytes that aren't UTF-8.
	tl_text_utf8(&valid, tl_bytes_of(text), false);
	(void)fputc('"', out);
	for (size_t at = 0; at < valid.len;)
		at += print_character(out, valid.data + at);
	(void)fputc('"', out);
	tl_text_free(&valid);
}

static bool is_secret_name(const char *name)
{
	static const char *const words[] = {"authorization", "cookie", "token", "secret",
					    "password",	     "key",    "auth"};

	for (size_t i = 0; i < TL_COUNT_OF(words); i++)
		if (strcasestr(name, words[i]) != NULL)
			return true;
	return false;
}

// The password of "https://user:password@host" and the values of "https://host/?token=..." have no
// row of their own.
static void print_masked(FILE *out, const char *text)
{
	const char *scheme = strstr(text, "://");
	const char *host = scheme != NULL ? strpbrk(scheme + 3, "@/?#") : NULL;
	const char *colon = scheme != NULL ? strchr(scheme + 3, ':') : NULL;
	const char *query = scheme != NULL ? strchr(scheme, '?') : NULL;
	const char *rest = text;
	struct tl_text copy = {0};

	if (host != NULL && *host == '@' && colon != NULL && colon < host) {
		tl_text_add(&copy, text, (size_t)(colon - text));
		tl_text_puts(&copy, ":" MASK);
		rest = host;
	}
	while (query != NULL && (query = strpbrk(query, "=#")) != NULL && *query == '=') {
		tl_text_add(&copy, rest, (size_t)(query + 1 - rest));
		rest = query + 1 + strcspn(query + 1, "&#");
		tl_text_puts(&copy, rest == query + 1 ? "" : MASK);
		query = rest;
	}
	tl_text_puts(&copy, rest);
	print_text(out, copy.data);
	tl_text_free(&copy);
}

static void print_member(FILE *out, const struct tl_option *row, const void *value, bool masked);

static void print_map(FILE *out, const struct tl_option *row, const struct tl_text_map *map,
		      bool masked)
{
	(void)fputc('{', out);
	for (uint32_t i = 0; i < map->count; i++) {
		(void)fputs(i > 0 ? ", " : "", out);
		print_text(out, map->items[i].key);
		(void)fputs(": ", out);
		if (masked &&
		    (row->type == TL_OPTION_SECRET_MAP || is_secret_name(map->items[i].key)))
			print_text(out, MASK);
		else
			print_text(out, map->items[i].value);
	}
	(void)fputc('}', out);
}

static void print_list(FILE *out, const struct tl_option *row, const void *value, bool masked)
{
	const struct tl_text_list *texts = (const struct tl_text_list *)value;
	const struct tl_uint_list *uints = (const struct tl_uint_list *)value;
	const struct tl_real_list *reals = (const struct tl_real_list *)value;

	(void)fputc('[', out);
	for (uint32_t i = 0; i < texts->count; i++) {
		(void)fputs(i > 0 ? ", " : "", out);
		if (row->type == TL_OPTION_UINT_LIST)
			(void)fprintf(out, "%" PRIu64, uints->items[i]);
		else if (row->type == TL_OPTION_REAL_LIST)
			(void)fprintf(out, "%.*g", REAL_DIGITS, reals->items[i]);
		else if (masked)
			print_masked(out, texts->items[i]);
		else
			print_text(out, texts->items[i]);
	}
	(void)fputc(']', out);
}

static void print_fields(FILE *out, const struct tl_option *rows, const unsigned char *base,
			 bool masked)
{
	const char *glue = "";

	(void)fputc('{', out);
	for (; rows->key != NULL; rows++) {
		(void)fprintf(out, "%s%s: ", glue, rows->key);
		print_member(out, rows, base + rows->offset, masked);
		glue = ", ";
	}
	(void)fputc('}', out);
}

static void print_table(FILE *out, const struct tl_option *row,
			const struct tl_option_table *table, bool masked)
{
	(void)fputc('[', out);
	for (uint32_t i = 0; i < table->count; i++) {
		(void)fputs(i > 0 ? ", " : "", out);
		print_fields(out, row->rows,
			     (const unsigned char *)table->items + (size_t)i * row->item_size,
			     masked);
	}
	(void)fputc(']', out);
}

static void print_member(FILE *out, const struct tl_option *row, const void *value, bool masked)
{
	char text[TL_VALUE_TEXT_BYTES];

	switch (row->type) {
	case TL_OPTION_BOOL:
		(void)fputs(*(const bool *)value ? "true" : "false", out);
		break;
	case TL_OPTION_UINT:
		(void)fprintf(out, "%" PRIu64, *(const uint64_t *)value);
		break;
	case TL_OPTION_SIZE:
		(void)fputs(tl_format_size(*(const uint64_t *)value, text), out);
		break;
	case TL_OPTION_DURATION:
		(void)fputs(tl_format_duration(*(const uint64_t *)value, text), out);
		break;
	case TL_OPTION_TEXT:
		(masked ? print_masked : print_text)(out, *(const char *const *)value);
		break;
	case TL_OPTION_SECRET:
		print_text(out, masked && **(const char *const *)value != '\0'
					? MASK
					: *(const char *const *)value);
		break;
	case TL_OPTION_CHOICE:
		(void)fputs(row->choices[*(const uint32_t *)value], out);
		break;
	case TL_OPTION_TEXT_MAP:
	case TL_OPTION_SECRET_MAP:
		print_map(out, row, (const struct tl_text_map *)value, masked);
		break;
	case TL_OPTION_TABLE:
		print_table(out, row, (const struct tl_option_table *)value, masked);
		break;
	case TL_OPTION_SECTION:
		print_fields(out, row->rows, (const unsigned char *)value, masked);
		break;
	default:
		print_list(out, row, value, masked);
	}
}

// The member at `value` as YAML flow text, gives it (free); NULL on no memory.
static char *value_text(const struct tl_option *row, const void *value, bool masked)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (out == NULL)
		return NULL;
	print_member(out, row, value, masked);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

// ---- The reference --------------------------------------------------------------------------

static void print_indent(FILE *out, uint32_t depth)
{
	(void)fprintf(out, "%*s", (int)(depth * 2), "");
}

// Help text as comment lines.
static void print_help(FILE *out, uint32_t depth, const char *text)
{
	uint32_t room = HELP_COLUMNS - depth * 2 - 2;

	while (*text != '\0') {
		size_t len = strlen(text);

		if (len > room) {
			len = room;
			while (len > 0 && text[len] != ' ')
				len--;
			if (len == 0)
				len = strcspn(text, " ");
		}
		print_indent(out, depth);
		(void)fprintf(out, "# %.*s\n", (int)len, text);
		text += len;
		text += strspn(text, " ");
	}
}

static void range_text(const struct tl_option *row, char *ret, size_t size)
{
	char low[TL_VALUE_TEXT_BYTES];
	char high[TL_VALUE_TEXT_BYTES];

	ret[0] = '\0';
	if (row->min == 0 && row->max == 0)
		return;
	if (row->type == TL_OPTION_SIZE) {
		(void)tl_format_size(row->min, low);
		(void)tl_format_size(row->max, high);
	} else if (row->type == TL_OPTION_DURATION) {
		(void)tl_format_duration(row->min, low);
		(void)tl_format_duration(row->max, high);
	} else {
		(void)snprintf(low, sizeof(low), "%" PRIu64, row->min);
		(void)snprintf(high, sizeof(high), "%" PRIu64, row->max);
	}
	if (row->max == 0)
		(void)snprintf(ret, size, " From %s.", low);
	else
		(void)snprintf(ret, size, " %s to %s.", low, high);
}

static void print_notes(FILE *out, uint32_t depth, const struct tl_option *row)
{
	char choices[160] = "";
	char range[80];
	char *text;

	if (row->type == TL_OPTION_CHOICE) {
		(void)snprintf(choices, sizeof(choices), " One of");
		for (uint32_t i = 0; row->choices[i] != NULL; i++) {
			size_t len = strlen(choices);
			(void)snprintf(choices + len, sizeof(choices) - len, "%s %s",
				       i > 0 ? "," : "", row->choices[i]);
		}
		size_t len = strlen(choices);
		(void)snprintf(choices + len, sizeof(choices) - len, ".");
	}
	range_text(row, range, sizeof(range));
	if (asprintf(&text, "%s%s%s%s", row->help != NULL ? row->help : "", choices, range,
		     row->type == TL_OPTION_SECTION ? ""
		     : row->hot			    ? " [reload]"
						    : " [restart]") < 0)
		return;
	print_help(out, depth, text);
	free(text);
}

// An entry of a table as a comment, since the default has none.
static void print_entry(FILE *out, uint32_t depth, const struct tl_option *rows, uint32_t inner)
{
	for (uint32_t i = 0; rows[i].key != NULL; i++) {
		const struct tl_option *row = &rows[i];
		const char *value = row->value != NULL && *row->value != '\0' ? row->value : "\"\"";

		print_indent(out, depth);
		(void)fprintf(out, "#   %s%*s", i == 0 && inner == 0 ? "- " : "  ",
			      (int)(inner * 2), "");
		if (row->type == TL_OPTION_SECTION)
			(void)fprintf(out, "%s: # %s\n", row->key, row->help);
		else
			(void)fprintf(out, "%s: %s # %s%s\n", row->key, value,
				      row->required ? "Required. " : "", row->help);
		if (row->type == TL_OPTION_SECTION)
			print_entry(out, depth, row->rows, inner + 1);
	}
}

// Reference and effective form differ in the comments only.
static void print_rows(FILE *out, const struct tl_option *rows, const unsigned char *base,
		       uint32_t depth, bool is_reference);

static void print_items(FILE *out, const struct tl_option *row,
			const struct tl_option_table *table, uint32_t depth)
{
	(void)fputc('\n', out);
	for (uint32_t i = 0; i < table->count; i++) {
		const unsigned char *item =
			(const unsigned char *)table->items + (size_t)i * row->item_size;
		for (uint32_t j = 0; row->rows[j].key != NULL; j++) {
			print_indent(out, depth + 1);
			(void)fprintf(out, "%s%s: ", j == 0 ? "- " : "  ", row->rows[j].key);
			print_member(out, &row->rows[j], item + row->rows[j].offset, true);
			(void)fputc('\n', out);
		}
	}
}

static void print_row(FILE *out, const struct tl_option *row, const unsigned char *base,
		      uint32_t depth, bool is_reference)
{
	const unsigned char *value = base + row->offset;

	if (is_reference) {
		if (depth == 0)
			(void)fputc('\n', out);
		print_notes(out, depth, row);
		if (row->type == TL_OPTION_TABLE)
			print_entry(out, depth, row->rows, 0);
	}
	print_indent(out, depth);
	(void)fprintf(out, "%s:", row->key);
	if (row->type == TL_OPTION_SECTION && row->rows->key != NULL) {
		(void)fputc('\n', out);
		print_rows(out, row->rows, value, depth + 1, is_reference);
		return;
	}
	(void)fputc(' ', out);
	if (row->type == TL_OPTION_TABLE && is_reference) {
		(void)fprintf(out, "%s\n", row->value); // its members are explained above
		return;
	}
	if (row->type == TL_OPTION_TABLE &&
	    ((const struct tl_option_table *)(const void *)value)->count > 0) {
		print_items(out, row, (const struct tl_option_table *)(const void *)value, depth);
		return;
	}
	print_member(out, row, value, true);
	(void)fputc('\n', out);
}

static void print_rows(FILE *out, const struct tl_option *rows, const unsigned char *base,
		       uint32_t depth, bool is_reference)
{
	for (; rows->key != NULL; rows++)
		print_row(out, rows, base, depth, is_reference);
}

int tl_config_print_reference(FILE *out)
{
	struct tl_config *config = tl_config_default();

	if (config == NULL)
		return -ENOMEM;
	(void)fputs("# Configuration of tapline: every key with its default. An empty file means\n"
		    "# the same as this one; keep only what you change.\n"
		    "#\n"
		    "# Sizes: 4096, 10kB, 64MiB. Times: 100ms, 30s, 5m, 1h, 7d. ${NAME} takes a\n"
		    "# value from the environment, ${NAME:-default} where it may be unset.\n"
		    "# [reload]: a reload (SIGHUP or POST /-/reload) is enough; [restart]: it takes\n"
		    "# effect at the next start. `tapline config --check FILE` checks a file.\n",
		    out);
	print_rows(out, config->state->schema.rows, (const unsigned char *)config, 0, true);
	tl_config_free(config);
	return ferror(out) != 0 ? -EIO : 0;
}

int tl_config_print_effective(const struct tl_config *config, FILE *out)
{
	print_rows(out, config->state->schema.rows, (const unsigned char *)config, 0, false);
	return ferror(out) != 0 ? -EIO : 0;
}

// ---- Differences ----------------------------------------------------------------------------

struct differ {
	tl_config_changed_fn *changed;
	void *arg;
	int count;
	bool no_memory;
	char key[TL_KEY_BYTES];
};

static void diff_member(struct differ *d, const struct tl_option *row, const void *before,
			const void *after)
{
	char *texts[4] = {
		value_text(row, before, false),
		value_text(row, after, false),
		value_text(row, before, true),
		value_text(row, after, true),
	};

	if (texts[0] == NULL || texts[1] == NULL || texts[2] == NULL || texts[3] == NULL) {
		d->no_memory = true;
	} else if (strcmp(texts[0], texts[1]) != 0) {
		d->count++;
		d->changed(d->arg, d->key, texts[2], texts[3], row->hot);
	}
	for (size_t i = 0; i < TL_COUNT_OF(texts); i++)
		free(texts[i]);
}

static void diff_rows(struct differ *d, const struct tl_option *rows, const unsigned char *before,
		      const unsigned char *after)
{
	size_t len = strlen(d->key);

	for (; rows->key != NULL; rows++) {
		(void)snprintf(d->key + len, sizeof(d->key) - len, "%s%s", len > 0 ? "." : "",
			       rows->key);
		if (rows->type == TL_OPTION_SECTION)
			diff_rows(d, rows->rows, before + rows->offset, after + rows->offset);
		else
			diff_member(d, rows, before + rows->offset, after + rows->offset);
		d->key[len] = '\0';
	}
}

int tl_config_diff(const struct tl_config *before, const struct tl_config *after,
		   tl_config_changed_fn *changed, void *arg)
{
	struct differ d = {.changed = changed, .arg = arg};

	// Both schemas come from the same registries, so that their offsets agree.
	TL_ASSERT(before->state->schema.size == after->state->schema.size);
	diff_rows(&d, before->state->schema.rows, (const unsigned char *)before,
		  (const unsigned char *)after);
	return d.no_memory ? -ENOMEM : d.count;
}

static void each_row(tl_config_row_fn *visit, void *arg, const struct tl_option *rows,
		     uint32_t depth, char *key)
{
	size_t len = strlen(key);

	for (; rows->key != NULL; rows++) {
		(void)snprintf(key + len, TL_KEY_BYTES - len, "%s%s", len > 0 ? "." : "",
			       rows->key);
		visit(arg, key, depth, rows);
		if (rows->type == TL_OPTION_SECTION)
			each_row(visit, arg, rows->rows, depth + 1, key);
		key[len] = '\0';
	}
}

int tl_config_each_row(tl_config_row_fn *visit, void *arg)
{
	struct tl_config *config = tl_config_default();
	char key[TL_KEY_BYTES] = "";

	if (config == NULL)
		return -ENOMEM;
	each_row(visit, arg, config->state->schema.rows, 0, key);
	tl_config_free(config);
	return 0;
}
