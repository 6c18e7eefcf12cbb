#include "server/driver_clock.h"

#include <chrono>

namespace farlane::server {
namespace {

struct Start {
  std::chrono::steady_clock::time_point time = std::chrono::steady_clock::now();
  uint64_t ticks = ticks_now();
};
const Start g_start;

thread_local uint64_t t_driver_ticks = 0;
DriverTable g_driver;

template <auto kFunction, class Type>
struct Timed;
template <auto kFunction, class... Arguments>
struct Timed<kFunction, CUresult(CUDAAPI*)(Arguments...)> {
  static CUresult CUDAAPI call(Arguments... arguments) {
    const uint64_t begin = ticks_now();
    const CUresult result = (g_driver.*kFunction)(arguments...);
    t_driver_ticks += ticks_now() - begin;
    return result;
  }
};

template <class Type>
Type member_type(Type DriverTable::*);

}  // namespace

double tick_ns() {
  const Start now;
  const std::chrono::duration<double, std::nano> time = now.time - g_start.time;
  return time.count() / static_cast<double>(now.ticks - g_start.ticks);
}

uint64_t driver_ticks() {
  return t_driver_ticks;
}

DriverTable timed_driver(const DriverTable& driver) {
  g_driver = driver;
  DriverTable timed;
  visit_driver_functions([&]<auto kFunction>() {
    // What an old driver lacks stays missing.
    if (driver.*kFunction == nullptr) return;
    timed.*kFunction = &Timed<kFunction, decltype(member_type(kFunction))>::call;
  });
  return timed;
}

}  // namespace farlane::server
