// What cudaLaunchKernelExC carries beside grid and block: events recorded by the launch,
// programmatic dependence, priorities, hints, clusters where the device has them; and the same kept
// by a stream.
#include <cooperative_groups.h>

#include "check.h"

__global__ void add(int* out, int value) {
  *out += value;
}

// Lets the kernel behind it start early, which waits for what this one wrote.
__global__ void first_of_two(int* data, int count) {
#if __CUDA_ARCH__ >= 900
  cudaTriggerProgrammaticLaunchCompletion();
#endif
  for (int i = threadIdx.x; i < count; i += blockDim.x) data[i] = i * 3;
}

__global__ void second_of_two(const int* data, int* out, int count) {
#if __CUDA_ARCH__ >= 900
  cudaGridDependencySynchronize();
#endif
  for (int i = threadIdx.x; i < count; i += blockDim.x) out[i] = data[i] + 1;
}

// Each block of a cluster reads the shared memory of the next one.
__global__ void pass_round(int* out) {
#if __CUDA_ARCH__ >= 900
  namespace cg = cooperative_groups;
  cg::cluster_group cluster = cg::this_cluster();
  __shared__ int mine;
  if (threadIdx.x == 0) mine = 100 + static_cast<int>(blockIdx.x);
  cluster.sync();
  const unsigned next = (cluster.block_rank() + 1) % cluster.num_blocks();
  if (threadIdx.x == 0) {
    out[blockIdx.x] = *cluster.map_shared_rank(&mine, next) * 10 + cluster.num_blocks();
  }
  cluster.sync();
#else
  out[blockIdx.x] = 0;
#endif
}

template <typename... Arguments>
cudaError_t launch(void (*kernel)(Arguments...), dim3 grid, dim3 block, cudaStream_t stream,
                   std::vector<cudaLaunchAttribute> attributes, Arguments... arguments) {
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.stream = stream;
  config.attrs = attributes.data();
  config.numAttrs = static_cast<unsigned>(attributes.size());
  void* pointers[] = {&arguments...};
  return cudaLaunchKernelExC(&config, reinterpret_cast<const void*>(kernel), pointers);
}

cudaLaunchAttribute attribute_of(cudaLaunchAttributeID id) {
  cudaLaunchAttribute attribute = {};
  attribute.id = id;
  return attribute;
}

int main() {
  cudaStream_t stream, other;
  CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  CUDA_CHECK(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
  int major = 0, clusters = 0;
  CUDA_CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0));
  CUDA_CHECK(cudaDeviceGetAttribute(&clusters, cudaDevAttrClusterLaunch, 0));
  check::DeviceArray<int> number(1);
  number.zero();

  // 1. Hints and priorities change nothing but speed.
  cudaLaunchAttribute priority = attribute_of(cudaLaunchAttributePriority);
  priority.val.priority = -1;
  cudaLaunchAttribute domain = attribute_of(cudaLaunchAttributeMemSyncDomain);
  domain.val.memSyncDomain = cudaLaunchMemSyncDomainRemote;
  cudaLaunchAttribute ignored = attribute_of(cudaLaunchAttributeIgnore);
  cudaLaunchAttribute single = attribute_of(cudaLaunchAttributeClusterDimension);
  single.val.clusterDim = {1, 1, 1};
  CUDA_CHECK(launch(add, 1, 1, stream, {priority}, number.get(), 1));
  CUDA_CHECK(launch(add, 1, 1, stream, {ignored, priority}, number.get(), 2));
  if (major >= 9) {
    CUDA_CHECK(launch(add, 1, 1, stream, {domain}, number.get(), 4));
    CUDA_CHECK(launch(add, 1, 1, stream, {single}, number.get(), 8));
  } else {
    CUDA_CHECK(launch(add, 1, 1, stream, {}, number.get(), 12));
  }
  CUDA_CHECK(cudaStreamSynchronize(stream));
  std::printf("with hints: %d\n", number.fetch()[0]);
  EXPECT(number.fetch()[0] == 15);

  // 2. Events that the launch records.
  cudaEvent_t launched, triggered;
  CUDA_CHECK(cudaEventCreateWithFlags(&launched, cudaEventDisableTiming));
  CUDA_CHECK(cudaEventCreateWithFlags(&triggered, cudaEventDisableTiming));
  cudaLaunchAttribute completion = attribute_of(cudaLaunchAttributeLaunchCompletionEvent);
  completion.val.launchCompletionEvent.event = launched;
  cudaLaunchAttribute programmatic = attribute_of(cudaLaunchAttributeProgrammaticEvent);
  programmatic.val.programmaticEvent.event = triggered;
  if (major >= 9) {
    CUDA_CHECK(launch(add, 1, 1, stream, {completion}, number.get(), 1));
    CUDA_CHECK(cudaEventSynchronize(launched));
    CUDA_CHECK(launch(add, 1, 1, stream, {programmatic}, number.get(), 1));
    CUDA_CHECK(cudaStreamWaitEvent(other, triggered, 0));
    CUDA_CHECK(cudaStreamSynchronize(other));
    EXPECT(cudaEventQuery(triggered) == cudaSuccess);
    CUDA_CHECK(cudaStreamSynchronize(stream));
    EXPECT(number.fetch()[0] == 17);
  }
  completion.val.launchCompletionEvent.event = reinterpret_cast<cudaEvent_t>(0x1234500);
  if (major < 9) EXPECT(launch(add, 1, 1, stream, {completion}, number.get(), 1) != cudaSuccess);
  cudaGetLastError();

  // 3. Programmatic dependence: the second kernel may start before the first has ended.
  constexpr int kCount = 4096;
  check::DeviceArray<int> data(kCount), out(kCount);
  cudaLaunchAttribute early = attribute_of(cudaLaunchAttributeProgrammaticStreamSerialization);
  early.val.programmaticStreamSerializationAllowed = 1;
  int wrong = 0;
  for (int round = 0; round < 20; ++round) {
    data.zero();
    CUDA_CHECK(cudaDeviceSynchronize());
    CUDA_CHECK(launch(first_of_two, 1, 256, stream, {}, data.get(), kCount));
    CUDA_CHECK(launch(second_of_two, 1, 256, stream,
                      major >= 9 ? std::vector{early} : std::vector<cudaLaunchAttribute>{},
                      static_cast<const int*>(data.get()), out.get(), kCount));
    CUDA_CHECK(cudaStreamSynchronize(stream));
    const std::vector<int> got = out.fetch();
    for (int i = 0; i < kCount; ++i) wrong += got[i] != i * 3 + 1;
  }
  std::printf("one behind the other: %d wrong\n", wrong);
  EXPECT(wrong == 0);

  // 4. Clusters, where there are any.
  if (clusters != 0) {
    cudaLaunchAttribute four = attribute_of(cudaLaunchAttributeClusterDimension);
    four.val.clusterDim = {4, 1, 1};
    check::DeviceArray<int> ring(16);
    CUDA_CHECK(launch(pass_round, 16, 32, stream, {four}, ring.get()));
    CUDA_CHECK(cudaStreamSynchronize(stream));
    const std::vector<int> got = ring.fetch();
    for (int i = 0; i < 16; ++i) {
      const int next = i / 4 * 4 + (i + 1) % 4;
      if (got[i] != (100 + next) * 10 + 4) check::fail("block %d got %d", i, got[i]);
    }
    cudaLaunchConfig_t config = {};
    config.gridDim = 16;
    config.blockDim = 32;
    config.attrs = &four;
    config.numAttrs = 1;
    int resident = 0, largest = 0;
    const void* kernel = reinterpret_cast<const void*>(pass_round);
    CUDA_CHECK(cudaOccupancyMaxActiveClusters(&resident, kernel, &config));
    CUDA_CHECK(cudaOccupancyMaxPotentialClusterSize(&largest, kernel, &config));
    EXPECT(resident > 0 && largest >= 8);
    // A grid that is no whole number of clusters.
    EXPECT(launch(pass_round, 15, 32, stream, {four}, ring.get()) != cudaSuccess ||
           cudaStreamSynchronize(stream) != cudaSuccess);
    cudaGetLastError();
  }

  // 5. Attributes of a stream.
  cudaStreamAttrValue value = {};
  value.syncPolicy = cudaSyncPolicyYield;
  CUDA_CHECK(cudaStreamSetAttribute(stream, cudaStreamAttributeSynchronizationPolicy, &value));
  value = {};
  value.accessPolicyWindow.base_ptr = data.get();
  value.accessPolicyWindow.num_bytes = 4096;
  value.accessPolicyWindow.hitRatio = 0.5f;
  value.accessPolicyWindow.hitProp = cudaAccessPropertyStreaming;
  value.accessPolicyWindow.missProp = cudaAccessPropertyNormal;
  int window_bytes = 0;
  CUDA_CHECK(cudaDeviceGetAttribute(&window_bytes, cudaDevAttrMaxAccessPolicyWindowSize, 0));
  if (window_bytes >= 4096) {
    CUDA_CHECK(cudaStreamSetAttribute(stream, cudaStreamAttributeAccessPolicyWindow, &value));
  }
  CUDA_CHECK(cudaStreamCopyAttributes(other, stream));
  CUDA_CHECK(cudaStreamGetAttribute(other, cudaStreamAttributeSynchronizationPolicy, &value));
  EXPECT(value.syncPolicy == cudaSyncPolicyYield);
  if (window_bytes >= 4096) {
    CUDA_CHECK(cudaStreamGetAttribute(other, cudaStreamAttributeAccessPolicyWindow, &value));
    EXPECT(value.accessPolicyWindow.base_ptr == data.get() &&
           value.accessPolicyWindow.num_bytes == 4096);
  }
  value = {};
  value.accessPolicyWindow.hitRatio = 2;
  EXPECT(cudaStreamSetAttribute(stream, cudaStreamAttributeAccessPolicyWindow, &value) ==
         cudaErrorInvalidValue);
  cudaGetLastError();
  CUDA_CHECK(launch(add, 1, 1, other, {}, number.get(), 1));
  CUDA_CHECK(cudaDeviceSynchronize());
  return check::finish();
}
