// Several devices: a program of its own, because how many there are is decided once.
#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "server/softcuda/driver_test_support.h"

namespace farlane::softcuda {
namespace {

// Reads and writes one number through an address that the kernel is given.
constexpr char kAddOne[] = R"(
.version 8.0
.target sm_75
.address_size 64
.visible .entry add_one(.param .u64 p)
{
  .reg .u64 %a;
  .reg .u32 %v;
  ld.param.u64 %a, [p];
  ld.global.u32 %v, [%a];
  add.u32 %v, %v, 1;
  st.global.u32 [%a], %v;
  ret;
}
)";

class Devices : public testing::Test {
 protected:
  static constexpr int kCount = 3;

  void SetUp() override {
    setenv("FARLANE_SOFTCUDA_DEVICES", std::to_string(kCount).c_str(), 1);
    setenv("FARLANE_SOFTCUDA_MEMORY_MIB", std::to_string(kTestMemoryMib).c_str(), 1);
    ASSERT_OK(cuInit(0));
    for (int i = 0; i < kCount; ++i) {
      ASSERT_OK(cuDevicePrimaryCtxReset(i));
      ASSERT_OK(cuDevicePrimaryCtxRetain(&contexts_[i], i));
    }
    use(0);
  }

  void TearDown() override {
    for (int i = 0; i < kCount; ++i) {
      EXPECT_OK(cuDevicePrimaryCtxReset(i));
    }
    EXPECT_OK(cuCtxSetCurrent(nullptr));
  }

  void use(int device) { ASSERT_OK(cuCtxSetCurrent(contexts_[device])); }

  CUdeviceptr allocate(int device, size_t bytes) {
    CUcontext before = nullptr;
    EXPECT_OK(cuCtxGetCurrent(&before));
    use(device);
    CUdeviceptr pointer = 0;
    EXPECT_OK(cuMemAlloc(&pointer, bytes));
    EXPECT_OK(cuCtxSetCurrent(before));
    return pointer;
  }

  CUfunction add_one() {
    CUmodule module = nullptr;
    CUfunction function = nullptr;
    EXPECT_OK(cuModuleLoadData(&module, kAddOne));
    EXPECT_OK(cuModuleGetFunction(&function, module, "add_one"));
    return function;
  }

  // What a kernel of the current device makes of a number at `pointer`.
  CUresult run(CUfunction function, CUdeviceptr pointer, CUstream stream = nullptr) {
    void* params[] = {&pointer};
    const CUresult result = cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, stream, params, nullptr);
    return result == CUDA_SUCCESS ? cuCtxSynchronize() : result;
  }

  std::array<CUcontext, kCount> contexts_{};
};

TEST_F(Devices, EachHasAnIdentityOfItsOwn) {
  int count = 0;
  ASSERT_OK(cuDeviceGetCount(&count));
  ASSERT_EQ(count, kCount);
  std::vector<std::string> seen;
  for (int i = 0; i < count; ++i) {
    CUdevice device = -1;
    ASSERT_OK(cuDeviceGet(&device, i));
    CUuuid uuid{};
    ASSERT_OK(cuDeviceGetUuid(&uuid, device));
    char bus[32] = "";
    ASSERT_OK(cuDeviceGetPCIBusId(bus, sizeof bus, device));
    CUdevice again = -1;
    ASSERT_OK(cuDeviceGetByPCIBusId(&again, bus));
    EXPECT_EQ(again, device);
    for (const std::string& one : {std::string(uuid.bytes, sizeof uuid.bytes), std::string(bus)}) {
      EXPECT_EQ(std::find(seen.begin(), seen.end(), one), seen.end());
      seen.push_back(one);
    }
  }
  CUdevice device = -1;
  EXPECT_CU(CUDA_ERROR_INVALID_DEVICE, cuDeviceGet(&device, count));
  EXPECT_CU(CUDA_ERROR_INVALID_DEVICE, cuDeviceGetByPCIBusId(&device, "0000:FA:07.0"));
}

TEST_F(Devices, MemoryIsCountedByItself) {
  constexpr size_t kBytes = 64 << 20;
  std::array<size_t, kCount> before{}, after{};
  size_t total = 0;
  for (int i = 0; i < kCount; ++i) {
    use(i);
    ASSERT_OK(cuMemGetInfo(&before[i], &total));
  }
  const CUdeviceptr pointer = allocate(1, kBytes);
  for (int i = 0; i < kCount; ++i) {
    use(i);
    ASSERT_OK(cuMemGetInfo(&after[i], &total));
    EXPECT_EQ(before[i] - after[i], i == 1 ? kBytes : 0u) << i;
  }
  // Full, and the others are not.
  use(1);
  CUdeviceptr more = 0;
  EXPECT_CU(CUDA_ERROR_OUT_OF_MEMORY, cuMemAlloc(&more, after[1] + (1 << 20)));
  use(2);
  EXPECT_OK(cuMemAlloc(&more, after[1] + (1 << 20)));

  int ordinal = -1;
  CUcontext context = nullptr;
  EXPECT_OK(cuPointerGetAttribute(&ordinal, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, pointer));
  EXPECT_EQ(ordinal, 1);
  EXPECT_OK(cuPointerGetAttribute(&context, CU_POINTER_ATTRIBUTE_CONTEXT, pointer));
  EXPECT_EQ(context, contexts_[1]);
  use(0);
  EXPECT_OK(cuMemFree(pointer));
}

TEST_F(Devices, KernelsReachAPeersMemoryOnlyWithAccess) {
  const CUdeviceptr theirs = allocate(1, 4);
  ASSERT_OK(cuMemsetD32(theirs, 41, 1));
  int can = 0;
  ASSERT_OK(cuDeviceCanAccessPeer(&can, 0, 1));
  EXPECT_EQ(can, 1);
  ASSERT_OK(cuDeviceCanAccessPeer(&can, 1, 1));
  EXPECT_EQ(can, 0);
  EXPECT_CU(CUDA_ERROR_PEER_ACCESS_NOT_ENABLED, cuCtxDisablePeerAccess(contexts_[1]));
  EXPECT_CU(CUDA_ERROR_INVALID_CONTEXT, cuCtxEnablePeerAccess(contexts_[0], 0));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuCtxEnablePeerAccess(contexts_[1], 1));
  ASSERT_OK(cuCtxEnablePeerAccess(contexts_[1], 0));
  EXPECT_CU(CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED, cuCtxEnablePeerAccess(contexts_[1], 0));

  CUfunction function = add_one();
  EXPECT_OK(run(function, theirs));
  uint32_t value = 0;
  EXPECT_OK(cuMemcpyDtoH(&value, theirs, 4));
  EXPECT_EQ(value, 42u);

  // The other way was not asked for, and the third device was given nothing.
  const CUdeviceptr ours = allocate(0, 4);
  use(1);
  EXPECT_CU(CUDA_ERROR_ILLEGAL_ADDRESS, run(add_one(), ours));
  use(2);
  EXPECT_CU(CUDA_ERROR_ILLEGAL_ADDRESS, run(add_one(), theirs));
  use(0);
  EXPECT_OK(cuCtxSynchronize());  // a fault stays with its context
  EXPECT_OK(cuCtxDisablePeerAccess(contexts_[1]));
  EXPECT_CU(CUDA_ERROR_ILLEGAL_ADDRESS, run(function, theirs));
}

TEST_F(Devices, CopiesNeedNoAccess) {
  const CUdeviceptr to = allocate(2, 1000);
  const CUdeviceptr from = allocate(1, 1000);
  const std::vector<uint8_t> data = counting(1000);
  ASSERT_OK(cuMemcpyHtoD(from, data.data(), data.size()));
  const auto check = [&] {
    std::vector<uint8_t> back(1000);
    EXPECT_OK(cuMemcpyDtoH(back.data(), to, back.size()));
    EXPECT_EQ(back, data);
    EXPECT_OK(cuMemsetD8(to, 0, 1000));
  };
  EXPECT_OK(cuMemcpyPeer(to, contexts_[2], from, contexts_[1], 1000));
  check();
  EXPECT_OK(cuMemcpyDtoD(to, from, 1000));
  check();
  EXPECT_OK(cuMemcpyPeerAsync(to, contexts_[2], from, contexts_[1], 1000, nullptr));
  EXPECT_OK(cuCtxSynchronize());
  check();
  CUDA_MEMCPY3D_PEER box{};
  box.srcMemoryType = box.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  box.srcDevice = from;
  box.dstDevice = to;
  box.srcContext = contexts_[1];
  box.dstContext = contexts_[2];
  box.srcPitch = box.dstPitch = 100;
  box.srcHeight = box.dstHeight = 5;
  box.WidthInBytes = 100;
  box.Height = 5;
  box.Depth = 2;
  EXPECT_OK(cuMemcpy3DPeer(&box));
  check();
  EXPECT_CU(CUDA_ERROR_INVALID_CONTEXT, cuMemcpyPeer(to, nullptr, from, contexts_[1], 1000));
}

TEST_F(Devices, StreamsAndEventsBelongToOne) {
  use(1);
  CUstream theirs = nullptr;
  CUevent their_event = nullptr;
  ASSERT_OK(cuStreamCreate(&theirs, CU_STREAM_NON_BLOCKING));
  ASSERT_OK(cuEventCreate(&their_event, 0));
  CUfunction their_function = add_one();
  const CUdeviceptr number = allocate(1, 4);
  use(0);
  CUfunction function = add_one();
  CUstream ours = nullptr;
  CUevent event = nullptr;
  ASSERT_OK(cuStreamCreate(&ours, CU_STREAM_NON_BLOCKING));
  ASSERT_OK(cuEventCreate(&event, 0));

  EXPECT_CU(CUDA_ERROR_INVALID_HANDLE, run(function, number, theirs));
  EXPECT_CU(CUDA_ERROR_INVALID_HANDLE, run(their_function, number, ours));
  EXPECT_CU(CUDA_ERROR_INVALID_HANDLE, cuEventRecord(event, theirs));
  EXPECT_CU(CUDA_ERROR_INVALID_HANDLE, cuEventRecord(their_event, ours));
  CUdevice device = -1;
  EXPECT_OK(cuStreamGetDevice(theirs, &device));
  EXPECT_EQ(device, 1);

  // A copy may be put into a stream of any device, and streams wait for events of any.
  Gate gate;
  gate.put_into(theirs);
  ASSERT_OK(cuMemsetD32Async(number, 7, 1, theirs));
  ASSERT_OK(cuEventRecord(their_event, theirs));
  ASSERT_OK(cuStreamWaitEvent(ours, their_event, 0));
  ASSERT_OK(cuEventRecord(event, ours));
  EXPECT_CU(CUDA_ERROR_NOT_READY, cuEventQuery(event));
  EXPECT_CU(CUDA_ERROR_NOT_READY, cuEventQuery(their_event));
  EXPECT_CU(CUDA_ERROR_NOT_READY, cuStreamQuery(theirs));
  gate.open();
  EXPECT_OK(cuEventSynchronize(event));
  EXPECT_OK(cuStreamSynchronize(theirs));
  float milliseconds = 0;
  EXPECT_CU(CUDA_ERROR_INVALID_HANDLE, cuEventElapsedTime(&milliseconds, event, their_event));
}

TEST_F(Devices, SynchronizingOneDoesNotWaitForAnother) {
  use(1);
  CUstream theirs = nullptr;
  ASSERT_OK(cuStreamCreate(&theirs, 0));
  Gate gate;
  gate.put_into(theirs);
  use(0);
  EXPECT_OK(cuCtxSynchronize());
  EXPECT_CU(CUDA_ERROR_NOT_READY, cuStreamQuery(theirs));
  gate.open();
  use(1);
  EXPECT_OK(cuCtxSynchronize());
  EXPECT_OK(cuStreamQuery(theirs));
}

TEST_F(Devices, ResettingOneLeavesTheOthers) {
  const CUdeviceptr kept = allocate(0, 4);
  const CUdeviceptr gone = allocate(1, 4);
  ASSERT_OK(cuDevicePrimaryCtxReset(1));
  uint32_t value = 5;
  EXPECT_OK(cuMemcpyHtoD(kept, &value, 4));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD(gone, &value, 4));
  unsigned flags = 0;
  int active = -1;
  EXPECT_OK(cuDevicePrimaryCtxGetState(1, &flags, &active));
  EXPECT_EQ(active, 0);
  EXPECT_OK(cuDevicePrimaryCtxGetState(0, &flags, &active));
  EXPECT_EQ(active, 1);
}

TEST_F(Devices, MappedMemoryHasAccessByDevice) {
  constexpr size_t kBytes = 2 << 20;
  CUmemAllocationProp prop{};
  prop.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  prop.location = {CU_MEM_LOCATION_TYPE_DEVICE, {1}};
  CUmemGenericAllocationHandle memory = 0;
  CUdeviceptr address = 0;
  ASSERT_OK(cuMemCreate(&memory, kBytes, &prop, 0));
  ASSERT_OK(cuMemAddressReserve(&address, kBytes, 0, 0, 0));
  ASSERT_OK(cuMemMap(address, kBytes, 0, memory, 0));
  int ordinal = -1;
  EXPECT_OK(cuPointerGetAttribute(&ordinal, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, address));
  EXPECT_EQ(ordinal, 1);

  CUmemAccessDesc access{};
  access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  access.location = {CU_MEM_LOCATION_TYPE_DEVICE, {0}};
  ASSERT_OK(cuMemSetAccess(address, kBytes, &access, 1));
  unsigned long long flags = 0;
  for (int i = 0; i < kCount; ++i) {
    const CUmemLocation location = {CU_MEM_LOCATION_TYPE_DEVICE, {i}};
    EXPECT_OK(cuMemGetAccess(&flags, &location, address));
    EXPECT_EQ(flags, i == 0 ? CU_MEM_ACCESS_FLAGS_PROT_READWRITE : CU_MEM_ACCESS_FLAGS_PROT_NONE);
  }
  EXPECT_OK(cuMemsetD32(address, 1, 1));
  EXPECT_OK(run(add_one(), address));
  use(1);  // its own memory, but nobody gave it access to these addresses
  EXPECT_CU(CUDA_ERROR_ILLEGAL_ADDRESS, run(add_one(), address));
  EXPECT_OK(cuMemUnmap(address, kBytes));
  EXPECT_OK(cuMemRelease(memory));
  EXPECT_OK(cuMemAddressFree(address, kBytes));
}

TEST_F(Devices, PoolsBelongToOneAndGiveAccess) {
  CUmemoryPool pools[2] = {};
  for (int i = 0; i < 2; ++i) {
    ASSERT_OK(cuDeviceGetDefaultMemPool(&pools[i], i));
  }
  EXPECT_NE(pools[0], pools[1]);
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuDeviceSetMemPool(0, pools[1]));
  CUdeviceptr pointer = 0;
  ASSERT_OK(cuMemAllocFromPoolAsync(&pointer, 4, pools[1], nullptr));
  int ordinal = -1;
  EXPECT_OK(cuPointerGetAttribute(&ordinal, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, pointer));
  EXPECT_EQ(ordinal, 1);

  CUmemAccessDesc access{};
  access.location = {CU_MEM_LOCATION_TYPE_DEVICE, {0}};
  access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  ASSERT_OK(cuMemPoolSetAccess(pools[1], &access, 1));
  EXPECT_OK(run(add_one(), pointer));
  access.flags = CU_MEM_ACCESS_FLAGS_PROT_NONE;
  ASSERT_OK(cuMemPoolSetAccess(pools[1], &access, 1));
  CUmemAccess_flags flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  EXPECT_OK(cuMemPoolGetAccess(&flags, pools[1], &access.location));
  EXPECT_EQ(flags, CU_MEM_ACCESS_FLAGS_PROT_NONE);
  EXPECT_CU(CUDA_ERROR_ILLEGAL_ADDRESS, run(add_one(), pointer));
}

}  // namespace
}  // namespace farlane::softcuda
