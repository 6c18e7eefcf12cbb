// A message without its type, so that what tests do with every message is compiled once and not
// once for each: assertions are long, and there are some 180 messages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "generated/protocol/messages.h"
#include "protocol/fault.h"
#include "protocol/record.h"
#include "protocol/testing/filler.h"

namespace farlane::protocol::testing {

class AnyMessage {
 public:
  virtual ~AnyMessage() = default;
  virtual void fill(Filler& filler) = 0;
  // What a reply begins with; false for what is not a reply.
  virtual bool set_prefix(int32_t result, uint64_t executed) = 0;
  virtual std::vector<std::byte> encoded(uint64_t sequence, uint8_t lane) const = 0;
  virtual bool decode(const Record& record, Fault& fault) = 0;
  // The other is of the same type.
  virtual bool equals(const AnyMessage& other) const = 0;
  virtual std::string describe() const = 0;
};

struct MessageType {
  std::string name;
  uint16_t op = 0;
  bool is_reply = false;
  std::unique_ptr<AnyMessage> (*make)() = nullptr;  // with its default values
};

void add_one_way_messages(std::vector<MessageType>* types);
void add_question_messages(std::vector<MessageType>* types);

// Every message and reply of wire.api.
inline const std::vector<MessageType>& message_types() {
  static const std::vector<MessageType> types = [] {
    std::vector<MessageType> made;
    add_one_way_messages(&made);
    add_question_messages(&made);
    return made;
  }();
  return types;
}

}  // namespace farlane::protocol::testing
