// What the transport's tests share: pairs of channels of every kind, a sink that remembers, and
// loops that pump until something happens or a deadline passes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "transport/channel.h"
#include "transport/fault.h"

namespace farlane::transport::testing {

enum class Transport : uint8_t { kLoopback, kTcp, kShm };
enum class Decoration : uint8_t { kNone, kFault, kTrace, kThrottle };

struct Variant {
  Transport transport = Transport::kLoopback;
  Decoration decoration = Decoration::kNone;
};
std::string name_of(const Variant& variant);
std::vector<Variant> all_variants();

struct Pair {
  std::unique_ptr<Channel> a;
  std::unique_ptr<Channel> b;
};
Pair make_bare_pair(Transport transport);
// Both ends decorated. The seed of the faults is in FARLANE_TEST_SEED, or 1.
Pair make_pair(const Variant& variant);
uint64_t test_seed();

// Far enough for a slow, shared machine under a sanitizer; reached only when something is broken.
Deadline patience();

std::vector<std::byte> bytes_of(const std::string& text);
std::string text_of(Bytes bytes);
// `count` bytes that differ for every `salt`.
std::vector<std::byte> pattern(size_t count, uint64_t salt);

// Remembers what was delivered; gives each body memory of its own, or none while `stalled`.
class Collector : public FrameSink {
 public:
  struct Received {
    std::vector<std::byte> head;
    std::vector<std::byte> body;
  };
  bool stalled = false;
  int places_refused = 0;
  std::vector<Received> frames;

  MutableBytes place(Bytes head, uint32_t body_bytes) override;
  void deliver(Bytes head, MutableBytes body) override;

 private:
  std::vector<std::byte> place_;
  std::vector<std::byte> placed_head_;
};

// kSent or kGone; kBusy only when patience ran out.
SendStatus send_frame(Channel& channel, Bytes head, std::span<const Bytes> body = {});
SendStatus send_text(Channel& channel, const std::string& head);
// Until drained() or kGone.
SendStatus drain(Channel& channel);
// Until something other than kNothing; kNothing only when patience ran out.
ReceiveStatus receive_frame(Channel& channel, FrameSink& sink);
// Pumps both ends by hand until `to` delivered a frame or is gone.
ReceiveStatus pump(Channel& from, Channel& to, FrameSink& sink);
// Receives until kGone; the number of frames.
size_t receive_to_the_end(Channel& channel, FrameSink& sink);
// Sends frames with a body of 1 MiB until the last one is stuck; how many were taken, that one
// included. Their heads are "0", "1", … The bodies lie in `memory`.
size_t send_until_stuck(Channel& channel, const std::vector<std::byte>& memory);

}  // namespace farlane::transport::testing
