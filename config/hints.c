// SPDX-License-Identifier: Apache-2.0
// Keys that are known, but not here: packetd's, and those of features that aren't compiled in.
#include <string.h>

#include "base/check.h"
#include "config/schema.h"

struct hint {
	const char *key;
	const char *here;
};

// docs/migrating-from-packetd.md tells the same story at length; tests/cli checks that every key
// of this table stands there.
static const struct hint packetd_keys[] = {
	{"logger.stdout", "messages always go to standard error; log.level and log.format"},
	{"logger.level", "log.level"},
	{"logger.filename", "messages go to standard error; let systemd or a pipe keep them"},
	{"logger.maxSize", "messages go to standard error; let systemd or a pipe keep them"},
	{"logger.maxAge", "messages go to standard error; let systemd or a pipe keep them"},
	{"logger.maxBackups", "messages go to standard error; let systemd or a pipe keep them"},
	{"sniffer.ifaces", "capture.ports, one entry {interface: NAME} each, or any"},
	{"sniffer.engine", "leave it out; capture.ports says which kind of port is opened"},
	{"sniffer.ipVersion", "capture.filter: ip or ip6"},
	{"sniffer.noPromisc", "capture.promiscuous, the other way round"},
	{"sniffer.blockNum", "capture.buffer, in bytes"},
	{"sniffer.file", "capture.ports, an entry {file: PATH}"},
	{"sniffer.protocols.rules.name", "protocols.rules, name"},
	{"sniffer.protocols.rules.protocol", "protocols.rules, protocol"},
	{"sniffer.protocols.rules.ports", "protocols.rules, ports"},
	{"sniffer.protocols.rules.host", "protocols.rules, hosts: a list of addresses or networks"},
	{"sniffer.protocols.rules.hosts", "protocols.rules, hosts"},
	{"server.host", "server.address"},
	{"server.pprof", "leave it out; there is no profiler inside"},
	{"controller.layer4Metrics.enabled", "metrics.l4"},
	{"controller.layer4Metrics.requiredLabels", "metrics.l4_labels"},
	{"controller.layer4Metrics.requireLabels", "metrics.l4_labels"},
	{"controller.connExpired", "limits.flow.tcp_idle and limits.flow.udp_idle"},
	{"controller.autoReload", "leave it out; send SIGHUP or POST /-/reload"},
	{"controller.decoder.mongodb.enableResponseCode",
	 "leave it out; the response code is always decoded"},
	{"controller.decoder.http.enableBodyCapture", "protocols.http.capture_body"},
	{"controller.decoder.http.maxBodySize", "protocols.http.capture_body_max"},
	{"decoder.protocols.mongodb.enableOkCode",
	 "leave it out; the response code is always decoded"},
	{"metricsStorage.enabled", "leave it out; metrics are always kept"},
	{"metricsStorage.expired", "metrics.idle"},
	{"metricsStorage.vmHistogram", "metrics.histogram: vmrange or le"},
	{"processor", "leave it out; labels stand in metrics.labels, {protocol, labels}"},
	{"pipeline", "leave it out; every record goes to every exporter that is enabled"},
	{"exporter.traces.enabled", "exporters.otlp"},
	{"exporter.traces.endpoint", "exporters.otlp"},
	{"exporter.traces.batch", "exporters.otlp"},
	{"exporter.traces.interval", "exporters.otlp"},
	{"exporter.traces.timeout", "exporters.otlp"},
	{"exporter.traces.header", "exporters.otlp"},
	{"exporter.metrics.enabled", "exporters.remote_write"},
	{"exporter.metrics.endpoint", "exporters.remote_write"},
	{"exporter.metrics.interval", "exporters.remote_write"},
	{"exporter.metrics.timeout", "exporters.remote_write"},
	{"exporter.metrics.header", "exporters.remote_write"},
	{"exporter.roundtrips.enabled", "exporters.roundtrips, one entry for each file"},
	{"exporter.roundtrips.console", "exporters.roundtrips, console"},
	{"exporter.roundtrips.filename", "exporters.roundtrips, filename"},
	{"exporter.roundtrips.maxSize", "exporters.roundtrips, max_size, with its unit"},
	{"exporter.roundtrips.maxBackups", "exporters.roundtrips, max_backups"},
	{"exporter.roundtrips.maxAge", "exporters.roundtrips, max_age, with its unit"},
};

static const char *const absent[] = {
	"protocols.amqp",	   "protocols.dns",	   "protocols.grpc",
	"protocols.http",	   "protocols.http2",	   "protocols.kafka",
	"protocols.mongodb",	   "protocols.mysql",	   "protocols.postgresql",
	"protocols.redis",	   "exporters.elasticsearch", "exporters.kafka",
	"exporters.otlp",	   "exporters.roundtrips", "exporters.remote_write",
};

// What others have and no tapline has.
static const char *const unknown_protocols[] = {
	"protocols.cassandra", "protocols.memcached", "protocols.mqtt", "protocols.nats",
	"protocols.rocketmq",
};

const char *tl_packetd_hint(const char *key)
{
	for (size_t i = 0; i < TL_COUNT_OF(packetd_keys); i++)
		if (strcmp(packetd_keys[i].key, key) == 0)
			return packetd_keys[i].here;
	return NULL;
}

const char *tl_absent_feature(const char *key)
{
	for (size_t i = 0; i < TL_COUNT_OF(absent); i++)
		if (strcmp(absent[i], key) == 0)
			return "not built in: this tapline was compiled without it";
	for (size_t i = 0; i < TL_COUNT_OF(unknown_protocols); i++)
		if (strcmp(unknown_protocols[i], key) == 0)
			return "there is no decoder of this protocol; `tapline protocols` lists those "
			       "there are";
	if (strcmp(key, "exporters.prometheus") == 0)
		return "nothing to switch on: GET /protocol/metrics and /metrics of the section server "
		       "are for Prometheus, metrics.histogram is their form";
	return NULL;
}
