// SPDX-License-Identifier: Apache-2.0
// tapline protocols: what is decoded, from the decoders' own tables.
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/check.h"
#include "cli/commands.h"
#include "config/value.h"
#include "l7/decoder.h"

enum { OUTPUT_TEXT, OUTPUT_JSON };

struct protocols_options {
	uint32_t output;
};

static const char *const output_words[] = {"text", "json", NULL};
static const char *const type_names[] = {
	[TL_FIELD_TEXT] = "text", [TL_FIELD_BYTES] = "bytes",	  [TL_FIELD_UINT] = "uint",
	[TL_FIELD_INT] = "int",	  [TL_FIELD_BOOL] = "bool",	  [TL_FIELD_REAL] = "real",
	[TL_FIELD_MAP] = "map",	  [TL_FIELD_OBJECTS] = "objects",
};
static const char *const cardinality_names[] = {
	[TL_CARDINALITY_LOW] = "low",
	[TL_CARDINALITY_MIDDLE] = "middle",
	[TL_CARDINALITY_HIGH] = "high",
};

static const char *side_of(const struct tl_field *field)
{
	bool request = (field->flags & TL_FIELD_REQUEST) != 0;
	bool response = (field->flags & TL_FIELD_RESPONSE) != 0;

	return request && response ? "both" : request ? "request" : response ? "response" : "";
}

// "answers.name" for a member of the objects in "answers".
static void field_path(const struct tl_decoder *decoder, const struct tl_field *field, char *ret,
		       size_t size)
{
	if (field->parent == TL_FIELD_TOP)
		(void)snprintf(ret, size, "%s", field->name);
	else
		(void)snprintf(ret, size, "%s.%s", decoder->fields[field->parent].name,
			       field->name);
}

// ---- Text -----------------------------------------------------------------------------------

static void print_head(const struct tl_decoder *decoder)
{
	static const char *const over_names[] = {"TCP", "UDP", "streams of others"};
	const char *glue = " over ";

	(void)printf("%s: %s", decoder->name, decoder->title);
	for (uint32_t i = 0; i < TL_COUNT_OF(over_names); i++)
		if ((decoder->over & (1u << i)) != 0) {
			(void)printf("%s%s", glue, over_names[i]);
			glue = ", ";
		}
	glue = "";
	if (decoder->ports != NULL && decoder->ports[0] != 0)
		(void)printf(", usual ports ");
	for (const uint16_t *port = decoder->ports; port != NULL && *port != 0; port++) {
		(void)printf("%s%u", glue, *port);
		glue = " ";
	}
	(void)printf(", time-out %us\n", decoder->timeout_s);
	if (decoder->status_help != NULL)
		(void)printf("  status: %s\n", decoder->status_help);
}

static void print_fields(const struct tl_decoder *decoder)
{
	int widths[3] = {5, 5, 9};

	for (uint32_t i = 0; i < decoder->field_count; i++) {
		const struct tl_field *field = &decoder->fields[i];
		char path[128];

		field_path(decoder, field, path, sizeof(path));
		const char *cells[3] = {path, field->label, field->attribute};
		for (uint32_t j = 0; j < TL_COUNT_OF(cells); j++)
			if (cells[j] != NULL && (int)strlen(cells[j]) >= widths[j])
				widths[j] = (int)strlen(cells[j]) + (j == 1 ? 1 : 0);
	}
	(void)printf("  %-*s  %-7s  %-8s  %-*s  %-*s  %s\n", widths[0], "field", "type", "in",
		     widths[1], "label", widths[2], "attribute", "meaning");
	for (uint32_t i = 0; i < decoder->field_count; i++) {
		const struct tl_field *field = &decoder->fields[i];
		char path[128];
		char label[64] = "-";

		field_path(decoder, field, path, sizeof(path));
		if (field->label != NULL)
			(void)snprintf(label, sizeof(label), "%s%s", field->label,
				       (field->flags & TL_FIELD_DEFAULT_LABEL) != 0 ? "*" : "");
		(void)printf("  %-*s  %-7s  %-8s  %-*s  %-*s  %s\n", widths[0], path,
			     type_names[field->type], side_of(field), widths[1], label, widths[2],
			     field->attribute != NULL ? field->attribute : "-",
			     field->help != NULL ? field->help : "");
	}
}

// ---- JSON -----------------------------------------------------------------------------------

static json_t *field_json(const struct tl_decoder *decoder, const struct tl_field *field)
{
	char path[128];

	field_path(decoder, field, path, sizeof(path));
	return json_pack("{s:s, s:s, s:s*, s:s*, s:s*, s:s*, s:s, s:b, s:b, s:b, s:s*}", "name", path,
			 "type", type_names[field->type], "in",
			 *side_of(field) != '\0' ? side_of(field) : NULL, "label", field->label,
			 "other_label", field->also,
			 "attribute", field->attribute, "cardinality",
			 cardinality_names[field->cardinality], "default_label",
			 (field->flags & TL_FIELD_DEFAULT_LABEL) != 0, "repeated",
			 (field->flags & TL_FIELD_REPEATED) != 0, "sensitive",
			 (field->flags & TL_FIELD_SENSITIVE) != 0, "help", field->help);
}

static json_t *decoder_json(uint16_t id, const struct tl_decoder *decoder)
{
	json_t *over = json_array();
	json_t *ports = json_array();
	json_t *fields = json_array();

	if ((decoder->over & TL_OVER_TCP) != 0)
		(void)json_array_append_new(over, json_string("tcp"));
	if ((decoder->over & TL_OVER_UDP) != 0)
		(void)json_array_append_new(over, json_string("udp"));
	if ((decoder->over & TL_AS_CHILD) != 0)
		(void)json_array_append_new(over, json_string("stream"));
	for (const uint16_t *port = decoder->ports; port != NULL && *port != 0; port++)
		(void)json_array_append_new(ports, json_integer(*port));
	for (uint32_t i = 0; i < decoder->field_count; i++)
		(void)json_array_append_new(fields, field_json(decoder, &decoder->fields[i]));
	return json_pack("{s:s, s:s, s:i, s:o, s:o, s:i, s:s*, s:o}", "name", decoder->name,
			 "title", decoder->title, "id", (int)id, "over", over, "ports", ports,
			 "timeout_s", (int)decoder->timeout_s, "status", decoder->status_help,
			 "fields", fields);
}

static int print_json(const bool *wanted)
{
	json_t *all = json_array();
	int ret;

	for (uint16_t id = 0; id < tl_decoder_count; id++)
		if (wanted[id])
			(void)json_array_append_new(all, decoder_json(id, tl_decoders[id]));
	ret = json_dumpf(all, stdout, JSON_INDENT(2));
	(void)fputc('\n', stdout);
	json_decref(all);
	// Output errors are tl_cli_finish_output()'s.
	return ret == 0 || ferror(stdout) != 0 ? TL_EXIT_DONE
					       : tl_cli_error(TL_EXIT_FAILURE, "out of memory");
}

// ---- The command ----------------------------------------------------------------------------

static int unknown_protocol(const char *name)
{
	const char *words[UINT8_MAX];
	uint32_t count = 0;

	for (uint16_t id = 0; id < tl_decoder_count && count < TL_COUNT_OF(words); id++)
		if (tl_decoders[id] != NULL)
			words[count++] = tl_decoders[id]->name;
	const char *nearest = tl_nearest(name, words, count);
	if (nearest != NULL)
		return tl_cli_usage_error("protocols",
					  "unknown protocol \"%.60s\", did you mean %s?", name,
					  nearest);
	return tl_cli_usage_error("protocols", "unknown protocol \"%.60s\"", name);
}

static int run_protocols(const void *options, const struct tl_arguments *arguments)
{
	const struct protocols_options *given = (const struct protocols_options *)options;
	bool wanted[UINT8_MAX + 1] = {false};

	TL_ASSERT(tl_decoder_count <= TL_COUNT_OF(wanted));
	for (uint32_t i = 0; i < arguments->count; i++)
		if (tl_decoder_by_name(arguments->items[i]) == NULL)
			return unknown_protocol(arguments->items[i]);
	for (uint16_t id = 0; id < tl_decoder_count; id++) {
		wanted[id] = tl_decoders[id] != NULL && arguments->count == 0;
		for (uint32_t i = 0; i < arguments->count; i++)
			if (tl_decoders[id] == tl_decoder_by_name(arguments->items[i]))
				wanted[id] = true;
	}
	if (given->output == OUTPUT_JSON)
		return print_json(wanted);
	for (uint16_t id = 0; id < tl_decoder_count; id++) {
		if (!wanted[id])
			continue;
		print_head(tl_decoders[id]);
		print_fields(tl_decoders[id]);
		(void)fputc('\n', stdout);
	}
	(void)puts("* a label of the metrics unless metrics.labels says otherwise");
	return TL_EXIT_DONE;
}

static const struct tl_flag protocols_flags[] = {
	{.name = "output",
	 .letter = 'o',
	 .type = TL_FLAG_CHOICE,
	 .offset = offsetof(struct protocols_options, output),
	 .value = "text",
	 .choices = output_words,
	 .argument = "text|json",
	 .help = "Form of the output"},
	TL_FLAG_END,
};

const struct tl_command tl_command_protocols = {
	.name = "protocols",
	.summary = "List the protocols that are decoded, with fields, labels and attributes",
	.arguments = "[PROTOCOL...]",
	.arguments_max = 64,
	.flags = protocols_flags,
	.options_size = sizeof(struct protocols_options),
	.run = run_protocols,
};
