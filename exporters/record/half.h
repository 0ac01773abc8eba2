// SPDX-License-Identifier: Apache-2.0
// One half of a record as a JSON object: its time, its sizes and its field values.
#pragma once

#include "base/text.h"
#include "l7/decoder.h"

// Appends it, `null` for a half that was not seen. `side`: TL_FIELD_REQUEST or TL_FIELD_RESPONSE.
// False on no memory (nothing is appended).
bool tl_record_half(struct tl_text *text, const struct tl_decoder *decoder,
		    const struct tl_half *half, struct tl_bytes tail, enum tl_field_flag side);

// The same by the library's objects, ten times as dear, for values that don't come as they mostly
// do. Of a half that was seen.
bool tl_record_half_by_tree(struct tl_text *text, const struct tl_decoder *decoder,
			    const struct tl_half *half, struct tl_bytes tail);
