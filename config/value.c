// SPDX-License-Identifier: Apache-2.0
#include "config/value.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NEAREST_LEN_MAX 48u // longer words are never suggested nor compared

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit size_units[] = {
	{"b", 1},
	{"k", 1000},
	{"kb", 1000},
	{"ki", 1ull << 10},
	{"kib", 1ull << 10},
	{"m", 1000000},
	{"mb", 1000000},
	{"mi", 1ull << 20},
	{"mib", 1ull << 20},
	{"g", 1000000000},
	{"gb", 1000000000},
	{"gi", 1ull << 30},
	{"gib", 1ull << 30},
	{"t", 1000000000000},
	{"tb", 1000000000000},
	{"ti", 1ull << 40},
	{"tib", 1ull << 40},
};

static const struct unit duration_units[] = {
	{"ns", 1},
	{"us", 1000},
	{"ms", 1000000},
	{"s", 1000000000},
	{"m", 60000000000},
	{"h", 3600000000000},
	{"d", 86400000000000},
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

bool tl_parse_uint(const char *text, uint64_t *ret)
{
	uint64_t number = 0;

	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return false;
		if (__builtin_mul_overflow(number, 10u, &number) ||
		    __builtin_add_overflow(number, (uint64_t)(*text - '0'), &number))
			return false;
	}
	*ret = number;
	return true;
}

// Whole digits, then perhaps a fraction of at most nine digits; stops at the unit.
static bool parse_decimal(const char **text, uint64_t *ret_whole, uint64_t *ret_billionths)
{
	const char *at = *text;
	uint64_t whole = 0;
	uint64_t billionths = 0;
	uint64_t place = 100000000;

	if (*at < '0' || *at > '9')
		return false;
	for (; *at >= '0' && *at <= '9'; at++)
		if (__builtin_mul_overflow(whole, 10u, &whole) ||
		    __builtin_add_overflow(whole, (uint64_t)(*at - '0'), &whole))
			return false;
	if (*at == '.') {
		at++;
		if (*at < '0' || *at > '9')
			return false;
		for (; *at >= '0' && *at <= '9'; at++) {
			billionths += (uint64_t)(*at - '0') * place;
			place /= 10;
		}
	}
	*text = at;
	*ret_whole = whole;
	*ret_billionths = billionths;
	return true;
}

static bool scale(uint64_t whole, uint64_t billionths, uint64_t factor, uint64_t *ret)
{
	unsigned __int128 sum = (unsigned __int128)whole * factor +
				(unsigned __int128)billionths * factor / 1000000000u;

	if (sum > UINT64_MAX)
		return false;
	*ret = (uint64_t)sum;
	return true;
}

static uint64_t unit_factor(const struct unit *units, size_t count, const char *name, size_t len)
{
	for (size_t i = 0; i < count; i++)
		if (strlen(units[i].name) == len && strncasecmp(units[i].name, name, len) == 0)
			return units[i].factor;
	return 0;
}

bool tl_parse_size(const char *text, uint64_t *ret_bytes)
{
	uint64_t whole;
	uint64_t billionths;
	uint64_t factor = 1;

	if (!parse_decimal(&text, &whole, &billionths))
		return false;
	while (*text == ' ')
		text++;
	if (*text != '\0')
		factor = unit_factor(size_units, COUNT_OF(size_units), text, strlen(text));
	return factor != 0 && scale(whole, billionths, factor, ret_bytes);
}

bool tl_parse_duration(const char *text, uint64_t *ret_ns)
{
	uint64_t sum = 0;

	if (strcmp(text, "0") == 0) {
		*ret_ns = 0;
		return true;
	}
	if (*text == '\0')
		return false;
	while (*text != '\0') {
		uint64_t whole;
		uint64_t billionths;
		uint64_t part;
		size_t len;

		if (!parse_decimal(&text, &whole, &billionths))
			return false;
		while (*text == ' ')
			text++;
		len = strspn(text, "abcdefghijklmnopqrstuvwxyz");
		uint64_t factor = unit_factor(duration_units, COUNT_OF(duration_units), text, len);
		if (factor == 0 || !scale(whole, billionths, factor, &part) ||
		    __builtin_add_overflow(sum, part, &sum))
			return false;
		text += len;
	}
	*ret_ns = sum;
	return true;
}

bool tl_parse_real(const char *text, double *ret)
{
	char *end;

	// strtod would also take "inf", "nan" and hexadecimal, which nobody means here.
	if (*text == '\0' || strspn(text, "0123456789+-.eE") != strlen(text))
		return false;
	double number = strtod(text, &end);
	if (*end != '\0' || !isfinite(number))
		return false;
	*ret = number;
	return true;
}

bool tl_parse_bool(const char *text, bool *ret)
{
	static const char *const words[] = {"false", "true", "no", "yes", "off", "on"};

	for (size_t i = 0; i < COUNT_OF(words); i++)
		if (strcasecmp(text, words[i]) == 0) {
			*ret = i % 2 == 1;
			return true;
		}
	return false;
}

bool tl_parse_network(const char *text)
{
	char address[64];
	unsigned char raw[16];
	size_t len = strcspn(text, "/");
	uint64_t bits = 0;

	if (len >= sizeof(address) || (text[len] == '/' && !tl_parse_uint(text + len + 1, &bits)))
		return false;
	memcpy(address, text, len);
	address[len] = '\0';
	if (inet_pton(AF_INET, address, raw) == 1)
		return bits <= 32;
	return inet_pton(AF_INET6, address, raw) == 1 && bits <= 128;
}

char *tl_format_size(uint64_t bytes, char *ret)
{
	static const char *const names[] = {"", "KiB", "MiB", "GiB", "TiB"};
	uint32_t power = 0;

	while (power + 1 < COUNT_OF(names) && bytes != 0 && bytes % 1024 == 0) {
		bytes /= 1024;
		power++;
	}
	(void)snprintf(ret, TL_VALUE_TEXT_BYTES, "%" PRIu64 "%s", bytes, names[power]);
	return ret;
}

char *tl_format_duration(uint64_t ns, char *ret)
{
	if (ns == 0) {
		(void)snprintf(ret, TL_VALUE_TEXT_BYTES, "0s");
		return ret;
	}
	for (size_t i = COUNT_OF(duration_units); i-- > 0;)
		if (ns % duration_units[i].factor == 0) {
			(void)snprintf(ret, TL_VALUE_TEXT_BYTES, "%" PRIu64 "%s",
				       ns / duration_units[i].factor, duration_units[i].name);
			break;
		}
	return ret;
}

static char folded(char c)
{
	return (char)(c == '-' || c == '.' ? '_' : tolower((unsigned char)c));
}

// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
static uint32_t edit_distance(const char *a, const char *b)
{
	uint32_t rows[3][NEAREST_LEN_MAX + 1];
	uint32_t *before = rows[0];
	uint32_t *last = rows[1];
	uint32_t *now = rows[2];
	uint32_t a_len = (uint32_t)strlen(a);
	uint32_t b_len = (uint32_t)strlen(b);

	if (a_len > NEAREST_LEN_MAX || b_len > NEAREST_LEN_MAX)
		return UINT32_MAX;
	memset(rows, 0, sizeof(rows));
	for (uint32_t j = 0; j <= b_len; j++)
		last[j] = j;
	for (uint32_t i = 1; i <= a_len; i++) {
		now[0] = i;
		for (uint32_t j = 1; j <= b_len; j++) {
			bool same = folded(a[i - 1]) == folded(b[j - 1]);
			uint32_t best = last[j - 1] + (same ? 0 : 1);

			best = last[j] + 1 < best ? last[j] + 1 : best;
			best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
			if (i > 1 && j > 1 && folded(a[i - 1]) == folded(b[j - 2]) &&
			    folded(a[i - 2]) == folded(b[j - 1]) && before[j - 2] + 1 < best)
				best = before[j - 2] + 1;
			now[j] = best;
		}
		uint32_t *free_row = before;
		before = last;
		last = now;
		now = free_row;
	}
	return last[b_len];
}

const char *tl_nearest(const char *word, const char *const *words, uint32_t count)
{
	const char *nearest = NULL;
	uint32_t best = (uint32_t)strlen(word) / 3 + 1;

	for (uint32_t i = 0; i < count; i++) {
		if (words[i] == NULL)
			continue;
		uint32_t distance = edit_distance(word, words[i]);
		// A word that begins alike ("port" for "ports", "snap" for "snaplen") is near, too.
		if (strlen(word) >= 3 && strncasecmp(word, words[i], strlen(word)) == 0 &&
		    distance > 1)
			distance = 1;
		if (distance < best || (distance == best && nearest == NULL)) {
			best = distance;
			nearest = words[i];
		}
	}
	return nearest;
}
