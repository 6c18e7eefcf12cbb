// Feeds the worker's decoder and executor with a session's frames, as the network would bring them
// after a good hello. The input is a sequence of frames: u32 head bytes, u32 body bytes, head,
// body. Sequence numbers are put right, because a mutation that only breaks them finds nothing new.
// A frame that begins with data for a bulk lane goes over one; so does what the worker sends there.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "protocol/append.h"
#include "protocol/control_client.h"
#include "server/executor.h"
#include "server/fake_driver.h"
#include "transport/loopback.h"

namespace {

using namespace farlane;
using namespace farlane::server;

const std::string kToken = "sixteen bytes...";

// The other end of the channel takes everything and looks at nothing.
class Sink final : public transport::FrameSink {
 public:
  transport::MutableBytes place(transport::Bytes, uint32_t bytes) override {
    body_.resize(bytes);
    return body_;
  }
  void deliver(transport::Bytes, transport::MutableBytes) override {}

 private:
  std::vector<std::byte> body_;
};

uint64_t number_records(std::span<std::byte> head, uint64_t sequence) {
  size_t at = 0;
  while (head.size() - at >= sizeof(protocol::RecordHeader)) {
    protocol::RecordHeader header;
    std::memcpy(&header, head.data() + at, sizeof header);
    header.sequence = ++sequence;
    std::memcpy(head.data() + at, &header, sizeof header);
    if (header.bytes < sizeof header || header.bytes > head.size() - at) break;
    at += header.bytes;
  }
  return sequence;
}

bool is_for_lane(std::span<const std::byte> head) {
  protocol::RecordHeader header;
  if (head.size() < sizeof header) return false;
  std::memcpy(&header, head.data(), sizeof header);
  return header.op == static_cast<uint16_t>(protocol::Op::kLaneData);
}

// A copy over lanes is refused where there is none.
bool names_a_lane(std::span<const std::byte> head) {
  protocol::RecordCursor records(head);
  protocol::Record record;
  while (records.next(record)) {
    const auto op = static_cast<protocol::Op>(record.header.op);
    if (op == protocol::Op::kCopyInLanes || op == protocol::Op::kCopyOutLanes) return true;
  }
  return false;
}

std::vector<std::byte> hello_record(uint32_t lane) {
  protocol::control::Hello hello;
  hello.client = "fuzz";
  hello.lane = lane;
  if (lane != 0) hello.session_token = kToken;
  const std::string encoded = protocol::control::encode(hello);
  std::vector<std::byte> head;
  protocol::append_record(head, protocol::message::Control{std::as_bytes(std::span(encoded))},
                          lane == 0 ? 1 : 0);
  return head;
}

// The client's end of a session's one lane, whose other end has a thread in the worker.
class LaneEnd {
 public:
  void open(Executor& executor) {
    transport::LoopbackPair pair = transport::make_loopback();
    channel_ = std::move(pair.a);
    executor.adopt_lane(std::move(pair.b));
    static_cast<void>(channel_->send({hello_record(1), {}}));
  }
  bool is_open() const { return channel_ != nullptr; }
  void send(const transport::Frame& frame) { static_cast<void>(channel_->send(frame)); }
  void pump() {
    while (is_open() && channel_->receive(sink_) == transport::ReceiveStatus::kDelivered) {
    }
  }

 private:
  std::unique_ptr<transport::Channel> channel_;
  Sink sink_;
};

void run_session(std::span<const std::byte> input) {
  restart_fake_driver();
  static const DriverTable driver = fake_driver();
  ServerSettings settings;
  settings.staging_slot_bytes = 4096;
  settings.staging_slots = 2;
  settings.credit_bytes = 4096;
  settings.lanes_max = 1;
  settings.lane_slots = 2;
  settings.lane_chunk_bytes = 64 * 1024;
  settings.handshake_timeout_ms = 60'000;
  settings.command_times = true;
  std::string error;
  const auto host = Host::start(driver, settings, 0, &error);
  if (host == nullptr) return;
  transport::LoopbackPair pair = transport::make_loopback();
  Executor executor(*host, *pair.b, settings, nullptr);
  executor.set_session_token(kToken);
  Sink sink;
  LaneEnd lane;
  const auto turn = [&] {
    executor.step();
    while (pair.a->receive(sink) == transport::ReceiveStatus::kDelivered) {
    }
    static_cast<void>(pair.a->flush());
    lane.pump();
  };

  // Until the worker counts on it, or has refused it.
  const auto open_lane = [&] {
    lane.open(executor);
    for (int i = 0;
         i < 100'000 && executor.lanes().open_lanes() == 0 && executor.end() == SessionEnd::kNotYet;
         ++i) {
      turn();
      std::this_thread::yield();
    }
  };

  std::vector<std::byte> head = hello_record(0);
  static_cast<void>(pair.a->send({head, {}}));
  turn();

  uint64_t sequence = 1;
  while (input.size() > 8 && executor.end() == SessionEnd::kNotYet) {
    uint32_t sizes[2];
    std::memcpy(sizes, input.data(), sizeof sizes);
    input = input.subspan(8);
    const size_t head_bytes = std::min<size_t>({sizes[0], input.size(), transport::kHeadBytesMax});
    if (head_bytes == 0) break;
    head.assign(input.begin(), input.begin() + static_cast<std::ptrdiff_t>(head_bytes));
    input = input.subspan(head_bytes);
    const size_t body_bytes = std::min<size_t>({sizes[1], input.size(), 64 * 1024});
    const std::vector<std::byte> body(input.begin(),
                                      input.begin() + static_cast<std::ptrdiff_t>(body_bytes));
    input = input.subspan(body_bytes);
    const bool for_lane = is_for_lane(head);
    if (!for_lane) sequence = number_records(head, sequence);
    const transport::Bytes part = body;
    transport::Frame frame{head, {}};
    if (!body.empty()) frame.body = std::span<const transport::Bytes>(&part, 1);
    if (for_lane) {
      if (!lane.is_open()) open_lane();
      const auto& taken = executor.lanes().counters(1).chunks_in;
      const uint64_t before = taken;
      lane.send(frame);
      // Its thread takes it when it likes: mostly before the next frame, which is what is wanted.
      for (int i = 0; i < 3 && taken == before; ++i) {
        turn();
        std::this_thread::yield();
      }
      turn();
      continue;
    }
    if (!lane.is_open() && names_a_lane(head)) open_lane();
    for (int tries = 0; tries < 8 && pair.a->send(frame) == transport::SendStatus::kBusy; ++tries) {
      turn();
    }
    turn();
  }
  for (int i = 0; i < 200 && executor.end() == SessionEnd::kNotYet; ++i) turn();
  // To see how far an input gets.
  static const bool verbose = std::getenv("FARLANE_FUZZ_VERBOSE") != nullptr;
  if (verbose) {
    std::fprintf(stderr, "%llu of %llu commands, %s: %s\n",
                 static_cast<unsigned long long>(executor.executed()),
                 static_cast<unsigned long long>(sequence), session_end_name(executor.end()),
                 executor.end_text().c_str());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  spdlog::set_level(spdlog::level::off);
  run_session(std::as_bytes(std::span(data, bytes)));
  return 0;
}
