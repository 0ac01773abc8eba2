// SPDX-License-Identifier: Apache-2.0
// The command line's form of a rule: 'http;80,8080;10.0.0.0/8'.
#include "l7/rules.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define ITEMS_MAX 1024u

static uint32_t count_items(const char *text)
{
	uint32_t count = 1;

	for (; *text != 0; text++)
		count += *text == ',';
	return count;
}

static int parse_ports(char *text, struct tl_uint_list *ret_list, char *error, uint32_t size)
{
	char *state = NULL;

	ret_list->items = calloc(count_items(text), sizeof(ret_list->items[0]));
	if (ret_list->items == NULL)
		return -ENOMEM;
	for (char *item = strtok_r(text, ",", &state); item != NULL;
	     item = strtok_r(NULL, ",", &state)) {
		char *end;
		unsigned long port = strtoul(item, &end, 10);
		if (*end != 0 || item[0] < '0' || item[0] > '9' || port == 0 || port > UINT16_MAX) {
			snprintf(error, size, "port '%s': must be a number of 1..65535", item);
			return -EINVAL;
		}
		ret_list->items[ret_list->count++] = port;
	}
	return 0;
}

static int parse_hosts(char *text, struct tl_text_list *ret_list)
{
	char *state = NULL;

	ret_list->items = calloc(count_items(text), sizeof(ret_list->items[0]));
	if (ret_list->items == NULL)
		return -ENOMEM;
	for (char *item = strtok_r(text, ",", &state); item != NULL;
	     item = strtok_r(NULL, ",", &state)) {
		char *copy = strdup(item);
		if (copy == NULL)
			return -ENOMEM;
		ret_list->items[ret_list->count++] = copy;
	}
	return 0;
}

// Cuts `text` at its first `;` and gives what follows, NULL if there is none.
static char *cut(char *text)
{
	char *semicolon = strchr(text, ';');

	if (semicolon == NULL)
		return NULL;
	*semicolon = 0;
	return semicolon + 1;
}

static int parse(char *text, struct tl_rule_spec *spec, char *error, uint32_t size)
{
	char *ports = cut(text);
	char *hosts = ports != NULL ? cut(ports) : NULL;
	char *rest = hosts != NULL ? cut(hosts) : NULL;
	int err = 0;

	if (*text == 0 || rest != NULL || count_items(ports != NULL ? ports : "") > ITEMS_MAX ||
	    count_items(hosts != NULL ? hosts : "") > ITEMS_MAX) {
		snprintf(error, size, "must read 'protocol;port[,port][;host or CIDR]'");
		return -EINVAL;
	}
	spec->name = strdup(text);
	spec->protocol = strdup(text);
	if (spec->name == NULL || spec->protocol == NULL)
		return -ENOMEM;
	if (ports != NULL)
		err = parse_ports(ports, &spec->ports, error, size);
	if (err == 0 && hosts != NULL)
		err = parse_hosts(hosts, &spec->hosts);
	return err;
}

int tl_rule_parse(const char *text, struct tl_rule_spec *ret_spec, char *error, uint32_t error_size)
{
	struct tl_rule_spec spec = {0};
	char *copy = strdup(text);

	if (error_size != 0)
		error[0] = 0;
	int err = copy != NULL ? parse(copy, &spec, error, error_size) : -ENOMEM;
	free(copy);
	if (err != 0) {
		if (err == -ENOMEM)
			snprintf(error, error_size, "out of memory");
		tl_rule_spec_fini(&spec);
		return err;
	}
	*ret_spec = spec;
	return 0;
}

static void free_text(const char *text)
{
	free((void *)(uintptr_t)text);
}

void tl_rule_spec_fini(struct tl_rule_spec *spec)
{
	for (uint32_t i = 0; i < spec->hosts.count; i++)
		free_text(spec->hosts.items[i]);
	free(spec->hosts.items);
	free(spec->ports.items);
	free_text(spec->name);
	free_text(spec->protocol);
	*spec = (struct tl_rule_spec) {0};
}
