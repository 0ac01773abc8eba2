// SPDX-License-Identifier: Apache-2.0
// Which answer belongs to which command once something was lost.
//
// A client that waits for each answer has had the one before when it sends a command: whatever is
// still open then was answered in the hole. Where commands are pipelined nobody can tell how many
// answers are still owed: a client that keeps a window full looks like one that waits, some answers
// late. Then no pairs are made until a command comes after a silence (tl_after_silence()).
// Of a client that is not known yet answers and commands are counted: one that waits has the same
// highest surplus of answers whenever it sends. Once that was seen often enough, pairing goes on.
#include "state.h"

#define DRIFT_NONE INT32_MIN
#define DRIFT_HITS 8u // times that the highest surplus must be seen

void tl_mysql_lose_track(struct tl_ctx *ctx, struct mysql *my)
{
	tl_cancel_all(ctx, TL_STATUS_UNANSWERED, TL_REASON_GAP);
	if (my->has_statements)
		tl_mysql_statement_forget_unnamed(tl_room(ctx));
	memset(&my->result, 0, sizeof(my->result));
	my->outstanding = 0;
	my->is_answering = false;
	my->any_sequence = false;
	my->in_infile = false;
	my->may_trail = false;
	// What a client does of which the first commands were lost isn't known. Inside compressed
	// frames, where it could not be found out, it is taken to wait as such clients do.
	bool is_unknown = !my->waits && !my->is_inside && (my->is_greeted || my->has_login);
	my->is_mute = my->pipelines || my->may_pipeline || is_unknown;
	my->phase = my->is_mute ? MYSQL_PHASE_ROWS : MYSQL_PHASE_FIRST;
	my->drift = 0;
	my->drift_max = DRIFT_NONE;
	my->drift_hits = 0;
}

bool tl_mysql_finds_track(struct mysql *my, bool is_silent)
{
	if (my->drift > my->drift_max) {
		my->drift_max = my->drift;
		my->drift_hits = 0;
	}
	my->drift_hits = (uint8_t)(my->drift_hits +
				   (my->drift == my->drift_max && my->drift_hits < DRIFT_HITS));
	// Inside compressed frames numbers don't tell where an answer begins.
	bool waits = my->drift_hits >= DRIFT_HITS && !my->pipelines && !my->is_inside;
	if (waits || is_silent) {
		my->is_mute = false;
		my->phase = MYSQL_PHASE_FIRST;
		return true;
	}
	my->drift -= my->drift > DRIFT_NONE;
	return false;
}

void tl_mysql_count_answer(const struct mysql_call *call)
{
	struct mysql *my = call->my;

	// Behind 0 it is the number's overflow within a long answer.
	if (call->sequence == 1 && my->sequence != 1 && my->drift < INT32_MAX)
		my->drift++;
}
