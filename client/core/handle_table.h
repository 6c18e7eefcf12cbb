// The client's side of a kind of names: a table from handle to object.
//
// Looking up takes no lock: chunks never move and are never freed, so that a stale handle meets
// either its old slot with another generation or nothing. Objects are made once and reused; reset()
// brings one back to its initial state.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <type_traits>

#include "protocol/handle_limits.h"
#include "protocol/handles.h"

namespace farlane::client {

// Kinds of names that never leave the client; they continue protocol::HandleKind. Below 0x80:
// programs keep handles in signed integers of pointer size, and some refuse negative ones.
enum class LocalKind : uint8_t {
  kContext = 0x41,
  kLibrary = 0x42,
  kLibraryKernel = 0x43,
  kPool = 0x44,
  kGraphNode = 0x45,
  kUserObject = 0x46
};

template <class T, auto kKindValue>
class HandleTable {
 public:
  static constexpr uint64_t kKind = static_cast<uint8_t>(kKindValue);
  static constexpr bool kIsLocal = std::is_same_v<decltype(kKindValue), LocalKind>;
  static constexpr uint32_t kChunkSlots = 1024;
  // Names that the server knows are refused here, before it would have to end the session.
  static constexpr uint32_t kChunksMax =
      (kIsLocal ? uint32_t{1} << 22 : protocol::kHandleIndexMax) / kChunkSlots;
  // An index rests while so many were given up after it. The server has no room for its next name
  // while the end of the last one waits for its turn there, behind a host function for example,
  // and who uses the next one would wait for that too.
  static constexpr size_t kRestingMin = 64;
  // protocol::Handle reserves the last generation.
  static constexpr uint32_t kGenerationMax = 0xfffffe;

  HandleTable() = default;
  HandleTable(const HandleTable&) = delete;
  ~HandleTable() {
    for (std::atomic<Slot*>& chunk : chunks_) {
      delete[] chunk.load(std::memory_order_relaxed);
    }
  }

  // A fresh object and its name, or null when there are too many.
  T* create(uint64_t* bits) {
    std::lock_guard lock(mutex_);
    uint32_t index = 0;
    if (free_.size() > kRestingMin) {
      index = free_.front();
      free_.pop_front();
    } else {
      if (used_ == kChunkSlots * kChunksMax) {
        return nullptr;
      }
      index = used_++;
      if (index % kChunkSlots == 0) {
        chunks_[index / kChunkSlots].store(new Slot[kChunkSlots], std::memory_order_release);
      }
    }
    Slot& slot = chunks_[index / kChunkSlots].load(std::memory_order_relaxed)[index % kChunkSlots];
    const uint32_t generation = slot.generation;
    slot.object.reset();
    *bits = kKind << 56 | uint64_t{generation} << 32 | index;
    slot.live_bits.store(*bits, std::memory_order_release);
    return &slot.object;
  }

  // Whoever finds the object from now on sees what was written to it since create(), also a thread
  // that got the handle from a program without any order of its own.
  void publish(uint64_t bits) {
    const uint32_t index = static_cast<uint32_t>(bits);
    chunks_[index / kChunkSlots]
        .load(std::memory_order_relaxed)[index % kChunkSlots]
        .live_bits.store(bits, std::memory_order_release);
  }

  T* find(uint64_t bits) const {
    if (bits >> 56 != kKind) {
      return nullptr;
    }
    const uint32_t index = static_cast<uint32_t>(bits);
    if (index >= kChunkSlots * kChunksMax) {
      return nullptr;
    }
    Slot* chunk = chunks_[index / kChunkSlots].load(std::memory_order_acquire);
    if (chunk == nullptr) {
      return nullptr;
    }
    Slot& slot = chunk[index % kChunkSlots];
    return slot.live_bits.load(std::memory_order_acquire) == bits ? &slot.object : nullptr;
  }

  // The live object with this index, whatever its generation.
  T* find_index(uint32_t index) const {
    if (index >= kChunkSlots * kChunksMax) {
      return nullptr;
    }
    Slot* chunk = chunks_[index / kChunkSlots].load(std::memory_order_acquire);
    if (chunk == nullptr) {
      return nullptr;
    }
    Slot& slot = chunk[index % kChunkSlots];
    return slot.live_bits.load(std::memory_order_acquire) != 0 ? &slot.object : nullptr;
  }

  // The end of a name, in two steps where the server knows it (Session::end): from the first on
  // nobody finds the object, from the second on the index may be used again. Between them the
  // server is told, so that no thread's next name of that index can come before.
  // False when there is no such object. The name is never valid again.
  bool retire(uint64_t bits) {
    std::lock_guard lock(mutex_);
    if (find(bits) == nullptr) {
      return false;
    }
    slot_of(bits).live_bits.store(0, std::memory_order_release);
    return true;
  }
  // Once, for a name that retire() has ended.
  void recycle(uint64_t bits) {
    std::lock_guard lock(mutex_);
    // An index whose generations are used up is not used again.
    if (slot_of(bits).generation++ < kGenerationMax) {
      free_.push_back(static_cast<uint32_t>(bits));
    }
  }
  // Both, where the server has nothing to be told.
  bool destroy(uint64_t bits) {
    if (!retire(bits)) {
      return false;
    }
    recycle(bits);
    return true;
  }

  // Calls visit(bits, object) for every live object. Objects made meanwhile may be missed.
  template <class Visit>
  void for_each(Visit visit) const {
    uint32_t used = 0;
    {
      std::lock_guard lock(mutex_);
      used = used_;
    }
    for (uint32_t index = 0; index < used; ++index) {
      Slot& slot =
          chunks_[index / kChunkSlots].load(std::memory_order_acquire)[index % kChunkSlots];
      const uint64_t bits = slot.live_bits.load(std::memory_order_acquire);
      if (bits != 0) {
        visit(bits, slot.object);
      }
    }
  }

 private:
  struct Slot {
    std::atomic<uint64_t> live_bits = 0;  // the whole handle while the object lives, else 0
    uint32_t generation = 0;
    T object;
  };
  Slot& slot_of(uint64_t bits) {
    const uint32_t index = static_cast<uint32_t>(bits);
    return chunks_[index / kChunkSlots].load(std::memory_order_relaxed)[index % kChunkSlots];
  }

  mutable std::mutex mutex_;
  uint32_t used_ = 0;
  std::deque<uint32_t> free_;  // the longest free first
  std::array<std::atomic<Slot*>, kChunksMax> chunks_{};
};

}  // namespace farlane::client
