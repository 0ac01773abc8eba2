// SPDX-License-Identifier: Apache-2.0
#include "config/node.h"

#include <errno.h>
#include <string.h>

#include <yaml.h>

struct builder {
	const char *name;
	struct tl_arena *arena;
	struct tl_config_errors *errors;
	struct tl_node *root;
	struct tl_node *parents[TL_CONFIG_DEPTH_MAX];
	struct tl_node **tails[TL_CONFIG_DEPTH_MAX]; // where the parent's next child goes
	uint32_t depth;
	uint32_t node_count;
	uint32_t document_count;
	const char *key; // read, its value comes next
};

static int refuse(struct builder *b, uint32_t line, const char *message)
{
	tl_config_error(b->errors, b->name, line, NULL, "%s", message);
	return -EINVAL;
}

static uint32_t line_of(const yaml_event_t *event)
{
	return (uint32_t)event->start_mark.line + 1;
}

// A key or a value that a scalar gives; NUL inside would end the text early for everybody.
static int scalar_text(struct builder *b, const yaml_event_t *event, char **ret_text)
{
	const char *text = (const char *)event->data.scalar.value;
	size_t len = event->data.scalar.length;

	if (memchr(text, '\0', len) != NULL)
		return refuse(b, line_of(event), "a NUL character is not allowed");
	*ret_text = tl_arena_text(b->arena, text, len);
	return *ret_text == NULL ? -ENOMEM : 0;
}

static bool expects_key(const struct builder *b)
{
	return b->depth > 0 && b->parents[b->depth - 1]->kind == TL_NODE_MAP && b->key == NULL;
}

static int add_node(struct builder *b, const yaml_event_t *event, enum tl_node_kind kind,
		    struct tl_node **ret_node)
{
	if (++b->node_count > TL_CONFIG_NODES_MAX)
		return refuse(b, line_of(event), "too many values in one file");
	struct tl_node *node = (struct tl_node *)tl_arena_take(b->arena, sizeof(*node));
	if (node == NULL)
		return -ENOMEM;
	node->kind = (uint8_t)kind;
	node->line = line_of(event);
	node->key = b->key;
	b->key = NULL;
	if (b->depth == 0) {
		b->root = node;
	} else {
		*b->tails[b->depth - 1] = node;
		b->tails[b->depth - 1] = &node->next;
		b->parents[b->depth - 1]->count++;
	}
	*ret_node = node;
	return 0;
}

static int on_scalar(struct builder *b, const yaml_event_t *event)
{
	struct tl_node *node;
	char *text;
	int ret = scalar_text(b, event, &text);

	if (ret < 0)
		return ret;
	if (event->data.scalar.tag != NULL)
		return refuse(b, line_of(event), "tags (!...) are not supported");
	if (expects_key(b)) {
		b->key = text;
		return 0;
	}
	ret = add_node(b, event, TL_NODE_SCALAR, &node);
	if (ret < 0)
		return ret;
	node->text = text;
	node->is_quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	return 0;
}

static int on_start(struct builder *b, const yaml_event_t *event, enum tl_node_kind kind)
{
	struct tl_node *node;
	const yaml_char_t *tag = kind == TL_NODE_MAP ? event->data.mapping_start.tag
						     : event->data.sequence_start.tag;

	if (tag != NULL)
		return refuse(b, line_of(event), "tags (!...) are not supported");
	if (expects_key(b))
		return refuse(b, line_of(event), "a key must be plain text");
	if (b->depth == TL_CONFIG_DEPTH_MAX)
		return refuse(b, line_of(event), "nested too deeply");
	int ret = add_node(b, event, kind, &node);
	if (ret < 0)
		return ret;
	b->parents[b->depth] = node;
	b->tails[b->depth] = &node->first;
	b->depth++;
	return 0;
}

static int on_event(struct builder *b, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (++b->document_count > 1)
			return refuse(b, line_of(event),
				      "a second document begins; one file is one document");
		return 0;
	case YAML_ALIAS_EVENT:
		return refuse(b, line_of(event),
			      "aliases (*name) are not supported, write the value out");
	case YAML_SCALAR_EVENT:
		if (event->data.scalar.anchor != NULL)
			break;
		return on_scalar(b, event);
	case YAML_SEQUENCE_START_EVENT:
		if (event->data.sequence_start.anchor != NULL)
			break;
		return on_start(b, event, TL_NODE_LIST);
	case YAML_MAPPING_START_EVENT:
		if (event->data.mapping_start.anchor != NULL)
			break;
		return on_start(b, event, TL_NODE_MAP);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		b->depth--;
		return 0;
	default:
		return 0;
	}
	return refuse(b, line_of(event), "anchors (&name) are not supported, write the value out");
}

// libyaml reports bytes that aren't UTF-8 by offset, everything else by line.
static void report_syntax(struct builder *b, const yaml_parser_t *parser, const char *text,
			  size_t len)
{
	uint32_t line = (uint32_t)parser->problem_mark.line + 1;
	const char *problem = parser->problem != NULL ? parser->problem : "not readable";

	if (parser->error == YAML_READER_ERROR) {
		line = 1;
		for (size_t i = 0; i < len && i < parser->problem_offset; i++)
			line += text[i] == '\n' ? 1 : 0;
	}
	tl_config_error(b->errors, b->name, line, NULL, "not valid YAML: %s%s%s", problem,
			parser->context != NULL ? " " : "",
			parser->context != NULL ? parser->context : "");
}

int tl_node_parse(const char *name, const char *text, size_t len, struct tl_arena *arena,
		  struct tl_node **ret_root, struct tl_config_errors *errors)
{
	struct builder b = {.name = name, .arena = arena, .errors = errors};
	yaml_parser_t parser;
	bool done = false;
	int ret = 0;

	if (yaml_parser_initialize(&parser) == 0)
		return -ENOMEM;
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	while (ret == 0 && !done) {
		yaml_event_t event;

		if (yaml_parser_parse(&parser, &event) == 0) {
			ret = parser.error == YAML_MEMORY_ERROR ? -ENOMEM : -EINVAL;
			if (ret == -EINVAL)
				report_syntax(&b, &parser, text, len);
			break;
		}
		ret = on_event(&b, &event);
		done = event.type == YAML_STREAM_END_EVENT;
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	if (ret == 0)
		*ret_root = b.root;
	return ret;
}
