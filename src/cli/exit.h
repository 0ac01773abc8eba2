// SPDX-License-Identifier: Apache-2.0
// Exit statuses of every command; scripts rely on them.
#pragma once

enum tl_exit {
	TL_EXIT_DONE = 0,
	TL_EXIT_FAILURE = 1, // at run time; also an unreadable, empty or foreign capture
	TL_EXIT_USAGE = 2,   // command line or configuration
	TL_EXIT_CAPTURE = 3, // nothing could be captured: permission, no such interface
};
