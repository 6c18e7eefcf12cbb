// What the entry points about capture and graphs share.
#pragma once

#include <vector>

#include "client/core/graph_api.h"
#include "client/cuda/driver.h"

namespace farlane::cuda {

// A list of dependencies, with the data of their edges if the caller has any.
CUresult dependencies_of(const CUgraphNode* nodes, const CUgraphEdgeData* data, size_t count,
                         std::vector<core::Dependency>* out);

}  // namespace farlane::cuda
