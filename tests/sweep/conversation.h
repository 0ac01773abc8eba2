// SPDX-License-Identifier: Apache-2.0
// Conversations as text: what two hosts say in turn, and the records it should give. One file
// holds several, in this form
//
//	conversation: NAME
//	C: bytes of the client with \r \n \t \\ \xHH escapes
//	C+: the same, sent without waiting for what the server said since the client's last turn
//	S: bytes of the server (S+: likewise)
//	C* N: TEXT   N times TEXT
//	close: fin | server | reset | open
//	port: 80            server port
//	joins: no           holds what looks like a start and is none: no late joins
//	joins: partly       what was said before a late join or a hole may leave values "<unknown>"
//	orphans: outer   requests carry another protocol, which responses alone don't say
//	option: PROTOCOL.key=value   lists take commas
//	= STATUS key=value ...   a record, in order of completion; "quotes" where blanks are needed
//
// A turn that begins with blanks goes on with the one before. `#` begins a comment line.
#pragma once

#include "base/bytes.h"
#include "l7/decoder.h"

#include <stdio.h>

#define TURNS_MAX 64u
#define EXPECTED_MAX 64u
#define OPTIONS_MAX 16u
#define CONVERSATION_BYTES_MAX (256u * 1024u)

enum closing { CLOSE_FIN, CLOSE_SERVER, CLOSE_RESET, CLOSE_OPEN };

struct turn {
	uint8_t lane;       // enum tl_lane
	bool is_eager;      // does not wait for the other lane
	uint32_t offset;    // in the conversation's bytes
	uint32_t len;
	uint64_t lane_offset; // in its lane
	uint32_t needs;     // turns of the other lane that come first
};

struct conversation {
	char *name;
	uint8_t *bytes; // of all turns, in file order
	uint32_t len;
	struct turn turns[TURNS_MAX];
	uint32_t turn_count;
	char *expected[EXPECTED_MAX];
	uint32_t expected_count;
	char *options[OPTIONS_MAX]; // "key=value"
	uint32_t option_count;
	uint16_t port;
	uint8_t closing;
	bool hides_starts;
	bool refers_back;
	bool is_carried;
};

// The next conversation of `file`, NULL at its end. Exits with a message that names the line on
// bad syntax: this is a tool. `line` counts lines.
struct conversation *conversation_read(FILE *file, const char *path, uint32_t *line);
void conversation_free(struct conversation *c);
// Total bytes of a lane.
uint64_t conversation_lane_len(const struct conversation *c, uint8_t lane);
