// SPDX-License-Identifier: Apache-2.0
// Compressed connections: the layer of frames below the packets.
#pragma once

#include "state.h"

// Bytes to be seen to tell a frame from a packet, of which there are at least a packet's head.
uint32_t tl_mysql_frame_look(struct tl_bytes view);
// A frame, and at its start an answer's or a command's first packet where that shows.
bool tl_mysql_is_frame(enum tl_lane lane, struct tl_bytes view);
// Such a frame and nothing but frames behind it, the last one whole with `is_exact`.
bool tl_mysql_is_frames(enum tl_lane lane, struct tl_bytes view, bool is_exact);

// What follows on both lanes are frames.
void tl_mysql_turn_packed(struct tl_ctx *ctx, struct mysql *my);
struct tl_step tl_mysql_packed_step(struct tl_ctx *ctx, struct mysql *my, enum tl_lane lane,
				    const struct tl_view *view);
void tl_mysql_packed_gap(struct tl_ctx *ctx, struct mysql *my, enum tl_lane lane, uint64_t lost,
			 uint64_t offset);
uint32_t tl_mysql_packed_resync(const struct mysql *my, enum tl_lane lane, struct tl_bytes view);
