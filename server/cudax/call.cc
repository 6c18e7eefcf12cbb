#include "server/cudax/call.h"

#include <fmt/format.h>

#include <algorithm>

#include "protocol/cudax_lists.h"
#include "protocol/limits.h"

namespace farlane::server::cudax {

using protocol::cudax_list_max;

namespace {
// In the place of an object's name, which it is none of.
constexpr uint64_t kNeverMade = ~uint64_t{0};
}  // namespace

inline const std::byte* Arguments::take(size_t count) {
  if (count > left_) [[unlikely]] {
    fail(fmt::format("{} bytes of arguments where {} are left", count, left_));
    return nullptr;
  }
  const std::byte* from = at_;
  at_ += count;
  left_ -= count;
  return from;
}

uint64_t Arguments::word() {
  uint64_t word = 0;
  const std::byte* from = take(sizeof word);
  if (from != nullptr) std::memcpy(&word, from, sizeof word);
  return word;
}

void Arguments::value(void* to, size_t bytes) {
  const std::byte* from = take((bytes + 7) & ~size_t{7});
  if (from != nullptr) std::memcpy(to, from, bytes);
}

const std::byte* Arguments::bytes(uint64_t count) {
  if (count > left_) {
    fail(fmt::format("{} bytes of data where {} are left", count, left_));
    return nullptr;
  }
  const std::byte* from = take((count + 7) & ~size_t{7});
  // Words are aligned to 8. What a library is given as one cuDoubleComplex it may take in one
  // piece.
  constexpr size_t kWidest = 16;
  if (from == nullptr || count != kWidest || reinterpret_cast<uintptr_t>(from) % kWidest == 0) {
    return from;
  }
  return static_cast<const std::byte*>(std::memcpy(memory(count), from, count));
}

uint64_t Arguments::object(uint16_t kind) {
  last_ = nullptr;
  const uint64_t name = word();
  if (name == 0) return 0;
  const auto found = objects_.find(name);
  if (found == objects_.end()) {
    // Making it may have failed, which the client was told, or will be.
    stale_ = true;
    return 0;
  }
  if (found->second.kind != kind) {
    fail(fmt::format("object {:#x} is of kind {:#x} where {:#x} is needed", name,
                     found->second.kind, kind));
    return 0;
  }
  last_ = &found->second;
  if (first_ == nullptr) first_ = last_;
  return found->second.bits;
}

uint64_t Arguments::object_on_device(uint16_t kind) {
  const uint64_t bits = object(kind);
  if (last_ != nullptr && last_->is_on_host) fail("an object on the host where none may be");
  return bits;
}

std::span<uint64_t> Arguments::objects(uint16_t kind) {
  const uint64_t count = word();
  if (count > cudax_list_max) {
    fail(fmt::format("a list of {} objects", count));
    return {};
  }
  lists_.push_back(std::make_unique<uint64_t[]>(count + 1));
  for (uint64_t i = 0; i < count; ++i) lists_.back()[i] = object(kind);
  return {lists_.back().get(), count};
}

uint64_t* Arguments::made(uint16_t kind, bool on_host) {
  const uint64_t name = word();
  if (name == 0) return nullptr;
  if (objects_.contains(name) || making_count_ == making_.size()) {
    fail(fmt::format("object {:#x} cannot be made", name));
    return nullptr;
  }
  making_[making_count_] = {name, kind, on_host, 0};
  return &making_[making_count_++].bits;
}

void Arguments::end(uint16_t kind, uint64_t* bits) {
  if (left_ >= sizeof ending_) std::memcpy(&ending_, at_, sizeof ending_);
  const bool was_stale = stale_;
  *bits = object(kind);
  if (stale_ && !was_stale) {
    // That it could not be made has been said; its end is no second error.
    stale_ = false;
    ending_ = kNeverMade;
  }
}

CUstream Arguments::stream() {
  CUstream stream = nullptr;
  const uint64_t name = word();
  if (!names_.stream(name, &stream)) fail(fmt::format("stream {:#x} does not exist", name));
  return stream;
}

CUevent Arguments::event() {
  CUevent event = nullptr;
  const uint64_t name = word();
  if (!names_.event(name, &event)) fail(fmt::format("event {:#x} does not exist", name));
  return event;
}

void* Arguments::out(uint64_t count, const std::byte* before) {
  const uint64_t whole = (count + 7) & ~uint64_t{7};
  if (count > results_left_ || whole > results_left_) {
    fail(fmt::format("{} bytes of results", count));
    return nullptr;
  }
  results_left_ -= whole;
  Result& result = results_.emplace_back();
  result.bytes = whole;
  // One word more: a count of 0 still needs an address.
  result.data = std::make_unique<std::byte[]>(whole + 8);
  if (before != nullptr) std::memcpy(result.data.get(), before, count);
  return result.data.get();
}

// On the host an address of the client's would be one in this process.
void* Arguments::filled() {
  const uint64_t count = word();
  if (count == kNull) return nullptr;
  if ((count == kAddress) == (first_ != nullptr && first_->is_on_host)) {
    if (!stale_) fail("host memory for an object on the device, or the other way round");
    return nullptr;
  }
  return count == kAddress ? reinterpret_cast<void*>(word()) : out(count, nullptr);
}

void* Arguments::out_objects(uint64_t count, const std::byte* before, uint16_t kind) {
  void* data = count > cudax_list_max ? nullptr : out(count * sizeof(uint64_t), before);
  if (data == nullptr) {
    fail(fmt::format("a list of {} objects", count));
    return nullptr;
  }
  Result& result = results_.back();
  result.kind = kind;
  result.before.resize(count);
  std::memcpy(result.before.data(), data, count * sizeof(uint64_t));
  return data;
}

void* Arguments::scratch(uint64_t count) {
  if (count > protocol::limits::cudax_scratch_bytes_max || first_ == nullptr) {
    fail(fmt::format("{} bytes of host memory", count));
    return nullptr;
  }
  // One for each call until the object goes would be too many; what a call left behind is in use
  // until its stream is there, so a few are kept.
  constexpr size_t kKept = 16;
  if (first_->scratch.size() >= kKept) first_->scratch.erase(first_->scratch.begin());
  first_->scratch.push_back(std::make_unique_for_overwrite<std::byte[]>(count + 8));
  return first_->scratch.back().get();
}

void* Arguments::memory(size_t bytes) {
  lists_.push_back(std::make_unique<uint64_t[]>((bytes + 7) / 8));
  return lists_.back().get();
}

uint64_t Arguments::next() const {
  uint64_t next = ~uint64_t{0};
  if (left_ >= sizeof next) std::memcpy(&next, at_, sizeof next);
  return next;
}

uint64_t Arguments::either(uint16_t kind) {
  constexpr int kNameShift = 56;  // where a name has the kind of its table, which is not 0
  return next() >> kNameShift == 0 ? word() : object(kind);
}

bool Arguments::complete() {
  if (lock_ != nullptr) lock_->unlock();
  if (left_ != 0) fail(fmt::format("{} bytes of arguments too many", left_));
  return fault_.empty() && !stale_ && ending_ != kNeverMade;
}

bool Arguments::makes(uint64_t name) const {
  return std::any_of(making_.begin(), making_.begin() + making_count_,
                     [&](const Making& making) { return making.name == name; });
}

void Arguments::settle(bool succeeded) {
  if (!succeeded) return;
  for (size_t i = 0; i < making_count_; ++i) {
    objects_[making_[i].name] = {.kind = making_[i].kind,
                                 .bits = making_[i].bits,
                                 .is_on_host = making_[i].is_on_host,
                                 .scratch = {},
                                 .values = {}};
  }
  if (ending_ != 0) objects_.erase(ending_);
}

std::vector<std::byte> Arguments::results() const {
  std::vector<std::byte> all;
  for (const Result& result : results_) {
    for (size_t at = 0; result.kind != 0 && at < result.bytes; at += sizeof(uint64_t)) {
      uint64_t bits = 0;
      std::memcpy(&bits, result.data.get() + at, sizeof bits);
      if (bits == result.before[at / sizeof bits]) continue;
      const auto found = std::find_if(objects_.begin(), objects_.end(), [&](const auto& named) {
        return named.second.kind == result.kind && named.second.bits == bits;
      });
      const uint64_t name = found == objects_.end() ? 0 : found->first;
      std::memcpy(result.data.get() + at, &name, sizeof name);
    }
    all.insert(all.end(), result.data.get(), result.data.get() + result.bytes);
  }
  return all;
}

}  // namespace farlane::server::cudax
