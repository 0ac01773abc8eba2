// SPDX-License-Identifier: Apache-2.0
#include "exporters/http_sink/http_sink.h"

#include "base/check.h"

enum tl_http_verdict tl_http_judge(const struct tl_http_rule *rules, uint32_t status)
{
	for (; rules != NULL && rules->first != 0; rules++)
		if (status >= rules->first && status <= rules->last)
			return (enum tl_http_verdict)rules->verdict;
	return status >= 400 && status < 500 ? TL_HTTP_DROP : TL_HTTP_RETRY;
}

// Up to `digits` digits at *at; false if there is none.
static bool take_number(struct tl_bytes text, uint32_t *at, uint32_t digits, uint32_t *ret)
{
	uint32_t from = *at;

	*ret = 0;
	for (; *at < text.len && *at - from < digits; (*at)++) {
		if (text.ptr[*at] < '0' || text.ptr[*at] > '9')
			break;
		*ret = *ret * 10 + (uint32_t)(text.ptr[*at] - '0');
	}
	return *at != from;
}

static bool take_byte(struct tl_bytes text, uint32_t *at, uint8_t byte)
{
	if (*at >= text.len || text.ptr[*at] != byte)
		return false;
	(*at)++;
	return true;
}

static bool take_month(struct tl_bytes text, uint32_t *at, uint32_t *ret)
{
	static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

	for (uint32_t i = 0; text.len - *at >= 3 && i < 12; i++)
		if (memcmp(text.ptr + *at, names + 3 * (size_t)i, 3) == 0) {
			*at += 3;
			*ret = i + 1;
			return true;
		}
	return false;
}

// Days from 1970-01-01 in the Gregorian calendar; March is taken as the first month.
static uint64_t days_of(uint32_t year, uint32_t month, uint32_t day)
{
	uint32_t y = month <= 2 ? year - 1 : year;
	uint32_t m = month <= 2 ? month + 9 : month - 3;
	return (uint64_t)365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

// "Sun, 06 Nov 1994 08:49:37 GMT", the only form that may be sent (RFC 9110 section 5.6.7).
// Seconds since 1970; 0 for anything else.
static uint64_t date_of(struct tl_bytes text)
{
	uint32_t at = 5, day, month, year, hour, minute, second;

	if (text.len < 5 || text.ptr[3] != ',' || text.ptr[4] != ' ')
		return 0;
	if (!take_number(text, &at, 2, &day) || !take_byte(text, &at, ' ') ||
	    !take_month(text, &at, &month) || !take_byte(text, &at, ' ') ||
	    !take_number(text, &at, 4, &year) || !take_byte(text, &at, ' ') ||
	    !take_number(text, &at, 2, &hour) || !take_byte(text, &at, ':') ||
	    !take_number(text, &at, 2, &minute) || !take_byte(text, &at, ':') ||
	    !take_number(text, &at, 2, &second) || !tl_bytes_is(tl_bytes_from(text, at), " GMT"))
		return 0;
	if (day < 1 || day > 31 || year < 1970 || hour > 23 || minute > 59 || second > 60)
		return 0;
	return days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
}

uint64_t tl_http_retry_after(struct tl_bytes value, uint64_t now_ns)
{
	const uint64_t most_s = TL_HTTP_RETRY_AFTER_NS_MAX / 1000000000;
	uint64_t seconds = 0;

	value = tl_bytes_trim(value);
	uint32_t i = 0;
	for (; i < value.len && value.ptr[i] >= '0' && value.ptr[i] <= '9'; i++)
		if (seconds <= most_s) // longer ones are cut anyway
			seconds = seconds * 10 + (uint64_t)(value.ptr[i] - '0');
	if (i != value.len || value.len == 0) {
		uint64_t date = date_of(value), now_s = now_ns / 1000000000;
		seconds = date > now_s ? date - now_s : 0;
	}
	return (seconds < most_s ? seconds : most_s) * 1000000000;
}
