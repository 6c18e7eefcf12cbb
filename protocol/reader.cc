#include "protocol/reader.h"

namespace farlane::protocol {

void Reader::fail(FaultReason reason, const char* name, uint64_t value, uint64_t limit) {
  if (!fault_) fault_ = {reason, name, value, limit};
  left_ = 0;
}

}  // namespace farlane::protocol
