// SPDX-License-Identifier: Apache-2.0
// Which labels have a template: those that a rule names, and those with paths or DNS names.
#include "metrics/labels.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define VALUES_MAX_DEFAULT 100u

// The field of a label, NULL for an address, a port or the like. `ret_path` has `size` bytes.
static const struct tl_field *field_of(const struct tl_plan *plan, const struct tl_decoder *decoder,
				       uint32_t label, char *ret_path, size_t size)
{
	static const char *const sides[2] = {"request", "response"};
	const struct tl_label_spec *spec = &plan->labels[label];

	for (uint32_t side = 0; spec->kind == TL_LABEL_FIELD && side < 2; side++)
		for (uint8_t id = 0; id < decoder->field_count; id++) {
			if (plan->wanted[side][id] != spec->captured + 1)
				continue;
			(void)snprintf(ret_path, size, "%s.%s", sides[side], decoder->fields[id].name);
			return &decoder->fields[id];
		}
	return NULL;
}

static uint32_t order_of(const struct tl_field *field)
{
	bool is_name = field->attribute != NULL && strcmp(field->attribute, "dns.question.name") == 0;
	return is_name ? TL_TEMPLATE_NAME : TL_TEMPLATE_PATH;
}

static bool is_learnt_unasked(const struct tl_field *field)
{
	return field->attribute != NULL && (strcmp(field->attribute, "url.path") == 0 ||
					    strcmp(field->attribute, "dns.question.name") == 0);
}

// Whether a rule means this field: by its name, or by its other one. `path` is "request.name".
static bool means(const struct tl_template_rule *rule, const char *protocol,
		  const struct tl_field *field, const char *path)
{
	size_t side = strcspn(path, ".") + 1;

	if (strcmp(rule->protocol, protocol) != 0)
		return false;
	return strcmp(rule->field, path) == 0 ||
	       (field->also != NULL && strncmp(rule->field, path, side) == 0 &&
		strcmp(rule->field + side, field->also) == 0);
}

// False: the label stays as it is.
static bool rule_of(const struct tl_metrics_options *options, const char *protocol,
		    const struct tl_field *field, const char *path, struct tl_template_rule *ret)
{
	const struct tl_template_rule *rules =
		(const struct tl_template_rule *)options->templates.items;

	if (field->type != TL_FIELD_TEXT && field->type != TL_FIELD_BYTES)
		return false;
	for (uint32_t i = 0; i < options->templates.count; i++) {
		if (!means(&rules[i], protocol, field, path))
			continue;
		*ret = rules[i];
		if (ret->order == TL_TEMPLATE_AUTO)
			ret->order = order_of(field);
		return true;
	}
	*ret = (struct tl_template_rule) {
		.order = order_of(field),
		.learn = true,
		.values_max = options->template_values_max != 0 ? options->template_values_max
								: VALUES_MAX_DEFAULT,
	};
	return options->learn_templates && is_learnt_unasked(field);
}

int tl_templates_init(struct tl_templates *t, const struct tl_plan *plans, uint32_t plan_count,
		      const struct tl_metrics_options *options, bool is_merging)
{
	t->plan_count = plan_count;
	t->of = calloc(plan_count, sizeof(struct tl_template *) * TL_LABELS_MAX);
	t->has_any = calloc(plan_count, sizeof(*t->has_any));
	if (t->of == NULL || t->has_any == NULL)
		return -ENOMEM;
	for (uint16_t id = 1; id < plan_count; id++) {
		for (uint32_t i = 0; tl_decoders[id] != NULL && i < plans[id].label_count; i++) {
			struct tl_template_rule rule;
			char path[96];
			const struct tl_field *field =
				field_of(&plans[id], tl_decoders[id], i, path, sizeof(path));
			if (field == NULL ||
			    !rule_of(options, tl_decoders[id]->name, field, path, &rule))
				continue;
			struct tl_template *one = tl_template_create(&rule, is_merging);
			if (one == NULL)
				return -ENOMEM;
			t->of[id * TL_LABELS_MAX + i] = one;
			t->has_any[id] = true;
		}
	}
	return 0;
}

void tl_templates_fini(struct tl_templates *t)
{
	for (uint32_t i = 0; t->of != NULL && i < t->plan_count * TL_LABELS_MAX; i++)
		tl_template_destroy(t->of[i]);
	free(t->of);
	free(t->has_any);
	*t = (struct tl_templates) {.of = NULL};
}

// ---- advice ----------------------------------------------------------------------------------

static const struct tl_decoder *decoder_of(const struct tl_template_rule *rule)
{
	for (uint16_t id = 0; id < tl_decoder_count; id++)
		if (tl_decoders[id] != NULL && strcmp(tl_decoders[id]->name, rule->protocol) == 0)
			return tl_decoders[id];
	return NULL;
}

// The field that the rule is about, NULL: no label of its protocol.
static const struct tl_field *label_of(const struct tl_metrics_options *options,
				       const struct tl_template_rule *rule, char *path, size_t size)
{
	const struct tl_decoder *decoder = decoder_of(rule);
	struct tl_plan plan;

	(void)tl_plan_make(&plan, 0, decoder, options, NULL, 0);
	for (uint32_t i = 0; i < plan.label_count; i++) {
		const struct tl_field *field = field_of(&plan, decoder, i, path, size);
		if (field != NULL && means(rule, decoder->name, field, path))
			return field;
	}
	return NULL;
}

static void advise_patterns(struct tl_template_rule *rule, uint32_t index, tl_metrics_advice_fn *fn,
			    void *arg)
{
	char key[96], words[256];

	for (int of_ignore = 0; of_ignore < 2; of_ignore++) {
		const struct tl_text_list *list = of_ignore ? &rule->ignore : &rule->patterns;
		for (uint32_t i = 0; i < list->count; i++) {
			if (tl_template_is_useful(rule, of_ignore, i, words, sizeof(words)))
				continue;
			(void)snprintf(key, sizeof(key), "metrics.templates[%u].%s[%u]", index,
				       of_ignore ? "ignore" : "patterns", i);
			fn(arg, key, words);
		}
	}
}

void tl_metrics_advise(const struct tl_metrics_options *options, tl_metrics_advice_fn *fn, void *arg)
{
	const struct tl_template_rule *rules =
		(const struct tl_template_rule *)options->templates.items;
	char key[96], words[256], path[96];

	for (uint32_t i = 0; i < options->templates.count; i++) {
		struct tl_template_rule rule = rules[i];
		if (decoder_of(&rule) == NULL)
			continue;
		const struct tl_field *field = label_of(options, &rule, path, sizeof(path));
		words[0] = '\0';
		if (field == NULL)
			(void)snprintf(words, sizeof(words), "%.60s is no label of %.30s: as long as "
				       "metrics.labels does not name it this rule does nothing",
				       rule.field, rule.protocol);
		else if (field->type != TL_FIELD_TEXT && field->type != TL_FIELD_BYTES)
			(void)snprintf(words, sizeof(words), "%.60s is a number, which has no template",
				       rule.field);
		for (uint32_t k = 0; k < i && field != NULL; k++)
			if (means(&rules[k], rule.protocol, field, path))
				(void)snprintf(words, sizeof(words), "%.60s of %.30s has a rule above "
					       "already: this one does nothing", rule.field,
					       rule.protocol);
		if (words[0] != '\0') {
			(void)snprintf(key, sizeof(key), "metrics.templates[%u].field", i);
			fn(arg, key, words);
			continue;
		}
		if (rule.order == TL_TEMPLATE_AUTO)
			rule.order = order_of(field);
		advise_patterns(&rule, i, fn, arg);
	}
}
