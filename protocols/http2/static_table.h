// SPDX-License-Identifier: Apache-2.0
// RFC 7541, appendix A.
#pragma once

#include "names.h"

#define ROW_OF(tag, name, value) \
	{{(const uint8_t *)(name), sizeof(name) - 1}, {(const uint8_t *)(value), sizeof(value) - 1}, \
	 HTTP2_NAME_##tag}
#define ROW(name, value) ROW_OF(OTHER, name, value)

static const struct {
	struct tl_bytes name;
	struct tl_bytes value;
	uint8_t tag; // enum http2_name
} static_table[] = {
	ROW("", ""),
	ROW_OF(AUTHORITY, ":authority", ""),
	ROW_OF(METHOD, ":method", "GET"),
	ROW_OF(METHOD, ":method", "POST"),
	ROW_OF(PATH, ":path", "/"),
	ROW_OF(PATH, ":path", "/index.html"),
	ROW_OF(SCHEME, ":scheme", "http"),
	ROW_OF(SCHEME, ":scheme", "https"),
	ROW_OF(STATUS, ":status", "200"),
	ROW_OF(STATUS, ":status", "204"),
	ROW_OF(STATUS, ":status", "206"),
	ROW_OF(STATUS, ":status", "304"),
	ROW_OF(STATUS, ":status", "400"),
	ROW_OF(STATUS, ":status", "404"),
	ROW_OF(STATUS, ":status", "500"),
	ROW("accept-charset", ""),
	ROW("accept-encoding", "gzip, deflate"),
	ROW("accept-language", ""),
	ROW("accept-ranges", ""),
	ROW("accept", ""),
	ROW("access-control-allow-origin", ""),
	ROW("age", ""),
	ROW("allow", ""),
	ROW("authorization", ""),
	ROW("cache-control", ""),
	ROW("content-disposition", ""),
	ROW_OF(CONTENT_ENCODING, "content-encoding", ""),
	ROW("content-language", ""),
	ROW("content-length", ""),
	ROW("content-location", ""),
	ROW("content-range", ""),
	ROW_OF(CONTENT_TYPE, "content-type", ""),
	ROW("cookie", ""),
	ROW("date", ""),
	ROW("etag", ""),
	ROW("expect", ""),
	ROW("expires", ""),
	ROW("from", ""),
	ROW_OF(HOST, "host", ""),
	ROW("if-match", ""),
	ROW("if-modified-since", ""),
	ROW("if-none-match", ""),
	ROW("if-range", ""),
	ROW("if-unmodified-since", ""),
	ROW("last-modified", ""),
	ROW("link", ""),
	ROW("location", ""),
	ROW("max-forwards", ""),
	ROW("proxy-authenticate", ""),
	ROW("proxy-authorization", ""),
	ROW("range", ""),
	ROW("referer", ""),
	ROW("refresh", ""),
	ROW("retry-after", ""),
	ROW_OF(SERVER, "server", ""),
	ROW("set-cookie", ""),
	ROW("strict-transport-security", ""),
	ROW("transfer-encoding", ""),
	ROW_OF(USER_AGENT, "user-agent", ""),
	ROW("vary", ""),
	ROW("via", ""),
	ROW("www-authenticate", ""),
};

#undef ROW
#undef ROW_OF
