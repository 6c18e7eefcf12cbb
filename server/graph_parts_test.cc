// Graphs with nodes whose work is the client's: how instances are cut, what is told about that, and
// what a client may not do.
#include "server/graph_parts.h"

#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <optional>
#include <vector>

#include "server/worker_test_client.h"

namespace farlane::server {
namespace {

using protocol::ExecId;
using protocol::GraphId;
using protocol::StreamId;

constexpr StreamId kLegacy = StreamId::legacy(0);
constexpr GraphId kGraph = GraphId::make(0, 0);
constexpr GraphId kOther = GraphId::make(1, 0);
constexpr ExecId kExec = ExecId::make(0, 0);
constexpr StreamId kHeld = StreamId::make(0, 0);
constexpr StreamId kApart = StreamId::make(1, 0);
constexpr protocol::EventId kEvent = protocol::EventId::make(0, 0);

class GraphPartsTest : public testing::Test {
 protected:
  void SetUp() override {
    spdlog::set_level(spdlog::level::off);
    place_windows(&settings_);
    std::string error;
    host_ = Host::start(software_driver(), settings_, 0, &error);
    ASSERT_NE(host_, nullptr) << error;
    client_ = std::make_unique<TestClient>(*host_, settings_, nullptr);
    ASSERT_EQ(client_->hello().devices.size(), 1u);
    ASSERT_EQ(c().ask(message::ExtentCreate{0, base(), 2u << 20}).result, CUDA_SUCCESS);
    c().post(message::GraphCreate{kGraph, 0});
  }

  TestClient& c() { return *client_; }
  uint64_t base() const { return host_->window_base; }

  // kHeld, which a test holds up, kApart and kEvent.
  void make_streams_and_event() {
    for (const StreamId stream : {kHeld, kApart}) {
      c().post(message::StreamCreate{stream, 0, CU_STREAM_NON_BLOCKING, 0});
    }
    c().post(message::EventCreate{kEvent, 0, CU_EVENT_DISABLE_TIMING});
  }

  // Nodes that follow one another, each behind the one before it.
  std::vector<message::GraphDependency> behind(uint32_t node) const {
    return node == 0 ? std::vector<message::GraphDependency>()
                     : std::vector<message::GraphDependency>{{node - 1, 0}};
  }
  void fill(GraphId graph, uint32_t node, uint32_t value, uint32_t how = 0) {
    c().post(message::FillNode{graph, kExec, node, how, base(), 16, value, 1, 16, 1,
                               how == 0 ? behind(node) : behind(0)});
  }
  void call(GraphId graph, uint32_t node, uint64_t function) {
    c().post(message::HostNode{graph, node, 0, function, behind(node)});
  }
  uint8_t value() {
    const uint64_t ticket = ++ticket_;
    c().post(message::CopyOut{kLegacy, base(), 0, 16, 1, ticket});
    c().pump_until([&] { return c().tickets[ticket].last; });
    return static_cast<uint8_t>(c().tickets[ticket].bytes.at(0));
  }
  std::vector<std::pair<uint32_t, uint64_t>> calls() {
    const message::ExecPartsReply reply = c().ask(message::ExecParts{kExec, 0, 0});
    std::vector<std::pair<uint32_t, uint64_t>> found;
    for (const message::PartCall& one : reply.call_list) found.push_back({one.part, one.function});
    return found;
  }
  uint32_t parts() { return c().ask(message::ExecParts{kExec, 0, 0}).parts; }
  CUresult instantiate(GraphId graph) {
    return static_cast<CUresult>(c().ask(message::GraphInstantiate{kExec, graph, 0}).result);
  }
  void expect_error(CUresult result) {
    c().settle();
    ASSERT_FALSE(c().errors.empty());
    EXPECT_EQ(c().errors.back().result, result);
    c().errors.clear();
  }
  void expect_fault(const std::string& text) {
    c().settle();
    EXPECT_EQ(c().executor->end(), SessionEnd::kProtocol);
    EXPECT_NE(c().executor->end_text().find(text), std::string::npos) << c().executor->end_text();
  }

  ServerSettings settings_;
  std::unique_ptr<Host> host_;
  std::unique_ptr<TestClient> client_;
  uint64_t ticket_ = 100;
};

using Calls = std::vector<std::pair<uint32_t, uint64_t>>;

// While the client's work is waited for, the client may need a graph before it can end that.
TEST_F(GraphPartsTest, GraphsAreMadeAndLaunchedBesideAWaitingHostCall) {
  fill(kGraph, 0, 1);
  call(kGraph, 1, 77);
  fill(kGraph, 2, 2);
  ASSERT_EQ(instantiate(kGraph), CUDA_SUCCESS);
  const StreamId held = StreamId::make(0, 0);
  const StreamId free = StreamId::make(1, 0);
  for (const StreamId stream : {held, free}) {
    c().post(message::StreamCreate{stream, 0, CU_STREAM_NON_BLOCKING, 0});
  }
  c().post(message::PartLaunch{held, kExec, 0});
  c().post(message::HostCall{held, 1});
  c().post(message::PartLaunch{held, kExec, 1});
  ASSERT_TRUE(c().pump_until([&] { return c().due.contains(1); }));
  // The instance goes when its second part is launched; nobody else waits for that.
  c().post(message::ExecDestroy{kExec});
  const ExecId exec = ExecId::make(1, 0);
  c().post(message::GraphCreate{kOther, 0});
  fill(kOther, 0, 3);
  EXPECT_EQ(c().ask(message::GraphInstantiate{exec, kOther, 0}).result, CUDA_SUCCESS);
  c().post(message::GraphLaunch{free, exec});
  EXPECT_EQ(c().ask(message::StreamSynchronize{free}).result, CUDA_SUCCESS);
  EXPECT_EQ(value(), 3);
  c().post(message::GraphDestroy{kGraph});
  // The name of the one that is on its way out is not free before it is gone.
  const uint64_t again = c().begin(message::GraphInstantiate{ExecId::make(0, 1), kOther, 0});
  c().ask(message::Echo{1});
  EXPECT_FALSE(c().replies.contains(again));
  c().post(message::HostCallDone{1});
  EXPECT_EQ(c().reply<message::GraphInstantiateReply>(again).result, CUDA_SUCCESS);
  EXPECT_EQ(c().ask(message::StreamSynchronize{held}).result, CUDA_SUCCESS);
  EXPECT_EQ(value(), 2);
  EXPECT_TRUE(c().errors.empty());
  EXPECT_EQ(c().executor->end(), SessionEnd::kNotYet);
}

// An instance that waits for its turn records its events when it gets it.
TEST_F(GraphPartsTest, EventsOfAWaitingLaunchAreWaitedFor) {
  make_streams_and_event();
  c().post(message::EventRecord{kEvent, kApart, 0});
  fill(kGraph, 0, 5);
  c().post(message::EventNode{kGraph, kExec, 1, 0, kEvent, 0, behind(1)});
  ASSERT_EQ(instantiate(kGraph), CUDA_SUCCESS);
  c().post(message::HostCall{kHeld, 1});
  c().post(message::GraphLaunch{kHeld, kExec});
  c().post(message::StreamWait{kApart, kEvent, 0});
  c().post(message::Fill{kApart, base(), 16, 6, 1, 16, 1});
  ASSERT_TRUE(c().pump_until([&] { return c().due.contains(1); }));
  const uint64_t waits = c().begin(message::StreamSynchronize{kApart});
  c().ask(message::Echo{1});
  EXPECT_FALSE(c().replies.contains(waits));
  EXPECT_EQ(value(), 0);
  c().post(message::HostCallDone{1});
  EXPECT_EQ(c().reply<message::StreamSynchronizeReply>(waits).result, CUDA_SUCCESS);
  EXPECT_EQ(value(), 6);

  // The other way round: the launch waits for an event whose record waits for its turn.
  c().post(message::GraphCreate{kOther, 0});
  c().post(message::EventNode{kOther, kExec, 0, 0, kEvent, 1, behind(0)});
  c().post(message::FillNode{kOther, kExec, 1, 0, base(), 16, 8, 1, 16, 1, behind(1)});
  const ExecId exec = ExecId::make(1, 0);
  ASSERT_EQ(c().ask(message::GraphInstantiate{exec, kOther, 0}).result, CUDA_SUCCESS);
  c().post(message::HostCall{kHeld, 2});
  c().post(message::Fill{kHeld, base(), 16, 7, 1, 16, 1});
  c().post(message::EventRecord{kEvent, kHeld, 0});
  c().post(message::GraphLaunch{kApart, exec});
  ASSERT_TRUE(c().pump_until([&] { return c().due.contains(2); }));
  c().ask(message::Echo{1});
  EXPECT_EQ(value(), 6);
  c().post(message::HostCallDone{2});
  EXPECT_EQ(c().ask(message::StreamSynchronize{kApart}).result, CUDA_SUCCESS);
  EXPECT_EQ(value(), 8);
}

// Only a part that records an event is waited for, where the parts of an instance are known.
TEST_F(GraphPartsTest, APartThatDoesNotRecordAnEventHoldsUpNobody) {
  make_streams_and_event();
  c().post(message::EventNode{kGraph, kExec, 0, 0, kEvent, 0, behind(0)});
  call(kGraph, 1, 77);
  fill(kGraph, 2, 5);
  ASSERT_EQ(instantiate(kGraph), CUDA_SUCCESS);
  c().post(message::PartLaunch{kHeld, kExec, 0});
  c().post(message::HostCall{kHeld, 1});
  c().post(message::PartLaunch{kHeld, kExec, 1});
  ASSERT_TRUE(c().pump_until([&] { return c().due.contains(1); }));
  c().post(message::StreamWait{kApart, kEvent, 0});
  EXPECT_EQ(c().ask(message::StreamSynchronize{kApart}).result, CUDA_SUCCESS);
  EXPECT_EQ(value(), 0);
  c().post(message::HostCallDone{1});
  EXPECT_EQ(c().ask(message::StreamSynchronize{kHeld}).result, CUDA_SUCCESS);
  EXPECT_EQ(value(), 5);
}

TEST_F(GraphPartsTest, PartsFollowOneAnotherAroundTheClientsWork) {
  fill(kGraph, 0, 1);
  call(kGraph, 1, 77);
  fill(kGraph, 2, 2);
  ASSERT_EQ(instantiate(kGraph), CUDA_SUCCESS);
  EXPECT_EQ(parts(), 2u);
  EXPECT_EQ(calls(), (Calls{{0, 77}}));
  EXPECT_EQ(c().ask(message::HostNodeGet{kGraph, 1}).function, 77u);
  const StreamId stream = StreamId::make(0, 0);
  c().post(message::StreamCreate{stream, 0, CU_STREAM_NON_BLOCKING, 0});
  c().post(message::PartLaunch{stream, kExec, 0});
  c().post(message::HostCall{stream, 1});
  c().post(message::PartLaunch{stream, kExec, 1});
  ASSERT_TRUE(c().pump_until([&] { return c().due.contains(1); }));
  EXPECT_EQ(value(), 1);  // the second part waits, and nobody else
  c().post(message::HostCallDone{1});
  EXPECT_EQ(c().ask(message::StreamSynchronize{stream}).result, CUDA_SUCCESS);
  EXPECT_EQ(value(), 2);

  // As a whole it cannot be launched, and it has no third part.
  c().post(message::GraphLaunch{stream, kExec});
  expect_error(CUDA_ERROR_INVALID_VALUE);
  c().post(message::PartLaunch{stream, kExec, 2});
  expect_error(CUDA_ERROR_INVALID_VALUE);
  c().post(message::ExecDestroy{kExec});
  c().settle();
  EXPECT_EQ(c().executor->end(), SessionEnd::kNotYet);
}

TEST_F(GraphPartsTest, AGraphWithoutHostNodesIsOnePart) {
  fill(kGraph, 0, 3);
  ASSERT_EQ(instantiate(kGraph), CUDA_SUCCESS);
  EXPECT_EQ(parts(), 1u);
  EXPECT_EQ(calls(), Calls());
  c().post(message::PartLaunch{kLegacy, kExec, 0});
  expect_error(CUDA_ERROR_INVALID_VALUE);
  c().post(message::GraphLaunch{kLegacy, kExec});
  EXPECT_EQ(value(), 3);
}

TEST_F(GraphPartsTest, ANodesPartIsTheMostHostNodesBeforeIt) {
  fill(kGraph, 0, 1);
  call(kGraph, 1, 10);
  call(kGraph, 2, 20);
  fill(kGraph, 3, 4);
  // Beside all that; and a host node that follows both.
  c().post(message::CopyNode{
      kGraph, kExec, 4, 0, base() + 512, 16, 16, base() + 1024, 16, 16, 16, 1, 1, {}});
  const std::vector<message::GraphDependency> both = {{3, 0}, {4, 0}};
  c().post(message::HostNode{kGraph, 5, 0, 30, both});
  ASSERT_EQ(instantiate(kGraph), CUDA_SUCCESS);
  EXPECT_EQ(parts(), 4u);
  EXPECT_EQ(calls(), (Calls{{0, 10}, {1, 20}, {2, 30}}));
  const message::ExecPartsReply reply = c().ask(message::ExecParts{kExec, 1, 0});
  ASSERT_EQ(reply.call_list.size(), 2u);
  EXPECT_EQ(reply.call_list[0].node, 2u);
  ASSERT_EQ(reply.copy_list.size(), 1u);
  EXPECT_EQ(reply.copy_list[0].part, 0u);
  EXPECT_EQ(reply.copy_list[0].to, base() + 512);
  EXPECT_EQ(reply.copy_list[0].from, base() + 1024);
  EXPECT_EQ(reply.copy_list[0].bytes, 16u);
  EXPECT_EQ(c().ask(message::ExecParts{kExec, 100, 100}).call_list.size(), 0u);
}

TEST_F(GraphPartsTest, ChildGraphsAreCutWhereTheyAre) {
  fill(kGraph, 0, 1);
  call(kGraph, 1, 10);
  fill(kGraph, 2, 2);
  c().post(message::GraphCreate{kOther, 0});
  call(kOther, 0, 5);
  c().post(message::ChildNode{kOther, kExec, 1, 0, kGraph, behind(1)});
  call(kOther, 2, 6);
  fill(kOther, 3, 3);
  ASSERT_EQ(instantiate(kOther), CUDA_SUCCESS);
  EXPECT_EQ(parts(), 4u);
  EXPECT_EQ(calls(), (Calls{{0, 5}, {1, 10}, {2, 6}}));
  EXPECT_EQ(c().ask(message::ExecParts{kExec, 1, 0}).call_list[0].node, UINT32_MAX);
  for (uint32_t part = 0; part < 4; ++part) {
    c().post(message::PartLaunch{kLegacy, kExec, part});
    EXPECT_EQ(value(), part);
  }
}

TEST_F(GraphPartsTest, AnInstanceIsChangedInTheRightPart) {
  fill(kGraph, 0, 1);
  call(kGraph, 1, 10);
  fill(kGraph, 2, 2);
  ASSERT_EQ(instantiate(kGraph), CUDA_SUCCESS);
  fill(kGraph, 2, 9, 2);
  c().post(message::PartLaunch{kLegacy, kExec, 0});
  EXPECT_EQ(value(), 1);
  c().post(message::PartLaunch{kLegacy, kExec, 1});
  EXPECT_EQ(value(), 9);
  // Disabled in its part.
  c().post(message::NodeEnable{kExec, kGraph, 0, 0});
  c().post(message::PartLaunch{kLegacy, kExec, 0});
  EXPECT_EQ(value(), 9);
  EXPECT_TRUE(c().errors.empty());
}

// The graph that it is updated from may number its nodes otherwise: there were others before.
TEST_F(GraphPartsTest, CopiesKeepTheirNodesInUpdates) {
  const auto copy = [&](GraphId graph, uint32_t node, uint32_t how, uint64_t to, uint32_t after) {
    c().post(message::CopyNode{graph, kExec, node, how, base() + to, 16, 16, base() + 1024, 16, 16,
                               16, 1, 1, behind(after)});
  };
  const auto targets = [&] {
    const message::ExecPartsReply reply = c().ask(message::ExecParts{kExec, 0, 0});
    std::vector<uint64_t> found;
    for (const message::PartCopy& one : reply.copy_list) found.push_back(one.to - base());
    return found;
  };
  copy(kGraph, 0, 0, 0, 0);
  call(kGraph, 1, 10);
  copy(kGraph, 2, 0, 16, 2);
  ASSERT_EQ(instantiate(kGraph), CUDA_SUCCESS);
  c().post(message::GraphCreate{kOther, 0});
  c().post(message::EmptyNode{kOther, 0, behind(0)});
  c().post(message::EmptyNode{kOther, 1, behind(0)});
  c().post(message::NodeDestroy{kOther, 0});
  c().post(message::NodeDestroy{kOther, 1});
  copy(kOther, 2, 0, 32, 0);
  call(kOther, 3, 11);
  copy(kOther, 4, 0, 48, 4);
  ASSERT_EQ(c().ask(message::ExecUpdate{kExec, kOther}).result, CUDA_SUCCESS);
  EXPECT_EQ(targets(), (std::vector<uint64_t>{32, 48}));
  copy(kGraph, 2, 2, 64, 0);
  EXPECT_EQ(targets(), (std::vector<uint64_t>{32, 64}));
}

// Two instances of one graph may run at once, so each has stand-ins of its own.
TEST_F(GraphPartsTest, StandInsAreMovedInChildrenToo) {
  const auto copy = [&](GraphId graph, uint64_t from) {
    c().post(message::CopyNode{graph, kExec, 0, 0, base(), 16, 16, base() + from, 16, 16, 16, 1, 1,
                               behind(0)});
  };
  copy(kGraph, 4096 + 32);
  c().post(message::GraphCreate{kOther, 0});
  c().post(message::ChildNode{kOther, kExec, 0, 0, kGraph, behind(0)});
  const GraphId inside = GraphId::make(2, 0);
  ASSERT_EQ(c().ask(message::GraphChild{inside, kOther, 0}).result, CUDA_SUCCESS);
  const auto from = [&](GraphId graph) {
    return c().ask(message::CopyNodeGet{graph, 0}).from - base();
  };
  const std::vector<message::StandInMove> moves = {{base() + 4096, base() + 8192, 64}};
  c().post(message::StandInsMove{kOther, moves});
  EXPECT_EQ(from(inside), 8192u + 32);
  EXPECT_EQ(from(kGraph), 4096u + 32) << "the child was a copy";
  // What is only partly inside stays.
  const std::vector<message::StandInMove> less = {{base() + 8192, base() + 4096, 40}};
  c().post(message::StandInsMove{kOther, less});
  EXPECT_EQ(from(inside), 8192u + 32);
  EXPECT_TRUE(c().errors.empty());
  const std::vector<message::StandInMove> elsewhere = {{base() + 8192, base() + (2u << 20), 64}};
  c().post(message::StandInsMove{kOther, elsewhere});
  expect_error(CUDA_ERROR_INVALID_VALUE);
}

TEST_F(GraphPartsTest, UpdatesFromWhatIsCutAlike) {
  fill(kGraph, 0, 1);
  call(kGraph, 1, 10);
  fill(kGraph, 2, 2);
  ASSERT_EQ(instantiate(kGraph), CUDA_SUCCESS);
  c().post(message::GraphClone{kOther, kGraph});
  c().post(message::HostNode{kOther, 1, 1, 11, {}});
  fill(kOther, 2, 8, 1);
  message::ExecUpdateReply reply = c().ask(message::ExecUpdate{kExec, kOther});
  EXPECT_EQ(reply.result, CUDA_SUCCESS);
  EXPECT_EQ(calls(), (Calls{{0, 11}}));
  c().post(message::PartLaunch{kLegacy, kExec, 1});
  EXPECT_EQ(value(), 8);

  call(kOther, 3, 12);
  reply = c().ask(message::ExecUpdate{kExec, kOther});
  EXPECT_EQ(reply.result, CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE);
  EXPECT_EQ(reply.outcome, static_cast<uint32_t>(CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED));
  EXPECT_EQ(calls(), (Calls{{0, 11}}));
}

TEST_F(GraphPartsTest, MemoryNodesKeepTheirPlaceOnly) {
  c().post(message::MemoryNode{kGraph, 0, 0, base() + 4096, 64, {}});
  fill(kGraph, 1, 1);
  c().post(message::MemoryNode{kGraph, 2, 1, base() + 4096, 64, behind(2)});
  const message::GraphShapeReply shape = c().ask(message::GraphShape{kGraph, 0, 0});
  ASSERT_EQ(shape.types.size(), 3u);
  EXPECT_EQ(shape.types[0].type, static_cast<uint32_t>(CU_GRAPH_NODE_TYPE_MEM_ALLOC));
  EXPECT_EQ(shape.types[2].type, static_cast<uint32_t>(CU_GRAPH_NODE_TYPE_MEM_FREE));
  const message::MemoryNodeGetReply memory = c().ask(message::MemoryNodeGet{kGraph, 2});
  EXPECT_EQ(memory.address, base() + 4096);
  EXPECT_EQ(memory.bytes, 64u);
  EXPECT_EQ(c().ask(message::MemoryNodeGet{kGraph, 1}).result, CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(instantiate(kGraph), CUDA_SUCCESS);
  c().post(message::GraphLaunch{kLegacy, kExec});
  EXPECT_EQ(value(), 1);
}

TEST_F(GraphPartsTest, CapturedNodesOfTheClientStandInOrder) {
  const StreamId stream = StreamId::make(0, 0);
  c().post(message::StreamCreate{stream, 0, CU_STREAM_NON_BLOCKING, 0});
  c().post(message::CaptureBegin{stream, kOther, 0, {}});
  c().post(message::MemoryCaptured{stream, base() + 4096, 64, 0});
  c().post(message::Fill{stream, base(), 0, 5, 1, 16, 1});
  c().post(message::HostCaptured{stream, 42});
  c().post(message::Fill{stream, base(), 0, 6, 1, 16, 1});
  c().post(message::MemoryCaptured{stream, base() + 4096, 64, 1});
  ASSERT_EQ(c().ask(message::CaptureEnd{stream, kOther, 0}).nodes, 5u);
  const message::GraphShapeReply shape = c().ask(message::GraphShape{kOther, 0, 0});
  EXPECT_EQ(shape.edges, 4u);
  EXPECT_EQ(shape.types[0].type, static_cast<uint32_t>(CU_GRAPH_NODE_TYPE_MEM_ALLOC));
  EXPECT_EQ(shape.types[2].type, static_cast<uint32_t>(CU_GRAPH_NODE_TYPE_HOST));
  ASSERT_EQ(instantiate(kOther), CUDA_SUCCESS);
  EXPECT_EQ(calls(), (Calls{{0, 42}}));
  c().post(message::PartLaunch{kLegacy, kExec, 0});
  EXPECT_EQ(value(), 5);
  c().post(message::PartLaunch{kLegacy, kExec, 1});
  EXPECT_EQ(value(), 6);
  // Outside of a capture these are nothing.
  c().post(message::HostCaptured{stream, 1});
  expect_error(CUDA_ERROR_ILLEGAL_STATE);
  c().post(message::MemoryCaptured{stream, base(), 64, 0});
  expect_error(CUDA_ERROR_ILLEGAL_STATE);
}

TEST_F(GraphPartsTest, AHostileClientsNodes) {
  fill(kGraph, 0, 1);
  c().post(message::HostNode{kGraph, 0, 1, 5, {}});  // no host node
  expect_error(CUDA_ERROR_INVALID_VALUE);
  c().post(message::HostNode{kGraph, 4'000'000'000u, 1, 5, {}});
  expect_error(CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(c().ask(message::HostNodeGet{kGraph, 0}).result, CUDA_ERROR_INVALID_VALUE);
  // The software device has no conditions.
  EXPECT_EQ(c().ask(message::ConditionCreate{kGraph, 1, 1}).result, CUDA_ERROR_NOT_SUPPORTED);
  const std::vector<message::GraphBody> body = {{kOther.bits()}};
  c().post(message::ConditionNode{kGraph, 1, 0, 1, body, {}});
  expect_error(CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(c().ask(message::GraphShape{kOther, 0, 0}).result, CUDA_ERROR_INVALID_VALUE);
  const std::vector<message::GraphBody> twice = {{GraphId::make(7, 0).bits()},
                                                 {GraphId::make(7, 0).bits()}};
  c().post(message::ConditionNode{kGraph, 2, 0, 1, twice, {}});
  expect_fault("cannot be created");
}

TEST_F(GraphPartsTest, OptionsAreForModulesToCome) {
  const std::vector<message::JitOption> options = {{CU_JIT_MAX_REGISTERS, 32}, {9999, 1}};
  const auto module = protocol::ModuleId::make(0, 0);
  c().post(message::JitOptions{module, options});
  const std::string ptx =
      ".version 7.0\n.target sm_75\n.address_size 64\n.visible .entry k() { ret; }\n";
  const auto image = std::as_bytes(std::span(ptx));
  const message::ImageHash hash = hash_image(image);
  c().ask(message::ModuleLoad{module, 0, {&hash, 1}});
  c().append(message::ImagePart{hash, image.size(), 0});
  c().send(image);
  ASSERT_EQ(c().ask(message::ModuleLoad{module, 0, {&hash, 1}}).result, CUDA_SUCCESS);
  EXPECT_GT(c().ask(message::JitOutcome{module}).wall_ms, 0.f);
  c().post(message::JitOptions{module, options});
  expect_fault("cannot be created");
}

}  // namespace
}  // namespace farlane::server
