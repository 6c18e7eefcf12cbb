// What is wrong with arguments of NCCL's is found here, at the call; why is what ncclGetLastError
// tells.
#pragma once

#include <nccl.h>

#include "client/cudax/nccl/group_call.h"
#include "generated/client/nccl_facts.h"

namespace farlane::client::cudax::nccl {

inline bool said(bool is_right, const char* what) {
  if (!is_right) note_text(what);
  return is_right;
}

inline bool is_type(ncclDataType_t type) {
  return said(type >= 0 && type < ncclNumTypes, "the data type is none of NCCL's");
}

inline bool is_operator(ncclRedOp_t op) {
  return said(op >= 0, "the reduction operator is none");
}

// A root or peer.
inline bool is_rank(ncclComm_t comm, int rank) {
  const Object* object = object_find(Call::bits(comm), kComm);
  if (object == nullptr) return true;  // that is told elsewhere
  const int32_t ranks = object->numbers[kCommRanks];
  return said(rank >= 0 && (ranks == kCommUnknown || rank < ranks),
              "the root or peer is no rank of the communicator");
}

inline bool is_buffer(const void* buffer, size_t count) {
  return said(
      count == 0 || buffer == nullptr || is_device_address(reinterpret_cast<uint64_t>(buffer)),
      "a buffer is not in device memory; host memory is not reached from the server");
}

}  // namespace farlane::client::cudax::nccl
