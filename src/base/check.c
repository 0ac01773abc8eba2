// SPDX-License-Identifier: Apache-2.0
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void tl_assert_failed(const char *condition, const char *file, int line)
{
	fprintf(stderr, "tapline: internal error: %s (%s:%d); please report this\n", condition, file,
		line);
	abort();
}
