// How long the driver's functions take: a table of them that counts it and changes nothing else.
#pragma once

#include <cstdint>

#include "generated/server/driver_table.h"

namespace farlane::server {

// The processor's counter, which runs evenly; how long one of its ticks is, tick_ns() tells.
inline uint64_t ticks_now() {
  return __builtin_ia32_rdtsc();
}
// Nanoseconds of a tick, from the time that this process has run; the longer, the more exact.
double tick_ns();

// Ticks that the calling thread has spent in functions of a timed table.
uint64_t driver_ticks();

// `driver`'s functions, timed. One driver at a time in a process: the table of the last call is the
// one that works.
DriverTable timed_driver(const DriverTable& driver);

}  // namespace farlane::server
