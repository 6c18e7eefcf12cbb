#include "protocol/control_server.h"

#include "generated/protocol/control.pb.h"
#include "protocol/check.h"
#include "protocol/limits.h"

namespace farlane::control {
namespace {

namespace limits = protocol::limits;

constexpr int kUuidBytes = 16;

// Remembers the first field over its limit.
class LimitCheck {
 public:
  void text(const std::string& value, const char* field) {
    at_most(value.size(), limits::control_text_bytes_max, field);
  }
  void at_most(size_t value, size_t limit, const char* field) {
    if (value > limit && over_ == nullptr) over_ = field;
  }
  void device(const Device& device) {
    text(device.name(), "device name");
    at_most(device.uuid().size(), kUuidBytes, "device uuid");
    at_most(static_cast<size_t>(device.attributes_size()), limits::control_attributes_max,
            "device attributes");
    text(device.pci_bus_id(), "pci bus id");
    at_most(static_cast<size_t>(device.limits_size()), limits::control_limits_max, "device limits");
    at_most(static_cast<size_t>(device.peers_size()), limits::devices_max, "device peers");
  }
  const char* over() const { return over_; }

 private:
  const char* over_ = nullptr;
};

const char* over_limit(const Control& control) {
  LimitCheck check;
  switch (control.kind_case()) {
    case Control::kHello:
      check.at_most(static_cast<size_t>(control.hello().ops_size()), limits::control_ops_max,
                    "ops");
      check.text(control.hello().client(), "client");
      check.at_most(control.hello().session_token().size(), limits::session_token_bytes_max,
                    "session token");
      break;
    case Control::kWelcome:
      check.at_most(static_cast<size_t>(control.welcome().ops_size()), limits::control_ops_max,
                    "ops");
      check.text(control.welcome().server(), "server");
      check.at_most(control.welcome().session_token().size(), limits::session_token_bytes_max,
                    "session token");
      check.at_most(static_cast<size_t>(control.welcome().devices_size()), limits::devices_max,
                    "devices");
      for (const Device& device : control.welcome().devices()) check.device(device);
      break;
    case Control::kGoodbye:
      check.text(control.goodbye().text(), "text");
      break;
    case Control::kStatus:
      check.text(control.status().server(), "server");
      check.at_most(static_cast<size_t>(control.status().devices_size()), limits::devices_max,
                    "devices");
      for (const Device& device : control.status().devices()) check.device(device);
      check.at_most(static_cast<size_t>(control.status().device_sessions_size()),
                    limits::devices_max, "device sessions");
      break;
    case Control::KIND_NOT_SET:
      break;
  }
  return check.over();
}

}  // namespace

bool parse(std::span<const std::byte> bytes, Control* control, std::string* error) {
  if (bytes.size() > limits::control_bytes_max) {
    *error = "control message of " + std::to_string(bytes.size()) + " bytes (limit " +
             std::to_string(limits::control_bytes_max) + ")";
    return false;
  }
  if (!control->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    *error = "control message: malformed";
    return false;
  }
  if (control->kind_case() == Control::KIND_NOT_SET) {
    *error = "control message of no kind that this version knows";
    return false;
  }
  if (const char* field = over_limit(*control)) {
    *error = std::string("control message: ") + field + " is over its limit";
    return false;
  }
  return true;
}

std::string serialize(const Control& control) {
  std::string bytes = control.SerializeAsString();
  FARLANE_CHECK(bytes.size() <= limits::control_bytes_max,
                "a control message is over control_bytes_max");
  return bytes;
}

}  // namespace farlane::control
