// SPDX-License-Identifier: Apache-2.0
#include "tests/support/recorder.h"

#include "base/check.h"
#include "l7/decoder.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct tl_conn {
	struct recording *recording;
	uint64_t deadline_ns;
};

struct recorder_answers recorder_answers;
uint64_t recorder_bytes_max = 65536;
const struct tl_decoder *const tl_decoders[] = {NULL, NULL, NULL, NULL};
const uint16_t tl_decoder_count = 4;

static struct recording *recordings[RECORDER_CONNS_MAX];
static uint32_t recording_count;

void recorder_reset(void)
{
	for (uint32_t i = 0; i < recording_count; i++) {
		free(recordings[i]->bytes[0]);
		free(recordings[i]->bytes[1]);
		free(recordings[i]);
	}
	recording_count = 0;
	recorder_answers = (struct recorder_answers) {0};
}

uint32_t recorder_count(void)
{
	return recording_count;
}

struct recording *recorder_at(uint32_t index)
{
	TL_ASSERT(index < recording_count);
	return recordings[index];
}

static __attribute__((format(printf, 2, 3))) void note(struct recording *r, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	uint32_t left = RECORDER_LOG_MAX - r->log_len;
	int len = vsnprintf(r->log + r->log_len, left, format, args);
	va_end(args);
	if (len > 0 && (uint32_t)len < left)
		r->log_len += (uint32_t)len;
	else
		r->log[r->log_len] = '\0';
}

struct tl_l7 *tl_l7_create(const struct tl_l7_options *options, const struct tl_rules *rules,
			   uint8_t worker, struct tl_counters *counters, tl_roundtrip_fn *complete,
			   void *arg)
{
	(void)options, (void)rules, (void)worker, (void)complete, (void)arg;
	return (struct tl_l7 *)counters;
}

void tl_l7_destroy(struct tl_l7 *l7)
{
	(void)l7;
}

void tl_l7_set_flows(struct tl_l7 *l7, const struct tl_flow_table *flows)
{
	(void)l7, (void)flows;
}

void tl_l7_set_rules(struct tl_l7 *l7, const struct tl_rules *rules)
{
	(void)l7, (void)rules;
}

void tl_l7_on_asked(struct tl_l7 *l7, tl_asked_fn *fn, void *arg)
{
	(void)l7, (void)fn, (void)arg;
}

struct tl_conn *tl_conn_open(struct tl_l7 *l7, struct tl_flow *flow, uint64_t now_ns)
{
	(void)l7, (void)now_ns;
	if (recorder_answers.refuses) {
		tl_flow_set_verdict(flow, TL_VERDICT_IGNORED);
		return NULL;
	}
	TL_ASSERT(recording_count < RECORDER_CONNS_MAX);
	struct recording *r = calloc(1, sizeof(*r));
	struct tl_conn *conn = calloc(1, sizeof(*conn));
	TL_ASSERT(r != NULL && conn != NULL);
	recordings[recording_count++] = r;
	r->flow = flow;
	conn->recording = r;
	conn->deadline_ns = UINT64_MAX;
	tl_flow_set_verdict(flow, TL_VERDICT_UNDECIDED);
	return conn;
}

static void use_skip(uint8_t side, uint64_t bytes)
{
	uint64_t *skip = &recorder_answers.skip[side];
	if (*skip != UINT64_MAX)
		*skip -= bytes < *skip ? bytes : *skip;
}

void tl_conn_data(struct tl_l7 *l7, struct tl_conn *conn, uint8_t side, struct tl_bytes bytes,
		  uint64_t time_ns, uint64_t stall_ns)
{
	struct tl_counters *counters = (struct tl_counters *)l7;
	struct recording *r = conn->recording;

	uint64_t end = r->len[side] + bytes.len;
	if (end <= recorder_bytes_max && end > r->room[side]) {
		r->room[side] = end * 2 < 4096 ? 4096 : end * 2;
		r->bytes[side] = realloc(r->bytes[side], r->room[side]);
		TL_ASSERT(r->bytes[side] != NULL);
	}
	if (end <= recorder_bytes_max)
		memcpy(r->bytes[side] + r->len[side], bytes.ptr, bytes.len);
	r->len[side] += bytes.len;
	r->stall_ns[side] += stall_ns;
	r->last_ns[side] = time_ns;
	note(r, "%u:%u ", side, bytes.len);
	tl_counter_add(counters,
		       recorder_answers.skip[side] >= bytes.len ? TL_COUNT_STREAM_SKIPPED
								: TL_COUNT_STREAM_DECODED,
		       bytes.len);
	use_skip(side, bytes.len);
	if (recorder_answers.timeout_ns != 0)
		conn->deadline_ns = time_ns + recorder_answers.timeout_ns;
	if (recorder_answers.verdict != 0)
		tl_flow_set_verdict(r->flow, recorder_answers.verdict);
}

void tl_conn_datagram(struct tl_l7 *l7, struct tl_conn *conn, uint8_t side, struct tl_bytes bytes,
		      uint32_t wire_len, uint64_t time_ns)
{
	(void)wire_len;
	tl_conn_data(l7, conn, side, bytes, time_ns, 0);
	conn->recording->datagrams++;
}

void tl_conn_gap(struct tl_l7 *l7, struct tl_conn *conn, uint8_t side, uint64_t lost,
		 uint64_t time_ns)
{
	struct recording *r = conn->recording;
	(void)l7, (void)time_ns;
	r->lost[side] += lost;
	r->gaps[side]++;
	r->last_ns[side] = time_ns;
	use_skip(side, lost);
	note(r, "%u-%llu ", side, (unsigned long long)lost);
}

uint64_t tl_conn_skip(const struct tl_conn *conn, uint8_t side)
{
	(void)conn;
	return recorder_answers.skip[side];
}

bool tl_conn_pass(struct tl_conn *conn, uint8_t side, uint32_t len, uint64_t time_ns)
{
	(void)conn, (void)side, (void)len, (void)time_ns;
	return false; // everything comes by tl_conn_data()
}

void tl_conn_end_side(struct tl_l7 *l7, struct tl_conn *conn, uint8_t side, uint64_t time_ns)
{
	(void)l7, (void)time_ns;
	conn->recording->has_ended[side] = true;
	note(conn->recording, "%u. ", side);
}

void tl_conn_close(struct tl_l7 *l7, struct tl_conn *conn, enum tl_end end, uint64_t time_ns)
{
	struct recording *r = conn->recording;
	(void)l7;
	tl_flow_identity(r->flow, &r->identity);
	r->is_closed = true;
	r->end = end;
	r->end_ns = time_ns;
	free(conn);
}

uint64_t tl_conn_deadline(const struct tl_conn *conn)
{
	return conn->deadline_ns;
}

void tl_conn_expire(struct tl_l7 *l7, struct tl_conn *conn, uint64_t now_ns)
{
	(void)l7;
	TL_ASSERT(now_ns >= conn->deadline_ns);
	conn->recording->expired++;
	conn->recording->expired_ns = conn->deadline_ns;
	conn->deadline_ns = UINT64_MAX;
}

bool tl_conn_is_idle(const struct tl_conn *conn)
{
	(void)conn;
	return recorder_answers.is_idle;
}

bool tl_conn_is_deaf(const struct tl_conn *conn)
{
	(void)conn;
	return recorder_answers.is_deaf;
}
