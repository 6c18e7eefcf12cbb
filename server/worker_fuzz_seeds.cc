// Writes the fuzz target's seed corpus: small whole sessions that reach every command.
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "generated/protocol/messages.h"
#include "protocol/append.h"
#include "server/image_cache.h"

namespace {

using namespace farlane;
namespace message = protocol::message;
using protocol::EventId;
using protocol::KernelId;
using protocol::ModuleId;
using protocol::StreamId;

constexpr uint64_t kBase = 0x1000'0000'0000;
constexpr uint64_t kGranule = 2u << 20;
constexpr StreamId kLegacy = StreamId::legacy(0);
// Of a library that there is not: another one might be loaded.
constexpr uint32_t kFunction = 999 << 16 | 1;

class Session {
 public:
  template <class M>
  Session& add(const M& message) {
    protocol::append_record(head_, message, 0);
    return *this;
  }
  Session& end_frame(std::span<const std::byte> body = {}) {
    const uint32_t sizes[2] = {static_cast<uint32_t>(head_.size()),
                               static_cast<uint32_t>(body.size())};
    const auto prefix = std::as_bytes(std::span(sizes));
    bytes_.insert(bytes_.end(), prefix.begin(), prefix.end());
    bytes_.insert(bytes_.end(), head_.begin(), head_.end());
    bytes_.insert(bytes_.end(), body.begin(), body.end());
    head_.clear();
    return *this;
  }
  void write(const std::filesystem::path& folder, const char* name) {
    if (!head_.empty()) end_frame();
    std::ofstream out(folder / name, std::ios::binary);
    out.write(reinterpret_cast<const char*>(bytes_.data()),
              static_cast<std::streamsize>(bytes_.size()));
  }

 private:
  std::vector<std::byte> head_;
  std::vector<std::byte> bytes_;
};

Session with_memory() {
  Session session;
  session.add(message::ExtentCreate{0, kBase, kGranule}).end_frame();
  return session;
}

Session with_module() {
  static const std::string ptx = ".version 8.0\nvprintf\n";
  const auto image = std::as_bytes(std::span(ptx));
  const message::ImageHash hash = server::hash_image(image);
  Session session = with_memory();
  session.add(message::ModuleLoad{ModuleId::make(0, 0), 0, {&hash, 1}}).end_frame();
  session.add(message::ImagePart{hash, image.size(), 0}).end_frame(image);
  session.add(message::ModuleLoad{ModuleId::make(0, 0), 0, {&hash, 1}});
  session.add(message::KernelBind{KernelId::make(0, 0), ModuleId::make(0, 0), "k"}).end_frame();
  return session;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
    return 2;
  }
  const std::filesystem::path folder = argv[1];
  std::filesystem::create_directories(folder);
  const std::vector<std::byte> data(6000, std::byte{1});
  const auto some = std::span(data).first(100);
  const StreamId stream = StreamId::make(0, 0);
  const EventId event = EventId::make(0, 0);
  const KernelId kernel = KernelId::make(0, 0);
  const ModuleId module = ModuleId::make(0, 0);

  with_memory()
      .add(message::MemoryInfo{0})
      .add(message::ReuseFence{0})
      .add(message::ExtentCreate{1, kBase + (4ull << 40), kGranule})
      .add(message::ExtentRelease{0, kBase, kGranule})
      .add(message::ExtentCreate{0, kBase, kGranule})
      .add(message::MemoryInfo{0})
      .add(message::DeviceSynchronize{0})
      .write(folder, "memory");
  Session()
      .add(message::WindowsReserve{0x2000'0000'0000, 1ull << 40})
      .add(message::ExtentCreate{0, 0x2000'0000'0000, kGranule})
      .add(message::DeviceReset{0})
      .add(message::ClientAlive{})
      .add(message::Echo{7})
      .add(message::LimitGet{0, 0})
      .add(message::LimitSet{0, 0, 4096})
      .write(folder, "session");
  with_memory()
      .add(message::CopyIn{kLegacy, kBase, 0, 100, 1, some})
      .add(message::CopyIn{kLegacy, kBase, 64, 10, 10, some})
      .add(message::CopyIn{kLegacy, kBase, 0, data.size(), 1, {}})
      .end_frame(data)
      .add(message::CopyIn{kLegacy, kBase, 4096, 60, 100, {}})
      .end_frame(data)
      .add(message::CopyWithin{kLegacy, kBase + 4096, 0, kBase, 0, 100, 1})
      .add(message::CopyWithin{kLegacy, kBase + 4096, 64, kBase, 32, 16, 4})
      .add(message::Fill{kLegacy, kBase, 0, 7, 4, 100, 1})
      .add(message::Fill{kLegacy, kBase, 64, 7, 2, 10, 3})
      .add(message::CopyOut{kLegacy, kBase, 0, 100, 1, 1})
      .add(message::CopyOut{kLegacy, kBase, 0, 100'000, 1, 2})
      .add(message::CopyOut{kLegacy, kBase, 8192, 5000, 20, 3})
      .add(message::StreamSynchronize{kLegacy})
      .write(folder, "copies");
  // The hello is command 1 and the extent command 2. Data come before, after and without their
  // copy.
  with_memory()
      .add(message::CopyInLanes{kLegacy, kBase, 0, 2 * data.size(), 1})
      .end_frame()
      .add(message::LaneData{3, data.size()})
      .end_frame(data)
      .add(message::LaneData{3, 0})
      .end_frame(data)
      .add(message::LaneData{4, 0})
      .end_frame(some)
      .add(message::CopyInLanes{kLegacy, kBase + 4096, 64, 10, 10})
      .add(message::CopyOutLanes{kLegacy, kBase, 0, 200'000, 1, 1})
      .add(message::CopyOutLanes{kLegacy, kBase, 8192, 5000, 20, 2})
      .add(message::Echo{7})
      .add(message::StreamSynchronize{kLegacy})
      .add(message::WorkerTimes{})
      .end_frame()
      .add(message::LaneData{9, 0})
      .end_frame(some)
      .write(folder, "lanes");
  with_memory()
      .add(message::StreamCreate{stream, 0, 1, 0})
      .add(message::EventCreate{event, 0, 0})
      .add(message::Fill{stream, kBase, 0, 7, 1, 10, 1})
      .add(message::EventRecord{event, stream, 0})
      .add(message::StreamWait{kLegacy, event, 0})
      .add(message::EventSynchronize{event})
      .add(message::EventRecord{event, kLegacy, 0})
      .add(message::EventQuery{event})
      .add(message::StreamQuery{stream})
      .add(message::EventElapsed{event, event})
      .add(message::StreamSynchronize{stream})
      .end_frame()
      .add(message::StreamDestroy{stream})
      .add(message::EventDestroy{event})
      .add(message::DeviceSynchronize{0})
      .write(folder, "streams");
  message::Launch launch{kLegacy, kernel, 1, 1, 1, 32, 1, 1, 0, {}, std::span(data).first(24)};
  Session launches = with_module();
  launches.add(launch);
  message::LaunchAttribute attribute;
  attribute.id = 2;
  launch.attributes = {&attribute, 1};
  launches.add(launch)
      .add(message::KernelSet{kernel, 8, 65536})
      .add(message::KernelCache{kernel, 1})
      .add(message::KernelFactsGet{kernel})
      .add(message::KernelsMore{module, 1})
      .add(message::OccupancyBlocks{kernel, 128, 0, 0})
      .add(message::OccupancyShared{kernel, 1, 128})
      .add(message::VariableFind{module, "v"})
      .add(message::Fill{kLegacy, 0x5040, 0, 1, 1, 8, 1})
      .add(message::DeviceSynchronize{0})
      .add(message::ModuleUnload{module})
      .add(message::DeviceReset{0})
      .write(folder, "launches");
  // The library is not there, so the calls end their session; what comes before them is taken in.
  for (const bool is_asked : {false, true}) {
    Session calls;
    calls.add(message::CudaxOpen{kFunction >> 16})
        .add(message::CudaxPiece{1, 2 * data.size(), data})
        .add(message::CudaxPiece{2, some.size(), some})
        .end_frame()
        .add(message::CudaxPiece{1, 2 * data.size(), data})
        .add(message::Echo{7});
    if (is_asked) {
      calls.add(message::CudaxLongAsk{kLegacy, kFunction, 1});
    } else {
      calls.add(message::CudaxLongCall{kLegacy, kFunction, 2});
    }
    calls.write(folder, is_asked ? "long_ask" : "long_call");
  }
  Session().add(message::CudaxResults{1}).write(folder, "results");
  Session()
      .add(message::CudaxAsk{kLegacy, kFunction, some})
      .add(message::CudaxCall{kLegacy, kFunction, some})
      .write(folder, "library");
  return 0;
}
