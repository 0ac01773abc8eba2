// SPDX-License-Identifier: Apache-2.0
// tapline config: the reference, a check of a file, what a file means, how to scrape.
#include "config/config.h"

#include <errno.h>
#include <string.h>

#include "cli/commands.h"
#include "control/setup.h"

struct config_options {
	const char *check;
	const char *defaults;
	bool scrape;
};

static void print_errors(const struct tl_config_errors *errors)
{
	for (uint32_t i = 0; i < errors->count; i++)
		(void)fprintf(stderr, "%s\n", errors->lines[i]);
	if (errors->more > 0)
		(void)fprintf(stderr, "... and %u more\n", errors->more);
}

// Loads and judges a file; NULL after its errors were printed. Warnings are, too.
static struct tl_config *load(const char *path)
{
	struct tl_config_errors errors = {0}, warnings;
	struct tl_config *config = NULL;

	if (tl_config_load(path, &config, &errors) < 0 || tl_setup_check(config, &errors) < 0) {
		print_errors(&errors);
		tl_config_free(config);
		return NULL;
	}
	tl_config_warnings(config, &warnings);
	print_errors(&warnings);
	return config;
}

// Text as YAML takes it between double quotes.
static void print_quoted(const char *text)
{
	(void)putchar('"');
	for (; *text != '\0'; text++)
		if ((unsigned char)*text >= 0x20)
			(void)printf(*text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
	(void)putchar('"');
}

static void print_target(const struct tl_config *config, const char *probe)
{
	const char *address = config->server.address;

	(void)printf("  static_configs:\n  - targets: [\"%s%s\"]\n    labels: {probe: ",
		     *address == ':' ? "localhost" : "", address);
	print_quoted(probe);
	(void)puts("}");
}

static int print_scrape(const struct tl_config *config)
{
	char host[256] = "";
	const char *probe = tl_setup_probe_name(config, host, sizeof(host));

	if (!config->server.enabled)
		return tl_cli_error(TL_EXIT_USAGE,
				    "server.enabled is false: there is nothing to scrape");
	(void)printf("# For Prometheus (prometheus.yml) or VictoriaMetrics (-promscrape.config).\n"
		     "scrape_configs:\n"
		     "# The probe itself: packets, losses, queues.\n"
		     "- job_name: tapline\n"
		     "  metrics_path: /metrics\n");
	print_target(config, probe);
	(void)printf("# What it saw. Every store understands le; with VictoriaMetrics take vmrange, which is\n"
		     "# finer and adds up over probes: histogram: [vmrange]; Prometheus with native histograms\n"
		     "# takes [native].\n"
		     "- job_name: tapline-protocols\n"
		     "  metrics_path: /protocol/metrics\n"
		     "  params:\n"
		     "    histogram: [le]\n");
	print_target(config, probe);
	return TL_EXIT_DONE;
}

static int run_config(const void *options, const struct tl_arguments *arguments)
{
	const struct config_options *given = (const struct config_options *)options;
	const char *path = *given->check != '\0' ? given->check : given->defaults;
	struct tl_config *config;
	int status = TL_EXIT_DONE;

	(void)arguments;
	if (*given->check != '\0' && (given->scrape || *given->defaults != '\0'))
		return tl_cli_usage_error("config", "--check stands alone");
	if (*path == '\0' && !given->scrape) {
		// A closed pipe is told apart by tl_cli_finish_output().
		if (tl_config_print_reference(stdout) == -ENOMEM)
			return tl_cli_error(TL_EXIT_FAILURE, "out of memory");
		return TL_EXIT_DONE;
	}
	config = *path != '\0' ? load(path) : tl_config_default();
	if (config == NULL)
		return TL_EXIT_USAGE;
	if (*given->check != '\0')
		(void)printf("%s: ok\n", path);
	else if (given->scrape)
		status = print_scrape(config);
	else
		(void)tl_config_print_effective(config, stdout);
	tl_config_free(config);
	return status;
}

static const struct tl_flag config_flags[] = {
	{.name = "check",
	 .letter = 'c',
	 .type = TL_FLAG_TEXT,
	 .offset = offsetof(struct config_options, check),
	 .argument = "FILE",
	 .help = "Check a file: exit status 0 if it is good, else 2 and one line for each error"},
	{.name = "defaults",
	 .letter = 'd',
	 .type = TL_FLAG_TEXT,
	 .offset = offsetof(struct config_options, defaults),
	 .argument = "FILE",
	 .help = "Print the effective configuration: the file with all defaults, secrets masked"},
	{.name = "scrape",
	 .type = TL_FLAG_BOOL,
	 .offset = offsetof(struct config_options, scrape),
	 .help = "Print the scrape configuration for Prometheus or VictoriaMetrics, with --defaults "
		 "for that file's server"},
	TL_FLAG_END,
};

static const char *const config_examples[] = {
	"tapline config > tapline.yaml",
	"write the annotated reference to a file",
	"tapline config --check /etc/tapline/tapline.yaml",
	"check before a reload",
	NULL,
};

const struct tl_command tl_command_config = {
	.name = "config",
	.summary = "Print the annotated reference configuration, or check a file",
	.flags = config_flags,
	.options_size = sizeof(struct config_options),
	.examples = config_examples,
	.run = run_config,
};
