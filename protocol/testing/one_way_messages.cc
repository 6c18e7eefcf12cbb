#include "protocol/testing/typed_message.h"

namespace farlane::protocol::testing {

void add_one_way_messages(std::vector<MessageType>* types) {
  message::for_each_message(Collect<false>{*types});
}

}  // namespace farlane::protocol::testing
