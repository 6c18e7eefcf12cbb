#include "client/core/graph_contents.h"

#include <algorithm>
#include <functional>

namespace farlane::client {
namespace {

void for_all(GraphContents& contents, const std::function<void(GraphContents&)>& visit) {
  visit(contents);
  for (const auto& [number, child] : contents.children) {
    for_all(*child, visit);
  }
}

void append(GraphContents* to, const GraphContents& from, uint64_t graph) {
  to->copies.add_all(from.copies);
  to->events.add_all(from.events, graph);
  to->functions.insert(to->functions.end(), from.functions.begin(), from.functions.end());
  for (const auto& [number, function] : from.node_functions) {
    to->functions.push_back(function);
  }
  for (const auto& [number, child] : from.children) {
    append(to, *child, 0);
  }
}

}  // namespace

void GraphEvents::put(uint64_t graph, uint32_t node, uint64_t event) {
  remove(graph, node);
  events_.push_back({graph, node, event});
}

void GraphEvents::remove(uint64_t graph, uint32_t node) {
  std::erase_if(events_,
                [&](const Recorded& one) { return one.graph == graph && one.node == node; });
}

void GraphEvents::add_all(const GraphEvents& other, uint64_t graph) {
  for (const Recorded& one : other.events_) {
    const bool is_known = one.graph != kUnknown && graph != 0;
    const bool is_here = !is_known && std::any_of(events_.begin(), events_.end(), [&](auto& known) {
      return known.graph == kUnknown && known.event == one.event;
    });
    if (!is_here) {
      events_.push_back({is_known ? graph : kUnknown, one.node, one.event});
    }
  }
}

void GraphContents::add_all(const GraphContents& captured) {
  append(this, captured, GraphEvents::kHere);
}

GraphContentsRef GraphContents::clone() const {
  auto made = std::make_shared<GraphContents>(*this);
  for (auto& [number, child] : made->children) {
    child = child->clone();
  }
  return made;
}

GraphContentsRef GraphContents::clone_as_child() const {
  GraphContentsRef made = clone();
  for_all(*made, [](GraphContents& one) { one.copies.rename(); });
  return made;
}

GraphContents GraphContents::flat(uint64_t graph) const {
  GraphContents all;
  append(&all, *this, graph);
  all.copies.sort();
  return all;
}

CUresult GraphContents::replace_shared(int device, const GraphCopies* instance,
                                       std::vector<Move>* moves) {
  struct Known {
    long ours = 0;  // references
    std::shared_ptr<StandIn> instead;
  };
  std::map<std::shared_ptr<StandIn>, Known> blocks;
  if (instance != nullptr) {
    for (const HostCopy& copy : instance->all()) {
      ++blocks[copy.block].ours;
    }
  }
  for_all(*this, [&](const GraphContents& one) {
    for (const HostCopy& copy : one.copies.all()) {
      ++blocks[copy.block].ours;
    }
  });
  for (auto& [block, known] : blocks) {
    if (block.use_count() == known.ours + 1) {  // and the key
      continue;
    }
    if (const CUresult result = make_stand_in(device, block->bytes, &known.instead);
        result != CUDA_SUCCESS) {
      moves->clear();
      return result;
    }
    moves->push_back({block->address, known.instead->address, block->bytes});
  }
  for_all(*this, [&](GraphContents& one) {
    for (HostCopy& copy : one.copies.all()) {
      const std::shared_ptr<StandIn>& instead = blocks[copy.block].instead;
      if (instead != nullptr) {
        copy.stand_in += instead->address - copy.block->address;
        copy.block = instead;
      }
    }
  });
  return CUDA_SUCCESS;
}

}  // namespace farlane::client
