// SPDX-License-Identifier: Apache-2.0
// The environment variables of the OpenTelemetry specification. A value in the configuration wins
// over its variable: a daemon's file is what its operator reads.
#include "exporters/otlp/otlp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_ENDPOINT "http://localhost:4318"
#define HEADERS_MAX 32u

static const char *variable(const char *name)
{
	const char *value = getenv(name);

	return value == NULL ? "" : value;
}

// OTEL_EXPORTER_OTLP_<suffix>; both signals share what is not a URL.
static const char *exporter_variable(const char *suffix)
{
	char name[96];

	(void)snprintf(name, sizeof(name), "OTEL_EXPORTER_OTLP_%s", suffix);
	return variable(name);
}

static void percent_decode(char *text)
{
	char *to = text;

	for (const char *from = text; *from != '\0'; from++) {
		char hex[3] = {from[0] == '%' ? from[1] : '\0', from[1] == '\0' ? '\0' : from[2], '\0'};
		char *end;
		unsigned long byte = strtoul(hex, &end, 16);
		if (hex[0] != '\0' && end == hex + 2) {
			*to++ = (char)byte;
			from += 2;
		} else {
			*to++ = *from;
		}
	}
	*to = '\0';
}

bool tl_otlp_next_pair(const char **list, char *ret_key, size_t key_size, char *ret_value,
		    size_t value_size)
{
	while (**list != '\0') {
		const char *item = *list + strspn(*list, " \t,");
		size_t len = strcspn(item, ",");
		const char *equals = memchr(item, '=', len);
		*list = item + len;
		if (equals == NULL)
			continue;
		int key_len = (int)(equals - item), value_len = (int)(item + len - equals - 1);
		while (key_len > 0 && item[key_len - 1] == ' ')
			key_len--;
		(void)snprintf(ret_key, key_size, "%.*s", key_len, item);
		(void)snprintf(ret_value, value_size, "%.*s", value_len, equals + 1);
		percent_decode(ret_value);
		return true;
	}
	return false;
}

// A signal's own URL is taken as it is; the common one gets the signal's path below its own.
static void make_url(char *ret, size_t size, const char *own, const char *base, const char *signal)
{
	size_t len = strlen(base);

	if (own[0] != '\0') {
		(void)snprintf(ret, size, "%s", own);
		return;
	}
	while (len != 0 && base[len - 1] == '/')
		len--;
	(void)snprintf(ret, size, "%.*s/v1/%s", (int)len, base, signal);
}

static void set_urls(const struct otlp_options *options, struct otlp_settings *ret)
{
	const char *base = options->http.url;
	const char *traces = options->traces_url, *metrics = options->metrics_url;

	if (base[0] == '\0') {
		base = exporter_variable("ENDPOINT");
		if (traces[0] == '\0')
			traces = exporter_variable("TRACES_ENDPOINT");
		if (metrics[0] == '\0')
			metrics = exporter_variable("METRICS_ENDPOINT");
	}
	if (base[0] == '\0')
		base = DEFAULT_ENDPOINT;
	make_url(ret->traces_url, sizeof(ret->traces_url), traces, base, "traces");
	make_url(ret->metrics_url, sizeof(ret->metrics_url), metrics, base, "metrics");
}

// Those of the environment, unless the configuration has any.
static int set_headers(struct otlp_settings *ret)
{
	const char *list = exporter_variable("HEADERS");
	char key[256], value[2048];

	if (ret->http.headers.count != 0 || list[0] == '\0')
		return 0;
	ret->header_items = calloc(HEADERS_MAX, sizeof(*ret->header_items));
	ret->header_texts = malloc(2 * strlen(list) + 2);
	if (ret->header_items == NULL || ret->header_texts == NULL)
		return -ENOMEM;
	char *at = ret->header_texts;
	uint32_t count = 0;
	while (count < HEADERS_MAX &&
	       tl_otlp_next_pair(&list, key, sizeof(key), value, sizeof(value))) {
		struct tl_text_pair *pair = &ret->header_items[count++];
		pair->key = strcpy(at, key);
		at += strlen(key) + 1;
		pair->value = strcpy(at, value);
		at += strlen(value) + 1;
	}
	ret->http.headers = (struct tl_text_map) {.items = ret->header_items, .count = count};
	return 0;
}

static void set_tls(struct otlp_settings *ret)
{
	struct tl_http_tls *tls = &ret->http.tls;

	if (tls->ca_file[0] == '\0')
		tls->ca_file = exporter_variable("CERTIFICATE");
	if (tls->cert_file[0] == '\0' && tls->key_file[0] == '\0') {
		tls->cert_file = exporter_variable("CLIENT_CERTIFICATE");
		tls->key_file = exporter_variable("CLIENT_KEY");
	}
}

int tl_otlp_settings_make(const struct otlp_options *options, struct otlp_settings *ret, char *error,
		       uint32_t error_size)
{
	const char *protocol = exporter_variable("PROTOCOL");

	*ret = (struct otlp_settings) {.http = options->http};
	if (options->http.url[0] == '\0' && protocol[0] != '\0' &&
	    strcmp(protocol, "http/protobuf") != 0) {
		(void)snprintf(error, error_size, "OTEL_EXPORTER_OTLP_PROTOCOL=%.40s: only "
			       "http/protobuf is built in", protocol);
		return -EINVAL;
	}
	set_urls(options, ret);
	set_tls(ret);
	if (set_headers(ret) < 0) {
		(void)snprintf(error, error_size, "out of memory");
		return -ENOMEM;
	}
	ret->is_gzip = options->compression == OTLP_GZIP &&
		       strcmp(exporter_variable("COMPRESSION"), "none") != 0;
	ret->service_name = variable("OTEL_SERVICE_NAME");
	ret->resource_attributes = variable("OTEL_RESOURCE_ATTRIBUTES");
	return 0;
}

void tl_otlp_settings_fini(struct otlp_settings *settings)
{
	free(settings->header_items);
	free(settings->header_texts);
}
