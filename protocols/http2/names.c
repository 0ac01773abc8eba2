// SPDX-License-Identifier: Apache-2.0
#include "names.h"

#include "base/check.h"

#define NAME_LENGTH_MAX 16u

struct row {
	const char *text;
	enum http2_name name;
};

#define ROW(text, name) {text, HTTP2_NAME_##name}

static const struct row rows[] = {
	ROW("b3", B3),
	ROW("host", HOST),
	ROW(":path", PATH),
	ROW("server", SERVER),
	ROW(":method", METHOD),
	ROW(":scheme", SCHEME),
	ROW(":status", STATUS),
	ROW(":authority", AUTHORITY),
	ROW("user-agent", USER_AGENT),
	ROW("tracestate", TRACESTATE),
	ROW("traceparent", TRACEPARENT),
	ROW("x-b3-spanid", B3_SPAN_ID),
	ROW("grpc-status", GRPC_STATUS),
	ROW("content-type", CONTENT_TYPE),
	ROW("grpc-timeout", GRPC_TIMEOUT),
	ROW("grpc-message", GRPC_MESSAGE),
	ROW("x-request-id", REQUEST_ID),
	ROW("x-b3-traceid", B3_TRACE_ID),
	ROW("x-b3-sampled", B3_SAMPLED),
	ROW("grpc-encoding", GRPC_ENCODING),
	ROW("grpc-trace-bin", TRACE_BIN),
	ROW("content-encoding", CONTENT_ENCODING),
};

// Of the rows, which are sorted by it: where each length begins.
static const uint8_t first_row[NAME_LENGTH_MAX + 2] = {
	0, 0, 0, 1, 1, 2, 3, 4, 7, 7, 7, 10, 13, 19, 20, 21, 21, 22,
};
_Static_assert(TL_COUNT_OF(rows) == 22, "the index counts them");

enum http2_name tl_http2_name(struct tl_bytes name)
{
	uint32_t length = name.len <= NAME_LENGTH_MAX ? name.len : 0;

	for (uint32_t i = first_row[length]; i < first_row[length + 1]; i++)
		if (tl_is_word(name.ptr, rows[i].text, length))
			return rows[i].name;
	return name.len != 0 && name.ptr[0] == ':' ? HTTP2_NAME_OTHER_PSEUDO : HTTP2_NAME_OTHER;
}
