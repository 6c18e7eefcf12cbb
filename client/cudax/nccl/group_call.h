// A call of NCCL's on its way: it is part of its thread's group, or a group by itself.
//
// A group is collected here, with the device that was current at each call, and sent at its end. It
// is posted, unless communicators are made or ended in it, or the like, whose outcome the program
// waits for. A call of a communicator that does not block is posted too, and the communicator is
// "in progress" until the server tells otherwise.
#pragma once

#include <nccl.h>

#include <cstdint>
#include <vector>

#include "client/core/few.h"
#include "client/cudax/call.h"

namespace farlane::client::cudax {

// What an Object's `numbers` are of a communicator.
enum CommNumber : uint8_t { kCommRanks, kCommRank, kCommDevice, kCommFlags };
// Flags of a communicator.
inline constexpr int32_t kCommNonBlocking = 1;
// A split's numbers are the server's to tell.
inline constexpr int32_t kCommUnknown = -1;

class GroupCall : public Call {
 public:
  using Call::Call;

  // The arguments are wrong; the reason is noted (checks.h).
  void refuse() { fail(library_.invalid_value); }

  template <class H>
  void object(H handle, uint16_t kind) {
    group_object(bits(handle), kind);
  }
  template <class H>
  void ended(H handle, uint16_t kind) {
    if constexpr (std::is_pointer_v<H>) {
      group_object(bits(handle), kind);
      ended_ = bits(handle);
    } else {
      ended_ = operator_name(handle, kind);
      group_object(ended_, kind);
    }
  }
  template <class H>
  void made(H* out, uint16_t kind) {
    const uint64_t name = make(out, kind);
    if constexpr (std::is_pointer_v<H>) {
      // Another thread may look for it, to abort a communicator that is still being made.
      write_name_ = [](void* to, uint64_t n) {
        __atomic_store_n(static_cast<H*>(to), reinterpret_cast<H>(n), __ATOMIC_RELEASE);
      };
    } else {
      write_name_ = [](void* to, uint64_t n) {
        *static_cast<H*>(to) = static_cast<H>(n == 0 ? 0 : ncclNumOps + static_cast<uint32_t>(n));
      };
    }
    if (name != 0) objects_.push_back(name);
    word(name);
  }
  // NCCL's own operator, or one that was made.
  void either(ncclRedOp_t op, uint16_t kind);
  void config(const ncclConfig_t* config);
  void stream(CUstream stream);
  // The call is made on this device instead of the current one.
  void on_device(int device) { device_ = device; }
  // It makes a communicator of so many ranks.
  void makes_comm(int ranks, int rank);
  // A communicator that failed may still be used for this.
  void forgive() { forgives_ = true; }
  // The communicator among the arguments; null: none.
  Object* comm() const { return comm_; }
  Object* made_object() const { return made_; }

  int post() { return submit(false); }
  int ask(bool) { return submit(true); }
  // Ends its communicator, whatever else waits.
  int abort();

  // The thread's groups.
  static int begin_group();
  static int end_group(const LibraryFacts& library, float* estimated_ms);

 private:
  friend struct Group;
  static uint64_t operator_name(ncclRedOp_t op, uint16_t kind);
  void group_object(uint64_t name, uint16_t kind);
  int submit(bool waits);
  bool may_go(int* status);

  Object* comm_ = nullptr;  // no function has two
  Few<uint64_t, 4> objects_;
  NamedStream named_stream_;  // null: the call has none
  int device_ = -1;
  bool forgives_ = false;
  bool non_blocking_ = false;
};

}  // namespace farlane::client::cudax
