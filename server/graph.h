// What the executor remembers about captures, graphs and their instances.
//
// A node's number is its place in `nodes`: numbers are given in the order in which the driver lists
// the nodes of a capture, and in the order of the log to nodes that are added, so the client counts
// them without being told.
#pragma once

#include <cuda.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "generated/protocol/messages.h"
#include "generated/server/driver_table.h"
#include "protocol/handles.h"
#include "server/driver_event.h"
#include "server/stream.h"

namespace farlane::server {

class Device;

// A capture under way: the streams that take part in it.
struct Capture {
  protocol::GraphId graph;
  StreamRef origin;
  std::vector<std::weak_ptr<Stream>> members;  // the origin too
};
using CaptureRef = std::shared_ptr<Capture>;

// What a command about a node does with it (`how` on the wire).
enum class NodeChange : uint32_t { kAdd = 0, kInGraph = 1, kInExec = 2 };

// An event that a node records or waits for.
struct GraphEvent {
  EventRef driver;
  uint32_t index = 0;  // of its name
  bool waits = false;
  // Of the node, which has one event at a time; 0 where that is not known, as with captured nodes.
  uint64_t graph = 0;
  uint32_t node = 0;
};
// In place of the one that the node had. Each only once.
void put_event(std::vector<GraphEvent>* events, GraphEvent event);

struct Graph {
  uint64_t name = 0;         // GraphId bits
  CUgraph handle = nullptr;  // null while only the driver's capture has it
  Device* device = nullptr;
  bool owned = true;                     // not the inside of a child graph node
  bool is_named_before_capture = false;  // it exists whatever becomes of a capture into it
  std::weak_ptr<Capture> capture;        // that adds to it
  std::vector<CUgraphNode> nodes;        // by number; null: destroyed, or it could not be made
  std::unordered_map<CUgraphNode, uint32_t> numbers;
  std::vector<GraphEvent> events;
  std::optional<protocol::GraphId> parent;  // of the inside of a child graph node
  // Memory nodes, which are empty ones to the driver.
  struct Memory {
    uint64_t address = 0;
    uint64_t bytes = 0;
    bool frees = false;
  };
  std::unordered_map<CUgraphNode, Memory> memory;

  static constexpr uint32_t kNoNode = UINT32_MAX;

  void add(CUgraphNode node) {
    if (node != nullptr) numbers[node] = static_cast<uint32_t>(nodes.size());
    nodes.push_back(node);
  }
  // It is destroyed.
  void forget(uint32_t number) {
    std::erase_if(events, [&](const GraphEvent& event) {
      return event.graph == name && event.node == number;
    });
    numbers.erase(nodes[number]);
    memory.erase(nodes[number]);
    nodes[number] = nullptr;
  }
  CUgraphNode node(uint32_t number) const {
    return number < nodes.size() ? nodes[number] : nullptr;
  }
  uint32_t number_of(CUgraphNode node) const {
    const auto found = numbers.find(node);
    return found == numbers.end() ? kNoNode : found->second;
  }
  // Gives numbers to the nodes that have none: those of a capture.
  CUresult number_new_nodes(const DriverTable& driver);
};

struct GraphParts;

struct GraphExec {
  CUgraphExec handle = nullptr;  // null: it has parts
  Device* device = nullptr;
  std::vector<GraphEvent> events;
  std::shared_ptr<GraphParts> parts;
};

// Dependencies by number as the driver takes them.
struct Dependencies {
  std::vector<CUgraphNode> nodes;
  std::vector<CUgraphEdgeData> data;
  bool has_data = false;  // not all of it is 0
  // False: a number that the graph does not have.
  bool read(const Graph& graph, std::span<const protocol::message::GraphDependency> list);
};

CUresult list_nodes(const DriverTable& driver, CUgraph graph, std::vector<CUgraphNode>* nodes);

// Has the copy nodes of a graph, and of its child graphs, copy from and to other places.
CUresult move_stand_ins(const DriverTable& driver, CUgraph graph,
                        std::span<const protocol::message::StandInMove> moves);

CUgraphEdgeData edge_data_of(uint32_t bits);
uint32_t bits_of(const CUgraphEdgeData& data);

// The driver has all that graphs need.
bool has_graphs(const DriverTable& driver);

}  // namespace farlane::server
