// A libcudnn.so.9 for machines without a GPU: the few functions that tests call, on the software
// device. Its backend knows one plan, y = x * s for four floats, s a by-value tensor; of the two
// engines that its heuristic offers the first cannot do it. A heuristic that was told a count
// offers as many; engine n has the number 100 + n, n % 3 notes, and number 7 tells no notes.
#include <cuda.h>
#include <cudnn.h>
#include <dlfcn.h>

#include <cstring>
#include <map>
#include <set>
#include <vector>

struct cudnnContext {
  cudaStream_t stream = nullptr;
};
struct cudnnTensorStruct {
  cudnnDataType_t type = CUDNN_DATA_FLOAT;
  std::vector<int> dimensions;
  std::vector<int> strides;
};

namespace {

// Called by one thread, the worker's. Whatever is no live object is told apart.
struct Descriptor {
  cudnnBackendDescriptorType_t type{};
  bool is_finalized = false;
  int64_t engine = -1;  // of a configuration, or of the plan made of one
  std::vector<std::byte> said;
  std::vector<void*> pointers;
};
std::set<const void*> g_live;
int g_finalized = 0;

Descriptor* find(cudnnBackendDescriptor_t descriptor) {
  return g_live.contains(descriptor) ? static_cast<Descriptor*>(descriptor) : nullptr;
}

bool wait_for(cudnnHandle_t handle) {
  static const auto synchronize = reinterpret_cast<CUresult (*)(CUstream)>(
      ::dlsym(::dlopen(SOFTCUDA_SONAME, RTLD_NOW | RTLD_NOLOAD), "cuStreamSynchronize"));
  return g_live.contains(handle) && synchronize != nullptr &&
         synchronize(handle->stream) == CUDA_SUCCESS;
}

}  // namespace

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED cudnnStatus_t cudnnGetProperty(libraryPropertyType type, int* value) {
  *value = type == MAJOR_VERSION ? 9 : type == MINOR_VERSION ? 19 : 0;
  return CUDNN_STATUS_SUCCESS;
}

// Like the vendor's, it uses a mate that it opens by name, and it must be the one beside it.
EXPORTED cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  void* const mate = dlopen("libcublas.so.13", RTLD_NOW | RTLD_LOCAL);
  const auto tell = reinterpret_cast<int (*)(libraryPropertyType, int*)>(
      mate == nullptr ? nullptr : dlsym(mate, "cublasGetProperty"));
  int major = 0;
  if (tell == nullptr || tell(MAJOR_VERSION, &major) != 0 || major != 13) {
    return CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH;
  }
  *handle = new cudnnContext;
  g_live.insert(*handle);
  return CUDNN_STATUS_SUCCESS;
}

EXPORTED cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  if (g_live.erase(handle) == 0) return CUDNN_STATUS_BAD_PARAM;
  delete handle;
  return CUDNN_STATUS_SUCCESS;
}

EXPORTED cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}

// Stands for a count: descriptors finalized so far.
EXPORTED cudnnStatus_t cudnnQueryRuntimeError(cudnnHandle_t, cudnnStatus_t* status,
                                              cudnnErrQueryMode_t, cudnnRuntimeTag_t*) {
  *status = static_cast<cudnnStatus_t>(g_finalized);
  return CUDNN_STATUS_SUCCESS;
}

EXPORTED void cudnnGetLastErrorString(char* message, size_t max_size) {
  std::strncpy(message, "nothing was wrong", max_size);
}

EXPORTED cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t* tensor) {
  *tensor = new cudnnTensorStruct;
  return CUDNN_STATUS_SUCCESS;
}

EXPORTED cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t tensor) {
  delete tensor;
  return CUDNN_STATUS_SUCCESS;
}

EXPORTED cudnnStatus_t cudnnSetTensorNdDescriptor(cudnnTensorDescriptor_t tensor,
                                                  cudnnDataType_t type, int count,
                                                  const int* dimensions, const int* strides) {
  if (count < 3) return CUDNN_STATUS_NOT_SUPPORTED;
  tensor->type = type;
  tensor->dimensions.assign(dimensions, dimensions + count);
  tensor->strides.assign(strides, strides + count);
  return CUDNN_STATUS_SUCCESS;
}

EXPORTED cudnnStatus_t cudnnGetTensorNdDescriptor(const cudnnTensorDescriptor_t tensor,
                                                  int requested, cudnnDataType_t* type, int* count,
                                                  int* dimensions, int* strides) {
  *type = tensor->type;
  *count = static_cast<int>(tensor->dimensions.size());
  for (int i = 0; i < requested && i < *count; ++i) {
    dimensions[i] = tensor->dimensions[static_cast<size_t>(i)];
    strides[i] = tensor->strides[static_cast<size_t>(i)];
  }
  return CUDNN_STATUS_SUCCESS;
}

EXPORTED cudnnStatus_t cudnnDeriveBNTensorDescriptor(cudnnTensorDescriptor_t derived,
                                                     const cudnnTensorDescriptor_t x,
                                                     cudnnBatchNormMode_t) {
  *derived = *x;
  derived->dimensions[0] = 1;
  return CUDNN_STATUS_SUCCESS;
}

EXPORTED cudnnStatus_t cudnnScaleTensor(cudnnHandle_t handle, const cudnnTensorDescriptor_t tensor,
                                        void* y, const void* alpha) {
  if (!wait_for(handle)) return CUDNN_STATUS_EXECUTION_FAILED;
  int count = 1;
  for (const int dimension : tensor->dimensions) count *= dimension;
  for (int i = 0; i < count; ++i) {
    if (tensor->type == CUDNN_DATA_DOUBLE) {
      static_cast<double*>(y)[i] *= *static_cast<const double*>(alpha);
    } else {
      static_cast<float*>(y)[i] *= *static_cast<const float*>(alpha);
    }
  }
  return CUDNN_STATUS_SUCCESS;
}

EXPORTED cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type,
                                                    cudnnBackendDescriptor_t* descriptor) {
  auto* made = new Descriptor{.type = type, .said = {}, .pointers = {}};
  g_live.insert(made);
  *descriptor = made;
  return CUDNN_STATUS_SUCCESS;
}

EXPORTED cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
  if (g_live.erase(descriptor) == 0) return CUDNN_STATUS_BAD_PARAM;
  delete static_cast<Descriptor*>(descriptor);
  return CUDNN_STATUS_SUCCESS;
}

EXPORTED cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor,
                                                cudnnBackendAttributeName_t name,
                                                cudnnBackendAttributeType_t type, int64_t count,
                                                const void* elements) {
  Descriptor* object = find(descriptor);
  if (object == nullptr || object->is_finalized) return CUDNN_STATUS_BAD_PARAM;
  const auto* pointers = static_cast<void* const*>(elements);
  switch (static_cast<int>(type)) {
    case CUDNN_TYPE_HANDLE:
      return g_live.contains(pointers[0]) ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
      for (int64_t i = 0; i < count; ++i) {
        const Descriptor* element = find(pointers[i]);
        if (element == nullptr) return CUDNN_STATUS_BAD_PARAM;
        if (name == CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG) object->engine = element->engine;
      }
      return CUDNN_STATUS_SUCCESS;
    case CUDNN_TYPE_VOID_PTR:
      if (name == CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS) {
        object->pointers.assign(pointers, pointers + count);
      }
      return CUDNN_STATUS_SUCCESS;
    case CUDNN_TYPE_INT64: {
      const auto* bytes = static_cast<const std::byte*>(elements);
      object->said.assign(bytes, bytes + count * 8);
      return CUDNN_STATUS_SUCCESS;
    }
    default:
      return CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE;
  }
}

EXPORTED cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
  Descriptor* object = find(descriptor);
  if (object == nullptr) return CUDNN_STATUS_BAD_PARAM;
  if (object->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR && object->engine != 1) {
    return CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN;
  }
  object->is_finalized = true;
  ++g_finalized;
  return CUDNN_STATUS_SUCCESS;
}

EXPORTED cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t const descriptor,
                                                cudnnBackendAttributeName_t name,
                                                cudnnBackendAttributeType_t, int64_t requested,
                                                int64_t* count, void* elements) {
  Descriptor* object = find(descriptor);
  if (object == nullptr || !object->is_finalized) return CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED;
  if (name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE && requested == 1) {
    *count = 1;
    *static_cast<int64_t*>(elements) = 4096;
    return CUDNN_STATUS_SUCCESS;
  }
  if (name == CUDNN_ATTR_ENGINECFG_ENGINE && requested == 1) {
    Descriptor* engine = find(*static_cast<cudnnBackendDescriptor_t*>(elements));
    if (engine == nullptr || engine->type != CUDNN_BACKEND_ENGINE_DESCRIPTOR) {
      return CUDNN_STATUS_BAD_PARAM;
    }
    engine->engine = object->engine;
    engine->is_finalized = true;
    *count = 1;
    return CUDNN_STATUS_SUCCESS;
  }
  if (name == CUDNN_ATTR_ENGINE_GLOBAL_INDEX && requested == 1) {
    *count = 1;
    *static_cast<int64_t*>(elements) = 100 + object->engine;
    return CUDNN_STATUS_SUCCESS;
  }
  if (name == CUDNN_ATTR_ENGINE_NUMERICAL_NOTE && object->engine != 7) {
    *count = object->engine % 3;
    for (int64_t i = 0; i < requested && i < *count; ++i) {
      static_cast<int32_t*>(elements)[i] = static_cast<int32_t>(object->engine + i);
    }
    return CUDNN_STATUS_SUCCESS;
  }
  if (name != CUDNN_ATTR_ENGINEHEUR_RESULTS) return CUDNN_STATUS_NOT_SUPPORTED;
  int64_t offered = 2;
  if (!object->said.empty()) std::memcpy(&offered, object->said.data(), sizeof offered);
  *count = offered;
  for (int64_t i = 0; i < requested && i < offered; ++i) {
    Descriptor* filled = find(static_cast<cudnnBackendDescriptor_t*>(elements)[i]);
    if (filled == nullptr) return CUDNN_STATUS_BAD_PARAM;
    filled->engine = i;
    filled->is_finalized = true;
  }
  return CUDNN_STATUS_SUCCESS;
}

EXPORTED cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                                           cudnnBackendDescriptor_t pack) {
  const Descriptor* how = find(plan);
  const Descriptor* with = find(pack);
  if (how == nullptr || with == nullptr || !how->is_finalized || with->pointers.size() != 3) {
    return CUDNN_STATUS_BAD_PARAM;
  }
  if (!wait_for(handle)) return CUDNN_STATUS_EXECUTION_FAILED;
  const auto* x = static_cast<const float*>(with->pointers[0]);
  const auto* s = static_cast<const float*>(with->pointers[1]);
  auto* y = static_cast<float*>(with->pointers[2]);
  for (int i = 0; i < 4; ++i) y[i] = x[i] * *s;
  return CUDNN_STATUS_SUCCESS;
}
