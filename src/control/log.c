// SPDX-License-Identifier: Apache-2.0
#include "control/log.h"

#include "base/clock.h"
#include "base/text.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#define MESSAGE_BYTES_MAX 2048u

static _Atomic uint32_t log_level = TL_LOG_SEVERITY_INFO;
static _Atomic bool log_json;

static const char *const level_names[] = {"debug", "info", "warning", "error"};

void tl_log_set_level(enum tl_log_severity level)
{
	atomic_store(&log_level, level);
}

void tl_log_set_json(bool json)
{
	atomic_store(&log_json, json);
}

enum tl_log_severity tl_log_level(void)
{
	return (enum tl_log_severity)atomic_load(&log_level);
}

int tl_log_level_by_name(const char *name)
{
	for (int i = 0; i <= TL_LOG_SEVERITY_ERROR; i++)
		if (strcasecmp(name, level_names[i]) == 0)
			return i;
	return strcasecmp(name, "warn") == 0 ? TL_LOG_SEVERITY_WARNING : -1;
}

static void add_json(struct tl_text *line, enum tl_log_severity severity, const char *message)
{
	struct tl_text time = {0}, clean = {0};

	tl_text_time_utc(&time, tl_clock_ns(CLOCK_REALTIME));
	tl_text_utf8(&clean, tl_bytes_of(message), false);
	json_t *object = json_pack("{s:s, s:s, s:s}", "time", time.data, "level",
				   level_names[severity], "message",
				   clean.data == NULL ? "" : clean.data);
	char *text = json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER);
	if (text != NULL)
		tl_text_puts(line, text);
	free(text);
	json_decref(object);
	tl_text_free(&time);
	tl_text_free(&clean);
}

void tl_log(enum tl_log_severity severity, const char *format, ...)
{
	char message[MESSAGE_BYTES_MAX];
	struct tl_text line = {0};
	va_list args;

	if (severity < tl_log_level())
		return;
	va_start(args, format);
	(void)vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	if (atomic_load(&log_json)) {
		add_json(&line, severity, message);
	} else {
		tl_text_time_utc(&line, tl_clock_ns(CLOCK_REALTIME));
		tl_text_printf(&line, " %s ", level_names[severity]);
		tl_text_terminal(&line, tl_bytes_of(message), false);
	}
	tl_text_puts(&line, "\n");
	ssize_t ignored = write(STDERR_FILENO, line.data, line.len);
	(void)ignored; // there is nowhere left to complain to
	tl_text_free(&line);
}
