// Host functions: the client's own work in the order of a stream. The command waits in the backlog
// and keeps there what CUDA orders behind it, so that the driver never holds work that waits for
// the client: neither the executor nor the end of the session can be caught behind it.
#include <fmt/format.h>

#include "server/executor.h"

namespace farlane::server {

bool Executor::on(const RecordHeader& header, const message::HostCall& call) {
  const auto [found, fresh] = host_calls_.try_emplace(call.ticket);
  HostCall& mine = found->second;
  if (fresh) {
    mine.command = header.sequence;
    mine.stream = call.stream;
    const StreamRef* stream = find_stream(header, call.stream, &mine.result);
    if (end_ != SessionEnd::kNotYet) return false;
    if (stream != nullptr) mine.result = (*stream)->device->use(**stream);
    Device::Mark mark;
    if (stream != nullptr && mine.result == CUDA_SUCCESS) {
      mine.result = (*stream)->device->mark(*stream, &mark);
      mine.reached = mark.event;
    }
  } else if (mine.command != header.sequence) {
    return fault(header, fmt::format("ticket {} of another host call", call.ticket));
  }
  if (!mine.due) {
    if (mine.result == CUDA_SUCCESS) mine.result = driver_.cuEventQuery(mine.reached.handle());
    if (mine.result == CUDA_ERROR_NOT_READY) {
      mine.result = CUDA_SUCCESS;
      stall_ = true;
      return false;
    }
    deliver_data();  // of what is finished goes first
    mine.due = true;
    mine.reached.reset();
    note_sticky(mine.result);
    outbox_.append(message::HostCallDue{call.ticket, mine.result});
  }
  if (!mine.done) {
    stall_ = true;
    return false;
  }
  host_calls_.erase(found);
  return true;
}

bool Executor::on(const RecordHeader& header, const message::HostCallDone& done) {
  const auto found = host_calls_.find(done.ticket);
  if (found == host_calls_.end() || !found->second.due || found->second.done) {
    return fault(header, fmt::format("host call {} is not due", done.ticket));
  }
  found->second.done = true;
  return true;
}

bool Executor::on(const RecordHeader& header, const message::HostCallCopy& copy,
                  std::span<std::byte> body) {
  const auto found = host_calls_.find(copy.ticket);
  if (found == host_calls_.end() || !found->second.due || found->second.done) {
    return fault(header, fmt::format("host call {} is not due", copy.ticket));
  }
  return on(header,
            message::CopyIn{.stream = found->second.stream,
                            .to = copy.to,
                            .to_pitch = copy.to_pitch,
                            .width = copy.width,
                            .height = copy.height,
                            .data = copy.data},
            body);
}

}  // namespace farlane::server
