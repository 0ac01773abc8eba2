// SPDX-License-Identifier: Apache-2.0
#include "conversation.h"

#include <stdlib.h>

#define LINE_MAX_BYTES 65536

struct reader {
	const char *path;
	uint32_t line;
	struct conversation *c;
};

_Noreturn static void bad(const struct reader *r, const char *what)
{
	fprintf(stderr, "%s:%u: %s\n", r->path, r->line, what);
	exit(2);
}

static int hex(const struct reader *r, char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	bad(r, "a hex digit is missing");
}

static void put(const struct reader *r, uint8_t byte)
{
	if (r->c->len == CONVERSATION_BYTES_MAX)
		bad(r, "the conversation is too long");
	r->c->bytes[r->c->len++] = byte;
}

static void append(const struct reader *r, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text != '\\') {
			put(r, (uint8_t)*text);
			continue;
		}
		switch (*++text) {
		case 'r':
			put(r, '\r');
			break;
		case 'n':
			put(r, '\n');
			break;
		case 't':
			put(r, '\t');
			break;
		case '0':
			put(r, '\0');
			break;
		case '\\':
			put(r, '\\');
			break;
		case 's': // a blank that an editor can't eat
			put(r, ' ');
			break;
		case 'x':
			put(r, (uint8_t)(hex(r, text[1]) << 4 | hex(r, text[2])));
			text += 2;
			break;
		default:
			bad(r, "unknown escape");
		}
	}
}

static void extend(const struct reader *r, const char *text)
{
	if (r->c->turn_count == 0)
		bad(r, "nothing to go on with");
	struct turn *turn = &r->c->turns[r->c->turn_count - 1];
	append(r, text);
	turn->len = r->c->len - turn->offset;
}

static void add_turn(const struct reader *r, uint8_t lane, const char *rest)
{
	struct conversation *c = r->c;
	uint32_t times = 1;

	if (c->turn_count == TURNS_MAX)
		bad(r, "too many turns");
	struct turn *turn = &c->turns[c->turn_count];
	*turn = (struct turn) {.lane = lane, .offset = c->len};
	if (*rest == '+') {
		turn->is_eager = true;
		rest++;
	} else if (*rest == '*') {
		char *end;
		times = (uint32_t)strtoul(rest + 1, &end, 10);
		rest = end;
	}
	if (*rest++ != ':')
		bad(r, "a colon is missing");
	if (*rest == ' ')
		rest++;
	for (uint32_t i = 0; i < c->turn_count; i++) {
		if (c->turns[i].lane == lane)
			turn->lane_offset += c->turns[i].len;
		else
			turn->needs++;
	}
	if (turn->is_eager) {
		turn->needs = 0;
		for (uint32_t i = 0; i < c->turn_count; i++)
			if (c->turns[i].lane == lane)
				turn->needs = c->turns[i].needs;
	}
	c->turn_count++;
	for (uint32_t i = 0; i < times; i++)
		append(r, rest);
	turn->len = c->len - turn->offset;
}

static char *keep(const char *text)
{
	while (*text == ' ')
		text++;
	char *copy = strdup(text);
	if (copy == NULL)
		abort();
	return copy;
}

static void add_text(const struct reader *r, char **list, uint32_t *count, uint32_t max,
		     const char *text)
{
	if (*count == max)
		bad(r, "too many of these");
	list[(*count)++] = keep(text);
}

static void set_closing(const struct reader *r, const char *word)
{
	static const char *const words[] = {"fin", "server", "reset", "open"};

	for (uint8_t i = 0; i < 4; i++) {
		if (strcmp(word, words[i]) != 0)
			continue;
		r->c->closing = i;
		return;
	}
	bad(r, "close: fin, server, reset or open");
}

static bool is_key(const char *line, const char *key, const char **ret_value)
{
	size_t len = strlen(key);
	if (strncmp(line, key, len) != 0)
		return false;
	line += len;
	while (*line == ' ')
		line++;
	*ret_value = line;
	return true;
}

static void set_joins(struct conversation *c, const char *value)
{
	c->hides_starts = strcmp(value, "no") == 0;
	c->refers_back = strcmp(value, "partly") == 0;
}

static void take_line(const struct reader *r, const char *line)
{
	struct conversation *c = r->c;
	const char *value;

	if (line[0] == ' ' || line[0] == '\t')
		extend(r, line + strspn(line, " \t"));
	else if (line[0] == 'C' && strchr("+*:", line[1]) != NULL)
		add_turn(r, TL_CLIENT, line + 1);
	else if (line[0] == 'S' && strchr("+*:", line[1]) != NULL)
		add_turn(r, TL_SERVER, line + 1);
	else if (line[0] == '=')
		add_text(r, c->expected, &c->expected_count, EXPECTED_MAX, line + 1);
	else if (is_key(line, "option:", &value))
		add_text(r, c->options, &c->option_count, OPTIONS_MAX, value);
	else if (is_key(line, "joins:", &value))
		set_joins(c, value);
	else if (is_key(line, "orphans:", &value))
		c->is_carried = strcmp(value, "outer") == 0;
	else if (is_key(line, "port:", &value))
		c->port = (uint16_t)strtoul(value, NULL, 10);
	else if (is_key(line, "close:", &value))
		set_closing(r, value);
	else
		bad(r, "neither a turn, an option nor an expected record");
}

static struct conversation *begin(const char *name)
{
	struct conversation *c = (struct conversation *)calloc(1, sizeof(*c));
	if (c == NULL)
		abort();
	c->name = keep(name);
	c->port = 80;
	c->bytes = (uint8_t *)malloc(CONVERSATION_BYTES_MAX);
	if (c->bytes == NULL)
		abort();
	return c;
}

struct conversation *conversation_read(FILE *file, const char *path, uint32_t *line)
{
	static char text[LINE_MAX_BYTES];
	struct reader r = {.path = path, .line = *line};

	while (fgets(text, sizeof(text), file) != NULL) {
		const char *name;
		size_t len = strlen(text);
		r.line++;
		while (len != 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
			text[--len] = '\0';
		if (len == 0 || text[0] == '#')
			continue;
		if (is_key(text, "conversation:", &name)) {
			if (r.c != NULL) {
				(void)fseek(file, -(long)(len + 1), SEEK_CUR);
				r.line--;
				break;
			}
			r.c = begin(name);
			continue;
		}
		if (r.c == NULL)
			bad(&r, "`conversation: NAME` comes first");
		take_line(&r, text);
	}
	*line = r.line;
	return r.c;
}

void conversation_free(struct conversation *c)
{
	if (c == NULL)
		return;
	for (uint32_t i = 0; i < c->expected_count; i++)
		free(c->expected[i]);
	for (uint32_t i = 0; i < c->option_count; i++)
		free(c->options[i]);
	free(c->name);
	free(c->bytes);
	free(c);
}

uint64_t conversation_lane_len(const struct conversation *c, uint8_t lane)
{
	uint64_t len = 0;
	for (uint32_t i = 0; i < c->turn_count; i++)
		if (c->turns[i].lane == lane)
			len += c->turns[i].len;
	return len;
}
