// SPDX-License-Identifier: Apache-2.0
// Prepared statements and portals of a connection: what Execute shows of a Parse that was earlier.
// A fixed store in the connection's room; what was used least recently goes first.
#pragma once

#include "base/bytes.h"

#define PG_STATEMENTS_MAX 96u
#define PG_PORTALS_MAX 32u
#define PG_STORE_BYTES 12800u           // texts and summaries
#define PG_STORED_TEXT_BYTES_MAX 2048u  // of a statement: as much as is ever shown
#define PG_STORED_SUMMARY_BYTES_MAX 128u

// Names are kept as hashes. 0 stands for the unnamed statement, and portal.
#define PG_UNNAMED 0u
#define PG_NAMELESS 0x80000000u // statements that only portals know by now, see statement_put

struct pg_portal {
	uint32_t name;
	uint32_t statement;
};

struct pg_entry {
	uint64_t digest;
	uint32_t used_at; // of the store's clock
	uint16_t at;      // of its text in the store, the summary lies behind it
	uint16_t text_len;
	uint32_t text_full;
	uint8_t summary_len;
	uint8_t command;
	uint8_t reserved[2];
};

// All zero: an empty store.
struct pg_statements {
	uint32_t clock;       // counts what is put or got
	uint16_t used;        // bytes of `bytes`
	uint8_t count;
	uint8_t portal_count;
	uint32_t portal_next; // replaced next when all are taken
	uint32_t names[PG_STATEMENTS_MAX];
	struct pg_entry entries[PG_STATEMENTS_MAX];
	struct pg_portal portals[PG_PORTALS_MAX];
	uint8_t bytes[PG_STORE_BYTES];
};

// A statement as it is kept and shown.
struct pg_statement {
	uint64_t digest;
	struct tl_bytes text;
	struct tl_bytes summary;
	uint32_t text_full; // bytes that the text had before it was cut
	uint8_t command;    // index for tl_pg_command()
};

uint32_t tl_pg_name_id(struct tl_bytes name);
// Keeps `s` under the name; gives how many others had to go. A portal that was bound to what had
// the name before still runs that.
uint32_t tl_pg_statement_put(struct pg_statements *store, uint32_t name,
			     const struct pg_statement *s);
// False if it is not known. Borrows from the store until the next put or drop.
bool tl_pg_statement_get(struct pg_statements *store, uint32_t name, struct pg_statement *ret);
void tl_pg_statement_drop(struct pg_statements *store, uint32_t name);

// False: another portal had to go.
bool tl_pg_portal_put(struct pg_statements *store, uint32_t name, uint32_t statement);
bool tl_pg_portal_get(const struct pg_statements *store, uint32_t name, uint32_t *ret_statement);
void tl_pg_portal_drop(struct pg_statements *store, uint32_t name);
