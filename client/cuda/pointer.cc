// cuPointerGetAttribute: what an address is. Answered here, without the server.
#include <cstring>

#include "client/core/memory_pool.h"
#include "client/cuda/driver.h"

using namespace farlane::cuda;
using farlane::client::PointerFacts;

namespace {

// Truth values are given as ints: that many bytes are what CUDA writes.
template <typename Value>
CUresult give(void* data, Value value) {
  std::memcpy(data, &value, sizeof(value));
  return CUDA_SUCCESS;
}

// What physical memory was made for; nothing else can be exported.
unsigned long long allowed_handle_types(const PointerFacts& facts, CUdeviceptr address) {
  CUmemGenericAllocationHandle memory = 0;
  if (!facts.mapped_by_program || core::memory_retain(address, &memory) != CUDA_SUCCESS) {
    return CU_MEM_HANDLE_TYPE_NONE;
  }
  CUmemAllocationProp properties{};
  (void)core::memory_properties(memory, &properties);
  (void)core::memory_release(memory);
  return static_cast<unsigned long long>(properties.requestedHandleTypes);
}

// The answer for memory that we know. CUDA_ERROR_INVALID_VALUE where it has no such attribute.
CUresult answer(const PointerFacts& facts, CUpointer_attribute attribute, CUdeviceptr address,
                void* data) {
  const bool on_device = facts.kind == PointerFacts::Kind::kDevice;
  switch (static_cast<int>(attribute)) {
    case CU_POINTER_ATTRIBUTE_CONTEXT: {
      CUcontext context = core::context_current();
      if (on_device && !facts.stream_ordered && !facts.mapped_by_program) {
        if (const CUresult result = core::context_primary(facts.device, &context);
            result != CUDA_SUCCESS) {
          return result;
        }
      }
      return give(data, on_device && (facts.stream_ordered || facts.mapped_by_program) ? CUcontext()
                                                                                       : context);
    }
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
      return give<unsigned>(data, on_device ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST);
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
      // A remote device cannot reach this host's memory.
      return on_device ? give(data, address) : CUDA_ERROR_INVALID_VALUE;
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
      (void)give(data, on_device ? CUdeviceptr{0} : address);
      return on_device ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
    case CU_POINTER_ATTRIBUTE_IS_MANAGED:
    case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
    case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
    case CU_POINTER_ATTRIBUTE_IS_HW_DECOMPRESS_CAPABLE:
      return give<int>(data, 0);
    case CU_POINTER_ATTRIBUTE_BUFFER_ID:
    case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID:
      return give<unsigned long long>(data, facts.id);
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
      return give<int>(data, on_device ? facts.device : core::current_device());
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
    case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR:
      return give<CUdeviceptr>(data, facts.base);
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
    case CU_POINTER_ATTRIBUTE_MAPPING_SIZE:
      return give<size_t>(data, facts.bytes);
    case CU_POINTER_ATTRIBUTE_MAPPED:
      return give<int>(data, 1);
    case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
      return give(data, allowed_handle_types(facts, address));
    case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
      return give<unsigned>(data, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
    case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
      return give(data, farlane::client::memory_pool::pool_of(facts.base));
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

// What cuPointerGetAttributes writes where an attribute has no answer.
void give_nothing(CUpointer_attribute attribute, CUdeviceptr address, void* data) {
  switch (static_cast<int>(attribute)) {
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
      // With unified addressing, ordinary memory has its own address as the host's.
      (void)give(data, core::pointer_facts(address).kind == PointerFacts::Kind::kDevice
                           ? CUdeviceptr{0}
                           : address);
      return;
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
      return;  // left as they are
    case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
    case CU_POINTER_ATTRIBUTE_IS_MANAGED:
    case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
    case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
    case CU_POINTER_ATTRIBUTE_IS_HW_DECOMPRESS_CAPABLE:
    case CU_POINTER_ATTRIBUTE_MAPPED:
      (void)give<int>(data, 0);
      return;
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
    case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
      (void)give<unsigned>(data, 0);
      return;
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
      (void)give<int>(data, -2);  // CUDA's "no device"
      return;
    default:
      (void)give<unsigned long long>(data, 0);
      return;
  }
}

bool is_known(CUpointer_attribute attribute) {
  return attribute >= CU_POINTER_ATTRIBUTE_CONTEXT &&
         attribute <= CU_POINTER_ATTRIBUTE_IS_HW_DECOMPRESS_CAPABLE &&
         attribute != CU_POINTER_ATTRIBUTE_P2P_TOKENS;
}

}  // namespace

CUresult cuPointerGetAttribute(void* data, CUpointer_attribute attribute, CUdeviceptr ptr) {
  return enter([&]() -> CUresult {
    if (data == nullptr || !is_known(attribute)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const PointerFacts facts = core::pointer_facts(ptr);
    if (facts.kind == PointerFacts::Kind::kUnknown) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    return answer(facts, attribute, ptr, data);
  });
}

CUresult cuPointerGetAttributes(unsigned int numAttributes, CUpointer_attribute* attributes,
                                void** data, CUdeviceptr ptr) {
  return enter([&]() -> CUresult {
    if (numAttributes == 0 || attributes == nullptr || data == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const PointerFacts facts = core::pointer_facts(ptr);
    for (unsigned i = 0; i < numAttributes; i++) {
      if (data[i] == nullptr || !is_known(attributes[i])) {
        return CUDA_ERROR_INVALID_VALUE;
      }
      if (facts.kind == PointerFacts::Kind::kUnknown ||
          answer(facts, attributes[i], ptr, data[i]) != CUDA_SUCCESS) {
        give_nothing(attributes[i], ptr, data[i]);
      }
    }
    return CUDA_SUCCESS;
  });
}
