// A slower network, for measurements: settings network.simulate_rtt_us and network.simulate_gbps.
#pragma once

#include <memory>

#include "conf/client_settings.h"
#include "transport/channel.h"

namespace farlane::client {

// The channel itself (also null) when nothing is to be simulated. All channels of the process share
// one line in each direction, as they would share a network card.
std::unique_ptr<transport::Channel> simulate_network(std::unique_ptr<transport::Channel> channel,
                                                     const ClientSettings& settings);

}  // namespace farlane::client
