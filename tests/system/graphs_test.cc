// Graphs: what an instance can be given in place of what it was made with.
#include <gtest/gtest.h>

#include "client/core/graph_api.h"
#include "tests/system/rig.h"

namespace farlane::system_test {
namespace {

// A graph that sets a word on the device, from host memory where there is any.
CUgraph setting(CUdeviceptr to, uint32_t value, const uint32_t* host = nullptr) {
  CUgraph graph = nullptr;
  CUgraphNode node = nullptr;
  EXPECT_EQ(client::graph_create(0, &graph), CUDA_SUCCESS);
  const client::NodePlace place{.graph = graph, .added = &node};
  if (host == nullptr) {
    EXPECT_EQ(client::node_put_fill(place, to, 4, value, 4, 1, 1), CUDA_SUCCESS);
  } else {
    client::Copy copy;
    copy.to = to;
    copy.from = reinterpret_cast<uint64_t>(host);
    copy.width = 4;
    EXPECT_EQ(client::node_put_copy(place, copy), CUDA_SUCCESS);
  }
  return graph;
}

TEST(Graphs, AChildOfAnInstanceIsReplacedWhereNoHostMemoryIsCopied) {
  Rig rig;
  CUdeviceptr word = 0;
  ASSERT_EQ(client::memory_allocate(0, 4, &word), CUDA_SUCCESS);
  const uint32_t host = 7;
  const CUgraph one = setting(word, 1);
  const CUgraph two = setting(word, 2);
  const CUgraph copying = setting(word, 0, &host);
  const auto parent_of = [](CUgraph child, CUgraph* parent, CUgraphNode* node, CUgraphExec* exec) {
    ASSERT_EQ(client::graph_create(0, parent), CUDA_SUCCESS);
    ASSERT_EQ(client::node_put_child({.graph = *parent, .added = node}, child), CUDA_SUCCESS);
    CUgraphInstantiateResult outcome{};
    CUgraphNode wrong = nullptr;
    ASSERT_EQ(client::graph_instantiate(*parent, 0, exec, &outcome, &wrong), CUDA_SUCCESS);
  };
  const auto launched = [&](CUgraphExec exec) {
    uint32_t got = 0;
    EXPECT_EQ(client::exec_launch(exec, nullptr), CUDA_SUCCESS);
    EXPECT_EQ(to_host(&got, word, 4, nullptr, false), CUDA_SUCCESS);
    return got;
  };
  CUgraph parent = nullptr;
  CUgraphNode node = nullptr;
  CUgraphExec exec = nullptr;
  parent_of(one, &parent, &node, &exec);
  EXPECT_EQ(launched(exec), 1u);
  EXPECT_EQ(client::node_put_child({.node = node, .exec = exec}, two), CUDA_SUCCESS);
  EXPECT_EQ(launched(exec), 2u);
  EXPECT_EQ(client::node_put_child({.node = node, .exec = exec}, copying),
            CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(launched(exec), 2u) << "it is as it was";

  CUgraph copies = nullptr;
  parent_of(copying, &copies, &node, &exec);
  EXPECT_EQ(launched(exec), 7u);
  EXPECT_EQ(client::node_put_child({.node = node, .exec = exec}, two), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(launched(exec), 7u);
}

}  // namespace
}  // namespace farlane::system_test
