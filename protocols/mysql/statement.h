// SPDX-License-Identifier: Apache-2.0
// What is kept of a connection's prepared statements, to be shown when they are executed: masked
// text, digest and summary, in a fixed number of bytes. The oldest ones give way.
#pragma once

#include "protocols/common/sql.h"

#define MYSQL_STATEMENT_BYTES 640u
#define MYSQL_STATEMENT_TEXT_MAX 255u
#define MYSQL_STATEMENT_SUMMARY_MAX 60u

struct mysql_statements {
	uint16_t used; // bytes
	uint16_t count;
	uint8_t bytes[MYSQL_STATEMENT_BYTES];
};

struct mysql_statement {
	struct tl_bytes text; // borrows from the store
	struct tl_bytes summary;
	uint64_t digest;
	uint32_t text_len; // it had before it was cut
};

// Keeps the statement that request `key` prepares. Returns how many others gave way.
uint32_t tl_mysql_statement_add(struct mysql_statements *s, uint32_t key, const struct tl_sql *sql,
				struct tl_bytes text);
// The server calls what `key` prepared `id`.
void tl_mysql_statement_name(struct mysql_statements *s, uint32_t key, uint32_t id);
// Finds statement `id`; MYSQL_STATEMENT_LAST is the one that was prepared last.
#define MYSQL_STATEMENT_LAST UINT32_MAX
bool tl_mysql_statement_find(const struct mysql_statements *s, uint32_t id,
			     struct mysql_statement *ret);
void tl_mysql_statement_close(struct mysql_statements *s, uint32_t id);
// Forgets what request `key` prepares, or with `all` everything that has no id yet.
void tl_mysql_statement_forget(struct mysql_statements *s, uint32_t key, bool all);
