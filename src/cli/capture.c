// SPDX-License-Identifier: Apache-2.0
#include "cli/capture.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "cli/progress.h"
#include "config/config.h"
#include "control/setup.h"

#define ERROR_BYTES 512u
#define RULES_MAX 256u // --proto flags, or protocols times --ipv

const char *const tl_capture_ip_words[] = {"both", "v4", "v6", NULL};

static volatile sig_atomic_t stop_wanted;

static void on_signal(int number)
{
	(void)number;
	stop_wanted = 1;
}

struct capture {
	struct tl_config *config; // the defaults: limits and options of the protocols
	struct tl_rule_spec rules[RULES_MAX];
	uint32_t rule_count, parsed_count;
	const char *any_host;     // of --ipv
	struct tl_port_spec ports[TL_SETUP_PORTS_MAX];
	uint32_t port_count;
	char *names;              // the interface list, cut at its commas
	struct tl_probe_options options;
};

static int add_port(struct capture *c, struct tl_port_spec port, char *error)
{
	if (c->port_count == TL_SETUP_PORTS_MAX) {
		(void)snprintf(error, ERROR_BYTES, "at most %u ports", TL_SETUP_PORTS_MAX);
		return -EINVAL;
	}
	c->ports[c->port_count++] = port;
	return 0;
}

// A port by what it looks like: net_NAME..., a PCI address, else an interface.
static int add_any_port(struct capture *c, const char *text, char *error)
{
	unsigned int numbers[4];
	struct tl_port_spec port = {.name = ""};

	if (strncmp(text, "net_", 4) == 0)
		port.devargs = text;
	else if (sscanf(text, "%4x:%2x:%2x.%1x", &numbers[0], &numbers[1], &numbers[2], &numbers[3]) == 4 ||
		 sscanf(text, "%2x:%2x.%1x", &numbers[0], &numbers[1], &numbers[2]) == 3)
		port.pci = text;
	else
		port.interface = text;
	return add_port(c, port, error);
}

static int set_ports(struct capture *c, const struct tl_capture_flags *flags, char *error)
{
	int given = (flags->ifaces[0] != '\0') + (flags->files.count > 0) +
		    (flags->devices.count > 0);
	char *rest, *name;
	int rc;

	for (uint32_t i = 0; i < flags->ports.count; i++) {
		rc = add_any_port(c, flags->ports.items[i], error);
		if (rc < 0)
			return rc;
	}
	if (flags->ports.count > 0)
		return 0;
	if (given > 1) {
		(void)snprintf(error, ERROR_BYTES,
			       "--ifaces, --pcap-file and --device exclude each other");
		return -EINVAL;
	}
	if (flags->files.count > 0)
		return add_port(c, (struct tl_port_spec) {.name = "", .files = flags->files.items,
							  .file_count = flags->files.count}, error);
	for (uint32_t i = 0; i < flags->devices.count; i++) {
		rc = add_port(c, (struct tl_port_spec) {.name = "", .devargs = flags->devices.items[i]},
			      error);
		if (rc < 0)
			return rc;
	}
	if (flags->devices.count > 0)
		return 0;
	c->names = strdup(flags->ifaces[0] != '\0' ? flags->ifaces : "any");
	if (c->names == NULL)
		return -ENOMEM;
	for (name = strtok_r(c->names, ",", &rest); name != NULL; name = strtok_r(NULL, ",", &rest)) {
		rc = add_port(c, (struct tl_port_spec) {.name = "", .interface = name}, error);
		if (rc < 0)
			return rc;
	}
	return 0;
}

// --ipv is a rule like any other: addresses of that version.
static void restrict_version(struct capture *c, const struct tl_capture_flags *flags)
{
	if (flags->ipv == 0)
		return;
	c->any_host = flags->ipv == 1 ? "0.0.0.0/0" : "::/0";
	if (c->rule_count == 0)
		for (uint16_t id = 0; id < tl_decoder_count && c->rule_count < RULES_MAX; id++)
			if (tl_decoders[id] != NULL)
				c->rules[c->rule_count++] = (struct tl_rule_spec) {
					.name = "--ipv", .protocol = tl_decoders[id]->name};
	for (uint32_t i = 0; i < c->rule_count; i++)
		if (c->rules[i].hosts.count == 0)
			c->rules[i].hosts = (struct tl_text_list) {.items = &c->any_host, .count = 1};
}

static int make_rules(struct capture *c, const struct tl_capture_flags *flags,
		      struct tl_rules **ret_rules, char *error)
{
	struct tl_config_rules defaults;

	if (flags->proto.count > RULES_MAX) {
		(void)snprintf(error, ERROR_BYTES, "at most %u times --proto", RULES_MAX);
		return -EINVAL;
	}
	for (uint32_t i = 0; i < flags->proto.count; i++) {
		int rc = tl_rule_parse(flags->proto.items[i], &c->rules[i], error, ERROR_BYTES);
		if (rc < 0)
			return rc;
		c->rule_count = c->parsed_count = i + 1;
	}
	restrict_version(c, flags);
	int rc = tl_config_rules_init(c->config, &defaults);
	if (rc < 0)
		return rc;
	defaults.spec.rules = c->rules;
	defaults.spec.rule_count = c->rule_count;
	defaults.spec.detect = c->rule_count == 0;
	defaults.spec.redact = flags->redact;
	rc = tl_rules_create(&defaults.spec, ret_rules, error, ERROR_BYTES);
	tl_config_rules_fini(&defaults);
	return rc;
}

static void release(struct capture *c)
{
	for (uint32_t i = 0; i < c->parsed_count; i++) {
		if (c->rules[i].hosts.items == &c->any_host)
			c->rules[i].hosts = (struct tl_text_list) {0};
		tl_rule_spec_fini(&c->rules[i]);
	}
	free(c->names);
	tl_config_free(c->config);
	free(c);
}

static int loop(const char *command, struct capture *c, const struct tl_capture_flags *flags,
		struct tl_probe *probe, tl_probe_record_fn *fn, void *arg,
		struct tl_totals *ret_totals)
{
	bool is_finished = false, is_stopping = false;
	struct tl_progress progress;
	uint64_t begin_ns = tl_clock_ns(CLOCK_MONOTONIC), elapsed_ns = 0;
	// A file ends by its own packet time instead.
	uint64_t end_ns = flags->duration_ns == 0 || c->ports[0].file_count > 0
				  ? UINT64_MAX : begin_ns + flags->duration_ns;

	tl_progress_begin(&progress, strcmp(command, "stats") == 0, begin_ns);
	while (!is_finished) {
		uint32_t handled = tl_probe_turn(probe, fn, arg, &is_finished);
		// A reader of a quiet pipe sees what there is; one who went away ends the capture.
		bool is_unread = handled == 0 && fflush(stdout) != 0;
		if (is_unread && errno == EPIPE)
			clearerr(stdout);
		if (handled == 0 && flags->at_pause != NULL && flags->at_pause(arg) < 0)
			is_unread = true;
		uint64_t now_ns = tl_clock_ns(CLOCK_MONOTONIC);
		bool is_over = end_ns != UINT64_MAX && now_ns >= end_ns;
		if (!is_stopping)
			elapsed_ns = now_ns - begin_ns;
		if (!is_stopping && (is_unread || stop_wanted || is_over)) {
			is_stopping = true;
			tl_probe_stop(probe);
		}
		tl_progress_turn(&progress, tl_probe_pipeline(probe), now_ns);
	}
	tl_progress_end(&progress);
	tl_totals_read(tl_probe_pipeline(probe), ret_totals);
	tl_totals_read_names(tl_probe_pipeline(probe), ret_totals);
	if (flags->at_end != NULL)
		flags->at_end(arg, ret_totals, elapsed_ns);
	// The summary still names the ports: their names must outlive the probe.
	ret_totals->port_count = 0;
	if (tl_probe_error(probe)[0] != '\0')
		return tl_cli_error(TL_EXIT_FAILURE, "%s: %s", command, tl_probe_error(probe));
	return TL_EXIT_DONE;
}

int tl_capture_run(const char *command, const struct tl_capture_flags *flags,
		   tl_probe_record_fn *fn, void *arg, struct tl_totals *ret_totals)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct capture *c = calloc(1, sizeof(*c));
	struct tl_rules *rules = NULL;
	struct tl_probe *probe = NULL;
	char error[ERROR_BYTES] = "out of memory";
	int status = TL_EXIT_FAILURE;

	if (c == NULL)
		return tl_cli_error(status, "%s: %s", command, error);
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	c->config = tl_config_default();
	int rc = c->config == NULL ? -ENOMEM
				   : tl_setup_pipeline(c->config, c->ports, &c->options.pipeline, error,
						       ERROR_BYTES);
	if (rc == 0) // in the place of the configuration's
		rc = set_ports(c, flags, error);
	if (rc == 0)
		rc = make_rules(c, flags, &rules, error);
	if (rc < 0) {
		status = tl_cli_error(rc == -EINVAL ? TL_EXIT_USAGE : TL_EXIT_FAILURE, "%s: %s",
				      command, error);
		goto out_release;
	}
	struct tl_pipeline_options *pipeline = &c->options.pipeline;
	pipeline->ports = c->ports;
	pipeline->port_count = c->port_count;
	pipeline->workers = (uint32_t)flags->workers;
	pipeline->filter = flags->filter;
	pipeline->promiscuous = !flags->no_promisc;
	pipeline->duration_ns = flags->duration_ns;
	pipeline->want_records = true;
	c->options.name = "";
	rc = tl_probe_start(&c->options, rules, &probe, error, ERROR_BYTES);
	if (rc < 0) {
		status = tl_cli_error(tl_cli_status_of(rc), "%s: %s", command, error);
		goto out_release;
	}
	status = loop(command, c, flags, probe, fn, arg, ret_totals);
out_release:
	tl_probe_destroy(probe);
	tl_rules_destroy(rules);
	release(c);
	return status;
}
