#include "client/core/handshake.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <numeric>
#include <string_view>

#include "client/core/endpoint.h"
#include "client/core/log_line.h"
#include "client/core/session.h"
#include "generated/protocol/messages.h"
#include "transport/endpoint.h"

namespace farlane::client {
namespace {

namespace control = protocol::control;

constexpr uint64_t kTiB = uint64_t{1} << 40;
constexpr uint64_t kGiB = uint64_t{1} << 30;

// The first is what warm workers have reserved already. The address sanitizer's shadow ends just
// above it, and the thread sanitizer allows programs only the last ones (its "mid" and "high"
// application ranges).
constexpr Window kWindows[] = {
#ifndef __SANITIZE_THREAD__  // trying them costs it shadow memory for terabytes, and may fail
    {0x1000'0000'0000, 4 * kTiB},  {0x2000'0000'0000, 4 * kTiB},  {0x4000'0000'0000, 2 * kTiB},
#endif
    {0x5580'0000'0000, 64 * kGiB}, {0x7f00'0000'0000, 16 * kGiB}, {0x7e90'0000'0000, 16 * kGiB},
};

std::string this_program() {
  char host[256] = "";
  ::gethostname(host, sizeof host - 1);
  char path[512] = "";
  const ssize_t length = ::readlink("/proc/self/exe", path, sizeof path - 1);
  std::string_view program(path, static_cast<size_t>(std::max<ssize_t>(length, 0)));
  if (const size_t slash = program.rfind('/'); slash != std::string_view::npos) {
    program.remove_prefix(slash + 1);
  }
  return std::string(host) + " pid " + std::to_string(::getpid()) + " " + std::string(program);
}

std::string uuid_text(const control::Device& device) {
  std::string text = "GPU-";
  for (size_t i = 0; i < device.uuid.size(); ++i) {
    char hex[3];
    std::snprintf(hex, sizeof hex, "%02x", device.uuid[i]);
    text += hex;
    if (i == 3 || i == 5 || i == 7 || i == 9) {
      text += '-';
    }
  }
  return text;
}

}  // namespace

std::unique_ptr<transport::Channel> connect_server(const ClientSettings& settings,
                                                   transport::Deadline deadline,
                                                   std::string* error) {
  transport::Endpoint endpoint;
  if (!endpoint_of(settings, &endpoint, error)) {
    return nullptr;
  }
  transport::Connection made = transport::connect(endpoint, deadline);
  if (!made.remark.empty()) {
    log_line(LogLevel::kDebug, made.remark);
  }
  if (made.channel == nullptr) {
    *error = made.error + " (settings: server, timeouts.connect_timeout_ms; try `farlane doctor`)";
  } else if (made.shared_memory) {
    log_line(LogLevel::kDebug, "connected through shared memory: " + made.channel->peer_name());
  }
  return std::move(made.channel);
}

control::Hello make_hello(const ClientSettings& settings) {
  control::Hello hello;
  for (protocol::Op op : protocol::client_ops()) {
    hello.ops.push_back(static_cast<uint32_t>(op));
  }
  hello.client = this_program();
  hello.devices_wanted = static_cast<uint32_t>(settings.devices);
  // Several signs of life within the time after which silence counts as loss.
  hello.heartbeat_ms = static_cast<uint32_t>(std::max<int64_t>(settings.call_timeout_ms / 4, 20));
  return hello;
}

bool check_welcome(const control::Welcome& welcome, const std::string& server, std::string* error) {
  if (welcome.major != control::kVersionMajor) {
    *error = "the server " + server + " speaks protocol " + std::to_string(welcome.major) +
             ", this client " + std::to_string(control::kVersionMajor) +
             ": install the same release on both";
    return false;
  }
  for (protocol::Op op : protocol::client_ops()) {
    if (std::find(welcome.ops.begin(), welcome.ops.end(), static_cast<uint32_t>(op)) ==
        welcome.ops.end()) {
      *error = "the server " + server + " (" + welcome.server + ") does not know the command \"" +
               protocol::op_name(static_cast<uint16_t>(op)) + "\": it is older than this client";
      return false;
    }
  }
  return true;
}

std::vector<uint32_t> device_order(const char* value, std::span<const control::Device> devices) {
  std::vector<uint32_t> order(devices.size());
  std::iota(order.begin(), order.end(), 0);
  if (value != nullptr && std::string_view(value) == "PCI_BUS_ID") {
    // "0000:1b:00.0": digits of equal width, lower case.
    std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
      return devices[a].pci_bus_id < devices[b].pci_bus_id;
    });
  }
  return order;
}

std::vector<uint32_t> visible_devices(const char* value, std::span<const control::Device> devices) {
  std::vector<uint32_t> visible;
  if (value == nullptr) {
    for (uint32_t i = 0; i < devices.size(); ++i) {
      visible.push_back(i);
    }
    return visible;
  }
  std::string_view rest = value;
  while (!rest.empty()) {
    const size_t comma = rest.find(',');
    std::string_view item = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
    while (!item.empty() && item.front() == ' ') {
      item.remove_prefix(1);
    }
    while (!item.empty() && item.back() == ' ') {
      item.remove_suffix(1);
    }
    uint32_t found = UINT32_MAX;
    if (item.starts_with("GPU-")) {
      for (uint32_t i = 0; i < devices.size(); ++i) {
        if (uuid_text(devices[i]).starts_with(item)) {
          found = found == UINT32_MAX ? i : UINT32_MAX - 1;  // two of them: ambiguous
        }
      }
    } else {
      std::from_chars(item.data(), item.data() + item.size(), found);
    }
    if (found >= devices.size() ||
        std::find(visible.begin(), visible.end(), found) != visible.end()) {
      break;
    }
    visible.push_back(found);
  }
  return visible;
}

void make_devices(const control::Welcome& welcome, Session* session) {
  int ordinal = 0;
  const std::vector<uint32_t> order =
      device_order(std::getenv("CUDA_DEVICE_ORDER"), welcome.devices);
  std::vector<control::Device> ordered;
  for (uint32_t index : order) {
    ordered.push_back(welcome.devices[index]);
  }
  for (uint32_t place : visible_devices(std::getenv("CUDA_VISIBLE_DEVICES"), ordered)) {
    const uint32_t index = order[place];
    const control::Device& told = welcome.devices[index];
    auto device = std::make_unique<Device>();
    device->session = session;
    device->ordinal = ordinal++;
    device->server_ordinal = index;
    device->facts.name = told.name;
    std::memcpy(device->facts.uuid.bytes, told.uuid.data(), sizeof device->facts.uuid.bytes);
    device->facts.memory_bytes = told.memory_bytes;
    device->facts.pci_bus_id = told.pci_bus_id;
    device->facts.stream_priority_least = told.stream_priority_least;
    device->facts.stream_priority_greatest = told.stream_priority_greatest;
    device->peers = told.peers;
    for (const control::Attribute& attribute : told.attributes) {
      if (attribute.id >= 0 && attribute.id < Device::kAttributesMax) {
        device->attributes[attribute.id] = attribute.value;
        device->attribute_known[attribute.id] = true;
      }
    }
    device->legacy.id = protocol::StreamId::legacy(index);
    device->legacy.device = device.get();
    uint64_t bits = 0;
    Context* context = session->contexts.create(&bits);
    context->device = device.get();
    context->primary = true;
    device->primary = handle_of<CUcontext>(bits);
    session->devices.push_back(std::move(device));
  }
  if (const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
      session->devices.empty() && visible != nullptr && *visible != '\0' && *visible != '-') {
    log_line(LogLevel::kWarning,
             "CUDA_VISIBLE_DEVICES=" + std::string(visible) + " names none of the " +
                 std::to_string(welcome.devices.size()) +
                 " GPUs of this session, so that the program sees none (setting devices, option "
                 "--devices: how many of the server's GPUs it is to have)");
  }
  for (auto& device : session->devices) {
    device->several_streams = session->devices.size() > 1;
  }
}

std::span<const Window> window_candidates(uint64_t base) {
  if (base == 0) {
    return kWindows;
  }
  static Window chosen;
  chosen = {base, kTiB};
  return {&chosen, 1};
}

}  // namespace farlane::client
