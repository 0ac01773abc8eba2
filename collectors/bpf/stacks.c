// SPDX-License-Identifier: Apache-2.0
#include "collectors/bpf/stacks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/host.h"

#define SLOTS (2u * TL_STACKS_MAX) // a power of two
#define COMMANDS_MAX TL_SYMBOL_PROCESSES_MAX
#define NO_FRAME UINT32_MAX

struct stack {
	uint32_t pid;
	uint16_t kernel_count, user_count;
	uint64_t samples;
	uint64_t addresses[]; // the kernel's, then the user's; innermost first
};

struct command {
	uint32_t pid;
	char name[32];
};

struct tl_stacks {
	struct tl_symbols *symbols;
	uint64_t samples, left_out;
	uint32_t count;
	struct stack *slots[SLOTS]; // by hash, open addressing
	uint32_t command_count;
	struct command commands[COMMANDS_MAX];
};

struct tl_stacks *tl_stacks_create(void)
{
	struct tl_stacks *stacks = calloc(1, sizeof(*stacks));

	if (stacks != NULL)
		stacks->symbols = tl_symbols_create();
	if (stacks == NULL || stacks->symbols == NULL) {
		free(stacks);
		return NULL;
	}
	return stacks;
}

void tl_stacks_destroy(struct tl_stacks *stacks)
{
	if (stacks == NULL)
		return;
	for (uint32_t i = 0; i < SLOTS; i++)
		free(stacks->slots[i]);
	tl_symbols_destroy(stacks->symbols);
	free(stacks);
}

uint64_t tl_stacks_count(const struct tl_stacks *stacks)
{
	return stacks->samples;
}

uint64_t tl_stacks_left_out(const struct tl_stacks *stacks)
{
	return stacks->left_out;
}

// ---- Adding --------------------------------------------------------------------------------------

static uint64_t mix(uint64_t hash, uint64_t word)
{
	return (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15) ^ (hash >> 29);
}

static uint32_t place_of(const struct tl_perf_sample *s)
{
	uint64_t hash = s->pid;

	for (uint32_t i = 0; i < s->kernel_count; i++)
		hash = mix(hash, s->kernel[i]);
	for (uint32_t i = 0; i < s->user_count; i++)
		hash = mix(hash, s->user[i]);
	return (uint32_t)(hash >> 32) & (SLOTS - 1);
}

static bool is_same(const struct stack *stack, const struct tl_perf_sample *s)
{
	return stack->pid == s->pid && stack->kernel_count == s->kernel_count &&
	       stack->user_count == s->user_count &&
	       (s->kernel_count == 0 ||
		memcmp(stack->addresses, s->kernel, s->kernel_count * sizeof(uint64_t)) == 0) &&
	       (s->user_count == 0 || memcmp(stack->addresses + s->kernel_count, s->user,
					     s->user_count * sizeof(uint64_t)) == 0);
}

// What can't be asked any more when the process is gone.
static void note_process(struct tl_stacks *stacks, uint32_t pid)
{
	struct tl_text text = {0};

	for (uint32_t i = 0; i < stacks->command_count; i++)
		if (stacks->commands[i].pid == pid)
			return;
	if (stacks->command_count == COMMANDS_MAX)
		return;
	struct command *command = &stacks->commands[stacks->command_count++];
	command->pid = pid;
	if (pid == 0)
		(void)snprintf(command->name, sizeof(command->name), "idle");
	else if (tl_host_readf(&text, "/proc/%u/comm", pid) == 0)
		(void)snprintf(command->name, sizeof(command->name), "%.*s",
			       (int)strcspn(text.data, "\n"), text.data);
	tl_text_free(&text);
	if (pid != 0)
		tl_symbols_note(stacks->symbols, pid);
}

static struct stack *new_stack(const struct tl_perf_sample *s)
{
	uint32_t count = s->kernel_count + s->user_count;
	struct stack *stack = count > 2 * TL_PERF_FRAMES_MAX ? NULL :
		malloc(sizeof(*stack) + count * sizeof(uint64_t));

	if (stack == NULL)
		return NULL;
	*stack = (struct stack) {.pid = s->pid, .kernel_count = (uint16_t)s->kernel_count,
				 .user_count = (uint16_t)s->user_count};
	for (uint32_t i = 0; i < count; i++)
		stack->addresses[i] = i < s->kernel_count ? s->kernel[i]
							  : s->user[i - s->kernel_count];
	return stack;
}

void tl_stacks_add(struct tl_stacks *stacks, const struct tl_perf_sample *sample)
{
	uint32_t at = place_of(sample);

	while (stacks->slots[at] != NULL && !is_same(stacks->slots[at], sample))
		at = (at + 1) & (SLOTS - 1);
	if (stacks->slots[at] == NULL) {
		struct stack *stack = stacks->count == TL_STACKS_MAX ? NULL : new_stack(sample);
		if (stack == NULL) {
			stacks->left_out++;
			return;
		}
		note_process(stacks, sample->pid);
		stacks->slots[at] = stack;
		stacks->count++;
	}
	stacks->slots[at]->samples++;
	stacks->samples++;
}

// ---- The graph -----------------------------------------------------------------------------------

// A frame is known by its parent and its label; children are a list.
struct frame {
	uint32_t child, next, parent; // NO_FRAME: none
	uint64_t value, self;
	char label[TL_SYMBOL_NAME_BYTES];
};

struct graph {
	uint32_t count;
	struct frame *frames;
};

// NO_FRAME when there is no room: the sample then belongs to the frame above.
static uint32_t child_of(struct graph *graph, uint32_t parent, const char *label)
{
	uint32_t last = NO_FRAME;

	for (uint32_t at = graph->frames[parent].child; at != NO_FRAME; at = graph->frames[at].next) {
		if (strcmp(graph->frames[at].label, label) == 0)
			return at;
		last = at;
	}
	if (graph->count == TL_FLAME_FRAMES_MAX)
		return NO_FRAME;
	uint32_t index = graph->count++;
	struct frame *frame = &graph->frames[index];
	*frame = (struct frame) {.child = NO_FRAME, .next = NO_FRAME, .parent = parent};
	memcpy(frame->label, label, sizeof(frame->label));
	if (last == NO_FRAME)
		graph->frames[parent].child = index;
	else
		graph->frames[last].next = index;
	return index;
}

static const char *command_of(const struct tl_stacks *stacks, uint32_t pid)
{
	for (uint32_t i = 0; i < stacks->command_count; i++)
		if (stacks->commands[i].pid == pid && stacks->commands[i].name[0] != '\0')
			return stacks->commands[i].name;
	return "?";
}

static void label_of(struct tl_stacks *stacks, const struct stack *stack, uint32_t index,
		     char label[TL_SYMBOL_NAME_BYTES])
{
	struct tl_symbol symbol;
	bool is_known = index < stack->kernel_count ?
		tl_symbol_kernel(stacks->symbols, stack->addresses[index], &symbol) :
		tl_symbol_user(stacks->symbols, stack->pid, stack->addresses[index], &symbol);

	(void)snprintf(label, TL_SYMBOL_NAME_BYTES, "%s", !is_known ? "?" :
		       symbol.name[0] != '\0' ? symbol.name :
		       symbol.module[0] != '\0' ? symbol.module : "?");
}

// A command's name is any bytes; JSON takes only UTF-8.
static void make_ascii(char *label)
{
	for (; *label != '\0'; label++)
		if ((unsigned char)*label < ' ' || (unsigned char)*label > '~')
			*label = '?';
}

static void draw(struct tl_stacks *stacks, const struct stack *stack, struct graph *graph)
{
	char label[TL_SYMBOL_NAME_BYTES] = "";
	uint32_t at, next;

	(void)snprintf(label, sizeof(label), "%s", command_of(stacks, stack->pid));
	make_ascii(label);
	at = child_of(graph, 0, label);
	graph->frames[0].value += stack->samples;
	if (at == NO_FRAME) {
		graph->frames[0].self += stack->samples;
		return;
	}
	graph->frames[at].value += stack->samples;
	for (uint32_t i = (uint32_t)stack->kernel_count + stack->user_count; i != 0; i--) {
		label_of(stacks, stack, i - 1, label);
		make_ascii(label);
		next = child_of(graph, at, label);
		if (next == NO_FRAME)
			break;
		at = next;
		graph->frames[at].value += stack->samples;
	}
	graph->frames[at].self += stack->samples;
}

// Depth first, without recursion: down, else aside, else up until aside is possible.
static json_t *to_json(const struct graph *graph)
{
	json_t *list = json_array();
	uint32_t at = 0, level = 0;

	while (list != NULL && at != NO_FRAME) {
		const struct frame *frame = &graph->frames[at];
		(void)json_array_append_new(
			list, json_pack("{s:i, s:I, s:I, s:s}", "level", (int)level, "value",
					(json_int_t)frame->value, "self", (json_int_t)frame->self,
					"label", frame->label));
		if (frame->child != NO_FRAME) {
			at = frame->child;
			level++;
			continue;
		}
		while (at != NO_FRAME && graph->frames[at].next == NO_FRAME) {
			at = graph->frames[at].parent;
			level--;
		}
		if (at != NO_FRAME)
			at = graph->frames[at].next;
	}
	return list;
}

json_t *tl_stacks_flame(struct tl_stacks *stacks)
{
	struct graph graph = {.count = 1,
			      .frames = calloc(TL_FLAME_FRAMES_MAX, sizeof(struct frame))};

	if (graph.frames == NULL)
		return NULL;
	graph.frames[0] = (struct frame) {
		.child = NO_FRAME, .next = NO_FRAME, .parent = NO_FRAME, .label = "all"};
	for (uint32_t i = 0; i < SLOTS; i++)
		if (stacks->slots[i] != NULL)
			draw(stacks, stacks->slots[i], &graph);
	json_t *list = to_json(&graph);
	free(graph.frames);
	return list;
}
