// SPDX-License-Identifier: Apache-2.0
// Worker and control side together, with a registry and an engine made up here.
#include "base/check.h"
#include "metrics/metrics.h"
#include "metrics/series.h"
#include "metrics_fake.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
	struct tl_metrics_options options;
	struct tl_worker_metrics *workers[2];
	struct tl_metrics *metrics;
	uint64_t now_ns;
};

static void start(struct fixture *f)
{
	f->workers[0] = tl_worker_metrics_create(&f->options, 0);
	f->workers[1] = tl_worker_metrics_create(&f->options, 1);
	assert_non_null(f->workers[0]);
	assert_non_null(f->workers[1]);
	f->metrics = tl_metrics_create(&f->options, f->workers, 2);
	f->now_ns = 1700000000ull * 1000000000;
}

static void stop(struct fixture *f)
{
	tl_metrics_destroy(f->metrics);
	tl_worker_metrics_destroy(f->workers[0]);
	tl_worker_metrics_destroy(f->workers[1]);
}

// A flip that both workers honour at once.
static struct tl_snapshot *turn(struct fixture *f)
{
	tl_metrics_flip(f->metrics);
	for (uint32_t i = 0; i < 2; i++)
		tl_worker_metrics_poll(f->workers[i], fake_engine(i));
	f->now_ns += 1000000000;
	assert_true(tl_metrics_merge(f->metrics, f->now_ns));
	return tl_metrics_snapshot(f->metrics);
}

static double value_after(struct fixture *f, const char *family, const char *labels)
{
	struct tl_snapshot *snapshot = turn(f);
	double value = tl_snapshot_value(snapshot, family, labels);
	tl_snapshot_put(snapshot);
	return value;
}

static const struct tl_sample *find(const struct tl_snapshot *s, const char *family)
{
	for (uint32_t i = 0; i < tl_snapshot_count(s); i++)
		if (strcmp(tl_snapshot_at(s, i)->family, family) == 0)
			return tl_snapshot_at(s, i);
	return NULL;
}

static void books_by_label_and_status(void **state)
{
	(void)state;
	struct fixture f = {.options = fake_options()};
	struct fake_record r;

	start(&f);
	fake_http(&r, "GET", 200, 240540648);
	tl_worker_metrics_roundtrip(f.workers[0], &r.head);
	tl_worker_metrics_roundtrip(f.workers[1], &r.head);
	fake_http(&r, "GET", 404, 1000);
	r.head.status = TL_STATUS_CLIENT_ERROR;
	tl_worker_metrics_roundtrip(f.workers[1], &r.head);

	struct tl_snapshot *s = turn(&f);
	assert_true(tl_snapshot_value(s, "http_requests_total",
		"method=\"GET\",status_code=\"200\",status=\"ok\"") == 2);
	assert_true(tl_snapshot_value(s, "http_requests_total",
		"method=\"GET\",status_code=\"404\",status=\"client_error\"") == 1);
	assert_true(tl_snapshot_value(s, "http_requests_total", "method=\"GET\"") == 0);

	const struct tl_sample *duration = find(s, "http_request_duration_seconds");
	assert_non_null(duration);
	assert_int_equal(duration->histogram->count, 2);
	assert_true(duration->histogram->sum == 0.481081296);
	assert_int_equal(duration->histogram->bucket_count, 1);
	assert_string_equal(duration->unit, "seconds");
	assert_false(duration->is_self);
	assert_int_equal(duration->created_ns, f.now_ns);
	const struct tl_sample *body = find(s, "http_response_body_bytes");
	assert_true(body->histogram->sum == 698);
	tl_snapshot_put(s);

	// Nothing new: the totals stand, an epoch later.
	assert_true(value_after(&f, "http_requests_total",
		"method=\"GET\",status_code=\"200\",status=\"ok\"") == 2);
	stop(&f);
}

static void only_answered_ones_have_a_duration(void **state)
{
	(void)state;
	for (uint32_t with_timeouts = 0; with_timeouts < 2; with_timeouts++) {
		struct fixture f = {.options = fake_options()};
		struct fake_record r;

		f.options.timeouts_in_duration = with_timeouts != 0;
		start(&f);
		fake_http(&r, "GET", 200, 1000);
		r.head.status = TL_STATUS_ONE_WAY;
		tl_worker_metrics_roundtrip(f.workers[0], &r.head);
		r.head.status = TL_STATUS_UNANSWERED;
		r.head.response.seen = 0;
		tl_worker_metrics_roundtrip(f.workers[0], &r.head);
		r.head.status = TL_STATUS_TIMEOUT;
		tl_worker_metrics_roundtrip(f.workers[0], &r.head);
		struct tl_snapshot *s = turn(&f);
		const struct tl_sample *duration = find(s, "http_request_duration_seconds");
		assert_int_equal(duration != NULL ? duration->histogram->count : 0, with_timeouts);
		// Every status is counted all the same.
		assert_true(tl_snapshot_value(s, "http_requests_total",
			"method=\"GET\",status_code=\"200\",status=\"one_way\"") == 1);
		tl_snapshot_put(s);
		stop(&f);
	}
}

static void labels_are_chosen_by_path(void **state)
{
	(void)state;
	const char *paths[] = {"server.address", "server.port", "client.address", "response.reason",
			       "protocol", "status", "response.why"};
	struct tl_protocol_labels row = {"http", {paths, TL_COUNT_OF(paths)}};
	struct fixture f = {.options = fake_options()};
	struct fake_record r;
	char error[200];

	f.options.labels = (struct tl_option_table) {&row, 1};
	assert_int_equal(tl_metrics_check(&f.options, error, sizeof(error)), 0);
	start(&f);
	fake_http(&r, "GET", 200, 1000);
	fake_add_text(&r, 1, FAKE_REASON, "not \"quite\"\n\xff");
	tl_worker_metrics_roundtrip(f.workers[0], &r.head);
	assert_true(value_after(&f, "http_requests_total",
		"server_address=\"10.0.0.2\",server_port=\"80\",client_address=\"2001:db8::1\","
		"reason=\"not \\\"quite\\\"\\n\xef\xbf\xbd\",protocol=\"http\",status=\"ok\","
		"why=\"not \\\"quite\\\"\\n\xef\xbf\xbd\"") == 1);
	stop(&f);

	paths[1] = "server.host";
	assert_int_not_equal(tl_metrics_check(&f.options, error, sizeof(error)), 0);
	assert_non_null(strstr(error, "server.host"));
	row.protocol = "htttp";
	assert_int_not_equal(tl_metrics_check(&f.options, error, sizeof(error)), 0);
	assert_non_null(strstr(error, "htttp"));
}

static double sum_of(const struct tl_snapshot *s, const char *family, uint32_t *ret_count)
{
	double sum = 0;
	*ret_count = 0;
	for (uint32_t i = 0; i < tl_snapshot_count(s); i++) {
		if (strcmp(tl_snapshot_at(s, i)->family, family) != 0)
			continue;
		sum += tl_snapshot_at(s, i)->value;
		++*ret_count;
	}
	return sum;
}

// Values without end from two workers: few series, none `other`, everything counted or ignored.
static void values_become_templates(void **state)
{
	(void)state;
	enum { VALUES = 20000 };
	const char *paths[] = {"response.reason"};
	const char *patterns[] = {"/users/{name}"};
	const char *ignored[] = {"/healthz"};
	struct tl_protocol_labels row = {"http", {paths, 1}};
	struct tl_template_rule rule = {
		.protocol = "http", .field = "response.reason", .patterns = {patterns, 1},
		.ignore = {ignored, 1}, .values_max = 20, .order = TL_TEMPLATE_AUTO, .learn = true};
	struct fixture f = {.options = fake_options()};
	struct fake_record r;
	uint32_t series;

	f.options.labels = (struct tl_option_table) {&row, 1};
	f.options.templates = (struct tl_option_table) {&rule, 1};
	start(&f);
	for (uint32_t i = 0; i < VALUES; i++) {
		bool is_user = i % 3 == 0;
		char path[64];
		if (i % 3 == 2)
			(void)snprintf(path, sizeof(path), "/o/%u", i);
		else
			(void)snprintf(path, sizeof(path), "/%s%c%c%c",
				       is_user ? "users/name" : "blog/post", 'a' + (int)(i % 26),
				       'a' + (int)(i / 26 % 26), 'a' + (int)(i / 676 % 26));
		fake_http(&r, "GET", 200, 1000);
		fake_add_text(&r, 1, FAKE_REASON, i % 100 == 99 ? "/healthz" : path);
		tl_worker_metrics_roundtrip(f.workers[i & 1], &r.head);
	}
	struct tl_snapshot *s = turn(&f);
	assert_true(sum_of(s, "http_requests_total", &series) == VALUES - VALUES / 100);
	assert_in_range(series, 4, 3 + 20);
	assert_true(tl_snapshot_value(s, "http_requests_total", "reason=\"other\",status=\"ok\"") == 0);
	assert_true(tl_snapshot_value(s, "http_requests_total",
				      "reason=\"/users/{name}\",status=\"ok\"") > VALUES / 4);
	assert_true(tl_snapshot_value(s, "http_requests_total",
				      "reason=\"/blog/*\",status=\"ok\"") > VALUES / 4);
	assert_true(tl_snapshot_value(s, "http_requests_total",
				      "reason=\"/o/{id}\",status=\"ok\"") > VALUES / 4);
	assert_true(tl_snapshot_value(s, "tapline_roundtrips_ignored_total", "") == VALUES / 100);
	tl_snapshot_put(s);
	stop(&f);
}

static void an_orphan_is_labelled_by_its_response(void **state)
{
	(void)state;
	struct fixture f = {.options = fake_options()};
	struct fake_record r = {.head = {.protocol = 1, .status = TL_STATUS_ORPHAN,
					 .response = {.seen = 1, .body_bytes = 7}}};

	start(&f);
	fake_add_text(&r, 1, FAKE_METHOD, "HEAD");
	tl_worker_metrics_roundtrip(f.workers[0], &r.head);
	struct tl_snapshot *s = turn(&f);
	assert_true(tl_snapshot_value(s, "http_requests_total",
		"method=\"HEAD\",status_code=\"\",status=\"orphan\"") == 1);
	assert_null(find(s, "http_request_duration_seconds"));
	assert_null(find(s, "http_request_body_bytes"));
	assert_int_equal(find(s, "http_response_body_bytes")->histogram->count, 1);
	tl_snapshot_put(s);
	stop(&f);
}

static struct tl_bytes name_of_id(void *arg, uint16_t protocol, struct tl_bytes id)
{
	assert_int_equal(protocol, 1);
	return tl_bytes_is(id, "id-of-get") ? tl_bytes_of((const char *)arg) : tl_bytes(NULL, 0);
}

static void by_id(struct fixture *f, const char *id)
{
	struct fake_record r;

	fake_http(&r, "", 200, 1000);
	r.head.request.tail_len = r.head.response.tail_len = 0;
	fake_add_text(&r, 0, FAKE_METHOD_ID, id);
	fake_add_text(&r, 0, FAKE_METHOD_ID, "another");
	fake_add_text(&r, 1, FAKE_METHOD, "SAID"); // by the response: it doesn't count
	tl_worker_metrics_roundtrip(f->workers[0], &r.head);
}

// A request that names something by an id: its label is the name as soon as that is known.
static void ids_take_names_when_they_are_told(void **state)
{
	(void)state;
	const char *paths[] = {"request.method", "request.method_id"};
	struct tl_protocol_labels row = {"http", {paths, TL_COUNT_OF(paths)}};
	struct fixture f = {.options = fake_options()};
	struct fake_record r;
	char name[8] = "";

	f.options.labels = (struct tl_option_table) {&row, 1};
	start(&f);
	tl_metrics_on_id(f.metrics, name_of_id, name);
	by_id(&f, "id-of-get");
	by_id(&f, "unheard");
	assert_true(value_after(&f, "http_requests_total",
				"method=\"\",method_id=\"id-of-get\",status=\"ok\"") == 1);
	assert_true(value_after(&f, "http_requests_total",
				"method=\"\",method_id=\"unheard\",status=\"ok\"") == 1);
	memcpy(name, "GET", 4);
	tl_metrics_rename(f.metrics);
	by_id(&f, "id-of-get");
	by_id(&f, "id-of-get");
	fake_http(&r, "GET", 200, 1000);
	tl_worker_metrics_roundtrip(f.workers[1], &r.head);
	assert_true(value_after(&f, "http_requests_total",
				"method=\"GET\",method_id=\"id-of-get\",status=\"ok\"") == 2);
	assert_true(value_after(&f, "http_requests_total",
				"method=\"GET\",method_id=\"\",status=\"ok\"") == 1);
	assert_true(value_after(&f, "http_requests_total",
				"method=\"\",method_id=\"id-of-get\",status=\"ok\"") == 1);
	stop(&f);
}

static void fields_can_be_metrics(void **state)
{
	(void)state;
	struct fixture f = {.options = fake_options()};
	struct fake_record r;

	start(&f);
	fake_http(&r, "GET", 200, 1000);
	fake_add_uint(&r, 1, FAKE_ROWS, 7);
	fake_add_uint(&r, 1, FAKE_SET_ROWS, 1000);
	tl_worker_metrics_roundtrip(f.workers[0], &r.head);
	tl_worker_metrics_roundtrip(f.workers[0], &r.head);
	struct tl_snapshot *s = turn(&f);
	assert_true(find(s, "http_response_affected_rows")->value == 14);
	assert_true(find(s, "http_response_resultset_rows")->histogram->sum == 2000);
	tl_snapshot_put(s);
	stop(&f);
}

static void values_beyond_the_budget_become_other(void **state)
{
	(void)state;
	struct fixture f = {.options = fake_options()};
	struct fake_record r;
	char method[16];

	f.options.label_values_max = 3;
	start(&f);
	for (uint32_t i = 0; i < 100; i++) {
		(void)snprintf(method, sizeof(method), "M%u", i % 10);
		fake_http(&r, method, 200, 1000);
		tl_worker_metrics_roundtrip(f.workers[0], &r.head);
	}
	struct tl_snapshot *s = turn(&f);
	for (uint32_t i = 0; i < 10; i++) {
		char labels[100];
		(void)snprintf(labels, sizeof(labels),
			       "method=\"M%u\",status_code=\"200\",status=\"ok\"", i);
		assert_true(tl_snapshot_value(s, "http_requests_total", labels) ==
			    (i < 3 ? 10 : 0));
	}
	assert_true(tl_snapshot_value(s, "http_requests_total",
		"method=\"other\",status_code=\"200\",status=\"ok\"") == 70);
	assert_true(tl_snapshot_value(s, "tapline_series_overflow_total", "") == 70);
	tl_snapshot_put(s);
	stop(&f);
}

static void churn_stays_bounded_and_the_books_close(void **state)
{
	(void)state;
	struct fixture f = {.options = fake_options()};
	struct fake_record r;
	char method[32];
	uint32_t series = 0, made = 0;

	f.options.series_max = 400; // 100 groups
	f.options.idle_ns = 1000000000ull;
	start(&f);
	for (uint32_t round = 0; round < 60; round++) {
		for (uint32_t i = 0; i < 20; i++, made++) {
			(void)snprintf(method, sizeof(method), "%u-%u-%0*u", round, i,
				       (int)(i % 20), 0u);
			fake_http(&r, method, 200, 1000 + i);
			tl_worker_metrics_roundtrip(f.workers[i & 1], &r.head);
		}
		fake_clock += 1000000000ull;
		struct tl_snapshot *s = turn(&f);
		(void)sum_of(s, "http_requests_total", &series);
		assert_in_range(series, 1, 101);
		tl_snapshot_put(s);
	}
	// Idle ones went: the last round's are named again rather than all `other`.
	struct tl_snapshot *s = tl_metrics_snapshot(f.metrics);
	char labels[100];
	(void)snprintf(labels, sizeof(labels),
		       "method=\"%s\",status_code=\"200\",status=\"ok\"", method);
	assert_true(tl_snapshot_value(s, "http_requests_total", labels) == 1);
	tl_snapshot_put(s);
	stop(&f);
	assert_int_equal(made, 1200);
}

static void nothing_is_lost_by_overflow(void **state)
{
	(void)state;
	struct fixture f = {.options = fake_options()};
	struct fake_record r;
	char method[32];
	uint32_t series = 0;

	f.options.series_per_family_max = 10;
	start(&f);
	for (uint32_t i = 0; i < 1000; i++) {
		(void)snprintf(method, sizeof(method), "M%u", i % 50);
		fake_http(&r, method, 200, 1000 + i);
		tl_worker_metrics_roundtrip(f.workers[i & 1], &r.head);
	}
	struct tl_snapshot *s = turn(&f);
	assert_true(sum_of(s, "http_requests_total", &series) == 1000);
	assert_int_equal(series, 11);
	assert_true(tl_snapshot_value(s, "http_requests_total",
		"method=\"other\",status_code=\"other\",status=\"ok\"") == 800);
	// 600 refused by the workers, the other's 10 methods of 20 calls each by the merge.
	assert_true(tl_snapshot_value(s, "tapline_series_overflow_total", "") == 800);
	tl_snapshot_put(s);
	stop(&f);
}

static void idle_series_end_and_begin_anew(void **state)
{
	(void)state;
	struct fixture f = {.options = fake_options()};
	struct fake_record r;
	const char *labels = "method=\"GET\",status_code=\"200\",status=\"ok\"";

	f.options.idle_ns = 3000000000ull;
	start(&f);
	fake_http(&r, "GET", 200, 1000);
	tl_worker_metrics_roundtrip(f.workers[0], &r.head);
	assert_true(value_after(&f, "http_requests_total", labels) == 1);
	for (uint32_t i = 0; i < 10; i++) {
		fake_clock += 1000000000ull;
		tl_snapshot_put(turn(&f));
	}
	struct tl_snapshot *s = tl_metrics_snapshot(f.metrics);
	assert_null(find(s, "http_requests_total"));
	assert_true(tl_snapshot_value(s, "tapline_worker_series_groups", "worker=\"0\"") == 0);
	tl_snapshot_put(s);
	fake_http(&r, "PUT", 200, 1000); // takes the id that GET had
	tl_worker_metrics_roundtrip(f.workers[0], &r.head);
	s = turn(&f);
	assert_true(tl_snapshot_value(s, "http_requests_total",
		"method=\"PUT\",status_code=\"200\",status=\"ok\"") == 1);
	assert_true(tl_snapshot_value(s, "http_requests_total", labels) == 0);
	assert_int_equal(find(s, "http_requests_total")->created_ns, f.now_ns);
	tl_snapshot_put(s);
	stop(&f);
}

static void handshakes_are_measured_by_side(void **state)
{
	(void)state;
	const char *paths[] = {"destination.host", "destination.port"};
	struct fixture f = {.options = fake_options()};
	struct tl_flow_identity flow = {.server_port = 443};

	f.options.tcp_labels = (struct tl_text_list) {paths, 2};
	flow.server_address[10] = flow.server_address[11] = 0xff;
	flow.server_address[15] = 9;
	start(&f);
	tl_worker_metrics_rtt(f.workers[0], &flow, 1000, 2000000);
	struct tl_snapshot *s = turn(&f);
	const struct tl_sample *rtt = find(s, "tcp_handshake_rtt_seconds");
	assert_true(rtt->histogram->sum == 1e-6);
	assert_int_equal(rtt->label_count, 3);
	assert_string_equal(rtt->labels[0].name, "dst_host");
	assert_string_equal(rtt->labels[0].value, "0.0.0.9");
	assert_string_equal(rtt->labels[2].value, "client");
	assert_true(rtt[1].histogram->sum == 0.002);
	tl_snapshot_put(s);
	stop(&f);
}

static void the_ledger_is_of_one_moment(void **state)
{
	(void)state;
	struct fixture f = {.options = fake_options()};

	start(&f);
	fake_engines[0].counters.at[TL_COUNT_PACKETS_OFFERED] = 10;
	fake_engines[1].counters.at[TL_COUNT_PACKETS_OFFERED] = 5;
	fake_engines[1].verdicts[1].flows = 3;
	fake_engines[1].verdicts[1].bytes = 300;
	fake_engines[0].events[1] = 4;
	tl_metrics_set(f.metrics, "tapline_port_packets_total", "port=\"a\\\"b\"", "counter",
		       "Packets.", 12);
	struct tl_snapshot *s = turn(&f);
	assert_true(tl_snapshot_value(s, "tapline_packets_offered_total", "") == 15);
	assert_true(tl_snapshot_value(s, "tapline_flows_total", "verdict=\"http\"") == 3);
	assert_true(tl_snapshot_value(s, "tapline_bytes_total", "verdict=\"http\"") == 300);
	assert_true(tl_snapshot_value(s, "tapline_decoder_events_total",
				      "protocol=\"http\",event=\"bad_chunk\"") == 4);
	assert_true(tl_snapshot_value(s, "tapline_port_packets_total", "port=\"a\\\"b\"") == 12);
	assert_true(find(s, "tapline_packets_dropped_total")->is_self);
	assert_string_equal(find(s, "tapline_packets_dropped_total")->help,
			    "Packets not followed, by cause.");
	// A counter that moves after the flip is not seen before the next one.
	fake_engines[0].counters.at[TL_COUNT_PACKETS_OFFERED] = 20;
	struct tl_snapshot *again = tl_metrics_snapshot(f.metrics);
	assert_true(tl_snapshot_value(again, "tapline_packets_offered_total", "") == 15);
	tl_snapshot_put(again);
	// The stopped workers' last words need nobody's poll.
	tl_metrics_merge_stopped(f.metrics, f.now_ns);
	again = tl_metrics_snapshot(f.metrics);
	assert_true(tl_snapshot_value(again, "tapline_packets_offered_total", "") == 25);
	assert_true(tl_snapshot_value(s, "tapline_packets_offered_total", "") == 15);
	tl_snapshot_put(again);
	tl_snapshot_put(s);
	stop(&f);
	memset(fake_engines, 0, sizeof(fake_engines));
}

static void l4_can_be_left_out(void **state)
{
	(void)state;
	struct fixture f = {.options = fake_options()};
	struct tl_flow_identity flow = {.server_port = 443};

	f.options.l4_enabled = false;
	start(&f);
	tl_worker_metrics_rtt(f.workers[0], &flow, 1000, 2000000);
	struct tl_snapshot *s = turn(&f);
	assert_null(find(s, "tcp_handshake_rtt_seconds"));
	assert_null(find(s, "tcp_received_packets_total"));
	assert_non_null(find(s, "tcp_active_conns"));
	assert_non_null(find(s, "tapline_packets_offered_total"));
	tl_snapshot_put(s);
	stop(&f);
}

// What a reload does: the workers leave their metrics for others made of other options.
static void replace(struct fixture *f, bool has_pending_flip)
{
	struct tl_worker_metrics *before[2] = {f->workers[0], f->workers[1]};

	if (has_pending_flip)
		tl_metrics_flip(f->metrics);
	for (uint32_t i = 0; i < 2; i++) {
		f->workers[i] = tl_worker_metrics_create(&f->options, (uint8_t)i);
		tl_worker_metrics_succeed(f->workers[i], before[i]);
	}
	tl_metrics_replace(f->metrics, &f->options, f->workers, f->now_ns);
	tl_worker_metrics_destroy(before[0]);
	tl_worker_metrics_destroy(before[1]);
}

static void totals_survive_other_options_but_not_other_labels(void **state)
{
	(void)state;
	const char *paths[] = {"status", "request.method"};
	struct tl_protocol_labels row = {"http", {paths, 2}};
	static const char requests[] = "http_requests_total";
	static const char first[] = "method=\"GET\",status_code=\"200\",status=\"ok\"";
	static const char later[] = "status=\"ok\",method=\"GET\"";
	struct fixture f = {.options = fake_options()};
	struct fake_record r;

	fake_http(&r, "GET", 200, 1000);
	fake_engine(0)->counters.at[TL_COUNT_PACKETS_PROCESSED] = 7;
	start(&f);
	for (uint32_t round = 0; round < 4; round++) {
		bool has_pending_flip = round % 2 != 0;
		// Of the epoch that ran, and of the one before, not merged yet.
		tl_worker_metrics_roundtrip(f.workers[0], &r.head);
		tl_metrics_flip(f.metrics);
		tl_worker_metrics_poll(f.workers[0], fake_engine(0));
		tl_worker_metrics_poll(f.workers[1], fake_engine(1));
		tl_worker_metrics_roundtrip(f.workers[1], &r.head);
		f.options.series_max += 4000;
		f.options.label_bytes_max++;
		replace(&f, has_pending_flip);
		struct tl_snapshot *s = tl_metrics_snapshot(f.metrics);
		assert_true(tl_snapshot_value(s, requests, first) == 2 * (round + 1));
		assert_true(tl_snapshot_value(s, "tapline_packets_processed_total", "") == 7);
		tl_snapshot_put(s);
	}
	struct tl_snapshot *kept = tl_metrics_snapshot(f.metrics);
	f.options.labels = (struct tl_option_table) {&row, 1};
	replace(&f, false);
	assert_true(value_after(&f, requests, first) == 0);
	tl_worker_metrics_roundtrip(f.workers[1], &r.head);
	assert_true(value_after(&f, requests, later) == 1);
	// Who read before has all of it still, the names, too.
	assert_true(tl_snapshot_value(kept, requests, first) == 8);
	tl_snapshot_put(kept);
	fake_engine(0)->counters.at[TL_COUNT_PACKETS_PROCESSED] = 0;
	stop(&f);
}

static void what_overflowed_is_not_forgotten(void **state)
{
	(void)state;
	static const char overflow[] = "tapline_series_overflow_total";
	struct fixture f = {.options = fake_options()};
	struct fake_record r;
	char method[16];

	f.options.label_values_max = 5;
	start(&f);
	for (uint32_t i = 0; i < 20; i++) {
		(void)snprintf(method, sizeof(method), "M%u", i);
		fake_http(&r, method, 200, 1000);
		tl_worker_metrics_roundtrip(f.workers[0], &r.head);
	}
	double before = value_after(&f, overflow, "");
	assert_true(before > 0);
	f.options.label_values_max = 50;
	replace(&f, false);
	assert_true(value_after(&f, overflow, "") == before);
	fake_http(&r, "M19", 200, 1000);
	tl_worker_metrics_roundtrip(f.workers[0], &r.head);
	assert_true(value_after(&f, overflow, "") == before);
	assert_true(value_after(&f, "http_requests_total",
				"method=\"M19\",status_code=\"200\",status=\"ok\"") == 1);
	stop(&f);
}

static void quantiles_lie_in_the_right_bucket(void **state)
{
	(void)state;
	struct fixture f = {.options = fake_options()};
	struct fake_record r;

	start(&f);
	for (uint32_t i = 1; i <= 1000; i++) {
		fake_http(&r, "GET", 200, i * 1000000);
		tl_worker_metrics_roundtrip(f.workers[0], &r.head);
	}
	struct tl_snapshot *s = turn(&f);
	const struct tl_histogram_value *h = find(s, "http_request_duration_seconds")->histogram;
	for (uint32_t percent = 1; percent <= 100; percent++) {
		double estimate = tl_histogram_quantile(h, percent / 100.0);
		assert_true(estimate / (percent / 100.0) < 1.137);
		assert_true(estimate / (percent / 100.0) > 0.879);
	}
	assert_true(isnan(tl_histogram_quantile(NULL, 0.5)));
	tl_snapshot_put(s);
	stop(&f);
}

// Every live group is found under its key, and the values in use are those of the live groups.
static void check_series(struct tl_series *s)
{
	static struct tl_key key;
	static bool is_seen[8192];
	uint32_t live = 0, distinct = 0;
	bool is_overflow = false;

	memset(is_seen, 0, sizeof(is_seen));
	for (uint32_t id = 0; id < s->touched; id++) {
		const struct tl_group *group = &s->groups[id];
		if (!group->is_live)
			continue;
		live++;
		key.len = group->key_len;
		memcpy(key.bytes, group->key, key.len);
		tl_key_pad(&key);
		assert_int_equal(tl_series_find(s, &key, &is_overflow), id);
		uint32_t value = 0;
		memcpy(&value, group->key + 3, sizeof(value));
		distinct += !is_seen[value];
		is_seen[value] = true;
	}
	assert_false(is_overflow);
	assert_int_equal(live, s->used);
	assert_int_equal(distinct, s->distinct[TL_LABELS_MAX]);
	// The other label has four values, or fewer when few groups are left.
	assert_int_equal(s->value_count, distinct + s->distinct[TL_LABELS_MAX + 1]);
}

static void the_table_survives_removal(void **state)
{
	(void)state;
	struct tl_metrics_options options = fake_options();
	static struct tl_plan plans[2];
	static struct tl_key key;
	struct tl_series s;
	uint32_t removed = 0;
	uint64_t x = 88172645463325252ull;

	options.series_max = 16384; // 4096 groups in 16384 places
	options.series_per_family_max = options.label_values_max = 100000;
	assert_int_equal(tl_plan_make(&plans[1], 1, &fake_decoder, &options, NULL, 0), 0);
	assert_int_equal(tl_series_init(&s, plans, 2, &options, 1), 0);
	for (uint32_t epoch = 10; epoch < 60; epoch++) {
		for (uint32_t i = 0; i < 300; i++) {
			bool is_overflow = false;
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			uint32_t value = (uint32_t)(x % 8000);
			const uint8_t head[] = {1, 0, 4};
			memcpy(key.bytes, head, 3);
			memcpy(key.bytes + 3, &value, 4);
			key.bytes[7] = 1;
			key.bytes[8] = (uint8_t)(value & 3);
			key.len = 9;
			tl_key_pad(&key);
			uint32_t id = tl_series_find(&s, &key, &is_overflow);
			assert_false(is_overflow);
			s.groups[id].touched_epoch = epoch;
		}
		uint32_t before = s.used;
		for (uint32_t i = 0; i < 4; i++)
			tl_series_sweep(&s, UINT64_MAX, epoch - 8);
		removed += before - s.used;
		for (uint32_t id = 0; id < s.touched; id++)
			assert_true(!s.groups[id].is_live || s.groups[id].touched_epoch + 8 >= epoch);
		check_series(&s);
	}
	assert_true(removed > 5000);
	tl_series_fini(&s);
}

// A worker on a thread of its own books while control flips: nothing is lost or counted twice.
struct race {
	struct tl_worker_metrics *worker;
	_Atomic bool is_done;
	_Atomic uint32_t flips;
	uint32_t count;
};

static void race_poll(struct race *race)
{
	fake_engine(0)->ahead_ns += 2;
	tl_worker_metrics_poll(race->worker, fake_engine(0));
}

static void *race_worker(void *arg)
{
	struct race *race = arg;
	struct fake_record r;
	char method[16];

	for (uint32_t i = 0; i < race->count; i++) {
		// In runs, so that each method is idle for a while.
		(void)snprintf(method, sizeof(method), "M%u", i / 50 % 300);
		fake_http(&r, method, 200, i);
		tl_worker_metrics_roundtrip(race->worker, &r.head);
		if (i % 8 == 0)
			race_poll(race);
		// However seldom the other thread runs, there are flips to race with.
		while (atomic_load(&race->flips) < i / 50000) {
			race_poll(race);
			sched_yield();
		}
	}
	atomic_store(&race->is_done, true);
	return NULL;
}

static void flips_race_with_a_worker(void **state)
{
	(void)state;
	struct fixture f = {.options = fake_options()};
	pthread_t thread;
	uint32_t series, flips = 0;

	f.options.idle_ns = 1; // of packet time, which passes at each poll below
	start(&f);
	struct race race = {.worker = f.workers[0], .count = 300000};
	assert_int_equal(pthread_create(&thread, NULL, race_worker, &race), 0);
	while (!atomic_load(&race.is_done)) {
		tl_metrics_flip(f.metrics);
		tl_worker_metrics_poll(f.workers[1], fake_engine(1));
		flips += tl_metrics_merge(f.metrics, 1);
		atomic_store(&race.flips, flips);
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	tl_metrics_merge_stopped(f.metrics, 1);
	struct tl_snapshot *s = tl_metrics_snapshot(f.metrics);
	assert_true(sum_of(s, "http_requests_total", &series) == 300000);
	uint64_t observed = 0;
	for (uint32_t i = 0; i < tl_snapshot_count(s); i++) {
		const struct tl_sample *sample = tl_snapshot_at(s, i);
		if (strcmp(sample->family, "http_request_duration_seconds") == 0)
			observed += sample->histogram->count;
	}
	assert_int_equal(observed, 300000);
	// Groups came and went all the time; none took another's counts.
	assert_int_equal(series, 300);
	for (uint32_t i = 0; i < tl_snapshot_count(s); i++)
		if (strcmp(tl_snapshot_at(s, i)->family, "http_requests_total") == 0)
			assert_true(tl_snapshot_at(s, i)->value == 1000);
	assert_true(flips > 2);
	tl_snapshot_put(s);
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(books_by_label_and_status),
		cmocka_unit_test(only_answered_ones_have_a_duration),
		cmocka_unit_test(labels_are_chosen_by_path),
		cmocka_unit_test(values_become_templates),
		cmocka_unit_test(an_orphan_is_labelled_by_its_response),
		cmocka_unit_test(ids_take_names_when_they_are_told),
		cmocka_unit_test(fields_can_be_metrics),
		cmocka_unit_test(values_beyond_the_budget_become_other),
		cmocka_unit_test(churn_stays_bounded_and_the_books_close),
		cmocka_unit_test(nothing_is_lost_by_overflow),
		cmocka_unit_test(idle_series_end_and_begin_anew),
		cmocka_unit_test(handshakes_are_measured_by_side),
		cmocka_unit_test(the_ledger_is_of_one_moment),
		cmocka_unit_test(l4_can_be_left_out),
		cmocka_unit_test(totals_survive_other_options_but_not_other_labels),
		cmocka_unit_test(what_overflowed_is_not_forgotten),
		cmocka_unit_test(quantiles_lie_in_the_right_bucket),
		cmocka_unit_test(the_table_survives_removal),
		cmocka_unit_test(flips_race_with_a_worker),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
