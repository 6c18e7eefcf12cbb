// Groups of NCCL's calls, which threads of their own make (cudax/communicators.h). A group with
// streams holds those up until it is made: its command waits in the backlog meanwhile, with what
// CUDA orders behind it.
#include <fmt/format.h>

#include "protocol/limits.h"
#include "server/cudax/group_names.h"
#include "server/executor.h"

namespace farlane::server {

namespace {
// Most groups are only put into their streams, which takes less than this: then nothing needs to be
// kept for later.
constexpr auto kGroupSpin = std::chrono::microseconds(50);
// Before each call's arguments: its function, the device, their bytes.
constexpr size_t kCallWords = 3;
// The driver holds about a thousand commands of a stream, and whoever puts in one more waits until
// there is room. Behind a collective that lacks a rank there never is, unless the client ends it,
// and this thread must be there to read that. So a stream gets no more than kMarksMax + 1 times
// this, its commands being counted by events between them.
constexpr uint64_t kCommandsPerMark = 128;
constexpr size_t kMarksMax = 5;
// A stream that gets on is waited for here, as the driver would; the backlog is for others.
constexpr auto kFarSpin = std::chrono::milliseconds(2);
// What gets on sooner needs no more room than the backlog always has.
constexpr auto kFarLong = std::chrono::seconds(1);
}  // namespace

bool Executor::is_far_ahead(Stream& stream) {
  if (communicators_ == nullptr || stream.capture != nullptr) return false;
  if (stream.posted - stream.posted_at_far_mark < kCommandsPerMark) return false;
  const auto drop_finished = [&] {
    while (!stream.far_marks.empty() &&
           driver_.cuEventQuery(stream.far_marks.front().handle()) != CUDA_ERROR_NOT_READY) {
      stream.far_marks.pop_front();
      stream.far_since.reset();
    }
    return stream.far_marks.size() < kMarksMax;
  };
  while (!drop_finished()) {
    const auto now = transport::Clock::now();
    if (!stream.far_since) stream.far_since = now;
    const auto waited = now - *stream.far_since;
    if (waited < kFarSpin) continue;
    stall_ = true;
    stall_is_long_ = waited >= kFarLong;
    return true;
  }
  EventRef mark;
  if (make_current(*stream.device) == CUDA_SUCCESS &&
      stream.device->events.acquire(&mark) == CUDA_SUCCESS &&
      driver_.cuEventRecord(mark.handle(), stream.handle) == CUDA_SUCCESS) {
    stream.far_marks.push_back(std::move(mark));
    stream.posted_at_far_mark = stream.posted;
  }
  return false;
}

cudax::Communicators& Executor::communicators() {
  if (communicators_ == nullptr) {
    communicators_ = std::make_unique<cudax::Communicators>(
        driver_, cudax(), settings_.collectives_at_once, [this] {
          groups_changed_.store(true, std::memory_order_release);
          channel_.wake();
        });
  }
  return *communicators_;
}

// The group as the library's threads take it, on group_streams_; its arguments stay where they are.
// False: with *result set, or with the session ended.
template <class Command>
bool Executor::read_group(const RecordHeader& header, const Command& command,
                          cudax::Communicators::Request* request, CUresult* result) {
  request->library = command.library;
  request->flags = command.flags;
  request->streams.clear();
  request->objects.clear();
  request->calls.clear();
  for (const message::ObjectName& object : command.objects) {
    request->objects.push_back(object.name);
  }
  for (size_t i = 0; i < group_streams_.size(); ++i) {
    Stream& stream = *group_streams_[i];
    if (group_streams_.size() > 1) *result = make_current(*stream.device);
    if (*result == CUDA_SUCCESS) *result = stream.device->use(stream);
    if (*result != CUDA_SUCCESS) return false;
    request->streams.emplace_back(command.streams[i].stream.bits(), stream.handle);
  }
  // The last one's device stays current.
  for (std::span<const std::byte> left = command.calls; !left.empty();) {
    std::array<uint64_t, kCallWords> words{};
    if (left.size() >= sizeof words) std::memcpy(words.data(), left.data(), sizeof words);
    const auto [function, ordinal, bytes] = words;
    if (left.size() < sizeof words || bytes > left.size() - sizeof words || function > UINT16_MAX ||
        ordinal > UINT32_MAX) {
      return fault(header, "a call that is cut off");
    }
    const Device* device = find_device(header, static_cast<uint32_t>(ordinal), result);
    if (device == nullptr) return false;
    request->calls.push_back({.function = static_cast<uint32_t>(function),
                              .context = device->context(),
                              .arguments = left.subspan(sizeof words, bytes)});
    left = left.subspan(sizeof words + bytes);
  }
  if (request->calls.empty()) return fault(header, "a group without calls");
  // Each call may be a command of the driver's.
  for (Stream* stream : group_streams_) stream->posted_at_far_mark -= request->calls.size() - 1;
  return true;
}

// What became of a group, or an abort, is told.
bool Executor::settle(const Group& group, const std::vector<uint64_t>& objects,
                      const cudax::Outcome& outcome) {
  const std::string_view what =
      std::string_view(outcome.what).substr(0, protocol::limits::log_bytes_max);
  if (!outcome.fault.empty()) {
    RecordHeader header;
    header.op = static_cast<uint16_t>(group.op);
    header.sequence = group.sequence;
    return fault(header, outcome.fault);
  }
  if (group.op == protocol::Op::kCudaxGroupAsk) {
    return answer(group.sequence,
                  message::CudaxGroupAskReply{
                      .status = outcome.status, .results = outcome.results, .what = what},
                  CUDA_SUCCESS);
  }
  if (group.op == protocol::Op::kCudaxAbort) {
    return answer(group.sequence, message::CudaxAbortReply{.status = outcome.status, .what = what},
                  CUDA_SUCCESS);
  }
  if (outcome.succeeded && !group.tells) return true;
  for (const uint64_t object : objects) {
    outbox_.append(message::CudaxState{
        .object = object, .status = static_cast<int32_t>(outcome.status), .what = what});
  }
  return end_ == SessionEnd::kNotYet;
}

template <class Command>
bool Executor::make_group(const RecordHeader& header, const Command& command) {
  auto known = std::find_if(groups_.begin(), groups_.end(),
                            [&](const Group& g) { return g.sequence == header.sequence; });
  if (known == groups_.end()) {
    Group group{.sequence = header.sequence,
                .op = Command::kOp,
                .tells = (command.flags & cudax::kGroupTell) != 0,
                .holds_up = !command.streams.empty(),
                .work = nullptr};
    CUresult result = CUDA_SUCCESS;
    group_streams_.clear();
    for (const message::StreamName& name : command.streams) {
      const StreamRef* stream = find_stream(header, name.stream, &result);
      if (stream == nullptr) break;
      if (is_far_ahead(**stream)) return false;
      group_streams_.push_back(stream->get());
    }
    if (end_ != SessionEnd::kNotYet) return false;
    if (result != CUDA_SUCCESS || !read_group(header, command, &group_request_, &result)) {
      if constexpr (std::is_same_v<Command, message::CudaxGroupAsk>) {
        return answer(header.sequence, message::CudaxGroupAskReply{}, result);
      } else {
        return posted(header, result, [] { return std::string("a group of calls"); });
      }
    }
    cudax::Outcome outcome;
    std::string wrong;
    switch (communicators().make_now(group_request_, cudax::names_of(group_request_), &outcome,
                                     &group.work)) {
      case cudax::Communicators::Now::kDone:
        return settle(group, group_request_.objects, outcome);
      case cudax::Communicators::Now::kGoesOn:
        break;
      case cudax::Communicators::Now::kNo:
        group.work = communicators().begin(group_request_, &wrong);
        break;
    }
    if (group.work == nullptr) return fault(header, wrong);
    groups_.push_back(group);
    if (!group.holds_up) return true;
    known = groups_.end() - 1;
    const auto until = transport::Clock::now() + kGroupSpin;
    while (!group.work->is_done() && transport::Clock::now() < until) __builtin_ia32_pause();
  }
  if (!known->work->is_done()) {
    stall_ = true;
    return false;
  }
  const Group group = std::move(*known);
  groups_.erase(known);
  return settle(group, group.work->objects(), group.work->outcome());
}

bool Executor::on(const RecordHeader& header, const message::CudaxGroup& group) {
  return make_group(header, group);
}

bool Executor::on(const RecordHeader& header, const message::CudaxGroupAsk& ask) {
  return make_group(header, ask);
}

bool Executor::on(const RecordHeader& header, const message::CudaxAbort& abort) {
  std::string wrong;
  const cudax::Communicators::WorkRef work =
      communicators().abort(abort.library, abort.function, abort.object, &wrong);
  if (work == nullptr) return fault(header, wrong);
  groups_.push_back({.sequence = header.sequence,
                     .op = message::CudaxAbort::kOp,
                     .tells = false,
                     .holds_up = false,
                     .work = work});
  groups_changed_ = true;  // it may be done already
  return true;
}

bool Executor::progress_groups() {
  // Whatever is done after this sets it again.
  groups_changed_.exchange(false, std::memory_order_seq_cst);
  bool any = false;
  for (size_t i = 0; i < groups_.size() && end_ == SessionEnd::kNotYet;) {
    if (groups_[i].holds_up || !groups_[i].work->is_done()) {
      ++i;
      continue;
    }
    const Group group = std::move(groups_[i]);
    groups_.erase(groups_.begin() + static_cast<std::ptrdiff_t>(i));
    settle(group, group.work->objects(), group.work->outcome());
    any = true;
  }
  for (const cudax::Communicators::News& news : communicators_->take_news()) {
    outbox_.append(message::CudaxState{
        .object = news.object,
        .status = news.status,
        .what = std::string_view(news.what).substr(0, protocol::limits::log_bytes_max)});
    any = true;
  }
  return any;
}

}  // namespace farlane::server
