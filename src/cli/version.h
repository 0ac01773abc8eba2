// SPDX-License-Identifier: Apache-2.0
// What this build is; TL_VERSION and TL_REVISION come from the build (revision.h).
#pragma once

#include "revision.h"
