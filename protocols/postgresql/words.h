// SPDX-License-Identifier: Apache-2.0
// Tables of words: commands, SQLSTATE classes, fields of an error.
#pragma once

#include "base/bytes.h"
#include "l7/roundtrip.h"

// Commands that are no SQL verb; verbs follow.
enum pg_command {
	PG_COMMAND_OTHER,
	PG_COMMAND_EMPTY, // a query without a statement
	PG_COMMAND_STARTUP,
	PG_COMMAND_CANCEL,
	PG_COMMAND_FUNCTION,
	PG_COMMAND_PREPARE,
	PG_COMMAND_DESCRIBE,
	PG_COMMAND_BIND,
	PG_COMMAND_CLOSE,
	PG_COMMAND_EXECUTE, // of a statement that is not known
	PG_COMMAND_NOTIFY,
	PG_COMMAND_FIRST_VERB,
};

// The word of a command, "OTHER" for what is none.
struct tl_bytes tl_pg_command(uint8_t command);
// The command of a statement that begins with `verb` (upper case).
uint8_t tl_pg_command_of(struct tl_bytes verb);

enum tl_status tl_pg_status(struct tl_bytes sqlstate);

// What the byte in front of a field of ErrorResponse stands for; NULL: unknown.
const char *tl_pg_error_word(uint8_t code);
// Can it hold values of rows or parameters?
bool tl_pg_error_is_sensitive(uint8_t code);

// "idle", "transaction", "failed"; NULL for what ReadyForQuery can't say.
const char *tl_pg_state_word(uint8_t state);

// The number of rows that a command tag ends with ("INSERT 0 5"), 0 if there is none.
uint64_t tl_pg_tag_rows(struct tl_bytes tag);
// The words of a command tag without its numbers: "CREATE TABLE".
struct tl_bytes tl_pg_tag_words(struct tl_bytes tag);
