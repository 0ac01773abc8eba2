// SPDX-License-Identifier: Apache-2.0
#include "config/options/rows.h"

static const char *const level_words[] = {"debug", "info", "warning", "error", NULL};
static const char *const format_words[] = {"text", "json", NULL};

const struct tl_option tl_log_rows[] = {
	{.key = "level",
	 .type = TL_OPTION_CHOICE,
	 .hot = true,
	 AT(log.level),
	 .value = "info",
	 .choices = level_words,
	 .help = "Least important messages that are still written."},
	{.key = "format",
	 .type = TL_OPTION_CHOICE,
	 .hot = true,
	 AT(log.format),
	 .value = "text",
	 .choices = format_words,
	 .help = "Form of messages on standard error."},
	TL_OPTION_END,
};
