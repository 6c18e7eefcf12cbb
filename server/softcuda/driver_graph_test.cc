#include <cstdio>
#include <cstring>
#include <thread>

#include "server/softcuda/driver_test_support.h"

namespace farlane::softcuda {
namespace {

class Graphs : public DriverTest {
 protected:
  void SetUp() override {
    DriverTest::SetUp();
    ASSERT_OK(cuMemAlloc(&memory_, 4096));
    ASSERT_OK(cuMemsetD8(memory_, 0, 4096));
  }
  CUstream make(unsigned flags = CU_STREAM_NON_BLOCKING) {
    CUstream stream = nullptr;
    EXPECT_OK(cuStreamCreate(&stream, flags));
    return stream;
  }
  CUevent event() {
    CUevent made = nullptr;
    EXPECT_OK(cuEventCreate(&made, CU_EVENT_DISABLE_TIMING));
    return made;
  }
  CUgraphExec instantiate(CUgraph graph) {
    CUgraphExec exec = nullptr;
    EXPECT_OK(cuGraphInstantiateWithFlags(&exec, graph, 0));
    return exec;
  }
  uint8_t byte(size_t at) {
    uint8_t value = 0;
    EXPECT_OK(cuCtxSynchronize());
    EXPECT_OK(cuMemcpyDtoH(&value, memory_ + at, 1));
    return value;
  }
  CUdeviceptr memory_ = 0;
};

TEST_F(Graphs, WhatIsCapturedRunsAtEveryLaunch) {
  const CUstream stream = make();
  ASSERT_OK(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
  uint8_t host[4] = {1, 2, 3, 4};
  ASSERT_OK(cuMemcpyHtoDAsync(memory_, host, 4, stream));
  ASSERT_OK(cuMemcpyDtoDAsync(memory_ + 8, memory_, 4, stream));
  ASSERT_OK(cuMemsetD8Async(memory_ + 9, 9, 1, stream));
  CUgraph graph = nullptr;
  ASSERT_OK(cuStreamEndCapture(stream, &graph));
  EXPECT_EQ(byte(0), 0);
  const CUgraphExec exec = instantiate(graph);
  ASSERT_OK(cuGraphLaunch(exec, stream));
  EXPECT_EQ(byte(8), 1);
  EXPECT_EQ(byte(9), 9);
  host[0] = 77;  // read again by the next launch
  ASSERT_OK(cuGraphLaunch(exec, stream));
  EXPECT_EQ(byte(8), 77);
  ASSERT_OK(cuGraphExecDestroy(exec));
  ASSERT_OK(cuGraphDestroy(graph));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuGraphDestroy(graph));
}

TEST_F(Graphs, BranchesRunAtTheSameTimeAndMeetAgain) {
  const CUstream one = make();
  const CUstream two = make();
  const CUevent fork = event();
  const CUevent join = event();
  // Each branch waits until the other one has begun.
  struct Meeting {
    std::promise<void> first, second;
    std::shared_future<void> first_came = first.get_future(), second_came = second.get_future();
  } meeting;
  ASSERT_OK(cuStreamBeginCapture(one, CU_STREAM_CAPTURE_MODE_RELAXED));
  ASSERT_OK(cuEventRecord(fork, one));
  ASSERT_OK(cuStreamWaitEvent(two, fork, 0));
  ASSERT_OK(cuLaunchHostFunc(
      one,
      [](void* data) {
        auto* m = static_cast<Meeting*>(data);
        m->first.set_value();
        m->second_came.wait();
      },
      &meeting));
  ASSERT_OK(cuLaunchHostFunc(
      two,
      [](void* data) {
        auto* m = static_cast<Meeting*>(data);
        m->second.set_value();
        m->first_came.wait();
      },
      &meeting));
  ASSERT_OK(cuEventRecord(join, two));
  ASSERT_OK(cuStreamWaitEvent(one, join, 0));
  ASSERT_OK(cuMemsetD8Async(memory_, 5, 1, one));
  CUgraph graph = nullptr;
  ASSERT_OK(cuStreamEndCapture(one, &graph));
  size_t edges = 0;
  ASSERT_OK(cuGraphGetEdges(graph, nullptr, nullptr, nullptr, &edges));
  EXPECT_EQ(edges, 2u);
  ASSERT_OK(cuGraphLaunch(instantiate(graph), two));
  EXPECT_EQ(byte(0), 5);
}

TEST_F(Graphs, MistakesBreakACapture) {
  const CUstream stream = make();
  const CUstream other = make();
  const CUevent outside = event();
  CUgraph graph = nullptr;
  CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
  EXPECT_CU(CUDA_ERROR_ILLEGAL_STATE, cuStreamEndCapture(stream, &graph));
  EXPECT_CU(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
            cuStreamBeginCapture(nullptr, CU_STREAM_CAPTURE_MODE_GLOBAL));

  ASSERT_OK(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
  EXPECT_CU(CUDA_ERROR_ILLEGAL_STATE, cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
  EXPECT_CU(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuStreamSynchronize(stream));
  ASSERT_OK(cuStreamIsCapturing(stream, &status));
  EXPECT_EQ(status, CU_STREAM_CAPTURE_STATUS_INVALIDATED);
  EXPECT_CU(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuMemsetD8Async(memory_, 0, 1, stream));
  EXPECT_CU(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(stream, &graph));
  EXPECT_EQ(graph, nullptr);

  ASSERT_OK(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
  EXPECT_CU(CUDA_ERROR_STREAM_CAPTURE_ISOLATION, cuStreamWaitEvent(stream, outside, 0));
  EXPECT_CU(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(stream, &graph));

  ASSERT_OK(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
  const CUevent fork = event();
  ASSERT_OK(cuEventRecord(fork, stream));
  ASSERT_OK(cuStreamWaitEvent(other, fork, 0));
  ASSERT_OK(cuMemsetD8Async(memory_, 0, 1, other));
  EXPECT_CU(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, cuStreamEndCapture(other, &graph));
  EXPECT_CU(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(stream, &graph));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuEventQuery(fork));
  ASSERT_OK(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
  ASSERT_OK(cuEventRecord(fork, stream));
  ASSERT_OK(cuStreamWaitEvent(other, fork, 0));
  ASSERT_OK(cuMemsetD8Async(memory_, 0, 1, other));
  EXPECT_CU(CUDA_ERROR_STREAM_CAPTURE_UNJOINED, cuStreamEndCapture(stream, &graph));
  ASSERT_OK(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
  ASSERT_OK(cuEventRecord(fork, stream));
  EXPECT_CU(CUDA_ERROR_CAPTURED_EVENT, cuEventQuery(fork));
  EXPECT_CU(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(stream, &graph));
  ASSERT_OK(cuEventRecord(fork, other));
  EXPECT_OK(cuEventSynchronize(fork));

  const CUstream blocking = make(CU_STREAM_DEFAULT);
  ASSERT_OK(cuStreamBeginCapture(blocking, CU_STREAM_CAPTURE_MODE_RELAXED));
  EXPECT_CU(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, cuMemsetD8Async(memory_, 0, 1, nullptr));
  EXPECT_CU(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(blocking, &graph));

  ASSERT_OK(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
  CUresult elsewhere = CUDA_SUCCESS;
  std::thread([&] {
    cuCtxSetCurrent(context_);
    elsewhere = cuStreamEndCapture(stream, &graph);
  }).join();
  EXPECT_EQ(elsewhere, CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD);
  EXPECT_CU(CUDA_ERROR_ILLEGAL_STATE, cuStreamEndCapture(stream, &graph));
}

TEST_F(Graphs, BuiltNodesAndCycles) {
  CUgraph graph = nullptr;
  ASSERT_OK(cuGraphCreate(&graph, 0));
  const CUDA_MEMSET_NODE_PARAMS fill{memory_, 0, 3, 1, 16, 1};
  CUgraphNode first = nullptr;
  CUgraphNode second = nullptr;
  ASSERT_OK(cuGraphAddMemsetNode(&first, graph, nullptr, 0, &fill, context_));
  CUDA_MEMCPY3D copy{};
  copy.srcMemoryType = copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  copy.srcDevice = memory_;
  copy.dstDevice = memory_ + 64;
  copy.WidthInBytes = 16;
  copy.Height = copy.Depth = 1;
  ASSERT_OK(cuGraphAddMemcpyNode(&second, graph, &first, 1, &copy, context_));
  const CUgraphExec exec = instantiate(graph);
  ASSERT_OK(cuGraphLaunch(exec, nullptr));
  EXPECT_EQ(byte(64 + 15), 3);

  // In the instance only.
  const CUDA_MEMSET_NODE_PARAMS other{memory_, 0, 8, 1, 16, 1};
  ASSERT_OK(cuGraphExecMemsetNodeSetParams(exec, first, &other, context_));
  ASSERT_OK(cuGraphLaunch(exec, nullptr));
  EXPECT_EQ(byte(64), 8);
  ASSERT_OK(cuGraphNodeSetEnabled(exec, second, 0));
  ASSERT_OK(cuMemsetD8(memory_ + 64, 0, 16));
  ASSERT_OK(cuGraphLaunch(exec, nullptr));
  EXPECT_EQ(byte(64), 0);
  CUDA_MEMSET_NODE_PARAMS asked{};
  ASSERT_OK(cuGraphMemsetNodeGetParams(first, &asked));
  EXPECT_EQ(asked.value, 3u);

  // An update takes the graph's parameters over, if the shape is the same.
  CUgraphExecUpdateResultInfo info{};
  ASSERT_OK(cuGraphExecUpdate(exec, graph, &info));
  CUgraph clone = nullptr;
  ASSERT_OK(cuGraphClone(&clone, graph));
  CUgraphNode more = nullptr;
  ASSERT_OK(cuGraphAddEmptyNode(&more, clone, nullptr, 0));
  EXPECT_CU(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, cuGraphExecUpdate(exec, clone, &info));
  EXPECT_EQ(info.result, CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED);
  CUgraphNode in_clone = nullptr;
  ASSERT_OK(cuGraphNodeFindInClone(&in_clone, first, clone));
  EXPECT_NE(in_clone, first);

  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuGraphAddDependencies(graph, &first, &second, nullptr, 1));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuGraphAddDependencies(graph, &more, &second, nullptr, 1));
  ASSERT_OK(cuGraphAddDependencies(graph, &second, &first, nullptr, 1));
  CUgraphExec never = nullptr;
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuGraphInstantiateWithFlags(&never, graph, 0));
  ASSERT_OK(cuGraphRemoveDependencies(graph, &second, &first, nullptr, 1));
  ASSERT_OK(cuGraphDestroyNode(first));
  size_t count = 0;
  ASSERT_OK(cuGraphGetNodes(graph, nullptr, &count));
  EXPECT_EQ(count, 1u);
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuGraphMemsetNodeGetParams(first, &asked));
  ASSERT_OK(cuGraphDestroy(graph));
  ASSERT_OK(cuGraphDestroy(clone));
  ASSERT_OK(cuGraphLaunch(exec, nullptr));  // an instance does not need its graph
  EXPECT_EQ(byte(0), 3);
}

TEST_F(Graphs, ChildrenAndEvents) {
  const CUstream stream = make();
  const CUevent inside = event();
  CUgraph child = nullptr;
  ASSERT_OK(cuGraphCreate(&child, 0));
  const CUDA_MEMSET_NODE_PARAMS fill{memory_, 0, 6, 1, 4, 1};
  CUgraphNode node = nullptr;
  ASSERT_OK(cuGraphAddMemsetNode(&node, child, nullptr, 0, &fill, context_));
  CUgraph parent = nullptr;
  ASSERT_OK(cuGraphCreate(&parent, 0));
  CUgraphNode held = nullptr;
  CUgraphNode recorded = nullptr;
  ASSERT_OK(cuGraphAddChildGraphNode(&held, parent, nullptr, 0, child));
  ASSERT_OK(cuGraphAddEventRecordNode(&recorded, parent, &held, 1, inside));
  ASSERT_OK(cuGraphDestroy(child));
  CUgraph inner = nullptr;
  ASSERT_OK(cuGraphChildGraphNodeGetGraph(held, &inner));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuGraphDestroy(inner));
  const CUgraphExec exec = instantiate(parent);
  Gate gate;
  gate.put_into(stream);
  ASSERT_OK(cuGraphLaunch(exec, stream));
  EXPECT_CU(CUDA_ERROR_NOT_READY, cuEventQuery(inside));
  gate.open();
  EXPECT_OK(cuEventSynchronize(inside));
  EXPECT_EQ(byte(3), 6);

  // Launches are not captured.
  ASSERT_OK(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
  EXPECT_CU(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, cuGraphLaunch(exec, stream));
  CUgraph outer = nullptr;
  EXPECT_CU(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(stream, &outer));
}

}  // namespace
}  // namespace farlane::softcuda
