// SPDX-License-Identifier: Apache-2.0
// tapline events: what the collectors of this host stored, and what they store from now on.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "base/check.h"
#include "cli/commands.h"
#include "collectors/host.h"
#include "collectors/store/store.h"
#include "config/config.h"

#define DEFAULT_PATH "/etc/tapline/tapline.yaml"
#define LOOK_NS 200000000l // between two looks at the files

enum { OUTPUT_TEXT, OUTPUT_JSON };

struct events_options {
	const char *tracer;
	uint64_t since_ns;
	bool follow;
	uint32_t output;
	const char *path;
	const char *config;
};

// What is printed, and which events were: one that is stored between the first look of the follower
// and the reading of what is there is seen by both.
struct printer {
	const struct events_options *options;
	struct tl_text ids; // ID_CHARS each
	bool keeps_ids, skips_known;
};

#define ID_CHARS 32u // of tracer_id

static const char *const output_words[] = {"text", "json", NULL};
static volatile sig_atomic_t is_stopped;

static const struct tl_flag flags[] = {
	{.name = "tracer", .type = TL_FLAG_TEXT,
	 .offset = (uint32_t)offsetof(struct events_options, tracer), .argument = "NAME",
	 .help = "Only events of this collector"},
	{.name = "since", .type = TL_FLAG_DURATION,
	 .offset = (uint32_t)offsetof(struct events_options, since_ns), .argument = "AGE",
	 .help = "Only events that are not older, as in 1h; 0 shows all"},
	{.name = "follow", .letter = 'f', .type = TL_FLAG_BOOL,
	 .offset = (uint32_t)offsetof(struct events_options, follow),
	 .help = "Then go on with those that come"},
	{.name = "output", .letter = 'o', .type = TL_FLAG_CHOICE, .choices = output_words,
	 .offset = (uint32_t)offsetof(struct events_options, output), .argument = "FORMAT",
	 .help = "text or json, one event per line"},
	{.name = "path", .type = TL_FLAG_TEXT,
	 .offset = (uint32_t)offsetof(struct events_options, path), .argument = "DIR",
	 .help = "Directory of the events; without it, that of the configuration"},
	{.name = "config", .letter = 'c', .type = TL_FLAG_TEXT,
	 .offset = (uint32_t)offsetof(struct events_options, config), .argument = "FILE",
	 .help = "Configuration; without it " DEFAULT_PATH ", or the defaults if there is none"},
	TL_FLAG_END,
};

static void on_signal(int number)
{
	(void)number;
	is_stopped = 1;
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text == NULL ? "" : text;
}

// "2026-11-22 10:15:30.123 +0000  oom         web-7f9c  {...}"
static void print_text(const char *line)
{
	json_t *record = json_loads(line, 0, NULL);
	const json_t *data = json_object_get(record, "tracer_data");
	char *rest = data == NULL ? NULL : json_dumps(data, JSON_COMPACT | JSON_PRESERVE_ORDER);
	const char *host = text_of(record, "container_hostname");
	struct tl_text shown = {0};

	tl_text_printf(&shown, "%s  %-20s %-16s ", text_of(record, "tracer_time"),
		       text_of(record, "tracer_name"),
		       host[0] != '\0' ? host : text_of(record, "hostname"));
	if (rest != NULL)
		tl_text_terminal(&shown, tl_bytes((const uint8_t *)rest, (uint32_t)strlen(rest)),
				 false);
	(void)puts(shown.data);
	tl_text_free(&shown);
	free(rest);
	json_decref(record);
}

// NULL for a record that has none.
static const char *id_of(const char *json)
{
	static const char key[] = "\"tracer_id\":\"";
	const char *at = strstr(json, key);

	return at == NULL || strlen(at) < sizeof(key) - 1 + ID_CHARS ? NULL : at + sizeof(key) - 1;
}

static bool is_known(const struct printer *printer, const char *id)
{
	for (size_t i = 0; i + ID_CHARS <= printer->ids.len; i += ID_CHARS)
		if (memcmp(printer->ids.data + i, id, ID_CHARS) == 0)
			return true;
	return false;
}

static bool print(void *arg, const struct tl_stored *stored)
{
	struct printer *printer = arg;
	const struct events_options *options = printer->options;
	const char *id = id_of(stored->json);

	if (printer->skips_known && id != NULL && is_known(printer, id))
		return true;
	if (printer->keeps_ids && id != NULL)
		tl_text_add(&printer->ids, id, ID_CHARS);
	if (options->output == OUTPUT_JSON)
		(void)puts(stored->json);
	else
		print_text(stored->json);
	return ferror(stdout) == 0 && !is_stopped;
}

static void follow(struct tl_store_follower *follower, struct printer *printer)
{
	const struct timespec pause = {.tv_nsec = LOOK_NS};
	const struct sigaction action = {.sa_handler = on_signal};

	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	printer->keeps_ids = false;
	printer->skips_known = true; // in the first look; later ones see what nobody has read
	while (!is_stopped && tl_store_look(follower, print, printer) && fflush(stdout) == 0) {
		printer->skips_known = false;
		tl_text_free(&printer->ids);
		(void)nanosleep(&pause, NULL);
	}
}

static bool nothing(void *arg, const struct tl_stored *stored)
{
	(void)arg;
	(void)stored;
	return true;
}

static int show(const struct events_options *options, const char *path)
{
	uint64_t since_ns = options->since_ns == 0 ? 0 : tl_host_time_ns() - options->since_ns;
	struct tl_store_follower *follower = NULL;
	struct printer printer = {.options = options, .keeps_ids = options->follow};

	if (path[0] == '\0')
		return tl_cli_error(TL_EXIT_FAILURE, "collectors.store.path is empty: no events are"
						     " kept on this host");
	if (options->follow) { // remembers the ends before what is there is read
		follower = tl_store_follow(path, options->tracer);
		if (follower == NULL)
			return tl_cli_error(TL_EXIT_FAILURE, "out of memory");
		(void)tl_store_look(follower, nothing, NULL);
	}
	int rc = tl_store_read(path, options->tracer, since_ns, 0, print, &printer);
	if (rc == -ENOENT) // nothing has been stored yet
		rc = 0;
	if (rc == 0 && follower != NULL)
		follow(follower, &printer);
	tl_store_unfollow(follower);
	tl_text_free(&printer.ids);
	if (rc == -EINVAL)
		return tl_cli_usage_error("events", "--tracer: \"%s\" can't be a collector's name",
					  options->tracer);
	if (rc < 0)
		return tl_cli_error(TL_EXIT_FAILURE, "%s: %s", path, strerror(-rc));
	return tl_cli_finish_output(TL_EXIT_DONE);
}

static int run(const void *arg, const struct tl_arguments *arguments)
{
	const struct events_options *options = arg;
	static struct tl_config_errors errors;
	struct tl_config *config = NULL;
	int rc = 0;

	(void)arguments;
	if (options->path[0] != '\0')
		return show(options, options->path);
	if (options->config[0] != '\0')
		rc = tl_config_load(options->config, &config, &errors);
	else if (access(DEFAULT_PATH, F_OK) == 0)
		rc = tl_config_load(DEFAULT_PATH, &config, &errors);
	else
		config = tl_config_default();
	if (rc < 0)
		return tl_cli_error(TL_EXIT_USAGE, "%s", errors.lines[0]);
	if (config == NULL)
		return tl_cli_error(TL_EXIT_FAILURE, "out of memory");
	int status = show(options, config->collectors.store.path);
	tl_config_free(config);
	return status;
}

static const char *const examples[] = {
	"tapline events --since 1h", "what happened on this host in the last hour",
	"tapline events --tracer oom --follow --output json", "kills for lack of memory, as they come",
	NULL,
};

const struct tl_command tl_command_events = {
	.name = "events",
	.summary = "Show what the collectors of this host stored",
	.flags = flags,
	.options_size = sizeof(struct events_options),
	.examples = examples,
	.run = run,
};
