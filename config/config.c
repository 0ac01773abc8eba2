// SPDX-License-Identifier: Apache-2.0
#include "config/config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/text.h"
#include "config/load.h"

// What the file says may hold anything; a message is one line of plain text, cut where a character
// ends.
static void keep_line(struct tl_config_errors *errors, struct tl_bytes text)
{
	char *out = errors->lines[errors->count++];
	struct tl_text clean = {0};

	tl_text_utf8(&clean, text, true);
	size_t len = clean.len;
	if (len >= sizeof(errors->lines[0])) {
		len = sizeof(errors->lines[0]) - 1;
		while (len != 0 && (clean.data[len] & 0xc0) == 0x80)
			len--;
	}
	for (size_t i = 0; i < len; i++) {
		char c = clean.data[i];
		out[i] = (unsigned char)c < 0x20 || c == 0x7f ? '?' : c;
	}
	out[len] = '\0';
	tl_text_free(&clean);
}

void tl_config_error(struct tl_config_errors *errors, const char *file, uint32_t line,
		     const char *key, const char *format, ...)
{
	char what[sizeof(errors->lines[0])];
	struct tl_text text = {0};
	va_list arguments;

	if (errors->count == TL_CONFIG_ERRORS_MAX) {
		errors->more++;
		return;
	}
	tl_text_puts(&text, file);
	if (line > 0)
		tl_text_printf(&text, ":%u", line);
	tl_text_puts(&text, ": ");
	if (key != NULL && *key != '\0')
		tl_text_printf(&text, "%s: ", key);
	va_start(arguments, format);
	(void)vsnprintf(what, sizeof(what), format, arguments);
	va_end(arguments);
	tl_text_puts(&text, what);
	keep_line(errors, tl_bytes(text.data, (uint32_t)text.len));
	tl_text_free(&text);
}

static int link_protocols(struct tl_config *config)
{
	struct tl_config_state *state = config->state;
	struct tl_protocol_config *protocols = (struct tl_protocol_config *)tl_arena_take(
		&state->arena, tl_decoder_count * sizeof(*protocols));

	if (protocols == NULL)
		return -ENOMEM;
	for (uint16_t id = 0; id < tl_decoder_count; id++) {
		const unsigned char *at =
			(const unsigned char *)config + state->schema.protocol_offset[id];
		const struct tl_module_head *head = (const struct tl_module_head *)(const void *)at;

		if (tl_decoders[id] == NULL)
			continue;
		protocols[id] = (struct tl_protocol_config) {
			.decoder = tl_decoders[id],
			.is_enabled = head->is_enabled,
			.timeout_ns = head->timeout_ns,
			.options = tl_decoders[id]->options == NULL ? NULL
								    : at + TL_MODULE_HEAD_BYTES,
		};
	}
	config->protocol = protocols;
	return 0;
}

static bool exporter_is_enabled(const struct tl_exporter *exporter, bool has_own,
				const unsigned char *at)
{
	const struct tl_option *row = exporter->options;

	if (!has_own)
		return ((const struct tl_module_head *)(const void *)at)->is_enabled;
	while (strcmp(row->key, "enabled") != 0)
		row++;
	return *(const bool *)(const void *)(at + TL_MODULE_HEAD_BYTES + row->offset);
}

static int link_exporters(struct tl_config *config)
{
	const struct tl_schema *schema = &config->state->schema;
	const unsigned char *base = (const unsigned char *)config;
	uint32_t count = 0;

	for (uint32_t i = 0; i < schema->exporter_count; i++)
		count += tl_exporters[i]->is_list
				 ? ((const struct tl_option_table *)(const void *)(
					    base + schema->exporter_offset[i]))->count
				 : 1;
	struct tl_exporter_config *all = (struct tl_exporter_config *)tl_arena_take(
		&config->state->arena, (count + 1) * sizeof(*all));
	if (all == NULL)
		return -ENOMEM;
	config->exporters = all;
	for (uint32_t i = 0; i < schema->exporter_count; i++) {
		const struct tl_exporter *exporter = tl_exporters[i];
		const unsigned char *at = base + schema->exporter_offset[i];
		uint32_t size = TL_MODULE_HEAD_BYTES + ((exporter->options_size + 15u) & ~15u);
		uint32_t items = 1;

		if (exporter->is_list) {
			const struct tl_option_table *table =
				(const struct tl_option_table *)(const void *)at;
			items = table->count;
			at = (const unsigned char *)table->items;
		}
		for (uint32_t j = 0; j < items; j++, at += size)
			all[config->exporter_count++] = (struct tl_exporter_config) {
				.exporter = exporter,
				.is_enabled = exporter_is_enabled(
					exporter, schema->exporter_has_enabled[i], at),
				.options = at + TL_MODULE_HEAD_BYTES,
			};
	}
	return 0;
}

static int link_collectors(struct tl_config *config)
{
	const uint32_t *offsets = config->state->schema.collector_offset;
	const unsigned char *base = (const unsigned char *)config;

	config->collector_options = (const void **)tl_arena_take(
		&config->state->arena, (tl_collector_count() + 1) * sizeof(void *));
	if (config->collector_options == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < tl_collector_count(); i++)
		config->collector_options[i] = offsets[i] == 0 ? NULL : base + offsets[i];
	return 0;
}

// Moves the state into its own arena, so that one free frees all.
static struct tl_config *new_config(void)
{
	struct tl_arena arena = {0};
	struct tl_schema schema = {0};

	if (tl_schema_init(&schema, &arena) == 0) {
		struct tl_config *config = (struct tl_config *)tl_arena_take(&arena, schema.size);
		struct tl_config_state *state =
			(struct tl_config_state *)tl_arena_take(&arena, sizeof(*state));
		if (config != NULL && state != NULL) {
			state->arena = arena;
			state->schema = schema;
			config->state = state;
			return config;
		}
	}
	tl_arena_fini(&arena);
	return NULL;
}

void tl_config_free(struct tl_config *config)
{
	if (config == NULL)
		return;
	struct tl_arena arena = config->state->arena;
	tl_arena_fini(&arena);
}

int tl_config_parse(const char *name, const char *text, size_t len, struct tl_config **ret_config,
		    struct tl_config_errors *errors)
{
	struct tl_config *config = new_config();
	struct tl_node *root = NULL;
	struct tl_config_state *state;
	int ret;

	errors->count = 0;
	errors->more = 0;
	if (config == NULL) {
		tl_config_error(errors, name, 0, NULL, "out of memory");
		return -ENOMEM;
	}
	state = config->state;
	config->file = tl_arena_text(&state->arena, name, strlen(name));
	ret = config->file == NULL ? -ENOMEM : tl_config_fill(state, name, NULL, config, errors);
	// A row whose own default is refused is our bug, in whatever module it stands.
	TL_ASSERT(ret < 0 || errors->count == 0);
	state->given_count = 0;
	if (ret == 0)
		ret = tl_node_parse(name, text, len, &state->arena, &root, errors);
	if (ret == 0 && root != NULL)
		ret = tl_config_fill(state, name, root, config, errors);
	if (ret == 0)
		ret = link_protocols(config) < 0 || link_exporters(config) < 0 ||
		      link_collectors(config) < 0 ? -ENOMEM : 0;
	if (ret == 0 && errors->count == 0)
		tl_config_check(config, errors);
	if (ret == -ENOMEM) {
		tl_config_error(errors, name, 0, NULL, "out of memory");
		ret = -ENOMEM;
	} else if (errors->count > 0) {
		ret = -EINVAL;
	}
	if (ret < 0)
		tl_config_free(config);
	else
		*ret_config = config;
	return ret;
}

struct tl_config *tl_config_default(void)
{
	struct tl_config_errors errors;
	struct tl_config *config = NULL;
	int ret = tl_config_parse("", "", 0, &config, &errors);

	TL_ASSERT(ret == 0 || ret == -ENOMEM);
	return config;
}

// Reads a whole file of at most TL_CONFIG_BYTES_MAX; the caller frees.
static int read_file(const char *path, char **ret_text, size_t *ret_len)
{
	FILE *file = fopen(path, "re");
	char *text = NULL;
	size_t len = 0;
	int ret = 0;

	if (file == NULL)
		return -errno;
	text = (char *)malloc(TL_CONFIG_BYTES_MAX + 1);
	if (text == NULL) {
		ret = -ENOMEM;
	} else {
		errno = 0;
		len = fread(text, 1, TL_CONFIG_BYTES_MAX + 1, file);
		if (ferror(file) != 0)
			ret = errno != 0 ? -errno : -EIO;
		else if (len > TL_CONFIG_BYTES_MAX)
			ret = -EFBIG;
	}
	(void)fclose(file);
	if (ret < 0) {
		free(text);
		return ret;
	}
	*ret_text = text;
	*ret_len = len;
	return 0;
}

int tl_config_load(const char *path, struct tl_config **ret_config,
		   struct tl_config_errors *errors)
{
	char *text = NULL;
	size_t len = 0;
	int ret = read_file(path, &text, &len);

	errors->count = 0;
	errors->more = 0;
	if (ret < 0) {
		tl_config_error(errors, path, 0, NULL, "can't read it: %s",
				ret == -EFBIG ? "larger than 4 MiB" : strerror(-ret));
		return ret;
	}
	ret = tl_config_parse(path, text, len, ret_config, errors);
	free(text);
	return ret;
}

uint32_t tl_config_line(const struct tl_config *config, const char *key)
{
	const struct tl_config_state *state = config->state;

	for (uint32_t i = 0; i < state->given_count; i++)
		if (strcmp(state->given[i].key, key) == 0)
			return state->given[i].line;
	return 0;
}
