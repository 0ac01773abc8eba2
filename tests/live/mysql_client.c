// SPDX-License-Identifier: Apache-2.0
// What libmariadb does with prepared statements that others don't: cursors, whose rows are fetched some
// at a time, long data and bulk execution. Prints its own list of calls: a line "COMMAND ROWS" for each.
//	mysql_client ADDRESS
#include <mysql.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 250u
#define PREFETCH 100u
#define BULK 5u

static MYSQL *connection;

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	exit(1);
}

static MYSQL_STMT *prepare(const char *sql)
{
	MYSQL_STMT *statement = mysql_stmt_init(connection);

	if (statement == NULL || mysql_stmt_prepare(statement, sql, (unsigned long)strlen(sql)) != 0)
		fail(sql, mysql_error(connection));
	puts("STMT_PREPARE 0");
	return statement;
}

static void done(MYSQL_STMT *statement)
{
	mysql_stmt_close(statement);
	puts("STMT_CLOSE 0");
}

// Rows come by PREFETCH; the last fetch says that there are no more.
static void fetch_by_cursor(const char *sql)
{
	MYSQL_STMT *statement = prepare(sql);
	unsigned long cursor = CURSOR_TYPE_READ_ONLY;
	unsigned long prefetch = PREFETCH;
	unsigned rows = 0;

	mysql_stmt_attr_set(statement, STMT_ATTR_CURSOR_TYPE, &cursor);
	mysql_stmt_attr_set(statement, STMT_ATTR_PREFETCH_ROWS, &prefetch);
	if (mysql_stmt_execute(statement) != 0)
		fail("execute", mysql_stmt_error(statement));
	puts("STMT_EXECUTE 0");
	while (mysql_stmt_fetch(statement) == 0)
		rows++;
	if (rows != ROWS)
		fail("rows", mysql_stmt_error(statement));
	for (unsigned left = rows; ; left -= PREFETCH) {
		printf("STMT_FETCH %u\n", left < PREFETCH ? left : PREFETCH);
		if (left < PREFETCH)
			break;
	}
	done(statement);
}

static void send_long_data(void)
{
	MYSQL_STMT *statement = prepare("INSERT INTO big VALUES (3, ?)");
	static const char part[] = "long secret data";
	MYSQL_BIND bind = {.buffer_type = MYSQL_TYPE_STRING};

	mysql_stmt_bind_param(statement, &bind);
	for (int i = 0; i < 3; i++) {
		if (mysql_stmt_send_long_data(statement, 0, part, sizeof(part) - 1) != 0)
			fail("long data", mysql_stmt_error(statement));
		puts("STMT_SEND_LONG_DATA 0");
	}
	if (mysql_stmt_execute(statement) != 0)
		fail("execute", mysql_stmt_error(statement));
	puts("STMT_EXECUTE 1");
	if (mysql_stmt_reset(statement) != 0)
		fail("reset", mysql_stmt_error(statement));
	puts("STMT_RESET 0");
	done(statement);
}

static void insert_in_bulk(void)
{
	MYSQL_STMT *statement = prepare("INSERT INTO big VALUES (?, 'bulk')");
	unsigned int size = BULK;
	int ids[BULK] = {10, 11, 12, 13, 14};
	MYSQL_BIND bind = {.buffer_type = MYSQL_TYPE_LONG, .buffer = ids};

	mysql_stmt_attr_set(statement, STMT_ATTR_ARRAY_SIZE, &size);
	mysql_stmt_bind_param(statement, &bind);
	if (mysql_stmt_execute(statement) != 0)
		fail("bulk", mysql_stmt_error(statement));
	printf("STMT_BULK_EXECUTE %u\n", BULK);
	done(statement);
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	connection = mysql_init(NULL);
	if (connection == NULL ||
	    mysql_real_connect(connection, argv[1], "app", "pw", "shop", 3306, NULL, 0) == NULL)
		fail("connect", connection == NULL ? "no memory" : mysql_error(connection));
	puts("LOGIN 0");
	fetch_by_cursor("SELECT seq FROM seq_1_to_250");
	fetch_by_cursor("SELECT seq, REPEAT('x', 300) FROM seq_1_to_250");
	send_long_data();
	insert_in_bulk();
	if (mysql_change_user(connection, "app", "pw", "mysql") != 0)
		fail("change user", mysql_error(connection));
	puts("CHANGE_USER 0");
	if (mysql_reset_connection(connection) != 0)
		fail("reset connection", mysql_error(connection));
	puts("RESET_CONNECTION 0");
	mysql_close(connection);
	puts("QUIT 0");
	return 0;
}
