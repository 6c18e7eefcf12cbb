// What a worker has ready before there is a session: the driver, the devices in the order that the
// session will see them, and their description.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "conf/server_settings.h"
#include "generated/server/driver_table.h"
#include "server/device.h"

namespace farlane::server {

class Host {
 public:
  // `first_device`: the driver's ordinal of the device that becomes the session's device 0, and
  // whose context is made now; the others follow in the driver's order, wrapping round. Null:
  // *error says why.
  static std::unique_ptr<Host> start(const DriverTable& driver, const ServerSettings& settings,
                                     uint32_t first_device, std::string* error);

  // Before the session begins: it will have the first `count` devices. It sees them in the driver's
  // order, as a native program would, whichever of them this worker was warm for: programs, and
  // CUDA_VISIBLE_DEVICES, count by it.
  void choose(uint32_t count);
  // Whether kernels and copies of `device` can reach the memory of `peer`. Indexes of `devices`.
  bool can_access_peer(uint32_t device, uint32_t peer) const;

  const DriverTable& driver;
  std::vector<std::unique_ptr<Device>> devices;
  // farlane.control.Device messages without peers, in the order of `devices`.
  std::vector<std::string> device_messages;
  int driver_version = 0;
  uint64_t window_base = 0;  // 0: nothing is reserved
  uint64_t window_bytes = 0;

 private:
  explicit Host(const DriverTable& table) : driver(table) {}
};

// Reserves a window for each of the first `count` devices, one after the other from `base`. On
// failure nothing is reserved.
CUresult reserve_windows(Host& host, uint32_t count, uint64_t base, uint64_t bytes_per_device);

}  // namespace farlane::server
