// SPDX-License-Identifier: Apache-2.0
// What libmongoc does with one compressor, and its own list of it: a line "COMMAND 1" for each command
// that succeeded, "COMMAND 0" for each that failed.
//	mongoc_client ADDRESS PORT [COMPRESSOR]
#include <mongoc/mongoc.h>
#include <stdio.h>
#include <stdlib.h>

#define DOCUMENTS 150

static void on_success(const mongoc_apm_command_succeeded_t *event)
{
	bool failed = bson_has_field(mongoc_apm_command_succeeded_get_reply(event), "writeErrors");

	printf("%s %d\n", mongoc_apm_command_succeeded_get_command_name(event), !failed);
}

static void on_failure(const mongoc_apm_command_failed_t *event)
{
	printf("%s 0\n", mongoc_apm_command_failed_get_command_name(event));
}

static void use(mongoc_client_t *client, const char *name)
{
	mongoc_collection_t *collection = mongoc_client_get_collection(client, "cdb", name);
	bson_error_t error;
	bson_t none = BSON_INITIALIZER;
	const bson_t *found;
	bson_t reply;

	for (int i = 0; i < DOCUMENTS; i++) {
		bson_t *document = BCON_NEW("_id", BCON_INT32(i), "ok", BCON_INT32(0));
		if (!mongoc_collection_insert_one(collection, document, NULL, NULL, &error))
			fprintf(stderr, "insert: %s\n", error.message);
		bson_destroy(document);
	}
	bson_t *again = BCON_NEW("_id", BCON_INT32(7));
	(void)mongoc_collection_insert_one(collection, again, NULL, NULL, &error);
	mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(collection, &none, NULL, NULL);
	int count = 0;
	while (mongoc_cursor_next(cursor, &found))
		count++;
	if (count != DOCUMENTS)
		fprintf(stderr, "%d documents\n", count);
	bson_t *bad = BCON_NEW("nosuchcommand", BCON_INT32(1));
	(void)mongoc_client_command_simple(client, "cdb", bad, NULL, &reply, &error);
	bson_destroy(&reply);
	bson_destroy(bad);
	bson_destroy(again);
	bson_destroy(&none);
	mongoc_cursor_destroy(cursor);
	mongoc_collection_destroy(collection);
}

int main(int argc, char **argv)
{
	char uri[256];

	if (argc < 3)
		return 2;
	const char *compressor = argc > 3 ? argv[3] : "";
	(void)snprintf(uri, sizeof(uri), "mongodb://%s:%s/?appname=mongoc%s%s", argv[1], argv[2],
		       compressor[0] != '\0' ? "&compressors=" : "", compressor);
	mongoc_init();
	mongoc_client_t *client = mongoc_client_new(uri);
	if (client == NULL)
		return 1;
	mongoc_apm_callbacks_t *callbacks = mongoc_apm_callbacks_new();
	mongoc_apm_set_command_succeeded_cb(callbacks, on_success);
	mongoc_apm_set_command_failed_cb(callbacks, on_failure);
	mongoc_client_set_apm_callbacks(client, callbacks, NULL);
	use(client, compressor[0] != '\0' ? compressor : "plain");
	mongoc_apm_callbacks_destroy(callbacks);
	mongoc_client_destroy(client);
	mongoc_cleanup();
	return 0;
}
