#include "client/core/costs.h"

#include <algorithm>
#include <string_view>

#include "client/core/call.h"
#include "client/core/session.h"
#include "client/core/stats.h"
#include "protocol/limits.h"

namespace farlane::client {
namespace {

static_assert(kCommandKindsMax == protocol::limits::command_kinds_max);

uint64_t wait_ns(const stats::Summary& summary, std::string_view reason) {
  for (const stats::Row& row : summary.wait_rows) {
    if (row.name == reason) {
      return row.total_ns;
    }
  }
  return 0;
}

}  // namespace

extern "C" FARLANE_CORE_API bool farlane_costs(Costs* costs) {
  *costs = {};
  Call call;
  Answer<message::WorkerTimes> answer;
  if (!call || call->ask(message::WorkerTimes{}, &answer) != CUDA_SUCCESS || answer.reply.on == 0) {
    return false;
  }
  const stats::Summary summary = stats::gather(*call.session);
  costs->credit_wait_ns = wait_ns(summary, "credit to send more commands");
  costs->network_wait_ns = wait_ns(summary, "the network to take more data");
  costs->frames = answer.reply.frames;
  costs->receive_ns = answer.reply.receive_ns;
  for (const message::CommandTimes& row : answer.reply.times) {
    const char* name = protocol::op_name(static_cast<uint16_t>(row.op));
    costs->commands[costs->kinds++] = {name == nullptr ? "unknown" : name,
                                       row.count,
                                       row.decode_ns,
                                       row.driver_ns,
                                       row.wait_ns,
                                       row.reply_ns};
  }
  return true;
}

}  // namespace farlane::client
