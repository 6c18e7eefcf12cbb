#include <atomic>
#include <chrono>
#include <thread>

#include "server/softcuda/driver_test_support.h"

namespace farlane::softcuda {
namespace {

class Streams : public DriverTest {
 protected:
  CUstream make(unsigned flags) {
    CUstream stream = nullptr;
    EXPECT_OK(cuStreamCreate(&stream, flags));
    return stream;
  }
};

void append(void* data) {
  // Each host function appends its own digit; `data` points at {list, digit}.
  auto* item = static_cast<std::pair<std::vector<int>*, int>*>(data);
  item->first->push_back(item->second);
}

TEST_F(Streams, Properties) {
  CUstream stream = nullptr;
  ASSERT_OK(cuStreamCreateWithPriority(&stream, CU_STREAM_NON_BLOCKING, -100));
  unsigned flags = 0;
  int priority = 0;
  CUcontext context = nullptr;
  unsigned long long id = 0, other_id = 0;
  EXPECT_OK(cuStreamGetFlags(stream, &flags));
  EXPECT_EQ(flags, unsigned{CU_STREAM_NON_BLOCKING});
  EXPECT_OK(cuStreamGetPriority(stream, &priority));
  EXPECT_EQ(priority, -5);
  EXPECT_OK(cuStreamGetCtx(stream, &context));
  EXPECT_EQ(context, context_);
  EXPECT_OK(cuStreamGetId(stream, &id));
  EXPECT_OK(cuStreamGetId(nullptr, &other_id));
  EXPECT_NE(id, other_id);
  EXPECT_OK(cuStreamDestroy(stream));
  EXPECT_CU(CUDA_ERROR_INVALID_HANDLE, cuStreamDestroy(stream));
  EXPECT_CU(CUDA_ERROR_INVALID_HANDLE, cuStreamSynchronize(stream));
  EXPECT_CU(CUDA_ERROR_INVALID_HANDLE, cuStreamQuery(reinterpret_cast<CUstream>(0x1234)));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuStreamCreate(&stream, 77));
}

TEST_F(Streams, WorkIsInOrder) {
  const CUstream stream = make(CU_STREAM_NON_BLOCKING);
  std::vector<int> list;
  std::pair<std::vector<int>*, int> items[50];
  for (int i = 0; i < 50; ++i) {
    items[i] = {&list, i};
    EXPECT_OK(cuLaunchHostFunc(stream, append, &items[i]));
  }
  EXPECT_OK(cuStreamSynchronize(stream));
  ASSERT_EQ(list.size(), 50u);
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(list[static_cast<size_t>(i)], i);
  }
}

TEST_F(Streams, QuerySaysWhetherWorkIsLeft) {
  const CUstream stream = make(CU_STREAM_NON_BLOCKING);
  EXPECT_OK(cuStreamQuery(stream));
  Gate gate;
  gate.put_into(stream);
  EXPECT_CU(CUDA_ERROR_NOT_READY, cuStreamQuery(stream));
  gate.open();
  EXPECT_OK(cuStreamSynchronize(stream));
  EXPECT_OK(cuStreamQuery(stream));
}

TEST_F(Streams, LegacyStreamWaitsForBlockingStreams) {
  const CUstream blocking = make(0);
  Gate gate;
  gate.put_into(blocking);
  CUdeviceptr pointer = 0;
  ASSERT_OK(cuMemAlloc(&pointer, 4));
  ASSERT_OK(cuMemsetD8Async(pointer, 1, 4, nullptr));
  EXPECT_CU(CUDA_ERROR_NOT_READY, cuStreamQuery(nullptr));
  EXPECT_CU(CUDA_ERROR_NOT_READY, cuStreamQuery(CU_STREAM_LEGACY));
  gate.open();
  EXPECT_OK(cuStreamSynchronize(nullptr));
  EXPECT_OK(cuStreamQuery(blocking));
}

TEST_F(Streams, BlockingStreamsWaitForTheLegacyStream) {
  const CUstream blocking = make(0);
  Gate gate;
  gate.put_into(nullptr);
  std::atomic<bool> ran{false};
  const auto set = [](void* flag) { *static_cast<std::atomic<bool>*>(flag) = true; };
  EXPECT_OK(cuLaunchHostFunc(blocking, set, &ran));
  EXPECT_CU(CUDA_ERROR_NOT_READY, cuStreamQuery(blocking));
  EXPECT_FALSE(ran.load());
  gate.open();
  EXPECT_OK(cuStreamSynchronize(blocking));
  EXPECT_TRUE(ran.load());
}

TEST_F(Streams, NonBlockingStreamsDoNotWait) {
  const CUstream free_running = make(CU_STREAM_NON_BLOCKING);
  std::atomic<int> ran{0};
  const auto count = [](void* counter) { ++*static_cast<std::atomic<int>*>(counter); };
  Gate gate;
  gate.put_into(nullptr);
  EXPECT_OK(cuLaunchHostFunc(free_running, count, &ran));
  EXPECT_OK(cuStreamSynchronize(free_running));  // returns although the gate is shut
  EXPECT_EQ(ran.load(), 1);
  gate.open();
  EXPECT_OK(cuCtxSynchronize());
  Gate other;
  other.put_into(free_running);
  EXPECT_OK(cuLaunchHostFunc(nullptr, count, &ran));
  EXPECT_OK(cuStreamSynchronize(nullptr));
  EXPECT_EQ(ran.load(), 2);
}

TEST_F(Streams, TwoBlockingStreamsAreIndependent) {
  const CUstream first = make(0), second = make(0);
  Gate gate;
  gate.put_into(first);
  std::atomic<int> ran{0};
  const auto count = [](void* counter) { ++*static_cast<std::atomic<int>*>(counter); };
  EXPECT_OK(cuLaunchHostFunc(second, count, &ran));
  EXPECT_OK(cuStreamSynchronize(second));
  EXPECT_EQ(ran.load(), 1);
}

TEST_F(Streams, LegacyStreamIsAFence) {
  // A (first) -> legacy -> B (second): B must come after A although they share no stream.
  const CUstream first = make(0), second = make(0);
  std::vector<int> list;
  std::pair<std::vector<int>*, int> items[3] = {{&list, 1}, {&list, 2}, {&list, 3}};
  Gate gate;
  gate.put_into(first);
  EXPECT_OK(cuLaunchHostFunc(first, append, &items[0]));
  EXPECT_OK(cuLaunchHostFunc(nullptr, append, &items[1]));
  EXPECT_OK(cuLaunchHostFunc(second, append, &items[2]));
  gate.open();
  EXPECT_OK(cuCtxSynchronize());
  EXPECT_EQ(list, (std::vector<int>{1, 2, 3}));
}

TEST_F(Streams, LegacyStreamStillWaitsForADestroyedStream) {
  const CUstream blocking = make(0);
  Gate gate;
  gate.put_into(blocking);
  EXPECT_OK(cuStreamDestroy(blocking));
  make(0);  // the moment when ended streams are forgotten
  CUdeviceptr pointer = 0;
  ASSERT_OK(cuMemAlloc(&pointer, 4));
  ASSERT_OK(cuMemsetD8Async(pointer, 1, 4, nullptr));
  EXPECT_CU(CUDA_ERROR_NOT_READY, cuStreamQuery(nullptr));
  gate.open();
  EXPECT_OK(cuStreamSynchronize(nullptr));
}

TEST_F(Streams, PerThreadStream) {
  Gate gate;
  gate.put_into(CU_STREAM_PER_THREAD);
  EXPECT_CU(CUDA_ERROR_NOT_READY, cuStreamQuery(CU_STREAM_PER_THREAD));
  std::thread([&] {
    EXPECT_OK(cuCtxSetCurrent(context_));
    EXPECT_OK(cuStreamQuery(CU_STREAM_PER_THREAD));  // another thread's is another stream
    EXPECT_CU(CUDA_ERROR_NOT_READY, cuStreamQuery(CU_STREAM_LEGACY));  // and it is a blocking one
  }).join();
  gate.open();
  EXPECT_OK(cuStreamSynchronize(CU_STREAM_PER_THREAD));
}

TEST_F(Streams, WaitEventOrdersTwoStreams) {
  const CUstream first = make(CU_STREAM_NON_BLOCKING), second = make(CU_STREAM_NON_BLOCKING);
  CUevent event = nullptr;
  ASSERT_OK(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
  std::vector<int> list;
  std::pair<std::vector<int>*, int> items[2] = {{&list, 1}, {&list, 2}};
  Gate gate;
  gate.put_into(first);
  EXPECT_OK(cuLaunchHostFunc(first, append, &items[0]));
  EXPECT_OK(cuEventRecord(event, first));
  EXPECT_OK(cuStreamWaitEvent(second, event, 0));
  EXPECT_OK(cuEventDestroy(event));  // the wait that is in the stream still holds
  EXPECT_OK(cuLaunchHostFunc(second, append, &items[1]));
  EXPECT_CU(CUDA_ERROR_NOT_READY, cuStreamQuery(second));
  gate.open();
  EXPECT_OK(cuStreamSynchronize(second));
  EXPECT_EQ(list, (std::vector<int>{1, 2}));
}

TEST_F(Streams, WaitForANeverRecordedEventIsNothing) {
  const CUstream stream = make(0);
  CUevent event = nullptr;
  ASSERT_OK(cuEventCreate(&event, 0));
  EXPECT_OK(cuStreamWaitEvent(stream, event, 0));
  EXPECT_OK(cuStreamSynchronize(stream));
  EXPECT_CU(CUDA_ERROR_INVALID_HANDLE,
            cuStreamWaitEvent(stream, reinterpret_cast<CUevent>(0x55), 0));
}

TEST_F(Streams, EventStates) {
  const CUstream stream = make(CU_STREAM_NON_BLOCKING);
  CUevent event = nullptr, quiet = nullptr;
  ASSERT_OK(cuEventCreate(&event, 0));
  ASSERT_OK(cuEventCreate(&quiet, CU_EVENT_DISABLE_TIMING));
  float milliseconds = 0;
  EXPECT_OK(cuEventQuery(event));  // never recorded: complete
  EXPECT_OK(cuEventSynchronize(event));
  EXPECT_CU(CUDA_ERROR_INVALID_HANDLE, cuEventElapsedTime(&milliseconds, event, event));
  Gate gate;
  gate.put_into(stream);
  EXPECT_OK(cuEventRecord(event, stream));
  EXPECT_OK(cuEventRecordWithFlags(quiet, stream, CU_EVENT_RECORD_DEFAULT));
  EXPECT_CU(CUDA_ERROR_NOT_READY, cuEventQuery(event));
  EXPECT_CU(CUDA_ERROR_NOT_READY, cuEventElapsedTime(&milliseconds, event, event));
  EXPECT_CU(CUDA_ERROR_INVALID_HANDLE, cuEventElapsedTime(&milliseconds, event, quiet));
  gate.open();
  EXPECT_OK(cuEventSynchronize(event));
  EXPECT_OK(cuEventQuery(event));
  EXPECT_OK(cuEventElapsedTime(&milliseconds, event, event));
  EXPECT_EQ(milliseconds, 0.0F);
  EXPECT_OK(cuEventDestroy(event));
  EXPECT_CU(CUDA_ERROR_INVALID_HANDLE, cuEventDestroy(event));
  EXPECT_CU(CUDA_ERROR_INVALID_HANDLE, cuEventRecord(event, stream));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuEventCreate(&event, 0x100));
}

TEST_F(Streams, ElapsedTimeLiesBetweenWhatTheHostMeasures) {
  using Clock = std::chrono::steady_clock;
  const CUstream stream = make(CU_STREAM_NON_BLOCKING);
  CUevent start = nullptr, end = nullptr;
  ASSERT_OK(cuEventCreate(&start, 0));
  ASSERT_OK(cuEventCreate(&end, 0));
  struct Inner {
    Clock::time_point begin, end;
  } inner;
  const auto work = [](void* data) {
    auto* times = static_cast<Inner*>(data);
    times->begin = Clock::now();
    volatile uint64_t sum = 0;
    for (uint64_t i = 0; i < 2000000; ++i) {
      sum = sum + i;
    }
    times->end = Clock::now();
  };
  const auto outer_begin = Clock::now();
  EXPECT_OK(cuEventRecord(start, stream));
  EXPECT_OK(cuLaunchHostFunc(stream, work, &inner));
  EXPECT_OK(cuEventRecord(end, stream));
  EXPECT_OK(cuEventSynchronize(end));
  const auto outer_end = Clock::now();
  float milliseconds = -1;
  EXPECT_OK(cuEventElapsedTime(&milliseconds, start, end));
  using Milliseconds = std::chrono::duration<float, std::milli>;
  EXPECT_GE(milliseconds * 1.001F, Milliseconds(inner.end - inner.begin).count());
  EXPECT_LE(milliseconds, Milliseconds(outer_end - outer_begin).count() * 1.001F);
  EXPECT_OK(cuEventElapsedTime(&milliseconds, end, start));
  EXPECT_LT(milliseconds, 0.0F);
}

TEST_F(Streams, RecordingAgainReplacesTheOldRecord) {
  const CUstream stream = make(CU_STREAM_NON_BLOCKING);
  CUevent event = nullptr;
  ASSERT_OK(cuEventCreate(&event, 0));
  EXPECT_OK(cuEventRecord(event, stream));
  EXPECT_OK(cuEventSynchronize(event));
  Gate gate;
  gate.put_into(stream);
  EXPECT_OK(cuEventRecord(event, stream));
  EXPECT_CU(CUDA_ERROR_NOT_READY, cuEventQuery(event));
}

TEST_F(Streams, Callback) {
  const CUstream stream = make(0);
  struct Seen {
    CUstream stream = nullptr;
    CUresult status = CUDA_ERROR_UNKNOWN;
  } seen;
  const auto callback = [](CUstream s, CUresult status, void* data) {
    *static_cast<Seen*>(data) = {s, status};
  };
  EXPECT_OK(cuStreamAddCallback(stream, callback, &seen, 0));
  EXPECT_OK(cuStreamSynchronize(stream));
  EXPECT_EQ(seen.stream, stream);
  EXPECT_EQ(seen.status, CUDA_SUCCESS);
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuStreamAddCallback(stream, nullptr, nullptr, 0));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuLaunchHostFunc(stream, nullptr, nullptr));
}

TEST_F(Streams, ManyThreadsManyStreams) {
  constexpr int kThreads = 4, kRounds = 200;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      ASSERT_OK(cuCtxSetCurrent(context_));
      CUstream stream = nullptr;
      ASSERT_OK(cuStreamCreate(&stream, t % 2 == 0 ? 0 : unsigned{CU_STREAM_NON_BLOCKING}));
      CUdeviceptr pointer = 0;
      ASSERT_OK(cuMemAlloc(&pointer, 4096));
      for (int i = 0; i < kRounds; ++i) {
        const auto value = static_cast<unsigned char>(i + t);
        ASSERT_OK(cuMemsetD8Async(pointer, value, 4096, stream));
        unsigned char out = 0;
        ASSERT_OK(cuMemcpyDtoHAsync(&out, pointer + 4095, 1, stream));
        ASSERT_EQ(out, value);
        if (i % 10 == 0) {
          ASSERT_OK(cuMemFree(pointer));
          ASSERT_OK(cuMemAlloc(&pointer, 4096));
        }
      }
      EXPECT_OK(cuStreamDestroy(stream));
    });
  }
  for (auto& thread : threads) {
    thread.join();
  }
}

}  // namespace
}  // namespace farlane::softcuda
