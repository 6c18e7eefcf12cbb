// What the executor does about work that is under way on the devices.
#include <algorithm>

#include "server/executor.h"

namespace farlane::server {

Executor::Wait& Executor::new_wait(Then then, uint64_t sequence, Device* device) {
  std::unique_ptr<Wait> wait;
  if (spare_waits_.empty()) {
    wait = std::make_unique<Wait>();
  } else {
    wait = std::move(spare_waits_.back());
    spare_waits_.pop_back();
  }
  wait->then = then;
  wait->sequence = sequence;
  wait->since = clocks_.now();
  wait->device = device;
  wait->address = 0;
  wait->marks.clear();
  wait->fired = 0;
  wait->result = CUDA_SUCCESS;
  waits_.push_back(std::move(wait));
  return *waits_.back();
}

// True when everything it waits for has happened, or will never.
bool Executor::poll(Wait& wait) {
  while (wait.fired < wait.marks.size()) {
    const CUresult result = driver_.cuEventQuery(wait.marks[wait.fired].event.handle());
    if (result == CUDA_ERROR_NOT_READY) return false;
    ++wait.fired;
    if (result != CUDA_SUCCESS) {
      // An error of the context: no event of it tells anything any more.
      wait.result = result;
      wait.fired = wait.marks.size();
    }
  }
  return true;
}

// An answer may not overtake data of copies before it. Whatever those are, they had been read when
// the answer's events fired; so data is handed over after the look at the events and before the
// answers.
bool Executor::progress() {
  bool any = false;
  if (!waits_.empty()) {
    std::vector<std::unique_ptr<Wait>>& waits = waits_;
    // Most looks find nothing; partitioning takes memory.
    const bool ready =
        std::any_of(waits.begin(), waits.end(), [&](auto& wait) { return poll(*wait); });
    const auto first_ready = ready ? std::stable_partition(waits.begin(), waits.end(),
                                                           [&](auto& wait) { return !poll(*wait); })
                                   : waits.end();
    if (first_ready != waits.end()) {
      any = true;
      deliver_data();
      const size_t begin = static_cast<size_t>(first_ready - waits.begin());
      const size_t end = waits.size();
      // finish() may add waits behind these.
      for (size_t i = begin; i < end; ++i) {
        std::unique_ptr<Wait> wait = std::move(waits_[i]);
        finish(*wait);
        wait->marks.clear();
        spare_waits_.push_back(std::move(wait));
      }
      waits_.erase(waits_.begin() + static_cast<std::ptrdiff_t>(begin),
                   waits_.begin() + static_cast<std::ptrdiff_t>(end));
    }
  }
  any |= deliver_data();
  any |= progress_bulk();
  if (groups_changed_.load(std::memory_order_relaxed)) any |= progress_groups();
  if (!waiting_asks_.empty()) any |= retry_waiting_asks();
  if (!ipc_asks_.empty()) any |= progress_ipc();
  return any;
}

// Not what only gives something back once the device is through with it. A copy to the host is
// mostly waited for.
bool Executor::client_waits_for_device() const {
  return copies_.looks() != 0 || std::any_of(waits_.begin(), waits_.end(), [](const auto& wait) {
           return wait->then != Then::kExtentRelease && wait->then != Then::kHostUnmap;
         });
}

bool Executor::deliver_data() {
  if (copies_.looks() + bulk_.looks() == 0) return false;
  CommandClocks::Answering answering(clocks_, protocol::Op::kCopyOut);
  const bool any = copies_.look() || bulk_.look();
  if (any) {
    looks_.clear();
    copies_.list(&looks_);
    bulk_.list(&looks_);
    // Of a single stream the older ones are read first.
    const bool in_order = copies_.looks() + bulk_.looks() == 1;
    if (!in_order) newest_first(&looks_);
    for (const DataLook& look : looks_) {
      if (!look_at(driver_, look) && in_order) break;
    }
    bulk_.hand_over();
    if (copies_.next_ticket() == CopyEngine::kNone) answering.dismiss();  // lanes are not clocked
    for (uint64_t next = copies_.next_ticket(); next != CopyEngine::kNone;
         next = copies_.next_ticket()) {
      bulk_.tell_finished(next);
      copies_.emit_next();
    }
    bulk_.tell_finished(UINT64_MAX);
  } else {
    answering.dismiss();
  }
  clocks_.copies_under_way(copies_.has_pieces());
  return any;
}

void Executor::finish(Wait& wait) {
  for (const Device::Mark& mark : wait.marks) {
    if (mark.stream != nullptr) {
      mark.stream->finished = std::max(mark.stream->finished, mark.posted);
    }
  }
  const auto output = [&] {
    if (!wait.device->prints && wait.result == CUDA_SUCCESS) return;
    tell_output(wait.marks.empty() ? nullptr : &wait.marks.back().event);
  };
  switch (wait.then) {
    case Then::kReplyStream:
      clocks_.waited(protocol::Op::kStreamSynchronize, wait.since);
      output();
      answer(wait.sequence, message::StreamSynchronizeReply{}, wait.result);
      return;
    case Then::kReplyEvent:
      clocks_.waited(protocol::Op::kEventSynchronize, wait.since);
      output();
      answer(wait.sequence, message::EventSynchronizeReply{}, wait.result);
      return;
    case Then::kReplyDevice:
      clocks_.waited(protocol::Op::kDeviceSynchronize, wait.since);
      output();
      answer(wait.sequence, message::DeviceSynchronizeReply{}, wait.result);
      return;
    case Then::kExtentReady:
      clocks_.waited(protocol::Op::kExtentCreate, wait.since);
      answer(wait.sequence, message::ExtentCreateReply{}, wait.result);
      return;
    case Then::kExtentRelease:
      finish_release(wait);
      return;
    case Then::kHostUnmap:
      if (make_current(*wait.device) == CUDA_SUCCESS) shared_.release(wait.address);
      return;
    case Then::kDeviceReset:
      output();
      reset_device(*wait.device);
      answer(wait.sequence, message::DeviceResetReply{}, wait.result);
      return;
  }
}

void Executor::finish_release(Wait& wait) {
  if (wait.device == nullptr) return;  // a reset was quicker
  if (make_current(*wait.device) != CUDA_SUCCESS) return;
  const CUresult result = wait.device->space.release(wait.address);
  RecordHeader header;
  header.op = static_cast<uint16_t>(protocol::Op::kExtentRelease);
  header.sequence = wait.sequence;
  posted(header, result, [&] { return "an extent at " + std::to_string(wait.address); });
}

bool Executor::has_release_pending(const Device& device) const {
  return std::any_of(waits_.begin(), waits_.end(), [&](const auto& wait) {
    return wait != nullptr && wait->then == Then::kExtentRelease && wait->device == &device;
  });
}

}  // namespace farlane::server
