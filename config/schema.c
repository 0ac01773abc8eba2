// SPDX-License-Identifier: Apache-2.0
#include "config/schema.h"

#include <errno.h>

#include "base/check.h"
#include "config/options/rows.h"

_Static_assert(sizeof(struct tl_module_head) <= TL_MODULE_HEAD_BYTES, "head outgrew its place");

static uint32_t count_rows(const struct tl_option *rows)
{
	uint32_t count = 0;

	while (rows != NULL && rows[count].key != NULL)
		count++;
	return count;
}

static uint32_t align16(uint32_t size)
{
	return (size + 15u) & ~15u;
}

// Rows of a module: what is said of every module, then its own behind the head.
static struct tl_option *module_rows(struct tl_arena *arena, const struct tl_option *head,
				     uint32_t head_count, const struct tl_option *own)
{
	uint32_t own_count = count_rows(own);
	struct tl_option *rows = (struct tl_option *)tl_arena_take(
		arena, (head_count + own_count + 1) * sizeof(*rows));

	if (rows == NULL)
		return NULL;
	for (uint32_t i = 0; i < head_count; i++)
		rows[i] = head[i];
	for (uint32_t i = 0; i < own_count; i++) {
		rows[head_count + i] = own[i];
		rows[head_count + i].offset += TL_MODULE_HEAD_BYTES;
	}
	return rows;
}

static int add_protocol(struct tl_schema *schema, struct tl_arena *arena, uint16_t id,
			struct tl_option *row)
{
	const struct tl_decoder *decoder = tl_decoders[id];
	char *timeout = (char *)tl_arena_take(arena, 16);

	if (timeout == NULL)
		return -ENOMEM;
	(void)snprintf(timeout, 16, "%us", decoder->timeout_s);
	const struct tl_option head[] = {
		{.key = "enabled",
		 .type = TL_OPTION_BOOL,
		 .hot = true,
		 .offset = offsetof(struct tl_module_head, is_enabled),
		 .value = "true",
		 .help = "Decode this protocol."},
		{.key = "timeout",
		 .type = TL_OPTION_DURATION,
		 .hot = true,
		 .offset = offsetof(struct tl_module_head, timeout_ns),
		 .value = timeout,
		 .min = 1000000,
		 .help = "A request without an answer for this long ends with the status timeout."},
	};
	schema->protocol_offset[id] = schema->size;
	*row = (struct tl_option) {
		.key = decoder->name,
		.type = TL_OPTION_SECTION,
		.offset = schema->size,
		.rows = module_rows(arena, head, TL_COUNT_OF(head), decoder->options),
		.help = decoder->title,
	};
	schema->size += TL_MODULE_HEAD_BYTES + align16(decoder->options_size);
	return row->rows == NULL ? -ENOMEM : 0;
}

static int add_protocols(struct tl_schema *schema, struct tl_arena *arena,
			 const struct tl_option **ret_rows)
{
	uint32_t fixed = count_rows(tl_protocols_rows);
	struct tl_option *rows = (struct tl_option *)tl_arena_take(
		arena, (fixed + tl_decoder_count + 1u) * sizeof(*rows));
	uint32_t count = fixed;

	schema->protocol_offset =
		(uint32_t *)tl_arena_take(arena, tl_decoder_count * sizeof(uint32_t));
	if (rows == NULL || schema->protocol_offset == NULL)
		return -ENOMEM;
	memcpy(rows, tl_protocols_rows, fixed * sizeof(*rows));
	for (uint16_t id = 0; id < tl_decoder_count; id++)
		if (tl_decoders[id] != NULL &&
		    add_protocol(schema, arena, id, &rows[count++]) < 0)
			return -ENOMEM;
	*ret_rows = rows;
	return 0;
}

static int add_exporter(struct tl_schema *schema, struct tl_arena *arena, uint32_t index,
			struct tl_option *row)
{
	const struct tl_exporter *exporter = tl_exporters[index];
	const struct tl_option enabled = {
		.key = "enabled",
		.type = TL_OPTION_BOOL,
		.offset = offsetof(struct tl_module_head, is_enabled),
		.value = exporter->is_list ? "true" : "false",
		.help = "Use this exporter.",
	};
	bool has_enabled = false;

	for (uint32_t i = 0; i < count_rows(exporter->options); i++)
		if (strcmp(exporter->options[i].key, "enabled") == 0)
			has_enabled = true;
	schema->exporter_has_enabled[index] = has_enabled;
	schema->exporter_offset[index] = schema->size;
	*row = (struct tl_option) {
		.key = exporter->name,
		.type = exporter->is_list ? TL_OPTION_TABLE : TL_OPTION_SECTION,
		.offset = schema->size,
		.value = exporter->is_list ? "[]" : NULL,
		.rows = module_rows(arena, &enabled, has_enabled ? 0 : 1, exporter->options),
		.item_size = TL_MODULE_HEAD_BYTES + align16(exporter->options_size),
		.help = exporter->help,
	};
	schema->size += exporter->is_list ? align16(sizeof(struct tl_option_table))
					  : row->item_size;
	return row->rows == NULL ? -ENOMEM : 0;
}

static int add_exporters(struct tl_schema *schema, struct tl_arena *arena,
			 const struct tl_option **ret_rows)
{
	uint32_t count = 0;

	while (tl_exporters[count] != NULL)
		count++;
	struct tl_option *rows =
		(struct tl_option *)tl_arena_take(arena, (count + 1u) * sizeof(*rows));
	schema->exporter_count = count;
	schema->exporter_offset = (uint32_t *)tl_arena_take(arena, (count + 1) * sizeof(uint32_t));
	schema->exporter_has_enabled = (bool *)tl_arena_take(arena, (count + 1) * sizeof(bool));
	if (rows == NULL || schema->exporter_offset == NULL || schema->exporter_has_enabled == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++)
		if (add_exporter(schema, arena, i, &rows[i]) < 0)
			return -ENOMEM;
	*ret_rows = rows;
	return 0;
}

static int add_collectors(struct tl_schema *schema, struct tl_arena *arena,
			  const struct tl_option **ret_rows)
{
	uint32_t fixed = count_rows(tl_collectors_rows), count = fixed;
	struct tl_option *rows = (struct tl_option *)tl_arena_take(
		arena, (fixed + tl_collector_count() + 1u) * sizeof(*rows));

	schema->collector_offset =
		(uint32_t *)tl_arena_take(arena, (tl_collector_count() + 1u) * sizeof(uint32_t));
	if (rows == NULL || schema->collector_offset == NULL)
		return -ENOMEM;
	memcpy(rows, tl_collectors_rows, fixed * sizeof(*rows));
	for (uint32_t i = 0; i < tl_collector_count(); i++) {
		const struct tl_collector_entry *entry = tl_collector_at(i);
		if (entry->options == NULL)
			continue;
		schema->collector_offset[i] = schema->size;
		rows[count++] = (struct tl_option) {
			.key = entry->name,
			.type = TL_OPTION_SECTION,
			.offset = schema->size,
			.rows = entry->options,
			.help = entry->help,
		};
		schema->size += align16(entry->options_size);
	}
	*ret_rows = rows;
	return 0;
}

int tl_schema_init(struct tl_schema *schema, struct tl_arena *arena)
{
	uint32_t count = count_rows(tl_root_rows);
	struct tl_option *rows =
		(struct tl_option *)tl_arena_take(arena, (count + 1) * sizeof(*rows));
	int ret = 0;

	if (rows == NULL)
		return -ENOMEM;
	memcpy(rows, tl_root_rows, count * sizeof(*rows));
	schema->size = align16(sizeof(struct tl_config));
	for (uint32_t i = 0; i < count && ret == 0; i++) {
		if (strcmp(rows[i].key, "protocols") == 0)
			ret = add_protocols(schema, arena, &rows[i].rows);
		else if (strcmp(rows[i].key, "exporters") == 0)
			ret = add_exporters(schema, arena, &rows[i].rows);
		else if (strcmp(rows[i].key, "collectors") == 0)
			ret = add_collectors(schema, arena, &rows[i].rows);
	}
	schema->rows = rows;
	return ret;
}
