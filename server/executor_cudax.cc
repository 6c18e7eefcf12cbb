// Calls of CUDA-X libraries. They are made on this thread: one that waits for the device holds up
// the log, which its caller waits for in any case.
#include "protocol/limits.h"
#include "server/executor.h"

namespace farlane::server {

cudax::Host& Executor::cudax() {
  if (cudax_ == nullptr) {
    cudax::Names names;
    names.stream = [this](uint64_t name, CUstream* stream) {
      const auto id = protocol::StreamId::from_bits(name);
      CUresult result = CUDA_SUCCESS;
      const StreamRef* found = id.is_valid() ? find_stream({}, id, &result) : nullptr;
      if (found != nullptr) *stream = (*found)->handle;
      return found != nullptr;
    };
    names.event = [this](uint64_t name, CUevent* event) {
      const auto id = protocol::EventId::from_bits(name);
      CUresult result = CUDA_SUCCESS;
      Event* found = id.is_valid() ? find_event({}, id, &result) : nullptr;
      if (found != nullptr) *event = found->driver.handle();
      return found != nullptr;
    };
    cudax_ = std::make_unique<cudax::Host>(settings_.libraries_path, std::move(names),
                                           protocol::limits::cudax_bytes_max);
  }
  return *cudax_;
}

bool Executor::on(const RecordHeader& header, const message::CudaxOpen& open) {
  const cudax::Host::Version& version = cudax().open(open.library);
  std::string_view text = version.text;
  return answer(header.sequence,
                message::CudaxOpenReply{.major = version.major,
                                        .minor = version.minor,
                                        .patch = version.patch,
                                        .text = text.substr(0, protocol::limits::log_bytes_max)},
                CUDA_SUCCESS);
}

// The outcome of a call on its stream; false: the stream is none, the call must wait (stall_), or
// the peer broke the protocol.
template <class Command>
bool Executor::call_library(const RecordHeader& header, const Command& command,
                            cudax::Outcome* outcome, CUresult* result) {
  const StreamRef* stream = find_stream(header, command.stream, result);
  if (stream != nullptr && is_far_ahead(**stream)) return false;
  if (stream != nullptr) *result = (*stream)->device->use(**stream);
  if (stream == nullptr || *result != CUDA_SUCCESS) return false;
  *outcome = cudax().call(command.function, command.arguments);
  if (!outcome->fault.empty()) fault(header, outcome->fault);
  return end_ == SessionEnd::kNotYet;
}

bool Executor::on(const RecordHeader& header, const message::CudaxCall& call) {
  cudax::Outcome outcome;
  CUresult result = CUDA_SUCCESS;
  if (!call_library(header, call, &outcome, &result)) {
    return !stall_ && posted(header, result, [&] { return describe(call.stream); });
  }
  if (!outcome.succeeded) {
    outbox_.append(message::CudaxError{.sequence = header.sequence,
                                       .function = call.function,
                                       .status = static_cast<int32_t>(outcome.status),
                                       .what = outcome.what});
  }
  return true;
}

bool Executor::on(const RecordHeader& header, const message::CudaxAsk& ask) {
  cudax::Outcome outcome;
  CUresult result = CUDA_SUCCESS;
  if (!call_library(header, ask, &outcome, &result)) {
    return !stall_ && answer(header.sequence, message::CudaxAskReply{}, result);
  }
  return answer(header.sequence,
                message::CudaxAskReply{.status = outcome.status, .results = outcome.results},
                CUDA_SUCCESS);
}

}  // namespace farlane::server
