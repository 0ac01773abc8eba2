// SPDX-License-Identifier: Apache-2.0
// What the kernel's description of its types (BTF) tells besides the places of members: the names of
// its enumerations, and where its per-CPU variables lie.
#include <bpf/btf.h>
#include <errno.h>
#include <string.h>

#include "collectors/bpf/bpf.h"

#define NESTING_MAX 4 // of structures and unions without names

void tl_bpf_enum(const char *type, tl_bpf_enum_fn *visit, void *arg)
{
	struct btf *btf = btf__load_vmlinux_btf();
	int32_t id = btf == NULL ? -1 : btf__find_by_name_kind(btf, type, BTF_KIND_ENUM);

	if (id > 0) {
		const struct btf_type *described = btf__type_by_id(btf, (uint32_t)id);
		const struct btf_enum *value = btf_enum(described);
		for (uint32_t i = 0; i < btf_vlen(described); i++)
			visit(arg, btf__name_by_offset(btf, value[i].name_off),
			      (uint32_t)value[i].val);
	}
	btf__free(btf);
}

// In bytes; -1: there is none of that name.
static int64_t offset_of_member(const struct btf *btf, uint32_t id, const char *name, int nesting)
{
	int32_t resolved = btf__resolve_type(btf, id);
	const struct btf_type *type = resolved < 0 ? NULL : btf__type_by_id(btf, (uint32_t)resolved);

	if (type == NULL || !btf_is_composite(type))
		return -1;
	const struct btf_member *member = btf_members(type);
	for (uint32_t i = 0; i < btf_vlen(type); i++) {
		const char *its_name = btf__name_by_offset(btf, member[i].name_off);
		int64_t at = btf_member_bit_offset(type, i) / 8, below = -1;
		if (strcmp(its_name, name) == 0)
			return at;
		if (its_name[0] == '\0' && nesting > 0)
			below = offset_of_member(btf, member[i].type, name, nesting - 1);
		if (below >= 0)
			return at + below;
	}
	return -1;
}

static int64_t offset_of(const struct btf *btf, const struct btf_var_secinfo *place,
			 const struct tl_bpf_percpu *row)
{
	const struct btf_type *variable = btf__type_by_id(btf, place->type);
	int64_t at = 0;

	if (strcmp(btf__name_by_offset(btf, variable->name_off), row->variable) != 0)
		return -1;
	if (row->member != NULL)
		at = offset_of_member(btf, variable->type, row->member, NESTING_MAX);
	return at < 0 ? -1 : place->offset + at;
}

int tl_bpf_find_percpu(struct tl_bpf_percpu *rows, uint32_t count)
{
	struct btf *btf = btf__load_vmlinux_btf();
	int32_t id = btf == NULL ? -1 :
		btf__find_by_name_kind(btf, ".data..percpu", BTF_KIND_DATASEC);
	const struct btf_type *section = id <= 0 ? NULL : btf__type_by_id(btf, (uint32_t)id);

	for (uint32_t row = 0; row < count; row++) {
		rows[row].offset = -1;
		for (uint32_t i = 0; section != NULL && i < btf_vlen(section); i++) {
			int64_t offset = offset_of(btf, &btf_var_secinfos(section)[i], &rows[row]);
			if (offset >= 0)
				rows[row].offset = offset;
		}
	}
	btf__free(btf);
	return section == NULL ? -EOPNOTSUPP : 0;
}
