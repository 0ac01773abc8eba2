// SPDX-License-Identifier: Apache-2.0
// capset(2) itself: a library for this one call isn't worth a dependency.
#include "cli/command.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

void tl_take_privileges(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {0};
	bool is_less = false;

	if (syscall(SYS_capget, &head, sets) != 0)
		return;
	for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		is_less |= sets[i].effective != sets[i].permitted;
		sets[i].effective = sets[i].permitted;
	}
	// Where this is refused, opening a port says what is missing.
	if (is_less)
		(void)syscall(SYS_capset, &head, sets);
}
