// How AnyMessage is made of the messages of some kinds: for one_way_messages.cc and
// question_messages.cc only, which share the work of compiling it.
#pragma once

#include "generated/protocol/testing.h"
#include "protocol/testing/any_message.h"

namespace farlane::protocol::testing {

template <class M>
class Typed final : public AnyMessage {
 public:
  void fill(Filler& filler) override { message::fill(filler, message_); }
  bool set_prefix([[maybe_unused]] int32_t result, [[maybe_unused]] uint64_t executed) override {
    if constexpr (M::kKind == MessageKind::kReply) {
      message_.result = result;
      message_.executed = executed;
    }
    return M::kKind == MessageKind::kReply;
  }
  std::vector<std::byte> encoded(uint64_t sequence, uint8_t lane) const override {
    std::vector<std::byte> bytes(message::encoded_bytes(message_));
    message::encode(bytes, message_, sequence, lane);
    return bytes;
  }
  bool decode(const Record& record, Fault& fault) override {
    return message::decode(record, message_, fault);
  }
  bool equals(const AnyMessage& other) const override {
    return message::equal(message_, static_cast<const Typed&>(other).message_);
  }
  std::string describe() const override { return message::describe(message_); }

 private:
  M message_;
};

// Asks and replies, or posts and tells.
template <bool kQuestions>
struct Collect {
  std::vector<MessageType>& types;

  template <class M>
  void visit() {
    constexpr bool kIsQuestion = M::kKind == MessageKind::kAsk || M::kKind == MessageKind::kReply;
    if constexpr (kIsQuestion == kQuestions) {
      types.push_back(
          {M::kName, static_cast<uint16_t>(M::kOp), M::kKind == MessageKind::kReply,
           []() -> std::unique_ptr<AnyMessage> { return std::make_unique<Typed<M>>(); }});
    }
  }
};

}  // namespace farlane::protocol::testing
