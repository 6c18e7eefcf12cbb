// Host memory of the client that is mapped here too, and registered with the driver, so that the
// devices copy from and into it directly. Only where client and worker share a machine. Executor's
// thread only.
#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <map>

#include "generated/server/driver_table.h"
#include "transport/fd.h"

namespace farlane::server {

class SharedHost {
 public:
  // At most `bytes_max` of all regions together.
  SharedHost(const DriverTable& driver, uint64_t bytes_max)
      : driver_(driver), bytes_max_(bytes_max) {}
  SharedHost(const SharedHost&) = delete;
  ~SharedHost() { abandon(); }

  bool exists(uint64_t region) const { return regions_.contains(region); }
  // Makes a region of memory that the client passed. Some context must be current.
  CUresult map(uint64_t region, uint64_t bytes, const transport::Fd& memory);
  // Where `height` rows of `width` bytes lie from `offset` on; null: not inside of such a region.
  std::byte* find(uint64_t region, uint64_t offset, uint64_t pitch, uint64_t width,
                  uint64_t height) const;
  // No command names it any more. False: there is none.
  bool retire(uint64_t region);
  // No device uses it any more.
  void release(uint64_t region);

  // The devices are idle.
  void abandon();

 private:
  struct Region {
    void* data = nullptr;
    uint64_t bytes = 0;
    bool retired = false;
  };
  void take_down(const Region& region);

  const DriverTable& driver_;
  const uint64_t bytes_max_;
  uint64_t bytes_ = 0;
  std::map<uint64_t, Region> regions_;
};

}  // namespace farlane::server
