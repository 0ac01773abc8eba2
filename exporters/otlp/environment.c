// SPDX-License-Identifier: Apache-2.0
// The environment variables of the OpenTelemetry specification. A value in the configuration wins
// over its variable: a daemon's file is what its operator reads.
#include "exporters/otlp/otlp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_ENDPOINT "http://localhost:4318"
#define DEFAULT_TIMEOUT_NS UINT64_C(10000000000)
#define TIMEOUT_NS_MAX UINT64_C(3600000000000)
#define HEADERS_MAX 32u
#define HEADER_BYTES_MAX 16384u // of one value

static const char *const signal_words[OTLP_SIGNALS] = {"TRACES", "METRICS"};
static const char *const signal_paths[OTLP_SIGNALS] = {"traces", "metrics"};

static const char *variable(const char *name)
{
	const char *value = getenv(name);

	return value == NULL ? "" : value;
}

// OTEL_EXPORTER_OTLP_<suffix>.
static const char *exporter_variable(const char *suffix)
{
	char name[96];

	(void)snprintf(name, sizeof(name), "OTEL_EXPORTER_OTLP_%s", suffix);
	return variable(name);
}

// OTEL_EXPORTER_OTLP_<SIGNAL>_<suffix>.
static const char *own_variable(enum otlp_signal signal, const char *suffix)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "%s_%s", signal_words[signal], suffix);
	return exporter_variable(name);
}

// The signal's own variable, else the one for all.
static const char *signal_variable(enum otlp_signal signal, const char *suffix)
{
	const char *own = own_variable(signal, suffix);

	return own[0] != '\0' ? own : exporter_variable(suffix);
}

static int digit_of(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 :
	       c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static void percent_decode(char *text)
{
	char *to = text;

	for (const char *from = text; *from != '\0'; from++) {
		int high = *from == '%' ? digit_of(from[1]) : -1;
		int low = high >= 0 ? digit_of(from[2]) : -1;
		if (low >= 0) {
			*to++ = (char)(high << 4 | low);
			from += 2;
		} else {
			*to++ = *from;
		}
	}
	*to = '\0';
}

static void take(const char *from, size_t len, char *ret, size_t size)
{
	while (len != 0 && (*from == ' ' || *from == '\t'))
		from++, len--;
	while (len != 0 && (from[len - 1] == ' ' || from[len - 1] == '\t'))
		len--;
	(void)snprintf(ret, size, "%.*s", (int)len, from);
	percent_decode(ret);
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
		take(item, (size_t)(equals - item), ret_key, key_size);
		take(equals + 1, (size_t)(item + len - equals - 1), ret_value, value_size);
		return true;
	}
	return false;
}

// A signal's own URL is taken as it is; the common one gets the signal's path below its own.
static void set_url(const struct otlp_options *options, enum otlp_signal signal,
		    struct otlp_signal_settings *ret)
{
	const char *base = options->http.url;
	const char *own = signal == OTLP_TRACES ? options->traces_url : options->metrics_url;

	if (base[0] == '\0') {
		base = exporter_variable("ENDPOINT");
		if (own[0] == '\0')
			own = own_variable(signal, "ENDPOINT");
	}
	if (base[0] == '\0')
		base = DEFAULT_ENDPOINT;
	size_t len = strlen(base);
	while (len != 0 && base[len - 1] == '/')
		len--;
	if (own[0] != '\0')
		(void)snprintf(ret->url, sizeof(ret->url), "%s", own);
	else
		(void)snprintf(ret->url, sizeof(ret->url), "%.*s/v1/%s", (int)len, base,
			       signal_paths[signal]);
}

// Those of the environment, unless the configuration has any.
static int set_headers(enum otlp_signal signal, struct otlp_signal_settings *ret)
{
	const char *list = signal_variable(signal, "HEADERS");
	char key[256], value[HEADER_BYTES_MAX];

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

static void set_tls(enum otlp_signal signal, struct tl_http_tls *tls)
{
	if (tls->ca_file[0] == '\0')
		tls->ca_file = signal_variable(signal, "CERTIFICATE");
	if (tls->cert_file[0] == '\0' && tls->key_file[0] == '\0') {
		tls->cert_file = signal_variable(signal, "CLIENT_CERTIFICATE");
		tls->key_file = signal_variable(signal, "CLIENT_KEY");
	}
}

// Milliseconds. False: it is no number.
static bool set_timeout(enum otlp_signal signal, struct tl_http_options *http)
{
	const char *text = signal_variable(signal, "TIMEOUT");
	char *end;

	if (http->timeout_ns != 0)
		return true;
	http->timeout_ns = DEFAULT_TIMEOUT_NS;
	if (text[0] == '\0')
		return true;
	unsigned long ms = strtoul(text, &end, 10);
	if (*end != '\0' || ms == 0 || ms > TIMEOUT_NS_MAX / 1000000)
		return false;
	http->timeout_ns = ms * 1000000;
	return true;
}

static int make_signal(const struct otlp_options *options, enum otlp_signal signal,
		       struct otlp_signal_settings *ret, char *error, uint32_t error_size)
{
	const char *protocol = signal_variable(signal, "PROTOCOL");
	const char *coding = signal_variable(signal, "COMPRESSION");

	ret->http = options->http;
	if (options->http.url[0] == '\0' && protocol[0] != '\0' &&
	    strcmp(protocol, "http/protobuf") != 0) {
		(void)snprintf(error, error_size, "OTEL_EXPORTER_OTLP_PROTOCOL=%.40s: only "
			       "http/protobuf is built in", protocol);
		return -EINVAL;
	}
	if (!set_timeout(signal, &ret->http)) {
		(void)snprintf(error, error_size, "OTEL_EXPORTER_OTLP_TIMEOUT=%.40s: must be "
			       "milliseconds, at most an hour", signal_variable(signal, "TIMEOUT"));
		return -EINVAL;
	}
	ret->is_gzip = options->compression == OTLP_GZIP && strcmp(coding, "none") != 0;
	set_url(options, signal, ret);
	set_tls(signal, &ret->http.tls);
	if (set_headers(signal, ret) < 0) {
		(void)snprintf(error, error_size, "out of memory");
		return -ENOMEM;
	}
	// The environment is held to the rules of the configuration.
	struct tl_http_options whole = ret->http;
	whole.url = ret->url;
	return tl_http_check(&whole, true, error, error_size);
}

int tl_otlp_settings_make(const struct otlp_options *options, struct otlp_settings *ret, char *error,
			  uint32_t error_size)
{
	int rc = 0;

	*ret = (struct otlp_settings) {
		.service_name = variable("OTEL_SERVICE_NAME"),
		.resource_attributes = variable("OTEL_RESOURCE_ATTRIBUTES"),
	};
	for (int signal = 0; rc == 0 && signal < OTLP_SIGNALS; signal++)
		rc = make_signal(options, (enum otlp_signal)signal, &ret->signals[signal], error,
				 error_size);
	return rc;
}

void tl_otlp_settings_fini(struct otlp_settings *settings)
{
	for (uint32_t i = 0; i < OTLP_SIGNALS; i++) {
		free(settings->signals[i].header_items);
		free(settings->signals[i].header_texts);
	}
}
