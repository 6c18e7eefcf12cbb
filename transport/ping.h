// What bare TCP and bare shared memory give on this machine, without channels: the raw figures that
// the bench prints beside ours. Both ends run in this process, over the loopback interface.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace farlane::transport {

struct PingOptions {
  uint32_t message_bytes = 64;
  uint32_t round_trips = 20'000;
  uint32_t warm_up_round_trips = 1'000;
  bool spinning = true;  // poll with non-blocking reads; otherwise both ends sleep in read()
};

struct PingResult {
  double median_us = 0;  // one round trip
  double p99_us = 0;
  double min_us = 0;
  std::string error;  // "" or why there are no figures
};

PingResult measure_ping(const PingOptions& options = {});

struct StreamOptions {
  uint32_t connections = 1;  // each with its own sending and receiving thread
  uint64_t total_bytes = uint64_t{256} * 1024 * 1024;  // over all connections together
  uint32_t chunk_bytes = 1024 * 1024;                  // of one write
  // What all senders together read, round and round, and all receivers write. 0: one chunk each,
  // which stays in the processor's cache.
  uint64_t memory_bytes = 0;
};

struct StreamResult {
  double gb_per_s = 0;  // 1e9 bytes; from the first write to the last byte read
  std::string error;
};

StreamResult measure_stream(const StreamOptions& options = {});

// The same with bare rings in shared memory: a cache line to and fro, and memcpy() in and out, with
// nothing around it. `spinning` does not apply: both ends always spin.
PingResult measure_shm_ping(const PingOptions& options = {});
// `connections` rings of `ring_bytes` each; one thread copies in, one out.
StreamResult measure_shm_stream(const StreamOptions& options = {},
                                size_t ring_bytes = size_t{8} * 1024 * 1024);

}  // namespace farlane::transport
