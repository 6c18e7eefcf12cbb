// cuDNN's descriptors and plans from end to end: façade, log, worker, and a library on the server
// (soft_dnn.cc). Says what failed; exits with 0 when all is well.
#include <cuda_runtime_api.h>
#include <cudnn.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "tests/libraries/expect.h"

namespace {

template <class T>
T* device(const std::vector<T>& host) {
  T* p = nullptr;
  OK(cudaMalloc(reinterpret_cast<void**>(&p), host.size() * sizeof(T)));
  OK(cudaMemcpy(p, host.data(), host.size() * sizeof(T), cudaMemcpyHostToDevice));
  return p;
}

template <class T>
std::vector<T> host(const T* p, size_t count) {
  std::vector<T> v(count);
  OK(cudaMemcpy(v.data(), p, count * sizeof(T), cudaMemcpyDeviceToHost));
  return v;
}

int finalized(cudnnHandle_t handle) {
  cudnnStatus_t count{};
  OK(cudnnQueryRuntimeError(handle, &count, CUDNN_ERRQUERY_RAWCODE, nullptr));
  return static_cast<int>(count);
}

cudnnTensorDescriptor_t tensor(cudnnDataType_t type, int n) {
  cudnnTensorDescriptor_t made = nullptr;
  const int dimensions[4] = {n, 2, 1, 1}, strides[4] = {2, 1, 1, 1};
  OK(cudnnCreateTensorDescriptor(&made));
  OK(cudnnSetTensorNdDescriptor(made, type, 4, dimensions, strides));
  return made;
}

int first_dimension(cudnnTensorDescriptor_t of) {
  cudnnDataType_t type{};
  int count = 0, dimensions[4] = {}, strides[4] = {};
  OK(cudnnGetTensorNdDescriptor(of, 4, &type, &count, dimensions, strides));
  EXPECT(count == 4 && dimensions[1] == 2 && strides[0] == 2);
  return dimensions[0];
}

void tensors(cudnnHandle_t handle) {
  // Scalars are as large as the tensors' type says.
  cudnnTensorDescriptor_t floats = tensor(CUDNN_DATA_FLOAT, 2);
  cudnnTensorDescriptor_t doubles = tensor(CUDNN_DATA_DOUBLE, 2);
  float* f = device<float>({1, 2, 3, 4});
  double* d = device<double>({1, 2, 3, 4});
  const float half = 0.5f;
  const double third = 1.0 / 3;
  OK(cudnnScaleTensor(handle, floats, f, &half));
  OK(cudnnScaleTensor(handle, doubles, d, &third));
  EXPECT((host(f, 4) == std::vector<float>{0.5f, 1, 1.5f, 2}));
  EXPECT((host(d, 4) == std::vector<double>{third, 2 * third, 3 * third, 4 * third}));
  // What a call fills is something else than before, and the same for equal arguments.
  cudnnTensorDescriptor_t derived = tensor(CUDNN_DATA_FLOAT, 5);
  EXPECT(first_dimension(derived) == 5);
  OK(cudnnDeriveBNTensorDescriptor(derived, floats, CUDNN_BATCHNORM_SPATIAL));
  EXPECT(first_dimension(derived) == 1 && first_dimension(floats) == 2);
  // Room for more dimensions than there can be, and for none.
  cudnnDataType_t type{};
  int count = 0, lengths[20] = {}, strides[20] = {};
  OK(cudnnGetTensorNdDescriptor(floats, 20, &type, &count, lengths, strides));
  EXPECT(count == 4 && lengths[0] == 2 && lengths[1] == 2 && strides[0] == 2);
  count = lengths[0] = 0;
  OK(cudnnGetTensorNdDescriptor(floats, -1, &type, &count, lengths, strides));
  EXPECT(count == 4 && lengths[0] == 0);
  // Its type is known, too.
  OK(cudnnDeriveBNTensorDescriptor(derived, doubles, CUDNN_BATCHNORM_SPATIAL));
  OK(cudnnScaleTensor(handle, derived, d, &third));
  EXPECT((host(d, 2) == std::vector<double>{third * third, 2 * third * third}));
  EXPECT(cudnnSetTensorNdDescriptor(floats, CUDNN_DATA_FLOAT, -1, nullptr, nullptr) ==
         CUDNN_STATUS_BAD_PARAM);
  // What only the library knows to be wrong is told by the next call, once.
  const int two[2] = {1, 1};
  OK(cudnnSetTensorNdDescriptor(floats, CUDNN_DATA_FLOAT, 2, two, two));
  OK(cudaDeviceSynchronize());
  // Not by what returns no status, nor by what ends an object.
  char message[64] = {};
  cudnnGetLastErrorString(message, sizeof message);
  EXPECT(std::strcmp(message, "nothing was wrong") == 0);
  OK(cudnnDestroyTensorDescriptor(floats));
  EXPECT(cudnnScaleTensor(handle, doubles, d, &third) == CUDNN_STATUS_NOT_SUPPORTED);
  OK(cudnnScaleTensor(handle, doubles, d, &third));
  OK(cudnnDestroyTensorDescriptor(doubles));
  OK(cudnnDestroyTensorDescriptor(derived));
  // Null, as cuDNN has it.
  OK(cudnnDestroyTensorDescriptor(nullptr));
  OK(cudnnDestroyRNNDescriptor(nullptr));
  OK(cudnnDestroy(nullptr));
  EXPECT(cudnnSetStream(nullptr, nullptr) == CUDNN_STATUS_BAD_PARAM);
}

cudnnBackendDescriptor_t make(cudnnBackendDescriptorType_t type) {
  cudnnBackendDescriptor_t made = nullptr;
  OK(cudnnBackendCreateDescriptor(type, &made));
  return made;
}

template <class T>
void set(cudnnBackendDescriptor_t of, cudnnBackendAttributeName_t name,
         cudnnBackendAttributeType_t type, const std::vector<T>& elements) {
  OK(cudnnBackendSetAttribute(of, name, type, static_cast<int64_t>(elements.size()),
                              elements.data()));
}

// A plan from nothing, as PyTorch makes them.
cudnnBackendDescriptor_t plan(cudnnHandle_t handle, int64_t extent) {
  cudnnBackendDescriptor_t x = make(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  set<int64_t>(x, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, {extent, 1, 1});
  OK(cudnnBackendFinalize(x));
  cudnnBackendDescriptor_t graph = make(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  set<cudnnHandle_t>(graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, {handle});
  set<void*>(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, {x, x});
  OK(cudnnBackendFinalize(graph));
  cudnnBackendDescriptor_t heuristic = make(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  set<void*>(heuristic, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR,
             {graph});
  OK(cudnnBackendFinalize(heuristic));
  int64_t count = 0;
  OK(cudnnBackendGetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                              CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, nullptr));
  EXPECT(count == 2);
  std::vector<void*> configs = {make(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR),
                                make(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR)};
  OK(cudnnBackendGetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                              CUDNN_TYPE_BACKEND_DESCRIPTOR, count, &count, configs.data()));
  cudnnBackendDescriptor_t made = nullptr;
  for (void* config : configs) {
    made = make(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    set<void*>(made, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR,
               {config});
    const cudnnStatus_t status = cudnnBackendFinalize(made);
    EXPECT(status == (config == configs[0] ? CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN
                                           : CUDNN_STATUS_SUCCESS));
    if (status != CUDNN_STATUS_SUCCESS) OK(cudnnBackendDestroyDescriptor(made));
  }
  int64_t bytes = 0;
  OK(cudnnBackendGetAttribute(made, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1,
                              &count, &bytes));
  EXPECT(count == 1 && bytes == 4096);
  for (void* used : {x, graph, heuristic, configs[0], configs[1]}) {
    OK(cudnnBackendDestroyDescriptor(used));
  }
  return made;
}

void plans(cudnnHandle_t handle) {
  float* x = device<float>({1, 2, 3, 4});
  float* y = device<float>({0, 0, 0, 0});
  for (int again = 0; again < 3; ++again) {
    const int before = finalized(handle);
    cudnnBackendDescriptor_t made = plan(handle, again == 2 ? 8 : 4);
    // Known answers or not, the library is told: tensor, graph, heuristic, plan.
    EXPECT(finalized(handle) == before + 4);
    cudnnBackendDescriptor_t pack = make(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    float factor = 2;
    set<void*>(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, {x, &factor, y});
    OK(cudnnBackendFinalize(pack));
    OK(cudnnBackendExecute(handle, made, pack));
    EXPECT((host(y, 4) == std::vector<float>{2, 4, 6, 8}));
    // The value counts that is there when the plan is executed.
    factor = -1;
    OK(cudnnBackendExecute(handle, made, pack));
    factor = 0;
    EXPECT((host(y, 4) == std::vector<float>{-1, -2, -3, -4}));
    std::vector<void*> told(3);
    int64_t count = 0;
    EXPECT(cudnnBackendGetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS,
                                    CUDNN_TYPE_VOID_PTR, 3, &count,
                                    told.data()) == CUDNN_STATUS_NOT_SUPPORTED);
    OK(cudnnBackendDestroyDescriptor(pack));
    OK(cudnnBackendDestroyDescriptor(made));
  }
  // Nonsense is refused on the spot.
  cudnnBackendDescriptor_t t = make(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  EXPECT(cudnnBackendSetAttribute(t, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, -1, &t) ==
         CUDNN_STATUS_BAD_PARAM);
  EXPECT(cudnnBackendSetAttribute(t, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 1, nullptr) ==
         CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
  EXPECT(cudnnBackendFinalize(nullptr) == CUDNN_STATUS_BAD_PARAM);
  // More than any plan has, and what is no length.
  const std::vector<void*> many(5000, t);
  EXPECT(cudnnBackendSetAttribute(t, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                  5000, many.data()) == CUDNN_STATUS_BAD_PARAM);
  EXPECT(cudnnBackendSetAttribute(t, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR,
                                  5000, many.data()) == CUDNN_STATUS_BAD_PARAM);
  EXPECT(cudnnBackendSetAttribute(t, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64,
                                  int64_t{1} << 40, many.data()) == CUDNN_STATUS_BAD_PARAM);
  OK(cudnnBackendDestroyDescriptor(t));
  EXPECT(cudnnBackendFinalize(t) == CUDNN_STATUS_BAD_PARAM);
}

// The same is asked of every engine that a heuristic offers, as PyTorch does: two passes, of which
// the second knows the answers. Every engine tells its own, whatever was asked ahead.
void engines(int64_t offered) {
  cudnnBackendDescriptor_t heuristic = make(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  set<int64_t>(heuristic, CUDNN_ATTR_ENGINEHEUR_SM_COUNT_TARGET, CUDNN_TYPE_INT64, {offered});
  OK(cudnnBackendFinalize(heuristic));
  std::vector<void*> configs(static_cast<size_t>(offered) + 2);
  for (void*& config : configs) config = make(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  int64_t count = 0;
  OK(cudnnBackendGetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                              CUDNN_TYPE_BACKEND_DESCRIPTOR, offered + 2, &count, configs.data()));
  EXPECT(count == offered);
  for (int pass = 0; pass < 2; ++pass) {
    for (int64_t n = 0; n < offered; ++n) {
      // Some are gone before they are asked.
      if (n % 5 == 4) {
        if (pass == 0) OK(cudnnBackendDestroyDescriptor(configs[static_cast<size_t>(n)]));
        continue;
      }
      cudnnBackendDescriptor_t engine = make(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
      OK(cudnnBackendGetAttribute(configs[static_cast<size_t>(n)], CUDNN_ATTR_ENGINECFG_ENGINE,
                                  CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &engine));
      EXPECT(count == 1);
      int64_t number = 0;
      OK(cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1,
                                  &count, &number));
      EXPECT(count == 1 && number == 100 + n);
      int32_t notes[8] = {-1, -1, -1, -1, -1, -1, -1, -1};
      const cudnnStatus_t status = cudnnBackendGetAttribute(
          engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, 8, &count, notes);
      EXPECT(status == (n == 7 ? CUDNN_STATUS_NOT_SUPPORTED : CUDNN_STATUS_SUCCESS));
      for (int64_t i = 0; n != 7 && i < 8; ++i) EXPECT(notes[i] == (i < n % 3 ? n + i : -1));
      EXPECT(n == 7 || count == n % 3);
      OK(cudnnBackendDestroyDescriptor(engine));
    }
  }
  // What nothing leads to is no engine of ours.
  int64_t number = 0;
  EXPECT(cudnnBackendGetAttribute(configs[static_cast<size_t>(offered)],
                                  CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &count,
                                  &number) == CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED);
  OK(cudnnBackendDestroyDescriptor(heuristic));
  for (size_t n = 0; n < configs.size(); ++n) {
    if (n % 5 != 4 || n >= static_cast<size_t>(offered)) {
      OK(cudnnBackendDestroyDescriptor(configs[n]));
    }
  }
}

}  // namespace

int main() {
  EXPECT(cudnnGetVersion() == 91900);
  EXPECT(std::strcmp(cudnnGetErrorString(CUDNN_STATUS_BAD_PARAM), "CUDNN_STATUS_BAD_PARAM") == 0);
  cudnnHandle_t handle = nullptr;
  OK(cudnnCreate(&handle));
  cudaStream_t stream = nullptr, told = nullptr;
  OK(cudaStreamCreate(&stream));
  OK(cudnnSetStream(handle, stream));
  OK(cudnnGetStream(handle, &told));
  EXPECT(told == stream);
  char message[64] = {};
  cudnnGetLastErrorString(message, sizeof message);
  EXPECT(std::strcmp(message, "nothing was wrong") == 0);
  tensors(handle);
  plans(handle);
  engines(40);
  engines(1);
  engines(300);
  OK(cudnnDestroy(handle));
  return 0;
}
