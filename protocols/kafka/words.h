// SPDX-License-Identifier: Apache-2.0
// Error codes and codecs by name.
#pragma once

#include "l7/roundtrip.h"

struct kafka_error {
	const char *name; // NULL: no such code
	uint8_t status;   // enum tl_status
};

#define KAFKA_ERROR_LEAST (-1)
#define KAFKA_UNSUPPORTED_VERSION 35

// NULL for a code that the table doesn't have.
const struct kafka_error *tl_kafka_error(int64_t code);
// Of an error code: 0 is ok, an unknown one the server's.
enum tl_status tl_kafka_status(int64_t code);
const char *tl_kafka_codec(uint8_t codec);
