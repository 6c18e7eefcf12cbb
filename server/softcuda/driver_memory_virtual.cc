// Virtual memory management: reservations, physical memory and the mappings between them. Physical
// memory is one sparse memory file; a handle is a part of it that no other handle ever had, so
// fresh memory is zero and a released one's pages go back to the system at once.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <mutex>

#include "server/softcuda/driver_memory.h"
#include "server/softcuda/driver_scheduler.h"

namespace farlane::softcuda {
namespace {

constexpr uint64_t kFileBytesMax = uint64_t{1} << 46;
constexpr char kSharedFile[] = "/memfd:softcuda-%d (deleted)";  // as the system shows its name

void* pointer(uint64_t address) {
  return reinterpret_cast<void*>(address);
}

constexpr int kReserveFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

bool overflows(uint64_t address, uint64_t bytes) {
  return address + bytes < address;
}

bool granular(uint64_t value) {
  return value % kGranularityBytes == 0;
}

}  // namespace

PhysicalMemory::~PhysicalMemory() {
  DeviceMemory& memory = DeviceMemory::instance();
  if (file >= 0) {
    close(file);
    const std::unique_lock lock(memory.mutex_);
    memory.give_back(device, is_borrowed ? 0 : bytes);
    return;
  }
  fallocate(memory.physical_file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
            static_cast<off_t>(file_offset), static_cast<off_t>(bytes));
  const std::unique_lock lock(memory.mutex_);
  memory.give_back(device, bytes);
}

CUresult DeviceMemory::borrow_physical(int file, std::shared_ptr<PhysicalMemory>* physical) {
  char link[64];
  char name[64] = "";
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  int device = -1;
  struct stat facts {};
  if (readlink(link, name, sizeof name - 1) < 0 || std::sscanf(name, kSharedFile, &device) != 1 ||
      device < 0 || device >= device_count() || fstat(file, &facts) != 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  auto made = std::make_shared<PhysicalMemory>();
  made->device = device;
  made->bytes = static_cast<uint64_t>(facts.st_size);
  made->is_borrowed = true;
  made->file = fcntl(file, F_DUPFD_CLOEXEC, 0);
  if (made->file < 0) {
    return CUDA_ERROR_OPERATING_SYSTEM;
  }
  *physical = std::move(made);
  return CUDA_SUCCESS;
}

CUresult DeviceMemory::create_physical(CUdevice device, uint64_t bytes, bool shareable,
                                       std::shared_ptr<PhysicalMemory>* physical) {
  if (bytes == 0 || !granular(bytes)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const std::unique_lock lock(mutex_);
  if (shareable) {
    if (!take(device, bytes)) {
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
    char name[32];
    std::snprintf(name, sizeof name, "softcuda-%d", device);
    const int file = memfd_create(name, MFD_CLOEXEC);
    if (file < 0 || ftruncate(file, static_cast<off_t>(bytes)) != 0) {
      give_back(device, bytes);
      if (file >= 0) {
        close(file);
      }
      return CUDA_ERROR_OPERATING_SYSTEM;
    }
    auto made = std::make_shared<PhysicalMemory>();
    made->device = device;
    made->bytes = bytes;
    made->file = file;
    *physical = std::move(made);
    return CUDA_SUCCESS;
  }
  if (physical_file_ < 0) {
    physical_file_ = memfd_create("softcuda-memory", MFD_CLOEXEC);
    if (physical_file_ < 0 || ftruncate(physical_file_, static_cast<off_t>(kFileBytesMax)) != 0) {
      return CUDA_ERROR_OPERATING_SYSTEM;
    }
  }
  if (bytes > kFileBytesMax - next_file_offset_ || !take(device, bytes)) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  auto made = std::make_shared<PhysicalMemory>();
  made->device = device;
  made->bytes = bytes;
  made->file_offset = next_file_offset_;
  next_file_offset_ += bytes;
  *physical = std::move(made);
  return CUDA_SUCCESS;
}

CUresult DeviceMemory::reserve(uint64_t bytes, uint64_t alignment, uint64_t hint,
                               uint64_t* address) {
  if (bytes == 0 || !granular(bytes) || (alignment & (alignment - 1)) != 0 ||
      bytes > (uint64_t{1} << 47)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  alignment = std::max(alignment, kGranularityBytes);
  void* got = MAP_FAILED;
  if (hint != 0 && hint % alignment == 0 && !overflows(hint, bytes)) {
    // A hint without MAP_FIXED_NOREPLACE: the kernel takes it when it is free, and the thread
    // sanitizer replaces one that it cannot have by 0, which must not become a fixed address.
    got = mmap(pointer(hint), bytes, PROT_NONE, kReserveFlags, -1, 0);
    if (got != MAP_FAILED && got != pointer(hint)) {
      munmap(got, bytes);
      got = MAP_FAILED;
    }
  }
  if (got == MAP_FAILED) {
    // Anywhere, as CUDA does with a hint it cannot honour: more than needed, then cut to alignment.
    const uint64_t wide = bytes + alignment;
    got = mmap(nullptr, wide, PROT_NONE, kReserveFlags, -1, 0);
    if (got == MAP_FAILED) {
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
    const auto start = reinterpret_cast<uint64_t>(got);
    const uint64_t aligned = (start + alignment - 1) / alignment * alignment;
    if (aligned > start) {
      munmap(got, aligned - start);
    }
    if (start + wide > aligned + bytes) {
      munmap(pointer(aligned + bytes), start + wide - aligned - bytes);
    }
    got = pointer(aligned);
  }
  *address = reinterpret_cast<uint64_t>(got);
  const std::unique_lock lock(mutex_);
  reservations_.emplace(*address, bytes);
  return CUDA_SUCCESS;
}

CUresult DeviceMemory::unreserve(uint64_t address, uint64_t bytes) {
  const std::unique_lock lock(mutex_);
  const auto it = reservations_.find(address);
  if (it == reservations_.end() || it->second != bytes) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const auto mapping = ranges_.lower_bound(address);
  if (mapping != ranges_.end() && mapping->first < address + bytes) {
    return CUDA_ERROR_INVALID_VALUE;  // still mapped
  }
  munmap(pointer(address), bytes);
  reservations_.erase(it);
  return CUDA_SUCCESS;
}

CUresult DeviceMemory::map(uint64_t address, uint64_t bytes, uint64_t offset,
                           std::shared_ptr<PhysicalMemory> physical, uint64_t context_id) {
  if (bytes == 0 || !granular(bytes) || !granular(address) || !granular(offset) ||
      overflows(address, bytes) || offset > physical->bytes || bytes > physical->bytes - offset) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const std::unique_lock lock(mutex_);
  auto reservation = reservations_.upper_bound(address);
  if (reservation == reservations_.begin()) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  --reservation;
  if (address + bytes > reservation->first + reservation->second) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const auto next = ranges_.lower_bound(address);
  if ((next != ranges_.end() && next->first < address + bytes) || at(address) != nullptr) {
    return CUDA_ERROR_INVALID_VALUE;  // something is mapped there
  }
  if (mmap(pointer(address), bytes, PROT_NONE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE,
           physical->file >= 0 ? physical->file : physical_file_,
           static_cast<off_t>(physical->file_offset + offset)) == MAP_FAILED) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  MemoryRange range;
  range.begin = address;
  range.bytes = bytes;
  range.usable_bytes = bytes;
  range.kind = MemoryRange::Kind::kMapped;
  range.device = physical->device;
  range.context_id = context_id;
  range.buffer_id = next_buffer_id_++;
  range.physical = std::move(physical);
  ranges_.emplace(address, std::move(range));
  return CUDA_SUCCESS;
}

// Under the lock: [address, address + bytes) is a row of whole mappings without a gap.
bool DeviceMemory::whole_mappings(uint64_t address, uint64_t bytes) const {
  if (bytes == 0 || overflows(address, bytes)) {
    return false;
  }
  uint64_t expected = address;
  for (auto it = ranges_.find(address); expected < address + bytes; ++it) {
    if (it == ranges_.end() || it->first != expected ||
        it->second.kind != MemoryRange::Kind::kMapped) {
      return false;
    }
    expected += it->second.bytes;
  }
  return expected == address + bytes;
}

CUresult DeviceMemory::unmap(uint64_t address, uint64_t bytes) {
  {
    const std::unique_lock lock(mutex_);
    if (!whole_mappings(address, bytes)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto end = ranges_.lower_bound(address + bytes);
    for (auto it = ranges_.find(address); it != end; ++it) {
      it->second.access = 0;
    }
  }
  // Nothing new can start to use it now; what runs already may still.
  Scheduler::instance().quiesce();
  std::vector<std::shared_ptr<PhysicalMemory>> last_owners;  // die without the lock
  const std::unique_lock lock(mutex_);
  if (!whole_mappings(address, bytes)) {
    return CUDA_ERROR_INVALID_VALUE;  // another thread unmapped it too
  }
  if (mmap(pointer(address), bytes, PROT_NONE, kReserveFlags | MAP_FIXED, -1, 0) == MAP_FAILED) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  const auto end = ranges_.lower_bound(address + bytes);
  for (auto it = ranges_.find(address); it != end;) {
    last_owners.push_back(std::move(it->second.physical));
    it = ranges_.erase(it);
  }
  return CUDA_SUCCESS;
}

CUresult DeviceMemory::set_access(uint64_t address, uint64_t bytes, CUdevice device,
                                  bool accessible) {
  const uint32_t bit = uint32_t{1} << device;
  bool quiesce = false;
  {
    const std::unique_lock lock(mutex_);
    if (!whole_mappings(address, bytes)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (accessible && mprotect(pointer(address), bytes, PROT_READ | PROT_WRITE) != 0) {
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
    const auto end = ranges_.lower_bound(address + bytes);
    for (auto it = ranges_.find(address); it != end; ++it) {
      uint32_t& access = it->second.access;
      quiesce = quiesce || ((access & bit) != 0 && !accessible);
      access = accessible ? access | bit : access & ~bit;
    }
  }
  if (quiesce) {
    Scheduler::instance().quiesce();
  }
  return CUDA_SUCCESS;
}

std::optional<bool> DeviceMemory::access(uint64_t address, CUdevice device) const {
  const std::shared_lock lock(mutex_);
  const MemoryRange* range = at(address);
  if (range == nullptr || range->kind != MemoryRange::Kind::kMapped) {
    return std::nullopt;
  }
  return range->is_accessible_by(device);
}

}  // namespace farlane::softcuda
