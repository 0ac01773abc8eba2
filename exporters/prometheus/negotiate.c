// SPDX-License-Identifier: Apache-2.0
#include "exporters/prometheus/prometheus.h"

#define ACCEPT_ENTRIES_MAX 64u // of one header; further ones are not read

const char *tl_prometheus_content_type(enum tl_prometheus_format format)
{
	switch (format) {
	case TL_PROMETHEUS_OPENMETRICS:
		return "application/openmetrics-text; version=1.0.0; charset=utf-8";
	case TL_PROMETHEUS_PROTOBUF:
		return "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; "
		       "encoding=delimited";
	default:
		return "text/plain; version=0.0.4; charset=utf-8";
	}
}

// Up to the next `separator`, trimmed; `rest` becomes what follows it.
static struct tl_bytes cut(struct tl_bytes *rest, uint8_t separator)
{
	uint32_t at = tl_bytes_find(*rest, separator, 0);
	struct tl_bytes part = at == TL_BYTES_NONE ? *rest : tl_bytes_first(*rest, at);

	*rest = at == TL_BYTES_NONE ? tl_bytes(NULL, 0) : tl_bytes_from(*rest, at + 1);
	return tl_bytes_trim(part);
}

// "0.75" in thousandths, RFC 9110 section 12.4.2; what can't be read counts as 1.
static uint32_t quality(struct tl_bytes text)
{
	uint32_t value = 0, scale = 1000;

	if (text.len == 0 || (text.ptr[0] != '0' && text.ptr[0] != '1'))
		return 1000;
	value = (uint32_t)(text.ptr[0] - '0') * scale;
	for (uint32_t i = 2; i < text.len && i < 5; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return 1000;
		scale /= 10;
		value += (uint32_t)(text.ptr[i] - '0') * scale;
	}
	return value < 1000 ? value : 1000;
}

static struct tl_bytes unquoted(struct tl_bytes text)
{
	if (text.len >= 2 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"')
		return tl_bytes(text.ptr + 1, text.len - 2);
	return text;
}

// Whether the parameter of an entry leaves what we write possible.
static bool fits(enum tl_prometheus_format format, struct tl_bytes name, struct tl_bytes value)
{
	if (format == TL_PROMETHEUS_PROTOBUF) {
		if (tl_bytes_is_nocase(name, "proto"))
			return tl_bytes_is(value, "io.prometheus.client.MetricFamily");
		return !tl_bytes_is_nocase(name, "encoding") || tl_bytes_is(value, "delimited");
	}
	if (!tl_bytes_is_nocase(name, "version"))
		return true;
	if (format == TL_PROMETHEUS_TEXT)
		return tl_bytes_is(value, "0.0.4");
	// 0.0.1 is what Prometheus called the draft of 1.0.0.
	return tl_bytes_is(value, "1.0.0") || tl_bytes_is(value, "0.0.1");
}

// The weight of one entry of the header, 0 when it names nothing we write.
static uint32_t weigh(struct tl_bytes entry, enum tl_prometheus_format *ret_format)
{
	struct tl_bytes type = cut(&entry, ';');
	uint32_t weight = 1000;

	if (tl_bytes_is_nocase(type, "application/openmetrics-text"))
		*ret_format = TL_PROMETHEUS_OPENMETRICS;
	else if (tl_bytes_is_nocase(type, "application/vnd.google.protobuf"))
		*ret_format = TL_PROMETHEUS_PROTOBUF;
	else if (tl_bytes_is_nocase(type, "text/plain") || tl_bytes_is_nocase(type, "text/*") ||
		 tl_bytes_is_nocase(type, "*/*"))
		*ret_format = TL_PROMETHEUS_TEXT;
	else
		return 0;
	while (entry.len != 0) {
		struct tl_bytes value = cut(&entry, ';');
		struct tl_bytes name = cut(&value, '=');
		value = unquoted(value);
		if (tl_bytes_is_nocase(name, "q"))
			weight = quality(value);
		else if (!fits(*ret_format, name, value))
			return 0;
	}
	return weight;
}

enum tl_prometheus_format tl_prometheus_negotiate(const char *accept, bool with_protobuf)
{
	enum tl_prometheus_format best = TL_PROMETHEUS_TEXT;
	uint32_t best_weight = 0;

	if (accept == NULL)
		return TL_PROMETHEUS_TEXT;
	struct tl_bytes rest = tl_bytes_of(accept);
	for (uint32_t i = 0; i < ACCEPT_ENTRIES_MAX && rest.len != 0; i++) {
		enum tl_prometheus_format format = TL_PROMETHEUS_TEXT;
		uint32_t weight = weigh(cut(&rest, ','), &format);
		if (weight > best_weight && (with_protobuf || format != TL_PROMETHEUS_PROTOBUF)) {
			best_weight = weight;
			best = format;
		}
	}
	return best;
}
