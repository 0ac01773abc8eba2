// SPDX-License-Identifier: Apache-2.0
#include "cli/report.h"

#include "base/check.h"
#include "exporters/record/record.h"
#include "metrics/vmrange.h"

#include <inttypes.h>
#include <libsmartcols/libsmartcols.h>
#include <math.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>

#define GROUPS_MAX 10000u // servers told apart; roundtrips of further ones only enter the totals
#define SLOWEST_MAX 10u
#define ROWS_MAX 50u      // lines of the table for people; the JSON has all
#define HINTS_MAX 6u

enum part { PART_TOTAL, PART_REQUEST, PART_SERVER, PART_RESPONSE, PART_RTT, PART_COUNT };

static const char *const part_names[PART_COUNT] = {"duration", "request", "server", "response",
						   "rtt"};

struct distribution {
	uint64_t count;
	uint64_t least_ns, most_ns;
	double sum;
	uint32_t buckets[TL_VMRANGE_COUNT];
};

struct group {
	uint16_t protocol;
	uint16_t port;
	uint8_t ip_version;
	uint8_t address[16];
	char name[128];     // of the roundtrips that have one
	uint64_t named;     // of them
	bool names_differ;
	uint64_t total;
	uint64_t status[TL_STATUS_COUNT];
	uint64_t request_bytes, response_bytes;
	struct distribution parts[PART_COUNT];
};

struct slow {
	uint64_t duration_ns;
	char *line;
	json_t *record;
};

struct tl_report {
	void *tree;            // of struct group, by compare_groups
	struct group **groups; // all of them, in order of appearance
	uint32_t group_count;
	uint64_t ungrouped;
	struct slow slowest[SLOWEST_MAX]; // slowest first
	uint32_t slow_count;
	struct tl_tally tally;
};

static int compare_groups(const void *a, const void *b)
{
	const struct group *left = a, *right = b;
	if (left->protocol != right->protocol)
		return (int)left->protocol - (int)right->protocol;
	if (left->port != right->port)
		return (int)left->port - (int)right->port;
	return memcmp(left->address, right->address, sizeof(left->address));
}

struct tl_report *tl_report_create(void)
{
	struct tl_report *report = calloc(1, sizeof(*report));
	if (report == NULL)
		return NULL;
	report->groups = calloc(GROUPS_MAX, sizeof(struct group *));
	if (report->groups == NULL) {
		free(report);
		return NULL;
	}
	return report;
}

void tl_report_destroy(struct tl_report *report)
{
	if (report == NULL)
		return;
	for (uint32_t i = 0; i < report->group_count; i++) {
		(void)tdelete(report->groups[i], &report->tree, compare_groups);
		free(report->groups[i]);
	}
	for (uint32_t i = 0; i < report->slow_count; i++) {
		free(report->slowest[i].line);
		json_decref(report->slowest[i].record);
	}
	free(report->groups);
	free(report);
}

static struct group *group_of(struct tl_report *report, const struct tl_roundtrip *r)
{
	struct group key = {
		.protocol = r->protocol, .port = r->server_port, .ip_version = r->ip_version};
	memcpy(key.address, r->server_address, sizeof(key.address));
	struct group *const *found = tfind(&key, &report->tree, compare_groups);
	if (found != NULL)
		return *found;
	if (report->group_count == GROUPS_MAX)
		return NULL;
	struct group *group = calloc(1, sizeof(*group));
	if (group == NULL)
		return NULL;
	*group = key;
	if (tsearch(group, &report->tree, compare_groups) == NULL) {
		free(group);
		return NULL;
	}
	report->groups[report->group_count++] = group;
	return group;
}

static void observe(struct distribution *d, uint64_t ns)
{
	d->least_ns = d->count == 0 || ns < d->least_ns ? ns : d->least_ns;
	d->most_ns = ns > d->most_ns ? ns : d->most_ns;
	d->count++;
	d->sum += (double)ns / 1e9;
	d->buckets[tl_vmrange_of_ns(ns)]++;
}

// Seconds below which the share `q` of the values lies, linear within a bucket and never beyond the
// least and the most of them; NAN when empty.
static double quantile(const struct distribution *d, double q)
{
	double rank = q * (double)d->count, seen = 0;

	for (uint32_t b = 0; b < TL_VMRANGE_COUNT; b++) {
		if (d->buckets[b] == 0)
			continue;
		double here = d->buckets[b];
		if (seen + here >= rank) {
			double start = fmax(tl_vmrange_start(b), (double)d->least_ns / 1e9);
			double end = fmin(tl_vmrange_end(b), (double)d->most_ns / 1e9);
			return start + (end - start) * (rank - seen) / here;
		}
		seen += here;
	}
	return NAN;
}

static json_t *record_object(const struct tl_roundtrip_signal *signal)
{
	struct tl_text text = {0};
	json_t *object = NULL;

	if (tl_record_json(&text, signal, false))
		object = json_loadb(text.data, text.len, JSON_ALLOW_NUL, NULL);
	tl_text_free(&text);
	return object;
}

static void note_slow(struct tl_report *report, const struct tl_roundtrip_signal *signal)
{
	uint64_t ns = signal->record->duration_ns;
	uint32_t at = report->slow_count;

	while (at != 0 && report->slowest[at - 1].duration_ns < ns)
		at--;
	if (at == SLOWEST_MAX)
		return;
	if (report->slow_count == SLOWEST_MAX) {
		report->slow_count--;
		free(report->slowest[report->slow_count].line);
		json_decref(report->slowest[report->slow_count].record);
	}
	memmove(&report->slowest[at + 1], &report->slowest[at],
		(report->slow_count - at) * sizeof(report->slowest[0]));
	report->slow_count++;
	struct tl_text line = {0};
	tl_record_text_line(&line, signal, false, 0);
	report->slowest[at] = (struct slow) {
		.duration_ns = ns,
		.line = line.data,
		.record = record_object(signal),
	};
}

static void note_name(struct group *group, const char *name)
{
	if (name[0] == '\0')
		return;
	if (group->named == 0)
		(void)snprintf(group->name, sizeof(group->name), "%s", name);
	else if (strncmp(group->name, name, sizeof(group->name) - 1) != 0)
		group->names_differ = true;
	group->named++;
}

// The name by which a server goes: one of many behind its address, or a word that a client in
// twenty used, would tell a reader the wrong thing of all the others.
static const char *name_of(const struct group *group)
{
	return group->names_differ || group->named < group->total - group->named ? "" : group->name;
}

void tl_report_add(struct tl_report *report, const struct tl_roundtrip_signal *signal)
{
	const struct tl_roundtrip *r = signal->record;

	tl_tally_add(&report->tally, r);
	if (tl_roundtrip_is_answered(r) || r->status == TL_STATUS_TIMEOUT)
		note_slow(report, signal);
	struct group *group = group_of(report, r);
	if (group == NULL) {
		report->ungrouped++;
		return;
	}
	note_name(group, signal->names->server_name);
	group->total++;
	group->status[r->status]++;
	group->request_bytes += r->request.bytes;
	group->response_bytes += r->response.bytes;
	if (r->rtt_us != 0)
		observe(&group->parts[PART_RTT], (uint64_t)r->rtt_us * 1000);
	if (!tl_roundtrip_is_answered(r))
		return;
	observe(&group->parts[PART_TOTAL], r->duration_ns);
	observe(&group->parts[PART_REQUEST], r->request_ns);
	observe(&group->parts[PART_SERVER], r->server_ns);
	observe(&group->parts[PART_RESPONSE], r->response_ns);
}

static int by_total(const void *a, const void *b)
{
	const struct group *left = *(struct group *const *)a, *right = *(struct group *const *)b;
	if (left->total != right->total)
		return left->total < right->total ? 1 : -1;
	return compare_groups(left, right);
}

static struct group **sorted_groups(const struct tl_report *report)
{
	struct group **sorted = calloc(report->group_count + 1, sizeof(struct group *));
	if (sorted == NULL)
		return NULL;
	memcpy(sorted, report->groups, report->group_count * sizeof(struct group *));
	qsort(sorted, report->group_count, sizeof(struct group *), by_total);
	return sorted;
}

static uint64_t errors_of(const struct group *group)
{
	return group->total - group->status[TL_STATUS_OK] - group->status[TL_STATUS_ONE_WAY] -
	       group->status[TL_STATUS_ORPHAN];
}

// ---- For people --------------------------------------------------------------------------------

static void cell(struct libscols_line *line, size_t column, struct tl_text *text)
{
	(void)scols_line_set_data(line, column, text->data == NULL ? "" : text->data);
	tl_text_clear(text);
}

static void cell_seconds(struct libscols_line *line, size_t column, double seconds,
			 struct tl_text *text)
{
	if (isnan(seconds))
		tl_text_puts(text, "-");
	else
		tl_text_duration(text, (uint64_t)(seconds * 1e9));
	cell(line, column, text);
}

static void add_line(struct libscols_table *table, const struct group *group)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);
	struct tl_text text = {0};
	if (line == NULL)
		return;

	tl_text_puts(&text, tl_decoders[group->protocol]->name);
	cell(line, 0, &text);
	if (group->ip_version == 6)
		tl_text_puts(&text, "[");
	tl_text_address(&text, group->address, group->ip_version);
	tl_text_printf(&text, group->ip_version == 6 ? "]:%u" : ":%u", group->port);
	if (name_of(group)[0] != '\0') {
		tl_text_puts(&text, " ");
		tl_text_terminal(&text, tl_bytes_of(name_of(group)), false);
	}
	cell(line, 1, &text);
	tl_text_printf(&text, "%" PRIu64, group->total);
	cell(line, 2, &text);
	tl_text_printf(&text, "%" PRIu64, errors_of(group));
	cell(line, 3, &text);
	cell_seconds(line, 4, quantile(&group->parts[PART_TOTAL], 0.5), &text);
	cell_seconds(line, 5, quantile(&group->parts[PART_TOTAL], 0.95), &text);
	cell_seconds(line, 6, quantile(&group->parts[PART_TOTAL], 0.99), &text);
	cell_seconds(line, 7, quantile(&group->parts[PART_REQUEST], 0.95), &text);
	cell_seconds(line, 8, quantile(&group->parts[PART_SERVER], 0.95), &text);
	cell_seconds(line, 9, quantile(&group->parts[PART_RESPONSE], 0.95), &text);
	cell_seconds(line, 10, quantile(&group->parts[PART_RTT], 0.5), &text);
	tl_text_free(&text);
}

static void print_groups(const struct tl_report *report, struct tl_text *text)
{
	static const char *const headings[] = {"PROTOCOL", "SERVER", "REQUESTS", "ERRORS",
					       "P50", "P95", "P99", "REQUEST P95", "SERVER P95",
					       "RESPONSE P95", "RTT P50"};
	struct libscols_table *table = scols_new_table();
	struct group **groups = sorted_groups(report);
	char *printed = NULL;

	if (table == NULL || groups == NULL)
		goto out_free;
	(void)scols_table_set_termforce(table, SCOLS_TERMFORCE_NEVER);
	for (size_t i = 0; i < sizeof(headings) / sizeof(headings[0]); i++)
		(void)scols_table_new_column(table, headings[i], 0, i < 2 ? 0 : SCOLS_FL_RIGHT);
	for (uint32_t i = 0; i < report->group_count && i < ROWS_MAX; i++)
		add_line(table, groups[i]);
	if (scols_print_table_to_string(table, &printed) == 0 && printed != NULL)
		tl_text_printf(text, "%s\n", printed); // which ends without one
	if (report->group_count > ROWS_MAX)
		tl_text_printf(text, "(%u more servers; --output json has all)\n",
			       report->group_count - ROWS_MAX);
out_free:
	free(printed);
	free(groups);
	scols_unref_table(table);
}

static void print_l4(const struct tl_totals *totals, struct tl_text *text)
{
	const uint64_t *c = totals->counters.at;

	tl_text_printf(text,
		       "TCP: %" PRIu64 " handshakes, %" PRIu64 " retransmitted segments, %" PRIu64
		       " out of order, %" PRIu64 " zero windows, %" PRIu64 " resets, %" PRIu64
		       " failed connects\n",
		       c[TL_COUNT_TCP_HANDSHAKES], c[TL_COUNT_TCP_RETRANSMITTED],
		       c[TL_COUNT_TCP_OUT_OF_ORDER], c[TL_COUNT_TCP_ZERO_WINDOWS],
		       c[TL_COUNT_TCP_RESETS_CLIENT] + c[TL_COUNT_TCP_RESETS_SERVER],
		       c[TL_COUNT_TCP_FAIL_REFUSED] + c[TL_COUNT_TCP_FAIL_NO_ANSWER] +
			       c[TL_COUNT_TCP_FAIL_CLIENT]);
}

void tl_report_print(const struct tl_report *report, const struct tl_totals *totals,
		     const char *filter, struct tl_text *text)
{
	if (report->group_count != 0) {
		print_groups(report, text);
		tl_text_puts(text, "\n");
	}
	if (report->slow_count != 0) {
		tl_text_puts(text, "Slowest:\n");
		for (uint32_t i = 0; i < report->slow_count; i++)
			if (report->slowest[i].line != NULL)
				tl_text_printf(text, "  %s", report->slowest[i].line);
		tl_text_puts(text, "\n");
	}
	tl_summary_print(text, totals, &report->tally, filter);
	print_l4(totals, text);
}

// ---- For programs ------------------------------------------------------------------------------

static json_t *distribution_json(const struct distribution *d)
{
	return json_pack("{s:f, s:f, s:f, s:f}", "p50", quantile(d, 0.5), "p95", quantile(d, 0.95),
			 "p99", quantile(d, 0.99), "mean", d->sum / (double)d->count);
}

static json_t *statuses_json(const uint64_t counts[TL_STATUS_COUNT])
{
	json_t *object = json_object();
	for (int s = 0; s < TL_STATUS_COUNT; s++)
		if (counts[s] != 0)
			(void)json_object_set_new(object, tl_status_name((enum tl_status)s),
						  json_integer((json_int_t)counts[s]));
	return object;
}

static json_t *group_json(const struct group *group)
{
	struct tl_text address = {0}, name = {0};

	tl_text_address(&address, group->address, group->ip_version);
	tl_text_utf8(&name, tl_bytes_of(name_of(group)), false);
	json_t *object = json_pack(
		"{s:s, s:{s:s, s:i}, s:I, s:I, s:o, s:I, s:I}", "protocol",
		tl_decoders[group->protocol]->name, "server", "address", address.data, "port",
		(int)group->port, "requests", (json_int_t)group->total, "errors",
		(json_int_t)errors_of(group), "status", statuses_json(group->status),
		"request_bytes", (json_int_t)group->request_bytes, "response_bytes",
		(json_int_t)group->response_bytes);
	if (name.len != 0)
		(void)json_object_set_new(json_object_get(object, "server"), "name",
					  json_string(name.data));
	json_t *seconds = json_object();
	for (int p = 0; p < PART_COUNT; p++)
		if (group->parts[p].count != 0)
			(void)json_object_set_new(seconds, part_names[p],
						  distribution_json(&group->parts[p]));
	(void)json_object_set_new(object, "seconds", seconds);
	tl_text_free(&address);
	tl_text_free(&name);
	return object;
}

static json_t *counters_json(const struct tl_totals *totals)
{
#define COUNTER_NAMES(id, family, labels, help) {family, labels},
	static const struct {
		const char *family;
		const char *labels;
	} rows[] = {TL_COUNTERS(COUNTER_NAMES)};
	json_t *object = json_object();
	char key[128];

	for (uint32_t i = 0; i < TL_COUNTER_COUNT; i++) {
		(void)snprintf(key, sizeof(key), rows[i].labels[0] == '\0' ? "%s%s" : "%s{%s}",
			       rows[i].family, rows[i].labels);
		(void)json_object_set_new(object, key,
					  json_integer((json_int_t)totals->counters.at[i]));
	}
	return object;
}

static json_t *verdicts_json(const struct tl_totals *totals)
{
	json_t *object = json_object();
	for (uint32_t i = 0; i < totals->verdict_count; i++) {
		const struct tl_verdict_count *v = &totals->verdicts[i];
		const char *name = tl_totals_verdict_name(i);
		if (name != NULL && (v->flows != 0 || v->bytes != 0))
			(void)json_object_set_new(object, name,
						  json_pack("{s:I, s:I}", "flows",
							    (json_int_t)v->flows, "bytes",
							    (json_int_t)v->bytes));
	}
	return object;
}

// Every name that was kept, and the connections of those that were not under "".
static json_t *names_json(const struct tl_names *names)
{
	json_t *object = json_object();

	for (uint32_t i = 0; i < TL_COUNT_OF(names->at); i++)
		if (names->at[i].count != 0)
			(void)json_object_set_new(object, names->at[i].text,
						  json_integer((json_int_t)names->at[i].count));
	if (names->others != 0)
		(void)json_object_set_new(object, "", json_integer((json_int_t)names->others));
	return object;
}

json_t *tl_report_json(const struct tl_report *report, const struct tl_totals *totals,
		       const char *filter)
{
	char hints[HINTS_MAX][TL_HINT_BYTES];
	json_t *servers = json_array(), *slowest = json_array(), *notes = json_array();
	struct group **groups = sorted_groups(report);

	for (uint32_t i = 0; groups != NULL && i < report->group_count; i++)
		(void)json_array_append_new(servers, group_json(groups[i]));
	free(groups);
	for (uint32_t i = 0; i < report->slow_count; i++)
		(void)json_array_append(slowest, report->slowest[i].record);
	uint32_t count = tl_totals_hints(totals, filter, hints, HINTS_MAX);
	for (uint32_t i = 0; i < count; i++)
		(void)json_array_append_new(notes, json_string(hints[i]));
	json_t *losses = json_pack("{s:I, s:I, s:I}", "kernel", (json_int_t)totals->kernel_dropped,
				   "ring", (json_int_t)totals->ring_dropped, "buffer",
				   (json_int_t)totals->pool_dropped);
	return json_pack("{s:i, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "schema", 1, "roundtrips",
			 (json_int_t)report->tally.total, "servers", servers, "slowest", slowest,
			 "verdicts", verdicts_json(totals), "tls_names",
			 names_json(&totals->names), "losses", losses, "notes", notes,
			 "counters", counters_json(totals));
}
