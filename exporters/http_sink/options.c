// SPDX-License-Identifier: Apache-2.0
#include "exporters/http_sink/http_sink.h"

#include "base/check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define TIMEOUT_NS_MIN UINT64_C(100000000)

#define ROW(owner, member, key_text, row_type, default_value, ...) \
	{.key = key_text, .type = row_type, .offset = offsetof(struct owner, member), \
	 .value = default_value, __VA_ARGS__}

const struct tl_option tl_http_basic_auth_rows[] = {
	ROW(tl_http_basic_auth, username, "username", TL_OPTION_TEXT, "\"\"",
	    .help = "User, empty for no basic authentication."),
	ROW(tl_http_basic_auth, password, "password", TL_OPTION_SECRET, "\"\"",
	    .help = "Password."),
	ROW(tl_http_basic_auth, password_file, "password_file", TL_OPTION_TEXT, "\"\"",
	    .help = "File with the password, read anew for each request."),
	TL_OPTION_END,
};

const struct tl_option tl_http_tls_rows[] = {
	ROW(tl_http_tls, ca_file, "ca_file", TL_OPTION_TEXT, "\"\"",
	    .help = "Certificates (PEM) that the server's must lead to; empty takes the system's."),
	ROW(tl_http_tls, cert_file, "cert_file", TL_OPTION_TEXT, "\"\"",
	    .help = "Our certificate (PEM), for servers that ask for one."),
	ROW(tl_http_tls, key_file, "key_file", TL_OPTION_TEXT, "\"\"",
	    .help = "Its key (PEM)."),
	ROW(tl_http_tls, insecure_skip_verify, "insecure_skip_verify", TL_OPTION_BOOL, "false",
	    .help = "Take any certificate: for tests only."),
	TL_OPTION_END,
};

const struct tl_option tl_http_backoff_rows[] = {
	ROW(tl_http_backoff, min_ns, "min", TL_OPTION_DURATION, "1s", .min = 1000000,
	    .max = UINT64_C(3600000000000), .help = "Limit of the first pause."),
	ROW(tl_http_backoff, max_ns, "max", TL_OPTION_DURATION, "1m", .min = 1000000,
	    .max = UINT64_C(3600000000000), .help = "Limit of all pauses."),
	TL_OPTION_END,
};

// What the protocols define themselves; changing them makes requests that nobody understands.
static bool is_ours(const char *header)
{
	static const char *const names[] = {
		"Content-Type", "Content-Encoding", "Content-Length", "Transfer-Encoding", "Host",
		"Connection", "Expect", "User-Agent", "X-Prometheus-Remote-Write-Version",
	};

	for (size_t i = 0; i < TL_COUNT_OF(names); i++)
		if (strcasecmp(header, names[i]) == 0)
			return true;
	return false;
}

static bool is_token(const char *text)
{
	return *text != '\0' &&
	       strspn(text, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
			    "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == strlen(text);
}

__attribute__((format(printf, 3, 4))) static int wrong(char *error, uint32_t error_size,
							  const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(error, error_size, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

static int check_url(const char *url, char *error, uint32_t error_size)
{
	const char *host = strncmp(url, "http://", 7) == 0  ? url + 7 :
			   strncmp(url, "https://", 8) == 0 ? url + 8 : NULL;

	if (host == NULL || strcspn(host, "/?#") == 0)
		return wrong(error, error_size, "url: must be http://HOST... or https://HOST...");
	if (memchr(host, '@', strcspn(host, "/?#")) != NULL)
		return wrong(error, error_size, "url: must be without user and password, these go "
			     "into basic_auth");
	if (strlen(url) > TL_HTTP_URL_BYTES_MAX)
		return wrong(error, error_size, "url: must be at most %u bytes", TL_HTTP_URL_BYTES_MAX);
	if (strpbrk(url, " \t\r\n") != NULL)
		return wrong(error, error_size, "url: must be without spaces");
	return 0;
}

static int check_headers(const struct tl_http_options *o, char *error, uint32_t error_size)
{
	for (uint32_t i = 0; i < o->headers.count; i++) {
		const char *name = o->headers.items[i].key;
		if (!is_token(name))
			return wrong(error, error_size, "headers: %.60s is no header name", name);
		if (is_ours(name))
			return wrong(error, error_size, "headers: %.60s is set by the protocol", name);
		if (strpbrk(o->headers.items[i].value, "\r\n") != NULL)
			return wrong(error, error_size, "headers: %.60s must be one line", name);
	}
	return 0;
}

int tl_http_check(const struct tl_http_options *o, bool url_needed, char *error,
		  uint32_t error_size)
{
	int ways = (*o->basic_auth.username != '\0') + (*o->bearer_token != '\0') +
		   (*o->bearer_token_file != '\0');
	int rc = url_needed || *o->url != '\0' ? check_url(o->url, error, error_size) : 0;

	if (rc == 0)
		rc = check_headers(o, error, error_size);
	if (rc < 0)
		return rc;
	if (*o->name == '\0' || strspn(o->name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				       "0123456789_-") != strlen(o->name))
		return wrong(error, error_size, "name: must be letters, digits, - and _");
	if (ways > 1)
		return wrong(error, error_size, "only one of basic_auth, bearer_token and "
			     "bearer_token_file can be used");
	if (*o->basic_auth.password != '\0' && *o->basic_auth.password_file != '\0')
		return wrong(error, error_size, "basic_auth: only one of password and password_file "
			     "can be used");
	if ((*o->tls.cert_file == '\0') != (*o->tls.key_file == '\0'))
		return wrong(error, error_size, "tls: cert_file and key_file go together");
	if (o->timeout_ns != 0 && o->timeout_ns < TIMEOUT_NS_MIN)
		return wrong(error, error_size, "timeout: must be at least 100ms");
	if (o->backoff.max_ns < o->backoff.min_ns)
		return wrong(error, error_size, "backoff: max must not be below min");
	return 0;
}

void tl_http_public_url(const char *url, char *ret, size_t size)
{
	const char *host = strstr(url, "://");
	size_t len = strcspn(url, "?#");

	host = host == NULL ? url : host + 3;
	const char *at = memchr(host, '@', strcspn(host, "/?#"));
	if (at == NULL)
		(void)snprintf(ret, size, "%.*s", (int)len, url);
	else
		(void)snprintf(ret, size, "%.*s%.*s", (int)(host - url), url,
			       (int)(url + len - at - 1), at + 1);
}
