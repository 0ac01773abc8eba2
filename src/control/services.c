// SPDX-License-Identifier: Apache-2.0
#include "control/services.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX (8u << 20)
#define ROWS_MAX 200000u
#define NAME_BYTES_MAX 255u

// One name. An all-zero address stands for any, port 0 for any.
struct row {
	uint8_t address[16];
	uint16_t port;
	uint32_t order; // of appearance: the first of two counts
	const char *name;
};

struct tl_services {
	struct row *rows; // sorted by address, port; no two alike
	uint32_t count;
	char *text;       // the file, cut at the ends of its words
	char *names;      // those of the configuration
};

static int compare(const void *a, const void *b)
{
	const struct row *left = a, *right = b;
	int order = memcmp(left->address, right->address, sizeof(left->address));

	return order != 0 ? order : (int)left->port - (int)right->port;
}

static int compare_all(const void *a, const void *b)
{
	const struct row *left = a, *right = b;
	int order = compare(a, b);

	return order != 0 ? order : (left->order > right->order) - (left->order < right->order);
}

// "10.0.0.1", "10.0.0.1:80", "[2001:db8::1]:80", "2001:db8::1", ":80".
static bool parse_key(const char *key, struct row *ret_row)
{
	char host[INET6_ADDRSTRLEN + 2] = "";
	const char *colon = strrchr(key, ':');
	const char *bracket = strchr(key, ']');
	bool is_plain_v6 = colon != NULL && strchr(key, ':') != colon && bracket == NULL;
	unsigned long port = 0;

	if (colon != NULL && !is_plain_v6 && (bracket == NULL || colon > bracket)) {
		char *end;
		port = strtoul(colon + 1, &end, 10);
		if (colon[1] < '0' || colon[1] > '9' || *end != '\0' || port == 0 || port > 65535)
			return false;
	} else {
		colon = key + strlen(key);
	}
	size_t len = (size_t)(colon - key);
	if (len >= 2 && key[0] == '[' && key[len - 1] == ']') {
		key++;
		len -= 2;
	}
	if (len >= sizeof(host))
		return false;
	memcpy(host, key, len);
	*ret_row = (struct row) {.port = (uint16_t)port};
	if (len == 0)
		return port != 0;
	if (inet_pton(AF_INET, host, ret_row->address + 12) == 1) {
		ret_row->address[10] = 0xff;
		ret_row->address[11] = 0xff;
		return true;
	}
	return inet_pton(AF_INET6, host, ret_row->address) == 1;
}

static int read_file(const char *path, char **ret_text, char *error, uint32_t error_size)
{
	FILE *file = fopen(path, "re");
	char *text = malloc(FILE_BYTES_MAX + 1);
	int rc = 0;

	if (file == NULL || text == NULL) {
		rc = file == NULL ? -errno : -ENOMEM;
		(void)snprintf(error, error_size, "%s: %s", path, strerror(-rc));
		goto out_close;
	}
	size_t len = fread(text, 1, FILE_BYTES_MAX + 1, file);
	if (ferror(file) != 0 || len > FILE_BYTES_MAX) {
		rc = ferror(file) != 0 ? -EIO : -EFBIG;
		(void)snprintf(error, error_size, "%s: %s", path,
			       rc == -EIO ? "can't be read" : "larger than 8 MiB");
		goto out_close;
	}
	text[len] = '\0';
	*ret_text = text;
	text = NULL;
out_close:
	free(text);
	if (file != NULL)
		(void)fclose(file);
	return rc;
}

static int bad_line(const char *path, uint32_t line, const char *what, char *error,
		    uint32_t error_size)
{
	(void)snprintf(error, error_size,
		       "%s:%u: %s; a line is \"10.0.0.2:80 payments\"", path, line, what);
	return -EINVAL;
}

// Cuts a line into its two words. 0: nothing in it, 1: two words, -1: something else.
static int cut_line(char *line, char **ret_key, char **ret_name)
{
	char *rest;

	line[strcspn(line, "#\r")] = '\0';
	*ret_key = strtok_r(line, " \t", &rest);
	if (*ret_key == NULL)
		return 0;
	*ret_name = strtok_r(NULL, " \t", &rest);
	return *ret_name != NULL && strtok_r(NULL, " \t", &rest) == NULL ? 1 : -1;
}

static int add_file(struct tl_services *s, const char *path, char *error, uint32_t error_size)
{
	uint32_t number = 1;
	int rc = read_file(path, &s->text, error, error_size);
	struct row *rows;

	if (rc < 0)
		return rc;
	uint32_t lines = 1;
	for (const char *at = s->text; (at = strchr(at, '\n')) != NULL; at++)
		lines++;
	lines = lines < ROWS_MAX ? lines : ROWS_MAX;
	rows = realloc(s->rows, (s->count + lines) * sizeof(*rows));
	if (rows == NULL)
		return -ENOMEM;
	s->rows = rows;
	char *line = s->text;
	for (char *next; line != NULL; line = next, number++) {
		char *key, *name;
		next = strchr(line, '\n');
		if (next != NULL)
			*next++ = '\0';
		int words = cut_line(line, &key, &name);
		if (words == 0)
			continue;
		if (number > ROWS_MAX)
			return bad_line(path, number, "too many lines", error, error_size);
		if (words < 0)
			return bad_line(path, number, "not two words", error, error_size);
		if (!parse_key(key, &s->rows[s->count]))
			return bad_line(path, number, "not an address, address:port or :port", error,
					error_size);
		if (strlen(name) > NAME_BYTES_MAX)
			return bad_line(path, number, "the name is too long", error, error_size);
		s->rows[s->count].name = name;
		s->rows[s->count].order = s->count;
		s->count++;
	}
	return 0;
}

static int add_names(struct tl_services *s, const struct tl_text_map *names, char *error,
		     uint32_t error_size)
{
	size_t bytes = 1;

	for (uint32_t i = 0; i < names->count; i++)
		bytes += strlen(names->items[i].value) + 1;
	s->rows = calloc(names->count + 1, sizeof(*s->rows));
	s->names = malloc(bytes);
	if (s->rows == NULL || s->names == NULL)
		return -ENOMEM;
	char *at = s->names;
	for (; s->count < names->count; s->count++) {
		const struct tl_text_pair *pair = &names->items[s->count];
		size_t len = strlen(pair->value) + 1;
		if (!parse_key(pair->key, &s->rows[s->count])) {
			(void)snprintf(error, error_size,
				       "names: \"%s\": not an address, address:port or :port",
				       pair->key);
			return -EINVAL;
		}
		memcpy(at, pair->value, len);
		s->rows[s->count].name = at;
		s->rows[s->count].order = s->count;
		at += len;
	}
	return 0;
}

static void sort(struct tl_services *s)
{
	uint32_t kept = 0;

	qsort(s->rows, s->count, sizeof(*s->rows), compare_all);
	for (uint32_t i = 0; i < s->count; i++)
		if (kept == 0 || compare(&s->rows[kept - 1], &s->rows[i]) != 0)
			s->rows[kept++] = s->rows[i];
	s->count = kept;
}

int tl_services_create(const struct tl_text_map *names, const char *file,
		       struct tl_services **ret_services, char *error, uint32_t error_size)
{
	static const struct tl_text_map none;
	struct tl_services *s = calloc(1, sizeof(*s));
	int rc = -ENOMEM;

	(void)snprintf(error, error_size, "out of memory");
	if (s != NULL)
		rc = add_names(s, names == NULL ? &none : names, error, error_size);
	if (rc == 0 && file != NULL && file[0] != '\0')
		rc = add_file(s, file, error, error_size);
	if (rc < 0) {
		tl_services_destroy(s);
		return rc;
	}
	sort(s);
	*ret_services = s;
	return 0;
}

void tl_services_destroy(struct tl_services *s)
{
	if (s == NULL)
		return;
	free(s->rows);
	free(s->text);
	free(s->names);
	free(s);
}

const char *tl_services_name(const struct tl_services *s, const uint8_t address[16], uint16_t port)
{
	struct row wanted[3] = {{.port = port}, {.port = 0}, {.port = port}};

	memcpy(wanted[0].address, address, 16);
	memcpy(wanted[1].address, address, 16);
	for (uint32_t i = 0; i < 3 && s->count != 0; i++) {
		const struct row *row =
			bsearch(&wanted[i], s->rows, s->count, sizeof(*s->rows), compare);
		if (row != NULL)
			return row->name;
	}
	return NULL;
}
