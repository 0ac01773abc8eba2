// SPDX-License-Identifier: Apache-2.0
// Service names by address and port: of the configuration, and of a file with a line for each. Read
// once, then immutable: any thread may look.
#pragma once

#include "base/option.h"

struct tl_services;

// `names` maps "address", "address:port" or ":port" to a name, and may be NULL; `file` ("" for none)
// has lines "10.0.0.2:80 payments", empty ones and comments behind #. The configuration wins.
// Copies what it needs. 0, -EINVAL, -ENOMEM or why the file can't be read, with a line in `error`.
int tl_services_create(const struct tl_text_map *names, const char *file,
		       struct tl_services **ret_services, char *error, uint32_t error_size);
void tl_services_destroy(struct tl_services *services); // accepts NULL

// The name of address and port, else of the address, else of the port; NULL if there is none.
const char *tl_services_name(const struct tl_services *services, const uint8_t address[16],
			     uint16_t port);
