#include "client/core/stream_attributes.h"

#include <algorithm>
#include <cstring>

#include "client/core/call.h"
#include "client/core/session.h"

namespace farlane::client {
namespace {

constexpr CUstreamAttrID kSettable[] = {
    CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW, CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY,
    CU_LAUNCH_ATTRIBUTE_PRIORITY, CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP,
    CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN};

bool is_known(CUstreamAttrID attribute) {
  return std::find(std::begin(kSettable), std::end(kSettable), attribute) != std::end(kSettable);
}

CUresult check(const Device& device, CUstreamAttrID attribute, const CUstreamAttrValue& value) {
  bool good = true;
  if (attribute == CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW) {
    const CUaccessPolicyWindow& window = value.accessPolicyWindow;
    good = window.hitRatio >= 0 && window.hitRatio <= 1 &&
           window.missProp != CU_ACCESS_PROPERTY_PERSISTING &&
           window.num_bytes <=
               static_cast<size_t>(std::max(
                   0, device.attribute(CU_DEVICE_ATTRIBUTE_MAX_ACCESS_POLICY_WINDOW_SIZE)));
  } else if (attribute == CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY) {
    good =
        value.syncPolicy >= CU_SYNC_POLICY_AUTO && value.syncPolicy <= CU_SYNC_POLICY_BLOCKING_SYNC;
  } else if (attribute == CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN) {
    good = value.memSyncDomain == CU_LAUNCH_MEM_SYNC_DOMAIN_DEFAULT ||
           value.memSyncDomain == CU_LAUNCH_MEM_SYNC_DOMAIN_REMOTE;
  }
  return good ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

}  // namespace

CUresult stream_get_attribute(CUstream stream, CUstreamAttrID attribute, CUstreamAttrValue* value) {
  Call call;
  const Stream* found = call.stream(stream);
  if (found == nullptr) {
    return call.error;
  }
  if (!is_known(attribute)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  std::memset(value, 0, sizeof *value);
  if (call->stream_attributes.get(found->id.bits(), attribute, value)) {
    return CUDA_SUCCESS;
  }
  if (attribute == CU_LAUNCH_ATTRIBUTE_PRIORITY) {
    value->priority = found->priority;
  } else if (attribute == CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY) {
    value->syncPolicy = CU_SYNC_POLICY_AUTO;
  } else if (attribute == CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP) {
    value->memSyncDomainMap.remote = 1;
  }
  return CUDA_SUCCESS;
}

CUresult stream_set_attribute(CUstream stream, CUstreamAttrID attribute,
                              const CUstreamAttrValue& value) {
  Call call;
  Stream* found = call.stream(stream);
  if (found == nullptr) {
    return call.error;
  }
  if (!is_known(attribute)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (const CUresult wrong = check(*found->device, attribute, value); wrong != CUDA_SUCCESS) {
    return wrong;
  }
  CUstreamAttrValue kept = value;
  if (attribute == CU_LAUNCH_ATTRIBUTE_PRIORITY) {
    const DeviceFacts& facts = found->device->facts;
    kept.priority =
        std::clamp(value.priority, facts.stream_priority_greatest,
                   std::max(facts.stream_priority_least, facts.stream_priority_greatest));
    found->priority = kept.priority;
  }
  call->stream_attributes.set(found->id.bits(), attribute, kept);
  // How a thread waits is the client's own affair.
  if (attribute != CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY) {
    message::StreamSet command{.stream = found->id, .id = attribute, .value = {}};
    static_assert(sizeof command.value == sizeof kept);
    std::memcpy(command.value.data(), &kept, sizeof kept);
    call->post(command);
  }
  return CUDA_SUCCESS;
}

CUresult stream_copy_attributes(CUstream to, CUstream from) {
  for (const CUstreamAttrID attribute : kSettable) {
    CUstreamAttrValue value;
    CUstreamAttrValue old;
    CUresult result = stream_get_attribute(from, attribute, &value);
    if (result == CUDA_SUCCESS) {
      result = stream_get_attribute(to, attribute, &old);
    }
    if (result == CUDA_SUCCESS && std::memcmp(&value, &old, sizeof value) != 0) {
      result = stream_set_attribute(to, attribute, value);
    }
    if (result != CUDA_SUCCESS) {
      return result;
    }
  }
  return CUDA_SUCCESS;
}

}  // namespace farlane::client
