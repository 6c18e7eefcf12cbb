// farlane_instructions. Here what the log costs in instructions: a launch, a small copy and a
// question, with the other end of an in-process channel moved by the same thread, so that every run
// executes the same instructions. bench/instructions.py runs it under valgrind, which collects
// inside the functions named count_* only; the rest of this file is not counted.
#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "bench/instructions.h"
#include "client/core/command_log.h"
#include "client/core/inbox.h"
#include "client/core/loss.h"
#include "generated/protocol/messages.h"
#include "protocol/append.h"
#include "transport/loopback.h"

namespace {

using namespace farlane;
using namespace farlane::client;
using bench::kCountedCalls;
namespace message = protocol::message;

// Takes everything and forgets it.
class Drop final : public transport::FrameSink {
 public:
  transport::MutableBytes place(transport::Bytes, uint32_t body_bytes) override {
    body_.resize(body_bytes);
    return body_;
  }
  void deliver(transport::Bytes, transport::MutableBytes) override {}

 private:
  std::vector<std::byte> body_;
};

struct Ends {
  Ends() {
    auto pair = transport::make_loopback({.queue_frames = 4096});
    near = std::move(pair.a);
    far = std::move(pair.b);
    inbox = std::make_unique<Inbox>(near.get(), InboxOptions{}, &loss, &errors);
    log = std::make_unique<CommandLog>(near.get(), CommandLogOptions{.batch_bytes_max = 65536},
                                       inbox.get(), &loss,
                                       CommandLog::Background{[] {}, [](bool) { return false; }});
  }
  void settle() {
    if (!log->flush()) std::abort();
    while (far->receive(drop) == transport::ReceiveStatus::kDelivered) {
    }
  }
  // The answer to the question that will have this number: it lies ready when it is asked.
  void answer(uint64_t sequence) {
    std::vector<std::byte> head;
    protocol::append_record(head, message::MemoryInfoReply{.free_bytes = 1, .total_bytes = 2},
                            sequence);
    if (far->send({head, {}}) != transport::SendStatus::kSent) std::abort();
  }

  Loss loss;
  PostedErrors errors;
  Drop drop;
  std::unique_ptr<transport::Channel> near;
  std::unique_ptr<transport::Channel> far;
  std::unique_ptr<Inbox> inbox;
  std::unique_ptr<CommandLog> log;
};

}  // namespace

extern "C" {

[[gnu::noinline]] uint64_t count_launch(CommandLog& log, std::span<const std::byte> params) {
  return log.post(message::Launch{.stream = protocol::StreamId::legacy(0),
                                  .kernel = protocol::KernelId::make(0, 0),
                                  .grid_x = 1,
                                  .grid_y = 1,
                                  .grid_z = 1,
                                  .block_x = 32,
                                  .block_y = 1,
                                  .block_z = 1,
                                  .attributes = {},
                                  .params = params});
}

[[gnu::noinline]] uint64_t count_copy(CommandLog& log, std::span<const std::byte> data) {
  return log.post(message::CopyIn{.stream = protocol::StreamId::legacy(0),
                                  .to = 4096,
                                  .width = data.size(),
                                  .height = 1,
                                  .data = data});
}

[[gnu::noinline]] uint64_t count_question(CommandLog& log, Inbox& inbox) {
  Inbox::Waiter waiter;
  if (log.send_now(message::MemoryInfo{.device = 0}, {},
                   [&](uint64_t number) { inbox.expect(&waiter, number); }) == 0 ||
      !inbox.wait_until([&] { return waiter.done.load(std::memory_order_acquire); }, "an answer")) {
    return 0;
  }
  message::MemoryInfoReply reply;
  protocol::Fault fault;
  return decode(waiter.record, reply, fault) ? reply.total_bytes : 0;
}
}

bool farlane::bench::count_log() {
  Ends ends;
  const std::array<std::byte, 32> params{};  // five arguments
  uint64_t sum = 0;
  for (int i = 0; i < kCountedCalls; ++i) {
    sum += count_launch(*ends.log, params);
  }
  ends.settle();
  for (int i = 0; i < kCountedCalls; ++i) {
    sum += count_copy(*ends.log, std::span(params).first(4));
  }
  ends.settle();
  for (int i = 0; i < kCountedCalls; ++i) {
    ends.answer(ends.log->last_sequence() + 1);
    if (count_question(*ends.log, *ends.inbox) != 2) {
      std::fprintf(stderr, "a question was not answered: %s\n", ends.loss.sentence().c_str());
      return false;
    }
    ends.settle();
  }
  return sum != 0;
}

int main() {
  if (!farlane::bench::count_log() || !farlane::bench::count_program()) {
    return 1;
  }
  std::printf("%d\n", farlane::bench::kCountedCalls);
  return 0;
}
