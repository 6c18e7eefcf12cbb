// A client for tests of the worker: hand-made records over a loopback channel into an executor that
// runs on the same thread, one step() at a time.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "generated/protocol/dispatch.h"
#include "generated/protocol/messages.h"
#include "protocol/append.h"
#include "protocol/control_client.h"
#include "server/executor.h"
#include "transport/loopback.h"

namespace farlane::server {

// Windows where both sanitizers leave room to programs, and of a size that they can shadow.
#ifdef __SANITIZE_THREAD__
inline constexpr uint64_t kWindowBase = 0x7e90'0000'0000;
inline constexpr uint64_t kOtherBase = 0x7ea0'0000'0000;
#else
inline constexpr uint64_t kWindowBase = 0x2000'0000'0000;
inline constexpr uint64_t kOtherBase = 0x3000'0000'0000;
#endif
inline constexpr uint64_t kWindowBytes = uint64_t{32} << 30;

inline void place_windows(ServerSettings* settings) {
  settings->window_base = static_cast<int64_t>(kWindowBase);
  settings->window_bytes = static_cast<int64_t>(kWindowBytes);
}

// The software device's, loaded once.
inline const DriverTable& software_driver() {
  static const DriverTable table = [] {
    DriverTable loaded;
    std::string error;
    if (!load_driver(FARLANE_SOFTCUDA, &loaded, &error)) throw std::runtime_error(error);
    return loaded;
  }();
  return table;
}

class TestClient final : public transport::FrameSink {
 public:
  struct Error {
    uint64_t sequence;
    CUresult result;
    bool sticky;
    std::string what;
  };

  TestClient(Host& host, const ServerSettings& settings, OutputSource* output,
             const transport::LoopbackOptions& options = {})
      : pair_(transport::make_loopback(options)),
        executor(std::make_unique<Executor>(host, *pair_.b, settings, output)) {}

  // --- sending
  template <class M>
  void append(const M& message) {
    protocol::append_record(frame_, message, ++sequence_);
  }
  void send(std::span<const std::byte> body = {}) {
    const transport::Bytes part = body;
    transport::Frame frame{frame_, {}};
    if (!body.empty()) frame.body = std::span<const transport::Bytes>(&part, 1);
    pump_until([&] { return pair_.a->send(frame) != transport::SendStatus::kBusy; });
    frame_.clear();
  }
  template <class M>
  uint64_t post(const M& message, std::span<const std::byte> body = {}) {
    append(message);
    send(body);
    return sequence_;
  }
  template <class M>
  uint64_t begin(const M& message) {
    return post(message);
  }
  // The reply, or one with result CUDA_ERROR_UNKNOWN and a failed test. What it points to lives as
  // long as this client.
  template <class M>
  typename M::Reply ask(const M& message) {
    return reply<typename M::Reply>(begin(message));
  }
  template <class Reply>
  Reply reply(uint64_t sequence) {
    Reply result;
    result.result = CUDA_ERROR_UNKNOWN;
    if (!pump_until([&] { return replies.contains(sequence); })) return result;
    protocol::RecordCursor records(std::as_bytes(std::span(replies[sequence])));
    protocol::Record record;
    protocol::Fault fault;
    EXPECT_TRUE(records.next(record));
    EXPECT_TRUE(decode(record, result, fault)) << fault.text();
    return result;
  }

  protocol::control::Welcome hello(uint32_t major = protocol::control::kVersionMajor) {
    protocol::control::Hello message;
    message.major = major;
    message.client = "test";
    const std::string encoded = protocol::control::encode(message);
    post(message::Control{std::as_bytes(std::span(encoded))});
    pump_until([&] { return !controls.empty(); });
    protocol::control::Control control;
    std::string error;
    EXPECT_TRUE(
        protocol::control::decode(std::as_bytes(std::span(controls.at(0))), &control, &error))
        << error;
    const auto* welcome = std::get_if<protocol::control::Welcome>(&control);
    return welcome == nullptr ? protocol::control::Welcome() : *welcome;
  }
  protocol::control::Goodbye goodbye() {
    protocol::control::Control control;
    std::string error;
    if (controls.empty() ||
        !protocol::control::decode(std::as_bytes(std::span(controls.back())), &control, &error)) {
      return {};
    }
    const auto* goodbye = std::get_if<protocol::control::Goodbye>(&control);
    return goodbye == nullptr ? protocol::control::Goodbye() : *goodbye;
  }

  // --- moving bytes
  bool step() {
    bool any = executor->step();
    while (pair_.a->receive(*this) == transport::ReceiveStatus::kDelivered) any = true;
    static_cast<void>(pair_.a->flush());
    return any;
  }
  bool pump_until(const std::function<bool()>& done) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!done()) {
      const bool any = step();
      if (!any) std::this_thread::yield();
      // An ended session has nothing more to say once all is moved.
      const bool over = !any && executor->end() != SessionEnd::kNotYet && !done();
      if (over || std::chrono::steady_clock::now() > deadline) {
        ADD_FAILURE() << "what was waited for did not come; session: "
                      << session_end_name(executor->end()) << " " << executor->end_text();
        return false;
      }
    }
    return true;
  }
  // Until everything sent so far is executed and nothing more happens at once.
  void settle() {
    pump_until([&] {
      return executor->executed() >= sequence_ || executor->end() != SessionEnd::kNotYet;
    });
    while (step()) {
    }
  }

  transport::MutableBytes place(transport::Bytes, uint32_t body_bytes) override {
    bodies_.emplace_back(body_bytes);
    return bodies_.back();
  }
  void deliver(transport::Bytes head, transport::MutableBytes body) override {
    const protocol::DispatchResult result = protocol::dispatch_event_frame(head, body, *this);
    EXPECT_EQ(result.status, protocol::DispatchStatus::kDone) << result.fault.text();
  }
  bool on_reply(const protocol::Record& record) {
    const uint64_t sequence = record.header.sequence;
    EXPECT_FALSE(replies.contains(sequence)) << "two replies to command " << sequence;
    std::vector<uint64_t>& copy = replies[sequence];
    copy.resize(record.header.bytes / 8);
    std::memcpy(copy.data(), &record.header, sizeof record.header);
    std::memcpy(copy.data() + 2, record.payload.data(), record.payload.size());
    arrived.push_back("reply " + std::to_string(sequence));
    return true;
  }
  bool on(const RecordHeader&, const message::ControlReply& control) {
    controls.emplace_back(reinterpret_cast<const char*>(control.message.data()),
                          control.message.size());
    arrived.push_back("control");
    return true;
  }
  bool on(const RecordHeader&, const message::ServerAlive&) {
    ++alives;
    return true;
  }
  bool on(const RecordHeader&, const message::Ack& ack) {
    acks.push_back(ack);
    return true;
  }
  bool on(const RecordHeader&, const message::PostedError& error) {
    errors.push_back({error.sequence, static_cast<CUresult>(error.result), error.sticky != 0,
                      std::string(error.what)});
    arrived.push_back("error " + std::to_string(error.sequence));
    return true;
  }
  bool on(const RecordHeader&, const message::CudaxError& error) {
    arrived.push_back("library error " + std::to_string(error.status));
    return true;
  }
  bool on(const RecordHeader&, const message::CudaxState& state) {
    arrived.push_back("library state " + std::to_string(state.status));
    return true;
  }
  bool on(const RecordHeader&, const message::Output& output) {
    outputs[output.fd].append(reinterpret_cast<const char*>(output.text.data()),
                              output.text.size());
    arrived.push_back("output");
    return true;
  }
  bool on(const RecordHeader&, const message::CopyOutData& data, std::span<std::byte> body) {
    Ticket& ticket = tickets[data.ticket];
    const std::span<const std::byte> bytes = data.data.empty() ? body : data.data;
    EXPECT_FALSE(ticket.last) << "data after the last of ticket " << data.ticket;
    if (data.result == CUDA_SUCCESS) {
      EXPECT_TRUE(data.offset == ticket.bytes.size() || (data.last != 0 && bytes.empty()))
          << "pieces come in order; the last of a copy over lanes has none";
    }
    ticket.bytes.insert(ticket.bytes.end(), bytes.begin(), bytes.end());
    ticket.result = static_cast<CUresult>(data.result);
    ticket.last = data.last != 0;
    ++ticket.pieces;
    arrived.push_back("data " + std::to_string(data.ticket));
    return true;
  }

  bool on(const RecordHeader&, const message::HostCallDue& call) {
    EXPECT_FALSE(due.contains(call.ticket));
    due[call.ticket] = static_cast<CUresult>(call.result);
    arrived.push_back("due " + std::to_string(call.ticket));
    return true;
  }

  struct Ticket {
    std::vector<std::byte> bytes;
    CUresult result = CUDA_SUCCESS;
    bool last = false;
    int pieces = 0;
  };

 private:
  transport::LoopbackPair pair_;

 public:
  transport::Channel& channel() { return *pair_.a; }
  uint64_t sequence() const { return sequence_; }
  // Lets the next command claim another place in the log.
  void skip_sequence(uint64_t by) { sequence_ += by; }
  std::vector<std::byte>& frame() { return frame_; }

  std::unique_ptr<Executor> executor;
  std::map<uint64_t, std::vector<uint64_t>> replies;
  std::vector<std::string> controls;
  std::vector<message::Ack> acks;
  std::vector<Error> errors;
  std::map<uint32_t, std::string> outputs;
  std::map<uint64_t, Ticket> tickets;
  std::map<uint64_t, CUresult> due;  // host calls
  std::vector<std::string> arrived;
  int alives = 0;

 private:
  std::vector<std::byte> frame_;
  std::deque<std::vector<std::byte>> bodies_;
  uint64_t sequence_ = 0;
};

}  // namespace farlane::server
