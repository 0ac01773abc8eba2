// SPDX-License-Identifier: Apache-2.0
// The kernel's description of its types (BTF) has the names of its enumerations.
#include <bpf/btf.h>

#include "collectors/bpf/bpf.h"

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
