// SPDX-License-Identifier: Apache-2.0
#include "tests/support/modules.h"

#include <stddef.h>

#include "base/check.h"

static const struct tl_option sample_rows[] = {
	{.key = "body",
	 .type = TL_OPTION_SIZE,
	 .hot = true,
	 .offset = offsetof(struct sample_options, body_bytes_max),
	 .value = "4KiB",
	 .max = 65536,
	 .help = "Bytes kept."},
	{.key = "headers",
	 .type = TL_OPTION_TEXT_LIST,
	 .offset = offsetof(struct sample_options, headers),
	 .value = "[accept, \"x-one\"]",
	 .help = "Names."},
	{.key = "strict",
	 .type = TL_OPTION_BOOL,
	 .offset = offsetof(struct sample_options, is_strict),
	 .value = "true",
	 .help = "Strictness."},
	TL_OPTION_END,
};

static const struct tl_field sample_fields[] = {
	{.name = "verb", .label = "verb", .flags = TL_FIELD_REQUEST, .parent = TL_FIELD_TOP},
	{.name = "code", .label = "code", .flags = TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP},
	{.name = "text", .flags = TL_FIELD_REQUEST, .parent = TL_FIELD_TOP},
};

static const struct tl_decoder sample = {
	.name = "sample",
	.title = "Sample",
	.timeout_s = 30,
	.fields = sample_fields,
	.field_count = TL_COUNT_OF(sample_fields),
	.options = sample_rows,
	.options_size = sizeof(struct sample_options),
};

const struct tl_decoder *const tl_decoders[] = {NULL, NULL, &sample};
const uint16_t tl_decoder_count = TL_COUNT_OF(tl_decoders);

const struct tl_decoder *tl_decoder_by_name(const char *name)
{
	return strcmp(name, "sample") == 0 ? &sample : NULL;
}

static const char *const style_words[] = {"short", "long", NULL};

static const struct tl_option sink_rows[] = {
	{.key = "url",
	 .type = TL_OPTION_TEXT,
	 .required = true,
	 .offset = offsetof(struct sink_options, url),
	 .value = "",
	 .help = "Where to."},
	{.key = "password",
	 .type = TL_OPTION_SECRET,
	 .offset = offsetof(struct sink_options, password),
	 .value = "",
	 .help = "Who."},
	{.key = "headers",
	 .type = TL_OPTION_TEXT_MAP,
	 .offset = offsetof(struct sink_options, headers),
	 .value = "{}",
	 .help = "Sent along."},
	{.key = "style",
	 .type = TL_OPTION_CHOICE,
	 .offset = offsetof(struct sink_options, style),
	 .value = "short",
	 .choices = style_words,
	 .help = "How."},
	TL_OPTION_END,
};

static const struct tl_exporter single = {
	.name = "single",
	.help = "One of these.",
	.options = sink_rows,
	.options_size = sizeof(struct sink_options),
};

static const struct tl_exporter many = {
	.name = "many",
	.help = "Several of these.",
	.options = sink_rows,
	.options_size = sizeof(struct sink_options),
	.is_list = true,
};

const struct tl_exporter *const tl_exporters[] = {&single, &many, NULL};
