// SPDX-License-Identifier: Apache-2.0
// Header names that mean something to us. A name is told once, when it is read: entries of the tables
// keep what it is.
#pragma once

#include "base/bytes.h"

enum http2_name {
	HTTP2_NAME_OTHER,
	HTTP2_NAME_METHOD, // from here on pseudo-headers
	HTTP2_NAME_SCHEME,
	HTTP2_NAME_AUTHORITY,
	HTTP2_NAME_PATH,
	HTTP2_NAME_STATUS,
	HTTP2_NAME_OTHER_PSEUDO,
	HTTP2_NAME_HOST, // from here on others
	HTTP2_NAME_SERVER,
	HTTP2_NAME_USER_AGENT,
	HTTP2_NAME_CONTENT_TYPE,
	HTTP2_NAME_CONTENT_ENCODING,
	HTTP2_NAME_REQUEST_ID,
	HTTP2_NAME_TRACEPARENT,
	HTTP2_NAME_TRACESTATE,
	HTTP2_NAME_B3,
	HTTP2_NAME_B3_TRACE_ID,
	HTTP2_NAME_B3_SPAN_ID,
	HTTP2_NAME_B3_SAMPLED,
	HTTP2_NAME_TRACE_BIN,
	HTTP2_NAME_GRPC_TIMEOUT,
	HTTP2_NAME_GRPC_ENCODING,
	HTTP2_NAME_GRPC_STATUS,
	HTTP2_NAME_GRPC_MESSAGE,
};

static inline bool tl_http2_is_pseudo(enum http2_name name)
{
	return name >= HTTP2_NAME_METHOD && name <= HTTP2_NAME_OTHER_PSEUDO;
}

// Names are in lower case, RFC 9113 section 8.2; others are read all the same.
enum http2_name tl_http2_name(struct tl_bytes name);
