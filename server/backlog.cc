#include "server/backlog.h"

#include <algorithm>
#include <cstring>

#include "generated/protocol/dispatch.h"
#include "generated/protocol/messages.h"
#include "protocol/launch_attributes.h"
#include "server/graph.h"

namespace farlane::server {

namespace message = protocol::message;

namespace {

// Some ten thousand launches. Behind that the log itself waits, and its client's credit.
constexpr size_t kBytesMax = size_t{2} << 20;
// A client stops well before this (client/core/host_calls.cc).
constexpr size_t kBytesMaxForHostCalls = size_t{128} << 20;

template <class M, class... Ms>
inline constexpr bool is_one_of = (std::is_same_v<M, Ms> || ...);

// Makes names that nothing before it can refer to, or asks about what no stream changes.
template <class M>
inline constexpr bool touches_nothing =
    is_one_of<M, message::ClientAlive, message::CudaxAbort, message::CudaxOpen, message::CudaxPiece,
              message::CudaxResults, message::Echo, message::ExtentCreate, message::HostCallCopy,
              message::HostCallDone, message::HostMap, message::ImagePart, message::JitOptions,
              message::JitOutcome, message::KernelBind, message::KernelFactsGet,
              message::KernelsMore, message::LimitGet, message::MemoryCreate, message::MemoryInfo,
              message::ModuleLoad, message::OccupancyBlocks, message::OccupancyClusters,
              message::OccupancyShared, message::TensorMapEncode, message::TensorMapMove,
              message::VariableFind, message::WorkerTimes>;

template <class M>
inline constexpr bool touches_everything =
    is_one_of<M, message::CaptureBegin, message::CaptureDepend, message::CaptureEnd,
              message::CaptureState, message::Control, message::DeviceReset,
              message::DeviceSynchronize, message::ExtentRelease, message::HostUnmap,
              message::KernelCache, message::KernelSet, message::LimitSet, message::MemoryAccess,
              message::MemoryMap, message::MemoryRelease, message::MemoryUnmap,
              message::ModuleUnload, message::ReuseFence, message::WindowsReserve>;

// Nothing that comes later depends on them, but for other memory at the same addresses.
template <class M>
inline constexpr bool is_passable =
    is_one_of<M, message::DeviceSynchronize, message::ExtentRelease, message::HostUnmap,
              message::MemoryRelease, message::MemoryUnmap>;

// They depend on nothing before them, but for other memory at the same addresses.
template <class M>
inline constexpr bool may_pass = is_one_of<M, message::MemoryAccess, message::MemoryMap>;

template <class M>
inline constexpr bool touches_memory =
    is_one_of<M, message::ExtentCreate, message::ExtentRelease, message::MemoryAccess,
              message::MemoryCreate, message::MemoryMap, message::MemoryRelease,
              message::MemoryUnmap>;

// All graphs together: a command about one may be about its children too, under names of their own.
constexpr uint64_t kGraphs = uint64_t{static_cast<uint8_t>(protocol::HandleKind::kGraph)} << 56;

struct Reader {
  const Backlog::IsBlocking& is_blocking;
  const Backlog::AddEventsOf& add_events_of;
  Touches touches;

  // Graphs and instances that are made, changed, asked about or launched. False: none.
  template <class M>
  bool name_graphs(const M& command) {
    constexpr bool has_graph = requires {
      command.graph;
    }
    || std::is_same_v<M, message::NodeAttributesCopy>;
    if constexpr (has_graph) touches.objects.push_back(kGraphs);
    if constexpr (requires { command.exec; }) {
      bool is_meant = true;
      if constexpr (requires { command.how; }) {
        is_meant = command.how == static_cast<uint32_t>(NodeChange::kInExec);
      }
      // By index, as with streams.
      if (is_meant) {
        touches.objects.push_back(protocol::ExecId::make(command.exec.index(), 0).bits());
      }
      if constexpr (std::is_same_v<M, message::GraphLaunch>) {
        add_events_of(command.exec, 0, &touches);
      }
      if constexpr (std::is_same_v<M, message::PartLaunch>) {
        add_events_of(command.exec, command.part, &touches);
      }
      return true;
    }
    return has_graph;
  }
  template <class M>
  bool on(const protocol::RecordHeader&, const M& command) {
    touches.passes_nothing = touches_everything<M> && !may_pass<M>;
    touches.passed_by_nothing = touches_everything<M> && !is_passable<M>;
    touches.memory = touches_memory<M>;
    bool named = touches_everything<M> || touches_nothing<M>;
    named |= name_graphs(command);
    if constexpr (requires { command.stream; }) {
      touches.stream = command.stream;
      touches.blocking = !command.stream.is_legacy() && is_blocking(command.stream);
      named = true;
    }
    if constexpr (requires { command.objects; }) {
      for (const message::StreamName& name : command.streams) {
        touches.more_streams.push_back(name.stream);
        touches.blocking |= !name.stream.is_legacy() && is_blocking(name.stream);
      }
      for (const message::ObjectName& object : command.objects) {
        touches.objects.push_back(object.name);
      }
      named = true;
    }
    if constexpr (requires { command.event; }) {
      constexpr bool reads =
          is_one_of<M, message::StreamWait, message::EventSynchronize, message::EventQuery>;
      (reads ? touches.events_read : touches.events_written).push_back(command.event.index());
      touches.records = std::is_same_v<M, message::EventRecord>;
      named = true;
    }
    if constexpr (std::is_same_v<M, message::Launch>) {
      // Some have the launch record an event. Which is looked at when it is executed.
      for (const message::LaunchAttribute& attribute : command.attributes) {
        if (!protocol::records_event(attribute.id)) continue;
        uint64_t bits = 0;
        std::memcpy(&bits, attribute.value.data(), sizeof bits);
        touches.events_written.push_back(protocol::EventId::from_bits(bits).index());
        touches.records = true;
      }
    }
    if constexpr (std::is_same_v<M, message::EventElapsed>) {
      touches.events_read = {command.start.index(), command.end.index()};
      named = true;
    }
    // A command that nobody thought of here passes nothing and is passed by nothing.
    if (!named) touches.passes_nothing = touches.passed_by_nothing = true;
    return true;
  }
  template <class M>
  bool on(const protocol::RecordHeader& header, const M& command, std::span<std::byte>) {
    return on(header, command);
  }
};

}  // namespace

bool Backlog::may_take_long(const protocol::Record& record) {
  return record.header.op == static_cast<uint16_t>(protocol::Op::kHostCall) ||
         record.header.op == static_cast<uint16_t>(protocol::Op::kCudaxGroup) ||
         record.header.op == static_cast<uint16_t>(protocol::Op::kCudaxGroupAsk);
}

bool Backlog::meet(const std::vector<uint32_t>& some, const std::unordered_set<uint32_t>& held) {
  return std::any_of(some.begin(), some.end(),
                     [&](uint32_t event) { return held.contains(event); });
}

Touches Backlog::touches_of(const protocol::Record& record) const {
  Reader reader{is_blocking_, add_events_of_, {}};
  const protocol::DispatchResult result = protocol::dispatch_commands(record, {}, reader);
  // What is wrong with it is told when it is executed, in its turn.
  if (!static_cast<bool>(result))
    reader.touches.passes_nothing = reader.touches.passed_by_nothing = true;
  return std::move(reader.touches);
}

bool Backlog::Held::conflicts(protocol::StreamId stream, bool is_blocking) const {
  if (stream.is_legacy()) return legacy || blocking;
  return streams.contains(stream.index()) || (is_blocking && legacy);
}

bool Backlog::Held::conflicts(const Touches& touches) const {
  if (everything || (anything && touches.passes_nothing) || (memory && touches.memory)) return true;
  if (touches.stream && conflicts(*touches.stream, touches.blocking)) return true;
  for (const protocol::StreamId stream : touches.more_streams) {
    if (conflicts(stream, touches.blocking)) return true;
  }
  if (std::any_of(touches.objects.begin(), touches.objects.end(),
                  [&](uint64_t object) { return objects.contains(object); })) {
    return true;
  }
  return meet(touches.events_read, events_written) ||
         meet(touches.events_written, events_written) || meet(touches.events_written, events_read);
}

void Backlog::Held::add(protocol::StreamId stream, bool is_blocking) {
  legacy |= stream.is_legacy();
  blocking |= is_blocking;
  if (!stream.is_legacy()) streams.insert(stream.index());
}

void Backlog::Held::add(const Touches& touches) {
  anything = true;
  everything |= touches.passed_by_nothing;
  memory |= touches.memory;
  if (touches.stream) add(*touches.stream, touches.blocking);
  for (const protocol::StreamId stream : touches.more_streams) add(stream, touches.blocking);
  objects.insert(touches.objects.begin(), touches.objects.end());
  events_read.insert(touches.events_read.begin(), touches.events_read.end());
  events_written.insert(touches.events_written.begin(), touches.events_written.end());
  if (touches.records) {
    events_recorded.insert(touches.events_written.begin(), touches.events_written.end());
  }
}

Turn Backlog::turn_of(const protocol::Record& record) const {
  if (entries_.empty()) return Turn::kNow;
  Touches touches = touches_of(record);
  const auto op = static_cast<protocol::Op>(record.header.op);
  // Which event a node has is no matter of when that is recorded, only of which names there are.
  if (op == protocol::Op::kEventNode && !touches.events_written.empty() &&
      std::none_of(entries_.begin(), entries_.end(), [&](const Entry& entry) {
        return !entry.touches.records &&
               std::find(entry.touches.events_written.begin(), entry.touches.events_written.end(),
                         touches.events_written.front()) != entry.touches.events_written.end();
      })) {
    touches.events_written.clear();
  }
  // Whether something has finished is a question that never waits.
  if (op == protocol::Op::kEventQuery && meet(touches.events_read, held_.events_recorded)) {
    return Turn::kNotReady;
  }
  if (!held_.conflicts(touches)) return Turn::kNow;
  return op == protocol::Op::kStreamQuery ? Turn::kNotReady : Turn::kLater;
}

bool Backlog::keep(const protocol::Record& record, std::span<const std::byte> body, Tried tried) {
  const bool host_call = may_take_long(record) || tried == Tried::kMayWaitLong;
  const size_t bytes_max = host_call || has_host_calls() ? kBytesMaxForHostCalls : kBytesMax;
  if (bytes_ + record.header.bytes + body.size() > bytes_max) return false;
  Entry entry;
  entry.words = std::make_unique<uint64_t[]>((record.payload.size() + 7) / 8);
  std::memcpy(entry.words.get(), record.payload.data(), record.payload.size());
  entry.body.assign(body.begin(), body.end());
  entry.record.header = record.header;
  entry.record.payload = {reinterpret_cast<const std::byte*>(entry.words.get()),
                          record.payload.size()};
  entry.touches = touches_of(record);
  entry.tried = tried != Tried::kNotYet;
  entry.may_take_long = host_call;
  tried_ += entry.tried ? 1 : 0;
  host_calls_ += host_call ? 1 : 0;
  bytes_ += record.header.bytes + body.size();
  held_.add(entry.touches);
  entries_.push_back(std::move(entry));
  ++kept_;
  return true;
}

std::list<Backlog::Entry>::iterator Backlog::erase(std::list<Entry>::iterator entry) {
  bytes_ -= entry->record.header.bytes + entry->body.size();
  tried_ -= entry->tried ? 1 : 0;
  host_calls_ -= entry->may_take_long ? 1 : 0;
  return entries_.erase(entry);
}

bool Backlog::try_again(Entry* entry, const Execute& execute) {
  const Tried tried = execute(entry->record, entry->body);
  if (tried == Tried::kMayWaitLong && !entry->may_take_long) {
    entry->may_take_long = true;
    ++host_calls_;
  }
  return tried == Tried::kDone;
}

bool Backlog::retry(const Execute& execute) {
  // Most of the time none of the copies can go on, and then nothing else can.
  bool any = false;
  size_t left = tried_;
  for (auto entry = entries_.begin(); left != 0 && entry != entries_.end();) {
    if (!entry->tried) {
      ++entry;
      continue;
    }
    --left;
    if (!try_again(&*entry, execute)) {
      ++entry;
      continue;
    }
    any = true;
    entry = erase(entry);
  }
  if (!any) return false;

  Held held;
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    if (!entry->tried && !held.conflicts(entry->touches)) {
      if (try_again(&*entry, execute)) {
        entry = erase(entry);
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
