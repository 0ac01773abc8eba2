// SPDX-License-Identifier: Apache-2.0
// Stored events come back in the order of time: the files of a tracer are read oldest first, those
// of several tracers are merged.
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#include "collectors/store/internal.h"
#include "collectors/store/store.h"

#define OLD_FILES_MAX 1000u

bool tl_store_is_name(const char *name)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");

	return len != 0 && name[len] == '\0' && len < TL_TRACER_NAME_BYTES;
}

struct record {
	uint64_t time_ns;
	uint64_t order; // as read: keeps the order of equal times
	char *json;
	char tracer[TL_TRACER_NAME_BYTES];
	bool is_autotracing;
};

struct records {
	struct record *items;
	size_t count, capacity;
	uint64_t taken;   // ever, for the order
	size_t first;     // of the tracer that is being read
	size_t limit;     // of one tracer's records, 0: none
	uint64_t since_ns;
	bool is_out_of_memory;
};

// "2026-11-22 10:15:30.123 +0000"; 0 if it is none.
static uint64_t parse_time(const char *text)
{
	struct tm tm = {0};
	const char *rest = strptime(text, "%Y-%m-%d %H:%M:%S", &tm);
	unsigned ms = 0;
	char sign = '+';
	int hours = 0, minutes = 0;

	if (rest == NULL || sscanf(rest, ".%3u %c%2d%2d", &ms, &sign, &hours, &minutes) != 4)
		return 0;
	int64_t offset = ((int64_t)hours * 60 + minutes) * 60 * (sign == '-' ? -1 : 1);
	int64_t seconds = (int64_t)timegm(&tm) - offset;
	return seconds < 0 ? 0 : (uint64_t)seconds * 1000000000 + (uint64_t)ms * 1000000;
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text == NULL ? "" : text;
}

// A tracer's files hold its records oldest first: when there are twice as many as wanted, the older
// half goes.
static void drop_older(struct records *records)
{
	if (records->limit == 0 || records->count - records->first < 2 * records->limit)
		return;
	struct record *first = &records->items[records->first];
	for (size_t i = 0; i < records->limit; i++)
		free(first[i].json);
	memmove(first, first + records->limit, records->limit * sizeof(*first));
	records->count -= records->limit;
}

// A line that is damaged (a crash while it was written) is passed over.
static void take_line(struct records *records, const char *line, size_t len)
{
	json_t *object = json_loadb(line, len, 0, NULL);
	uint64_t time_ns = parse_time(text_of(object, "tracer_time"));

	if (object == NULL || time_ns < records->since_ns || records->is_out_of_memory) {
		json_decref(object);
		return;
	}
	drop_older(records);
	if (records->count == records->capacity) {
		size_t capacity = records->capacity == 0 ? 256 : records->capacity * 2;
		struct record *items = realloc(records->items, capacity * sizeof(*items));
		records->is_out_of_memory = items == NULL;
		if (items == NULL) {
			json_decref(object);
			return;
		}
		records->items = items;
		records->capacity = capacity;
	}
	struct record *record = &records->items[records->count++];
	*record = (struct record) {
		.time_ns = time_ns,
		.order = records->taken++,
		.json = strndup(line, len),
		.is_autotracing = strcmp(text_of(object, "tracer_type"), "autotracing") == 0,
	};
	(void)snprintf(record->tracer, sizeof(record->tracer), "%s", text_of(object, "tracer_name"));
	records->is_out_of_memory |= record->json == NULL;
	json_decref(object);
}

// gzread reads a plain file as it is, so that old ones may be compressed or not. False: no file.
static bool read_file(struct records *records, const char *path)
{
	gzFile file = gzopen(path, "rbe");
	struct tl_text line = {0};
	char block[16384];

	if (file == NULL)
		return false;
	while (gzgets(file, block, (int)sizeof(block)) != NULL) {
		tl_text_puts(&line, block);
		if (line.len == 0 || line.data[line.len - 1] != '\n')
			continue; // longer than the block
		take_line(records, line.data, line.len - 1);
		tl_text_clear(&line);
	}
	(void)gzclose(file);
	tl_text_free(&line);
	return true;
}

static void read_tracer(struct records *records, const char *path, const char *tracer)
{
	char base[PATH_MAX], name[PATH_MAX + 24];
	uint32_t oldest = 0;

	records->first = records->count;
	(void)snprintf(base, sizeof(base), "%s/%s" TL_STORE_SUFFIX, path, tracer);
	for (uint32_t i = 1; i < OLD_FILES_MAX; i++) {
		(void)snprintf(name, sizeof(name), "%s.%u", base, i);
		FILE *plain = fopen(name, "re");
		if (plain == NULL)
			break;
		(void)fclose(plain);
		oldest = i;
	}
	for (uint32_t i = oldest; i != 0; i--) {
		(void)snprintf(name, sizeof(name), "%s.%u", base, i);
		(void)read_file(records, name);
	}
	(void)read_file(records, base);
}

static int compare(const void *left, const void *right)
{
	const struct record *a = left, *b = right;

	if (a->time_ns != b->time_ns)
		return a->time_ns < b->time_ns ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

static int read_all(struct records *records, const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;

	if (directory == NULL)
		return -errno;
	while ((entry = readdir(directory)) != NULL) {
		size_t len = strlen(entry->d_name);
		size_t suffix = strlen(TL_STORE_SUFFIX);
		if (len <= suffix || strcmp(entry->d_name + len - suffix, TL_STORE_SUFFIX) != 0)
			continue;
		entry->d_name[len - suffix] = '\0';
		read_tracer(records, path, entry->d_name);
	}
	(void)closedir(directory);
	return 0;
}

int tl_store_read(const char *path, const char *tracer, uint64_t since_ns, size_t limit,
		  tl_store_visit_fn *visit, void *arg)
{
	struct records records = {.since_ns = since_ns, .limit = limit};
	int rc = 0;

	if (tracer[0] != '\0' && !tl_store_is_name(tracer))
		return -EINVAL;
	if (tracer[0] != '\0')
		read_tracer(&records, path, tracer);
	else
		rc = read_all(&records, path);
	if (rc == 0 && records.is_out_of_memory)
		rc = -ENOMEM;
	if (records.count != 0)
		qsort(records.items, records.count, sizeof(*records.items), compare);
	bool is_wanted = rc == 0;
	size_t skipped = limit == 0 || records.count < limit ? 0 : records.count - limit;
	for (size_t i = 0; i < records.count; i++) {
		const struct record *record = &records.items[i];
		const struct tl_stored stored = {
			.time_ns = record->time_ns,
			.tracer = record->tracer,
			.type = record->is_autotracing ? "autotracing" : "event",
			.json = record->json,
		};
		if (i >= skipped)
			is_wanted = is_wanted && visit(arg, &stored);
		free(record->json);
	}
	free(records.items);
	return rc;
}
