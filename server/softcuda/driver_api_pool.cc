// Stream-ordered allocation. An allocation is made when it is asked for; a free happens when the
// stream gets there. Pools differ only in their books: memory goes back to the device at once.
#include <cstring>
#include <mutex>

#include "server/softcuda/driver_call.h"
#include "server/softcuda/driver_device.h"
#include "server/softcuda/driver_graph.h"
#include "server/softcuda/driver_stream.h"

using namespace farlane::softcuda;

namespace {

std::shared_ptr<PoolObject> make_pool(CUdevice device) {
  auto pool = std::make_shared<PoolObject>();
  pool->device = device;
  pool->handle = Driver::instance().pools.add(pool);
  return pool;
}

// A device's, made when it is first asked for.
DevicePools pools_of(CUdevice device) {
  Driver& driver = Driver::instance();
  const std::lock_guard lock(driver.pool_mutex);
  DevicePools& pools = driver.device_pools[static_cast<size_t>(device)];
  if (pools.standard == nullptr) {
    pools.standard = pools.current = make_pool(device);
  }
  return pools;
}

void count_used(PoolObject& pool, uint64_t bytes) {
  const uint64_t used = pool.used_bytes.fetch_add(bytes) + bytes;
  uint64_t high = pool.used_bytes_high.load();
  while (used > high && !pool.used_bytes_high.compare_exchange_weak(high, used)) {
  }
}

CUresult allocate(CUdeviceptr* pointer, size_t bytes, const std::shared_ptr<PoolObject>& pool,
                  ContextPtr context, CUstream stream_handle) {
  const auto stream = find_any_stream(&context, stream_handle);
  if (stream == nullptr) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  if (pointer == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (bytes == 0) {
    *pointer = 0;
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (const auto refused = refuse_captured(context, *stream)) {
    return *refused;  // memory nodes do not exist here
  }
  DeviceMemory& memory = DeviceMemory::instance();
  const auto pool_handle = reinterpret_cast<uint64_t>(pool->handle);
  uint64_t address = 0;
  const auto take = [&] {
    return memory.allocate(pool->device, bytes, MemoryRange::Kind::kPool, context->id, pool_handle,
                           &address);
  };
  CUresult result = take();
  if (result == CUDA_ERROR_OUT_OF_MEMORY) {
    // Frees that streams have not reached yet may make room.
    synchronize_context(*context);
    result = take();
  }
  if (result == CUDA_SUCCESS) {
    count_used(*pool, bytes);
    *pointer = address;
  }
  return result;
}

}  // namespace

extern "C" {

CUresult cuMemAllocFromPoolAsync(CUdeviceptr* pointer, size_t bytes, CUmemoryPool handle,
                                 CUstream stream) {
  return in_context([&](const ContextPtr& context) -> CUresult {
    const auto pool = Driver::instance().pools.find(handle);
    return pool == nullptr ? CUDA_ERROR_INVALID_VALUE
                           : allocate(pointer, bytes, pool, context, stream);
  });
}

CUresult cuMemAllocAsync(CUdeviceptr* pointer, size_t bytes, CUstream stream) {
  return in_context([&](const ContextPtr& context) {
    return allocate(pointer, bytes, pools_of(context->device).current, context, stream);
  });
}

CUresult cuMemFreeAsync(CUdeviceptr pointer, CUstream stream_handle) {
  return in_context([&](ContextPtr context) -> CUresult {
    const auto stream = find_any_stream(&context, stream_handle);
    if (stream == nullptr) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    if (pointer == 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (const auto refused = refuse_captured(context, *stream)) {
      return *refused;  // memory nodes do not exist here
    }
    DeviceMemory& memory = DeviceMemory::instance();
    const auto range = memory.lookup(pointer);
    if (const CUresult result = memory.begin_release(pointer); result != CUDA_SUCCESS) {
      return result;
    }
    enqueue(context, stream, Op::Kind::kDevice, [pointer, range = *range] {
      DeviceMemory::instance().release(pointer, range.kind);
      const auto pool =
          Driver::instance().pools.find(reinterpret_cast<CUmemoryPool>(range.pool_handle));
      if (pool != nullptr) {
        pool->used_bytes.fetch_sub(range.bytes);
      }
    });
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetDefaultMemPool(CUmemoryPool* pool, CUdevice device) {
  return on_device(device, [&]() -> CUresult {
    if (pool == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *pool = pools_of(device).standard->handle;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetMemPool(CUmemoryPool* pool, CUdevice device) {
  return on_device(device, [&]() -> CUresult {
    if (pool == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *pool = pools_of(device).current->handle;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceSetMemPool(CUdevice device, CUmemoryPool handle) {
  return on_device(device, [&]() -> CUresult {
    pools_of(device);
    Driver& driver = Driver::instance();
    auto pool = driver.pools.find(handle);
    if (pool == nullptr || pool->device != device) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const std::lock_guard lock(driver.pool_mutex);
    driver.device_pools[static_cast<size_t>(device)].current = std::move(pool);
    return CUDA_SUCCESS;
  });
}

CUresult cuMemPoolCreate(CUmemoryPool* handle, const CUmemPoolProps* props) {
  return initialized([&]() -> CUresult {
    if (handle == nullptr || props == nullptr ||
        props->allocType != CU_MEM_ALLOCATION_TYPE_PINNED) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (props->handleTypes != CU_MEM_HANDLE_TYPE_NONE ||
        props->location.type != CU_MEM_LOCATION_TYPE_DEVICE) {
      return CUDA_ERROR_NOT_SUPPORTED;
    }
    if (!is_our_device(props->location.id)) {
      return CUDA_ERROR_INVALID_DEVICE;
    }
    *handle = make_pool(props->location.id)->handle;
    return CUDA_SUCCESS;
  });
}

CUresult cuMemPoolDestroy(CUmemoryPool handle) {
  return initialized([&]() -> CUresult {
    Driver& driver = Driver::instance();
    const auto pool = driver.pools.find(handle);
    if (pool == nullptr || pools_of(pool->device).standard == pool) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    driver.pools.take(handle);
    const std::lock_guard lock(driver.pool_mutex);
    DevicePools& pools = driver.device_pools[static_cast<size_t>(pool->device)];
    if (pools.current == pool) {
      pools.current = pools.standard;
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuMemPoolTrimTo(CUmemoryPool handle, size_t) {
  return initialized([&]() -> CUresult {
    return Driver::instance().pools.find(handle) == nullptr ? CUDA_ERROR_INVALID_VALUE
                                                            : CUDA_SUCCESS;
  });
}

CUresult cuMemPoolSetAttribute(CUmemoryPool handle, CUmemPool_attribute attribute, void* value) {
  return initialized([&]() -> CUresult {
    const auto pool = Driver::instance().pools.find(handle);
    if (pool == nullptr || value == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (attribute >= CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES &&
        attribute <= CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES) {
      std::memcpy(&pool->reuse[attribute - 1], value, sizeof(int));
      return CUDA_SUCCESS;
    }
    uint64_t number = 0;
    std::memcpy(&number, value, sizeof number);
    if (attribute == CU_MEMPOOL_ATTR_RELEASE_THRESHOLD) {
      pool->release_threshold_bytes = number;
      return CUDA_SUCCESS;
    }
    if ((attribute == CU_MEMPOOL_ATTR_USED_MEM_HIGH ||
         attribute == CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH) &&
        number == 0) {
      pool->used_bytes_high.store(pool->used_bytes.load());
      return CUDA_SUCCESS;
    }
    return CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuMemPoolGetAttribute(CUmemoryPool handle, CUmemPool_attribute attribute, void* value) {
  return initialized([&]() -> CUresult {
    const auto pool = Driver::instance().pools.find(handle);
    if (pool == nullptr || value == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (attribute >= CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES &&
        attribute <= CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES) {
      std::memcpy(value, &pool->reuse[attribute - 1], sizeof(int));
      return CUDA_SUCCESS;
    }
    uint64_t number = 0;
    if (attribute == CU_MEMPOOL_ATTR_RELEASE_THRESHOLD) {
      number = pool->release_threshold_bytes;
    } else if (attribute == CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT ||
               attribute == CU_MEMPOOL_ATTR_USED_MEM_CURRENT) {
      number = pool->used_bytes.load();
    } else if (attribute == CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH ||
               attribute == CU_MEMPOOL_ATTR_USED_MEM_HIGH) {
      number = pool->used_bytes_high.load();
    } else {
      return CUDA_ERROR_INVALID_VALUE;
    }
    std::memcpy(value, &number, sizeof number);
    return CUDA_SUCCESS;
  });
}

CUresult cuMemPoolSetAccess(CUmemoryPool handle, const CUmemAccessDesc* map, size_t count) {
  return initialized([&]() -> CUresult {
    const auto pool = Driver::instance().pools.find(handle);
    if (pool == nullptr || (map == nullptr && count > 0)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    uint32_t access = pool->access.load();
    for (size_t i = 0; i < count; ++i) {
      const CUmemLocation& location = map[i].location;
      if (location.type != CU_MEM_LOCATION_TYPE_DEVICE || !is_our_device(location.id)) {
        return CUDA_ERROR_INVALID_DEVICE;
      }
      const uint32_t bit = uint32_t{1} << location.id;
      if (map[i].flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE) {
        access |= bit;
      } else if (map[i].flags == CU_MEM_ACCESS_FLAGS_PROT_NONE && location.id != pool->device) {
        access &= ~bit;
      } else {
        return CUDA_ERROR_INVALID_VALUE;  // the device the pool is on always has full access
      }
    }
    pool->access.store(access);
    return CUDA_SUCCESS;
  });
}

CUresult cuMemPoolGetAccess(CUmemAccess_flags* flags, CUmemoryPool handle,
                            CUmemLocation* location) {
  return initialized([&]() -> CUresult {
    const auto pool = Driver::instance().pools.find(handle);
    if (flags == nullptr || location == nullptr || pool == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (location->type != CU_MEM_LOCATION_TYPE_DEVICE || !is_our_device(location->id)) {
      return CUDA_ERROR_INVALID_DEVICE;
    }
    *flags = location->id == pool->device || (pool->access.load() >> location->id & 1) != 0
                 ? CU_MEM_ACCESS_FLAGS_PROT_READWRITE
                 : CU_MEM_ACCESS_FLAGS_PROT_NONE;
    return CUDA_SUCCESS;
  });
}

}  // extern "C"
