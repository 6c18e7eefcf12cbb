#include "transport/ping.h"

#include <gtest/gtest.h>

namespace farlane::transport {
namespace {

TEST(Ping, GivesFiguresThatFitEachOther) {
  for (const bool spinning : {true, false}) {
    const PingResult result =
        measure_ping({.round_trips = 200, .warm_up_round_trips = 10, .spinning = spinning});
    EXPECT_EQ(result.error, "");
    EXPECT_GT(result.min_us, 0.0);
    EXPECT_LE(result.min_us, result.median_us);
    EXPECT_LE(result.median_us, result.p99_us);
  }
}

TEST(Ping, StreamsOverSeveralConnections) {
  for (const uint32_t connections : {1u, 3u, 8u}) {
    // Not a multiple of anything: the last write of each connection is a short one.
    const StreamResult result =
        measure_stream({.connections = connections, .total_bytes = 10'000'019});
    EXPECT_EQ(result.error, "");
    EXPECT_GT(result.gb_per_s, 0.0);
  }
}

TEST(Ping, StreamsBetweenLargerMemories) {
  // Once round, several times round, and less than a chunk each.
  for (const uint64_t memory_bytes : {10'000'019u, 3'000'000u, 5u}) {
    const StreamResult result = measure_stream({.connections = 3,
                                                .total_bytes = 10'000'019,
                                                .chunk_bytes = 100'000,
                                                .memory_bytes = memory_bytes});
    EXPECT_EQ(result.error, "");
    EXPECT_GT(result.gb_per_s, 0.0);
  }
}

TEST(Ping, RefusesToMeasureNothing) {
  EXPECT_NE(measure_ping({.round_trips = 0}).error, "");
  EXPECT_NE(measure_ping({.message_bytes = 0}).error, "");
  EXPECT_NE(measure_stream({.connections = 0}).error, "");
  EXPECT_NE(measure_stream({.chunk_bytes = 0}).error, "");
}

TEST(Ping, SharedMemoryGivesFigures) {
  const PingResult ping = measure_shm_ping({.round_trips = 100, .warm_up_round_trips = 10});
  EXPECT_EQ(ping.error, "");
  EXPECT_GT(ping.median_us, 0);
  EXPECT_LE(ping.min_us, ping.median_us);
  EXPECT_LE(ping.median_us, ping.p99_us);
  const StreamResult stream =
      measure_shm_stream({.connections = 2, .total_bytes = 8 * 1024 * 1024}, 1024 * 1024);
  EXPECT_EQ(stream.error, "");
  EXPECT_GT(stream.gb_per_s, 0);
  EXPECT_NE(measure_shm_ping({.message_bytes = 0}).error, "");
  EXPECT_NE(measure_shm_stream({.connections = 0}).error, "");
}

}  // namespace
}  // namespace farlane::transport
