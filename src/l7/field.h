// SPDX-License-Identifier: Apache-2.0
// Field tables: how everybody reads a protocol's values without knowing the protocol. JSON
// members, Prometheus labels, OpenTelemetry attributes, docs/protocols and `tapline protocols`
// all come from the one table beside the decoder.
#pragma once

#include "base/bytes.h"

enum tl_field_type {
	TL_FIELD_TEXT,    // UTF-8 expected; invalid bytes are replaced when shown
	TL_FIELD_BYTES,   // shown as {"base64":"..."}
	TL_FIELD_UINT,    // uint64_t
	TL_FIELD_INT,     // int64_t
	TL_FIELD_BOOL,    // uint64_t 0 or 1
	TL_FIELD_REAL,    // double
	TL_FIELD_MAP,     // one name and one text per value: {"name":"text"}; repeats make a list
	TL_FIELD_OBJECTS, // a list of objects; their members are the fields whose parent is this one
};

enum tl_cardinality {
	TL_CARDINALITY_LOW,    // bounded by the protocol: methods, codes, types
	TL_CARDINALITY_MIDDLE, // bounded by the site: hosts, queues, schemas; label on request
	TL_CARDINALITY_HIGH,   // unbounded: paths, texts, ids; a label only as template or digest
};

enum tl_field_flag {
	TL_FIELD_REPEATED = 1u << 0,      // may occur several times: a JSON list
	TL_FIELD_DEFAULT_LABEL = 1u << 1, // a label unless the configuration says otherwise
	TL_FIELD_REQUEST = 1u << 2,       // may occur in the request
	TL_FIELD_RESPONSE = 1u << 3,      // may occur in the response
	TL_FIELD_SUMMARY = 1u << 4,       // shown in the text line of `watch`, in table order
	TL_FIELD_SENSITIVE = 1u << 5,     // left out or masked with redaction on
	TL_FIELD_WIDE = 1u << 6,          // an integer that may exceed 2^53: a string in JSON
	// Numbers that are a metric of their own, <protocol>_<request|response>_<name>:
	TL_FIELD_COUNTER = 1u << 7,       // summed up
	TL_FIELD_HISTOGRAM = 1u << 8,     // each value enters a histogram
};

// A field's id is its index in the protocol's table.
struct tl_field {
	const char *name;      // record member
	const char *label;     // Prometheus label, packetd's word where it had one; NULL: never a label
	const char *attribute; // OpenTelemetry attribute, NULL if none
	uint8_t type;          // enum tl_field_type
	uint8_t cardinality;   // enum tl_cardinality
	uint16_t flags;        // enum tl_field_flag
	uint8_t parent;        // TL_FIELD_TOP, or the id of the TL_FIELD_OBJECTS field it belongs to
	uint16_t max;          // longest value kept, in bytes (0: TL_FIELD_BYTES_DEFAULT)
	const char *help;      // one sentence
	const char *metric;    // last part of the metric's name, NULL: `name`
	const char *also;      // another label, packetd's, chosen by <side>.<also>; NULL: none
};

#define TL_FIELD_TOP 0xff
#define TL_FIELDS_MAX 128u         // fields per protocol
#define TL_FIELD_BYTES_DEFAULT 256u // longest value kept where the table names none

// Values lie one after another in a message's tail, each behind this head and padded to 4.
// UINT, INT, BOOL and REAL have 8 bytes. MAP has the name, a NUL, the text. An OBJECTS value has
// no bytes: it opens a new object, and member values that follow belong to it.
struct tl_value_head {
	uint8_t field;
	uint8_t reserved;
	uint16_t len;       // bytes of the value that follow
	uint32_t full_len;  // bytes it had on the wire: more than len when it was cut
};

struct tl_value {
	uint8_t field;
	struct tl_bytes bytes; // borrows from the record
	uint32_t full_len;
};

// Walks a tail. Start with *at = 0; false at the end.
static inline bool tl_value_next(struct tl_bytes tail, uint32_t *at, struct tl_value *ret_value)
{
	struct tl_value_head head;

	if (tail.len < sizeof(head) || *at > tail.len - sizeof(head))
		return false;
	memcpy(&head, tail.ptr + *at, sizeof(head));
	if (head.len > tail.len - *at - sizeof(head))
		return false;
	*ret_value = (struct tl_value) {
		.field = head.field,
		.bytes = tl_bytes(tail.ptr + *at + sizeof(head), head.len),
		.full_len = head.full_len,
	};
	*at += (uint32_t)sizeof(head) + ((head.len + 3u) & ~3u);
	return true;
}

static inline uint64_t tl_value_uint(const struct tl_value *value)
{
	uint64_t number = 0;
	if (value->bytes.len == sizeof(number))
		memcpy(&number, value->bytes.ptr, sizeof(number));
	return number;
}

static inline double tl_value_real(const struct tl_value *value)
{
	double number = 0;
	if (value->bytes.len == sizeof(number))
		memcpy(&number, value->bytes.ptr, sizeof(number));
	return number;
}
