// SPDX-License-Identifier: Apache-2.0
// The agent: the probe that runs until it is told to stop, with its sinks, its HTTP API, reload
// and log. Main thread.
#pragma once

// Runs until SIGINT, SIGTERM or the end of all inputs. `path` is the configuration file, NULL for
// the defaults; `version` is shown in the status. 0, or -errno after what went wrong has been
// logged: -EINVAL for the configuration, -EIO when an input failed, else as tl_pipeline_create.
int tl_agent_run(const char *path, const char *version);
