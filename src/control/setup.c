// SPDX-License-Identifier: Apache-2.0
#include "control/setup.h"

#include "control/services.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

static const char *or_null(const char *text)
{
	return text == NULL || text[0] == '\0' ? NULL : text;
}

static uint32_t left_alone(const struct tl_text_list *followed)
{
	uint32_t tunnels = ~0u;

	for (uint32_t i = 0; i < followed->count; i++)
		tunnels &= ~TL_TUNNEL_BIT(tl_tunnel_by_name(followed->items[i]));
	return tunnels;
}

int tl_setup_pipeline(const struct tl_config *config, struct tl_port_spec *ret_ports,
		      struct tl_pipeline_options *ret_options, char *error, uint32_t error_size)
{
	const struct tl_capture_config *capture = &config->capture;
	const struct tl_capture_port *ports = capture->ports.items;
	static const uint32_t idle[] = {
		[TL_CAPTURE_ADAPTIVE] = TL_IDLE_ADAPTIVE,
		[TL_CAPTURE_POLL] = TL_IDLE_POLL,
		[TL_CAPTURE_SLEEP] = TL_IDLE_SLEEP,
	};

	if (capture->ports.count > TL_SETUP_PORTS_MAX) {
		(void)snprintf(error, error_size, "capture.ports: at most %u ports, %u are given",
			       TL_SETUP_PORTS_MAX, capture->ports.count);
		return -EINVAL;
	}
	for (uint32_t i = 0; i < capture->ports.count; i++)
		ret_ports[i] = (struct tl_port_spec) {
			.name = ports[i].name,
			.file = or_null(ports[i].file),
			.interface = or_null(ports[i].interface),
			.devargs = or_null(ports[i].device),
			.pci = or_null(ports[i].pci),
		};
	*ret_options = (struct tl_pipeline_options) {
		.ports = ret_ports,
		.port_count = capture->ports.count,
		.workers = (uint32_t)capture->workers,
		.readers = (uint32_t)capture->readers,
		.filter = capture->filter,
		.snaplen = (uint32_t)capture->snaplen,
		.buffer_bytes = capture->buffer_bytes,
		.promiscuous = capture->promiscuous,
		.idle = idle[capture->idle],
		.record_ring_bytes = capture->record_ring_bytes,
		.packets_max = capture->packets_max,
		.engine = {
			.flow = config->limits.flow,
			.l7 = config->limits.l7,
			.defrag = config->limits.defrag,
			.left_alone = left_alone(&capture->decapsulate),
		},
	};
	if (getrandom(&ret_options->engine.seed, sizeof(ret_options->engine.seed), 0) < 0)
		ret_options->engine.seed = (uint64_t)getpid();
	return 0;
}

bool tl_setup_reads_files(const struct tl_config *config)
{
	const struct tl_capture_port *ports = config->capture.ports.items;

	for (uint32_t i = 0; i < config->capture.ports.count; i++)
		if (*ports[i].file == '\0')
			return false;
	return config->capture.ports.count != 0;
}

int tl_setup_rules(const struct tl_config *config, struct tl_rules **ret_rules, char *error,
		   uint32_t error_size)
{
	struct tl_config_rules rules;
	int rc = tl_config_rules_init(config, &rules);
	if (rc < 0) {
		(void)snprintf(error, error_size, "out of memory");
		return rc;
	}
	rc = tl_rules_create(&rules.spec, ret_rules, error, error_size);
	tl_config_rules_fini(&rules);
	return rc;
}

const char *tl_setup_probe_name(const struct tl_config *config, char *buffer, uint32_t size)
{
	if (config->probe[0] != '\0')
		return config->probe;
	if (gethostname(buffer, size) < 0)
		return "";
	buffer[size - 1] = '\0';
	return buffer;
}

int tl_setup_check(const struct tl_config *config, struct tl_config_errors *errors)
{
	struct tl_port_spec ports[TL_SETUP_PORTS_MAX];
	struct tl_pipeline_options options;
	struct tl_services *services = NULL;
	char error[512];
	int ports_rc = tl_setup_pipeline(config, ports, &options, error, sizeof(error));

	if (ports_rc == 0)
		ports_rc = tl_pipeline_check_ports(ports, options.port_count, error, sizeof(error));
	if (ports_rc < 0)
		tl_config_error(errors, config->file, tl_config_line(config, "capture.ports"),
				"capture.ports", "%s", error);
	int rc = tl_pipeline_check_filter(config->capture.filter, error, sizeof(error));

	if (rc < 0)
		tl_config_error(errors, config->file, tl_config_line(config, "capture.filter"),
				"capture.filter", "%s", error);
	int names_rc = tl_services_create(&config->names, config->names_file, &services, error,
					  sizeof(error));
	if (names_rc < 0)
		tl_config_error(errors, config->file, tl_config_line(config, "names_file"), "names_file",
				"%s", error);
	tl_services_destroy(services);
	return ports_rc < 0 || rc < 0 || names_rc < 0 ? -EINVAL : 0;
}
