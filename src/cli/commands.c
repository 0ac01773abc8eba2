// SPDX-License-Identifier: Apache-2.0
// The commands there are, in the order of help.
#include "cli/commands.h"

const struct tl_command *const tl_commands[] = {
	&tl_command_watch,
	&tl_command_stats,
	&tl_command_agent,
	&tl_command_health,
	&tl_command_events,
	&tl_command_config,
	&tl_command_protocols,
	&tl_command_ifaces,
	&tl_command_doctor,
	&tl_command_version,
	&tl_command_help,
	NULL,
};
