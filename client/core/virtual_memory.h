// The client's side of virtual memory management: reserved addresses, names of physical memory, and
// what is mapped where. Addresses come from the far end of a device's window, where no extent ever
// is: so reserving needs no server, and an address that was given back is free at once.
//
// Thread-safe. It knows no network: its users post what they did.
#pragma once

#include <cuda.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace farlane::client {

class SharedDescriptor;

// The reservations of one window.
class ReservedAddresses {
 public:
  // Takes addresses down to `bottom` at most.
  void open(uint64_t bottom, uint64_t end, uint64_t granularity);
  bool reserve(uint64_t bytes, uint64_t alignment, uint64_t hint, uint64_t* address);
  // False: not a whole reservation.
  bool free(uint64_t address, uint64_t bytes);
  // Inside one reservation.
  bool holds(uint64_t address, uint64_t bytes) const;

 private:
  bool take_hole(uint64_t bytes, uint64_t alignment, uint64_t* address);
  void add_hole(uint64_t address, uint64_t bytes);

  uint64_t bottom_ = 0;
  uint64_t top_ = 0;  // never used below
  uint64_t granularity_ = 0;
  std::map<uint64_t, uint64_t> reservations_;  // start, bytes
  std::map<uint64_t, uint64_t> holes_;         // given back: start, bytes
};

class VirtualMemory {
 public:
  struct Physical {
    uint64_t name = 0;
    int device = 0;
    uint64_t bytes = 0;
    CUmemAllocationProp properties{};
    // Not 0: another process's; a part of it is what the program was given.
    uint64_t view_offset = 0;
    uint64_t view_bytes = 0;
    unsigned handles = 0;   // references that the program holds
    unsigned mappings = 0;  // with these it can still be asked for
    // Null: never exported. While a process has one of its descriptors open, the memory stays.
    std::shared_ptr<SharedDescriptor> descriptor;
  };
  struct Mapping {
    uint64_t start = 0;
    uint64_t bytes = 0;
    std::shared_ptr<Physical> physical;
    uint64_t id = 0;
    std::map<int, unsigned> access;  // CUmemAccess_flags by device
  };

  static constexpr uint64_t kGranularityBytes = 2 << 20;

  void open(int device, uint64_t bottom, uint64_t end);

  CUresult reserve(int device, uint64_t bytes, uint64_t alignment, uint64_t hint,
                   uint64_t* address);
  CUresult free(uint64_t address, uint64_t bytes);

  // Names are handles: a new one, to be kept when the server has made the memory.
  uint64_t next_name();
  void keep(Physical physical);
  // One reference less. `*gone`: nothing refers to it any more.
  CUresult release(uint64_t name, bool* gone);
  CUresult retain(uint64_t address, uint64_t* name);
  CUresult properties(uint64_t name, CUmemAllocationProp* out);
  // One reference more, and what it is.
  CUresult hold(uint64_t name, Physical* out);
  std::shared_ptr<SharedDescriptor> descriptor(uint64_t name);
  void set_descriptor(uint64_t name, std::shared_ptr<SharedDescriptor> descriptor);
  // The names of memory that only descriptors kept, and that none keeps any more.
  std::vector<uint64_t> take_closed();

  CUresult map(uint64_t address, uint64_t bytes, uint64_t name);
  // `*gone`: names of memory that nothing refers to any more.
  CUresult unmap(uint64_t address, uint64_t bytes, std::vector<uint64_t>* gone);
  CUresult set_access(uint64_t address, uint64_t bytes, int device, unsigned flags);
  CUresult get_access(uint64_t address, int device, unsigned* flags);

  // Copies of what is there, for pointer attributes. False: nothing is mapped there.
  bool find(uint64_t address, Mapping* out);
  // Mapped without a gap, and some device may read and write it all.
  bool is_accessible(uint64_t address, uint64_t bytes);
  // Of all physical memory that there is on the device.
  uint64_t created_bytes(int device);
  // Everything of a device is gone.
  void forget(int device);

 private:
  using Mappings = std::map<uint64_t, Mapping>;
  // The mappings that [address, address + bytes) consists of; null unless they are whole.
  bool whole(uint64_t address, uint64_t bytes, Mappings::iterator* begin, Mappings::iterator* end);
  Mappings::iterator at(uint64_t address);
  Physical* held(uint64_t name);  // null: the program has no handle of it
  // Nothing refers to it any more: it is gone, unless a descriptor keeps it.
  bool let_go(uint64_t name);

  std::mutex mutex_;
  std::map<int, ReservedAddresses> windows_;
  std::map<uint64_t, std::shared_ptr<Physical>> physicals_;  // by name
  // Of physicals_, those that only a descriptor keeps. Read without the lock where there are none.
  std::atomic<size_t> only_exported_{0};
  Mappings mappings_;  // by start
  uint64_t names_ = 0;
  uint64_t ids_ = 0;
};

}  // namespace farlane::client
