// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/command.h"

extern const struct tl_command tl_command_watch;
extern const struct tl_command tl_command_stats;
extern const struct tl_command tl_command_agent;
extern const struct tl_command tl_command_health;
extern const struct tl_command tl_command_events;
extern const struct tl_command tl_command_config;
extern const struct tl_command tl_command_protocols;
extern const struct tl_command tl_command_ifaces;
extern const struct tl_command tl_command_doctor;
extern const struct tl_command tl_command_version;
extern const struct tl_command tl_command_help;

// The configuration that the agent reads when --config was `given` ("" if not); NULL: the defaults.
const char *tl_agent_path(const char *given);
