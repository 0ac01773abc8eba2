// SPDX-License-Identifier: Apache-2.0
// The configuration loader. Beyond not crashing: what is accepted prints as a file that is
// accepted again and means the same.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void differs(void *arg, const char *key, const char *before, const char *after, bool is_hot)
{
	(void)is_hot;
	// A masked value may differ; it then looks alike.
	if (strcmp(before, after) != 0) {
		(void)fprintf(stderr, "%s: %s became %s\n", key, before, after);
		*(bool *)arg = true;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tl_config_errors errors;
	struct tl_config *config = NULL;
	struct tl_config *again = NULL;
	char *text = NULL;
	size_t len = 0;
	bool changed = false;

	if (tl_config_parse("fuzz", (const char *)data, size, &config, &errors) < 0) {
		TL_ASSERT(config == NULL && errors.count > 0);
		return 0;
	}
	TL_ASSERT(errors.count == 0);
	FILE *out = open_memstream(&text, &len);
	TL_ASSERT(out != NULL && tl_config_print_effective(config, out) == 0);
	(void)fclose(out);
	if (tl_config_parse("again", text, len, &again, &errors) < 0) {
		(void)fprintf(stderr, "%s\n%s", errors.lines[0], text);
		TL_ASSERT(!"the printed form is refused");
	}
	(void)tl_config_diff(config, again, differs, &changed);
	TL_ASSERT(!changed);
	tl_config_free(config);
	tl_config_free(again);
	free(text);
	return 0;
}
