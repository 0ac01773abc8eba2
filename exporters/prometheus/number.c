// SPDX-License-Identifier: Apache-2.0
#include "exporters/prometheus/prometheus.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define EXACT_INTEGERS 9007199254740992.0 // 2^53: below it every integer is a double

// 1.048576e+06 and 10240.0, as Go has them: an exponent below 1e-4 and from 1e6 on.
static void put_go(struct tl_text *text, double value, int digits)
{
	char exponent[32];

	(void)snprintf(exponent, sizeof(exponent), "%.*e", digits - 1, value);
	long power = strtol(strchr(exponent, 'e') + 1, NULL, 10);
	if (value != 0 && (power < -4 || power >= 6)) {
		tl_text_puts(text, exponent);
	} else {
		int decimals = digits - 1 - (int)power;
		tl_text_printf(text, "%.*f", decimals > 0 ? decimals : 1, value);
	}
}

void tl_prometheus_uint(struct tl_text *text, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value != 0);
	tl_text_add(text, digits + at, sizeof(digits) - at);
}

void tl_prometheus_number(struct tl_text *text, double value, bool is_go)
{
	char digits[40];
	int precision = 1;

	if (isnan(value) || isinf(value)) {
		tl_text_puts(text, isnan(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf");
		return;
	}
	if (!is_go && value == trunc(value) && fabs(value) < EXACT_INTEGERS) {
		if (signbit(value))
			tl_text_printf(text, "%.0f", value);
		else
			tl_prometheus_uint(text, (uint64_t)value);
		return;
	}
	// Few numbers need all 17 digits; most that we write were decimal once.
	if (!is_go)
		precision = 15;
	for (; precision < 17; precision++) {
		(void)snprintf(digits, sizeof(digits), "%.*g", precision, value);
		if (strtod(digits, NULL) == value)
			break;
	}
	if (is_go)
		put_go(text, value, precision);
	else
		tl_text_printf(text, "%.*g", precision, value);
}
