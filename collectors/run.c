// SPDX-License-Identifier: Apache-2.0
// What a collector may call while it runs.
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "collectors/host.h"
#include "collectors/internal.h"

void tl_collector_says(const struct tl_collector_setup *setup, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(setup->reason, setup->reason_size, format, args);
	va_end(args);
}

static void copy_options(struct tl_collector_options *options, void *ret_options, uint32_t size)
{
	TL_ASSERT(size == options->size);
	(void)pthread_mutex_lock(&options->lock);
	memcpy(ret_options, options->values, size);
	(void)pthread_mutex_unlock(&options->lock);
}

// ---- start() -------------------------------------------------------------------------------------

void tl_ctx_init(struct tl_ctx *ctx)
{
	*ctx = (struct tl_ctx) {.fd = -1};
	(void)pthread_mutex_init(&ctx->lock, NULL);
}

void tl_ctx_own(struct tl_ctx *ctx, struct tl_owned *owned)
{
	(void)pthread_mutex_lock(&ctx->lock);
	owned->next = ctx->owned;
	ctx->owned = owned;
	(void)pthread_mutex_unlock(&ctx->lock);
}

void tl_ctx_disown(struct tl_ctx *ctx, struct tl_owned *owned)
{
	(void)pthread_mutex_lock(&ctx->lock);
	for (struct tl_owned **at = &ctx->owned; *at != NULL; at = &(*at)->next)
		if (*at == owned) {
			*at = owned->next;
			break;
		}
	(void)pthread_mutex_unlock(&ctx->lock);
}

void tl_ctx_end(struct tl_ctx *ctx)
{
	(void)pthread_mutex_lock(&ctx->lock);
	struct tl_owned *owned = ctx->owned;
	ctx->owned = NULL;
	(void)pthread_mutex_unlock(&ctx->lock);
	while (owned != NULL) {
		struct tl_owned *next = owned->next; // ending it frees it
		owned->end(owned);
		owned = next;
	}
}

void tl_ctx_detach(struct tl_ctx *ctx)
{
	(void)pthread_mutex_lock(&ctx->lock);
	for (struct tl_owned *owned = ctx->owned; owned != NULL; owned = owned->next)
		owned->detach(owned);
	(void)pthread_mutex_unlock(&ctx->lock);
}

void tl_ctx_hook(struct tl_ctx *ctx, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)pthread_mutex_lock(&ctx->lock);
	(void)vsnprintf(ctx->hook, sizeof(ctx->hook), format, args);
	(void)pthread_mutex_unlock(&ctx->lock);
	va_end(args);
}

bool tl_ctx_done(const struct tl_ctx *ctx)
{
	return atomic_load_explicit(&ctx->is_done, memory_order_acquire);
}

int tl_ctx_fd(const struct tl_ctx *ctx)
{
	return ctx->fd;
}

bool tl_ctx_sleep(struct tl_ctx *ctx, uint64_t ns)
{
	uint64_t end_ns = tl_host_clock_ns() + ns;

	while (!tl_ctx_done(ctx)) {
		uint64_t now_ns = tl_host_clock_ns();
		if (now_ns >= end_ns)
			return true;
		struct pollfd fd = {.fd = ctx->fd, .events = POLLIN};
		uint64_t rest_ns = end_ns - now_ns;
		struct timespec rest = {.tv_sec = (time_t)(rest_ns / 1000000000),
					.tv_nsec = (long)(rest_ns % 1000000000)};
		(void)ppoll(&fd, 1, &rest, NULL);
	}
	return false;
}

void tl_ctx_options(const struct tl_ctx *ctx, void *ret_options, uint32_t size)
{
	copy_options(ctx->options, ret_options, size);
}

// ---- update() ------------------------------------------------------------------------------------

static uint32_t add_labels(struct tl_label *labels, uint32_t count, const struct tl_label *more)
{
	for (; more != NULL && more->name != NULL && count < TL_POINT_LABELS_MAX; more++)
		labels[count++] = *more;
	return count;
}

static void emit_point(struct tl_emit *emit, const char *prefix, const char *name, uint8_t type,
		       double value, const char *help, const struct tl_label *labels,
		       uint32_t label_count)
{
	char family[256];

	(void)snprintf(family, sizeof(family), "tapline_%s_%s%s", emit->collector, prefix, name);
	const struct tl_point point = {
		.family = family,
		.help = help,
		.type = type,
		.value = value,
		.labels = labels,
		.label_count = label_count,
	};
	emit->refused += !tl_points_add(emit->points, &point);
}

static void emit_host(struct tl_emit *emit, const char *name, uint8_t type, double value,
		      const char *help, const struct tl_label *more)
{
	struct tl_label labels[TL_POINT_LABELS_MAX];

	emit_point(emit, "", name, type, value, help, labels, add_labels(labels, 0, more));
}

static void emit_container(struct tl_emit *emit, const struct tl_container *c, const char *name,
			   uint8_t type, double value, const char *help,
			   const struct tl_label *more)
{
	if (c == NULL) {
		emit_host(emit, name, type, value, help, more);
		return;
	}
	struct tl_label labels[TL_POINT_LABELS_MAX] = {
		{"container_id", c->id},           {"container_name", c->name},
		{"container_host", c->hostname},   {"container_hostnamespace", c->ns},
		{"container_type", c->type},       {"container_level", c->qos},
	};

	emit_point(emit, "container_", name, type, value, help, labels, add_labels(labels, 6, more));
}

void tl_emit_gauge(struct tl_emit *emit, const char *name, double value, const char *help,
		   const struct tl_label *labels)
{
	emit_host(emit, name, TL_METRIC_GAUGE, value, help, labels);
}

void tl_emit_counter(struct tl_emit *emit, const char *name, double value, const char *help,
		     const struct tl_label *labels)
{
	emit_host(emit, name, TL_METRIC_COUNTER, value, help, labels);
}

void tl_emit_container_gauge(struct tl_emit *emit, const struct tl_container *container,
			     const char *name, double value, const char *help,
			     const struct tl_label *labels)
{
	emit_container(emit, container, name, TL_METRIC_GAUGE, value, help, labels);
}

void tl_emit_container_counter(struct tl_emit *emit, const struct tl_container *container,
			       const char *name, double value, const char *help,
			       const struct tl_label *labels)
{
	emit_container(emit, container, name, TL_METRIC_COUNTER, value, help, labels);
}

void tl_emit_options(const struct tl_emit *emit, void *ret_options, uint32_t size)
{
	copy_options(emit->options, ret_options, size);
}
