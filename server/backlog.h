// Commands that must wait while others of the log go on. A copy without data or without a staging
// slot stays here, or a host function of the client's, and with it whatever CUDA orders behind it:
// work on its stream, on the streams that wait for that one's events, on the legacy stream and its
// blocking streams. Everything else overtakes, so that a large copy holds up nobody who does not
// wait for it.
//
// Executor's thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <unordered_set>
#include <vector>

#include "protocol/handles.h"
#include "protocol/record.h"

namespace farlane::server {

// What a command is ordered by.
struct Touches {
  bool passes_nothing = false;
  bool passed_by_nothing = false;
  bool memory = false;  // physical memory comes or goes
  std::optional<protocol::StreamId> stream;
  bool blocking = false;  // a stream is ordered with the legacy stream
  std::vector<protocol::StreamId> more_streams;
  // Graphs and their instances, and what has calls that go in groups, by name.
  std::vector<uint64_t> objects;
  std::vector<uint32_t> events_read;     // by index
  std::vector<uint32_t> events_written;  // made, recorded, destroyed
  bool records = false;                  // the written one is recorded
};

enum class Turn : uint8_t {
  kNow,
  kLater,     // it must wait for a command that is here
  kNotReady,  // it asks whether something here has finished
};

// What became of a command that was begun.
enum class Tried : uint8_t {
  kNotYet,  // nothing: it was not
  kDone,
  kWaits,
  kMayWaitLong,  // until the client ends it
};

class Backlog {
 public:
  using IsBlocking = std::function<bool(protocol::StreamId)>;
  // Adds the events that the nodes of an instance, or of one of its parts, record and wait for.
  using AddEventsOf = std::function<void(protocol::ExecId, uint32_t part, Touches*)>;
  // Whether a stream is ordered with the legacy stream. One that is not known counts as such.
  Backlog(IsBlocking is_blocking, AddEventsOf add_events_of)
      : is_blocking_(std::move(is_blocking)), add_events_of_(std::move(add_events_of)) {}
  Backlog(const Backlog&) = delete;

  bool is_empty() const { return entries_.empty(); }
  // Of the oldest command here. Not empty.
  uint64_t first_sequence() const { return entries_.front().record.header.sequence; }
  Turn turn_of(const protocol::Record& record) const;
  // Keeps a copy of it and of its body. False: there is no room.
  bool keep(const protocol::Record& record, std::span<const std::byte> body, Tried tried);
  // While the client's own work is waited for, its answer must get through, so that the log itself
  // may not wait: there is more room then. The same while other ranks are waited for: the client
  // may end that.
  bool has_host_calls() const { return host_calls_ != 0; }
  static bool may_take_long(const protocol::Record& record);
  // Commands kept since the start.
  uint64_t kept() const { return kept_; }

  // Tries again, in order, what nothing before it holds up. True when one was done.
  using Execute = std::function<Tried(const protocol::Record&, std::span<std::byte> body)>;
  bool retry(const Execute& execute);

 private:
  struct Entry {
    std::unique_ptr<uint64_t[]> words;  // the payload, aligned
    std::vector<std::byte> body;
    protocol::Record record;
    Touches touches;
    bool tried = false;
    bool may_take_long = false;
  };
  // What entries touch, together.
  struct Held {
    bool anything = false;
    bool everything = false;  // nothing passes
    bool memory = false;
    bool legacy = false;
    bool blocking = false;
    // By index: a name whose object is on its way out may not be made again meanwhile.
    std::unordered_set<uint32_t> streams;
    std::unordered_set<uint64_t> objects;
    std::unordered_set<uint32_t> events_read;
    std::unordered_set<uint32_t> events_written;
    std::unordered_set<uint32_t> events_recorded;

    bool conflicts(const Touches& touches) const;
    bool conflicts(protocol::StreamId stream, bool is_blocking) const;
    void add(protocol::StreamId stream, bool is_blocking);
    void add(const Touches& touches);
  };

  Touches touches_of(const protocol::Record& record) const;
  bool try_again(Entry* entry, const Execute& execute);
  std::list<Entry>::iterator erase(std::list<Entry>::iterator entry);
  static bool meet(const std::vector<uint32_t>& some, const std::unordered_set<uint32_t>& held);

  const IsBlocking is_blocking_;
  const AddEventsOf add_events_of_;
  std::list<Entry> entries_;
  Held held_;
  size_t bytes_ = 0;
  size_t tried_ = 0;       // entries that were
  size_t host_calls_ = 0;  // entries that may take long
  uint64_t kept_ = 0;
};

}  // namespace farlane::server
