// What shared memory gives on this machine: two threads, a ring, and no channel. Written apart from
// shm_ring.cc on purpose, so that the one can be held against the other.
#include <algorithm>
#include <atomic>
#include <barrier>
#include <cstring>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#include "transport/channel.h"
#include "transport/ping.h"

namespace farlane::transport {
namespace {

constexpr size_t kLineBytes = 128;
// Where another thread has the processor, spinning on would only keep it from its work.
constexpr uint32_t kSpins = 2000;

struct alignas(kLineBytes) Counter {
  std::atomic<uint64_t> value{0};
};

void await_at_least(const Counter& counter, uint64_t value) {
  for (uint32_t spins = 0; counter.value.load(std::memory_order_acquire) < value;) {
    if (++spins % kSpins == 0) {
      std::this_thread::yield();
    }
    __builtin_ia32_pause();
  }
}

struct BareRing {
  explicit BareRing(size_t ring_bytes)
      : bytes(ring_bytes), data(std::make_unique<std::byte[]>(ring_bytes)) {}
  const size_t bytes;
  const std::unique_ptr<std::byte[]> data;
  Counter written;
  Counter taken;
};

}  // namespace

PingResult measure_shm_ping(const PingOptions& options) {
  PingResult result;
  constexpr uint32_t kMessageBytesMax = 64 * 1024;
  if (options.round_trips == 0 || options.message_bytes == 0 ||
      options.message_bytes > kMessageBytesMax) {
    result.error = "a ping-pong needs at least one round trip, of 1 to 65536 bytes";
    return result;
  }
  BareRing there(options.message_bytes);
  BareRing back(options.message_bytes);
  const uint32_t all = options.warm_up_round_trips + options.round_trips;
  std::thread peer([&] {
    std::vector<std::byte> message(options.message_bytes);
    for (uint64_t i = 1; i <= all; ++i) {
      await_at_least(there.written, i);
      std::memcpy(message.data(), there.data.get(), message.size());
      std::memcpy(back.data.get(), message.data(), message.size());
      back.written.value.store(i, std::memory_order_release);
    }
  });
  std::vector<std::byte> message(options.message_bytes);
  std::vector<double> times_us;
  times_us.reserve(options.round_trips);
  for (uint64_t i = 1; i <= all; ++i) {
    const auto start = Clock::now();
    std::memcpy(there.data.get(), message.data(), message.size());
    there.written.value.store(i, std::memory_order_release);
    await_at_least(back.written, i);
    std::memcpy(message.data(), back.data.get(), message.size());
    if (i > options.warm_up_round_trips) {
      times_us.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
    }
  }
  peer.join();
  std::sort(times_us.begin(), times_us.end());
  result.min_us = times_us.front();
  result.median_us = times_us[times_us.size() / 2];
  result.p99_us = times_us[times_us.size() * 99 / 100];
  return result;
}

StreamResult measure_shm_stream(const StreamOptions& options, size_t ring_bytes) {
  StreamResult result;
  const size_t piece_bytes = std::min<size_t>(ring_bytes / 4, size_t{128} * 1024);
  if (options.connections == 0 || options.chunk_bytes < piece_bytes || piece_bytes == 0) {
    result.error = "a stream needs at least one ring, and chunks of at least a piece";
    return result;
  }
  ring_bytes = ring_bytes / piece_bytes * piece_bytes;
  std::vector<std::unique_ptr<BareRing>> rings;
  for (uint32_t i = 0; i < options.connections; ++i) {
    rings.push_back(std::make_unique<BareRing>(ring_bytes));
  }
  const uint64_t share_bytes =
      options.total_bytes / options.connections / piece_bytes * piece_bytes;
  std::barrier start(static_cast<ptrdiff_t>(options.connections * 2 + 1));
  std::vector<std::thread> threads;
  for (const auto& ring : rings) {
    threads.emplace_back([&, ring = ring.get()] {
      std::vector<std::byte> chunk(options.chunk_bytes / piece_bytes * piece_bytes);
      start.arrive_and_wait();
      for (uint64_t at = 0; at < share_bytes; at += piece_bytes) {
        if (at + piece_bytes > ring->bytes) {
          await_at_least(ring->taken, at + piece_bytes - ring->bytes);
        }
        std::memcpy(ring->data.get() + at % ring->bytes, chunk.data() + at % chunk.size(),
                    piece_bytes);
        ring->written.value.store(at + piece_bytes, std::memory_order_release);
      }
    });
    threads.emplace_back([&, ring = ring.get()] {
      std::vector<std::byte> chunk(options.chunk_bytes / piece_bytes * piece_bytes);
      start.arrive_and_wait();
      for (uint64_t at = 0; at < share_bytes; at += piece_bytes) {
        await_at_least(ring->written, at + piece_bytes);
        std::memcpy(chunk.data() + at % chunk.size(), ring->data.get() + at % ring->bytes,
                    piece_bytes);
        ring->taken.value.store(at + piece_bytes, std::memory_order_release);
      }
    });
  }
  start.arrive_and_wait();
  const auto begin = Clock::now();
  for (std::thread& thread : threads) {
    thread.join();
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  result.gb_per_s = static_cast<double>(share_bytes * options.connections) / seconds / 1e9;
  return result;
}

}  // namespace farlane::transport
