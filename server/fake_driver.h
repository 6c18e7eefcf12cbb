// A driver that does nothing, quickly: for fuzzing the worker. It reads all of what it is given and
// writes all of what it is asked for, so that a sanitizer sees every wrong size.
#pragma once

#include "generated/server/driver_table.h"

namespace farlane::server {

// Every required function is there. Events fire at the second look. Some calls fail, now and then,
// the same way every time after restart_fake_driver().
DriverTable fake_driver();
void restart_fake_driver();

}  // namespace farlane::server
