#include "client/cli/server_probe.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <variant>

#include "client/core/endpoint.h"
#include "generated/protocol/messages.h"
#include "protocol/append.h"
#include "protocol/control_client.h"
#include "transport/channel.h"
#include "transport/endpoint.h"

namespace farlane::cli {
namespace {

namespace control = protocol::control;
using transport::Clock;
using transport::Deadline;

// The CUdevice_attribute numbers; CUDA never renumbers them.
constexpr int32_t kAttributeMajor = 75;
constexpr int32_t kAttributeMinor = 76;

// Takes the one answer. Anything else on the line is the server's fault.
class Answer : public transport::FrameSink {
 public:
  transport::MutableBytes place(transport::Bytes, uint32_t body_bytes) override {
    body_.resize(body_bytes);
    return body_;
  }
  void deliver(transport::Bytes head, transport::MutableBytes) override {
    protocol::RecordCursor records(head);
    protocol::Record record;
    while (!arrived && records.next(record)) {
      if (record.header.op != static_cast<uint16_t>(protocol::Op::kControlReply)) continue;
      protocol::message::ControlReply reply;
      protocol::Fault fault;
      if (!decode(record, reply, fault)) {
        error = fault.text();
      } else if (!control::decode(reply.message, &message, &error) && error.empty()) {
        error = "it is malformed";
      }
      arrived = true;
    }
    if (!arrived && records.fault()) {
      error = records.fault().text();
      arrived = true;
    }
  }

  bool arrived = false;
  std::string error;
  control::Control message;

 private:
  std::vector<std::byte> body_;
};

std::vector<std::byte> question() {
  control::Hello hello;
  hello.probe = true;
  hello.client = fmt::format("farlane doctor, pid {}", ::getpid());
  const std::string encoded = control::encode(hello);
  std::vector<std::byte> frame;
  protocol::append_record(
      frame, protocol::message::Control{std::as_bytes(std::span(encoded.data(), encoded.size()))},
      0);
  return frame;
}

// Sends the question and waits for the answer. False: `probe->error` says why there is none.
bool ask(transport::Channel* channel, Deadline deadline, int64_t timeout_ms, Answer* answer,
         std::string* error) {
  const std::vector<std::byte> frame = question();
  transport::SendStatus sent = channel->send({frame, {}});
  while (!answer->arrived) {
    if (sent == transport::SendStatus::kBusy) sent = channel->flush();
    const transport::ReceiveStatus got = channel->receive(*answer);
    if (got == transport::ReceiveStatus::kDelivered) continue;
    if (got == transport::ReceiveStatus::kGone || sent == transport::SendStatus::kGone) {
      *error = fmt::format(
          "something listens there but ended the connection without an answer ({}). Is it a "
          "gpuserverd of this version?",
          channel->close_reason());
      return false;
    }
    if (Clock::now() >= deadline) {
      *error = fmt::format(
          "something listens there but did not answer within {} ms. Is it a gpuserverd? (setting: "
          "timeouts.connect_timeout_ms)",
          timeout_ms);
      return false;
    }
    channel->wait(true, sent == transport::SendStatus::kBusy, deadline);
  }
  if (!answer->error.empty()) {
    *error =
        fmt::format("something listens there but its answer is not Farlane's: {}", answer->error);
    return false;
  }
  return true;
}

void take_status(const control::Status& status, ServerProbe* probe) {
  probe->server = status.server;
  probe->major = status.major;
  probe->minor = status.minor;
  probe->sessions = status.sessions;
  probe->workers_warm = status.workers_warm;
  probe->uptime_ms = status.uptime_ms;
  probe->devices.clear();
  for (const control::Device& device : status.devices) {
    ProbedDevice found{device.name, device.memory_bytes, 0, -1};
    for (const control::Attribute& attribute : device.attributes) {
      if (attribute.value < 0) continue;
      const auto value = static_cast<uint32_t>(attribute.value);
      if (attribute.id == kAttributeMajor) found.arch += 10 * value;
      if (attribute.id == kAttributeMinor) found.arch += value;
    }
    if (status.device_sessions.size() == status.devices.size()) {
      found.sessions = status.device_sessions[probe->devices.size()];
    }
    probe->devices.push_back(std::move(found));
  }
  if (status.major != control::kVersionMajor) {
    probe->error = fmt::format(
        "it speaks protocol {}.{} and this client {}.{}: install the same release on both",
        status.major, status.minor, control::kVersionMajor, control::kVersionMinor);
  }
}

}  // namespace

ServerProbe probe_server(const ClientSettings& settings, int probes) {
  ServerProbe probe;
  transport::Endpoint endpoint;
  if (!client::endpoint_of(settings, &endpoint, &probe.error)) return probe;
  const int64_t timeout_ms = settings.connect_timeout_ms;
  for (int i = 0; i < probes; ++i) {
    const Deadline deadline = Clock::now() + std::chrono::milliseconds(timeout_ms);
    const transport::Connection made = transport::connect(endpoint, deadline);
    transport::Channel* const channel = made.channel.get();
    probe.error = made.error;
    probe.remark = made.remark;
    if (channel == nullptr) return probe;
    probe.error.clear();
    probe.transport = made.shared_memory ? fmt::format("shared memory ({})", channel->peer_name())
                                         : std::string("TCP");
    probe.connected = true;
    Answer answer;
    const Clock::time_point asked = Clock::now();
    if (!ask(channel, deadline, timeout_ms, &answer, &probe.error)) return probe;
    probe.answer_us.push_back(
        std::chrono::duration<double, std::micro>(Clock::now() - asked).count());
    channel->close();
    if (const auto* status = std::get_if<control::Status>(&answer.message)) {
      take_status(*status, &probe);
    } else if (const auto* goodbye = std::get_if<control::Goodbye>(&answer.message)) {
      probe.error = fmt::format("the server refused: {}", goodbye->text);
    } else {
      probe.error = "the server answered, but not with its status: it is another version";
    }
    if (!probe.error.empty()) return probe;
  }
  return probe;
}

}  // namespace farlane::cli
