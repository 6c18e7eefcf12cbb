// One device's part of a session's address space: the reserved window, the extents of physical
// memory in it, and the module variables that were found. Answers whether a range from the wire may
// be touched.
#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "generated/server/driver_table.h"
#include "transport/fd.h"

namespace farlane::server {

// Physical memory, of an extent or of the program's own. Mappings keep it.
class PhysicalMemory {
 public:
  // Such that it can be shared, where the driver can do that.
  static CUresult create(const DriverTable& driver, CUdevice device, uint64_t bytes,
                         uint8_t compression, std::shared_ptr<PhysicalMemory>* out);
  // What another process shared.
  static CUresult open(const DriverTable& driver, const transport::Fd& shared, uint64_t bytes,
                       std::shared_ptr<PhysicalMemory>* out);
  PhysicalMemory(const DriverTable& driver, CUmemGenericAllocationHandle handle, uint64_t bytes)
      : driver_(driver), handle_(handle), bytes_(bytes) {}
  PhysicalMemory(const PhysicalMemory&) = delete;
  ~PhysicalMemory();

  CUmemGenericAllocationHandle handle() const { return handle_; }
  uint64_t bytes() const { return bytes_; }

  // A descriptor that stands for it in other processes.
  CUresult share(transport::Fd* out) const;
  // The name that it is shared by; empty: it is not. Forgotten by the others with its end.
  const std::string& shared_as() const { return shared_as_; }
  void set_shared(std::string name, std::function<void(const std::string&)> forget);

 private:
  const DriverTable& driver_;
  const CUmemGenericAllocationHandle handle_;
  const uint64_t bytes_;
  std::string shared_as_;
  std::function<void(const std::string&)> forget_;
};

class AddressSpace {
 public:
  AddressSpace(const DriverTable& driver, CUdevice device) : driver_(driver), device_(device) {}
  AddressSpace(const AddressSpace&) = delete;

  // Reserves [base, base + bytes) for this device; what was reserved before is given back. Refuses
  // when the driver would give another address, or when there are extents already.
  CUresult reserve(uint64_t base, uint64_t bytes);
  uint64_t base() const { return base_; }
  uint64_t bytes() const { return bytes_; }

  // Extents are multiples of this.
  CUresult granularity(uint64_t* bytes);

  // Whether [address, address + bytes) lies in the window and begins and ends on the granularity.
  // False is a client's fault.
  bool is_placeable(uint64_t address, uint64_t bytes);
  // Whether any of it is backed already, also by an extent on its way out.
  bool overlaps(uint64_t address, uint64_t bytes) const;

  // Backs a free, placeable range with physical memory that this device (and `peers`, which can
  // reach it) may read and write. On failure nothing is left behind.
  CUresult create(uint64_t address, uint64_t bytes, const CUdevice* peers, size_t peer_count);
  // From here on copies to it are refused, although it is still there. False: no such extent.
  bool retire(uint64_t address, uint64_t bytes);
  // Unmaps a retired extent and gives its memory back.
  CUresult release(uint64_t address);
  // Memory of the program's on free, placeable addresses; nobody has access yet.
  CUresult map(uint64_t address, uint64_t bytes, std::shared_ptr<PhysicalMemory> memory);
  // What lies behind an address, and where it begins. Null: nothing does.
  std::shared_ptr<PhysicalMemory> backing(uint64_t address, uint64_t* begin) const;
  // Whether the range is one or more whole mappings.
  bool is_mapped(uint64_t address, uint64_t bytes) const;
  // Of such a range.
  CUresult unmap(uint64_t address, uint64_t bytes);

  // All of them, whatever state they are in. The device must be idle.
  void release_all();
  bool has_extents() const { return !extents_.empty(); }

  void add_variable(uint64_t address, uint64_t bytes) { variables_[address] = bytes; }
  void remove_variable(uint64_t address) { variables_.erase(address); }

  // Whether all of [address, address + bytes) is backed by live extents, or inside one variable.
  bool covers(uint64_t address, uint64_t bytes) const;

 private:
  struct Extent {
    uint64_t bytes = 0;
    std::shared_ptr<PhysicalMemory> memory;
    bool is_program_owned = false;  // a mapping of the program's
    bool retired = false;
  };

  const DriverTable& driver_;
  const CUdevice device_;
  uint64_t base_ = 0;
  uint64_t bytes_ = 0;
  uint64_t granularity_ = 0;
  std::map<uint64_t, Extent> extents_;
  std::map<uint64_t, uint64_t> variables_;
  // The live extent that the last check ended in: copies tend to stay in one.
  mutable uint64_t recent_begin_ = 0;
  mutable uint64_t recent_end_ = 0;
};

}  // namespace farlane::server
