// Commands about host memory that client and worker share: the devices read and write it
// themselves, so a copy is one call of the driver.
#include <fmt/format.h>

#include "server/executor.h"

namespace farlane::server {
namespace {

// One row where rows lie without gaps.
bool is_linear(uint64_t to_pitch, uint64_t from_pitch, uint64_t width, uint64_t height) {
  return height == 1 || (to_pitch == width && from_pitch == width);
}

}  // namespace

bool Executor::on(const RecordHeader& header, const message::HostMap& map) {
  const transport::Fd memory = channel_.take_memory();
  if (shared_.exists(map.region)) {
    return fault(header, fmt::format("host region {} exists", map.region));
  }
  CUresult result = make_current(*host_.devices[0]);
  if (result == CUDA_SUCCESS) result = shared_.map(map.region, map.bytes, memory);
  return answer(header.sequence, message::HostMapReply{}, result);
}

bool Executor::on(const RecordHeader& header, const message::HostUnmap& unmap) {
  if (!shared_.retire(unmap.region)) {
    return fault(header, fmt::format("host region {} does not exist", unmap.region));
  }
  Wait& wait = new_wait(Then::kHostUnmap, header.sequence, host_.devices[0].get());
  wait.address = unmap.region;
  CUresult result = CUDA_SUCCESS;
  for (uint32_t i = 0; i < device_count_ && result == CUDA_SUCCESS; ++i) {
    Device& user = *host_.devices[i];
    if (!user.is_active()) continue;
    result = make_current(user);
    if (result == CUDA_SUCCESS) result = user.mark_all(&wait.marks);
  }
  return posted(header, result, [&] { return fmt::format("host region {}", unmap.region); });
}

template <class Copy>
bool Executor::copy_shared(const RecordHeader& header, const Copy& copy, bool to_device) {
  const uint64_t device = to_device ? copy.to : copy.from;
  const uint64_t device_pitch = to_device ? copy.to_pitch : copy.from_pitch;
  const uint64_t pitch = to_device ? copy.from_pitch : copy.to_pitch;
  const auto subject = [&] {
    return fmt::format("{} rows of {} bytes {} {:#x}", copy.height, copy.width,
                       to_device ? "to" : "from", device);
  };
  CUresult result = CUDA_SUCCESS;
  const StreamRef* stream = find_stream(header, copy.stream, &result);
  if (stream == nullptr) return posted(header, result, subject);
  std::byte* const host =
      shared_.find(copy.region, to_device ? copy.from : copy.to, pitch, copy.width, copy.height);
  if (host == nullptr) {
    return fault(header,
                 fmt::format("{} bytes are not in host region {}", copy.width, copy.region));
  }
  if (!may_touch(device, device_pitch, copy.width, copy.height)) {
    return posted(header, CUDA_ERROR_INVALID_VALUE, subject);
  }
  result = (*stream)->device->use(**stream);
  const CUstream on = (*stream)->handle;
  if (result != CUDA_SUCCESS) return posted(header, result, subject);
  if (is_linear(copy.to_pitch, copy.from_pitch, copy.width, copy.height)) {
    const uint64_t bytes = copy.width * copy.height;
    result = to_device ? driver_.cuMemcpyHtoDAsync(device, host, bytes, on)
                       : driver_.cuMemcpyDtoHAsync(host, device, bytes, on);
  } else {
    CUDA_MEMCPY2D box{};
    box.WidthInBytes = copy.width;
    box.Height = copy.height;
    box.srcPitch = copy.from_pitch;
    box.dstPitch = copy.to_pitch;
    box.srcMemoryType = to_device ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE;
    box.dstMemoryType = to_device ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST;
    box.srcHost = to_device ? host : nullptr;
    box.srcDevice = to_device ? 0 : device;
    box.dstHost = to_device ? nullptr : host;
    box.dstDevice = to_device ? device : 0;
    result = driver_.cuMemcpy2DAsync(&box, on);
  }
  return posted(header, result, subject);
}

bool Executor::on(const RecordHeader& header, const message::CopyInShared& copy) {
  return copy_shared(header, copy, true);
}

bool Executor::on(const RecordHeader& header, const message::CopyOutShared& copy) {
  return copy_shared(header, copy, false);
}

}  // namespace farlane::server
