// Launch attributes, and what else the driver is asked about launches: clusters, tensor maps.
#include <fmt/format.h>

#include <array>
#include <cstring>

#include "protocol/launch_attributes.h"
#include "protocol/limits.h"
#include "server/executor.h"
#include "server/module.h"

namespace farlane::server {
namespace {

static_assert(sizeof(message::LaunchAttribute::value) == sizeof(CUlaunchAttributeValue));

// Numbers of the API that protocol/launch_attributes.h has to name without it.
template <uint32_t... kIds>
constexpr bool are_plain = (protocol::is_plain_launch_attribute(kIds) && ...);
static_assert(
    are_plain<CU_LAUNCH_ATTRIBUTE_IGNORE, CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW,
              CU_LAUNCH_ATTRIBUTE_COOPERATIVE, CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY,
              CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION,
              CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE,
              CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION, CU_LAUNCH_ATTRIBUTE_PRIORITY,
              CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP, CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN,
              CU_LAUNCH_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION,
              CU_LAUNCH_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT,
              CU_LAUNCH_ATTRIBUTE_NVLINK_UTIL_CENTRIC_SCHEDULING>);
static_assert(protocol::records_event(CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT) &&
              protocol::records_event(CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT));
static_assert(protocol::launch_attribute_kind(CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE) ==
              protocol::LaunchAttributeKind::kOther);
static_assert(offsetof(CUlaunchAttributeValue, programmaticEvent.event) == 0);
static_assert(offsetof(CUlaunchAttributeValue, launchCompletionEvent.event) == 0);

// The arguments of a tensor map that are arrays, in order.
class Numbers {
 public:
  explicit Numbers(std::span<const message::TensorMapNumber> numbers) : numbers_(numbers) {}
  // Fewer than asked for: the rest is 0, and is_whole() says so.
  template <class Value, size_t kCount>
  void take(std::array<Value, kCount>* out, size_t count) {
    for (size_t i = 0; i < count; ++i) (*out)[i] = next<Value>();
  }
  template <class Value>
  Value next() {
    if (at_ == numbers_.size()) {
      is_short_ = true;
      return Value{};
    }
    return static_cast<Value>(numbers_[at_++].value);
  }
  bool is_whole() const { return !is_short_ && at_ == numbers_.size(); }

 private:
  std::span<const message::TensorMapNumber> numbers_;
  size_t at_ = 0;
  bool is_short_ = false;
};

}  // namespace

CUresult Executor::translate(const RecordHeader& header,
                             std::span<const message::LaunchAttribute> attributes,
                             std::vector<CUlaunchAttribute>* out) {
  for (const message::LaunchAttribute& attribute : attributes) {
    CUlaunchAttribute& taken = out->emplace_back();
    taken = {};
    taken.id = static_cast<CUlaunchAttributeID>(attribute.id);
    std::memcpy(&taken.value, attribute.value.data(), sizeof taken.value);
    if (protocol::is_plain_launch_attribute(attribute.id)) continue;
    if (!protocol::records_event(attribute.id)) return CUDA_ERROR_NOT_SUPPORTED;
    uint64_t bits = 0;
    std::memcpy(&bits, attribute.value.data(), sizeof bits);
    CUresult result = CUDA_SUCCESS;
    Event* event = find_event(header, protocol::EventId::from_bits(bits), &result);
    if (event == nullptr) return result;
    if (event->driver.is_shared()) {
      // Somebody waits for the record before; that must not become this one.
      result = EventRef::create(driver_, event->flags, &event->driver);
      if (result != CUDA_SUCCESS) return result;
    }
    const CUevent handle = event->driver.handle();
    std::memcpy(&taken.value, &handle, sizeof handle);
  }
  return CUDA_SUCCESS;
}

bool Executor::on(const RecordHeader& header, const message::StreamSet& set) {
  CUresult result = CUDA_SUCCESS;
  const StreamRef* stream = find_stream(header, set.stream, &result);
  if (stream != nullptr && !protocol::is_plain_launch_attribute(set.id)) {
    result = CUDA_ERROR_NOT_SUPPORTED;
  } else if (stream != nullptr && driver_.cuStreamSetAttribute != nullptr) {
    // A device without it takes them as the hints that they are.
    CUstreamAttrValue value{};
    std::memcpy(&value, set.value.data(), sizeof value);
    result = driver_.cuStreamSetAttribute((*stream)->handle, static_cast<CUstreamAttrID>(set.id),
                                          &value);
  }
  return posted(header, result,
                [&] { return fmt::format("attribute {} of {}", set.id, describe(set.stream)); });
}

bool Executor::on(const RecordHeader& header, const message::OccupancyClusters& clusters) {
  CUresult result = CUDA_SUCCESS;
  message::OccupancyClustersReply reply;
  const Kernel* kernel = find_kernel(header, clusters.kernel, &result);
  const auto question = clusters.potential != 0 ? driver_.cuOccupancyMaxPotentialClusterSize
                                                : driver_.cuOccupancyMaxActiveClusters;
  if (kernel != nullptr && question == nullptr) result = CUDA_ERROR_NOT_SUPPORTED;
  if (kernel != nullptr && question != nullptr) {
    launch_attributes_.clear();
    result = translate(header, clusters.attributes, &launch_attributes_);
    if (end_ != SessionEnd::kNotYet) return false;
    CUlaunchConfig config{};
    config.gridDimX = clusters.grid_x;
    config.gridDimY = clusters.grid_y;
    config.gridDimZ = clusters.grid_z;
    config.blockDimX = clusters.block_x;
    config.blockDimY = clusters.block_y;
    config.blockDimZ = clusters.block_z;
    config.sharedMemBytes = clusters.shared_bytes;
    config.attrs = launch_attributes_.data();
    config.numAttrs = static_cast<unsigned>(launch_attributes_.size());
    if (result == CUDA_SUCCESS) result = question(&reply.value, kernel->function, &config);
  }
  return answer(header.sequence, reply, result);
}

bool Executor::on(const RecordHeader& header, const message::TensorMapEncode& encode) {
  constexpr size_t kRankMax = 5;
  message::TensorMapEncodeReply reply;
  if (encode.rank == 0 || encode.rank > kRankMax) {
    return answer(header.sequence, reply, CUDA_ERROR_INVALID_VALUE);
  }
  Numbers numbers(encode.numbers);
  std::array<cuuint64_t, kRankMax> dims{};
  std::array<cuuint64_t, kRankMax> strides{};
  std::array<cuuint32_t, kRankMax> box{};
  std::array<cuuint32_t, kRankMax> element_strides{};
  std::array<int, kRankMax> lower{};
  std::array<int, kRankMax> upper{};
  numbers.take(&dims, encode.rank);
  numbers.take(&strides, encode.rank - 1);
  const auto type = static_cast<CUtensorMapDataType>(encode.data_type);
  const auto interleave = static_cast<CUtensorMapInterleave>(encode.interleave);
  const auto swizzle = static_cast<CUtensorMapSwizzle>(encode.swizzle);
  const auto promotion = static_cast<CUtensorMapL2promotion>(encode.l2_promotion);
  const auto fill = static_cast<CUtensorMapFloatOOBfill>(encode.oob_fill);
  auto* const address = reinterpret_cast<void*>(encode.address);
  CUtensorMap map{};
  CUresult result = CUDA_ERROR_NOT_SUPPORTED;
  if (encode.kind == 0) {
    numbers.take(&box, encode.rank);
    numbers.take(&element_strides, encode.rank);
    if (driver_.cuTensorMapEncodeTiled != nullptr && numbers.is_whole()) {
      result = driver_.cuTensorMapEncodeTiled(&map, type, encode.rank, address, dims.data(),
                                              strides.data(), box.data(), element_strides.data(),
                                              interleave, swizzle, promotion, fill);
    }
  } else {
    const size_t corners = encode.kind == 2 ? 1 : encode.rank < 2 ? 0 : encode.rank - 2;
    numbers.take(&lower, corners);
    numbers.take(&upper, corners);
    const auto channels = numbers.next<cuuint32_t>();
    const auto pixels = numbers.next<cuuint32_t>();
    numbers.take(&element_strides, encode.rank);
    if (encode.kind == 1 && driver_.cuTensorMapEncodeIm2col != nullptr && numbers.is_whole()) {
      result = driver_.cuTensorMapEncodeIm2col(
          &map, type, encode.rank, address, dims.data(), strides.data(), lower.data(), upper.data(),
          channels, pixels, element_strides.data(), interleave, swizzle, promotion, fill);
    }
    if (encode.kind == 2 && driver_.cuTensorMapEncodeIm2colWide != nullptr && numbers.is_whole()) {
      result = driver_.cuTensorMapEncodeIm2colWide(
          &map, type, encode.rank, address, dims.data(), strides.data(), lower[0], upper[0],
          channels, pixels, element_strides.data(), interleave,
          static_cast<CUtensorMapIm2ColWideMode>(encode.mode), swizzle, promotion, fill);
    }
  }
  if (!numbers.is_whole()) return fault(header, "a tensor map with too many or too few numbers");
  static_assert(sizeof map == sizeof reply.map);
  std::memcpy(reply.map.data(), &map, sizeof map);
  return answer(header.sequence, reply, result);
}

bool Executor::on(const RecordHeader& header, const message::TensorMapMove& move) {
  message::TensorMapMoveReply reply;
  CUtensorMap map{};
  std::memcpy(&map, move.map.data(), sizeof map);
  CUresult result = CUDA_ERROR_NOT_SUPPORTED;
  if (driver_.cuTensorMapReplaceAddress != nullptr) {
    result = driver_.cuTensorMapReplaceAddress(&map, reinterpret_cast<void*>(move.address));
  }
  std::memcpy(reply.map.data(), &map, sizeof map);
  return answer(header.sequence, reply, result);
}

}  // namespace farlane::server
