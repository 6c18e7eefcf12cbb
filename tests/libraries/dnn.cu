// cuDNN: convolutions, batch norm, softmax, pooling, activations, an LSTM and CTC loss through the
// legacy API; a convolution and a product with a by-value tensor through the backend API. Prints
// checksums, the same natively and through Farlane; with the argument `time` also how long steps
// take that build and destroy their descriptors each time, as PyTorch's do.
#include <cuda_runtime.h>
#include <cudnn.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#define CHECK(call)                                                          \
  do {                                                                       \
    const int status_ = static_cast<int>(call);                              \
    if (status_ != 0) {                                                      \
      std::printf("%s:%d: %s: %d %s\n", __FILE__, __LINE__, #call, status_,  \
                  cudnnGetErrorString(static_cast<cudnnStatus_t>(status_))); \
      std::exit(1);                                                          \
    }                                                                        \
  } while (0)

namespace {

constexpr int kN = 8, kC = 32, kH = 28, kK = 64;

std::vector<float> values(size_t count, unsigned seed) {
  std::vector<float> v(count);
  for (float& x : v) {
    seed = seed * 1664525u + 1013904223u;
    x = static_cast<float>(seed >> 16) / 65536.0f - 0.5f;
  }
  return v;
}

float* device(const std::vector<float>& host) {
  float* p = nullptr;
  CHECK(cudaMalloc(&p, host.size() * sizeof(float)));
  CHECK(cudaMemcpy(p, host.data(), host.size() * sizeof(float), cudaMemcpyHostToDevice));
  return p;
}
float* zeros(size_t count) {
  return device(std::vector<float>(count));
}

void print(const char* name, const float* p, size_t count) {
  std::vector<float> host(count);
  CHECK(cudaMemcpy(host.data(), p, count * sizeof(float), cudaMemcpyDeviceToHost));
  unsigned long long hash = 1469598103934665603ull;
  double sum = 0;
  for (size_t i = 0; i < count; ++i) {
    unsigned bits = 0;
    std::memcpy(&bits, &host[i], sizeof bits);
    hash = (hash ^ bits) * 1099511628211ull;
    sum += host[i];
  }
  std::printf("%-28s %14.6f %016llx\n", name, sum, hash);
}

struct Tensor {
  cudnnTensorDescriptor_t descriptor = nullptr;
  Tensor(int n, int c, int h, int w) {
    const int dims[4] = {n, c, h, w}, strides[4] = {c * h * w, h * w, w, 1};
    CHECK(cudnnCreateTensorDescriptor(&descriptor));
    CHECK(cudnnSetTensorNdDescriptor(descriptor, CUDNN_DATA_FLOAT, 4, dims, strides));
  }
  Tensor(const Tensor&) = delete;
  ~Tensor() { CHECK(cudnnDestroyTensorDescriptor(descriptor)); }
  operator cudnnTensorDescriptor_t() const { return descriptor; }
};

// ---- the legacy API

struct Net {
  cudnnHandle_t handle = nullptr;
  cudaStream_t stream = nullptr;
  const size_t in = size_t{kN} * kC * kH * kH, out = size_t{kN} * kK * kH * kH,
               weights = size_t{kK} * kC * 9;
  float* x = device(values(in, 1));
  float* w = device(values(weights, 2));
  float* y = zeros(out);
  float* z = zeros(out);
  float* dx = zeros(in);
  float* dw = zeros(weights);
  float* scale = device(values(kK, 3));
  float* bias = device(values(kK, 4));
  float* mean = zeros(kK);
  float* variance = zeros(kK);
  float* saved_mean = zeros(kK);
  float* saved_variance = zeros(kK);
  void* workspace = nullptr;
  size_t workspace_bytes = size_t{64} << 20;

  Net() {
    CHECK(cudaStreamCreate(&stream));
    CHECK(cudnnCreate(&handle));
    CHECK(cudnnSetStream(handle, stream));
    CHECK(cudaMalloc(&workspace, workspace_bytes));
  }
};

void layers(Net& net, bool print_all) {
  const float one = 1, zero = 0;
  Tensor xd(kN, kC, kH, kH), yd(kN, kK, kH, kH), cd(1, kK, 1, 1);
  cudnnFilterDescriptor_t wd = nullptr;
  CHECK(cudnnCreateFilterDescriptor(&wd));
  CHECK(cudnnSetFilter4dDescriptor(wd, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW, kK, kC, 3, 3));
  cudnnConvolutionDescriptor_t conv = nullptr;
  CHECK(cudnnCreateConvolutionDescriptor(&conv));
  const int ones[2] = {1, 1};
  CHECK(cudnnSetConvolutionNdDescriptor(conv, 2, ones, ones, ones, CUDNN_CROSS_CORRELATION,
                                        CUDNN_DATA_FLOAT));
  CHECK(cudnnSetConvolutionMathType(conv, CUDNN_FMA_MATH));

  cudnnConvolutionFwdAlgoPerf_t best{};
  int found = 0;
  CHECK(cudnnGetConvolutionForwardAlgorithm_v7(net.handle, xd, wd, conv, yd, 1, &found, &best));
  size_t bytes = 0;
  CHECK(cudnnGetConvolutionForwardWorkspaceSize(
      net.handle, xd, wd, conv, yd, CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM, &bytes));
  CHECK(cudnnConvolutionForward(net.handle, &one, xd, net.x, wd, net.w, conv,
                                CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM, net.workspace,
                                bytes, &zero, yd, net.y));
  if (print_all) {
    std::printf("heuristic: algorithm %d of %d, workspace %zu; chosen workspace %zu\n", best.algo,
                found, best.memory, bytes);
    print("convolution", net.y, net.out);
  }
  CHECK(cudnnGetConvolutionBackwardDataWorkspaceSize(net.handle, wd, yd, conv, xd,
                                                     CUDNN_CONVOLUTION_BWD_DATA_ALGO_1, &bytes));
  CHECK(cudnnConvolutionBackwardData(net.handle, &one, wd, net.w, yd, net.y, conv,
                                     CUDNN_CONVOLUTION_BWD_DATA_ALGO_1, net.workspace, bytes, &zero,
                                     xd, net.dx));
  CHECK(cudnnGetConvolutionBackwardFilterWorkspaceSize(
      net.handle, xd, yd, conv, wd, CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1, &bytes));
  CHECK(cudnnConvolutionBackwardFilter(net.handle, &one, xd, net.x, yd, net.y, conv,
                                       CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1, net.workspace, bytes,
                                       &zero, wd, net.dw));
  CHECK(cudnnBatchNormalizationForwardTraining(
      net.handle, CUDNN_BATCHNORM_SPATIAL, &one, &zero, yd, net.y, yd, net.z, cd, net.scale,
      net.bias, 0.1, net.mean, net.variance, 1e-5, net.saved_mean, net.saved_variance));
  if (print_all) {
    print("convolution backward data", net.dx, net.in);
    print("convolution backward filter", net.dw, net.weights);
    print("batch norm", net.z, net.out);
    print("batch norm variance", net.variance, kK);
  }
  cudnnActivationDescriptor_t relu = nullptr;
  CHECK(cudnnCreateActivationDescriptor(&relu));
  CHECK(cudnnSetActivationDescriptor(relu, CUDNN_ACTIVATION_TANH, CUDNN_PROPAGATE_NAN, 0));
  CHECK(cudnnActivationForward(net.handle, relu, &one, yd, net.z, &zero, yd, net.z));
  CHECK(cudnnDestroyActivationDescriptor(relu));
  CHECK(cudnnSoftmaxForward(net.handle, CUDNN_SOFTMAX_ACCURATE, CUDNN_SOFTMAX_MODE_CHANNEL, &one,
                            yd, net.z, &zero, yd, net.y));
  if (print_all) {
    print("tanh", net.z, net.out);
    print("softmax", net.y, net.out);
  }
  Tensor pooled(kN, kK, kH / 2, kH / 2);
  cudnnPoolingDescriptor_t pool = nullptr;
  CHECK(cudnnCreatePoolingDescriptor(&pool));
  CHECK(
      cudnnSetPooling2dDescriptor(pool, CUDNN_POOLING_MAX, CUDNN_PROPAGATE_NAN, 2, 2, 0, 0, 2, 2));
  CHECK(cudnnPoolingForward(net.handle, pool, &one, yd, net.z, &zero, pooled, net.y));
  CHECK(cudnnDestroyPoolingDescriptor(pool));
  if (print_all) print("pooling", net.y, net.out / 4);
  CHECK(cudnnDestroyConvolutionDescriptor(conv));
  CHECK(cudnnDestroyFilterDescriptor(wd));
}

void lstm(Net& net) {
  constexpr int kSteps = 12, kBatch = 4, kInput = 32, kHidden = 48;
  cudnnDropoutDescriptor_t dropout = nullptr;
  CHECK(cudnnCreateDropoutDescriptor(&dropout));
  size_t state_bytes = 0;
  CHECK(cudnnDropoutGetStatesSize(net.handle, &state_bytes));
  void* states = nullptr;
  CHECK(cudaMalloc(&states, state_bytes));
  CHECK(cudnnSetDropoutDescriptor(dropout, net.handle, 0.25f, states, state_bytes, 1234));
  cudnnRNNDescriptor_t rnn = nullptr;
  CHECK(cudnnCreateRNNDescriptor(&rnn));
  CHECK(cudnnSetRNNDescriptor_v8(rnn, CUDNN_RNN_ALGO_STANDARD, CUDNN_LSTM, CUDNN_RNN_DOUBLE_BIAS,
                                 CUDNN_UNIDIRECTIONAL, CUDNN_LINEAR_INPUT, CUDNN_DATA_FLOAT,
                                 CUDNN_DATA_FLOAT, CUDNN_FMA_MATH, kInput, kHidden, kHidden, 2,
                                 dropout, 0));
  cudnnRNNDataDescriptor_t xd = nullptr, yd = nullptr;
  const std::vector<int> lengths(kBatch, kSteps);
  const float padding = 0;
  CHECK(cudnnCreateRNNDataDescriptor(&xd));
  CHECK(cudnnCreateRNNDataDescriptor(&yd));
  CHECK(cudnnSetRNNDataDescriptor(xd, CUDNN_DATA_FLOAT, CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_UNPACKED,
                                  kSteps, kBatch, kInput, lengths.data(),
                                  const_cast<float*>(&padding)));
  CHECK(cudnnSetRNNDataDescriptor(yd, CUDNN_DATA_FLOAT, CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_UNPACKED,
                                  kSteps, kBatch, kHidden, lengths.data(),
                                  const_cast<float*>(&padding)));
  size_t weight_bytes = 0, workspace = 0, reserve = 0;
  CHECK(cudnnGetRNNWeightSpaceSize(net.handle, rnn, &weight_bytes));
  CHECK(cudnnGetRNNTempSpaceSizes(net.handle, rnn, CUDNN_FWD_MODE_TRAINING, xd, &workspace,
                                  &reserve));
  std::printf("LSTM: weights %zu, workspace %zu, reserve %zu\n", weight_bytes, workspace, reserve);
  float* weights = device(values(weight_bytes / sizeof(float), 5));
  for (int again = 0; again < 2; ++again) {
    for (int id = 0; id < 8; ++id) {
      cudnnTensorDescriptor_t matrix = nullptr, bias = nullptr;
      CHECK(cudnnCreateTensorDescriptor(&matrix));
      CHECK(cudnnCreateTensorDescriptor(&bias));
      void *matrix_at = nullptr, *bias_at = nullptr;
      CHECK(cudnnGetRNNWeightParams(net.handle, rnn, 1, weight_bytes, weights, id, matrix,
                                    &matrix_at, bias, &bias_at));
      cudnnDataType_t type{};
      int rank = 0, dims[3] = {}, strides[3] = {};
      CHECK(cudnnGetTensorNdDescriptor(matrix, 3, &type, &rank, dims, strides));
      std::printf(again == 0 ? "  %d: %td %td, %d x %d x %d\n" : "", id,
                  static_cast<char*>(matrix_at) - reinterpret_cast<char*>(weights),
                  static_cast<char*>(bias_at) - reinterpret_cast<char*>(weights), dims[0], dims[1],
                  dims[2]);
      CHECK(cudnnDestroyTensorDescriptor(matrix));
      CHECK(cudnnDestroyTensorDescriptor(bias));
    }
  }
  const int hdims[3] = {2, kBatch, kHidden}, hstrides[3] = {kBatch * kHidden, kHidden, 1};
  cudnnTensorDescriptor_t hd = nullptr;
  CHECK(cudnnCreateTensorDescriptor(&hd));
  CHECK(cudnnSetTensorNdDescriptor(hd, CUDNN_DATA_FLOAT, 3, hdims, hstrides));
  std::vector<int> host_lengths = lengths;
  int* device_lengths = nullptr;
  CHECK(cudaMalloc(&device_lengths, kBatch * sizeof(int)));
  CHECK(cudaMemcpy(device_lengths, host_lengths.data(), kBatch * sizeof(int),
                   cudaMemcpyHostToDevice));
  float* x = device(values(kSteps * kBatch * kInput, 6));
  float* y = zeros(kSteps * kBatch * kHidden);
  float* hy = zeros(2 * kBatch * kHidden);
  void *space = nullptr, *kept = nullptr;
  CHECK(cudaMalloc(&space, workspace + 16));
  CHECK(cudaMalloc(&kept, reserve + 16));
  CHECK(cudnnRNNForward(net.handle, rnn, CUDNN_FWD_MODE_TRAINING, device_lengths, xd, x, yd, y, hd,
                        nullptr, hy, hd, nullptr, nullptr, weight_bytes, weights, workspace, space,
                        reserve, kept));
  print("LSTM", y, kSteps * kBatch * kHidden);
  print("LSTM hidden", hy, 2 * kBatch * kHidden);
  CHECK(cudnnDestroyTensorDescriptor(hd));
  CHECK(cudnnDestroyRNNDataDescriptor(xd));
  CHECK(cudnnDestroyRNNDataDescriptor(yd));
  CHECK(cudnnDestroyRNNDescriptor(rnn));
  CHECK(cudnnDestroyDropoutDescriptor(dropout));
}

void ctc(Net& net) {
  constexpr int kSteps = 10, kBatch = 3, kLetters = 6;
  const int dims[3] = {kSteps, kBatch, kLetters}, strides[3] = {kBatch * kLetters, kLetters, 1};
  cudnnTensorDescriptor_t d = nullptr;
  CHECK(cudnnCreateTensorDescriptor(&d));
  CHECK(cudnnSetTensorNdDescriptor(d, CUDNN_DATA_FLOAT, 3, dims, strides));
  cudnnCTCLossDescriptor_t loss = nullptr;
  CHECK(cudnnCreateCTCLossDescriptor(&loss));
  CHECK(cudnnSetCTCLossDescriptorEx(loss, CUDNN_DATA_FLOAT, CUDNN_LOSS_NORMALIZATION_SOFTMAX,
                                    CUDNN_PROPAGATE_NAN));
  const int labels[] = {1, 2, 3, 2, 5, 4, 1}, label_lengths[] = {3, 2, 2},
            input_lengths[] = {kSteps, kSteps, kSteps};
  size_t bytes = 0;
  CHECK(cudnnGetCTCLossWorkspaceSize(net.handle, d, d, labels, label_lengths, input_lengths,
                                     CUDNN_CTC_LOSS_ALGO_DETERMINISTIC, loss, &bytes));
  void* workspace = nullptr;
  CHECK(cudaMalloc(&workspace, bytes + 16));
  float* x = device(values(kSteps * kBatch * kLetters, 7));
  float* costs = zeros(kBatch);
  float* gradients = zeros(kSteps * kBatch * kLetters);
  CHECK(cudnnCTCLoss(net.handle, d, x, labels, label_lengths, input_lengths, costs, d, gradients,
                     CUDNN_CTC_LOSS_ALGO_DETERMINISTIC, loss, workspace, bytes));
  print("CTC costs", costs, kBatch);
  print("CTC gradients", gradients, kSteps * kBatch * kLetters);
  CHECK(cudnnDestroyCTCLossDescriptor(loss));
  CHECK(cudnnDestroyTensorDescriptor(d));
}

// ---- the backend API, built by hand

class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type) {
    CHECK(cudnnBackendCreateDescriptor(type, &descriptor_));
  }
  Descriptor(const Descriptor&) = delete;
  ~Descriptor() { CHECK(cudnnBackendDestroyDescriptor(descriptor_)); }
  template <class T>
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                  const std::vector<T>& elements) {
    CHECK(cudnnBackendSetAttribute(descriptor_, name, type, static_cast<int64_t>(elements.size()),
                                   elements.data()));
    return *this;
  }
  template <class T>
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                  const T& element) {
    CHECK(cudnnBackendSetAttribute(descriptor_, name, type, 1, &element));
    return *this;
  }
  Descriptor& of(cudnnBackendAttributeName_t name, const Descriptor& other) {
    return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, other.descriptor_);
  }
  cudnnStatus_t try_finalize() { return cudnnBackendFinalize(descriptor_); }
  void finalize() { CHECK(try_finalize()); }
  int64_t number(cudnnBackendAttributeName_t name) const {
    int64_t count = 0, value = 0;
    CHECK(cudnnBackendGetAttribute(descriptor_, name, CUDNN_TYPE_INT64, 1, &count, &value));
    return value;
  }
  cudnnBackendDescriptor_t get() const { return descriptor_; }

 private:
  cudnnBackendDescriptor_t descriptor_ = nullptr;
};

using Dims = std::vector<int64_t>;

Dims packed(const Dims& dims) {
  Dims strides(dims.size(), 1);
  for (size_t i = dims.size() - 1; i > 0; --i) strides[i - 1] = strides[i] * dims[i];
  return strides;
}

void tensor(Descriptor& d, int64_t id, const Dims& dims, bool by_value = false) {
  d.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT)
      .set(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, dims)
      .set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, packed(dims))
      .set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, id)
      .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, int64_t{by_value ? 4 : 16})
      .set(CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, by_value)
      .finalize();
}

// A plan for one operation: the first engine configuration that can be finalized.
struct Plan {
  Descriptor graph{CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR};
  std::vector<std::unique_ptr<Descriptor>> configs;
  std::unique_ptr<Descriptor> plan;
  int64_t workspace = 0;
  int tried = 0;

  Plan(cudnnHandle_t handle, const Descriptor& operation) {
    graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, handle)
        .of(CUDNN_ATTR_OPERATIONGRAPH_OPS, operation)
        .finalize();
    for (const auto mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
      if (plan == nullptr) choose(handle, mode);
    }
  }

 private:
  void choose(cudnnHandle_t handle, cudnnBackendHeurMode_t mode) {
    configs.clear();
    Descriptor heuristic(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    heuristic.of(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph)
        .set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, mode)
        .finalize();
    int64_t count = 0;
    CHECK(cudnnBackendGetAttribute(heuristic.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                   CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, nullptr));
    std::vector<cudnnBackendDescriptor_t> filled;
    for (int64_t i = 0; i < count; ++i) {
      configs.push_back(std::make_unique<Descriptor>(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR));
      filled.push_back(configs.back()->get());
    }
    CHECK(cudnnBackendGetAttribute(heuristic.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                   CUDNN_TYPE_BACKEND_DESCRIPTOR, count, &count, filled.data()));
    for (int64_t i = 0; i < count; ++i) {
      ++tried;
      plan = std::make_unique<Descriptor>(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
      plan->set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, handle)
          .of(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, *configs[i]);
      if (plan->try_finalize() == CUDNN_STATUS_SUCCESS) {
        workspace = plan->number(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE);
        return;
      }
    }
    plan = nullptr;  // the library has no engine for it on this device
  }
};

void run(const Net& net, const Plan& plan, const Dims& ids, const std::vector<void*>& at) {
  Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, ids)
      .set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, at)
      .set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, net.workspace)
      .finalize();
  CHECK(cudnnBackendExecute(net.handle, plan.plan->get(), pack.get()));
}

std::unique_ptr<Plan> convolution_plan(const Net& net) {
  Descriptor x(CUDNN_BACKEND_TENSOR_DESCRIPTOR), w(CUDNN_BACKEND_TENSOR_DESCRIPTOR),
      y(CUDNN_BACKEND_TENSOR_DESCRIPTOR), conv(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR),
      operation(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
  tensor(x, 'x', {kN, kC, kH, kH});
  tensor(w, 'w', {kK, kC, 3, 3});
  tensor(y, 'y', {kN, kK, kH, kH});
  const Dims ones = {1, 1};
  conv.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, int64_t{2})
      .set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT)
      .set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, CUDNN_CROSS_CORRELATION)
      .set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, ones)
      .set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, ones)
      .set(CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, ones)
      .set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, ones)
      .finalize();
  operation.of(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, x)
      .of(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, w)
      .of(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, y)
      .of(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, conv)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1.0f)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 0.0f)
      .finalize();
  return std::make_unique<Plan>(net.handle, operation);
}

// y = x * s, s a number in host memory.
std::unique_ptr<Plan> product_plan(const Net& net) {
  Descriptor x(CUDNN_BACKEND_TENSOR_DESCRIPTOR), s(CUDNN_BACKEND_TENSOR_DESCRIPTOR),
      y(CUDNN_BACKEND_TENSOR_DESCRIPTOR), multiply(CUDNN_BACKEND_POINTWISE_DESCRIPTOR),
      operation(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  tensor(x, 'x', {kN, kC, kH, kH});
  tensor(s, 's', {1, 1, 1, 1}, true);
  tensor(y, 'y', {kN, kC, kH, kH});
  multiply.set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, CUDNN_POINTWISE_MUL)
      .set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT)
      .finalize();
  operation.of(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, multiply)
      .of(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x)
      .of(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, s)
      .of(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y)
      .finalize();
  return std::make_unique<Plan>(net.handle, operation);
}

double microseconds(const Net& net, int count, const auto& step) {
  step();
  CHECK(cudaStreamSynchronize(net.stream));
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < count; ++i) step();
  CHECK(cudaStreamSynchronize(net.stream));
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start)
             .count() /
         count;
}

}  // namespace

int main(int argc, char** argv) {
  const bool is_timed = argc > 1 && std::string(argv[1]) == "time";
  std::printf("version %zu, %s\n", cudnnGetVersion(), cudnnGetErrorString(CUDNN_STATUS_BAD_PARAM));
  Net net;
  layers(net, true);
  lstm(net);
  ctc(net);

  const auto begin = std::chrono::steady_clock::now();
  const std::unique_ptr<Plan> conv = convolution_plan(net);
  const double first =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  std::printf("backend convolution: %zu configurations, number %d, workspace %lld\n",
              conv->configs.size(), conv->tried, static_cast<long long>(conv->workspace));
  if (conv->plan == nullptr || static_cast<size_t>(conv->workspace) > net.workspace_bytes) return 1;
  const Dims ids = {'x', 'w', 'y'};
  const std::vector<void*> at = {net.x, net.w, net.y};
  run(net, *conv, ids, at);
  print("backend convolution", net.y, net.out);

  const std::unique_ptr<Plan> product = product_plan(net);
  float factor = 2.5f;
  const Dims product_ids = {'x', 's', 'y'};
  const std::vector<void*> product_at = {net.x, &factor, net.dx};
  if (product->plan == nullptr) {
    std::printf("no engine multiplies by a number\n");
  } else {
    run(net, *product, product_ids, product_at);
    print("times 2.5", net.dx, net.in);
    factor = -3;
    run(net, *product, product_ids, product_at);
    print("times -3", net.dx, net.in);
  }

  // What is wrong is said: a tensor of no dimensions makes no graph.
  {
    Descriptor x(CUDNN_BACKEND_TENSOR_DESCRIPTOR),
        operation(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR),
        graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, net.handle);
    std::printf("a graph of nothing: %s\n",
                graph.try_finalize() == CUDNN_STATUS_SUCCESS ? "finalized" : "refused");
  }

  if (is_timed) {
    const auto again = std::chrono::steady_clock::now();
    convolution_plan(net);
    std::printf("plan: first %.2f ms, again %.2f ms\n", first,
                std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - again)
                    .count());
    std::printf("legacy layers   %8.2f us\n", microseconds(net, 300, [&] { layers(net, false); }));
    std::printf("backend conv    %8.2f us\n",
                microseconds(net, 1000, [&] { run(net, *conv, ids, at); }));
    if (product->plan != nullptr) {
      std::printf("backend product %8.2f us\n",
                  microseconds(net, 1000, [&] { run(net, *product, product_ids, product_at); }));
    }
  }
  CHECK(cudnnDestroy(net.handle));
  CHECK(cudaDeviceSynchronize());
  std::printf("done\n");
  return 0;
}
