// What the entry points about capture and graphs share.
#pragma once

#include <span>
#include <vector>

#include "client/core/graph_api.h"
#include "client/cudart/runtime.h"

namespace farlane::cudart {

// A list of dependencies, with the data of their edges if the caller has any.
Error dependencies_of(const cudaGraphNode_t* nodes, const cudaGraphEdgeData* data, size_t count,
                      std::vector<core::Dependency>* out);

CUgraphEdgeData edge_data_of(const cudaGraphEdgeData& data);
cudaGraphEdgeData edge_data_of(const CUgraphEdgeData& data);

// CUDA's way to give out lists: with `out` null only their length, else at most *count of them, and
// null for what is more.
template <typename Item, typename Get>
void give_out(const std::vector<Item>& items, size_t room, Get&& get) {
  for (size_t i = 0; i < room; ++i) {
    get(i, i < items.size() ? &items[i] : nullptr);
  }
}

}  // namespace farlane::cudart
