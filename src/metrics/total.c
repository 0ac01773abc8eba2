// SPDX-License-Identifier: Apache-2.0
#include "metrics/total.h"

#include "base/check.h"
#include "base/hash.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define SWEEPS_PER_IDLE 8u // idle totals are looked for this often within the idle time

static void *must(void *memory)
{
	TL_ASSERT(memory != NULL && "out of memory");
	return memory;
}

int tl_metrics_check(const struct tl_metrics_options *options, char *error, uint32_t error_size)
{
	static struct tl_plan plan; // too large for a stack; control lcore only
	const struct tl_protocol_labels *rows =
		(const struct tl_protocol_labels *)options->labels.items;
	int result = tl_plan_make(&plan, TL_PLAN_L4, NULL, options, error, error_size);

	for (uint16_t id = 1; result == 0 && id < tl_decoder_count; id++)
		if (tl_decoders[id] != NULL)
			result = tl_plan_make(&plan, id, tl_decoders[id], options, error,
					      error_size);
	const struct tl_template_rule *rules =
		(const struct tl_template_rule *)options->templates.items;
	for (uint32_t i = 0; result == 0 && i < options->templates.count; i++)
		result = tl_template_check(&rules[i], error, error_size);
	for (uint32_t i = 0; result == 0 && i < options->labels.count; i++) {
		bool is_known = false;
		for (uint16_t id = 1; id < tl_decoder_count; id++)
			is_known |= tl_decoders[id] != NULL &&
				    strcmp(tl_decoders[id]->name, rows[i].protocol) == 0;
		if (is_known)
			continue;
		(void)snprintf(error, error_size, "%s: no such protocol", rows[i].protocol);
		result = -EINVAL;
	}
	return result;
}

struct tl_metrics *tl_metrics_create(const struct tl_metrics_options *options,
				     struct tl_worker_metrics *const *workers, uint32_t count)
{
	struct tl_metrics *m = must(calloc(1, sizeof(*m)));
	uint32_t chains = 64;

	m->idle_ns = options->idle_ns;
	m->l4_enabled = options->l4_enabled;
	if (count == 0) // a probe that captures nothing: only what is set and collected
		return m;
	const struct tl_worker_metrics *first = workers[0];

	TL_ASSERT(tl_templates_init(&m->templates, first->plans, first->plan_count, options, true) ==
		  0 && "out of memory");
	m->plans = first->plans;
	m->plan_count = first->plan_count;
	m->verdict_count = first->verdict_count;
	m->decoder_counter_count = first->decoder_counter_count;
	m->total_budget = first->series.budget;
	m->total_capacity = first->series.capacity;
	m->family_max = first->series.family_max;
	while (chains < m->total_capacity)
		chains *= 2;
	m->chain_mask = chains - 1;
	m->chains = must(calloc(chains, sizeof(struct tl_total *)));
	m->totals = must(calloc(m->total_capacity, sizeof(struct tl_total *)));
	m->generations = must(calloc(m->total_capacity, sizeof(*m->generations)));
	m->free_totals = must(calloc(m->total_capacity, sizeof(*m->free_totals)));
	m->family_totals = must(calloc(m->plan_count, sizeof(*m->family_totals)));
	m->workers = must(calloc(count, sizeof(*m->workers)));
	m->worker_count = count;
	for (uint32_t i = 0; i < count; i++) {
		struct tl_total_worker *w = &m->workers[i];
		w->metrics = workers[i];
		w->is_merged = true;
		w->links = must(calloc(workers[i]->series.capacity, sizeof(*w->links)));
		w->verdicts = must(calloc(m->verdict_count, sizeof(*w->verdicts)));
		w->decoder_counters = must(calloc(m->decoder_counter_count + 1, sizeof(uint64_t)));
	}
	return m;
}

static void total_free(struct tl_total *total)
{
	if (total == NULL)
		return;
	for (uint32_t i = 0; i < TL_BANK_HISTOGRAMS; i++)
		for (uint32_t k = 0; k < TL_VMRANGE_DECADES; k++)
			free(total->histograms[i].decades[k]);
	free(total);
}

static void put_points(struct tl_metrics *m)
{
	for (uint32_t i = 0; i < m->points_count; i++)
		tl_points_put(m->points[i]);
	free(m->points);
	m->points = NULL;
	m->points_count = 0;
}

void tl_metrics_destroy(struct tl_metrics *m)
{
	if (m == NULL)
		return;
	for (uint32_t i = 0; i < m->worker_count; i++) {
		free(m->workers[i].links);
		free(m->workers[i].verdicts);
		free(m->workers[i].decoder_counters);
	}
	for (uint32_t i = 0; i < m->total_touched; i++)
		total_free(m->totals[i]);
	for (uint32_t i = 0; i < m->set_count; i++) {
		free(m->set[i].family);
		free(m->set[i].labels);
		free(m->set[i].help);
	}
	tl_snapshot_put(m->snapshot);
	put_points(m);
	tl_text_free(&m->scratch);
	tl_text_free(&m->value);
	tl_templates_fini(&m->templates);
	free(m->set);
	free(m->workers);
	free(m->totals);
	free(m->generations);
	free(m->free_totals);
	free(m->family_totals);
	free(m->chains);
	free(m);
}

// ---- Finding the total of a worker's group -----------------------------------------------------

static bool is_named(const struct tl_label_spec *label)
{
	return label->kind == TL_LABEL_SERVER_NAME || label->kind == TL_LABEL_SERVER_PLACE ||
	       label->kind == TL_LABEL_CLIENT_PLACE;
}

// Adds the text of a label. The workers have made templates of values already, each of what it has
// seen: this makes one of theirs.
static void add_label(struct tl_metrics *m, const struct tl_plan *plan, uint32_t label,
		      struct tl_bytes value, bool is_other)
{
	struct tl_template *one = tl_templates_at(&m->templates, plan->protocol, label);
	struct tl_template_room room;
	struct tl_bytes result;

	if (is_named(&plan->labels[label]) && !is_other && m->name != NULL) {
		uint16_t port = 0; // of a client
		memcpy(&port, value.ptr + 16, value.len - 16);
		const char *name = m->name(m->name_arg, plan->labels[label].name_of, value.ptr, port);
		if (name != NULL) {
			tl_text_utf8(&m->scratch, tl_bytes_of(name), false);
			return;
		}
	}
	if (plan->labels[label].has_ids && !is_other && value.len != 0 &&
	    value.ptr[0] == TL_LABEL_ID_MARK && m->id_name != NULL) {
		value = m->id_name(m->id_arg, plan->protocol, tl_bytes_from(value, 1));
		if (value.len == 0)
			return;
	}
	if (one == NULL || is_other) {
		tl_label_text(plan, &plan->labels[label], value, is_other, &m->scratch);
		return;
	}
	tl_text_clear(&m->value);
	tl_label_text(plan, &plan->labels[label], value, false, &m->value);
	result = tl_bytes(m->value.data, (uint32_t)m->value.len);
	(void)tl_template_apply(one, result, &room, &result);
	tl_text_add(&m->scratch, result.ptr, result.len);
}

// The texts of a group's labels, each with its NUL, in m->scratch.
static void values_text(struct tl_metrics *m, const struct tl_group *group, bool is_overflow)
{
	const struct tl_plan *plan = &m->plans[group->protocol];
	struct tl_bytes key = tl_bytes(group->key, group->key_len);
	uint32_t at = 2;
	bool is_other;

	tl_text_clear(&m->scratch);
	tl_text_add(&m->scratch, &plan->protocol, sizeof(plan->protocol));
	for (uint32_t i = 0; i < plan->label_count; i++) {
		struct tl_bytes value = tl_key_next(key, &at, &is_other);
		is_other |= is_overflow;
		if (is_other || value.len != 0 || plan->labels[i].kind == TL_LABEL_PROTOCOL)
			add_label(m, plan, i, value, is_other);
		tl_text_add(&m->scratch, "", 1);
	}
}

static struct tl_total *total_lookup(const struct tl_metrics *m, uint64_t hash)
{
	const char *values = m->scratch.data + sizeof(uint16_t);
	size_t len = m->scratch.len - sizeof(uint16_t);
	uint16_t protocol;

	memcpy(&protocol, m->scratch.data, sizeof(protocol));
	struct tl_total *total = m->chains[hash & m->chain_mask];
	for (; total != NULL; total = total->next)
		if (total->hash == hash && total->protocol == protocol &&
		    total->values_len == len && memcmp(total->values, values, len) == 0)
			return total;
	return NULL;
}

static struct tl_total *total_add(struct tl_metrics *m, uint64_t hash, uint16_t protocol,
				  bool is_overflow)
{
	size_t len = m->scratch.len - sizeof(uint16_t);
	struct tl_total *total = must(calloc(1, sizeof(*total) + len));

	TL_ASSERT(m->free_count != 0 || m->total_touched < m->total_capacity);
	total->index = m->free_count != 0 ? m->free_totals[--m->free_count] : m->total_touched++;
	total->hash = hash;
	total->protocol = protocol;
	total->is_overflow = is_overflow;
	total->values_len = (uint32_t)len;
	memcpy(total->values, m->scratch.data + sizeof(uint16_t), len);
	total->next = m->chains[hash & m->chain_mask];
	m->chains[hash & m->chain_mask] = total;
	m->totals[total->index] = total;
	m->generations[total->index]++;
	if (!is_overflow) {
		m->total_used++;
		m->family_totals[protocol]++;
	}
	return total;
}

static struct tl_total *total_of(struct tl_metrics *m, const struct tl_group *group)
{
	values_text(m, group, false);
	uint64_t hash = tl_hash64(m->scratch.data, m->scratch.len, 0);
	struct tl_total *total = total_lookup(m, hash);
	bool is_overflow = false;

	// Each worker kept the budgets, but together they may know more groups than one may.
	if (total == NULL && (m->total_used >= m->total_budget ||
			      m->family_totals[group->protocol] >= m->family_max)) {
		is_overflow = true;
		values_text(m, group, true);
		hash = tl_hash64(m->scratch.data, m->scratch.len, 0);
		total = total_lookup(m, hash);
	}
	return total != NULL ? total : total_add(m, hash, group->protocol, is_overflow);
}

static struct tl_total *linked_total(struct tl_metrics *m, struct tl_total_worker *w, uint32_t id)
{
	const struct tl_group *group = &w->metrics->series.groups[id];
	struct tl_total_link *link = &w->links[id];

	if (link->total_generation != 0 && link->group_generation == group->generation &&
	    m->generations[link->total] == link->total_generation &&
	    m->totals[link->total] != NULL)
		return m->totals[link->total];
	struct tl_total *total = total_of(m, group);
	// A group that was refused is looked up each time: its place may have become free.
	if (!total->is_overflow || group->is_overflow)
		*link = (struct tl_total_link) {
			.group_generation = group->generation,
			.total = total->index,
			.total_generation = m->generations[total->index],
		};
	return total;
}

void tl_metrics_on_name(struct tl_metrics *m, tl_metrics_name_fn *fn, void *arg)
{
	m->name = fn;
	m->name_arg = arg;
}

void tl_metrics_on_id(struct tl_metrics *m, tl_metrics_id_fn *fn, void *arg)
{
	m->id_name = fn;
	m->id_arg = arg;
}

void tl_metrics_rename(struct tl_metrics *m)
{
	for (uint32_t i = 0; i < m->worker_count; i++)
		memset(m->workers[i].links, 0,
		       m->workers[i].metrics->series.capacity * sizeof(*m->workers[i].links));
}

static void remove_total(struct tl_metrics *m, struct tl_total *total)
{
	struct tl_total **at = &m->chains[total->hash & m->chain_mask];

	while (*at != total)
		at = &(*at)->next;
	*at = total->next;
	if (!total->is_overflow) {
		m->total_used--;
		m->family_totals[total->protocol]--;
	}
	m->totals[total->index] = NULL;
	m->free_totals[m->free_count++] = total->index;
	total_free(total);
}

static void remove_idle(struct tl_metrics *m)
{
	if (m->idle_ns == 0 || m->now_ns < m->swept_ns + m->idle_ns / SWEEPS_PER_IDLE)
		return;
	m->swept_ns = m->now_ns;
	for (uint32_t i = 0; i < m->total_touched; i++)
		if (m->totals[i] != NULL && m->totals[i]->touched_ns + m->idle_ns < m->now_ns)
			remove_total(m, m->totals[i]);
}

// ---- Merging -----------------------------------------------------------------------------------

static void count(struct tl_total_counter *counter, uint64_t n, uint64_t now_ns)
{
	if (n == 0)
		return;
	if (counter->created_ns == 0)
		counter->created_ns = now_ns;
	counter->touched_ns = now_ns;
	if (__builtin_add_overflow(counter->value, n, &counter->value))
		counter->value = UINT64_MAX;
}

static void merge_histogram(struct tl_total_histogram *to, const struct tl_bank_histogram *from,
			    const struct tl_bank *bank, uint32_t first_decade, uint64_t now_ns)
{
	uint64_t added = (uint64_t)from->lower + from->upper;

	for (uint32_t d = 0; d < TL_BANK_DECADES; d++) {
		if (from->blocks[d] == 0)
			continue;
		const struct tl_bank_block *block = &bank->blocks[from->blocks[d] - 1];
		uint64_t **decade = &to->decades[first_decade + d];
		if (*decade == NULL)
			*decade = must(calloc(TL_VMRANGE_PER_DECADE, sizeof(uint64_t)));
		for (uint32_t i = 0; i < TL_VMRANGE_PER_DECADE; i++) {
			(*decade)[i] += block->counts[i];
			added += block->counts[i];
		}
	}
	if (added == 0)
		return;
	if (to->created_ns == 0)
		to->created_ns = now_ns;
	to->touched_ns = now_ns;
	to->lower += from->lower;
	to->upper += from->upper;
	to->count += added;
	if (__builtin_add_overflow(to->sum, from->sum, &to->sum))
		to->sum = UINT64_MAX;
}

static void merge_values(struct tl_metrics *m, struct tl_total *total,
			 const struct tl_bank_values *values, const struct tl_bank *bank)
{
	total->touched_ns = m->now_ns;
	for (uint32_t i = 0; i < TL_STATUS_COUNT; i++)
		count(&total->requests[i], values->requests[i], m->now_ns);
	for (uint32_t i = 0; i < TL_EXTRAS_MAX; i++)
		count(&total->extras[i], values->extras[i], m->now_ns);
	for (uint32_t i = 0; i < TL_BANK_HISTOGRAMS; i++) {
		bool is_time = i == TL_BANK_DURATION ||
			       (total->protocol == TL_PLAN_L4 && i == TL_BANK_REQUEST);
		merge_histogram(&total->histograms[i], &values->histograms[i], bank,
				is_time ? 0 : TL_BANK_COUNT_DECADE, m->now_ns);
	}
	if (!values->has_exemplar)
		return;
	total->has_exemplar = true;
	total->exemplar_status = values->exemplar_status;
	memcpy(total->trace_id, values->trace_id, sizeof(total->trace_id));
	total->exemplar_ns = values->exemplar_ns;
	total->exemplar_time_ns = values->exemplar_time_ns;
}

// Takes what the worker left in its retired bank and empties it.
static void merge_worker(struct tl_metrics *m, struct tl_total_worker *w, uint32_t epoch)
{
	struct tl_bank *bank = &w->metrics->banks[(epoch - 1) & 1];

	for (uint32_t i = 0; i < bank->dirty_count; i++) {
		uint32_t id = bank->dirty[i];
		struct tl_total *total = linked_total(m, w, id);
		merge_values(m, total, &bank->values[id], bank);
		if (total->is_overflow && !w->metrics->series.groups[id].is_overflow)
			for (uint32_t k = 0; k < TL_STATUS_COUNT; k++)
				m->overflows += bank->values[id].requests[k];
		memset(&bank->values[id], 0, sizeof(bank->values[id]));
	}
	bank->dirty_count = 0;
	bank->block_count = 0;
	w->groups = bank->groups;
	if (bank->has_counters) {
		w->has_counters = true;
		w->counters = bank->counters;
		memcpy(w->verdicts, bank->verdicts, sizeof(*w->verdicts) * m->verdict_count);
		memcpy(w->decoder_counters, bank->decoder_counters,
		       sizeof(uint64_t) * m->decoder_counter_count);
	}
	w->is_merged = true;
	m->is_changed = true;
}

void tl_metrics_flip(struct tl_metrics *m)
{
	for (uint32_t i = 0; i < m->worker_count; i++) {
		struct tl_total_worker *w = &m->workers[i];
		// A worker still busy with the last flip gets no second one: its other bank is
		// not empty yet.
		if (!w->is_merged)
			continue;
		uint32_t epoch = atomic_load_explicit(&w->metrics->acknowledged,
						      memory_order_relaxed);
		w->is_merged = false;
		atomic_store_explicit(&w->metrics->requested, epoch + 1, memory_order_release);
	}
}

bool tl_metrics_merge(struct tl_metrics *m, uint64_t now_ns)
{
	bool is_complete = true;

	m->now_ns = now_ns;
	if (m->start_ns == 0)
		m->start_ns = now_ns;
	for (uint32_t i = 0; i < m->worker_count; i++) {
		struct tl_total_worker *w = &m->workers[i];
		if (w->is_merged)
			continue;
		uint32_t requested = atomic_load_explicit(&w->metrics->requested,
							  memory_order_relaxed);
		uint32_t acknowledged = atomic_load_explicit(&w->metrics->acknowledged,
							     memory_order_acquire);
		if (acknowledged != requested)
			is_complete = false;
		else
			merge_worker(m, w, acknowledged);
	}
	remove_idle(m);
	return is_complete;
}

void tl_metrics_merge_stopped(struct tl_metrics *m, uint64_t now_ns)
{
	// Once for a flip that may be under way, once for the epoch that ran.
	for (uint32_t round = 0; round < 2; round++) {
		if (round == 1)
			tl_metrics_flip(m);
		for (uint32_t i = 0; i < m->worker_count; i++)
			tl_worker_metrics_poll(m->workers[i].metrics, m->workers[i].metrics->engine);
		(void)tl_metrics_merge(m, now_ns);
	}
}

// ---- Other options ------------------------------------------------------------------------------

// Whether a key made by one plan means the same under the other. Plans are zeroed before they are
// filled, and what follows holds no pointers.
static bool is_same_plan(const struct tl_plan *a, const struct tl_plan *b)
{
	return a->label_count == b->label_count && a->has_status == b->has_status &&
	       memcmp(a->wanted, b->wanted, sizeof(a->wanted)) == 0 &&
	       memcmp(a->labels, b->labels, sizeof(a->labels)) == 0;
}

// What the worker has left behind: a flip it may not have seen, then the epoch that ran.
static void merge_rest(struct tl_metrics *m, struct tl_total_worker *w)
{
	for (uint32_t round = 0; round < 2; round++) {
		if (w->is_merged) {
			uint32_t epoch = atomic_load(&w->metrics->acknowledged);
			atomic_store(&w->metrics->requested, epoch + 1);
		}
		// Without an engine: its counters move on, and the successor brings them.
		tl_worker_metrics_poll(w->metrics, NULL);
		merge_worker(m, w, atomic_load(&w->metrics->acknowledged));
	}
}

static void grow(struct tl_metrics *m, uint32_t capacity)
{
	uint32_t more = capacity - m->total_capacity;

	m->totals = must(realloc(m->totals, capacity * sizeof(*m->totals)));
	m->generations = must(realloc(m->generations, capacity * sizeof(*m->generations)));
	m->free_totals = must(realloc(m->free_totals, capacity * sizeof(*m->free_totals)));
	memset(m->totals + m->total_capacity, 0, more * sizeof(*m->totals));
	memset(m->generations + m->total_capacity, 0, more * sizeof(*m->generations));
	m->total_capacity = capacity;
}

void tl_metrics_replace(struct tl_metrics *m, const struct tl_metrics_options *options,
			struct tl_worker_metrics *const *workers, uint64_t now_ns)
{
	const struct tl_worker_metrics *first = workers[0];

	m->now_ns = now_ns;
	for (uint32_t i = 0; i < m->worker_count; i++)
		merge_rest(m, &m->workers[i]);
	for (uint32_t i = 0; i < m->total_touched; i++) {
		struct tl_total *total = m->totals[i];
		if (total != NULL && !is_same_plan(&m->plans[total->protocol],
						   &first->plans[total->protocol]))
			remove_total(m, total);
	}
	m->plans = first->plans;
	tl_templates_fini(&m->templates);
	TL_ASSERT(tl_templates_init(&m->templates, first->plans, first->plan_count, options, true) ==
		  0 && "out of memory");
	m->idle_ns = options->idle_ns;
	m->l4_enabled = options->l4_enabled;
	m->total_budget = first->series.budget;
	m->family_max = first->series.family_max;
	if (first->series.capacity > m->total_capacity)
		grow(m, first->series.capacity);
	for (uint32_t i = 0; i < m->worker_count; i++) {
		struct tl_total_worker *w = &m->workers[i];
		free(w->links);
		w->metrics = workers[i];
		w->links = must(calloc(workers[i]->series.capacity, sizeof(*w->links)));
		w->is_merged = true;
	}
	m->is_changed = true;
}

// ---- What the control side states itself -------------------------------------------------------

void tl_metrics_set(struct tl_metrics *m, const char *family, const char *labels, const char *type,
		    const char *help, double value)
{
	uint64_t hash = tl_hash64(family, strlen(family), tl_hash64(labels, strlen(labels), 0));
	struct tl_set_sample *sample = NULL;

	for (uint32_t i = 0; i < m->set_count && sample == NULL; i++)
		if (m->set[i].hash == hash && strcmp(m->set[i].family, family) == 0 &&
		    strcmp(m->set[i].labels, labels) == 0)
			sample = &m->set[i];
	if (sample == NULL) {
		if (m->set_count == TL_SET_SAMPLES_MAX)
			return;
		if (m->set_count == m->set_capacity) {
			m->set_capacity = m->set_capacity != 0 ? m->set_capacity * 2 : 64;
			m->set = must(realloc(m->set, m->set_capacity * sizeof(*m->set)));
		}
		sample = &m->set[m->set_count++];
		*sample = (struct tl_set_sample) {
			.family = must(strdup(family)),
			.labels = must(strdup(labels)),
			.help = must(strdup(help)),
			.hash = hash,
			.created_ns = m->now_ns,
			.type = strcmp(type, "counter") == 0 ? TL_METRIC_COUNTER : TL_METRIC_GAUGE,
		};
	} else if (sample->value == value) {
		return;
	}
	sample->value = value;
	sample->touched_ns = m->now_ns;
	m->is_changed = true;
}

void tl_metrics_set_points(struct tl_metrics *m, struct tl_points *const *lists, uint32_t count)
{
	struct tl_points **points = must(calloc(count + 1, sizeof(*points)));

	for (uint32_t i = 0; i < count; i++)
		points[i] = tl_points_get(lists[i]);
	put_points(m);
	m->points = points;
	m->points_count = count;
	m->is_changed = true;
}

void tl_metrics_set_time(struct tl_metrics *m, uint64_t now_ns)
{
	if (m->start_ns == 0)
		m->start_ns = now_ns;
	m->now_ns = now_ns;
	m->is_changed = true;
}
