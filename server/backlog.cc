#include "server/backlog.h"

#include <algorithm>
#include <cstring>

#include "generated/protocol/dispatch.h"
#include "generated/protocol/messages.h"

namespace farlane::server {

namespace message = protocol::message;

namespace {

// Some ten thousand launches. Behind that the log itself waits, and its client's credit.
constexpr size_t kBytesMax = size_t{2} << 20;

template <class M, class... Ms>
inline constexpr bool is_one_of = (std::is_same_v<M, Ms> || ...);

// Makes names that nothing before it can refer to, or asks about what no stream changes.
template <class M>
inline constexpr bool touches_nothing =
    is_one_of<M, message::ClientAlive, message::CudaxOpen, message::Echo, message::ExtentCreate,
              message::ImagePart, message::KernelBind, message::KernelFactsGet,
              message::KernelsMore, message::LimitGet, message::MemoryInfo, message::ModuleLoad,
              message::OccupancyBlocks, message::OccupancyShared, message::VariableFind,
              message::WorkerTimes>;

template <class M>
inline constexpr bool touches_everything =
    is_one_of<M, message::Control, message::DeviceReset, message::DeviceSynchronize,
              message::ExtentRelease, message::KernelCache, message::KernelSet, message::LimitSet,
              message::ModuleUnload, message::ReuseFence, message::WindowsReserve>;

struct Reader {
  const Backlog::IsBlocking& is_blocking;
  Touches touches;

  template <class M>
  bool on(const protocol::RecordHeader&, const M& command) {
    touches.everything = touches_everything<M>;
    bool named = touches.everything || touches_nothing<M>;
    if constexpr (requires { command.stream; }) {
      touches.stream = command.stream;
      touches.blocking = !command.stream.is_legacy() && is_blocking(command.stream);
      named = true;
    }
    if constexpr (requires { command.event; }) {
      constexpr bool reads =
          is_one_of<M, message::StreamWait, message::EventSynchronize, message::EventQuery>;
      (reads ? touches.events_read : touches.events_written).push_back(command.event.index());
      touches.records = std::is_same_v<M, message::EventRecord>;
      named = true;
    }
    if constexpr (std::is_same_v<M, message::EventElapsed>) {
      touches.events_read = {command.start.index(), command.end.index()};
      named = true;
    }
    // A command that nobody thought of here passes nothing and is passed by nothing.
    if (!named) touches.everything = true;
    return true;
  }
  template <class M>
  bool on(const protocol::RecordHeader& header, const M& command, std::span<std::byte>) {
    return on(header, command);
  }
};

}  // namespace

bool Backlog::meet(const std::vector<uint32_t>& some, const std::unordered_set<uint32_t>& held) {
  return std::any_of(some.begin(), some.end(),
                     [&](uint32_t event) { return held.contains(event); });
}

Touches Backlog::touches_of(const protocol::Record& record) const {
  Reader reader{is_blocking_, {}};
  const protocol::DispatchResult result = protocol::dispatch_commands(record, {}, reader);
  // What is wrong with it is told when it is executed, in its turn.
  if (!static_cast<bool>(result)) reader.touches.everything = true;
  return std::move(reader.touches);
}

bool Backlog::Held::conflicts(const Touches& touches) const {
  if (everything || (anything && touches.everything)) return true;
  if (touches.stream) {
    if (touches.stream->is_legacy()) {
      if (legacy || blocking) return true;
    } else if (streams.contains(touches.stream->index()) || (touches.blocking && legacy)) {
      return true;
    }
  }
  return meet(touches.events_read, events_written) ||
         meet(touches.events_written, events_written) || meet(touches.events_written, events_read);
}

void Backlog::Held::add(const Touches& touches) {
  anything = true;
  everything |= touches.everything;
  if (touches.stream) {
    legacy |= touches.stream->is_legacy();
    blocking |= touches.blocking;
    if (!touches.stream->is_legacy()) streams.insert(touches.stream->index());
  }
  events_read.insert(touches.events_read.begin(), touches.events_read.end());
  events_written.insert(touches.events_written.begin(), touches.events_written.end());
  if (touches.records) {
    events_recorded.insert(touches.events_written.begin(), touches.events_written.end());
  }
}

Turn Backlog::turn_of(const protocol::Record& record) const {
  if (entries_.empty()) return Turn::kNow;
  const Touches touches = touches_of(record);
  // Whether something has finished is a question that never waits.
  const auto op = static_cast<protocol::Op>(record.header.op);
  if (op == protocol::Op::kEventQuery && meet(touches.events_read, held_.events_recorded)) {
    return Turn::kNotReady;
  }
  if (!held_.conflicts(touches)) return Turn::kNow;
  return op == protocol::Op::kStreamQuery ? Turn::kNotReady : Turn::kLater;
}

bool Backlog::keep(const protocol::Record& record, bool tried) {
  if (bytes_ + record.header.bytes > kBytesMax) return false;
  Entry entry;
  entry.words = std::make_unique<uint64_t[]>((record.payload.size() + 7) / 8);
  std::memcpy(entry.words.get(), record.payload.data(), record.payload.size());
  entry.record.header = record.header;
  entry.record.payload = {reinterpret_cast<const std::byte*>(entry.words.get()),
                          record.payload.size()};
  entry.touches = touches_of(record);
  entry.tried = tried;
  tried_ += tried ? 1 : 0;
  bytes_ += record.header.bytes;
  held_.add(entry.touches);
  entries_.push_back(std::move(entry));
  ++kept_;
  return true;
}

bool Backlog::retry(const std::function<bool(const protocol::Record&)>& execute) {
  // Most of the time none of the copies can go on, and then nothing else can.
  bool any = false;
  size_t left = tried_;
  for (auto entry = entries_.begin(); left != 0 && entry != entries_.end();) {
    if (!entry->tried) {
      ++entry;
      continue;
    }
    --left;
    if (!execute(entry->record)) {
      ++entry;
      continue;
    }
    any = true;
    --tried_;
    bytes_ -= entry->record.header.bytes;
    entry = entries_.erase(entry);
  }
  if (!any) return false;

  Held held;
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    if (!entry->tried && !held.conflicts(entry->touches)) {
      if (execute(entry->record)) {
        bytes_ -= entry->record.header.bytes;
        entry = entries_.erase(entry);
        continue;
      }
      entry->tried = true;
      ++tried_;
    }
    held.add(entry->touches);
    ++entry;
  }
  held_ = std::move(held);
  return true;
}

}  // namespace farlane::server
