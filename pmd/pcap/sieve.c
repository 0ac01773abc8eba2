// SPDX-License-Identifier: Apache-2.0
#include "pmd/pcap/sieve.h"

#define TAG_SAMPLES 1000u // filtered packets looked at for a VLAN tag that the filter overlooks

int tl_sieve_set(struct tl_sieve *s, const char *expression, uint16_t link_type, char *error,
		 uint32_t error_size)
{
	struct tl_filter *filter = NULL;

	if (expression != NULL && *expression != '\0') {
		int rc = tl_filter_create(expression, link_type, &filter, error, error_size);
		if (rc < 0)
			return rc;
	}
	tl_filter_destroy(s->filter);
	s->filter = filter;
	s->tags_sampled = 0;
	atomic_store_explicit(&s->overlooked_tags, 0, memory_order_relaxed);
	return 0;
}

void tl_sieve_fini(struct tl_sieve *s)
{
	tl_filter_destroy(s->filter);
	s->filter = NULL;
}

// There is one writer: no need for an atomic addition.
static void add(_Atomic uint64_t *count, uint64_t n)
{
	atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

bool tl_sieve_holds_back(struct tl_sieve *s, uint16_t link_type, const uint8_t *data, uint32_t len,
			 uint32_t original_len)
{
	if (tl_filter_match(s->filter, link_type, data, len, original_len)) {
		s->has_passed = true;
		return false;
	}
	add(&s->filtered, 1);
	add(&s->filtered_bytes, original_len);
	if (s->tags_sampled == TAG_SAMPLES)
		return true;
	uint32_t tags = tl_filter_overlooked_tags(s->filter, link_type, data, len, original_len);
	s->tags_sampled += tags != 0;
	if (tags > atomic_load_explicit(&s->overlooked_tags, memory_order_relaxed))
		atomic_store_explicit(&s->overlooked_tags, tags, memory_order_relaxed);
	return true;
}

const char *tl_sieve_error(const struct tl_sieve *s)
{
	return s->filter == NULL || s->has_passed ? "" : tl_filter_error(s->filter);
}

void tl_sieve_stats(const struct tl_sieve *s, struct tl_port_stats *ret_stats)
{
	ret_stats->filtered = atomic_load_explicit(&s->filtered, memory_order_relaxed);
	ret_stats->filtered_bytes = atomic_load_explicit(&s->filtered_bytes, memory_order_relaxed);
	ret_stats->overlooked_tags = atomic_load_explicit(&s->overlooked_tags, memory_order_relaxed);
}
