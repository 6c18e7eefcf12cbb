#include "client/core/simulate.h"

#include <utility>

#include "transport/throttle.h"

namespace farlane::client {

std::unique_ptr<transport::Channel> simulate_network(std::unique_ptr<transport::Channel> channel,
                                                     const ClientSettings& settings) {
  if (channel == nullptr || (settings.simulate_rtt_us == 0 && settings.simulate_gbps == 0)) {
    return channel;
  }
  const auto gbps = static_cast<double>(settings.simulate_gbps);
  // Never destroyed, as the session.
  static const auto* const lines = new std::shared_ptr<transport::ThrottleLines>(
      std::make_shared<transport::ThrottleLines>(gbps));
  return transport::make_throttled(std::move(channel),
                                   {.rtt_us = settings.simulate_rtt_us, .gbps = gbps}, *lines);
}

}  // namespace farlane::client
