// SPDX-License-Identifier: Apache-2.0
#include "collectors/bpf/symbols.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"
#include "collectors/bpf/internal.h"
#include "collectors/host.h"

#define RELOAD_NS UINT64_C(60000000000) // of the kernel's symbols, when one was not found
#define AREAS_MAX 4096u                 // executable ones of a process

// ---- A table of symbols --------------------------------------------------------------------------

static int compare_symbols(const void *left, const void *right)
{
	const struct tl_symbol_row *a = left, *b = right;

	return a->address < b->address ? -1 : a->address > b->address;
}

bool tl_symbol_table_add(struct tl_symbol_table *table, uint64_t address, uint64_t size,
			 const char *name, const char *module)
{
	if (table->count == TL_SYMBOL_ROWS_MAX)
		return false;
	if (table->count == table->capacity) {
		uint32_t capacity = table->capacity == 0 ? 1024 : table->capacity * 2;
		struct tl_symbol_row *rows = realloc(table->rows, capacity * sizeof(*rows));
		if (rows == NULL)
			return false;
		table->rows = rows;
		table->capacity = capacity;
	}
	table->rows[table->count++] = (struct tl_symbol_row) {
		.address = address,
		.size = size > UINT32_MAX ? UINT32_MAX : (uint32_t)size,
		.name = (uint32_t)table->names.len,
	};
	tl_text_printf(&table->names, "%s", name);
	tl_text_add(&table->names, "", 1); // a NUL between them
	tl_text_printf(&table->names, "%s", module);
	tl_text_add(&table->names, "", 1);
	return true;
}

void tl_symbol_table_sort(struct tl_symbol_table *table)
{
	if (table->count != 0)
		qsort(table->rows, table->count, sizeof(*table->rows), compare_symbols);
}

static void free_table(struct tl_symbol_table *table)
{
	free(table->rows);
	tl_text_free(&table->names);
	*table = (struct tl_symbol_table) {0};
}

// The last row that begins at or before `address`.
static const struct tl_symbol_row *row_of(const struct tl_symbol_table *table, uint64_t address)
{
	uint32_t low = 0, high = table->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (table->rows[middle].address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low == 0 ? NULL : &table->rows[low - 1];
}

static bool find(const struct tl_symbol_table *table, uint64_t address, struct tl_symbol *ret)
{
	const struct tl_symbol_row *row = row_of(table, address);

	if (row == NULL || (row->size != 0 && address - row->address >= row->size))
		return false;
	const char *name = table->names.data + row->name;
	const char *module = name + strlen(name) + 1;
	(void)snprintf(ret->name, sizeof(ret->name), "%s", name);
	if (module[0] != '\0')
		(void)snprintf(ret->module, sizeof(ret->module), "%s", module);
	ret->offset = address - row->address;
	return true;
}

// ---- The kernel ----------------------------------------------------------------------------------

// One table for all who ask, as long as somebody does: it takes megabytes.
static struct {
	pthread_mutex_t lock; // of all below
	uint32_t users;
	uint64_t loaded_ns;
	struct tl_symbol_table table;
} kernel = {.lock = PTHREAD_MUTEX_INITIALIZER};

// "ffffffff81000000 T _text", "ffffffffc0000000 t init_module	[virtio_net]".
static void load_kernel(void)
{
	char path[PATH_MAX], line[512], type, name[256], module[64];
	FILE *file = fopen(tl_host_path("/proc/kallsyms", path, sizeof(path)), "re");
	uint64_t address;

	free_table(&kernel.table);
	kernel.loaded_ns = tl_host_clock_ns();
	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		module[0] = '\0';
		if (sscanf(line, "%" SCNx64 " %c %255s [%63[^]]", &address, &type, name, module) < 3 ||
		    address == 0 || strchr("tTwW", type) == NULL)
			continue;
		if (!tl_symbol_table_add(&kernel.table, address, 0, name, module))
			break;
	}
	if (file != NULL)
		(void)fclose(file);
	tl_symbol_table_sort(&kernel.table);
}

bool tl_symbol_kernel(struct tl_symbols *symbols, uint64_t address, struct tl_symbol *ret_symbol)
{
	*ret_symbol = (struct tl_symbol) {0};
	(void)symbols; // it keeps the table alive
	(void)pthread_mutex_lock(&kernel.lock);
	if (kernel.loaded_ns == 0)
		load_kernel();
	bool is_found = find(&kernel.table, address, ret_symbol);
	// A module may have come since.
	if (!is_found && tl_host_clock_ns() - kernel.loaded_ns > RELOAD_NS) {
		load_kernel();
		is_found = find(&kernel.table, address, ret_symbol);
	}
	(void)pthread_mutex_unlock(&kernel.lock);
	return is_found;
}

// ---- Processes -----------------------------------------------------------------------------------

struct area {
	uint64_t begin, end, offset;
	dev_t device;
	ino_t inode;
	char path[128]; // as the process sees it, cut
};

struct process {
	uint32_t pid;
	uint32_t count;
	struct area *areas;
};

struct file {
	dev_t device;
	ino_t inode;
	bool has_symbols;
	struct tl_symbol_table table;
};

struct tl_symbols {
	uint32_t process_count, file_count;
	struct process processes[TL_SYMBOL_PROCESSES_MAX];
	struct file files[TL_SYMBOL_FILES_MAX];
};

struct tl_symbols *tl_symbols_create(void)
{
	struct tl_symbols *symbols = calloc(1, sizeof(*symbols));

	if (symbols == NULL)
		return NULL;
	(void)pthread_mutex_lock(&kernel.lock);
	kernel.users++;
	(void)pthread_mutex_unlock(&kernel.lock);
	return symbols;
}

void tl_symbols_destroy(struct tl_symbols *symbols)
{
	if (symbols == NULL)
		return;
	for (uint32_t i = 0; i < symbols->process_count; i++)
		free(symbols->processes[i].areas);
	for (uint32_t i = 0; i < symbols->file_count; i++)
		free_table(&symbols->files[i].table);
	free(symbols);
	(void)pthread_mutex_lock(&kernel.lock);
	if (--kernel.users == 0) {
		free_table(&kernel.table);
		kernel.loaded_ns = 0;
	}
	(void)pthread_mutex_unlock(&kernel.lock);
}

// "55d0c0a00000-55d0c0b00000 r-xp 00001000 fe:00 123   /usr/bin/python3.11"
static bool parse_area(const char *line, struct area *ret)
{
	unsigned major, minor;
	unsigned long inode;
	char rights[8];
	int path = 0;

	*ret = (struct area) {0};
	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %x:%x %lu %n", &ret->begin,
		   &ret->end, rights, &ret->offset, &major, &minor, &inode, &path) < 7 ||
	    rights[2] != 'x')
		return false;
	ret->inode = inode;
	(void)snprintf(ret->path, sizeof(ret->path), "%.127s", path == 0 ? "" : line + path);
	return true;
}

static void read_areas(struct process *process)
{
	struct tl_text text = {0};

	if (tl_host_readf(&text, "/proc/%u/maps", process->pid) < 0) {
		tl_text_free(&text);
		return;
	}
	char *rest = text.data, *line;
	while ((line = tl_host_line(&rest)) != NULL && process->count < AREAS_MAX) {
		struct area area;
		if (!parse_area(line, &area))
			continue;
		struct area *areas = realloc(process->areas, (process->count + 1) * sizeof(*areas));
		if (areas == NULL)
			break;
		process->areas = areas;
		areas[process->count++] = area;
	}
	tl_text_free(&text);
}

// NULL when there are too many.
static const struct process *process_of(struct tl_symbols *symbols, uint32_t pid)
{
	for (uint32_t i = 0; i < symbols->process_count; i++)
		if (symbols->processes[i].pid == pid)
			return &symbols->processes[i];
	if (symbols->process_count == TL_SYMBOL_PROCESSES_MAX)
		return NULL;
	struct process *process = &symbols->processes[symbols->process_count++];
	process->pid = pid;
	read_areas(process);
	return process;
}

void tl_symbols_note(struct tl_symbols *symbols, uint32_t pid)
{
	(void)process_of(symbols, pid);
}

// The symbols of a file that a process has mapped, found below its own root.
static const struct file *file_of(struct tl_symbols *symbols, uint32_t pid, const struct area *area)
{
	char path[256], full[PATH_MAX];
	struct stat st;

	(void)snprintf(path, sizeof(path), "/proc/%u/root%s", pid, area->path);
	if (stat(tl_host_path(path, full, sizeof(full)), &st) < 0 || st.st_ino != area->inode)
		return NULL; // gone, replaced, or no file at all
	for (uint32_t i = 0; i < symbols->file_count; i++)
		if (symbols->files[i].inode == st.st_ino && symbols->files[i].device == st.st_dev)
			return &symbols->files[i];
	if (symbols->file_count == TL_SYMBOL_FILES_MAX)
		return NULL;
	struct file *file = &symbols->files[symbols->file_count++];
	file->inode = st.st_ino;
	file->device = st.st_dev;
	file->has_symbols = tl_elf_read(full, &file->table) == 0;
	return file;
}

bool tl_symbol_user(struct tl_symbols *symbols, uint32_t pid, uint64_t address,
		    struct tl_symbol *ret_symbol)
{
	const struct process *process = process_of(symbols, pid);
	const struct area *area = NULL;

	*ret_symbol = (struct tl_symbol) {0};
	for (uint32_t i = 0; process != NULL && i < process->count && area == NULL; i++)
		if (address >= process->areas[i].begin && address < process->areas[i].end)
			area = &process->areas[i];
	if (area == NULL)
		return false;
	const char *slash = strrchr(area->path, '/');
	ret_symbol->offset = address - area->begin + area->offset;
	(void)snprintf(ret_symbol->module, sizeof(ret_symbol->module), "%.63s",
		       slash == NULL ? area->path : slash + 1);
	const struct file *file = slash == NULL ? NULL : file_of(symbols, pid, area);
	if (file != NULL && file->has_symbols)
		(void)find(&file->table, ret_symbol->offset, ret_symbol);
	return true;
}

void tl_symbols_print(struct tl_symbols *symbols, uint32_t pid, const uint64_t *addresses,
		      uint32_t count, struct tl_text *ret_text)
{
	for (uint32_t i = 0; i < count; i++) {
		struct tl_symbol symbol;
		bool is_known = pid == 0 ? tl_symbol_kernel(symbols, addresses[i], &symbol)
					 : tl_symbol_user(symbols, pid, addresses[i], &symbol);
		if (!is_known)
			tl_text_printf(ret_text, "0x%" PRIx64 "\n", addresses[i]);
		else if (symbol.name[0] == '\0')
			tl_text_printf(ret_text, "%s+0x%" PRIx64 "\n", symbol.module, symbol.offset);
		else
			tl_text_printf(ret_text, "%s+0x%" PRIx64 "%s%s%s\n", symbol.name, symbol.offset,
				       symbol.module[0] == '\0' ? "" : " (", symbol.module,
				       symbol.module[0] == '\0' ? "" : ")");
	}
}
