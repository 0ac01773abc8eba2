// SPDX-License-Identifier: Apache-2.0
#include "collectors/filter.h"

#include <errno.h>
#include <stddef.h>

static int compile(regex_t *regex, const char *text, bool *ret_has)
{
	*ret_has = text[0] != '\0' && regcomp(regex, text, REG_EXTENDED | REG_NOSUB) == 0;
	return text[0] == '\0' || *ret_has ? 0 : -EINVAL;
}

int tl_key_filter_init(struct tl_key_filter *filter, const char *included, const char *excluded)
{
	int rc = compile(&filter->included, included, &filter->has_included);
	int other = compile(&filter->excluded, excluded, &filter->has_excluded);

	return rc < 0 ? rc : other;
}

void tl_key_filter_fini(struct tl_key_filter *filter)
{
	if (filter->has_included)
		regfree(&filter->included);
	if (filter->has_excluded)
		regfree(&filter->excluded);
	filter->has_included = filter->has_excluded = false;
}

bool tl_key_filter_wants(const struct tl_key_filter *filter, const char *key)
{
	if (filter->has_included && regexec(&filter->included, key, 0, NULL, 0) != 0)
		return false;
	return !filter->has_excluded || regexec(&filter->excluded, key, 0, NULL, 0) != 0;
}
