// SPDX-License-Identifier: Apache-2.0
// The exporter `roundtrips`: every record as a JSON or text line into a rotating file or to
// standard output.
#include "exporters/record/record.h"
#include "exporters/record/rotate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct roundtrips_options {
	bool console;
	const char *filename;
	uint64_t max_size;
	uint64_t max_backups;
	uint64_t max_age;
	bool compress;
	uint32_t fsync;
	uint32_t format;
	bool verbose;
};

enum { FORMAT_JSON, FORMAT_TEXT };

static const char *const fsync_words[] = {"never", "rotate", "flush", NULL};
static const char *const format_words[] = {"json", "text", NULL};

#define ROW(name, member_type, default_value, ...) \
	{.key = #name, .type = member_type, .offset = offsetof(struct roundtrips_options, name), \
	 .value = default_value, __VA_ARGS__}

static const struct tl_option rows[] = {
	ROW(console, TL_OPTION_BOOL, "false",
	    .help = "Write to standard output instead of a file."),
	ROW(filename, TL_OPTION_TEXT, "/var/log/tapline/roundtrips.log",
	    .help = "The current file; old ones are numbered behind this name."),
	ROW(max_size, TL_OPTION_SIZE, "100MiB",
	    .help = "Size at which a new file is begun, 0 for never."),
	ROW(max_backups, TL_OPTION_UINT, "10",
	    .help = "Old files kept, 0 for all.", .max = 10000),
	ROW(max_age, TL_OPTION_DURATION, "7d",
	    .help = "Age at which an old file is removed, 0 for never."),
	ROW(compress, TL_OPTION_BOOL, "false", .help = "Compress old files by gzip."),
	ROW(fsync, TL_OPTION_CHOICE, "never", .choices = fsync_words,
	    .help = "When lines are forced to the disk: never, when a file is finished, or with "
		    "every flush (about once a second)."),
	ROW(format, TL_OPTION_CHOICE, "json", .choices = format_words,
	    .help = "Lines of JSON, or the text lines of `tapline watch`."),
	ROW(verbose, TL_OPTION_BOOL, "false",
	    .help = "Add members that explain others, such as name_source."),
	TL_OPTION_END,
};

struct roundtrips {
	const struct roundtrips_options *options;
	struct tl_rotating_file *file; // NULL: standard output
	struct tl_text line;
	uint64_t accepted;
	uint64_t refused;    // lines that no file took
	uint64_t unflushed;  // lines in the buffer of standard output
	char last_error[160];
};

static int roundtrips_open(const void *options, const struct tl_exporter_env *env, void **ret_self,
			   char *error, uint32_t error_size)
{
	(void)env;
	struct roundtrips *self = calloc(1, sizeof(*self));
	if (self == NULL)
		return -ENOMEM;
	self->options = options;
	if (!self->options->console) {
		int rc = tl_rotating_open(
			&(struct tl_rotating_options) {
				.path = self->options->filename,
				.bytes_max = self->options->max_size,
				.age_ns_max = self->options->max_age,
				.count_max = self->options->max_backups,
				.compress = self->options->compress,
				.fsync = self->options->fsync,
			},
			&self->file);
		if (rc < 0) {
			(void)snprintf(error, error_size,
				       "%s: %s (is there such a folder, and may this user write there?)",
				       self->options->filename, strerror(-rc));
			free(self);
			return rc;
		}
	}
	*ret_self = self;
	return 0;
}

static int write_line(struct roundtrips *self)
{
	if (self->file != NULL)
		return tl_rotating_write(self->file, self->line.data, self->line.len);
	if (fwrite(self->line.data, 1, self->line.len, stdout) != self->line.len)
		return -errno;
	self->unflushed++;
	return 0;
}

static int note(struct roundtrips *self, int rc)
{
	if (rc < 0)
		(void)snprintf(self->last_error, sizeof(self->last_error), "%s: %s",
			       self->file != NULL ? self->options->filename : "standard output",
			       strerror(-rc));
	return rc;
}

static int roundtrips_roundtrip(void *arg, const struct tl_roundtrip_signal *signal)
{
	struct roundtrips *self = arg;

	tl_text_clear(&self->line);
	if (self->options->format == FORMAT_TEXT)
		tl_record_text_line(&self->line, signal, false, 0);
	else
		(void)tl_record_json_line(&self->line, signal, self->options->verbose);
	self->accepted++;
	int rc = self->line.len == 0 ? -ENOMEM : write_line(self);
	self->refused += rc < 0;
	return note(self, rc);
}

static int roundtrips_flush(void *arg, uint64_t deadline_ns)
{
	struct roundtrips *self = arg;

	(void)deadline_ns; // a file does not keep us waiting
	if (self->file != NULL)
		return note(self, tl_rotating_flush(self->file));
	int rc = fflush(stdout) == 0 ? 0 : -errno;
	if (rc < 0)
		self->refused += self->unflushed;
	self->unflushed = 0;
	return note(self, rc);
}

// Lines count as delivered when they are in the buffer; those that then can't be written move over
// to the dropped ones.
static void roundtrips_stats(void *arg, struct tl_exporter_stats *ret_stats)
{
	const struct roundtrips *self = arg;
	uint64_t lost = self->refused + (self->file != NULL ? tl_rotating_lost(self->file) : 0);

	ret_stats->accepted = self->accepted;
	ret_stats->dropped = ret_stats->dropped_by[TL_DROP_WRITE] = lost;
	ret_stats->delivered = self->accepted - lost;
	(void)snprintf(ret_stats->last_error, sizeof(ret_stats->last_error), "%s", self->last_error);
}

static void roundtrips_close(void *arg)
{
	struct roundtrips *self = arg;

	if (self == NULL)
		return;
	tl_rotating_close(self->file);
	tl_text_free(&self->line);
	free(self);
}

extern const struct tl_exporter tl_exporter_roundtrips;
const struct tl_exporter tl_exporter_roundtrips = {
	.name = "roundtrips",
	.help = "Records as lines, into a rotating file or to standard output.",
	.options = rows,
	.options_size = sizeof(struct roundtrips_options),
	.is_list = true,
	.open = roundtrips_open,
	.roundtrip = roundtrips_roundtrip,
	.flush = roundtrips_flush,
	.stats = roundtrips_stats,
	.close = roundtrips_close,
};
