#include "protocol/control_client.h"

#include <algorithm>
#include <exception>
#include <protozero/pbf_reader.hpp>
#include <protozero/pbf_writer.hpp>
#include <string_view>
#include <type_traits>
#include <variant>

#include "protocol/limits.h"
#include "protocol/utf8.h"

namespace farlane::protocol::control {
namespace {

using protozero::pbf_reader;
using protozero::pbf_wire_type;
using protozero::pbf_writer;

// Field number and wire type together, as the cases below compare them: a known field with another
// wire type is skipped like an unknown one.
constexpr uint32_t varint(uint32_t field) {
  return protozero::tag_and_type(field, pbf_wire_type::varint);
}
constexpr uint32_t bytes_field(uint32_t field) {
  return protozero::tag_and_type(field, pbf_wire_type::length_delimited);
}

// --- writing ------------------------------------------------------------------------------------

std::string text(const std::string& value) {
  return utf8_or_question_marks(std::string_view(value).substr(0, limits::control_text_bytes_max));
}

void write_u32(pbf_writer& out, uint32_t field, uint32_t value) {
  if (value != 0) out.add_uint32(field, value);
}
void write_u64(pbf_writer& out, uint32_t field, uint64_t value) {
  if (value != 0) out.add_uint64(field, value);
}
void write_i32(pbf_writer& out, uint32_t field, int32_t value) {
  if (value != 0) out.add_int32(field, value);
}
void write_text(pbf_writer& out, uint32_t field, const std::string& value) {
  if (!value.empty()) out.add_string(field, text(value));
}
void write_list(pbf_writer& out, uint32_t field, const std::vector<uint32_t>& values) {
  if (!values.empty()) out.add_packed_uint32(field, values.begin(), values.end());
}

// An embedded message, also an empty one: a nested pbf_writer would leave that out.
template <class WriteFields>
void write_message(pbf_writer& out, uint32_t field, WriteFields&& write_fields) {
  std::string bytes;
  pbf_writer inner(bytes);
  write_fields(inner);
  out.add_message(field, bytes);
}

void write(pbf_writer& out, const Device& device) {
  write_text(out, 1, device.name);
  out.add_bytes(2, reinterpret_cast<const char*>(device.uuid.data()), device.uuid.size());
  write_u64(out, 3, device.memory_bytes);
  for (const Attribute& attribute : device.attributes) {
    write_message(out, 4, [&](pbf_writer& inner) {
      write_i32(inner, 1, attribute.id);
      write_i32(inner, 2, attribute.value);
    });
  }
  write_text(out, 5, device.pci_bus_id);
  for (const Limit& limit : device.limits) {
    write_message(out, 6, [&](pbf_writer& inner) {
      write_i32(inner, 1, limit.id);
      write_u64(inner, 2, limit.value);
    });
  }
  write_i32(out, 7, device.stream_priority_least);
  write_i32(out, 8, device.stream_priority_greatest);
  write_u64(out, 9, device.free_bytes);
  write_list(out, 10, device.peers);
}

void write_devices(pbf_writer& out, uint32_t field, const std::vector<Device>& devices) {
  for (const Device& device : devices) {
    write_message(out, field, [&](pbf_writer& inner) { write(inner, device); });
  }
}

void write(pbf_writer& out, const Hello& hello) {
  write_u32(out, 1, hello.major);
  write_u32(out, 2, hello.minor);
  write_u64(out, 3, hello.features);
  write_list(out, 4, hello.ops);
  write_text(out, 5, hello.client);
  if (!hello.session_token.empty()) out.add_bytes(6, hello.session_token);
  write_u32(out, 7, hello.devices_wanted);
  write_u32(out, 8, hello.heartbeat_ms);
  if (hello.probe) out.add_bool(9, true);
  write_u32(out, 10, hello.lane);
  if (hello.monitor) out.add_bool(11, true);
}

void write(pbf_writer& out, const Welcome& welcome) {
  write_u32(out, 1, welcome.major);
  write_u32(out, 2, welcome.minor);
  write_u64(out, 3, welcome.features);
  write_list(out, 4, welcome.ops);
  write_text(out, 5, welcome.server);
  if (!welcome.session_token.empty()) out.add_bytes(6, welcome.session_token);
  write_devices(out, 7, welcome.devices);
  write_u64(out, 8, welcome.credit_bytes);
  write_u32(out, 9, welcome.heartbeat_ms);
  write_i32(out, 10, welcome.driver_version);
  write_u64(out, 11, welcome.window_base);
  write_u64(out, 12, welcome.window_bytes);
  write_u32(out, 13, welcome.lanes_max);
  write_u64(out, 14, welcome.lane_chunk_bytes);
}

void write(pbf_writer& out, const Goodbye& goodbye) {
  write_i32(out, 1, static_cast<int32_t>(goodbye.reason));
  write_text(out, 2, goodbye.text);
}

void write(pbf_writer& out, const Status& status) {
  write_u32(out, 1, status.major);
  write_u32(out, 2, status.minor);
  write_text(out, 3, status.server);
  write_u32(out, 4, status.sessions);
  write_u32(out, 5, status.workers_warm);
  write_devices(out, 6, status.devices);
  write_u64(out, 7, status.uptime_ms);
  write_list(out, 8, status.device_sessions);
}

// --- reading ------------------------------------------------------------------------------------

// Thrown and caught in this file only, beside protozero's own exceptions.
struct OverLimit : std::exception {
  explicit OverLimit(const char* field_name) : field(field_name) {}
  const char* what() const noexcept override { return field; }
  const char* field;
};

std::string read_string(pbf_reader& in, size_t limit, const char* field) {
  const protozero::data_view view = in.get_view();
  if (view.size() > limit) throw OverLimit(field);
  return std::string(view.data(), view.size());
}

template <class T, class Item>
void add(std::vector<T>& list, Item&& item, size_t limit, const char* field) {
  if (list.size() >= limit) throw OverLimit(field);
  list.push_back(std::forward<Item>(item));
}

// Repeated numbers come packed, or one by one from older writers.
void read_packed(pbf_reader& in, std::vector<uint32_t>& list, size_t limit, const char* field) {
  for (uint32_t value : in.get_packed_uint32()) add(list, value, limit, field);
}

Attribute read_attribute(pbf_reader in) {
  Attribute attribute;
  while (in.next()) {
    switch (in.tag_and_type()) {
      case varint(1):
        attribute.id = in.get_int32();
        break;
      case varint(2):
        attribute.value = in.get_int32();
        break;
      default:
        in.skip();
    }
  }
  return attribute;
}

Limit read_limit(pbf_reader in) {
  Limit limit;
  while (in.next()) {
    switch (in.tag_and_type()) {
      case varint(1):
        limit.id = in.get_int32();
        break;
      case varint(2):
        limit.value = in.get_uint64();
        break;
      default:
        in.skip();
    }
  }
  return limit;
}

Device read_device(pbf_reader in) {
  Device device;
  while (in.next()) {
    switch (in.tag_and_type()) {
      case bytes_field(1):
        device.name = read_string(in, limits::control_text_bytes_max, "device name");
        break;
      case bytes_field(2): {
        const std::string uuid = read_string(in, kUuidBytes, "device uuid");
        if (!uuid.empty() && uuid.size() != kUuidBytes) throw OverLimit("device uuid");
        device.uuid.fill(0);
        std::copy(uuid.begin(), uuid.end(), device.uuid.begin());
        break;
      }
      case varint(3):
        device.memory_bytes = in.get_uint64();
        break;
      case bytes_field(4):
        add(device.attributes, read_attribute(in.get_message()), limits::control_attributes_max,
            "device attributes");
        break;
      case bytes_field(5):
        device.pci_bus_id = read_string(in, limits::control_text_bytes_max, "pci bus id");
        break;
      case bytes_field(6):
        add(device.limits, read_limit(in.get_message()), limits::control_limits_max,
            "device limits");
        break;
      case varint(7):
        device.stream_priority_least = in.get_int32();
        break;
      case varint(8):
        device.stream_priority_greatest = in.get_int32();
        break;
      case varint(9):
        device.free_bytes = in.get_uint64();
        break;
      case bytes_field(10):
        read_packed(in, device.peers, limits::devices_max, "device peers");
        break;
      case varint(10):
        add(device.peers, in.get_uint32(), limits::devices_max, "device peers");
        break;
      default:
        in.skip();
    }
  }
  return device;
}

Hello read_hello(pbf_reader in) {
  Hello hello;
  hello.major = hello.minor = 0;
  while (in.next()) {
    switch (in.tag_and_type()) {
      case varint(1):
        hello.major = in.get_uint32();
        break;
      case varint(2):
        hello.minor = in.get_uint32();
        break;
      case varint(3):
        hello.features = in.get_uint64();
        break;
      case bytes_field(4):
        read_packed(in, hello.ops, limits::control_ops_max, "ops");
        break;
      case varint(4):
        add(hello.ops, in.get_uint32(), limits::control_ops_max, "ops");
        break;
      case bytes_field(5):
        hello.client = read_string(in, limits::control_text_bytes_max, "client");
        break;
      case bytes_field(6):
        hello.session_token = read_string(in, limits::session_token_bytes_max, "session token");
        break;
      case varint(7):
        hello.devices_wanted = in.get_uint32();
        break;
      case varint(8):
        hello.heartbeat_ms = in.get_uint32();
        break;
      case varint(9):
        hello.probe = in.get_bool();
        break;
      case varint(10):
        hello.lane = in.get_uint32();
        break;
      case varint(11):
        hello.monitor = in.get_bool();
        break;
      default:
        in.skip();
    }
  }
  return hello;
}

Welcome read_welcome(pbf_reader in) {
  Welcome welcome;
  welcome.major = welcome.minor = 0;
  while (in.next()) {
    switch (in.tag_and_type()) {
      case varint(1):
        welcome.major = in.get_uint32();
        break;
      case varint(2):
        welcome.minor = in.get_uint32();
        break;
      case varint(3):
        welcome.features = in.get_uint64();
        break;
      case bytes_field(4):
        read_packed(in, welcome.ops, limits::control_ops_max, "ops");
        break;
      case varint(4):
        add(welcome.ops, in.get_uint32(), limits::control_ops_max, "ops");
        break;
      case bytes_field(5):
        welcome.server = read_string(in, limits::control_text_bytes_max, "server");
        break;
      case bytes_field(6):
        welcome.session_token = read_string(in, limits::session_token_bytes_max, "session token");
        break;
      case bytes_field(7):
        add(welcome.devices, read_device(in.get_message()), limits::devices_max, "devices");
        break;
      case varint(8):
        welcome.credit_bytes = in.get_uint64();
        break;
      case varint(9):
        welcome.heartbeat_ms = in.get_uint32();
        break;
      case varint(10):
        welcome.driver_version = in.get_int32();
        break;
      case varint(11):
        welcome.window_base = in.get_uint64();
        break;
      case varint(12):
        welcome.window_bytes = in.get_uint64();
        break;
      case varint(13):
        welcome.lanes_max = in.get_uint32();
        break;
      case varint(14):
        welcome.lane_chunk_bytes = in.get_uint64();
        break;
      default:
        in.skip();
    }
  }
  return welcome;
}

Goodbye read_goodbye(pbf_reader in) {
  Goodbye goodbye;
  while (in.next()) {
    switch (in.tag_and_type()) {
      case varint(1): {
        const int32_t reason = in.get_int32();
        const bool known = reason > 0 && reason <= static_cast<int32_t>(Goodbye::Reason::kTimeout);
        goodbye.reason =
            known ? static_cast<Goodbye::Reason>(reason) : Goodbye::Reason::kUnspecified;
        break;
      }
      case bytes_field(2):
        goodbye.text = read_string(in, limits::control_text_bytes_max, "text");
        break;
      default:
        in.skip();
    }
  }
  return goodbye;
}

Status read_status(pbf_reader in) {
  Status status;
  status.major = status.minor = 0;
  while (in.next()) {
    switch (in.tag_and_type()) {
      case varint(1):
        status.major = in.get_uint32();
        break;
      case varint(2):
        status.minor = in.get_uint32();
        break;
      case bytes_field(3):
        status.server = read_string(in, limits::control_text_bytes_max, "server");
        break;
      case varint(4):
        status.sessions = in.get_uint32();
        break;
      case varint(5):
        status.workers_warm = in.get_uint32();
        break;
      case bytes_field(6):
        add(status.devices, read_device(in.get_message()), limits::devices_max, "devices");
        break;
      case varint(7):
        status.uptime_ms = in.get_uint64();
        break;
      case bytes_field(8):
        read_packed(in, status.device_sessions, limits::devices_max, "device sessions");
        break;
      case varint(8):
        add(status.device_sessions, in.get_uint32(), limits::devices_max, "device sessions");
        break;
      default:
        in.skip();
    }
  }
  return status;
}

// Where the kinds stand in the oneof of control.proto.
enum KindField : uint32_t { kHello = 1, kWelcome = 2, kGoodbye = 3, kStatus = 4 };

}  // namespace

std::string encode(const Control& control) {
  std::string bytes;
  pbf_writer out(bytes);
  // The kinds stand in the variant in the order of their field numbers.
  const uint32_t field = static_cast<uint32_t>(control.index()) + 1;
  static_assert(std::is_same_v<std::variant_alternative_t<kGoodbye - 1, Control>, Goodbye>);
  static_assert(std::variant_size_v<Control> == kStatus);
  std::visit(
      [&](const auto& kind) {
        write_message(out, field, [&](pbf_writer& inner) { write(inner, kind); });
      },
      control);
  return bytes;
}

bool decode(std::span<const std::byte> bytes, Control* control, std::string* error) {
  if (bytes.size() > limits::control_bytes_max) {
    *error = "control message of " + std::to_string(bytes.size()) + " bytes (limit " +
             std::to_string(limits::control_bytes_max) + ")";
    return false;
  }
  try {
    bool found = false;
    pbf_reader in(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    while (in.next()) {
      switch (in.tag_and_type()) {
        case bytes_field(kHello):
          *control = read_hello(in.get_message());
          found = true;
          break;
        case bytes_field(kWelcome):
          *control = read_welcome(in.get_message());
          found = true;
          break;
        case bytes_field(kGoodbye):
          *control = read_goodbye(in.get_message());
          found = true;
          break;
        case bytes_field(kStatus):
          *control = read_status(in.get_message());
          found = true;
          break;
        default:
          in.skip();
      }
    }
    if (!found) *error = "control message of no kind that this version knows";
    return found;
  } catch (const OverLimit& over) {
    *error = std::string("control message: ") + over.field + " is over its limit";
  } catch (const std::exception& malformed) {
    *error = std::string("control message: ") + malformed.what();
  }
  return false;
}

}  // namespace farlane::protocol::control
