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
  Call call;
  Stream* found = call.stream(stream);
  const CaptureRef capture = call.admit(found);
  if (!call) {
    return call.error;
  }
  if (capture == nullptr) {
    return host_function(stream, [function, data](CUresult status) {
      if (status == CUDA_SUCCESS) {
        function(data);
      }
    });
  }
  const HostFunctionRef made = call->host_functions.add(function, data);
  {
    std::lock_guard lock(call->captures.mutex());
    capture->contents.functions.push_back(made);
  }
  return posted(call->post(message::HostCaptured{.stream = found->id, .function = made->number}));
}

uint64_t call_in_stream(Session* s, Stream* stream, const HostFunctionRef& function) {
  return post_host_call(s, stream, [function](CUresult status) {
    if (status == CUDA_SUCCESS) {
      function->function(function->data);
    }
  });
}

}  // namespace farlane::client
