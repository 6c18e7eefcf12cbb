#include "client/core/host_functions.h"

#include <algorithm>

#include "client/core/graph_detail.h"

namespace farlane::client {

HostFunctionRef HostFunctions::add(CUhostFn function, void* data) {
  std::lock_guard lock(mutex_);
  if (known_.size() >= sweep_at_) {
    std::erase_if(known_, [](const auto& one) { return one.second.expired(); });
    sweep_at_ = std::max<size_t>(64, 2 * known_.size());
  }
  auto made = std::make_shared<const HostFunction>(HostFunction{next_++, function, data});
  known_[made->number] = made;
  return made;
}

HostFunctionRef HostFunctions::find(uint64_t number) {
  std::lock_guard lock(mutex_);
  const auto found = known_.find(number);
  return found == known_.end() ? nullptr : found->second.lock();
}

CUresult launch_host_function(CUstream stream, CUhostFn function, void* data) {
  CUresult error = CUDA_SUCCESS;
  Session* s = session(&error);
  Stream* found = s == nullptr ? nullptr : s->resolve(stream, &error);
  if (found == nullptr) {
    return error;
  }
  const CaptureRef capture = s->captures.admit(*found, &error);
  if (error != CUDA_SUCCESS) {
    return error;
  }
  if (capture == nullptr) {
    return host_function(stream, [function, data](CUresult status) {
      if (status == CUDA_SUCCESS) {
        function(data);
      }
    });
  }
  const HostFunctionRef made = s->host_functions.add(function, data);
  {
    std::lock_guard lock(s->captures.mutex());
    capture->functions.push_back(made);
  }
  const uint64_t sequence =
      s->post(message::HostCaptured{.stream = found->id, .function = made->number});
  return sequence == 0 ? kServerLost : CUDA_SUCCESS;
}

uint64_t call_in_stream(Session* s, Stream* stream, const HostFunctionRef& function) {
  return post_host_call(s, stream, [function](CUresult status) {
    if (status == CUDA_SUCCESS) {
      function->function(function->data);
    }
  });
}

}  // namespace farlane::client
