// SPDX-License-Identifier: Apache-2.0
// The exposition against golden pages. TL_GOLDEN_WRITE=1 writes them anew: read the difference.
// With arguments, a format (0, 1), a histogram style (0, 1) and 1 for the probe's own metrics, it
// prints that page instead: food for other people's parsers (tests/interop/exposition.py).
#include "base/check.h"
#include "exporters/prometheus/prometheus.h"
#include "metrics_fake.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client_model.pb-c.h"
#include "metrics/vmrange.h"

#define NOW_NS UINT64_C(1700000100500000000)

static struct tl_metrics_options options;
static struct tl_worker_metrics *worker;
static struct tl_metrics *metrics;
static struct tl_snapshot *snapshot;

static void book(const char *method, uint64_t code, enum tl_status status, uint64_t duration_ns,
		 uint64_t body_bytes)
{
	struct fake_record r;

	fake_http(&r, method, code, duration_ns);
	r.head.status = (uint8_t)status;
	r.head.response.body_bytes = body_bytes;
	if (code == 200) {
		r.head.trace.flags = TL_TRACE_PRESENT;
		memset(r.head.trace.trace_id, 0xab, sizeof(r.head.trace.trace_id));
		fake_add_uint(&r, 1, FAKE_ROWS, 3);
	}
	tl_worker_metrics_roundtrip(worker, &r.head);
}

static int set_up(void **state)
{
	(void)state;
	options = fake_options();
	worker = tl_worker_metrics_create(&options, 0);
	metrics = tl_metrics_create(&options, &worker, 1);
	struct tl_flow_identity flow = {.server_port = 80};

	book("GET", 200, TL_STATUS_OK, 240540648, 349);
	book("GET", 200, TL_STATUS_OK, 1000000, 0); // exactly on a boundary
	book("GET", 200, TL_STATUS_OK, 1000001, 10240);
	book("GET", 404, TL_STATUS_CLIENT_ERROR, 12345, 700);
	book("a\"b\\c\nd", 500, TL_STATUS_SERVER_ERROR, 700000000000, UINT64_C(1) << 40);
	book("POST", 0, TL_STATUS_ONE_WAY, 0, 0);
	tl_worker_metrics_rtt(worker, &flow, 181000, 2500000);
	fake_engines[0].counters.at[TL_COUNT_TCP_PACKETS] = 1234567;
	fake_engines[0].counters.at[TL_COUNT_TCP_BYTES] = UINT64_C(1) << 52;
	tl_metrics_set(metrics, "tapline_port_info", "port=\"eth0\"", "gauge",
		       "A help with \\ and\nnewline and \"quotes\".", 0.1);
	tl_metrics_flip(metrics);
	tl_worker_metrics_poll(worker, fake_engine(0));
	assert_true(tl_metrics_merge(metrics, NOW_NS));
	snapshot = tl_metrics_snapshot(metrics);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tl_snapshot_put(snapshot);
	tl_metrics_destroy(metrics);
	tl_worker_metrics_destroy(worker);
	return 0;
}

static int append(void *arg, const char *data, size_t len)
{
	tl_text_add((struct tl_text *)arg, data, len);
	return 0;
}

static struct tl_text render(uint8_t format, uint8_t histogram, bool is_self)
{
	struct tl_prometheus_options how = {
		.format = format, .histogram = histogram, .is_self = is_self};
	struct tl_text text = {0};

	assert_int_equal(tl_prometheus_render(snapshot, &how, append, &text), 0);
	return text;
}

// Keeps the lines about a few families: each new L4 counter would else change every page.
static void keep_lines(struct tl_text *text)
{
	static const char *const kept[] = {"http_", "tcp_handshake_rtt", "tcp_received_", "EOF"};
	struct tl_text all = *text;

	*text = (struct tl_text) {0};
	for (char *line = all.data, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		bool is_kept = false;
		*end = 0;
		const char *name = line;
		if (strncmp(line, "# ", 2) == 0) {
			name = line + 2;
			if (strncmp(name, "EOF", 3) != 0)
				name += strcspn(name, " ") + 1;
		}
		for (uint32_t i = 0; i < TL_COUNT_OF(kept); i++)
			is_kept |= strncmp(name, kept[i], strlen(kept[i])) == 0;
		if (is_kept)
			tl_text_printf(text, "%s\n", line);
	}
	tl_text_free(&all);
}

static void compare_golden(const char *name, struct tl_text *text)
{
	char path[500];
	struct tl_text golden = {0};
	char piece[4096];
	size_t len;

	(void)snprintf(path, sizeof(path), "%s/%s", TL_GOLDEN_DIR, name);
	if (getenv("TL_GOLDEN_WRITE") != NULL) {
		FILE *out = fopen(path, "w");
		assert_non_null(out);
		assert_int_equal(fwrite(text->data, 1, text->len, out), text->len);
		assert_int_equal(fclose(out), 0);
	}
	FILE *in = fopen(path, "r");
	assert_non_null(in);
	while ((len = fread(piece, 1, sizeof(piece), in)) != 0)
		tl_text_add(&golden, piece, len);
	(void)fclose(in);
	assert_string_equal(golden.data, text->data);
	tl_text_free(&golden);
	tl_text_free(text);
}

static void pages_are_golden(void **state)
{
	(void)state;
	static const char *const names[2][2] = {
		{"text-vmrange.txt", "text-le.txt"},
		{"openmetrics-vmrange.txt", "openmetrics-le.txt"},
	};
	for (uint8_t format = 0; format < 2; format++) {
		for (uint8_t histogram = 0; histogram < 2; histogram++) {
			struct tl_text page = render(format, histogram, false);
			keep_lines(&page);
			compare_golden(names[format][histogram], &page);
		}
	}
}

// The probe's own page grows with every counter: its form is looked at, not each line.
static void the_own_page_has_only_own_metrics(void **state)
{
	(void)state;
	struct tl_text page = render(TL_PROMETHEUS_OPENMETRICS, TL_HISTOGRAM_LE, true);

	assert_null(strstr(page.data, "\nhttp_"));
	assert_non_null(strstr(page.data, "\ntapline_packets_dropped_total{cause=\"not_ip\"} 0\n"));
	assert_non_null(strstr(page.data, "# TYPE tapline_packets_dropped counter\n"));
	assert_non_null(strstr(page.data, "# HELP tapline_port_info A help with \\\\ and\\nnewline "
					  "and \\\"quotes\\\".\n"));
	assert_non_null(strstr(page.data, "\ntapline_port_info{port=\"eth0\"} 0.1\n"));
	assert_string_equal(page.data + page.len - 6, "# EOF\n");
	tl_text_free(&page);
}

static int refuse(void *arg, const char *data, size_t len)
{
	(void)data;
	(void)len;
	++*(uint32_t *)arg;
	return -EPIPE;
}

static void a_writer_can_end_the_page(void **state)
{
	(void)state;
	struct tl_prometheus_options how = {0};
	uint32_t calls = 0;

	assert_int_equal(tl_prometheus_render(snapshot, &how, refuse, &calls), -EPIPE);
	assert_int_equal(calls, 1);
}

// ---- Protobuf ----------------------------------------------------------------------------------

// The next family of a page, NULL behind the last.
static Model__Family *next_family(const struct tl_text *page, size_t *at)
{
	uint64_t len = 0;

	if (*at == page->len)
		return NULL;
	for (uint32_t shift = 0;; shift += 7) {
		uint8_t byte = (uint8_t)page->data[(*at)++];
		len |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			break;
	}
	assert_true(len <= page->len - *at);
	Model__Family *family =
		model__family__unpack(NULL, len, (const uint8_t *)page->data + *at);
	assert_non_null(family);
	*at += len;
	return family;
}

static Model__Family *find_family(const struct tl_text *page, const char *name)
{
	Model__Family *family, *found = NULL;
	size_t at = 0;

	while ((family = next_family(page, &at)) != NULL) {
		bool is_it = strcmp(family->name, name) == 0;
		assert_true(!is_it || found == NULL);
		if (is_it)
			found = family;
		else
			model__family__free_unpacked(family, NULL);
	}
	return found;
}

static const Model__Metric *with_label(const Model__Family *family, const char *name,
				       const char *value)
{
	for (size_t i = 0; i < family->n_metric; i++)
		for (size_t k = 0; k < family->metric[i]->n_label; k++)
			if (strcmp(family->metric[i]->label[k]->name, name) == 0 &&
			    strcmp(family->metric[i]->label[k]->value, value) == 0)
				return family->metric[i];
	fail_msg("%s has no series with %s=%s", family->name, name, value);
	return NULL;
}

// Of a native histogram, how many values are at most `limit`.
static uint64_t count_below(const Model__Histogram *h, double limit)
{
	uint64_t below = h->zero_count;
	int64_t count = 0;
	int32_t index = 0;
	size_t delta = 0;

	for (size_t i = 0; i < h->n_positive_span; i++) {
		index += h->positive_span[i]->offset;
		for (uint32_t k = 0; k < h->positive_span[i]->length; k++, index++) {
			assert_true(delta < h->n_positive_delta);
			count += h->positive_delta[delta++];
			assert_true(count >= 0);
			if (exp2((double)index / 8) <= limit)
				below += (uint64_t)count;
		}
	}
	assert_int_equal(delta, h->n_positive_delta);
	return below;
}

static void native_histograms_come_as_protobuf(void **state)
{
	(void)state;
	struct tl_text page = render(TL_PROMETHEUS_PROTOBUF, TL_HISTOGRAM_NATIVE, false);

	Model__Family *family = find_family(&page, "http_request_duration_seconds");
	assert_int_equal(family->type, 4);
	assert_string_equal(family->unit, "seconds");
	const Model__Histogram *h = with_label(family, "status_code", "200")->histogram;
	assert_int_equal(h->sample_count, 3);
	assert_true(fabs(h->sample_sum - 0.242540649) < 1e-9);
	assert_int_equal(h->schema, 3);
	assert_int_equal(h->zero_count, 0);
	// 1 ms, a nanosecond more, and 240.5 ms, each at most a vmrange bucket off.
	assert_int_equal(count_below(h, 0.0008), 0);
	assert_int_equal(count_below(h, 0.00131), 2);
	assert_int_equal(count_below(h, 0.2), 2);
	assert_int_equal(count_below(h, 0.28), 3);
	assert_int_equal(h->created->seconds, NOW_NS / 1000000000);
	assert_int_equal(h->n_exemplars, 1);
	assert_string_equal(h->exemplars[0]->label[0]->value, "abababababababababababababababab");
	model__family__free_unpacked(family, NULL);

	family = find_family(&page, "http_requests_total");
	assert_int_equal(family->type, 0);
	const Model__Metric *odd = with_label(family, "method", "a\"b\\c\nd");
	assert_true(odd->counter->value == 1);
	model__family__free_unpacked(family, NULL);
	family = find_family(&page, "http_response_body_bytes");
	assert_int_equal(with_label(family, "status_code", "200")->histogram->zero_count, 1);
	model__family__free_unpacked(family, NULL);
	assert_null(find_family(&page, "tapline_packets_dropped_total"));
	tl_text_free(&page);

	page = render(TL_PROMETHEUS_PROTOBUF, TL_HISTOGRAM_NATIVE, true);
	family = find_family(&page, "tapline_port_info");
	assert_int_equal(family->type, 1);
	assert_true(with_label(family, "port", "eth0")->gauge->value == 0.1);
	model__family__free_unpacked(family, NULL);
	tl_text_free(&page);
}

// A reader of text that is promised native histograms gets le.
static void native_histograms_fall_back_to_le(void **state)
{
	(void)state;
	struct tl_text native = render(TL_PROMETHEUS_TEXT, TL_HISTOGRAM_NATIVE, false);
	struct tl_text le = render(TL_PROMETHEUS_TEXT, TL_HISTOGRAM_LE, false);

	assert_string_equal(native.data, le.data);
	tl_text_free(&native);
	tl_text_free(&le);
}

static void every_vmrange_bucket_has_an_exponential_one(void **state)
{
	(void)state;
	for (uint32_t i = 1; i < TL_VMRANGE_UPPER; i++) {
		double start = exp2((double)tl_vmrange_exponential(i) / 8);
		double end = exp2((double)(tl_vmrange_exponential(i) + 1) / 8);
		assert_true(end > tl_vmrange_start(i) && start < tl_vmrange_end(i));
		assert_true(i == 1 || tl_vmrange_exponential(i) > tl_vmrange_exponential(i - 1));
	}
	assert_true(exp2((double)tl_vmrange_exponential(TL_VMRANGE_UPPER) / 8) < 1e18);
	assert_true(tl_vmrange_exponential(TL_VMRANGE_UPPER) >
		    tl_vmrange_exponential(TL_VMRANGE_UPPER - 1));
}

static void numbers_are_short_and_exact(void **state)
{
	(void)state;
	static const struct {
		double value;
		const char *plain, *go;
	} rows[] = {
		{0, "0", "0.0"}, {1, "1", "1.0"}, {0.1, "0.1", "0.1"}, {0.00001, "1e-05", "1e-05"},
		{0.0001, "0.0001", "0.0001"}, {10240, "10240", "10240.0"},
		{1048576, "1048576", "1.048576e+06"}, {100000, "100000", "100000.0"},
		{9007199254740991, "9007199254740991", "9.007199254740991e+15"},
		{0.1 + 0.2, "0.30000000000000004", "0.30000000000000004"}, {-2.5, "-2.5", "-2.5"},
		{(double)INFINITY, "+Inf", "+Inf"}, {600, "600", "600.0"},
	};
	for (uint32_t i = 0; i < TL_COUNT_OF(rows); i++) {
		struct tl_text text = {0};
		tl_prometheus_number(&text, rows[i].value, false);
		assert_string_equal(text.data, rows[i].plain);
		assert_true(strtod(text.data, NULL) == rows[i].value);
		tl_text_clear(&text);
		tl_prometheus_number(&text, rows[i].value, true);
		assert_string_equal(text.data, rows[i].go);
		tl_text_free(&text);
	}
}

static void formats_are_negotiated_by_quality(void **state)
{
	(void)state;
	static const struct {
		const char *accept;
		enum tl_prometheus_format format;
	} rows[] = {
		{NULL, TL_PROMETHEUS_TEXT},
		{"", TL_PROMETHEUS_TEXT},
		{"*/*", TL_PROMETHEUS_TEXT},
		{"text/html", TL_PROMETHEUS_TEXT},
		{"application/openmetrics-text", TL_PROMETHEUS_OPENMETRICS},
		{"application/openmetrics-text; version=1.0.0; q=0.2, text/plain;q=0.5",
		 TL_PROMETHEUS_TEXT},
		{"text/plain;version=0.0.4;q=0.5,application/openmetrics-text;version=1.0.0;q=0.75",
		 TL_PROMETHEUS_OPENMETRICS},
		{"application/openmetrics-text;version=2.0.0,text/plain;q=0.1", TL_PROMETHEUS_TEXT},
		{"application/openmetrics-text;q=0, */*;q=0.1", TL_PROMETHEUS_TEXT},
		{"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
		 "encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,"
		 "application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,"
		 "*/*;q=0.1", TL_PROMETHEUS_OPENMETRICS},
		{"application/openmetrics-text;version=\"1.0.0\";escaping=allow-utf-8;q=0.6,"
		 "text/plain;q=0.55", TL_PROMETHEUS_OPENMETRICS},
		{";;;,=,q=,;q=5,,,", TL_PROMETHEUS_TEXT},
	};
	for (uint32_t i = 0; i < TL_COUNT_OF(rows); i++)
		assert_int_equal(tl_prometheus_negotiate(rows[i].accept, false), rows[i].format);
	// The same, where native histograms are wanted.
	static const struct {
		const char *accept;
		enum tl_prometheus_format format;
	} native[] = {
		{"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
		 "encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,*/*;q=0.1",
		 TL_PROMETHEUS_PROTOBUF},
		{"application/vnd.google.protobuf", TL_PROMETHEUS_PROTOBUF},
		{"application/vnd.google.protobuf;encoding=text,text/plain;q=0.1", TL_PROMETHEUS_TEXT},
		{"application/vnd.google.protobuf;proto=other.Message", TL_PROMETHEUS_TEXT},
		{"application/vnd.google.protobuf;q=0.1,application/openmetrics-text;q=0.2",
		 TL_PROMETHEUS_OPENMETRICS},
		{"text/plain", TL_PROMETHEUS_TEXT},
		{"*/*", TL_PROMETHEUS_TEXT},
		{NULL, TL_PROMETHEUS_TEXT},
	};
	for (uint32_t i = 0; i < TL_COUNT_OF(native); i++)
		assert_int_equal(tl_prometheus_negotiate(native[i].accept, true), native[i].format);
}

static int print(void *arg, const char *data, size_t len)
{
	return fwrite(data, 1, len, (FILE *)arg) == len ? 0 : -EIO;
}

int main(int argc, char **argv)
{
	if (argc == 4) {
		struct tl_prometheus_options how = {
			.format = strcmp(argv[1], "1") == 0,
			.histogram = strcmp(argv[2], "1") == 0,
			.is_self = strcmp(argv[3], "1") == 0,
		};
		(void)set_up(NULL);
		int result = tl_prometheus_render(snapshot, &how, print, stdout);
		(void)tear_down(NULL);
		return result != 0;
	}
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_are_golden),
		cmocka_unit_test(the_own_page_has_only_own_metrics),
		cmocka_unit_test(a_writer_can_end_the_page),
		cmocka_unit_test(native_histograms_come_as_protobuf),
		cmocka_unit_test(native_histograms_fall_back_to_le),
		cmocka_unit_test(every_vmrange_bucket_has_an_exponential_one),
		cmocka_unit_test(numbers_are_short_and_exact),
		cmocka_unit_test(formats_are_negotiated_by_quality),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
