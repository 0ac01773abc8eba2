// SPDX-License-Identifier: Apache-2.0
// The rx lcores: they read the ports that have a distributor. Usually one; with several readers of an
// interface port number i is read by number i % count.
#pragma once

#include "worker/status.h"

// The lcore function; `arg` is the struct tl_rx. Returns when its ports have ended, the first when all
// have.
int tl_rx_run(void *arg);

// Any of them. Main thread.
bool tl_rx_is_running(const struct tl_pipeline *pipeline);
