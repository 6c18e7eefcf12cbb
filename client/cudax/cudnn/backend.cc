// cuDNN's backend API: descriptors with typed attributes, plans made of them.
//
// What a descriptor is made of adds up to its recipe, so that the same plan built again asks
// nothing: whether it can be finalized, what it holds and which engines suit it is known, and the
// calls are posted. Most descriptors are finalized without asking at all; a fault in one shows when
// the graph is finalized that it is part of.
//
// A variant pack may hold addresses of host memory: values of by-value tensors. The library reads
// them when the plan is executed, so they travel then.
#include <cudnn.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "client/core/api.h"
#include "client/cudax/call.h"
#include "client/cudax/cudnn/ahead.h"
#include "generated/client/cudnn_facts.h"
#include "protocol/cudax_lists.h"
#include "protocol/cudnn_elements.h"
#include "protocol/limits.h"

using farlane::client::cudax::Call;
using farlane::client::cudax::Object;
using farlane::protocol::cudnn_element_bytes;
using farlane::protocol::cudnn_value_bytes;
using namespace farlane::client::cudax::cudnn;
namespace cudax = farlane::client::cudax;
namespace protocol = farlane::protocol;

namespace {

// Object::word of a backend descriptor: its type, and what happened to it.
constexpr uint32_t kTypeMask = 0xffff;
constexpr uint32_t kFinalized = 1 << 16;
constexpr uint32_t kRan = 1 << 17;  // a plan: the library has executed it once

// The part of a recipe that stands for being finalized; attributes are parts by their numbers.
constexpr uint64_t kFinalizedPart = ~uint64_t{0};

cudnnBackendDescriptorType_t type_of(const Object& object) {
  return static_cast<cudnnBackendDescriptorType_t>(object.word & kTypeMask);
}

Object* find(cudnnBackendDescriptor_t descriptor) {
  return cudax::object_find(Call::bits(descriptor), kBackend);
}

// Whether finalizing it can fail in a way that programs try out.
bool is_tried(cudnnBackendDescriptorType_t type) {
  switch (static_cast<int>(type)) {
    case CUDNN_BACKEND_ENGINE_DESCRIPTOR:
    case CUDNN_BACKEND_ENGINECFG_DESCRIPTOR:
    case CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR:
    case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR:
    case CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR:
    case CUDNN_BACKEND_KERNEL_CACHE_DESCRIPTOR:
    case CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR:
      return true;
    default:
      return false;
  }
}

class Hash {
 public:
  void add(uint64_t word) {
    hash_ = (hash_ ^ word) * 0xbf58476d1ce4e5b9u;
    hash_ ^= hash_ >> 31;
  }
  void add(const void* data, size_t bytes) {
    for (size_t at = 0; at < bytes; at += sizeof(uint64_t)) {
      uint64_t word = 0;
      std::memcpy(&word, static_cast<const std::byte*>(data) + at,
                  std::min(sizeof word, bytes - at));
      add(word);
    }
  }
  uint64_t value() const { return hash_; }

 private:
  uint64_t hash_ = 0x9e3779b97f4a7c15u;
};

// Addresses of host memory in variant packs, by the pack's name.
struct HostValue {
  uint64_t index = 0;  // among the pack's pointers
  const void* address = nullptr;
};
class HostValues {
 public:
  void set(uint64_t pack, std::vector<HostValue> values) {
    if (values.empty() && count_ == 0) return;
    const std::lock_guard lock(mutex_);
    if (values.empty()) {
      by_pack_.erase(pack);
    } else {
      by_pack_[pack] = std::move(values);
    }
    count_ = by_pack_.size();
  }
  std::vector<HostValue> get(uint64_t pack) {
    if (count_ == 0) return {};
    const std::lock_guard lock(mutex_);
    const auto found = by_pack_.find(pack);
    return found == by_pack_.end() ? std::vector<HostValue>() : found->second;
  }

 private:
  std::mutex mutex_;
  std::atomic<size_t> count_ = 0;                                 // most programs have none
  std::unordered_map<uint64_t, std::vector<HostValue>> by_pack_;  // guarded by mutex_
};
HostValues& host_values() {
  static HostValues* const made = new HostValues;  // never destroyed: programs end late
  return *made;
}

// The value at an address whose type only the plan knows. As values are aligned to their size, none
// reaches into another page, so what is read in this one is there.
#if defined(__SANITIZE_ADDRESS__)
__attribute__((no_sanitize_address))
#endif
void read_value(const void* address, std::array<std::byte, cudnn_value_bytes>* value) {
  constexpr uintptr_t kPage = 4096;
  const size_t there = kPage - (reinterpret_cast<uintptr_t>(address) & (kPage - 1));
  const auto* from = static_cast<const volatile std::byte*>(address);
  for (size_t i = 0; i < value->size(); ++i) {
    (*value)[i] = i < there ? static_cast<std::byte>(from[i]) : std::byte{0};
  }
}

bool is_host_value(cudnnBackendAttributeName_t name, const void* address) {
  return name == CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS && address != nullptr &&
         !cudax::is_device_address(reinterpret_cast<uint64_t>(address));
}

// Whether so many elements can be of an attribute: they are read before the library sees them.
bool is_sendable(cudnnBackendAttributeType_t type, int64_t count, size_t element_bytes) {
  switch (static_cast<int>(type)) {
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
    case CUDNN_TYPE_VOID_PTR:
      return count <= protocol::cudax_list_max;
    default:
      return count <= static_cast<int64_t>(protocol::limits::cudax_bytes_max / element_bytes);
  }
}

}  // namespace

extern "C" {

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t descriptorType,
                                           cudnnBackendDescriptor_t* descriptor) {
  Call call(kLibrary, k_cudnnBackendCreateDescriptor, "cudnnBackendCreateDescriptor");
  call.value(descriptorType);
  call.made(descriptor, kBackend);
  call.keeps(static_cast<uint32_t>(descriptorType) & kTypeMask);
  return static_cast<cudnnStatus_t>(call.post());
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
  host_values().set(Call::bits(descriptor), {});
  forget(Call::bits(descriptor));
  Call call(kLibrary, k_cudnnBackendDestroyDescriptor, "cudnnBackendDestroyDescriptor");
  call.ended(descriptor, kBackend);
  return static_cast<cudnnStatus_t>(call.post());
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
  Object* object = find(descriptor);
  if (object == nullptr) return CUDNN_STATUS_BAD_PARAM;
  Call call(kLibrary, k_cudnnBackendFinalize, "cudnnBackendFinalize");
  call.object(descriptor, kBackend);
  call.acts();
  auto status =
      static_cast<cudnnStatus_t>(is_tried(type_of(*object)) ? call.ask(true) : call.post());
  if (status == CUDNN_STATUS_SUCCESS) {
    cudax::object_set(object, kFinalizedPart, 1);
    object->word |= kFinalized;
  } else if (const int earlier = cudax::take_status(kLibrary.number); earlier != 0) {
    // What was wrong with it was said before this call's answer.
    status = static_cast<cudnnStatus_t>(earlier);
  }
  return status;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor,
                                       cudnnBackendAttributeName_t attributeName,
                                       cudnnBackendAttributeType_t attributeType,
                                       int64_t elementCount, const void* arrayOfElements) {
  Object* object = find(descriptor);
  const size_t bytes = cudnn_element_bytes(attributeType);
  if (object == nullptr || elementCount < 0) return CUDNN_STATUS_BAD_PARAM;
  if (arrayOfElements == nullptr && elementCount != 0) return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
  if (bytes == 0) return CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE;
  if (!is_sendable(attributeType, elementCount, bytes)) return CUDNN_STATUS_BAD_PARAM;
  const auto count = static_cast<size_t>(elementCount);

  Call call(kLibrary, k_cudnnBackendSetAttribute, "cudnnBackendSetAttribute");
  call.object(descriptor, kBackend);
  call.idle();
  call.value(attributeName);
  call.value(attributeType);
  call.value(elementCount);
  Hash said;
  said.add(static_cast<uint64_t>(attributeType));
  said.add(count);
  std::vector<HostValue> values;
  switch (static_cast<int>(attributeType)) {
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR: {
      const uint16_t kind = attributeType == CUDNN_TYPE_HANDLE ? kHandle : kBackend;
      void* const* elements = static_cast<void* const*>(arrayOfElements);
      call.objects(elements, count, kind);
      for (size_t i = 0; i < count; ++i) {
        Object* element = cudax::object_find(Call::bits(elements[i]), kind);
        said.add(element == nullptr ? 0 : cudax::object_recipe(element));
      }
      break;
    }
    case CUDNN_TYPE_VOID_PTR: {
      const auto* addresses = static_cast<void* const*>(arrayOfElements);
      call.value(static_cast<uint64_t>(count));
      for (size_t i = 0; i < count; ++i) {
        if (is_host_value(attributeName, addresses[i])) {
          values.push_back({i, addresses[i]});
          call.address(nullptr);
        } else {
          call.address(addresses[i]);
        }
        said.add(reinterpret_cast<uint64_t>(addresses[i]));
      }
      call.value(static_cast<uint64_t>(values.size()));
      for (const HostValue& value : values) call.value(value.index);
      break;
    }
    default:
      call.in(arrayOfElements, count * bytes);
      said.add(arrayOfElements, count * bytes);
      break;
  }
  const auto status = static_cast<cudnnStatus_t>(call.post());
  if (status != CUDNN_STATUS_SUCCESS) return status;
  if (type_of(*object) != CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR) {
    cudax::object_set(object, static_cast<uint64_t>(attributeName) + 1, said.value());
  } else if (attributeName == CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS) {
    host_values().set(object->name, std::move(values));
  }
  return status;
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t const descriptor,
                                       cudnnBackendAttributeName_t attributeName,
                                       cudnnBackendAttributeType_t attributeType,
                                       int64_t requestedElementCount, int64_t* elementCount,
                                       void* arrayOfElements) {
  Object* object = find(descriptor);
  const size_t bytes = cudnn_element_bytes(attributeType);
  if (object == nullptr || requestedElementCount < 0) return CUDNN_STATUS_BAD_PARAM;
  if (bytes == 0) return CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE;
  const size_t count = arrayOfElements == nullptr ? 0 : static_cast<size_t>(requestedElementCount);
  if (!is_sendable(attributeType, static_cast<int64_t>(count), bytes)) {
    return CUDNN_STATUS_NOT_SUPPORTED;
  }

  const Attribute attribute = {attributeName, attributeType, requestedElementCount,
                               arrayOfElements != nullptr};
  std::span<const cudnnBackendDescriptor_t> targets;
  if (attributeType == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    targets = {static_cast<const cudnnBackendDescriptor_t*>(arrayOfElements), count};
  }
  const Object* target = targets.empty() ? nullptr : find(targets[0]);
  const auto target_type = target == nullptr ? cudnnBackendDescriptorType_t{} : type_of(*target);
  Question question(descriptor, attribute, targets);
  // A descriptor that is not finalized may say something else the next time; names and addresses
  // mean what they mean.
  const bool stays = (object->word & kFinalized) != 0 && attributeType != CUDNN_TYPE_HANDLE &&
                     attributeType != CUDNN_TYPE_VOID_PTR;
  const auto status = static_cast<cudnnStatus_t>(
      question.call.ask(stays, [&] { ask_ahead(*object, attribute, target_type); }));
  if (status != CUDNN_STATUS_SUCCESS) return status;
  const int64_t found = question.found;
  if (elementCount != nullptr) *elementCount = found;
  const size_t written = std::min(count, static_cast<size_t>(std::max<int64_t>(found, 0)));
  if (arrayOfElements != nullptr && !question.elements.empty()) {
    std::memcpy(arrayOfElements, question.elements.data(), written * bytes);
  }
  for (const cudnnBackendDescriptor_t filled : targets) {
    if (Object* one = find(filled); one != nullptr) one->word |= kFinalized;
  }
  if (stays && !targets.empty() && written != 0 && farlane::client::cudax::asks_ahead()) {
    note_filled(object->name, attribute, targets.first(written), target_type);
  }
  if (attributeName == CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS) {
    for (const HostValue& value : host_values().get(object->name)) {
      if (value.index < written) {
        static_cast<const void**>(arrayOfElements)[value.index] = value.address;
      }
    }
  }
  return status;
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t executionPlan,
                                  cudnnBackendDescriptor_t variantPack) {
  Object* plan = find(executionPlan);
  if (plan == nullptr || variantPack == nullptr) return CUDNN_STATUS_BAD_PARAM;
  const std::vector<HostValue> values = host_values().get(Call::bits(variantPack));
  Call call(kLibrary, k_cudnnBackendExecute, "cudnnBackendExecute");
  call.object(handle, kHandle);
  call.object(executionPlan, kBackend);
  call.object(variantPack, kBackend);
  call.value(static_cast<uint64_t>(values.size()));
  for (const HostValue& value : values) {
    std::array<std::byte, cudnn_value_bytes> bytes{};
    read_value(value.address, &bytes);
    call.value(value.index);
    call.value(bytes);
  }
  // Programs try plans out: whether one runs at all is asked once.
  if ((plan->word & kRan) != 0) return static_cast<cudnnStatus_t>(call.post());
  call.works();
  const auto status = static_cast<cudnnStatus_t>(call.ask(false));
  if (status == CUDNN_STATUS_SUCCESS) plan->word |= kRan;
  return status;
}

}  // extern "C"
