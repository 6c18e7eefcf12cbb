#include "protocol/testing/typed_message.h"

namespace farlane::protocol::testing {

void add_question_messages(std::vector<MessageType>* types) {
  message::for_each_message(Collect<true>{*types});
}

}  // namespace farlane::protocol::testing
