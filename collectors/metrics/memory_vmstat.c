// SPDX-License-Identifier: Apache-2.0
// The kernel's own counts of memory: /proc/vmstat of the host, memory.stat of containers, each key
// that the filters let pass.
#include <errno.h>
#include <stdlib.h>

#include "collectors/collector.h"
#include "collectors/filter.h"

struct vmstat_options {
	const char *included, *excluded;
	const char *container_included, *container_excluded;
};

static const struct tl_option rows[] = {
	{.key = "included", .type = TL_OPTION_TEXT,
	 .offset = offsetof(struct vmstat_options, included),
	 .value = "^(allocstall|compact_(stall|fail|success)|oom_kill|pgfault|pgmajfault|"
		  "pg(scan|steal)_(direct|kswapd)$|pswp(in|out)|workingset_refault|"
		  "nr_(free_pages|(in)?active_|anon_pages|file_pages|mapped|dirty|writeback|shmem|"
		  "slab_|unevictable|mlock))",
	 .help = "Keys of /proc/vmstat to show, an extended regular expression. Empty shows all."},
	{.key = "excluded", .type = TL_OPTION_TEXT,
	 .offset = offsetof(struct vmstat_options, excluded), .value = "",
	 .help = "Keys of /proc/vmstat to leave out, an extended regular expression."},
	{.key = "container_included", .type = TL_OPTION_TEXT,
	 .offset = offsetof(struct vmstat_options, container_included),
	 .value = "^(anon|file|rss|cache|mapped_file|shmem|swap|(in)?active_(anon|file)|unevictable|"
		  "pgfault|pgmajfault|slab|sock|kernel_stack|workingset_refault)",
	 .help = "Keys of a container's memory.stat to show. Empty shows all."},
	{.key = "container_excluded", .type = TL_OPTION_TEXT,
	 .offset = offsetof(struct vmstat_options, container_excluded), .value = "",
	 .help = "Keys of a container's memory.stat to leave out."},
	TL_OPTION_END,
};

struct vmstat {
	struct tl_text text;
	struct tl_key_filter host, container;
	bool has_filters;
	struct tl_emit *emit; // of the present update
};

static int make_filters(struct vmstat *self, const struct tl_emit *emit)
{
	struct vmstat_options options;

	if (self->has_filters)
		return 0;
	self->has_filters = true;
	tl_emit_options(emit, &options, sizeof(options));
	int rc = tl_key_filter_init(&self->host, options.included, options.excluded);
	int other = tl_key_filter_init(&self->container, options.container_included,
				       options.container_excluded);
	return rc < 0 ? rc : other;
}

// The next "key number" of `*rest` that `filter` wants. False at the end.
static bool next_key(char **rest, const struct tl_key_filter *filter, const char **ret_key,
		     double *ret_value)
{
	char *line;

	while ((line = tl_host_line(rest)) != NULL) {
		const char *key = tl_host_word(&line);
		const char *number = key == NULL ? NULL : tl_host_word(&line);
		if (number == NULL || !tl_key_filter_wants(filter, key))
			continue;
		*ret_key = key;
		*ret_value = strtod(number, NULL);
		return true;
	}
	return false;
}

static bool visit_container(void *arg, const struct tl_container *container)
{
	struct vmstat *self = arg;
	const char *key;
	double value;

	if (tl_host_readf(&self->text, "%s/memory.stat", container->cgroup[TL_CGROUP_MEMORY]) < 0)
		return true;
	for (char *rest = self->text.data; next_key(&rest, &self->container, &key, &value);)
		tl_emit_container_gauge(self->emit, container, key, value,
					"A key of the container's memory.stat.", TL_NO_LABELS);
	return true;
}

static int update(void *arg, struct tl_emit *emit)
{
	struct vmstat *self = arg;
	const char *key;
	double value;
	int wrong = make_filters(self, emit);
	int rc = tl_host_read("/proc/vmstat", &self->text);

	if (rc < 0)
		return rc;
	self->emit = emit;
	for (char *rest = self->text.data; next_key(&rest, &self->host, &key, &value);)
		tl_emit_gauge(emit, key, value, "A key of /proc/vmstat.", TL_NO_LABELS);
	(void)tl_container_each(visit_container, self);
	return wrong;
}

static void close_self(void *arg)
{
	struct vmstat *self = arg;

	tl_key_filter_fini(&self->host);
	tl_key_filter_fini(&self->container);
	tl_text_free(&self->text);
	free(self);
}

static const struct tl_collector_ops ops = {.update = update, .close = close_self};

static int new_vmstat(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	if (!tl_host_exists("/proc/vmstat")) {
		tl_collector_says(setup, "there is no /proc/vmstat");
		return -EOPNOTSUPP;
	}
	*ret = (struct tl_collector) {
		.ops = &ops, .self = calloc(1, sizeof(struct vmstat)), .flags = TL_METRIC};
	return ret->self == NULL ? -ENOMEM : 0;
}

TL_COLLECTOR(memory_vmstat, new_vmstat,
	     .help = "The kernel's counts of memory, of the host and of containers.",
	     .options = rows, .options_size = sizeof(struct vmstat_options));
