// SPDX-License-Identifier: Apache-2.0
// Built without libbpf and libelf: nothing is ever loaded, so that what needs a loaded object can't
// be called.
#include <errno.h>

#include "base/check.h"
#include "collectors/bpf/bpf.h"
#include "collectors/bpf/internal.h"

#define NEVER() TL_ASSERT(!"no BPF object can be there")

int tl_bpf_start(struct tl_ctx *ctx, const struct tl_bpf_hook *hooks, struct tl_bpf **ret_bpf)
{
	(void)hooks;
	(void)ret_bpf;
	tl_ctx_hook(ctx, "none (built without BPF)");
	return -EOPNOTSUPP;
}

int tl_bpf_serve(struct tl_ctx *ctx, const struct tl_bpf_hook *hooks, struct tl_bpf_ref *ref)
{
	struct tl_bpf *bpf;

	(void)ref;
	return tl_bpf_start(ctx, hooks, &bpf);
}

int tl_bpf_load(struct tl_ctx *ctx, const struct tl_bpf_hook *hook, struct tl_bpf **ret_bpf)
{
	(void)ctx;
	(void)hook;
	(void)ret_bpf;
	return -EOPNOTSUPP;
}

struct tl_bpf *tl_bpf_acquire(struct tl_bpf_ref *ref)
{
	(void)ref;
	return NULL;
}

void tl_bpf_release(struct tl_bpf *bpf)
{
	TL_ASSERT(bpf == NULL);
}

void tl_bpf_unload(struct tl_bpf *bpf)
{
	TL_ASSERT(bpf == NULL);
}

void tl_bpf_allow(bool is_allowed)
{
	(void)is_allowed;
}

int tl_elf_read(const char *path, struct tl_symbol_table *ret_table)
{
	(void)path;
	(void)ret_table;
	return -EOPNOTSUPP;
}

uint32_t tl_bpf_cpus(void)
{
	return 1;
}

#define OF_A_LOADED_OBJECT(name, ...) \
	int name(__VA_ARGS__) \
	{ \
		NEVER(); \
		return -EOPNOTSUPP; \
	}

#pragma GCC diagnostic ignored "-Wunused-parameter"
OF_A_LOADED_OBJECT(tl_bpf_attach, struct tl_bpf *bpf)
OF_A_LOADED_OBJECT(tl_bpf_attach_one, struct tl_bpf *bpf, const char *program,
		   const struct tl_bpf_place *place)
OF_A_LOADED_OBJECT(tl_bpf_read, struct tl_bpf *bpf, const char *map, const void *key, void *ret_value)
OF_A_LOADED_OBJECT(tl_bpf_write, struct tl_bpf *bpf, const char *map, const void *key,
		   const void *value)
OF_A_LOADED_OBJECT(tl_bpf_delete, struct tl_bpf *bpf, const char *map, const void *key)
OF_A_LOADED_OBJECT(tl_bpf_each, struct tl_bpf *bpf, const char *map, tl_bpf_visit_fn *visit, void *arg)
OF_A_LOADED_OBJECT(tl_bpf_drain, struct tl_bpf *bpf, const char *map, tl_bpf_visit_fn *visit, void *arg)
OF_A_LOADED_OBJECT(tl_bpf_listen, struct tl_bpf *bpf, const char *map, tl_bpf_event_fn *fn, void *arg)
OF_A_LOADED_OBJECT(tl_bpf_iterate, struct tl_bpf *bpf, const char *program, struct tl_text *ret_text)

bool tl_bpf_wait(struct tl_bpf *bpf, struct tl_ctx *ctx, uint64_t ns)
{
	NEVER();
	return false;
}

bool tl_bpf_hook_is(const struct tl_bpf *bpf, const char *name)
{
	NEVER();
	return false;
}

void tl_bpf_detach(struct tl_bpf *bpf)
{
	NEVER();
}

void tl_bpf_publish(struct tl_bpf *bpf, struct tl_bpf_ref *ref)
{
	NEVER();
}

uint64_t tl_bpf_lost(const struct tl_bpf *bpf)
{
	NEVER();
	return 0;
}

void tl_bpf_sum(const void *values, uint32_t count, uint64_t *ret_sums)
{
	NEVER();
}

void tl_bpf_enum(const char *type, tl_bpf_enum_fn *visit, void *arg)
{
	(void)type;
	(void)visit;
	(void)arg;
}

int tl_bpf_find_percpu(struct tl_bpf_percpu *rows, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		rows[i].offset = -1;
	return -EOPNOTSUPP;
}
