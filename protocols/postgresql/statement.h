// SPDX-License-Identifier: Apache-2.0
// Prepared statements and portals of a connection: what Execute shows of a Parse that was earlier.
// A fixed store, oldest out first.
#pragma once

#include "base/bytes.h"

#define PG_STORE_BYTES 544u
#define PG_STORED_TEXT_BYTES_MAX 120u   // of a statement's text
#define PG_STORED_SUMMARY_BYTES_MAX 40u
#define PG_PORTALS_MAX 6u

// Names are kept as hashes. 0 stands for the unnamed statement, and portal.
#define PG_UNNAMED 0u

struct pg_portal {
	uint32_t name;
	uint32_t statement;
};

struct pg_statements {
	uint16_t used;        // bytes of `bytes`
	uint8_t portal_count;
	uint8_t portal_next;  // replaced next when all are taken
	struct pg_portal portals[PG_PORTALS_MAX];
	uint8_t bytes[PG_STORE_BYTES]; // heads with their text and summary, oldest first
};

// A statement as it is kept and shown.
struct pg_statement {
	uint64_t digest;
	struct tl_bytes text;
	struct tl_bytes summary;
	uint8_t command; // index for tl_pg_command()
	bool is_cut;     // the text is only a beginning
};

uint32_t tl_pg_name_id(struct tl_bytes name);
// Keeps `s` under the name; gives how many older ones had to go.
uint32_t tl_pg_statement_put(struct pg_statements *store, uint32_t name,
			     const struct pg_statement *s);
// False if it is not known. Borrows from the store until the next put or drop.
bool tl_pg_statement_get(const struct pg_statements *store, uint32_t name,
			 struct pg_statement *ret);
void tl_pg_statement_drop(struct pg_statements *store, uint32_t name);

void tl_pg_portal_put(struct pg_statements *store, uint32_t name, uint32_t statement);
bool tl_pg_portal_get(const struct pg_statements *store, uint32_t name, uint32_t *ret_statement);
void tl_pg_portal_drop(struct pg_statements *store, uint32_t name);
