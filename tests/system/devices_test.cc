// Several devices in one session: which they are, and memory that one frees while another uses it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <string>

#include "client/core/shared_descriptor.h"
#include "tests/system/rig.h"

namespace farlane::system_test {
namespace {

using client::memory_allocate;
using client::memory_free;

RigOptions with_devices(int64_t devices, uint32_t first_device) {
  RigOptions options;
  options.client.devices = devices;
  options.first_device = first_device;
  return options;
}

std::string bus_of(int device) {
  const client::DeviceFacts* facts = client::device_facts(device);
  return facts == nullptr ? "" : facts->pci_bus_id;
}

std::string driver_bus_of(CUdevice device) {
  char text[32] = "";
  EXPECT_EQ(driver().cuDeviceGetPCIBusId(text, sizeof text, device), CUDA_SUCCESS);
  return text;
}

TEST(Devices, AreInTheDriversOrderWhicheverTheWorkerWasWarmFor) {
  for (uint32_t first = 0; first < kDevices; ++first) {
    const Rig rig(with_devices(0, first));
    ASSERT_EQ(rig.opened(), CUDA_SUCCESS);
    ASSERT_EQ(client::device_count(), kDevices);
    for (int device = 0; device < kDevices; ++device) {
      EXPECT_EQ(bus_of(device), driver_bus_of(device)) << "warm for " << first;
      CUdeviceptr block = 0;
      ASSERT_EQ(memory_allocate(device, 4, &block), CUDA_SUCCESS);
      EXPECT_EQ(client::pointer_facts(block).device, device);
      // Physically there too: the driver, in this process, knows whose it is.
      int owner = -1;
      ASSERT_EQ(driver().cuPointerGetAttribute(&owner, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, block),
                CUDA_SUCCESS);
      EXPECT_EQ(owner, device);
    }
  }
}

TEST(Devices, OneIsTheOneTheWorkerWasWarmFor) {
  const Rig rig(with_devices(1, 1));
  ASSERT_EQ(client::device_count(), 1);
  EXPECT_EQ(bus_of(0), driver_bus_of(1));
  EXPECT_FALSE(client::can_access_peer(0, 1));
}

TEST(Devices, MoreThanThereAreIsAll) {
  const Rig rig(with_devices(64, 0));
  EXPECT_EQ(client::device_count(), kDevices);
}

TEST(Devices, PeerAccessIsGivenOnceAndEndsWithAReset) {
  const Rig rig(with_devices(0, 0));
  EXPECT_TRUE(client::can_access_peer(0, 1));
  EXPECT_EQ(client::peer_access_disable(0, 1), CUDA_ERROR_PEER_ACCESS_NOT_ENABLED);
  EXPECT_EQ(client::peer_access_enable(0, 0), CUDA_ERROR_PEER_ACCESS_UNSUPPORTED);
  EXPECT_EQ(client::peer_access_enable(0, 1), CUDA_SUCCESS);
  EXPECT_EQ(client::peer_access_enable(0, 1), CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED);
  EXPECT_EQ(client::device_reset(1), CUDA_SUCCESS);
  EXPECT_EQ(client::peer_access_disable(0, 1), CUDA_ERROR_PEER_ACCESS_NOT_ENABLED);
  EXPECT_EQ(client::peer_access_enable(0, 1), CUDA_SUCCESS);
  EXPECT_EQ(client::device_synchronize(0), CUDA_SUCCESS);  // the driver had nothing against it
  int value = -1;
  EXPECT_EQ(client::peer_attribute(0, 1, CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED, &value),
            CUDA_SUCCESS);
  EXPECT_EQ(value, 1);
  EXPECT_EQ(client::peer_attribute(0, 0, CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED, &value),
            CUDA_ERROR_INVALID_DEVICE);
}

// A block of device 0 is freed while work of device 1 will still read it. Whoever gets it next must
// not write it before.
TEST(Devices, AFreedBlockWaitsForTheOtherDevicesWork) {
  Rig rig(with_devices(0, 0));
  constexpr size_t kCount = 1000;
  Gate gate;
  ASSERT_EQ(gate.make(), CUDA_SUCCESS);
  CUdeviceptr block = 0;
  CUdeviceptr there = 0;
  ASSERT_EQ(memory_allocate(0, kCount * 4, &block), CUDA_SUCCESS);
  ASSERT_EQ(memory_allocate(1, kCount * 4, &there), CUDA_SUCCESS);
  CUstream ours = nullptr;
  CUstream theirs = nullptr;
  ASSERT_EQ(client::stream_create(0, CU_STREAM_NON_BLOCKING, 0, &ours), CUDA_SUCCESS);
  ASSERT_EQ(client::stream_create(1, CU_STREAM_NON_BLOCKING, 0, &theirs), CUDA_SUCCESS);
  ASSERT_EQ(fill_words(block, 0x11111111, kCount, ours), CUDA_SUCCESS);
  ASSERT_EQ(client::stream_synchronize(ours), CUDA_SUCCESS);

  Kernels kernels;
  ASSERT_EQ(client::make_device_current(1), CUDA_SUCCESS);
  ASSERT_EQ(kernels.load(1), CUDA_SUCCESS);
  ASSERT_EQ(kernels.launch_wait_for(theirs, gate.address()), CUDA_SUCCESS);
  ASSERT_EQ(within(there, block, kCount * 4, theirs), CUDA_SUCCESS);
  ASSERT_EQ(client::make_device_current(0), CUDA_SUCCESS);
  // Device 0 is idle, and says so; that is not all there is to know.
  ASSERT_EQ(client::device_synchronize(0), CUDA_SUCCESS);
  ASSERT_EQ(memory_free(block), CUDA_SUCCESS);
  CUdeviceptr again = 0;
  ASSERT_EQ(memory_allocate(0, kCount * 4, &again), CUDA_SUCCESS);
  ASSERT_EQ(again, block) << "nothing is shown otherwise";
  ASSERT_EQ(fill_words(again, 0x22222222, kCount, ours), CUDA_SUCCESS);
  EXPECT_EQ(client::stream_query(ours), CUDA_ERROR_NOT_READY);
  gate.open();
  ASSERT_EQ(client::stream_synchronize(theirs), CUDA_SUCCESS);
  ASSERT_EQ(client::stream_synchronize(ours), CUDA_SUCCESS);
  std::vector<uint32_t> got(kCount);
  ASSERT_EQ(to_host(got.data(), there, kCount * 4, theirs, false), CUDA_SUCCESS);
  EXPECT_EQ(got, std::vector<uint32_t>(kCount, 0x11111111));
}

TEST(Devices, SynchronizingOneDoesNotWaitForTheOther) {
  Rig rig(with_devices(0, 0));
  Gate gate;
  ASSERT_EQ(gate.make(), CUDA_SUCCESS);
  CUstream theirs = nullptr;
  ASSERT_EQ(client::stream_create(1, CU_STREAM_DEFAULT, 0, &theirs), CUDA_SUCCESS);
  Kernels kernels;
  ASSERT_EQ(client::make_device_current(1), CUDA_SUCCESS);
  ASSERT_EQ(kernels.load(1), CUDA_SUCCESS);
  ASSERT_EQ(kernels.launch_wait_for(theirs, gate.address()), CUDA_SUCCESS);
  ASSERT_EQ(client::make_device_current(0), CUDA_SUCCESS);
  CUdeviceptr block = 0;
  ASSERT_EQ(memory_allocate(0, 4, &block), CUDA_SUCCESS);
  ASSERT_EQ(fill_words(block, 7, 1, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(client::device_synchronize(0), CUDA_SUCCESS);
  EXPECT_EQ(client::stream_query(theirs), CUDA_ERROR_NOT_READY);
  gate.open();
  EXPECT_EQ(client::device_synchronize(1), CUDA_SUCCESS);
  EXPECT_EQ(client::stream_query(theirs), CUDA_SUCCESS);
}

TEST(Devices, WhatIsSharedIsRefusedByWhoeverCannotKnowIt) {
  Rig rig;
  std::array<char, 64> handle{};
  CUdeviceptr address = 0;
  EXPECT_EQ(client::memory_open(handle, 0, &address), CUDA_ERROR_INVALID_HANDLE);
  CUevent event = nullptr;
  EXPECT_EQ(client::event_open(handle, 0, &event), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(client::memory_share(0x1234, handle), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(memory_allocate(0, 4096, &address), CUDA_SUCCESS);
  // This worker has no supervisor that could pass it on.
  EXPECT_EQ(client::memory_share(address, handle), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(client::memory_close(address), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(client::event_create(0, CU_EVENT_DISABLE_TIMING, &event), CUDA_SUCCESS);
  EXPECT_EQ(client::event_share(event, handle), CUDA_ERROR_INVALID_HANDLE);
  // The session goes on.
  EXPECT_EQ(client::device_synchronize(0), CUDA_SUCCESS);
}

// A supervisor that agrees to everything, and counts.
class Agreeing final : public server::Ipc {
 public:
  void set_wake(std::function<void()> wake) override { wake_ = std::move(wake); }
  void share(uint64_t question, const std::string& name, const std::string& data,
             const transport::Fd& fd) override {
    const std::scoped_lock lock(mutex_);
    names_[name] = {0, true, data, copy(fd)};
    answers_.push_back({.question = question, .done = true});
    wake_();
  }
  void open(uint64_t question, const std::string& name) override {
    const std::scoped_lock lock(mutex_);
    const server::IpcAnswer& thing = names_[name];
    answers_.push_back({question, thing.done, thing.data, copy(thing.fd)});
    wake_();
  }
  void forget(const std::string& name) override {
    const std::scoped_lock lock(mutex_);
    names_.erase(name);
  }
  bool take(server::IpcAnswer* answer) override {
    const std::scoped_lock lock(mutex_);
    if (answers_.empty()) return false;
    *answer = std::move(answers_.front());
    answers_.pop_front();
    return true;
  }
  size_t names() {
    const std::scoped_lock lock(mutex_);
    return names_.size();
  }

 private:
  static transport::Fd copy(const transport::Fd& fd) {
    return transport::Fd(fd ? ::fcntl(fd.get(), F_DUPFD_CLOEXEC, 3) : -1);
  }
  std::function<void()> wake_;
  std::mutex mutex_;
  std::map<std::string, server::IpcAnswer> names_;
  std::deque<server::IpcAnswer> answers_;
};

// What a program is told about its blocks, it tells by their ids.
TEST(Devices, BlocksOfBothHaveIdsAndHandlesOfTheirOwn) {
  Agreeing ipc;
  RigOptions options = with_devices(0, 0);
  options.ipc = &ipc;
  Rig rig(options);
  std::array<CUdeviceptr, kDevices> blocks{};
  std::array<std::array<char, 64>, kDevices> handles{};
  for (int device = 0; device < kDevices; ++device) {
    ASSERT_EQ(memory_allocate(device, 4096, &blocks[device]), CUDA_SUCCESS);
    ASSERT_EQ(client::memory_share(blocks[device], handles[device]), CUDA_SUCCESS);
  }
  EXPECT_NE(client::pointer_facts(blocks[0]).id, client::pointer_facts(blocks[1]).id);
  EXPECT_NE(handles[0], handles[1]);
  EXPECT_EQ(ipc.names(), 2u);
}

// Memory of device 1 that device 0 has opened outlives a reset of device 1, and goes with one of
// device 0.
TEST(Devices, OpenedMemoryBelongsToTheDeviceThatOpenedIt) {
  Agreeing ipc;
  RigOptions options = with_devices(0, 0);
  options.ipc = &ipc;
  Rig rig(options);
  CUdeviceptr block = 0;
  std::array<char, 64> handle{};
  ASSERT_EQ(memory_allocate(1, 4096, &block), CUDA_SUCCESS);
  ASSERT_EQ(client::memory_share(block, handle), CUDA_SUCCESS);
  // As if another process had shared it.
  client::SharedHandle theirs;
  std::memcpy(&theirs, handle.data(), sizeof theirs);
  ++theirs.maker;
  std::memcpy(handle.data(), &theirs, sizeof theirs);
  CUdeviceptr opened = 0;
  ASSERT_EQ(client::memory_open(handle, 0, &opened), CUDA_SUCCESS);
  ASSERT_EQ(client::device_reset(1), CUDA_SUCCESS);
  EXPECT_EQ(client::pointer_facts(opened).kind, client::PointerFacts::Kind::kDevice);
  EXPECT_EQ(fill_words(opened, 3, 1024, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(client::device_synchronize(0), CUDA_SUCCESS);
  EXPECT_EQ(client::memory_close(opened), CUDA_SUCCESS);

  ASSERT_EQ(memory_allocate(1, 4096, &block), CUDA_SUCCESS);
  ASSERT_EQ(client::memory_share(block, handle), CUDA_SUCCESS);
  std::memcpy(&theirs, handle.data(), sizeof theirs);
  ++theirs.maker;
  std::memcpy(handle.data(), &theirs, sizeof theirs);
  ASSERT_EQ(client::memory_open(handle, 0, &opened), CUDA_SUCCESS);
  ASSERT_EQ(client::device_reset(0), CUDA_SUCCESS);
  EXPECT_EQ(client::pointer_facts(opened).kind, client::PointerFacts::Kind::kUnknown);
  EXPECT_EQ(client::memory_close(opened), CUDA_ERROR_INVALID_VALUE);
  const CUdeviceptr before = opened;
  ASSERT_EQ(client::memory_open(handle, 0, &opened), CUDA_SUCCESS);
  EXPECT_EQ(opened, before) << "its addresses are free again";
  EXPECT_EQ(fill_words(opened, 4, 1024, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(client::memory_close(opened), CUDA_SUCCESS);
  EXPECT_EQ(client::device_synchronize(0), CUDA_SUCCESS);
}

constexpr size_t kSegmentBytes = client::VirtualMemory::kGranularityBytes;

CUresult make_exportable(int device, CUmemGenericAllocationHandle* memory) {
  CUmemAllocationProp properties{};
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location = {CU_MEM_LOCATION_TYPE_DEVICE, device};
  properties.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  return client::memory_create(kSegmentBytes, properties, memory);
}
CUresult map_anywhere(CUmemGenericAllocationHandle memory, int device, CUdeviceptr* at) {
  CUmemAccessDesc access{};
  access.location = {CU_MEM_LOCATION_TYPE_DEVICE, device};
  access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  CUresult result = client::address_reserve(device, kSegmentBytes, 0, 0, at);
  if (result == CUDA_SUCCESS) result = client::memory_map(*at, kSegmentBytes, memory);
  if (result == CUDA_SUCCESS) result = client::memory_set_access(*at, kSegmentBytes, {&access, 1});
  return result;
}
uint32_t word_at(CUdeviceptr at) {
  uint32_t word = 0;
  EXPECT_EQ(to_host(&word, at, sizeof word, nullptr, false), CUDA_SUCCESS);
  return word;
}

TEST(Devices, ADescriptorIsTheMemoryWhoeverHasIt) {
  Agreeing ipc;
  RigOptions options = with_devices(0, 0);
  options.ipc = &ipc;
  Rig rig(options);
  CUmemGenericAllocationHandle memory = 0;
  CUmemGenericAllocationHandle imported = 0;
  CUdeviceptr here = 0;
  CUdeviceptr there = 0;
  int first = -1;
  int second = -1;
  ASSERT_EQ(make_exportable(1, &memory), CUDA_SUCCESS);
  ASSERT_EQ(client::memory_export(memory, &first), CUDA_SUCCESS);
  ASSERT_EQ(client::memory_export(memory, &second), CUDA_SUCCESS);
  EXPECT_NE(first, second) << "each the caller's to close";
  EXPECT_EQ(ipc.names(), 1u);
  ::close(first);
  // It is on device 1, whatever the importer's current one is.
  ASSERT_EQ(client::memory_import(second, 0, &imported), CUDA_SUCCESS);
  ::close(second);
  CUmemAllocationProp properties{};
  ASSERT_EQ(client::memory_properties(imported, &properties), CUDA_SUCCESS);
  EXPECT_EQ(properties.location.id, 1);
  EXPECT_EQ(properties.type, CU_MEM_ALLOCATION_TYPE_PINNED);
  ASSERT_EQ(map_anywhere(memory, 1, &here), CUDA_SUCCESS);
  ASSERT_EQ(map_anywhere(imported, 1, &there), CUDA_SUCCESS);
  EXPECT_TRUE(client::pointer_facts(there).mapped_by_program);
  ASSERT_EQ(fill_words(here, 42, 16, nullptr), CUDA_SUCCESS);
  ASSERT_EQ(client::device_synchronize(1), CUDA_SUCCESS);
  EXPECT_EQ(word_at(there), 42u);
  // What is opened outlives the name.
  EXPECT_EQ(client::memory_unmap(here, kSegmentBytes), CUDA_SUCCESS);
  EXPECT_EQ(client::memory_release(memory), CUDA_SUCCESS);
  EXPECT_EQ(word_at(there), 42u);
  EXPECT_EQ(ipc.names(), 0u);
  EXPECT_EQ(client::memory_unmap(there, kSegmentBytes), CUDA_SUCCESS);
  EXPECT_EQ(client::memory_release(imported), CUDA_SUCCESS);
}

TEST(Devices, ADescriptorKeepsItsMemoryUntilItIsClosed) {
  Agreeing ipc;
  RigOptions options;
  options.ipc = &ipc;
  Rig rig(options);
  const uint64_t before = device_free_bytes();
  CUmemGenericAllocationHandle memory = 0;
  CUdeviceptr at = 0;
  int descriptor = -1;
  ASSERT_EQ(make_exportable(0, &memory), CUDA_SUCCESS);
  ASSERT_EQ(map_anywhere(memory, 0, &at), CUDA_SUCCESS);
  ASSERT_EQ(fill_words(at, 42, 16, nullptr), CUDA_SUCCESS);
  ASSERT_EQ(client::memory_export(memory, &descriptor), CUDA_SUCCESS);
  EXPECT_EQ(client::memory_release(memory), CUDA_SUCCESS);
  EXPECT_EQ(client::memory_unmap(at, kSegmentBytes), CUDA_SUCCESS);
  EXPECT_EQ(client::memory_export(memory, &descriptor), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(client::memory_import(descriptor, 0, &memory), CUDA_SUCCESS);
  ASSERT_EQ(map_anywhere(memory, 0, &at), CUDA_SUCCESS);
  EXPECT_EQ(word_at(at), 42u);
  EXPECT_EQ(client::memory_unmap(at, kSegmentBytes), CUDA_SUCCESS);
  EXPECT_EQ(client::memory_release(memory), CUDA_SUCCESS);
  // Closed: whatever asks for memory, or how much there is, gives it back.
  ::close(descriptor);
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  EXPECT_EQ(client::memory_info(0, &free_bytes, &total_bytes), CUDA_SUCCESS);
  EXPECT_EQ(client::device_synchronize(0), CUDA_SUCCESS);
  EXPECT_EQ(ipc.names(), 0u);
  EXPECT_EQ(device_free_bytes(), before);
}

TEST(Devices, DescriptorsThatAreNoneAreRefused) {
  Agreeing ipc;
  RigOptions options;
  options.ipc = &ipc;
  Rig rig(options);
  CUmemGenericAllocationHandle memory = 0;
  int ends[2] = {-1, -1};
  ASSERT_EQ(::pipe(ends), 0);
  const auto refused = [&](int descriptor) {
    return client::memory_import(descriptor, 0, &memory) == CUDA_ERROR_INVALID_VALUE;
  };
  EXPECT_TRUE(refused(-1));
  EXPECT_TRUE(refused(ends[0]));
  ::close(ends[0]);
  ::close(ends[1]);
  EXPECT_TRUE(refused(ends[0]));
  // As of another server, or of a session that ended: the file is right, the name is not known.
  client::SharedHandle handle;
  handle.magic = {'F', 'L', 'S', '1'};
  handle.kind = client::SharedHandle::Kind::kPhysical;
  handle.bytes = kSegmentBytes;
  const auto refused_as = [&](const client::SharedHandle& one) {
    const transport::Fd made(client::SharedDescriptor::make(one)->open());
    return refused(made.get());
  };
  EXPECT_TRUE(refused_as(handle));
  client::SharedHandle wrong = handle;
  wrong.magic[3] = '2';
  EXPECT_TRUE(refused_as(wrong));
  wrong = handle;
  wrong.kind = client::SharedHandle::Kind::kMemory;
  EXPECT_TRUE(refused_as(wrong));
  // Known, but not as large as it says.
  int descriptor = -1;
  ASSERT_EQ(make_exportable(0, &memory), CUDA_SUCCESS);
  ASSERT_EQ(client::memory_export(memory, &descriptor), CUDA_SUCCESS);
  ASSERT_TRUE(client::read_shared_descriptor(descriptor, &handle));
  ::close(descriptor);
  wrong = handle;
  wrong.bytes *= 2;
  CUmemGenericAllocationHandle imported = 0;
  const transport::Fd larger(client::SharedDescriptor::make(wrong)->open());
  EXPECT_EQ(client::memory_import(larger.get(), 0, &imported), CUDA_ERROR_INVALID_VALUE);
  // Not made for it, not one at all, and released.
  CUmemAllocationProp properties{};
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location = {CU_MEM_LOCATION_TYPE_DEVICE, 0};
  CUmemGenericAllocationHandle plain = 0;
  ASSERT_EQ(client::memory_create(kSegmentBytes, properties, &plain), CUDA_SUCCESS);
  EXPECT_EQ(client::memory_export(plain, &descriptor), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(client::memory_export(12345, &descriptor), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(client::memory_release(plain), CUDA_SUCCESS);
  EXPECT_EQ(client::memory_release(memory), CUDA_SUCCESS);
  EXPECT_EQ(client::memory_export(memory, &descriptor), CUDA_ERROR_INVALID_VALUE);
  // The session goes on.
  EXPECT_EQ(client::device_synchronize(0), CUDA_SUCCESS);
}

TEST(Devices, WithoutASupervisorNothingIsExported) {
  Rig rig;
  CUmemGenericAllocationHandle memory = 0;
  int descriptor = -1;
  ASSERT_EQ(make_exportable(0, &memory), CUDA_SUCCESS);
  EXPECT_EQ(client::memory_export(memory, &descriptor), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(descriptor, -1);
  EXPECT_EQ(client::memory_release(memory), CUDA_SUCCESS);
  EXPECT_EQ(client::device_synchronize(0), CUDA_SUCCESS);
}

// Programs ask for an event's handle as often as they like; the server keeps one name.
TEST(Devices, AnEventIsSharedOnce) {
  Agreeing ipc;
  RigOptions options;
  options.ipc = &ipc;
  Rig rig(options);
  CUevent event = nullptr;
  ASSERT_EQ(client::event_create(0, CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING, &event),
            CUDA_SUCCESS);
  std::array<char, 64> first{};
  ASSERT_EQ(client::event_share(event, first), CUDA_SUCCESS);
  for (int i = 0; i < 3; ++i) {
    std::array<char, 64> again{};
    ASSERT_EQ(client::event_share(event, again), CUDA_SUCCESS);
    EXPECT_EQ(again, first);
  }
  EXPECT_EQ(ipc.names(), 1u);
  ASSERT_EQ(client::event_destroy(event), CUDA_SUCCESS);
  // Another one in its place has a handle of its own.
  ASSERT_EQ(client::event_create(0, CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING, &event),
            CUDA_SUCCESS);
  std::array<char, 64> other{};
  ASSERT_EQ(client::event_share(event, other), CUDA_SUCCESS);
  EXPECT_NE(other, first);
  EXPECT_EQ(ipc.names(), 1u);
}

}  // namespace
}  // namespace farlane::system_test
