// SPDX-License-Identifier: Apache-2.0
// tapline watch: roundtrips to the terminal, no configuration needed.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/capture.h"
#include "cli/commands.h"
#include "control/bus.h"
#include "exporters/record/record.h"
#include "exporters/record/rotate.h"

enum { OUTPUT_AUTO, OUTPUT_TEXT, OUTPUT_JSON };

static const char *const output_words[] = {"auto", "text", "json", NULL};

struct watch_options {
	struct tl_capture_flags capture;
	uint32_t output;
	bool console;
	uint64_t max;
	uint64_t slow_ns;
	const char *status;
	const char *file;
	uint64_t file_mib;
	uint64_t file_backups;
	bool quiet;
	bool verbose;
};

struct watch {
	const struct watch_options *options;
	struct tl_bus_filter filter;
	bool as_text, with_colour;
	struct tl_rotating_file *file;
	struct tl_text line;
	struct tl_tally tally;
	uint64_t shown;
	const char *error; // why the output failed, NULL if it did not
};

#define AT(member) (uint32_t) offsetof(struct watch_options, member)

static const struct tl_flag flags[] = {
	TL_CAPTURE_FLAGS(struct watch_options, capture),
	{.name = "output", .letter = 'o', .type = TL_FLAG_CHOICE, .offset = AT(output),
	 .choices = output_words, .argument = "text|json", .group = "Output",
	 .help = "Lines for people or JSON lines; auto is text on a terminal, else JSON"},
	{.name = "console", .type = TL_FLAG_BOOL, .offset = AT(console), .is_hidden = true,
	 .help = "Write to standard output, which is what watch does anyway"},
	{.name = "max", .letter = 'n', .type = TL_FLAG_UINT, .offset = AT(max), .argument = "N",
	 .group = "Output", .help = "Stop after this many records"},
	{.name = "slow", .type = TL_FLAG_DURATION, .offset = AT(slow_ns), .argument = "TIME",
	 .group = "Output", .help = "Only roundtrips that took at least this long, as 100ms"},
	{.name = "status", .type = TL_FLAG_TEXT, .offset = AT(status), .argument = "STATUS",
	 .group = "Output",
	 .help = "Only this status; error is every one but ok and one_way"},
	{.name = "roundtrips.file", .type = TL_FLAG_TEXT, .offset = AT(file), .argument = "FILE",
	 .group = "Output", .help = "Write the records to this file instead"},
	{.name = "roundtrips.size", .type = TL_FLAG_UINT, .offset = AT(file_mib), .value = "100",
	 .argument = "MB", .group = "Output", .help = "Size at which that file is rotated",
	 .min = 1, .max = 1u << 20},
	{.name = "roundtrips.backups", .type = TL_FLAG_UINT, .offset = AT(file_backups),
	 .value = "10", .argument = "N", .group = "Output", .help = "Rotated files kept",
	 .max = 10000},
	{.name = "quiet", .letter = 'q', .type = TL_FLAG_BOOL, .offset = AT(quiet),
	 .group = "Output", .help = "No summary at the end"},
	{.name = "verbose", .letter = 'v', .type = TL_FLAG_BOOL, .offset = AT(verbose),
	 .group = "Output", .help = "Add members that explain others, such as name_source"},
	TL_FLAG_END,
};

static int write_line(struct watch *watch)
{
	if (watch->file != NULL)
		return tl_rotating_write(watch->file, watch->line.data, watch->line.len);
	if (fwrite(watch->line.data, 1, watch->line.len, stdout) == watch->line.len)
		return 0;
	return errno == 0 ? -EIO : -errno;
}

static int on_record(void *arg, const struct tl_roundtrip_signal *signal)
{
	struct watch *watch = arg;

	tl_tally_add(&watch->tally, signal->record);
	if (!tl_bus_filter_matches(&watch->filter, signal->record))
		return 0;
	tl_text_clear(&watch->line);
	if (watch->as_text)
		tl_record_text_line(&watch->line, signal, watch->with_colour,
				    watch->options->slow_ns);
	else if (!tl_record_json_line(&watch->line, signal, watch->options->verbose))
		return 0;
	int rc = write_line(watch);
	if (rc < 0) {
		watch->error = rc == -EPIPE ? NULL : strerror(-rc);
		clearerr(stdout); // it has been dealt with
		return -1; // a reader who went away ends the capture quietly
	}
	watch->shown++;
	return watch->options->max != 0 && watch->shown >= watch->options->max ? -1 : 0;
}

// Who reads the file while it grows sees what there is.
static int flush_file(void *arg)
{
	struct watch *watch = arg;
	int rc = watch->file == NULL ? 0 : tl_rotating_flush(watch->file);

	if (rc < 0)
		watch->error = strerror(-rc);
	return rc;
}

static int open_file(struct watch *watch)
{
	const struct watch_options *o = watch->options;
	return tl_rotating_open(
		&(struct tl_rotating_options) {
			.path = o->file,
			.bytes_max = o->file_mib << 20,
			.count_max = o->file_backups,
			.fsync = TL_FSYNC_NEVER,
		},
		&watch->file);
}

static int run(const void *arg, const struct tl_arguments *arguments)
{
	const struct watch_options *options = arg;
	struct watch watch = {
		.options = options,
		.filter = {.status = -1, .slow_ns = options->slow_ns},
	};
	struct tl_totals *totals = calloc(1, sizeof(*totals));
	struct tl_capture_flags capture = options->capture;
	bool is_terminal = isatty(STDOUT_FILENO) == 1;
	(void)arguments;

	if (totals == NULL)
		return tl_cli_error(TL_EXIT_FAILURE, "watch: out of memory");
	if (options->status[0] != '\0' && !tl_bus_filter_set_status(&watch.filter, options->status)) {
		free(totals);
		return tl_cli_usage_error("watch", "--status: \"%s\" is none of error ok client_error"
					  " server_error timeout reset cancelled unanswered orphan"
					  " one_way", options->status);
	}
	watch.as_text = options->output == OUTPUT_TEXT ||
			(options->output == OUTPUT_AUTO && is_terminal && options->file[0] == '\0');
	const char *no_colour = getenv("NO_COLOR");
	watch.with_colour = watch.as_text && is_terminal &&
			    (no_colour == NULL || no_colour[0] == '\0');
	int status = TL_EXIT_DONE;
	capture.at_pause = flush_file;
	int rc = options->file[0] == '\0' ? 0 : open_file(&watch);
	if (rc < 0)
		status = tl_cli_error(TL_EXIT_FAILURE, "watch: %s: %s", options->file, strerror(-rc));
	else
		status = tl_capture_run("watch", &capture, on_record, &watch, totals);
	tl_rotating_close(watch.file);
	if (watch.error != NULL)
		status = tl_cli_error(TL_EXIT_FAILURE, "watch: output: %s", watch.error);
	if (fflush(stdout) != 0 && errno == EPIPE)
		clearerr(stdout); // a reader who went away is no failure
	if (!options->quiet && (status == TL_EXIT_DONE || watch.tally.total != 0)) {
		struct tl_text text = {0};
		tl_summary_print(&text, totals, &watch.tally, options->capture.filter);
		(void)fputs(text.data, stderr);
		tl_text_free(&text);
	}
	tl_text_free(&watch.line);
	free(totals);
	return status;
}

static const char *const examples[] = {
	"tapline watch", "every protocol on every interface",
	"tapline watch --pcap-file trace.pcapng", "a capture file, ends with it",
	"tapline watch --ifaces eth1 --proto 'http;80,8080' --slow 100ms", "slow HTTP on two ports",
	NULL,
};

const struct tl_command tl_command_watch = {
	.name = "watch",
	.summary = "Show roundtrips as they complete",
	.description = "Records go to standard output, a summary to standard error.",
	.flags = flags,
	.options_size = sizeof(struct watch_options),
	.examples = examples,
	.run = run,
};
