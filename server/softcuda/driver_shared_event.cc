#include "server/softcuda/driver_shared_event.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <thread>

namespace farlane::softcuda {
namespace {

constexpr size_t kPageBytes = 4096;
constexpr char kMagic[8] = {'s', 'o', 'f', 't', 'e', 'v', 't', '1'};
constexpr auto kLookEvery = std::chrono::microseconds(50);

struct Handle {
  char magic[sizeof kMagic];
  int32_t process;
  int32_t file;  // of that process
};
static_assert(sizeof(Handle) <= sizeof(CUipcEventHandle));

std::shared_ptr<SharedEvent> map(int file) {
  void* page = file < 0 ? MAP_FAILED
                        : mmap(nullptr, kPageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (page == MAP_FAILED) {
    if (file >= 0) {
      close(file);
    }
    return nullptr;
  }
  return std::make_shared<SharedEvent>(file, page);
}

}  // namespace

std::shared_ptr<SharedEvent> SharedEvent::make() {
  const int file = memfd_create("softcuda-event", MFD_CLOEXEC);
  if (file >= 0 && ftruncate(file, kPageBytes) != 0) {
    close(file);
    return nullptr;
  }
  return map(file);
}

std::shared_ptr<SharedEvent> SharedEvent::open(const CUipcEventHandle& handle) {
  Handle parts;
  std::memcpy(&parts, handle.reserved, sizeof parts);
  if (std::memcmp(parts.magic, kMagic, sizeof kMagic) != 0) {
    return nullptr;
  }
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%d/fd/%d", parts.process, parts.file);
  return map(::open(path, O_RDWR | O_CLOEXEC));
}

SharedEvent::~SharedEvent() {
  munmap(state_, kPageBytes);
  close(file_);
}

CUipcEventHandle SharedEvent::handle() const {
  Handle parts{};
  std::memcpy(parts.magic, kMagic, sizeof kMagic);
  parts.process = getpid();
  parts.file = file_;
  CUipcEventHandle handle{};
  std::memcpy(handle.reserved, &parts, sizeof parts);
  return handle;
}

uint64_t SharedEvent::begin_record() {
  state_->recorder.store(getpid());
  return state_->recorded.fetch_add(1) + 1;
}

void SharedEvent::finish_record(uint64_t number) {
  uint64_t before = state_->done.load();
  while (before < number && !state_->done.compare_exchange_weak(before, number)) {
  }
}

bool SharedEvent::is_done(uint64_t number) const {
  if (state_->done.load() >= number) {
    return true;
  }
  const int32_t recorder = state_->recorder.load();
  return recorder != getpid() && kill(recorder, 0) != 0 && errno == ESRCH;
}

void SharedEvent::wait(uint64_t number) const {
  while (!is_done(number)) {
    std::this_thread::sleep_for(kLookEvery);
  }
}

}  // namespace farlane::softcuda
