// Errors of posted commands: told once, sticky ones for ever, and never to the wrong session.
#include <gtest/gtest.h>

#include "client/core/graph_api.h"
#include "tests/system/rig.h"

namespace farlane::system_test {
namespace {

using client::device_synchronize;
using client::memory_allocate;
using client::stream_create;

// A command that the client would not send: it fails on the server only.
void post_bad_fill() {
  client::Session* session = client::session_if_any();
  const uint64_t sequence =
      session->post(client::message::Fill{.stream = session->device(0)->legacy.id,
                                          .to = 0x1234'0000,
                                          .pitch = 4,
                                          .value = 0,
                                          .element_bytes = 4,
                                          .width = 1,
                                          .height = 1});
  ASSERT_NE(sequence, 0u);
  session->touch(&session->device(0)->legacy, sequence);
}

TEST(Errors, APostedErrorIsToldOnce) {
  Rig rig;
  CUdeviceptr data = 0;
  ASSERT_EQ(memory_allocate(0, 4096, &data), CUDA_SUCCESS);
  for (int round = 0; round < 3; ++round) {
    post_bad_fill();
    EXPECT_EQ(device_synchronize(0), CUDA_ERROR_INVALID_VALUE);
    EXPECT_EQ(client::session_error(), CUDA_SUCCESS);
    ASSERT_EQ(fill_words(data, 1, 1024, nullptr), CUDA_SUCCESS);
    EXPECT_EQ(device_synchronize(0), CUDA_SUCCESS);
  }
}

TEST(Errors, OfSeveralOnTheirWayOneIsTold) {
  RigOptions options;
  options.by_hand = true;
  Rig rig(options);
  CUdeviceptr data = 0;
  ASSERT_EQ(rig.pumped([&] { return memory_allocate(0, 4096, &data); }), CUDA_SUCCESS);
  for (int i = 0; i < 10; ++i) post_bad_fill();
  EXPECT_EQ(rig.pumped([] { return device_synchronize(0); }), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(client::session_error(), CUDA_SUCCESS);
  EXPECT_EQ(fill_words(data, 1, 1024, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(rig.pumped([] { return device_synchronize(0); }), CUDA_SUCCESS);
}

TEST(Errors, AnErrorReachesACallThatDoesNotWait) {
  Rig rig;
  CUdeviceptr data = 0;
  ASSERT_EQ(memory_allocate(0, 4096, &data), CUDA_SUCCESS);
  post_bad_fill();
  // An idle worker tells it by itself.
  const auto end = std::chrono::steady_clock::now() + kPatience;
  CUresult result = CUDA_SUCCESS;
  while (result == CUDA_SUCCESS && std::chrono::steady_clock::now() < end) {
    client::session_if_any()->inbox().drain();
    result = client::session_error();
  }
  EXPECT_EQ(result, CUDA_ERROR_INVALID_VALUE);
}

TEST(Errors, AnIllegalAddressStays) {
  const uint64_t before = device_free_bytes();
  {
    Rig rig;
    Kernels kernels;
    CUdeviceptr data = 0;
    ASSERT_EQ(kernels.load(), CUDA_SUCCESS);
    ASSERT_EQ(memory_allocate(0, 4096, &data), CUDA_SUCCESS);
    ASSERT_EQ(kernels.launch_store(nullptr, 0x40, 1), CUDA_SUCCESS);
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(device_synchronize(0), CUDA_ERROR_ILLEGAL_ADDRESS);
      EXPECT_EQ(client::session_error(), CUDA_ERROR_ILLEGAL_ADDRESS);
      EXPECT_EQ(fill_words(data, 1, 1024, nullptr), CUDA_ERROR_ILLEGAL_ADDRESS);
      EXPECT_EQ(kernels.launch_store(nullptr, data, 1), CUDA_ERROR_ILLEGAL_ADDRESS);
      uint32_t got = 0;
      EXPECT_EQ(to_host(&got, data, 4, nullptr, false), CUDA_ERROR_ILLEGAL_ADDRESS);
    }
  }
  // The session's memory is free again. (That another session goes on is for tests of processes:
  // here both would share one context.)
  EXPECT_EQ(device_free_bytes(), before);
}

TEST(Errors, NamesThatAreNoMoreAreRefused) {
  Rig rig;
  CUstream stream = nullptr;
  CUevent event = nullptr;
  CUdeviceptr data = 0;
  Kernels kernels;
  ASSERT_EQ(kernels.load(), CUDA_SUCCESS);
  ASSERT_EQ(memory_allocate(0, 4096, &data), CUDA_SUCCESS);
  ASSERT_EQ(stream_create(0, 0, 0, &stream), CUDA_SUCCESS);
  ASSERT_EQ(client::event_create(0, 0, &event), CUDA_SUCCESS);
  EXPECT_EQ(client::stream_synchronize(reinterpret_cast<CUstream>(event)),
            CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(client::event_record(reinterpret_cast<CUevent>(stream), nullptr, 0),
            CUDA_ERROR_INVALID_HANDLE);
  ASSERT_EQ(client::stream_destroy(stream), CUDA_SUCCESS);
  ASSERT_EQ(client::event_destroy(event), CUDA_SUCCESS);
  ASSERT_EQ(client::module_unload(kernels.module), CUDA_SUCCESS);
  EXPECT_EQ(client::stream_destroy(stream), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(client::event_destroy(event), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(client::event_record(event, nullptr, 0), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(fill_words(data, 1, 1, stream), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(kernels.launch_store(nullptr, data, 1), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(device_synchronize(0), CUDA_SUCCESS) << "none of it reached the server";
}

TEST(Errors, OfSeveralThingsThatAreWrongTheFirstIsTold) {
  Rig rig;
  auto* const no_stream = reinterpret_cast<CUstream>(0x1234);
  auto* const no_event = reinterpret_cast<CUevent>(0x1234);
  auto* const no_exec = reinterpret_cast<CUgraphExec>(0x1234);
  CUdeviceptr address = 0;
  CUstream stream = nullptr;
  ASSERT_EQ(stream_create(0, CU_STREAM_NON_BLOCKING, 0, &stream), CUDA_SUCCESS);
  EXPECT_EQ(client::memory_allocate_async(7, 64, no_stream, &address), CUDA_ERROR_INVALID_DEVICE);
  EXPECT_EQ(client::exec_launch(no_exec, no_stream), CUDA_ERROR_INVALID_VALUE);
  // A call that is wrong already does nothing to a capture; one that a capture forbids does.
  CUgraph graph = nullptr;
  ASSERT_EQ(client::capture_begin(stream, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_SUCCESS);
  EXPECT_EQ(client::event_record(no_event, stream, 0), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(client::exec_launch(no_exec, stream), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(client::capture_end(stream, &graph), CUDA_SUCCESS);
  ASSERT_EQ(client::graph_destroy(graph), CUDA_SUCCESS);
  ASSERT_EQ(client::capture_begin(stream, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_SUCCESS);
  EXPECT_EQ(memory_allocate(7, 64, &address), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EXPECT_EQ(client::capture_end(stream, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  rig.cut();
  size_t bytes = 0;
  ASSERT_EQ(client::limit_get(0, CU_LIMIT_STACK_SIZE, &bytes), client::kServerLost);
  EXPECT_EQ(client::exec_launch(no_exec, no_stream), client::kServerLost);
  EXPECT_EQ(client::event_record(no_event, no_stream, 0), client::kServerLost);
}

TEST(Errors, AClientThatBreaksTheProtocolIsShownTheDoorWithAReason) {
  Rig rig;
  client::Session* session = client::session_if_any();
  session->post(client::message::StreamDestroy{
      .stream = protocol::StreamId::from_bits(session->device(0)->legacy.id.bits() ^ 0x7700)});
  EXPECT_EQ(device_synchronize(0), CUDA_SUCCESS) << "nothing to wait for";
  size_t free_bytes = 0;
  size_t total = 0;
  EXPECT_EQ(client::memory_info(0, &free_bytes, &total), client::kServerLost);
  EXPECT_EQ(rig.wait_for_worker(), server::SessionEnd::kProtocol) << rig.worker_text();
  EXPECT_NE(rig.worker_text().find("stream_destroy"), std::string::npos) << rig.worker_text();
}

}  // namespace
}  // namespace farlane::system_test
