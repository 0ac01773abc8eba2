// SPDX-License-Identifier: Apache-2.0
// Functions of executables and libraries, on libelf.
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <unistd.h>

#include "collectors/bpf/internal.h"

#define SEGMENTS_MAX 16u

// How the file's bytes are laid out in memory: symbols are known by addresses there.
struct layout {
	uint32_t count;
	GElf_Phdr segments[SEGMENTS_MAX]; // executable ones
};

static void read_layout(Elf *elf, struct layout *layout)
{
	size_t count = 0;

	layout->count = 0;
	if (elf_getphdrnum(elf, &count) < 0)
		return;
	for (size_t i = 0; i < count && layout->count < SEGMENTS_MAX; i++) {
		GElf_Phdr *segment = &layout->segments[layout->count];
		if (gelf_getphdr(elf, (int)i, segment) != NULL && segment->p_type == PT_LOAD &&
		    (segment->p_flags & PF_X) != 0)
			layout->count++;
	}
}

static bool place_of(const struct layout *layout, uint64_t address, uint64_t *ret_offset)
{
	for (uint32_t i = 0; i < layout->count; i++) {
		const GElf_Phdr *segment = &layout->segments[i];
		if (address < segment->p_vaddr || address - segment->p_vaddr >= segment->p_filesz)
			continue;
		*ret_offset = address - segment->p_vaddr + segment->p_offset;
		return true;
	}
	return false;
}

static void read_table(Elf *elf, Elf_Scn *section, const GElf_Shdr *head,
		       const struct layout *layout, struct tl_symbol_table *table)
{
	Elf_Data *data = elf_getdata(section, NULL);
	size_t count = data == NULL || head->sh_entsize == 0 ? 0 : head->sh_size / head->sh_entsize;

	for (size_t i = 0; i < count && i < INT32_MAX; i++) {
		GElf_Sym symbol;
		uint64_t offset;
		if (gelf_getsym(data, (int)i, &symbol) == NULL ||
		    GELF_ST_TYPE(symbol.st_info) != STT_FUNC ||
		    !place_of(layout, symbol.st_value, &offset))
			continue;
		const char *name = elf_strptr(elf, head->sh_link, symbol.st_name);
		if (name != NULL && name[0] != '\0' &&
		    !tl_symbol_table_add(table, offset, symbol.st_size, name, ""))
			return;
	}
}

// Of the two tables the one that is not stripped has all that the other has.
static int read_functions(Elf *elf, struct tl_symbol_table *table)
{
	static const uint32_t kinds[] = {SHT_SYMTAB, SHT_DYNSYM};
	struct layout layout;

	read_layout(elf, &layout);
	for (uint32_t i = 0; i < 2 && table->count == 0; i++) {
		Elf_Scn *section = NULL;
		GElf_Shdr head;
		while ((section = elf_nextscn(elf, section)) != NULL)
			if (gelf_getshdr(section, &head) != NULL && head.sh_type == kinds[i])
				read_table(elf, section, &head, &layout, table);
	}
	return table->count == 0 ? -ENOENT : 0;
}

int tl_elf_read(const char *path, struct tl_symbol_table *ret_table)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	(void)elf_version(EV_CURRENT);
	Elf *elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	int rc = elf == NULL ? -EBADMSG : read_functions(elf, ret_table);
	if (elf != NULL)
		(void)elf_end(elf);
	(void)close(fd);
	if (rc == 0)
		tl_symbol_table_sort(ret_table);
	return rc;
}
