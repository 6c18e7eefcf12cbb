// Feeds the worker's decoder and executor with a session's frames, as the network would bring them
// after a good hello. The input is a sequence of frames: u32 head bytes, u32 body bytes, head,
// body. Sequence numbers are put right, because a mutation that only breaks them finds nothing new.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "protocol/append.h"
#include "protocol/control_client.h"
#include "server/executor.h"
#include "server/fake_driver.h"
#include "transport/loopback.h"

namespace {

using namespace farlane;
using namespace farlane::server;

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

void run_session(std::span<const std::byte> input) {
  restart_fake_driver();
  static const DriverTable driver = fake_driver();
  ServerSettings settings;
  settings.staging_slot_bytes = 4096;
  settings.staging_slots = 2;
  settings.credit_bytes = 4096;
  std::string error;
  const auto host = Host::start(driver, settings, 0, &error);
  if (host == nullptr) return;
  transport::LoopbackPair pair = transport::make_loopback();
  Executor executor(*host, *pair.b, settings, nullptr);
  Sink sink;
  const auto turn = [&] {
    executor.step();
    while (pair.a->receive(sink) == transport::ReceiveStatus::kDelivered) {
    }
    static_cast<void>(pair.a->flush());
  };

  std::vector<std::byte> head;
  protocol::control::Hello hello;
  hello.client = "fuzz";
  const std::string encoded = protocol::control::encode(hello);
  protocol::append_record(head, protocol::message::Control{std::as_bytes(std::span(encoded))}, 1);
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
    sequence = number_records(head, sequence);
    const transport::Bytes part = body;
    transport::Frame frame{head, {}};
    if (!body.empty()) frame.body = std::span<const transport::Bytes>(&part, 1);
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
