// SPDX-License-Identifier: Apache-2.0
// What is kept of a connection's prepared statements, to be shown when they are executed: masked
// text, digest and summary, in a fixed number of bytes. Those not used for longest give way.
#pragma once

#include "protocols/common/sql.h"

#define MYSQL_STATEMENT_BYTES 16128u
#define MYSQL_STATEMENT_TEXT_MAX 512u
#define MYSQL_STATEMENT_SUMMARY_MAX 60u
#define MYSQL_STATEMENT_HINTS 64u // servers count ids upwards: most are found at once

// The decoder's room; all zero is empty.
struct mysql_statements {
	uint32_t used;  // bytes
	uint32_t clock; // of uses
	uint16_t hints[MYSQL_STATEMENT_HINTS]; // offset + 1 of an entry, by id
	uint8_t bytes[MYSQL_STATEMENT_BYTES];
};

struct mysql_statement {
	struct tl_bytes text; // borrows from the store
	struct tl_bytes summary;
	uint64_t digest;
	uint32_t text_full; // bytes it had before it was cut
};

// Keeps the statement that request `key` prepares. Returns how many others gave way.
uint32_t tl_mysql_statement_add(struct mysql_statements *s, uint32_t key, const struct tl_sql *sql,
				struct tl_bytes text);
// The server calls what `key` prepared `id`.
void tl_mysql_statement_name(struct mysql_statements *s, uint32_t key, uint32_t id);
// Finds statement `id`, which counts as a use; MYSQL_STATEMENT_LAST is the one prepared last.
#define MYSQL_STATEMENT_LAST UINT32_MAX
bool tl_mysql_statement_find(struct mysql_statements *s, uint32_t id, struct mysql_statement *ret);
void tl_mysql_statement_close(struct mysql_statements *s, uint32_t id);
// Forgets what request `key` prepares.
void tl_mysql_statement_forget(struct mysql_statements *s, uint32_t key);
void tl_mysql_statement_clear(struct mysql_statements *s);
// Forgets everything that has no id yet.
void tl_mysql_statement_forget_unnamed(struct mysql_statements *s);
