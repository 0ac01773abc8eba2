// SPDX-License-Identifier: Apache-2.0
#include "base/slab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void blocks_do_not_overlap(void **state)
{
	(void)state;
	enum { BLOCKS = 500 };
	static uint32_t handles[BLOCKS], sizes[BLOCKS];
	struct tl_slab slab;
	uint32_t seed = 7;

	assert_int_equal(tl_slab_init(&slab, 4u << 20), 0);
	for (uint32_t round = 0; round < 20000; round++) {
		seed = seed * 1664525u + 1013904223u;
		uint32_t i = (seed >> 8) % BLOCKS;
		if (handles[i] != TL_SLAB_NONE) {
			const uint8_t *p = tl_slab_at(&slab, handles[i]);
			assert_int_equal(p[0], (uint8_t)i);
			assert_int_equal(p[sizes[i] - 1], (uint8_t)i);
			tl_slab_put(&slab, handles[i]);
			handles[i] = TL_SLAB_NONE;
			continue;
		}
		sizes[i] = 1 + (seed >> 4) % ((seed & 7) == 0 ? TL_SLAB_PAGE_BYTES : 2000);
		handles[i] = tl_slab_take(&slab, sizes[i]);
		if (handles[i] == TL_SLAB_NONE)
			continue;
		assert_true(tl_slab_room(&slab, handles[i]) >= sizes[i]);
		memset(tl_slab_at(&slab, handles[i]), (uint8_t)i, sizes[i]);
	}
	for (uint32_t i = 0; i < BLOCKS; i++)
		tl_slab_put(&slab, handles[i]);
	assert_int_equal(slab.used_bytes, 0);
	tl_slab_fini(&slab);
}

static void an_empty_page_serves_any_size(void **state)
{
	(void)state;
	struct tl_slab slab;

	assert_int_equal(tl_slab_init(&slab, 1), 0);
	for (uint32_t size = 64; size <= TL_SLAB_PAGE_BYTES; size *= 2) {
		uint32_t handle = tl_slab_take(&slab, size);
		assert_int_not_equal(handle, TL_SLAB_NONE);
		assert_int_equal(tl_slab_room(&slab, handle), size);
		if (size < TL_SLAB_PAGE_BYTES)
			assert_int_equal(tl_slab_take(&slab, TL_SLAB_PAGE_BYTES), TL_SLAB_NONE);
		tl_slab_put(&slab, handle);
	}
	assert_int_equal(slab.exhausted, 10);
	tl_slab_fini(&slab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_do_not_overlap),
		cmocka_unit_test(an_empty_page_serves_any_size),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
