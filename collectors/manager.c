// SPDX-License-Identifier: Apache-2.0
#include "collectors/manager.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "collectors/bpf/bpf.h"
#include "collectors/host.h"
#include "collectors/internal.h"
#include "collectors/store/internal.h"

#define STOP_WAIT_NS UINT64_C(1000000000) // for a collector to return
#define STACK_BYTES (512u << 10)          // of a collector's thread

// What one collector is and does. The two roles have a thread each.
struct slot {
	struct tl_collectors *owner;
	const struct tl_collector_entry *entry;
	struct tl_collector collector;
	enum tl_collector_state state;
	char reason[TL_COLLECTOR_REASON_BYTES];
	struct tl_collector_options options;
	struct tl_ctx ctx;        // of the present run
	bool is_running, is_stopping;
	uint64_t hits;
	bool has_meter;           // its thread is there
	bool is_due, is_updating;
	uint64_t update_began_ns, update_due_ns;
	uint64_t updates;
	double update_seconds;
	bool has_succeeded;
	struct tl_points *points; // of the last update
};

struct tl_collectors {
	pthread_mutex_t lock;   // of all below
	pthread_cond_t changed; // something ended, or is due
	bool is_closing;
	bool is_metrics_on;     // the switches in force
	bool is_event_on, is_autotracing_on, is_probe_on;
	uint64_t interval_ns;
	uint32_t meters;        // threads of the metric role that are there
	void (*log)(void *arg, bool is_error, const char *line);
	void *log_arg;
	uint32_t count;
	struct slot slots[TL_COLLECTORS_MAX];
};

const char *tl_collector_state_name(enum tl_collector_state state)
{
	static const char *const names[] = {"active", "disabled", "not_supported", "init_error"};

	return names[state];
}

__attribute__((format(printf, 3, 4))) static void say(struct tl_collectors *c, bool is_error,
						      const char *format, ...)
{
	char line[256];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (c->log != NULL)
		c->log(c->log_arg, is_error, line);
}

// Told when it begins, not each time. With the lock held.
static void note_failure(struct slot *slot, const char *what, int rc)
{
	char line[TL_COLLECTOR_REASON_BYTES];

	(void)snprintf(line, sizeof(line), "%s: %s", what, strerror(-rc));
	if (strcmp(line, slot->reason) == 0)
		return;
	strcpy(slot->reason, line);
	say(slot->owner, true, "collectors.%s: %s", slot->entry->name, line);
}

// With the lock held: `what` went well again.
static void forget_failure(struct slot *slot, const char *what)
{
	if (slot->state == TL_COLLECTOR_ACTIVE && strncmp(slot->reason, what, strlen(what)) == 0)
		slot->reason[0] = '\0';
}

// With the lock held: true when `*flag` is false, or has become so within STOP_WAIT_NS.
static bool wait_until_clear(struct tl_collectors *c, const bool *flag)
{
	struct timespec end;

	(void)clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += (time_t)(STOP_WAIT_NS / 1000000000);
	while (*flag)
		if (pthread_cond_timedwait(&c->changed, &c->lock, &end) != 0)
			return !*flag;
	return true;
}

static int start_thread(void *(*run)(void *), struct slot *slot)
{
	pthread_attr_t attributes;
	pthread_t thread;
	char name[16];

	(void)pthread_attr_init(&attributes);
	(void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	(void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
	int rc = -pthread_create(&thread, &attributes, run, slot);
	(void)pthread_attr_destroy(&attributes);
	if (rc == 0) {
		(void)snprintf(name, sizeof(name), "c/%.12s", slot->entry->name);
		(void)pthread_setname_np(thread, name);
	}
	return rc;
}

// ---- The tracing role ----------------------------------------------------------------------------

// With the lock held: for good. What it tried and why that was refused says more than the number.
static void end_role(struct slot *slot)
{
	slot->state = TL_COLLECTOR_NOT_SUPPORTED;
	(void)pthread_mutex_lock(&slot->ctx.lock);
	if (slot->ctx.hook[0] != '\0')
		(void)snprintf(slot->reason, sizeof(slot->reason), "start: %.*s",
			       (int)sizeof(slot->reason) - 8, slot->ctx.hook);
	(void)pthread_mutex_unlock(&slot->ctx.lock);
}

static void *run_tracer(void *arg)
{
	struct slot *slot = arg;
	struct tl_collectors *c = slot->owner;
	const struct tl_collector *collector = &slot->collector;
	bool goes_on = true;

	while (goes_on) {
		int rc = collector->ops->start(collector->self, &slot->ctx);
		tl_ctx_end(&slot->ctx);
		(void)pthread_mutex_lock(&c->lock);
		slot->hits++;
		if (rc < 0 && !tl_ctx_done(&slot->ctx))
			note_failure(slot, "start", rc);
		else if (rc == 0)
			forget_failure(slot, "start");
		if (rc == -EOPNOTSUPP)
			end_role(slot);
		(void)pthread_mutex_unlock(&c->lock);
		goes_on = rc != -EOPNOTSUPP &&
			  tl_ctx_sleep(&slot->ctx, collector->interval_s * UINT64_C(1000000000));
	}
	(void)pthread_mutex_lock(&c->lock);
	(void)close(slot->ctx.fd);
	slot->ctx.fd = -1;
	slot->is_running = slot->is_stopping = false;
	(void)pthread_cond_broadcast(&c->changed);
	(void)pthread_mutex_unlock(&c->lock);
	return NULL;
}

// With the lock held.
static int start_tracer(struct slot *slot)
{
	if (slot->state != TL_COLLECTOR_ACTIVE || (slot->collector.flags & TL_TRACING) == 0)
		return -EOPNOTSUPP;
	if (slot->is_running)
		return slot->is_stopping ? -EBUSY : -EALREADY;
	slot->ctx.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (slot->ctx.fd < 0)
		return -errno;
	slot->ctx.options = &slot->options;
	atomic_store(&slot->ctx.is_done, false);
	tl_ctx_hook(&slot->ctx, "%s", "");
	slot->is_running = true;
	int rc = start_thread(run_tracer, slot);
	if (rc < 0) {
		slot->is_running = false;
		(void)close(slot->ctx.fd);
		slot->ctx.fd = -1;
	}
	return rc;
}

// With the lock held.
static void ask_stop(struct slot *slot)
{
	const uint64_t one = 1;

	if (!slot->is_running || slot->is_stopping)
		return;
	slot->is_stopping = true;
	atomic_store_explicit(&slot->ctx.is_done, true, memory_order_release);
	ssize_t written = write(slot->ctx.fd, &one, sizeof(one));
	(void)written; // the counter of an eventfd that is written once can't be full
}

static struct slot *tracer_named(struct tl_collectors *c, const char *name)
{
	for (uint32_t i = 0; i < c->count; i++)
		if (strcmp(c->slots[i].entry->name, name) == 0)
			return &c->slots[i];
	return NULL;
}

int tl_collectors_start(struct tl_collectors *c, const char *name)
{
	(void)pthread_mutex_lock(&c->lock);
	struct slot *slot = tracer_named(c, name);
	int rc = slot == NULL ? -ENOENT : c->is_closing ? -EOPNOTSUPP : start_tracer(slot);
	(void)pthread_mutex_unlock(&c->lock);
	return rc;
}

int tl_collectors_stop(struct tl_collectors *c, const char *name)
{
	int rc = 0;

	(void)pthread_mutex_lock(&c->lock);
	struct slot *slot = tracer_named(c, name);
	if (slot == NULL)
		rc = -ENOENT;
	else if (!slot->is_running)
		rc = -ESRCH;
	else
		ask_stop(slot);
	if (rc == 0 && !wait_until_clear(c, &slot->is_running)) {
		tl_ctx_detach(&slot->ctx); // what it left in the kernel costs nothing any more
		rc = -EBUSY;
	}
	(void)pthread_mutex_unlock(&c->lock);
	return rc;
}

// ---- The metric role -----------------------------------------------------------------------------

static void publish(struct slot *slot, struct tl_points *points, int rc, uint64_t began_ns)
{
	tl_points_put(slot->points);
	slot->points = points;
	slot->updates++;
	slot->update_seconds = (double)(tl_host_clock_ns() - began_ns) / 1e9;
	slot->has_succeeded = rc == 0;
	if (rc < 0)
		note_failure(slot, "update", rc);
	else
		forget_failure(slot, "update");
}

static void *run_meter(void *arg)
{
	struct slot *slot = arg;
	struct tl_collectors *c = slot->owner;

	(void)pthread_mutex_lock(&c->lock);
	while (!c->is_closing) {
		if (!slot->is_due) {
			(void)pthread_cond_wait(&c->changed, &c->lock);
			continue;
		}
		slot->is_due = false;
		slot->is_updating = true;
		slot->update_began_ns = tl_host_clock_ns();
		(void)pthread_mutex_unlock(&c->lock);
		struct tl_emit emit = {
			.collector = slot->entry->name,
			.options = &slot->options,
			.points = tl_points_create(),
		};
		int rc = emit.points == NULL ? -ENOMEM :
			slot->collector.ops->update(slot->collector.self, &emit);
		if (rc == 0 && emit.refused != 0)
			rc = -ENOSPC;
		(void)pthread_mutex_lock(&c->lock);
		slot->is_updating = false;
		publish(slot, emit.points, rc, slot->update_began_ns);
	}
	slot->has_meter = false;
	c->meters--;
	(void)pthread_cond_broadcast(&c->changed);
	(void)pthread_mutex_unlock(&c->lock);
	return NULL;
}

void tl_collectors_tick(struct tl_collectors *c)
{
	uint64_t now_ns = tl_host_clock_ns();
	bool is_any_due = false;

	(void)pthread_mutex_lock(&c->lock);
	for (uint32_t i = 0; i < c->count && c->is_metrics_on; i++) {
		struct slot *slot = &c->slots[i];
		if (!slot->has_meter || slot->is_updating || now_ns < slot->update_due_ns)
			continue;
		slot->update_due_ns = now_ns + c->interval_ns;
		slot->is_due = is_any_due = true;
	}
	if (is_any_due)
		(void)pthread_cond_broadcast(&c->changed);
	(void)pthread_mutex_unlock(&c->lock);
}

// An update that has not returned when the next one is due says nothing that is true now.
static bool is_blocked(const struct slot *slot)
{
	return slot->is_updating && tl_host_clock_ns() >= slot->update_due_ns;
}

static void add_own(struct tl_points *points, uint8_t type, const char *family, const char *help,
		    const char *label, const struct slot *slot, double value)
{
	const struct tl_point point = {
		.family = family,
		.help = help,
		.type = type,
		.value = value,
		.labels = &(const struct tl_label) {label, slot->entry->name},
		.label_count = 1,
	};
	(void)tl_points_add(points, &point);
}

static void add_status(struct tl_points *points, const struct slot *slot)
{
	if (slot->updates != 0 || slot->is_updating) {
		double seconds = is_blocked(slot) ?
			(double)(tl_host_clock_ns() - slot->update_began_ns) / 1e9 :
			slot->update_seconds;
		add_own(points, TL_METRIC_COUNTER, "tapline_scrape_collector_updates_total",
			"Updates of the collector that have returned.", "collector", slot,
			(double)slot->updates);
		add_own(points, TL_METRIC_GAUGE, "tapline_scrape_collector_duration_seconds",
			"Time that the collector's last update took.", "collector", slot, seconds);
		add_own(points, TL_METRIC_GAUGE, "tapline_scrape_collector_success",
			"1 if the collector's last update succeeded.", "collector", slot,
			slot->has_succeeded && !is_blocked(slot));
	}
	if ((slot->collector.flags & TL_TRACING) != 0) {
		add_own(points, TL_METRIC_GAUGE, "tapline_tracing_status_hitcount",
			"Returns of a tracer's run.", "tracing", slot, (double)slot->hits);
		add_own(points, TL_METRIC_GAUGE, "tapline_tracing_status_running",
			"1 while a tracer runs.", "tracing", slot, slot->is_running);
	}
}

uint32_t tl_collectors_points(struct tl_collectors *c,
			      struct tl_points *ret_lists[TL_COLLECTORS_MAX + 1])
{
	struct tl_points *own = tl_points_create();
	uint32_t count = 0;

	if (own != NULL)
		ret_lists[count++] = own;
	(void)pthread_mutex_lock(&c->lock);
	for (uint32_t i = 0; i < c->count; i++) {
		const struct slot *slot = &c->slots[i];
		if (own != NULL && slot->state == TL_COLLECTOR_ACTIVE)
			add_status(own, slot);
		if (c->is_metrics_on && slot->points != NULL && !is_blocked(slot))
			ret_lists[count++] = tl_points_get(slot->points);
	}
	(void)pthread_mutex_unlock(&c->lock);
	return count;
}

// ---- Start, reload, end --------------------------------------------------------------------------

static bool is_disabled(const struct tl_collectors_config *config, const char *name)
{
	for (uint32_t i = 0; i < config->disabled.count; i++)
		if (strcmp(config->disabled.items[i], name) == 0)
			return true;
	return false;
}

static bool is_autotracing(const struct slot *slot)
{
	return (slot->collector.flags & TL_AUTOTRACING) != 0;
}

// NULL when the attributes fit together.
static const char *wrong_attribute(const struct tl_collector *collector)
{
	bool is_tracing = (collector->flags & TL_TRACING) != 0;
	bool is_metric = (collector->flags & TL_METRIC) != 0;

	if (collector->ops == NULL || (!is_tracing && !is_metric))
		return "it has no role";
	if (is_tracing && collector->ops->start == NULL)
		return "a tracing collector needs start";
	if (is_tracing && collector->interval_s == 0)
		return "a tracing collector needs an interval";
	if (is_metric && collector->ops->update == NULL)
		return "a metric collector needs update";
	return NULL;
}

static int make_one(struct slot *slot, const struct tl_collectors_setup *setup, const void *options,
		    char *error, uint32_t error_size)
{
	const struct tl_collector_entry *entry = slot->entry;
	const struct tl_collector_setup made = {slot->reason, sizeof(slot->reason)};

	(void)pthread_mutex_init(&slot->options.lock, NULL);
	if (entry->options_size != 0) {
		slot->options.size = entry->options_size;
		slot->options.values = malloc(entry->options_size);
		if (slot->options.values == NULL)
			return -ENOMEM;
		memcpy(slot->options.values, options, entry->options_size);
	}
	if (is_disabled(setup->config, entry->name)) {
		slot->state = TL_COLLECTOR_DISABLED;
		return 0;
	}
	int rc = entry->new_fn(&made, &slot->collector);
	if (rc < 0) {
		slot->state = rc == -EOPNOTSUPP ? TL_COLLECTOR_NOT_SUPPORTED
						: TL_COLLECTOR_INIT_ERROR;
		if (slot->reason[0] == '\0')
			(void)snprintf(slot->reason, sizeof(slot->reason), "%s", strerror(-rc));
		slot->collector = (struct tl_collector) {0};
		return 0;
	}
	const char *wrong = wrong_attribute(&slot->collector);
	if (wrong != NULL) {
		(void)snprintf(error, error_size, "collector %s: %s", entry->name, wrong);
		return -EINVAL;
	}
	if (is_autotracing(slot))
		tl_store_set_autotracing(entry->name);
	return 0;
}

// With the lock held.
static void start_meter(struct slot *slot)
{
	if (slot->state != TL_COLLECTOR_ACTIVE || slot->has_meter ||
	    (slot->collector.flags & TL_METRIC) == 0)
		return;
	slot->has_meter = true;
	slot->owner->meters++;
	int rc = start_thread(run_meter, slot);
	if (rc < 0) {
		slot->has_meter = false;
		slot->owner->meters--;
		note_failure(slot, "thread", rc);
	}
}

// With the lock held: what runs is what the modes' switches say.
static void follow_switches(struct tl_collectors *c, const struct tl_collectors_config *now)
{
	const bool was[] = {c->is_event_on, c->is_autotracing_on, c->is_probe_on};
	const bool is[] = {now->event, now->autotracing, now->probes};

	c->is_metrics_on = now->metrics;
	c->is_event_on = now->event;
	c->is_autotracing_on = now->autotracing;
	c->is_probe_on = now->probes;
	tl_bpf_allow(now->bpf);
	c->interval_ns = now->interval_ns;
	for (uint32_t i = 0; i < c->count; i++) {
		struct slot *slot = &c->slots[i];
		if (now->metrics)
			start_meter(slot);
		uint32_t mode = is_autotracing(slot) ? 1 :
				(slot->collector.flags & TL_PROBE) != 0 ? 2 : 0;
		if (is[mode] && !was[mode]) {
			int rc = start_tracer(slot);
			if (rc < 0 && rc != -EOPNOTSUPP && rc != -EALREADY)
				note_failure(slot, "start", rc);
		} else if (!is[mode] && was[mode]) {
			ask_stop(slot);
		}
	}
}

int tl_collectors_create(const struct tl_collectors_setup *setup,
			 struct tl_collectors **ret_collectors, char *error, uint32_t error_size)
{
	struct tl_collectors *c = calloc(1, sizeof(*c));
	pthread_condattr_t attributes;
	int rc = 0;

	if (c == NULL)
		return -ENOMEM;
	(void)pthread_mutex_init(&c->lock, NULL);
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&c->changed, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	c->log = setup->log;
	c->log_arg = setup->log_arg;
	tl_host_set_root(setup->config->root);
	for (uint32_t i = 0; i < tl_collector_count() && rc == 0; i++) {
		struct slot *slot = &c->slots[c->count++];
		slot->owner = c;
		slot->entry = tl_collector_at(i);
		tl_ctx_init(&slot->ctx);
		rc = make_one(slot, setup, setup->options[i], error, error_size);
	}
	if (rc < 0) {
		tl_collectors_destroy(c);
		return rc;
	}
	(void)pthread_mutex_lock(&c->lock);
	follow_switches(c, setup->config);
	(void)pthread_mutex_unlock(&c->lock);
	*ret_collectors = c;
	return 0;
}

static uint32_t value_size(const struct tl_option *row)
{
	switch (row->type) {
	case TL_OPTION_BOOL:
		return sizeof(bool);
	case TL_OPTION_CHOICE:
		return sizeof(uint32_t);
	case TL_OPTION_UINT:
	case TL_OPTION_SIZE:
	case TL_OPTION_DURATION:
		return sizeof(uint64_t);
	default:
		return 0; // refers to the configuration it came from
	}
}

static void copy_hot(struct slot *slot, const void *options)
{
	(void)pthread_mutex_lock(&slot->options.lock);
	for (const struct tl_option *row = slot->entry->options; row != NULL && row->key != NULL;
	     row++)
		if (row->hot)
			memcpy((char *)slot->options.values + row->offset,
			       (const char *)options + row->offset, value_size(row));
	(void)pthread_mutex_unlock(&slot->options.lock);
}

void tl_collectors_reload(struct tl_collectors *c, const struct tl_collectors_setup *setup)
{
	(void)pthread_mutex_lock(&c->lock);
	for (uint32_t i = 0; i < c->count; i++)
		copy_hot(&c->slots[i], setup->options[i]);
	follow_switches(c, setup->config);
	(void)pthread_mutex_unlock(&c->lock);
}

void tl_collectors_destroy(struct tl_collectors *c)
{
	bool is_left = false;

	if (c == NULL)
		return;
	(void)pthread_mutex_lock(&c->lock);
	c->is_closing = true;
	for (uint32_t i = 0; i < c->count; i++)
		ask_stop(&c->slots[i]);
	(void)pthread_cond_broadcast(&c->changed);
	struct timespec end;
	(void)clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += (time_t)(STOP_WAIT_NS / 1000000000);
	for (uint32_t i = 0; i < c->count; i++)
		while ((c->slots[i].is_running || c->slots[i].has_meter) && !is_left)
			is_left = pthread_cond_timedwait(&c->changed, &c->lock, &end) != 0;
	for (uint32_t i = 0; i < c->count && is_left; i++)
		if (c->slots[i].is_running || c->slots[i].has_meter)
			say(c, true, "collectors.%s is blocked; left behind",
			    c->slots[i].entry->name);
	(void)pthread_mutex_unlock(&c->lock);
	if (is_left) // its thread still uses all this; the process is about to end
		return;
	for (uint32_t i = 0; i < c->count; i++) {
		struct slot *slot = &c->slots[i];
		if (slot->collector.ops != NULL && slot->collector.ops->close != NULL)
			slot->collector.ops->close(slot->collector.self);
		tl_points_put(slot->points);
		free(slot->options.values);
		(void)pthread_mutex_destroy(&slot->options.lock);
		(void)pthread_mutex_destroy(&slot->ctx.lock);
	}
	(void)pthread_cond_destroy(&c->changed);
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
}

// ---- Telling -------------------------------------------------------------------------------------

uint32_t tl_collectors_status(struct tl_collectors *c, struct tl_collector_status *ret_status,
			      uint32_t max)
{
	(void)pthread_mutex_lock(&c->lock);
	uint32_t count = c->count < max ? c->count : max;
	for (uint32_t i = 0; i < count; i++) {
		const struct slot *slot = &c->slots[i];
		struct tl_collector_status *status = &ret_status[i];
		*status = (struct tl_collector_status) {
			.name = slot->entry->name,
			.help = slot->entry->help == NULL ? "" : slot->entry->help,
			.state = (uint8_t)slot->state,
			.flags = slot->collector.flags,
			.interval_s = slot->collector.interval_s,
			.is_running = slot->is_running,
			.is_blocked = slot->is_stopping || is_blocked(slot),
			.hits = slot->hits,
			.updates = slot->updates,
			.has_succeeded = slot->has_succeeded,
			.update_seconds = slot->update_seconds,
		};
		memcpy(status->reason, slot->reason, sizeof(status->reason));
		(void)pthread_mutex_lock(&c->slots[i].ctx.lock);
		if (slot->is_running)
			(void)snprintf(status->hook, sizeof(status->hook), "%s", slot->ctx.hook);
		(void)pthread_mutex_unlock(&c->slots[i].ctx.lock);
	}
	(void)pthread_mutex_unlock(&c->lock);
	return count;
}
