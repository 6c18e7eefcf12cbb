// Devices of one session and each other's memory.
#include <mutex>

#include "client/core/call.h"
#include "client/core/session.h"

namespace farlane::client {

CUresult peer_access_enable(int device, int peer) {
  Call call;
  if (!call) {
    return call.error;
  }
  if (!can_access_peer(device, peer)) {
    return CUDA_ERROR_PEER_ACCESS_UNSUPPORTED;
  }
  std::lock_guard lock(call->peers_mutex);
  if (!call->peers.emplace(device, peer).second) {
    return CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED;
  }
  call->post(message::PeerAccess{.device = call->device(device)->server_ordinal,
                                 .peer = call->device(peer)->server_ordinal,
                                 .enable = 1});
  return CUDA_SUCCESS;
}

CUresult peer_access_disable(int device, int peer) {
  Call call;
  if (!call) {
    return call.error;
  }
  std::lock_guard lock(call->peers_mutex);
  if (call->peers.erase({device, peer}) == 0) {
    return CUDA_ERROR_PEER_ACCESS_NOT_ENABLED;
  }
  call->post(message::PeerAccess{.device = call->device(device)->server_ordinal,
                                 .peer = call->device(peer)->server_ordinal,
                                 .enable = 0});
  return CUDA_SUCCESS;
}

void peer_access_reset(Session* s, int device) {
  std::vector<std::pair<int, int>> ended;
  {
    std::lock_guard lock(s->peers_mutex);
    for (const auto& pair : s->peers) {
      if (pair.first == device || pair.second == device) {
        ended.push_back(pair);
      }
    }
  }
  for (const auto& [user, peer] : ended) {
    peer_access_disable(user, peer);
  }
}

CUresult peer_attribute(int device, int peer, CUdevice_P2PAttribute attribute, int* value) {
  Call call;
  const Device* from = call.device(device);
  const Device* to = call.device(peer);
  if (to == nullptr) {
    return call.error;
  }
  if (from == to) {
    return CUDA_ERROR_INVALID_DEVICE;
  }
  Answer<message::PeerAttribute> answer;
  const CUresult result =
      call->ask(message::PeerAttribute{.device = from->server_ordinal,
                                       .peer = to->server_ordinal,
                                       .attribute = static_cast<uint32_t>(attribute)},
                &answer);
  if (result == CUDA_SUCCESS) {
    *value = answer.reply.value;
  }
  return result;
}

}  // namespace farlane::client
