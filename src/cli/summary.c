// SPDX-License-Identifier: Apache-2.0
#include "cli/summary.h"

#include "base/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define HINTS_MAX 6u
#define NAMES_SHOWN 10u

// 1234567 as 1,234,567.
static void add_count(struct tl_text *text, uint64_t number)
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%" PRIu64, number);

	for (int i = 0; i < len; i++) {
		if (i != 0 && (len - i) % 3 == 0)
			tl_text_puts(text, ",");
		tl_text_add(text, &digits[i], 1);
	}
}

static void add_counted(struct tl_text *text, uint64_t number, const char *one, const char *many)
{
	add_count(text, number);
	tl_text_printf(text, " %s", number == 1 ? one : many);
}

static void add_roundtrips(struct tl_text *text, const struct tl_tally *tally)
{
	for (uint16_t id = 0; id < tl_decoder_count && id < TL_TALLY_PROTOCOLS_MAX; id++) {
		uint64_t sum = 0;
		for (int s = 0; s < TL_STATUS_COUNT; s++)
			sum += tally->count[id][s];
		if (sum == 0)
			continue;
		tl_text_printf(text, "  %-11s ", tl_decoders[id]->name);
		add_count(text, sum);
		const char *separator = ": ";
		for (int s = 0; s < TL_STATUS_COUNT; s++) {
			if (tally->count[id][s] == 0)
				continue;
			tl_text_puts(text, separator);
			add_count(text, tally->count[id][s]);
			tl_text_printf(text, " %s", tl_status_name((enum tl_status)s));
			separator = ", ";
		}
		tl_text_puts(text, "\n");
	}
}

struct verdict_row {
	const char *name;
	struct tl_verdict_count count;
};

static int by_bytes(const void *a, const void *b)
{
	const struct verdict_row *left = a, *right = b;
	if (left->count.bytes != right->count.bytes)
		return left->count.bytes < right->count.bytes ? 1 : -1;
	return left->count.flows < right->count.flows ? 1 : -1;
}

static void add_verdicts(struct tl_text *text, const struct tl_totals *totals)
{
	struct verdict_row rows[TL_TOTALS_VERDICTS_MAX];
	uint32_t count = 0;
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < totals->verdict_count; i++) {
		if (totals->verdicts[i].flows == 0 && totals->verdicts[i].bytes == 0)
			continue;
		rows[count++] = (struct verdict_row) {
			.name = tl_totals_verdict_name(i), .count = totals->verdicts[i]};
		bytes += totals->verdicts[i].bytes;
	}
	if (count == 0)
		return;
	qsort(rows, count, sizeof(rows[0]), by_bytes);
	tl_text_puts(text, "Payload by verdict:\n");
	for (uint32_t i = 0; i < count; i++) {
		double share = bytes == 0 ? 0 : (double)rows[i].count.bytes * 100 / (double)bytes;
		tl_text_printf(text, "  %-11s %5.1f %%  ",
			       rows[i].name == NULL ? "?" : rows[i].name, share);
		tl_text_size(text, rows[i].count.bytes);
		tl_text_puts(text, " in ");
		add_counted(text, rows[i].count.flows, "flow", "flows");
		tl_text_puts(text, "\n");
	}
}

// "TLS names: example.org 12, example.com 3, others 9", by connections.
static void add_names(struct tl_text *text, const struct tl_names *names)
{
	const struct tl_name *top[NAMES_SHOWN];
	uint32_t count = tl_names_top(names, top, NAMES_SHOWN);
	uint64_t others = names->others;

	for (uint32_t i = 0; i < TL_COUNT_OF(names->at); i++)
		others += names->at[i].count;
	for (uint32_t i = 0; i < count; i++) {
		tl_text_printf(text, "%s%s ", i == 0 ? "TLS names: " : ", ", top[i]->text);
		add_count(text, top[i]->count);
		others -= top[i]->count;
	}
	if (others != 0) {
		tl_text_puts(text, ", others ");
		add_count(text, others);
	}
	if (count != 0)
		tl_text_puts(text, "\n");
}

static void add_losses(struct tl_text *text, const struct tl_totals *t)
{
	const uint64_t *c = t->counters.at;
	const struct {
		const char *name;
		uint64_t count;
	} rows[] = {
		{"dropped by the kernel", t->kernel_dropped},
		{"ring full", t->ring_dropped},
		{"no buffer", t->pool_dropped},
		{"not IP", c[TL_COUNT_DROP_NOT_IP]},
		{"neither TCP nor UDP", c[TL_COUNT_DROP_OTHER_L4]},
		{"unreadable link type", c[TL_COUNT_DROP_LINK_TYPE]},
		{"malformed", c[TL_COUNT_DROP_MALFORMED]},
		{"cut within headers", c[TL_COUNT_DROP_TRUNCATED]},
		{"too many encapsulations", c[TL_COUNT_DROP_TOO_DEEP]},
		{"incomplete fragments", c[TL_COUNT_DROP_FRAGMENT]},
		{"flow table full", c[TL_COUNT_DROP_FLOW_TABLE]},
		{"shed", c[TL_COUNT_DROP_SHED]},
		{"records not written", c[TL_COUNT_RECORDS_DROPPED]},
	};
	const char *separator = "Not followed: ";

	for (size_t i = 0; i < TL_COUNT_OF(rows); i++) {
		if (rows[i].count == 0)
			continue;
		tl_text_puts(text, separator);
		add_count(text, rows[i].count);
		tl_text_printf(text, " %s", rows[i].name);
		separator = ", ";
	}
	if (separator[0] == ',')
		tl_text_puts(text, "\n");
}

void tl_summary_print(struct tl_text *text, const struct tl_totals *totals,
		      const struct tl_tally *tally, const char *filter)
{
	char hints[HINTS_MAX][TL_HINT_BYTES];
	const uint64_t *c = totals->counters.at;

	add_counted(text, c[TL_COUNT_PACKETS_OFFERED], "packet", "packets");
	tl_text_puts(text, " (");
	tl_text_size(text, c[TL_COUNT_BYTES_OFFERED]);
	tl_text_puts(text, "), ");
	add_counted(text, c[TL_COUNT_FLOWS_TCP] + c[TL_COUNT_FLOWS_UDP], "flow", "flows");
	tl_text_puts(text, ", ");
	add_counted(text, tally->total, "roundtrip", "roundtrips");
	tl_text_puts(text, "\n");
	add_roundtrips(text, tally);
	add_verdicts(text, totals);
	add_names(text, &totals->names);
	add_losses(text, totals);
	uint32_t count = tl_totals_hints(totals, filter, hints, HINTS_MAX);
	for (uint32_t i = 0; i < count; i++)
		tl_text_printf(text, "Note: %s\n", hints[i]);
}
