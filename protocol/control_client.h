// The control messages of control.proto as plain structs, read and written without libprotobuf:
// what the client libraries use, because an application brings its own libprotobuf. The server uses
// libprotobuf (control_server.h); control_test.cc holds the two against each other.
//
// Nothing here throws.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace farlane::protocol::control {

// Must match on both sides.
inline constexpr uint32_t kVersionMajor = 1;
// Grows with every addition; informative, because the lists of ops and the feature bits say it all.
inline constexpr uint32_t kVersionMinor = 0;

inline constexpr size_t kUuidBytes = 16;

struct Attribute {
  int32_t id = 0;  // CUdevice_attribute
  int32_t value = 0;
  bool operator==(const Attribute&) const = default;
};

struct Limit {
  int32_t id = 0;  // CUlimit
  uint64_t value = 0;
  bool operator==(const Limit&) const = default;
};

struct Device {
  std::string name;
  std::array<uint8_t, kUuidBytes> uuid{};
  uint64_t memory_bytes = 0;
  std::vector<Attribute> attributes;
  std::string pci_bus_id;
  std::vector<Limit> limits;
  int32_t stream_priority_least = 0;
  int32_t stream_priority_greatest = 0;
  uint64_t free_bytes = 0;
  std::vector<uint32_t> peers;
  bool operator==(const Device&) const = default;
};

struct Hello {
  uint32_t major = kVersionMajor;
  uint32_t minor = kVersionMinor;
  uint64_t features = 0;
  std::vector<uint32_t> ops;
  std::string client;
  std::string session_token;  // raw bytes
  uint32_t devices_wanted = 0;
  uint32_t heartbeat_ms = 0;
  bool probe = false;
  bool monitor = false;
  uint32_t lane = 0;
  bool operator==(const Hello&) const = default;
};

struct Welcome {
  uint32_t major = kVersionMajor;
  uint32_t minor = kVersionMinor;
  uint64_t features = 0;
  std::vector<uint32_t> ops;
  std::string server;
  std::string session_token;  // raw bytes
  std::vector<Device> devices;
  uint64_t credit_bytes = 0;
  uint32_t heartbeat_ms = 0;
  int32_t driver_version = 0;
  uint64_t window_base = 0;
  uint64_t window_bytes = 0;
  uint32_t lanes_max = 0;
  uint64_t lane_chunk_bytes = 0;
  bool operator==(const Welcome&) const = default;
};

struct Goodbye {
  enum class Reason : uint8_t {
    kUnspecified = 0,  // also every reason that this version does not know
    kClientDone = 1,
    kVersion = 2,
    kProtocol = 3,
    kBusy = 4,
    kDraining = 5,
    kWorkerFailed = 6,
    kTimeout = 7,
  };
  Reason reason = Reason::kUnspecified;
  std::string text;
  bool operator==(const Goodbye&) const = default;
};

struct Status {
  uint32_t major = kVersionMajor;
  uint32_t minor = kVersionMinor;
  std::string server;
  uint32_t sessions = 0;
  uint32_t workers_warm = 0;
  std::vector<Device> devices;
  uint64_t uptime_ms = 0;
  std::vector<uint32_t> device_sessions;  // per device; empty: an older server
  bool operator==(const Status&) const = default;
};

using Control = std::variant<Hello, Welcome, Goodbye, Status>;

// The bytes for a `control` record. Texts are cut at limits::control_text_bytes_max and bytes that
// are not UTF-8 become '?', because the other side refuses both.
std::string encode(const Control& control);

// False with a reason in *error: malformed, over a limit, or none of the four kinds. Unknown fields
// are skipped.
[[nodiscard]] bool decode(std::span<const std::byte> bytes, Control* control, std::string* error);

}  // namespace farlane::protocol::control
