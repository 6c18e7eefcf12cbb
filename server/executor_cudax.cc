// Calls of CUDA-X libraries. They are made on this thread: one that waits for the device holds up
// the log, which its caller waits for in any case.
#include <algorithm>

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
    cudax_ = std::make_unique<cudax::Host>(settings_.libraries_path, std::move(names));
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
                            std::span<const std::byte> arguments, size_t results_max,
                            cudax::Outcome* outcome, CUresult* result) {
  const StreamRef* stream = find_stream(header, command.stream, result);
  if (stream != nullptr && is_far_ahead(**stream)) return false;
  if (stream != nullptr) *result = (*stream)->device->use(**stream);
  if (stream == nullptr || *result != CUDA_SUCCESS) return false;
  *outcome = cudax().call(command.function, arguments, results_max);
  if (!outcome->fault.empty()) fault(header, outcome->fault);
  return end_ == SessionEnd::kNotYet;
}

void Executor::tell_failure(const RecordHeader& header, uint32_t function,
                            const cudax::Outcome& outcome) {
  if (outcome.succeeded) return;
  outbox_.append(message::CudaxError{.sequence = header.sequence,
                                     .function = function,
                                     .status = static_cast<int32_t>(outcome.status),
                                     .what = outcome.what});
}

bool Executor::on(const RecordHeader& header, const message::CudaxCall& call) {
  cudax::Outcome outcome;
  CUresult result = CUDA_SUCCESS;
  if (!call_library(header, call, call.arguments, protocol::limits::cudax_bytes_max, &outcome,
                    &result)) {
    return !stall_ && posted(header, result, [&] { return describe(call.stream); });
  }
  tell_failure(header, call.function, outcome);
  return true;
}

bool Executor::on(const RecordHeader& header, const message::CudaxAsk& ask) {
  cudax::Outcome outcome;
  CUresult result = CUDA_SUCCESS;
  if (!call_library(header, ask, ask.arguments, protocol::limits::cudax_bytes_max, &outcome,
                    &result)) {
    return !stall_ && answer(header.sequence, message::CudaxAskReply{}, result);
  }
  return answer(header.sequence,
                message::CudaxAskReply{.status = outcome.status, .results = outcome.results},
                CUDA_SUCCESS);
}

bool Executor::on(const RecordHeader& header, const message::CudaxPiece& piece) {
  const std::string wrong = long_calls_.add(piece.call, piece.total, piece.arguments);
  return wrong.empty() || fault(header, wrong);
}

// As call_library, with the arguments that came before; they are gone but where the call must wait.
template <class Command>
bool Executor::call_in_pieces(const RecordHeader& header, const Command& command,
                              cudax::Outcome* outcome, CUresult* result) {
  std::span<const std::byte> arguments;
  if (const std::string wrong = long_calls_.arguments(command.call, &arguments); !wrong.empty()) {
    return fault(header, wrong);
  }
  const bool called = call_library(header, command, arguments,
                                   protocol::limits::cudax_long_bytes_max, outcome, result);
  if (!stall_) long_calls_.drop(command.call);
  return called;
}

bool Executor::on(const RecordHeader& header, const message::CudaxLongCall& call) {
  cudax::Outcome outcome;
  CUresult result = CUDA_SUCCESS;
  if (!call_in_pieces(header, call, &outcome, &result)) {
    return !stall_ && posted(header, result, [&] { return describe(call.stream); });
  }
  tell_failure(header, call.function, outcome);
  return true;
}

bool Executor::on(const RecordHeader& header, const message::CudaxLongAsk& ask) {
  cudax::Outcome outcome;
  CUresult result = CUDA_SUCCESS;
  if (!call_in_pieces(header, ask, &outcome, &result)) {
    return !stall_ && answer(header.sequence, message::CudaxLongAskReply{}, result);
  }
  const size_t first =
      std::min<size_t>(outcome.results.size(), protocol::limits::cudax_bytes_max);
  const message::CudaxLongAskReply reply{.status = outcome.status,
                                         .total = outcome.results.size(),
                                         .results = std::span(outcome.results).first(first)};
  if (!answer(header.sequence, reply, CUDA_SUCCESS)) return false;
  const std::string wrong = long_calls_.keep(ask.call, std::move(outcome.results), first);
  return wrong.empty() || fault(header, wrong);
}

bool Executor::on(const RecordHeader& header, const message::CudaxResults& ask) {
  message::CudaxResultsReply reply;
  const std::string wrong =
      long_calls_.next(ask.call, protocol::limits::cudax_bytes_max, &reply.results);
  return wrong.empty() ? answer(header.sequence, reply, CUDA_SUCCESS) : fault(header, wrong);
}

}  // namespace farlane::server
