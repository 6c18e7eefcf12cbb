// Device properties and attributes agree with each other. Nothing about the device is printed.
#include "check.h"

int main() {
  int count = 0;
  CUDA_CHECK(cudaGetDeviceCount(&count));
  std::printf("at least one device: %s\n", count >= 1 ? "yes" : "no");
  EXPECT(count >= 1);
  int runtime = 0, driver = 0;
  CUDA_CHECK(cudaRuntimeGetVersion(&runtime));
  CUDA_CHECK(cudaDriverGetVersion(&driver));
  EXPECT(runtime / 1000 == CUDART_VERSION / 1000 && driver >= runtime);
  std::printf("driver not older than runtime: %s\n", driver >= runtime ? "yes" : "no");

  for (int d = 0; d < count; ++d) {
    CUDA_CHECK(cudaSetDevice(d));
    int current = -1;
    CUDA_CHECK(cudaGetDevice(&current));
    EXPECT(current == d);
    cudaDeviceProp p;
    CUDA_CHECK(cudaGetDeviceProperties(&p, d));
    struct {
      const char* name;
      cudaDeviceAttr attribute;
      long long value;
    } same[] = {
        {"maxThreadsPerBlock", cudaDevAttrMaxThreadsPerBlock, p.maxThreadsPerBlock},
        {"maxBlockDimX", cudaDevAttrMaxBlockDimX, p.maxThreadsDim[0]},
        {"maxBlockDimY", cudaDevAttrMaxBlockDimY, p.maxThreadsDim[1]},
        {"maxBlockDimZ", cudaDevAttrMaxBlockDimZ, p.maxThreadsDim[2]},
        {"maxGridDimX", cudaDevAttrMaxGridDimX, p.maxGridSize[0]},
        {"maxGridDimY", cudaDevAttrMaxGridDimY, p.maxGridSize[1]},
        {"maxGridDimZ", cudaDevAttrMaxGridDimZ, p.maxGridSize[2]},
        {"sharedMemPerBlock", cudaDevAttrMaxSharedMemoryPerBlock,
         static_cast<long long>(p.sharedMemPerBlock)},
        {"totalConstMem", cudaDevAttrTotalConstantMemory, static_cast<long long>(p.totalConstMem)},
        {"warpSize", cudaDevAttrWarpSize, p.warpSize},
        {"memPitch", cudaDevAttrMaxPitch, static_cast<long long>(p.memPitch)},
        {"regsPerBlock", cudaDevAttrMaxRegistersPerBlock, p.regsPerBlock},
        {"textureAlignment", cudaDevAttrTextureAlignment,
         static_cast<long long>(p.textureAlignment)},
        {"multiProcessorCount", cudaDevAttrMultiProcessorCount, p.multiProcessorCount},
        {"integrated", cudaDevAttrIntegrated, p.integrated},
        {"canMapHostMemory", cudaDevAttrCanMapHostMemory, p.canMapHostMemory},
        {"concurrentKernels", cudaDevAttrConcurrentKernels, p.concurrentKernels},
        {"ECCEnabled", cudaDevAttrEccEnabled, p.ECCEnabled},
        {"pciBusID", cudaDevAttrPciBusId, p.pciBusID},
        {"pciDeviceID", cudaDevAttrPciDeviceId, p.pciDeviceID},
        {"pciDomainID", cudaDevAttrPciDomainId, p.pciDomainID},
        {"memoryBusWidth", cudaDevAttrGlobalMemoryBusWidth, p.memoryBusWidth},
        {"l2CacheSize", cudaDevAttrL2CacheSize, p.l2CacheSize},
        {"maxThreadsPerMultiProcessor", cudaDevAttrMaxThreadsPerMultiProcessor,
         p.maxThreadsPerMultiProcessor},
        {"unifiedAddressing", cudaDevAttrUnifiedAddressing, p.unifiedAddressing},
        {"major", cudaDevAttrComputeCapabilityMajor, p.major},
        {"minor", cudaDevAttrComputeCapabilityMinor, p.minor},
        {"sharedMemPerMultiprocessor", cudaDevAttrMaxSharedMemoryPerMultiprocessor,
         static_cast<long long>(p.sharedMemPerMultiprocessor)},
        {"regsPerMultiprocessor", cudaDevAttrMaxRegistersPerMultiprocessor,
         p.regsPerMultiprocessor},
        {"sharedMemPerBlockOptin", cudaDevAttrMaxSharedMemoryPerBlockOptin,
         static_cast<long long>(p.sharedMemPerBlockOptin)},
        {"cooperativeLaunch", cudaDevAttrCooperativeLaunch, p.cooperativeLaunch},
        {"concurrentManagedAccess", cudaDevAttrConcurrentManagedAccess, p.concurrentManagedAccess},
        {"pageableMemoryAccess", cudaDevAttrPageableMemoryAccess, p.pageableMemoryAccess},
        {"maxBlocksPerMultiProcessor", cudaDevAttrMaxBlocksPerMultiprocessor,
         p.maxBlocksPerMultiProcessor},
        {"memoryPoolsSupported", cudaDevAttrMemoryPoolsSupported, p.memoryPoolsSupported},
        {"asyncEngineCount", cudaDevAttrAsyncEngineCount, p.asyncEngineCount},
        {"streamPrioritiesSupported", cudaDevAttrStreamPrioritiesSupported,
         p.streamPrioritiesSupported},
        {"reservedSharedMemPerBlock", cudaDevAttrReservedSharedMemoryPerBlock,
         static_cast<long long>(p.reservedSharedMemPerBlock)},
        {"clusterLaunch", cudaDevAttrClusterLaunch, p.clusterLaunch},
    };
    int differing = 0;
    for (const auto& s : same) {
      int value = -1;
      CUDA_CHECK(cudaDeviceGetAttribute(&value, s.attribute, d));
      if (value != s.value) {
        ++differing;
        check::fail("%s: attribute %d, property %lld", s.name, value, s.value);
      }
    }
    if (d == 0)
      std::printf("%zu attributes compared, %d differ\n", sizeof same / sizeof *same, differing);

    EXPECT(p.name[0] != 0 && std::strlen(p.name) < sizeof p.name);
    EXPECT(p.warpSize == 32 && p.maxThreadsPerBlock == 1024);
    EXPECT(p.maxThreadsDim[0] == 1024 && p.maxThreadsDim[1] == 1024 && p.maxThreadsDim[2] == 64);
    EXPECT(p.maxGridSize[0] == 2147483647 && p.maxGridSize[1] == 65535);
    EXPECT(p.maxGridSize[2] == 65535);
    EXPECT(p.sharedMemPerBlock == 49152 && p.totalConstMem == 65536);
    EXPECT(p.sharedMemPerBlockOptin >= p.sharedMemPerBlock);
    EXPECT(p.sharedMemPerMultiprocessor >= p.sharedMemPerBlockOptin);
    EXPECT(p.major * 10 + p.minor >= 75);
    EXPECT(p.multiProcessorCount >= 1 && p.maxThreadsPerMultiProcessor >= 1024);
    EXPECT(p.maxThreadsPerMultiProcessor % 32 == 0);
    EXPECT(p.unifiedAddressing == 1);

    size_t free_bytes = 0, total = 0;
    CUDA_CHECK(cudaMemGetInfo(&free_bytes, &total));
    EXPECT(free_bytes > 0 && free_bytes <= total && total == p.totalGlobalMem);

    char bus[32] = {};
    CUDA_CHECK(cudaDeviceGetPCIBusId(bus, sizeof bus, d));
    char want[32];
    std::snprintf(want, sizeof want, "%04x:%02x:%02x.0", p.pciDomainID, p.pciBusID, p.pciDeviceID);
    bool same_bus = true;
    for (size_t i = 0; i < sizeof want && want[i]; ++i)
      same_bus &= std::tolower(static_cast<unsigned char>(bus[i])) == want[i];
    EXPECT(same_bus);
    int by_bus = -1;
    CUDA_CHECK(cudaDeviceGetByPCIBusId(&by_bus, bus));
    EXPECT(by_bus == d);

    cudaDeviceProp again;
    CUDA_CHECK(cudaGetDeviceProperties(&again, d));
    EXPECT(std::memcmp(&p.uuid, &again.uuid, sizeof p.uuid) == 0);
    unsigned char any = 0;
    for (char byte : p.uuid.bytes) any |= static_cast<unsigned char>(byte);
    EXPECT(any != 0);
  }
  int peer = -1;
  CUDA_CHECK(cudaDeviceCanAccessPeer(&peer, 0, 0));
  std::printf("a device is no peer of itself: %d\n", peer);
  EXPECT(peer == 0);
  unsigned flags = 0;
  CUDA_CHECK(cudaSetDevice(0));
  CUDA_CHECK(cudaGetDeviceFlags(&flags));
  size_t stack = 0, heap = 0;
  CUDA_CHECK(cudaDeviceSetLimit(cudaLimitStackSize, 4096));
  CUDA_CHECK(cudaDeviceGetLimit(&stack, cudaLimitStackSize));
  CUDA_CHECK(cudaDeviceGetLimit(&heap, cudaLimitMallocHeapSize));
  std::printf("stack limit: %zu, heap at least 1 MB: %s\n", stack, heap >= 1 << 20 ? "yes" : "no");
  EXPECT(stack >= 4096);
  return check::finish();
}
