// SPDX-License-Identifier: Apache-2.0
// The worker's side of metrics: a record becomes a group id and a few additions.
#include "base/check.h"
#include "base/hash.h"
#include "metrics/bank.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static int bank_init(struct tl_bank *bank, const struct tl_worker_metrics *m)
{
	uint32_t capacity = m->series.capacity;

	bank->values = tl_map(sizeof(*bank->values) * capacity);
	bank->blocks = tl_map(sizeof(*bank->blocks) * m->block_limit);
	bank->dirty = tl_map(sizeof(*bank->dirty) * capacity);
	bank->verdicts = calloc(m->verdict_count, sizeof(*bank->verdicts));
	bank->decoder_counters = calloc(m->decoder_counter_count + 1, sizeof(uint64_t));
	return bank->values == NULL || bank->blocks == NULL || bank->dirty == NULL ||
	       bank->verdicts == NULL || bank->decoder_counters == NULL;
}

static void bank_fini(struct tl_bank *bank, const struct tl_worker_metrics *m)
{
	tl_unmap(bank->values, sizeof(*bank->values) * m->series.capacity);
	tl_unmap(bank->blocks, sizeof(*bank->blocks) * m->block_limit);
	tl_unmap(bank->dirty, sizeof(*bank->dirty) * m->series.capacity);
	free(bank->verdicts);
	free(bank->decoder_counters);
}

// Histograms that a group of any protocol can have.
static uint32_t histograms_max(const struct tl_worker_metrics *m)
{
	uint32_t max = 0;

	for (uint32_t i = 0; i < m->plan_count; i++) {
		uint32_t count = 0;
		for (uint32_t k = 0; k < m->plans[i].extra_count; k++)
			count += m->plans[i].extras[k].is_histogram;
		max = count > max ? count : max;
	}
	return TL_BANK_EXTRA + max;
}

struct tl_worker_metrics *tl_worker_metrics_create(const struct tl_metrics_options *options,
						   uint8_t worker)
{
	struct tl_worker_metrics *m = aligned_alloc(64, sizeof(*m));
	uint64_t seed = 0;

	if (m == NULL)
		return NULL;
	memset(m, 0, sizeof(*m));
	m->worker = worker;
	m->timeouts_in_duration = options->timeouts_in_duration;
	m->l4_enabled = options->l4_enabled;
	m->idle_ns = options->idle_ns;
	m->label_bytes_max = options->label_bytes_max < 1 ? 1 :
		options->label_bytes_max > TL_LABEL_BYTES_MAX ? TL_LABEL_BYTES_MAX :
		(uint32_t)options->label_bytes_max;
	// A registry without decoders still has its entry 0.
	m->plan_count = tl_decoder_count;
	m->verdict_count = tl_decoder_count + TL_VERDICT_COUNT;
	m->plans = calloc(m->plan_count, sizeof(*m->plans));
	if (m->plans == NULL)
		goto failed;
	(void)tl_plan_make(&m->plans[TL_PLAN_L4], TL_PLAN_L4, NULL, options, NULL, 0);
	for (uint16_t id = 1; id < m->plan_count; id++) {
		if (tl_decoders[id] == NULL)
			continue;
		(void)tl_plan_make(&m->plans[id], id, tl_decoders[id], options, NULL, 0);
		m->decoder_counter_count += tl_decoders[id]->counter_count;
	}
	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed))
		seed = (uint64_t)(uintptr_t)m;
	if (tl_templates_init(&m->templates, m->plans, m->plan_count, options, false) != 0)
		goto failed;
	if (tl_series_init(&m->series, m->plans, m->plan_count, options, seed) != 0)
		goto failed;
	// Address space for the case that every histogram reaches every decade: an observation
	// never lacks its bucket.
	m->block_limit = m->series.capacity * histograms_max(m) * TL_BANK_DECADES;
	if (bank_init(&m->banks[0], m) == 0 && bank_init(&m->banks[1], m) == 0)
		return m;
failed:
	tl_worker_metrics_destroy(m);
	return NULL;
}

void tl_worker_metrics_destroy(struct tl_worker_metrics *m)
{
	if (m == NULL)
		return;
	bank_fini(&m->banks[0], m);
	bank_fini(&m->banks[1], m);
	tl_series_fini(&m->series);
	tl_templates_fini(&m->templates);
	free(m->plans);
	free(m);
}

void tl_worker_metrics_succeed(struct tl_worker_metrics *m, const struct tl_worker_metrics *before)
{
	m->overflows = before->overflows;
	m->ignored = before->ignored;
	m->clock_ns = before->clock_ns;
	m->engine = before->engine;
}

static void observe(struct tl_worker_metrics *m, struct tl_bank *bank,
		    struct tl_bank_histogram *histogram, uint32_t bucket, uint32_t first_decade,
		    uint64_t value)
{
	if (__builtin_add_overflow(histogram->sum, value, &histogram->sum))
		histogram->sum = UINT64_MAX;
	if (TL_UNLIKELY(bucket == TL_VMRANGE_LOWER)) {
		histogram->lower++;
		return;
	}
	if (TL_UNLIKELY(bucket == TL_VMRANGE_UPPER)) {
		histogram->upper++;
		return;
	}
	uint32_t decade = (bucket - 1) / TL_VMRANGE_PER_DECADE;
	uint32_t *block = &histogram->blocks[decade - first_decade];
	if (TL_UNLIKELY(*block == 0)) {
		TL_ASSERT(bank->block_count < m->block_limit);
		memset(&bank->blocks[bank->block_count], 0, sizeof(*bank->blocks));
		*block = ++bank->block_count;
	}
	bank->blocks[*block - 1].counts[bucket - 1 - decade * TL_VMRANGE_PER_DECADE]++;
}

static void observe_ns(struct tl_worker_metrics *m, struct tl_bank *bank,
		       struct tl_bank_histogram *histogram, uint64_t ns)
{
	observe(m, bank, histogram, tl_vmrange_of_ns(ns), 0, ns);
}

static void observe_count(struct tl_worker_metrics *m, struct tl_bank *bank,
			  struct tl_bank_histogram *histogram, uint64_t count)
{
	observe(m, bank, histogram, tl_vmrange_of_count(count), TL_BANK_COUNT_DECADE, count);
}

// The values of the group that `m->key` names, in the running epoch.
static struct tl_bank_values *touch(struct tl_worker_metrics *m, struct tl_bank *bank)
{
	bool is_overflow = false;
	uint32_t id = tl_series_find(&m->series, &m->key, &is_overflow);
	struct tl_bank_values *values = &bank->values[id];

	m->overflows += is_overflow;
	if (!values->is_dirty) {
		values->is_dirty = true;
		bank->dirty[bank->dirty_count++] = id;
		m->series.groups[id].touched_epoch = m->epoch;
		m->series.groups[id].touched_ns = m->clock_ns;
	}
	return values;
}

static void book_extras(struct tl_worker_metrics *m, struct tl_bank *bank,
			const struct tl_plan *plan, const struct tl_captured *captured,
			struct tl_bank_values *values)
{
	for (uint32_t i = 0; i < plan->extra_count; i++) {
		const struct tl_extra_spec *extra = &plan->extras[i];
		struct tl_bytes bytes = captured->values[extra->captured];
		uint64_t number = 0;

		if (bytes.len != sizeof(number) || extra->type == TL_FIELD_TEXT ||
		    extra->type == TL_FIELD_BYTES || extra->type == TL_FIELD_REAL)
			continue;
		memcpy(&number, bytes.ptr, sizeof(number));
		if (extra->type == TL_FIELD_INT && (int64_t)number < 0)
			continue;
		if (extra->is_histogram)
			observe_count(m, bank, &values->histograms[TL_BANK_EXTRA + i], number);
		else if (__builtin_add_overflow(values->extras[i], number, &values->extras[i]))
			values->extras[i] = UINT64_MAX;
	}
}

// False: the roundtrip is not to be counted.
static bool apply_templates(struct tl_worker_metrics *m, const struct tl_plan *plan,
			    struct tl_captured *captured)
{
	for (uint32_t i = 0; i < plan->label_count; i++) {
		struct tl_template *one = tl_templates_at(&m->templates, plan->protocol, i);
		struct tl_bytes *value = &captured->values[plan->labels[i].captured];
		bool is_id = (captured->ids & 1u << plan->labels[i].captured) != 0;
		if (one != NULL && !is_id && !tl_template_apply(one, *value, &m->rooms[i], value))
			return false;
	}
	return true;
}

void tl_worker_metrics_roundtrip(struct tl_worker_metrics *m, const struct tl_roundtrip *r)
{
	if (r->protocol == TL_PLAN_L4 || r->protocol >= m->plan_count)
		return;
	const struct tl_plan *plan = &m->plans[r->protocol];
	struct tl_bank *bank = &m->banks[m->epoch & 1];
	struct tl_captured captured;
	const struct tl_key_ends ends = {
		.client_address = r->client_address,
		.server_address = r->server_address,
		.client_port = r->client_port,
		.server_port = r->server_port,
		.status = r->status,
	};

	if (plan->name == NULL || r->status >= TL_STATUS_COUNT)
		return;
	tl_plan_capture(plan, r, &captured);
	if (TL_UNLIKELY(m->templates.has_any[r->protocol]) &&
	    !apply_templates(m, plan, &captured)) {
		m->ignored++;
		return;
	}
	tl_key_make(plan, &ends, &captured, m->label_bytes_max, &m->key);
	struct tl_bank_values *values = touch(m, bank);

	values->requests[r->status]++;
	bool is_answered = tl_roundtrip_is_answered(r);
	if (is_answered || (m->timeouts_in_duration && r->status == TL_STATUS_TIMEOUT))
		observe_ns(m, bank, &values->histograms[TL_BANK_DURATION], r->duration_ns);
	if (r->request.seen != 0)
		observe_count(m, bank, &values->histograms[TL_BANK_REQUEST], r->request.body_bytes);
	if (r->response.seen != 0)
		observe_count(m, bank, &values->histograms[TL_BANK_RESPONSE],
			      r->response.body_bytes);
	if (plan->extra_count != 0)
		book_extras(m, bank, plan, &captured, values);
	if ((r->trace.flags & TL_TRACE_PRESENT) != 0 && is_answered) {
		memcpy(values->trace_id, r->trace.trace_id, sizeof(values->trace_id));
		values->exemplar_ns = r->duration_ns;
		values->exemplar_time_ns = tl_roundtrip_time(r);
		values->exemplar_status = r->status;
		values->has_exemplar = true;
	}
}

void tl_worker_metrics_rtt(struct tl_worker_metrics *m, const struct tl_flow_identity *flow,
			   uint64_t client_ns, uint64_t server_ns)
{
	if (!m->l4_enabled)
		return;
	struct tl_bank *bank = &m->banks[m->epoch & 1];
	const struct tl_key_ends ends = {
		.client_address = flow->client_address,
		.server_address = flow->server_address,
		.client_port = flow->client_port,
		.server_port = flow->server_port,
	};

	tl_key_make(&m->plans[TL_PLAN_L4], &ends, NULL, m->label_bytes_max, &m->key);
	struct tl_bank_values *values = touch(m, bank);
	observe_ns(m, bank, &values->histograms[TL_BANK_DURATION], client_ns);
	observe_ns(m, bank, &values->histograms[TL_BANK_REQUEST], server_ns);
}

static void copy_counters(struct tl_worker_metrics *m, struct tl_bank *bank,
			  struct tl_engine *engine)
{
	uint32_t count = 0;
	uint64_t *to = bank->decoder_counters;
	const struct tl_verdict_count *verdicts = tl_engine_verdicts(engine, &count);

	memcpy(bank->verdicts, verdicts,
	       sizeof(*verdicts) * (count < m->verdict_count ? count : m->verdict_count));
	bank->counters = *tl_engine_counters(engine);
	bank->counters.at[TL_COUNT_SERIES_OVERFLOW] += m->overflows;
	bank->counters.at[TL_COUNT_ROUNDTRIPS_IGNORED] += m->ignored;
	for (uint16_t id = 1; id < m->plan_count; id++) {
		if (tl_decoders[id] == NULL || tl_decoders[id]->counter_count == 0)
			continue;
		const uint64_t *from = tl_l7_decoder_counters(tl_engine_l7(engine), id);
		if (from != NULL)
			memcpy(to, from, sizeof(*to) * tl_decoders[id]->counter_count);
		to += tl_decoders[id]->counter_count;
	}
	bank->has_counters = true;
	m->clock_ns = tl_engine_clock(engine);
}

void tl_worker_metrics_poll(struct tl_worker_metrics *m, struct tl_engine *engine)
{
	m->engine = engine;
	uint32_t requested = atomic_load_explicit(&m->requested, memory_order_acquire);
	if (TL_LIKELY(requested == m->epoch))
		return;
	struct tl_bank *bank = &m->banks[m->epoch & 1];
	bank->groups = m->series.used;
	bank->has_counters = false; // those of two epochs ago
	if (engine != NULL)
		copy_counters(m, bank, engine);
	m->epoch = requested;
	// The bank of the last epoch is the control lcore's now and may still hold its groups.
	if (m->idle_ns != 0 && m->clock_ns > m->idle_ns)
		tl_series_sweep(&m->series, m->clock_ns - m->idle_ns, requested - 1);
	atomic_store_explicit(&m->acknowledged, requested, memory_order_release);
}
