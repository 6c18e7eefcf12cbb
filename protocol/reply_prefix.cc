#include <algorithm>

#include "generated/protocol/messages.h"
#include "protocol/reader.h"

namespace farlane::protocol {

namespace {
struct ReplyPrefixFixed {
  int32_t result;
  uint32_t pad;
  uint64_t executed;
};
static_assert(sizeof(ReplyPrefixFixed) == 16);
}  // namespace

bool decode(const Record& record, ReplyPrefix& prefix, Fault& fault) {
  if (!record.is_reply()) {
    fault = {FaultReason::kWrongDirection, "reply", record.header.op, 0};
    return false;
  }
  Reader in(record.payload.first(std::min(record.payload.size(), sizeof(ReplyPrefixFixed))));
  ReplyPrefixFixed fixed;
  in.fixed(fixed, "reply prefix");
  prefix.result = fixed.result;
  prefix.executed = fixed.executed;
  return in.finish(fault, "reply prefix");
}

}  // namespace farlane::protocol
