// SPDX-License-Identifier: Apache-2.0
#include "config/expand.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_BYTES_MAX 65536u // of one value after all replacements

struct expansion {
	char *bytes; // VALUE_BYTES_MAX
	size_t len;
	char *error;
	size_t error_size;
};

static bool append(struct expansion *out, const char *text, size_t len)
{
	if (len > VALUE_BYTES_MAX - 1 - out->len) {
		(void)snprintf(out->error, out->error_size, "the value is too long");
		return false;
	}
	memcpy(out->bytes + out->len, text, len);
	out->len += len;
	return true;
}

// One reference; `at` is behind "${". Returns what follows "}", NULL after an error.
static const char *expand_one(struct expansion *out, const char *at)
{
	char name[64];
	size_t len = strspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
	const char *end = strchr(at, '}');
	bool has_default = strncmp(at + len, ":-", 2) == 0;
	bool fits;

	if (end == NULL || len == 0 || len >= sizeof(name) || (!has_default && at + len != end)) {
		(void)snprintf(out->error, out->error_size,
			       "bad reference, write ${NAME} or ${NAME:-default}, or $${ for a "
			       "plain ${");
		return NULL;
	}
	memcpy(name, at, len);
	name[len] = '\0';
	const char *value = getenv(name);
	if (value != NULL && (*value != '\0' || !has_default)) {
		fits = append(out, value, strlen(value));
	} else if (has_default) {
		fits = append(out, at + len + 2, (size_t)(end - at) - len - 2);
	} else {
		(void)snprintf(out->error, out->error_size,
			       "the environment variable %s is not set; set it or write "
			       "${%s:-default}",
			       name, name);
		return NULL;
	}
	return fits ? end + 1 : NULL;
}

int tl_expand(struct tl_arena *arena, const char *text, const char **ret_text, char *error,
	      size_t error_size)
{
	struct expansion out = {.error = error, .error_size = error_size};
	const char *at = text;
	const char *copy;

	if (strstr(at, "${") == NULL) {
		*ret_text = text;
		return 0;
	}
	out.bytes = (char *)malloc(VALUE_BYTES_MAX);
	if (out.bytes == NULL)
		return -ENOMEM;
	while (at != NULL && *at != '\0') {
		if (strncmp(at, "$${", 3) == 0)
			at = append(&out, "${", 2) ? at + 3 : NULL;
		else if (strncmp(at, "${", 2) == 0)
			at = expand_one(&out, at + 2);
		else
			at = append(&out, at, 1) ? at + 1 : NULL;
	}
	copy = at == NULL ? NULL : tl_arena_text(arena, out.bytes, out.len);
	free(out.bytes);
	if (at == NULL)
		return -EINVAL;
	if (copy == NULL)
		return -ENOMEM;
	*ret_text = copy;
	return 0;
}
