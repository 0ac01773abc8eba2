// SPDX-License-Identifier: Apache-2.0
#include "metrics/vmrange.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

// The reference knows no logarithm and none of the tables: g is the 18th root of ten by bisection,
// a boundary is a product of it. 113 mantissa bits leave no doubt about any 64-bit integer.
static __float128 growth;

static void make_growth(void)
{
	__float128 low = 1, high = 2;

	for (int i = 0; i < 200; i++) {
		__float128 middle = (low + high) / 2, power = 1;
		for (int k = 0; k < 18; k++)
			power *= middle;
		if (power < 10)
			low = middle;
		else
			high = middle;
	}
	growth = low;
}

static __float128 boundary(uint32_t k)
{
	__float128 value = 1;

	for (uint32_t i = 0; i < k / 18; i++)
		value *= 10;
	for (uint32_t i = 0; i < k % 18; i++)
		value *= growth;
	return value;
}

static __float128 boundaries[348];

static uint32_t reference_rank(uint64_t n)
{
	uint32_t low = 0, high = 347;

	// The number of boundaries below n.
	while (low < high) {
		uint32_t middle = (low + high) / 2;
		if (boundaries[middle] < (__float128)n)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void compare(uint64_t n)
{
	uint32_t rank = reference_rank(n);
	uint32_t ns = n == 0 ? 0 : rank == 0 ? 1 : rank;
	uint32_t count = n == 0 ? 0 : rank + 162 > 487 ? 487 : rank + 162;

	if (tl_vmrange_of_ns(n) != ns || tl_vmrange_of_count(n) != count) {
		fprintf(stderr, "n = %llu\n", (unsigned long long)n);
		assert_int_equal(tl_vmrange_of_ns(n), ns);
		assert_int_equal(tl_vmrange_of_count(n), count);
	}
}

static int set_up(void **state)
{
	(void)state;
	make_growth();
	for (uint32_t k = 0; k < 348; k++)
		boundaries[k] = boundary(k);
	return 0;
}

static void buckets_agree_with_the_reference(void **state)
{
	(void)state;
	uint64_t n = 88172645463325252ull;

	for (uint64_t i = 0; i < 2000000; i++)
		compare(i);
	for (uint64_t us = 0; us < 1000000; us++)
		compare(us * 1000);
	for (uint32_t i = 0; i < 1000000; i++) {
		n ^= n << 13;
		n ^= n >> 7;
		n ^= n << 17;
		compare(n >> (n & 63));
	}
}

static void boundaries_belong_to_the_lower_bucket(void **state)
{
	(void)state;
	uint64_t power = 1;

	for (uint32_t k = 0; k < 347; k++) {
		uint64_t at = (uint64_t)boundaries[k];
		for (uint64_t d = at > 2 ? at - 2 : 0; d <= at + 2; d++)
			compare(d);
	}
	for (uint32_t decade = 0; decade < 19; decade++, power *= 10) {
		assert_int_equal(tl_vmrange_of_ns(power), decade == 0 ? 1 : decade * 18);
		assert_int_equal(tl_vmrange_of_ns(power + 1), decade == 0 ? 6 : decade * 18 + 1);
		assert_int_equal(tl_vmrange_of_count(power), 162 + decade * 18);
	}
	for (uint32_t bit = 0; bit < 64; bit++) {
		compare((1ull << bit) - 1);
		compare(1ull << bit);
	}
}

static void extremes_have_a_bucket(void **state)
{
	(void)state;
	assert_int_equal(tl_vmrange_of_ns(0), TL_VMRANGE_LOWER);
	assert_int_equal(tl_vmrange_of_ns(1), 1);
	assert_int_equal(tl_vmrange_of_count(0), TL_VMRANGE_LOWER);
	assert_int_equal(tl_vmrange_of_count(1), 162);
	assert_int_equal(tl_vmrange_of_count(1000000000000000000ull), 486);
	assert_int_equal(tl_vmrange_of_count(1000000000000000001ull), TL_VMRANGE_UPPER);
	assert_int_equal(tl_vmrange_of_count(UINT64_MAX), TL_VMRANGE_UPPER);
	assert_true(tl_vmrange_of_ns(UINT64_MAX) < TL_VMRANGE_UPPER);
}

static void labels_are_upstreams(void **state)
{
	(void)state;
	assert_string_equal(tl_vmrange_label(0), "0...1.000e-09");
	assert_string_equal(tl_vmrange_label(1), "1.000e-09...1.136e-09");
	assert_string_equal(tl_vmrange_label(2), "1.136e-09...1.292e-09");
	assert_string_equal(tl_vmrange_label(162), "8.799e-01...1.000e+00");
	assert_string_equal(tl_vmrange_label(163), "1.000e+00...1.136e+00");
	assert_string_equal(tl_vmrange_label(486), "8.799e+17...1.000e+18");
	assert_string_equal(tl_vmrange_label(487), "1.000e+18...+Inf");
	for (uint32_t i = 1; i < 487; i++) {
		const char *start = tl_vmrange_label(i);
		const char *before = strstr(tl_vmrange_label(i - 1), "...");
		assert_memory_equal(start, before + 3, 9);
	}
}

static void bounds_join(void **state)
{
	(void)state;
	assert_true(tl_vmrange_start(0) == 0);
	assert_true(tl_vmrange_end(162) == 1.0);
	assert_true(tl_vmrange_end(0) == 1e-9);
	assert_true(tl_vmrange_end(108) == 1e-3);
	for (uint32_t i = 0; i < 487; i++)
		assert_true(tl_vmrange_end(i) < tl_vmrange_end(i + 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buckets_agree_with_the_reference),
		cmocka_unit_test(boundaries_belong_to_the_lower_bucket),
		cmocka_unit_test(extremes_have_a_bucket),
		cmocka_unit_test(labels_are_upstreams),
		cmocka_unit_test(bounds_join),
	};
	return cmocka_run_group_tests(tests, set_up, NULL);
}
