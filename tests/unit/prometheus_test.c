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
	char error[200];

	assert_int_equal(tl_prometheus_render(snapshot, &how, append, &text, error, sizeof(error)),
			 0);
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
	char error[200] = "";

	assert_int_equal(tl_prometheus_render(snapshot, &how, refuse, &calls, error, sizeof(error)),
			 -EPIPE);
	assert_int_equal(calls, 1);
	how.histogram = TL_HISTOGRAM_NATIVE;
	assert_int_equal(tl_prometheus_render(snapshot, &how, refuse, &calls, error, sizeof(error)),
			 -ENOTSUP);
	assert_non_null(strstr(error, "native"));
	assert_int_equal(calls, 1);
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
		assert_int_equal(tl_prometheus_negotiate(rows[i].accept), rows[i].format);
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
		int result = tl_prometheus_render(snapshot, &how, print, stdout, NULL, 0);
		(void)tear_down(NULL);
		return result != 0;
	}
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_are_golden),
		cmocka_unit_test(the_own_page_has_only_own_metrics),
		cmocka_unit_test(a_writer_can_end_the_page),
		cmocka_unit_test(numbers_are_short_and_exact),
		cmocka_unit_test(formats_are_negotiated_by_quality),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
