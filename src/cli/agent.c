// SPDX-License-Identifier: Apache-2.0
// tapline agent: runs for ever; metrics, sinks, HTTP API.
#include "control/agent.h"

#include <unistd.h>

#include "cli/commands.h"
#include "revision.h"

#define DEFAULT_PATH "/etc/tapline/tapline.yaml"

struct agent_options {
	const char *config;
};

static const struct tl_flag flags[] = {
	{.name = "config", .letter = 'c', .type = TL_FLAG_TEXT,
	 .offset = (uint32_t)offsetof(struct agent_options, config), .argument = "FILE",
	 .help = "Configuration; without it " DEFAULT_PATH ", or the defaults if there is none"},
	TL_FLAG_END,
};

const char *tl_agent_path(const char *given)
{
	if (given[0] != '\0')
		return given;
	return access(DEFAULT_PATH, F_OK) == 0 ? DEFAULT_PATH : NULL;
}

static int run(const void *arg, const struct tl_arguments *arguments)
{
	const struct agent_options *options = arg;

	(void)arguments;
	return tl_cli_status_of(tl_agent_run(tl_agent_path(options->config), TL_VERSION));
}

static const char *const examples[] = {
	"tapline agent --config /etc/tapline/tapline.yaml", "as the systemd unit runs it",
	NULL,
};

const struct tl_command tl_command_agent = {
	.name = "agent",
	.summary = "Run for ever: metrics, exporters, HTTP API",
	.flags = flags,
	.options_size = sizeof(struct agent_options),
	.examples = examples,
	.run = run,
};
