// Virtual memory management as an allocator with growing segments uses it: a large reservation, of
// which pieces are mapped, given access, used by kernels, copies and fills across their borders,
// unmapped in part, and mapped anew.
#include "check.h"
#include "driver_check.h"

__global__ void number(unsigned* out, size_t count, unsigned from) {
  for (size_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
    out[i] = from + static_cast<unsigned>(i);
  }
}

CUmemAllocationProp on_device_0() {
  CUmemAllocationProp prop = {};
  prop.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  prop.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  prop.location.id = 0;
  return prop;
}

size_t segment_bytes = 0;

CUmemGenericAllocationHandle create() {
  const CUmemAllocationProp prop = on_device_0();
  CUmemGenericAllocationHandle handle;
  CU_CHECK(cuMemCreate(&handle, segment_bytes, &prop, 0));
  return handle;
}

void map(CUdeviceptr at, CUmemGenericAllocationHandle handle) {
  CU_CHECK(cuMemMap(at, segment_bytes, 0, handle, 0));
}

void give_access(CUdeviceptr at, size_t bytes) {
  CUmemAccessDesc access = {};
  access.location = on_device_0().location;
  access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  CU_CHECK(cuMemSetAccess(at, bytes, &access, 1));
}

int main() {
  CUDA_CHECK(cudaFree(nullptr));
  const CUmemAllocationProp prop = on_device_0();
  size_t minimum = 0, recommended = 0;
  CU_CHECK(cuMemGetAllocationGranularity(&minimum, &prop, CU_MEM_ALLOC_GRANULARITY_MINIMUM));
  CU_CHECK(
      cuMemGetAllocationGranularity(&recommended, &prop, CU_MEM_ALLOC_GRANULARITY_RECOMMENDED));
  EXPECT(minimum != 0 && recommended % minimum == 0);
  segment_bytes = recommended;
  const size_t values = segment_bytes / sizeof(unsigned);

  // 1. A large reservation costs nothing; four segments are mapped into it, one after the other.
  constexpr size_t kSegments = 512, kMapped = 4;
  CUdeviceptr base = 0;
  CU_CHECK(cuMemAddressReserve(&base, kSegments * segment_bytes, 0, 0, 0));
  EXPECT(base % segment_bytes == 0);
  std::vector<CUmemGenericAllocationHandle> handles;
  for (size_t i = 0; i < kMapped; ++i) {
    handles.push_back(create());
    map(base + i * segment_bytes, handles[i]);
    give_access(base + i * segment_bytes, segment_bytes);
  }
  unsigned* data = reinterpret_cast<unsigned*>(base);
  number<<<8, 256>>>(data, kMapped * values, 5);
  std::vector<unsigned> got(kMapped * values);
  CUDA_CHECK(cudaMemcpy(got.data(), data, kMapped * segment_bytes, cudaMemcpyDeviceToHost));
  size_t wrong = 0;
  for (size_t i = 0; i < got.size(); ++i) wrong += got[i] != 5 + i;
  std::printf("across four mappings: %zu wrong\n", wrong);
  EXPECT(wrong == 0);

  // 2. Copies and fills across a border.
  CUDA_CHECK(cudaMemset(data + values - 8, 0x11, 16 * sizeof(unsigned)));
  unsigned around[20];
  CUDA_CHECK(cudaMemcpy(around, data + values - 10, sizeof around, cudaMemcpyDeviceToHost));
  std::printf("around the border: %x %x %x %x\n", around[1] == 5 + values - 9, around[2],
              around[17], around[18] == 5 + values + 8);
  EXPECT(around[2] == 0x11111111 && around[17] == 0x11111111);
  for (unsigned& value : around) value = 77;
  CUDA_CHECK(cudaMemcpy(data + 2 * values - 10, around, sizeof around, cudaMemcpyHostToDevice));
  CUDA_CHECK(cudaMemcpy(data, data + 2 * values - 10, sizeof around, cudaMemcpyDeviceToDevice));
  CUDA_CHECK(cudaMemcpy(around, data, sizeof around, cudaMemcpyDeviceToHost));
  EXPECT(around[0] == 77 && around[19] == 77);

  // 3. What it is.
  cudaPointerAttributes attributes;
  CUDA_CHECK(cudaPointerGetAttributes(&attributes, data + values + 3));
  std::printf("type %d, device %d, host pointer %s\n", attributes.type, attributes.device,
              attributes.hostPointer == nullptr ? "none" : "some");
  EXPECT(attributes.type == cudaMemoryTypeDevice && attributes.devicePointer == data + values + 3);
  unsigned long long flags = 0;
  CU_CHECK(cuMemGetAccess(&flags, &prop.location, base));
  EXPECT(flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
  CUmemAllocationProp said = {};
  CU_CHECK(cuMemGetAllocationPropertiesFromHandle(&said, handles[0]));
  EXPECT(said.type == prop.type && said.location.type == prop.location.type &&
         said.location.id == 0);
  CUmemGenericAllocationHandle again = 0;
  CU_CHECK(cuMemRetainAllocationHandle(&again, data + 7));
  CU_CHECK(cuMemRelease(again));

  // 4. The handles may go while the mappings stay; the second segment is taken out and another put
  // in its place, the others keep what they hold.
  for (CUmemGenericAllocationHandle handle : handles) CU_CHECK(cuMemRelease(handle));
  CUDA_CHECK(cudaDeviceSynchronize());
  CU_CHECK(cuMemUnmap(base + segment_bytes, segment_bytes));
  CUmemGenericAllocationHandle fresh = create();
  map(base + segment_bytes, fresh);
  give_access(base + segment_bytes, segment_bytes);
  number<<<8, 256>>>(data + values, values, 1000);
  CUDA_CHECK(cudaMemcpy(got.data(), data, kMapped * segment_bytes, cudaMemcpyDeviceToHost));
  wrong = 0;
  for (size_t i = 20; i < values - 10; ++i) wrong += got[i] != 5 + i;
  for (size_t i = 0; i < values; ++i) wrong += got[values + i] != 1000 + i;
  for (size_t i = 2 * values + 20; i < 4 * values; ++i) wrong += got[i] != 5 + i;
  std::printf("after one was exchanged: %zu wrong\n", wrong);
  EXPECT(wrong == 0);

  // 5. One memory at two addresses.
  CUdeviceptr twin = 0;
  CU_CHECK(cuMemAddressReserve(&twin, segment_bytes, 0, 0, 0));
  map(twin, fresh);
  give_access(twin, segment_bytes);
  number<<<8, 256>>>(reinterpret_cast<unsigned*>(twin), values, 9000);
  CUDA_CHECK(cudaDeviceSynchronize());
  CUDA_CHECK(cudaMemcpy(around, data + values, sizeof around, cudaMemcpyDeviceToHost));
  std::printf("through the other address: %u\n", around[3]);
  EXPECT(around[3] == 9003);
  CU_CHECK(cuMemUnmap(twin, segment_bytes));
  CU_CHECK(cuMemAddressFree(twin, segment_bytes));
  CU_CHECK(cuMemRelease(fresh));

  // 6. What is refused.
  CUmemGenericAllocationHandle spare = create();
  std::printf("nothing mapped: %s\n", cudaGetErrorName(cudaMemset(data + 5 * values, 0, 64)));
  std::printf("over the end: %s\n",
              cudaGetErrorName(cudaMemset(data + 4 * values - 8, 0, 16 * sizeof(unsigned))));
  EXPECT(cuMemMap(base, segment_bytes, 0, spare, 0) != CUDA_SUCCESS);
  std::printf("map at a crooked address: %s\n",
              check::name_of(cuMemMap(base + 5 * segment_bytes + 256, segment_bytes, 0, spare, 0)));
  std::printf("map too much: %s\n",
              check::name_of(cuMemMap(base + 5 * segment_bytes, 2 * segment_bytes, 0, spare, 0)));
  CUmemGenericAllocationHandle none = 0;
  std::printf("create nothing: %s\n", check::name_of(cuMemCreate(&none, 0, &prop, 0)));
  std::printf("create a crooked size: %s\n",
              check::name_of(cuMemCreate(&none, segment_bytes + 256, &prop, 0)));
  std::printf("create too much: %s\n",
              check::name_of(cuMemCreate(&none, size_t{1} << 42, &prop, 0)));
  CU_CHECK(cuMemRelease(spare));
  cudaGetLastError();

  // 7. Work goes on around it: free memory comes back, whole ranges go at once.
  CUDA_CHECK(cudaDeviceSynchronize());
  size_t before = 0, after = 0, total = 0;
  CUDA_CHECK(cudaMemGetInfo(&before, &total));
  CU_CHECK(cuMemUnmap(base, kMapped * segment_bytes));
  CUDA_CHECK(cudaMemGetInfo(&after, &total));
  EXPECT(after >= before);
  CU_CHECK(cuMemAddressFree(base, kSegments * segment_bytes));
  CUDA_CHECK(cudaPointerGetAttributes(&attributes, data));
  std::printf("afterwards: type %d\n", attributes.type);
  for (int round = 0; round < 20; ++round) {
    CUdeviceptr address = 0;
    CU_CHECK(cuMemAddressReserve(&address, 4 * segment_bytes, 0, 0, 0));
    const CUmemGenericAllocationHandle handle = create();
    map(address + 2 * segment_bytes, handle);
    CU_CHECK(cuMemRelease(handle));
    give_access(address + 2 * segment_bytes, segment_bytes);
    unsigned* there = reinterpret_cast<unsigned*>(address + 2 * segment_bytes);
    number<<<2, 64>>>(there, 1000, round);
    unsigned last = 0;
    CUDA_CHECK(cudaMemcpy(&last, there + 999, sizeof last, cudaMemcpyDeviceToHost));
    EXPECT(last == static_cast<unsigned>(round) + 999);
    CU_CHECK(cuMemUnmap(address + 2 * segment_bytes, segment_bytes));
    CU_CHECK(cuMemAddressFree(address, 4 * segment_bytes));
  }
  return check::finish();
}
