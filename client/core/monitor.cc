#include "client/core/monitor.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <variant>

#include "client/core/handshake.h"
#include "client/core/log_line.h"
#include "client/core/session.h"
#include "generated/protocol/messages.h"
#include "protocol/append.h"
#include "protocol/limits.h"
#include "transport/channel.h"

namespace farlane::client {
namespace {

namespace control = protocol::control;
using transport::Clock;

// One question at a time, and the record that answers it.
class Line : public transport::FrameSink {
 public:
  // Null: `*error` says why there is no connection.
  static std::unique_ptr<Line> open(const ClientSettings& settings, std::string* error) {
    const auto deadline = Clock::now() + std::chrono::milliseconds(settings.connect_timeout_ms);
    std::unique_ptr<transport::Channel> channel = connect_server(settings, deadline, error);
    if (channel == nullptr) return nullptr;
    return std::unique_ptr<Line>(new Line(std::move(channel), settings.call_timeout_ms));
  }

  // The answer's record, valid until the next question. False: the line is of no more use.
  bool ask(const std::vector<std::byte>& frame, protocol::Record* answer) {
    const auto deadline = Clock::now() + std::chrono::milliseconds(timeout_ms_);
    answered_ = false;
    transport::SendStatus sent = channel_->send({frame, {}});
    for (;;) {
      if (sent == transport::SendStatus::kBusy) sent = channel_->flush();
      const transport::ReceiveStatus got = channel_->receive(*this);
      if (answered_) {
        protocol::RecordCursor records(answer_);
        return records.next(*answer);
      }
      if (got == transport::ReceiveStatus::kDelivered) continue;
      if (got == transport::ReceiveStatus::kGone || sent == transport::SendStatus::kGone) {
        return false;
      }
      if (Clock::now() >= deadline) return false;
      channel_->wait(true, sent == transport::SendStatus::kBusy, deadline);
    }
  }

  transport::MutableBytes place(transport::Bytes, uint32_t body_bytes) override {
    body_.resize(body_bytes);
    return body_;
  }
  void deliver(transport::Bytes head, transport::MutableBytes) override {
    answer_.assign(head.begin(), head.end());
    answered_ = true;
  }

  uint64_t next_sequence() { return ++sequence_; }
  void close() { channel_->close(); }

 private:
  Line(std::unique_ptr<transport::Channel> channel, int64_t timeout_ms)
      : channel_(std::move(channel)), timeout_ms_(timeout_ms) {}

  std::unique_ptr<transport::Channel> channel_;
  const int64_t timeout_ms_;
  std::vector<std::byte> answer_;
  std::vector<std::byte> body_;
  bool answered_ = false;
  uint64_t sequence_ = 0;
};

enum class Offer : uint8_t { kUnknown, kYes, kNo };

// Never destroyed: programs ask from their own destructors.
struct Monitor {
  std::mutex mutex;  // guards the rest
  std::unique_ptr<Line> line;
  Offer offer = Offer::kUnknown;  // whether the server has NVML
};

// A forked child has one of its own. The parent's line is shared with it: another word on it would
// garble the parent's talk, and it is not even closed, which the parent would notice. The mutex may
// be held for ever, by a thread that the child does not have.
Monitor* g_monitor = nullptr;

Monitor& monitor() {
  static const bool made = [] {
    g_monitor = new Monitor;
    pthread_atfork(nullptr, nullptr, [] { g_monitor = new Monitor; });
    return true;
  }();
  static_cast<void>(made);
  return *g_monitor;
}

bool settings_of_process(ClientSettings* settings) {
  std::string error;
  if (load_client_settings(settings, &error)) {
    static std::once_flag once;
    std::call_once(once, [&] {
      if (!session_is_started()) log_open(settings->log_level, settings->log_file);
    });
    return true;
  }
  log_line(LogLevel::kError, error);
  return false;
}

void complain_once(const std::string& error) {
  static std::atomic<bool> said = false;
  if (!said.exchange(true)) log_line(LogLevel::kWarning, "monitoring: " + error);
}

std::vector<std::byte> hello_frame(bool for_calls) {
  control::Hello hello;
  hello.probe = true;
  hello.monitor = for_calls;
  hello.client = "monitoring, pid " + std::to_string(::getpid());
  const std::string encoded = control::encode(hello);
  std::vector<std::byte> frame;
  protocol::append_record(frame, protocol::message::Control{std::as_bytes(std::span(encoded))}, 0);
  return frame;
}

// What the server says in answer to a probe; null if it says anything else.
bool read_status(const protocol::Record& record, control::Status* status) {
  protocol::message::ControlReply reply;
  protocol::Fault fault;
  control::Control message;
  std::string what;
  if (record.header.op != static_cast<uint16_t>(protocol::Op::kControlReply) ||
      !decode(record, reply, fault) || !control::decode(reply.message, &message, &what)) {
    return false;
  }
  auto* found = std::get_if<control::Status>(&message);
  if (found == nullptr) return false;
  *status = std::move(*found);
  return true;
}

ServerDevice described(const control::Device& told) {
  ServerDevice device;
  device.facts.name = told.name;
  std::memcpy(device.facts.uuid.bytes, told.uuid.data(), sizeof device.facts.uuid.bytes);
  device.facts.memory_bytes = told.memory_bytes;
  device.facts.pci_bus_id = told.pci_bus_id;
  for (const auto& attribute : told.attributes) {
    device.attributes.emplace_back(attribute.id, attribute.value);
  }
  device.peers = told.peers;
  device.free_bytes = told.free_bytes;
  return device;
}

void give(const std::vector<control::Device>& told, std::vector<ServerDevice>* devices) {
  devices->clear();
  const std::vector<uint32_t> order = device_order(std::getenv("CUDA_DEVICE_ORDER"), told);
  for (const uint32_t index : order) {
    ServerDevice& device = devices->emplace_back(described(told[index]));
    for (uint32_t& peer : device.peers) {
      peer = static_cast<uint32_t>(std::find(order.begin(), order.end(), peer) - order.begin());
    }
  }
}

std::vector<std::byte> call_frame(const MonitorCall& call, uint64_t sequence, bool with_hello) {
  std::vector<message::DeviceUuid> devices(call.devices.size());
  for (size_t i = 0; i < devices.size(); ++i) {
    std::memcpy(devices[i].bytes.data(), call.devices[i].bytes, sizeof call.devices[i].bytes);
  }
  std::vector<message::MonitorNumber> numbers;
  for (const uint64_t number : call.numbers) numbers.push_back({number});
  std::vector<message::MonitorBuffer> buffers;
  std::vector<std::byte> data;
  for (const MonitorBuffer& buffer : call.buffers) {
    const bool is_null = buffer.memory == nullptr;
    buffers.push_back({is_null ? 0 : buffer.bytes, is_null ? 1u : 0u});
    if (is_null || buffer.bytes == 0) continue;
    const size_t at = data.size();
    data.resize(at + protocol::padded(buffer.bytes));
    std::memcpy(data.data() + at, buffer.memory, buffer.bytes);
  }
  std::vector<std::byte> frame = with_hello ? hello_frame(true) : std::vector<std::byte>{};
  protocol::append_record(frame,
                          message::MonitorCall{.function = call.function,
                                               .devices = devices,
                                               .numbers = numbers,
                                               .buffers = buffers,
                                               .data = data},
                          sequence);
  return frame;
}

// False: the answer is not one to this call.
bool take_answer(const protocol::Record& record, const MonitorCall& call, int* result) {
  message::MonitorCallReply reply;
  protocol::Fault fault;
  if (record.header.op != static_cast<uint16_t>(protocol::Op::kMonitorCall) ||
      !decode(record, reply, fault)) {
    return false;
  }
  *result = reply.result;
  size_t at = 0;
  for (const MonitorBuffer& buffer : call.buffers) {
    if (buffer.memory == nullptr || buffer.bytes == 0) continue;
    const size_t padded = protocol::padded(buffer.bytes);
    if (padded > reply.data.size() - at) return reply.data.empty();
    std::memcpy(buffer.memory, reply.data.data() + at, buffer.bytes);
    at += padded;
  }
  return true;
}

}  // namespace

CUresult server_devices(std::vector<ServerDevice>* devices) {
  if (Session* s = session_if_any(); s != nullptr) {
    give(s->told_devices, devices);
    return CUDA_SUCCESS;
  }
  ClientSettings settings;
  if (!settings_of_process(&settings)) return kServerLost;
  std::string error;
  const std::unique_ptr<Line> line = Line::open(settings, &error);
  if (line == nullptr) {
    complain_once(error);
    return kServerLost;
  }
  protocol::Record record;
  control::Status status;
  const bool answered = line->ask(hello_frame(false), &record) && read_status(record, &status);
  line->close();
  if (!answered) {
    complain_once("the server " + settings.server +
                  " did not say which devices it has (is it a gpuserverd of the same release?)");
    return kServerLost;
  }
  give(status.devices, devices);
  return CUDA_SUCCESS;
}

int session_device(const CUuuid& uuid) {
  Session* s = session_if_any();
  if (s == nullptr || s->lost()) return -1;
  for (const auto& device : s->devices) {
    if (std::memcmp(&device->facts.uuid, &uuid, sizeof uuid) == 0) return device->ordinal;
  }
  return -1;
}

CUresult monitor_call(const MonitorCall& call, int* result) {
  namespace limits = protocol::limits;
  size_t bytes = 0;
  for (const MonitorBuffer& buffer : call.buffers) bytes += protocol::padded(buffer.bytes);
  if (bytes > limits::monitor_bytes_max || call.function.size() > limits::name_bytes_max) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  Monitor& m = monitor();
  std::lock_guard lock(m.mutex);
  if (m.offer == Offer::kNo) return CUDA_ERROR_NOT_SUPPORTED;
  // The server ends a line that was silent for long: then a second try with a new one.
  for (int attempt = 0; attempt < 2; ++attempt) {
    const bool fresh = m.line == nullptr;
    if (fresh) {
      ClientSettings settings;
      std::string error;
      if (!settings_of_process(&settings)) return kServerLost;
      m.line = Line::open(settings, &error);
      if (m.line == nullptr) {
        complain_once(error);
        return kServerLost;
      }
    }
    protocol::Record record;
    const auto frame = call_frame(call, m.line->next_sequence(), fresh);
    if (m.line->ask(frame, &record)) {
      if (take_answer(record, call, result)) return CUDA_SUCCESS;
      // Its status instead: this server has no NVML to ask.
      control::Status status;
      if (read_status(record, &status)) m.offer = Offer::kNo;
      m.line->close();
      m.line.reset();
      return m.offer == Offer::kNo ? CUDA_ERROR_NOT_SUPPORTED : kServerLost;
    }
    m.line->close();
    m.line.reset();
  }
  complain_once("the server answers no questions about its devices");
  return kServerLost;
}

}  // namespace farlane::client
