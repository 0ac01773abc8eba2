// SPDX-License-Identifier: Apache-2.0
// An engine that only counts, in the place of src/engine: what the pipeline hands to it can then
// be compared with what was sent, packet by packet, whatever the number of workers. It makes a
// record of each TCP or UDP packet: connection_id is its digest, serial the one without time.
#pragma once

#include "engine/engine.h"

// What one packet comes to: equal for equal packets, meant to be added up over all.
uint64_t double_digest(const struct tl_packet *packet, const struct tl_headers *headers,
		       uint64_t time_ns);
