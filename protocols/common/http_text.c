// SPDX-License-Identifier: Apache-2.0
// The pure half: targets, routes, names.
#include "http.h"

#include "base/check.h"

static bool is_scheme_char(uint8_t c)
{
	uint8_t lower = tl_ascii_lower(c);

	return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '-' ||
	       c == '.';
}

// Index behind "scheme://", 0 if the target is not in absolute form.
static uint32_t authority_at(struct tl_bytes target)
{
	uint32_t i = 0;
	if (target.len == 0 || target.ptr[0] == '/')
		return 0;
	while (i < target.len && i < 16 && is_scheme_char(target.ptr[i]))
		i++;
	if (i == 0 || target.len < i + 3 || memcmp(target.ptr + i, "://", 3) != 0)
		return 0;
	return i + 3;
}

// Index of the end of the authority that begins at `from`.
static uint32_t authority_end(struct tl_bytes target, uint32_t from)
{
	while (from < target.len && target.ptr[from] != '/' && target.ptr[from] != '?')
		from++;
	return from;
}

// Index of the host in an authority: behind the last '@'.
static uint32_t host_at(struct tl_bytes target, uint32_t from, uint32_t end)
{
	uint32_t at = from;
	for (uint32_t i = from; i < end; i++)
		if (target.ptr[i] == '@')
			at = i + 1;
	return at;
}

void tl_http_split_target(struct tl_bytes target, struct tl_bytes *ret_host, struct tl_bytes *ret_rest)
{
	uint32_t from = authority_at(target);

	*ret_host = tl_bytes(NULL, 0);
	*ret_rest = target;
	if (from == 0)
		return;
	uint32_t end = authority_end(target, from);
	uint32_t host = host_at(target, from, end);
	*ret_host = tl_bytes(target.ptr + host, end - host);
	*ret_rest = end < target.len ? tl_bytes_from(target, end) : tl_bytes_of("/");
}

static bool is_secret_key(struct tl_bytes key, const struct tl_text_list *more)
{
	static const char *const keys[] = {
		"token", "access_token", "refresh_token", "id_token", "auth_token", "csrf_token",
		"password", "passwd", "pwd", "pass", "passphrase", "secret", "client_secret", "key",
		"api_key", "apikey", "api-key", "access_key", "private_key", "code", "signature",
		"sig", "sign", "auth", "authorization", "session", "sessionid", "session_id", "sid",
		"jwt", "credential", "credentials", "otp", "pin", "x-amz-signature",
		"x-amz-credential", "x-amz-security-token", "x-goog-signature", "x-goog-credential",
	};
	if (key.len == 0)
		return false;
	// The first letter rules out nearly all of them.
	const uint8_t first = tl_ascii_lower(key.ptr[0]);
	for (uint32_t i = 0; i < TL_COUNT_OF(keys); i++)
		if (first == (uint8_t)keys[i][0] && tl_bytes_is_nocase(key, keys[i]))
			return true;
	for (uint32_t i = 0; more != NULL && i < more->count; i++)
		if (tl_bytes_is_nocase(key, more->items[i]))
			return true;
	return false;
}

struct writer {
	uint8_t *at;
	uint32_t left;
	bool has_masked;
};

static void put(struct writer *w, struct tl_bytes b)
{
	uint32_t len = b.len < w->left ? b.len : w->left;
	if (len == 0)
		return;
	memcpy(w->at, b.ptr, len);
	w->at += len;
	w->left -= len;
}

static void put_mask(struct writer *w)
{
	put(w, tl_bytes_of("***"));
	w->has_masked = true;
}

// One "key=value" of a query.
static void put_parameter(struct writer *w, struct tl_bytes parameter, const struct tl_text_list *more)
{
	uint32_t equals = tl_bytes_find(parameter, '=', 0);

	if (equals == TL_BYTES_NONE || !is_secret_key(tl_bytes_first(parameter, equals), more)) {
		put(w, parameter);
		return;
	}
	put(w, tl_bytes_first(parameter, equals + 1));
	put_mask(w);
}

uint32_t tl_http_mask(struct tl_bytes target, const struct tl_text_list *more_keys, uint8_t *ret,
		   uint32_t size)
{
	struct writer w = {.at = ret, .left = size};
	uint32_t from = authority_at(target);

	if (from != 0) {
		uint32_t host = host_at(target, from, authority_end(target, from));
		put(&w, tl_bytes_first(target, from));
		if (host != from) {
			put_mask(&w);
			put(&w, tl_bytes_of("@"));
		}
		from = host;
	}
	uint32_t query = tl_bytes_find(target, '?', from);
	if (query == TL_BYTES_NONE) {
		put(&w, tl_bytes_from(target, from));
		return w.has_masked ? size - w.left : 0;
	}
	put(&w, tl_bytes(target.ptr + from, query + 1 - from));
	struct tl_bytes rest = tl_bytes_from(target, query + 1);
	while (rest.len != 0 && w.left != 0) {
		uint32_t end = 0;
		while (end < rest.len && rest.ptr[end] != '&' && rest.ptr[end] != ';')
			end++;
		put_parameter(&w, tl_bytes_first(rest, end), more_keys);
		if (end < rest.len)
			put(&w, tl_bytes(rest.ptr + end, 1));
		rest = tl_bytes_from(rest, end + 1);
	}
	return w.has_masked ? size - w.left : 0;
}

bool tl_http_is_secret_header(struct tl_bytes name)
{
	static const char *const names[] = {"authorization", "proxy-authorization", "cookie",
					    "set-cookie",    "x-api-key",	    "x-auth-token",
					    "x-csrf-token",  "x-amz-security-token"};
	for (uint32_t i = 0; i < TL_COUNT_OF(names); i++)
		if (tl_bytes_is_nocase(name, names[i]))
			return true;
	return false;
}

bool tl_http_route_matches(const char *pattern, struct tl_bytes path)
{
	uint32_t at = 0;

	while (*pattern != '\0') {
		if (pattern[0] == '*' && pattern[1] == '\0')
			return true;
		if (pattern[0] == ':' && at != 0 && path.ptr[at - 1] == '/') {
			uint32_t slash = tl_bytes_find(path, '/', at);
			uint32_t end = slash == TL_BYTES_NONE ? path.len : slash;
			if (end == at)
				return false; // an empty segment is no value
			at = end;
			while (*pattern != '\0' && *pattern != '/')
				pattern++;
			continue;
		}
		if (at >= path.len || path.ptr[at] != (uint8_t)*pattern)
			return false;
		at++;
		pattern++;
	}
	return at == path.len;
}

bool tl_http_is_text_type(struct tl_bytes content_type)
{
	struct tl_bytes type =
		tl_bytes_trim(tl_bytes_first(content_type, tl_bytes_find(content_type, ';', 0)));

	if (type.len > 5 && tl_bytes_is_nocase(tl_bytes_first(type, 5), "text/"))
		return true;
	if (type.len > 5 && tl_bytes_is_nocase(tl_bytes_from(type, type.len - 5), "+json"))
		return true;
	return tl_bytes_is_nocase(type, "application/json") ||
	       tl_bytes_is_nocase(type, "application/x-ndjson");
}
