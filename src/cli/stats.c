// SPDX-License-Identifier: Apache-2.0
// tapline stats: one report about a capture file or some seconds of an interface.
#include <stdio.h>
#include <stdlib.h>

#include "cli/capture.h"
#include "cli/commands.h"
#include "cli/report.h"

static const char *const output_words[] = {"text", "json", NULL};

struct stats_options {
	struct tl_capture_flags capture;
	uint32_t output;
};

static const struct tl_flag flags[] = {
	TL_CAPTURE_FLAGS(struct stats_options, capture),
	{.name = "output", .letter = 'o', .type = TL_FLAG_CHOICE,
	 .offset = (uint32_t)offsetof(struct stats_options, output), .choices = output_words,
	 .argument = "text|json", .group = "Output", .help = "Tables for people or one JSON object"},
	TL_FLAG_END,
};

static int on_record(void *arg, const struct tl_roundtrip_signal *signal)
{
	tl_report_add(arg, signal);
	return 0;
}

static void print(const struct tl_report *report, const struct stats_options *options,
		  const struct tl_totals *totals)
{
	const char *filter = options->capture.filter;

	if (options->output == 1) {
		json_t *object = tl_report_json(report, totals, filter);
		(void)json_dumpf(object, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
		(void)fputs("\n", stdout);
		json_decref(object);
	} else {
		struct tl_text text = {0};
		tl_report_print(report, totals, filter, &text);
		(void)fputs(text.data, stdout);
		tl_text_free(&text);
	}
}

static int run(const void *arg, const struct tl_arguments *arguments)
{
	const struct stats_options *options = arg;
	struct tl_totals *totals = calloc(1, sizeof(*totals));
	struct tl_report *report = tl_report_create();
	int status = TL_EXIT_FAILURE;
	(void)arguments;

	if (totals == NULL || report == NULL)
		status = tl_cli_error(status, "stats: out of memory");
	else
		status = tl_capture_run("stats", &options->capture, on_record, report, totals);
	// What was read before a damaged place is reported all the same.
	if (report != NULL && totals != NULL &&
	    (status == TL_EXIT_DONE || totals->counters.at[TL_COUNT_PACKETS_OFFERED] != 0))
		print(report, options, totals);
	tl_report_destroy(report);
	free(totals);
	return tl_cli_finish_output(status);
}

static const char *const examples[] = {
	"tapline stats --pcap-file trace.pcap", "what is in a capture",
	"tapline stats --pcap-file a.pcap --pcap-file b.pcap", "the two directions of a TAP, a file each",
	"tapline stats --ifaces eth1 --duration 30s", "half a minute of an interface",
	NULL,
};

const struct tl_command tl_command_stats = {
	.name = "stats",
	.summary = "Report requests, errors, latencies and losses of a capture",
	.flags = flags,
	.options_size = sizeof(struct stats_options),
	.examples = examples,
	.run = run,
};
