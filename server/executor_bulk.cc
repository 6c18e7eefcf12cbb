// Commands about copies over the bulk lanes. Such a command is tried again until the driver has all
// of its copy; what does not depend on it goes on meanwhile (backlog.h).
#include <fmt/format.h>

#include "server/executor.h"

namespace farlane::server {

namespace {
// A slower network than 1 Mb/s is none.
constexpr auto kSlowestByte = std::chrono::microseconds(8);
}  // namespace

bool Executor::on(const RecordHeader& header, const message::CopyInLanes& copy) {
  BulkIn* bulk = bulk_.find_in(header.sequence);
  if (bulk == nullptr) {
    if (copy.height != 0 && copy.width > UINT64_MAX / copy.height) {
      return fault(header, fmt::format("{} rows of {} bytes", copy.height, copy.width));
    }
    if (lanes_.open_lanes() == 0) return fault(header, "a copy over lanes, and no lane is open");
    BulkIn begun;
    begun.command = header.sequence;
    begun.to = copy.to;
    begun.width = copy.width;
    begun.to_pitch = copy.height == 1 ? copy.width : copy.to_pitch;
    begun.total_bytes = copy.width * copy.height;
    const StreamRef* stream = find_stream(header, copy.stream, &begun.result);
    if (end_ != SessionEnd::kNotYet) return false;
    if (stream != nullptr) begun.stream = *stream;
    if (stream != nullptr && !may_touch(copy.to, copy.to_pitch, copy.width, copy.height)) {
      begun.result = CUDA_ERROR_INVALID_VALUE;
    } else if (stream != nullptr && (*stream)->capture != nullptr) {
      begun.result = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    } else if (stream != nullptr) {
      begun.result = (*stream)->device->use(**stream);
    }
    bulk = bulk_.begin_in(std::move(begun));
  }
  bool any = false;
  const std::string wrong = bulk_.take(executed(), &any);
  if (!wrong.empty()) {
    end_session(SessionEnd::kProtocol, wrong);
    return false;
  }
  if (!bulk->is_issued()) {
    stall_ = true;
    return false;
  }
  const CUresult result = bulk->result;
  bulk_.end_in(header.sequence);
  return posted(header, result, [&] {
    return fmt::format("{} rows of {} bytes to {:#x}", copy.height, copy.width, copy.to);
  });
}

bool Executor::on(const RecordHeader& header, const message::CopyOutLanes& copy) {
  BulkOut* bulk = bulk_.find_out(header.sequence);
  if (bulk == nullptr) {
    if (lanes_.open_lanes() == 0) return fault(header, "a copy over lanes, and no lane is open");
    const StreamRef* stream = admit_out(header, copy);
    if (stream == nullptr) return end_ == SessionEnd::kNotYet;
    BulkOut begun;
    begun.command = header.sequence;
    begun.ticket = copy.ticket;
    begun.stream = *stream;
    begun.from = copy.from;
    begun.width = copy.width;
    begun.from_pitch = copy.height == 1 ? copy.width : copy.from_pitch;
    begun.total_bytes = copy.width * copy.height;
    bulk = bulk_.begin_out(std::move(begun));
  }
  if (!bulk_.issue_out(bulk)) {
    stall_ = true;
    return false;
  }
  bulk_.end_out(bulk);
  return true;
}

bool Executor::on(const RecordHeader& header, const message::LaneData&, std::span<std::byte>) {
  return fault(header, "data of a lane on the command lane");
}

bool Executor::on(const RecordHeader& header, const message::MonitorCall&) {
  return fault(header, "a monitoring call in a session");
}

bool Executor::progress_bulk() {
  bulk_.open_lanes();
  bool any = false;
  const std::string wrong = bulk_.take(executed(), &any);
  if (!wrong.empty()) end_session(SessionEnd::kProtocol, wrong);
  if (bulk_.is_active()) {
    any |= bulk_.recycle();
  }
  return any;
}

void Executor::check_lanes() {
  std::string why;
  bool fault = false;
  if (!lanes_.has_ended(&why, &fault)) return;
  // What the client said last may still be in the channel, a goodbye for instance.
  receive();
  end_session(fault ? SessionEnd::kProtocol : SessionEnd::kPeerGone, why);
}

void Executor::check_bulk_silence(transport::Clock::time_point* deadline) {
  check_lane_readers(deadline);
  const auto since = bulk_.silent_since();
  if (since == transport::Clock::time_point::max()) return;
  check_patience("the data of a copy did not come", since, {}, deadline);
}

// A client that takes no data from its lanes holds their pinned memory.
void Executor::check_lane_readers(transport::Clock::time_point* deadline) {
  const auto now = transport::Clock::now();
  const uint64_t sent = lanes_.sent();
  if (sent == lanes_.handed_over() || sent != lanes_sent_) {
    lanes_sent_ = sent;
    lanes_sent_at_ = now;
    return;
  }
  check_patience("the client took no data from its further connections", lanes_sent_at_,
                 kSlowestByte * static_cast<int64_t>(lanes_.chunk_bytes()), deadline);
}

}  // namespace farlane::server
