// SPDX-License-Identifier: Apache-2.0
// A disk is saturated or slow: who uses it, which files, who waits for it on what. The signal is
// /proc/diskstats, of whole disks; two samples in a row must be abnormal.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/autotracing/captures.h"
#include "collectors/autotracing/iotracer_capture.h"
#include "collectors/trigger.h"

#define DISKS_MAX 256u
#define SECTOR 512.0
#define MEGA 1e6

struct iotracer_options {
	uint64_t sample, util, nvme_read, nvme_write, read_await, write_await, capture, stall;
	uint64_t hold_off, limit;
};

static const struct tl_option rows[] = {
	TL_HOT(struct iotracer_options, sample, TL_OPTION_DURATION, "5s", .min = 10000000,
	       .help = "Time between two looks at the disks."),
	TL_HOT(struct iotracer_options, util, TL_OPTION_UINT, "90", .min = 1, .max = 100,
	       .help = "Percent of the time that a disk had work above which it is saturated."),
	TL_HOT(struct iotracer_options, nvme_read, TL_OPTION_UINT, "2000", .max = 1000000,
	       .help = "An NVMe disk, which works on much at once, is saturated only if it also reads "
		       "more than this, in MB/s,"),
	TL_HOT(struct iotracer_options, nvme_write, TL_OPTION_UINT, "1500", .max = 1000000,
	       .help = "or writes more than this, in MB/s."),
	TL_HOT(struct iotracer_options, read_await, TL_OPTION_DURATION, "100ms", .min = 1000000,
	       .help = "A disk is slow if its reads take longer than this on average,"),
	TL_HOT(struct iotracer_options, write_await, TL_OPTION_DURATION, "100ms", .min = 1000000,
	       .help = "or its writes longer than this."),
	TL_HOT(struct iotracer_options, capture, TL_OPTION_DURATION, "10s", .min = 100000000,
	       .help = "Time for which it is looked at who uses the disk."),
	TL_HOT(struct iotracer_options, stall, TL_OPTION_DURATION, "100ms", .min = 1000,
	       .help = "A task that waits for I/O longer than this is stored with its stack."),
	TL_HOT_HELD_OFF(struct iotracer_options, "0s"), // its pause is enough
	TL_OPTION_END,
};

enum field { READS, READ_SECTORS, READ_MS, WRITES, WRITE_SECTORS, WRITE_MS, BUSY_MS, QUEUE_MS, FIELDS };

// Their places behind a disk's name: Documentation/admin-guide/iostats.rst.
static const uint8_t places[FIELDS] = {0, 2, 3, 4, 6, 7, 9, 10};

struct disk {
	char name[32];
	uint32_t major, minor;
	uint64_t at_ns;
	uint64_t fields[FIELDS];
	uint64_t round; // that saw it last
};

// What a disk did between two samples.
struct status {
	double read_bps, read_iops, read_await_ms, write_bps, write_iops, write_await_ms;
	double util, queue;
};

struct iotracer {
	struct tl_captures captures;
	struct tl_trigger *trigger;
	struct tl_text text;
	uint64_t round;
	uint32_t disk_count;
	struct disk disks[DISKS_MAX];
};

// Why a disk is looked at.
struct reason {
	const char *type; // NULL: no disk is
	const struct disk *disk;
	struct status status;
};

// ---- The signal ----------------------------------------------------------------------------------

// NULL when there are too many.
static struct disk *disk_of(struct iotracer *self, const char *name)
{
	struct disk *place = NULL;

	for (uint32_t i = 0; i < self->disk_count; i++) {
		if (strcmp(self->disks[i].name, name) == 0)
			return &self->disks[i];
		if (self->disks[i].round + 1 < self->round)
			place = &self->disks[i];
	}
	if (place == NULL && self->disk_count < DISKS_MAX)
		place = &self->disks[self->disk_count++];
	if (place != NULL) {
		*place = (struct disk) {0};
		(void)snprintf(place->name, sizeof(place->name), "%s", name);
	}
	return place;
}

// A partition's work is its disk's; md's is that of the disks below it.
static bool is_wanted(const char *name)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/sys/block/%s", name);
	return strncmp(name, "md", 2) != 0 && tl_host_exists(path);
}

// The disk of a line of /proc/diskstats, with its fields. False: none that is wanted.
static bool parse(char *line, char *ret_name, uint32_t name_size, struct disk *ret)
{
	const char *major = tl_host_word(&line), *minor = tl_host_word(&line);
	const char *name = tl_host_word(&line), *word;
	uint32_t at = 0, wanted = 0;

	if (name == NULL || strlen(name) >= name_size || !is_wanted(name))
		return false;
	(void)snprintf(ret_name, name_size, "%s", name);
	ret->major = (uint32_t)strtoul(major, NULL, 10);
	ret->minor = (uint32_t)strtoul(minor, NULL, 10);
	for (; wanted < FIELDS && (word = tl_host_word(&line)) != NULL; at++)
		if (at == places[wanted])
			ret->fields[wanted++] = strtoull(word, NULL, 10);
	return wanted == FIELDS;
}

static double rate(const struct disk *before, const struct disk *now, enum field field)
{
	double seconds = (double)(now->at_ns - before->at_ns) / 1e9;

	return now->fields[field] < before->fields[field] ? 0 :
		(double)(now->fields[field] - before->fields[field]) / seconds;
}

static struct status measure(const struct disk *before, const struct disk *now)
{
	double reads = rate(before, now, READS), writes = rate(before, now, WRITES);

	return (struct status) {
		.read_bps = SECTOR * rate(before, now, READ_SECTORS),
		.read_iops = reads,
		.read_await_ms = reads > 0 ? rate(before, now, READ_MS) / reads : 0,
		.write_bps = SECTOR * rate(before, now, WRITE_SECTORS),
		.write_iops = writes,
		.write_await_ms = writes > 0 ? rate(before, now, WRITE_MS) / writes : 0,
		.util = rate(before, now, BUSY_MS) / 10,
		.queue = rate(before, now, QUEUE_MS) / 1000,
	};
}

// Is one value of the disk abnormal in this sample and was it in the one before?
static bool is_abnormal(struct iotracer *self, const struct iotracer_options *options,
			const struct disk *disk, const char *type, double value, double level)
{
	const struct tl_trigger_rule rule = {
		.level = level,
		.duration_ns = options->sample / 2,
		.hold_off_ns = options->hold_off,
	};
	char subject[64];

	(void)snprintf(subject, sizeof(subject), "%s %s", disk->name, type);
	return tl_trigger_sample(self->trigger, &rule, subject, value, disk->at_ns);
}

// The first reason there is; NULL for none. All are asked, for each has a past of its own.
static const char *judge(struct iotracer *self, const struct iotracer_options *options,
			 const struct disk *disk, const struct status *s)
{
	bool is_nvme = strncmp(disk->name, "nvme", 4) == 0;
	bool reads_much = s->read_bps > MEGA * (double)options->nvme_read;
	bool writes_much = s->write_bps > MEGA * (double)options->nvme_write;
	bool may_be_full = !is_nvme || reads_much || writes_much;
	bool is_full = is_abnormal(self, options, disk, "util", may_be_full ? s->util : 0,
				   (double)options->util);
	bool is_slow_reading = is_abnormal(self, options, disk, "read", s->read_await_ms,
					   (double)options->read_await / 1e6);
	bool is_slow_writing = is_abnormal(self, options, disk, "write", s->write_await_ms,
					   (double)options->write_await / 1e6);

	if (is_full)
		return !is_nvme ? "ioutil" : reads_much ? "read_bps" : "write_bps";
	return is_slow_reading ? "read_await" : is_slow_writing ? "write_await" : NULL;
}

static int sample(struct iotracer *self, const struct iotracer_options *options,
		  struct reason *ret_reason)
{
	int rc = tl_host_read("/proc/diskstats", &self->text);
	char *rest = self->text.data, *line;

	self->round++;
	while (rc == 0 && (line = tl_host_line(&rest)) != NULL) {
		struct disk now = {.at_ns = tl_host_clock_ns(), .round = self->round};
		struct disk *disk = parse(line, now.name, sizeof(now.name), &now) ?
			disk_of(self, now.name) : NULL;
		if (disk == NULL)
			continue;
		struct disk before = *disk;
		*disk = now;
		if (before.at_ns == 0)
			continue;
		struct status status = measure(&before, &now);
		const char *type = judge(self, options, disk, &status);
		if (type != NULL && ret_reason->type == NULL)
			*ret_reason = (struct reason) {type, disk, status};
	}
	return rc;
}

// ---- The capture ---------------------------------------------------------------------------------

static json_t *reason_json(const struct reason *reason)
{
	const struct status *s = &reason->status;
	char summary[160];

	(void)snprintf(summary, sizeof(summary),
		       "%s of %s: busy %.0f %%, reads %.1f MB/s in %.1f ms, writes %.1f MB/s in %.1f ms",
		       reason->type, reason->disk->name, s->util, s->read_bps / MEGA, s->read_await_ms,
		       s->write_bps / MEGA, s->write_await_ms);
	return json_pack("{s:s, s:s, s:I, s:I, s:{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}, s:s}",
			 "type", reason->type, "device", reason->disk->name, "major_num",
			 (json_int_t)reason->disk->major, "minor_num",
			 (json_int_t)reason->disk->minor, "iostatus", "read_bps", s->read_bps,
			 "read_iops", s->read_iops, "read_await", s->read_await_ms, "write_bps",
			 s->write_bps, "write_iops", s->write_iops, "write_await",
			 s->write_await_ms, "io_util", s->util, "queue_size", s->queue, "summary",
			 summary);
}

static int capture(struct iotracer *self, struct tl_ctx *ctx,
		   const struct iotracer_options *options, const struct reason *reason)
{
	const struct tl_io_what what = {
		.device = reason->disk->major << 20 | reason->disk->minor,
		.span_ns = options->capture,
		.stall_ns = options->stall,
	};
	json_t *data = json_pack("{s:o}", "reason_snapshot", reason_json(reason));
	int rc = data == NULL ? -ENOMEM : tl_iotracer_capture(ctx, &what, data);

	if (rc == 0)
		return tl_captures_save(&self->captures, "", data);
	json_decref(data);
	if (rc == -ECANCELED)
		return 0;
	atomic_fetch_add(&self->captures.failed, 1);
	return rc;
}

// ---- Its life ------------------------------------------------------------------------------------

static int start(void *arg, struct tl_ctx *ctx)
{
	struct iotracer *self = arg;
	struct iotracer_options options;
	struct reason reason = {0};
	int rc = 0;

	tl_ctx_options(ctx, &options, sizeof(options));
	while (rc == 0 && reason.type == NULL && tl_ctx_sleep(ctx, options.sample)) {
		tl_ctx_options(ctx, &options, sizeof(options));
		rc = sample(self, &options, &reason);
	}
	if (rc == 0 && reason.type != NULL && tl_captures_may(&self->captures, options.limit))
		rc = capture(self, ctx, &options, &reason);
	return rc;
}

static int update(void *arg, struct tl_emit *emit)
{
	struct iotracer *self = arg;

	tl_captures_emit(&self->captures, emit);
	return 0;
}

static void close_self(void *arg)
{
	struct iotracer *self = arg;

	tl_trigger_destroy(self->trigger);
	tl_text_free(&self->text);
	free(self);
}

static const struct tl_collector_ops ops = {.start = start, .update = update, .close = close_self};

static int new_iotracer(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	if (!tl_host_exists("/proc/diskstats")) {
		tl_collector_says(setup, "there is no /proc/diskstats");
		return -EOPNOTSUPP;
	}
	struct iotracer *self = calloc(1, sizeof(*self));
	if (self == NULL)
		return -ENOMEM;
	self->captures.tracer = "iotracer";
	self->trigger = tl_trigger_create(1);
	if (self->trigger == NULL) {
		close_self(self);
		return -ENOMEM;
	}
	*ret = (struct tl_collector) {.ops = &ops, .self = self, .interval_s = 5,
				      .flags = TL_TRACING | TL_AUTOTRACING | TL_METRIC};
	return 0;
}

TL_COLLECTOR(iotracer, new_iotracer,
	     .help = "Saturated and slow disks, with who uses them, which files, and who waits.",
	     .options = rows, .options_size = sizeof(struct iotracer_options));
