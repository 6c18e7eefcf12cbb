#include "client/core/shared_descriptor.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <type_traits>

namespace farlane::client {
namespace {

// Nobody can change what an importer reads, nor make it wait for it.
constexpr int kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
static_assert(std::is_trivially_copyable_v<SharedHandle>);

struct flock whole_file(short type) {
  struct flock lock {};  // l_pid 0: of an open file description
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return lock;
}

}  // namespace

std::shared_ptr<SharedDescriptor> SharedDescriptor::make(const SharedHandle& handle) {
  transport::Fd file(::memfd_create("farlane-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file || ::pwrite(file.get(), &handle, sizeof handle, 0) != ssize_t{sizeof handle} ||
      ::fcntl(file.get(), F_ADD_SEALS, kSeals) != 0) {
    return nullptr;
  }
  return std::make_shared<SharedDescriptor>(std::move(file));
}

int SharedDescriptor::open() const {
  const std::string path = "/proc/self/fd/" + std::to_string(file_.get());
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    // Without it, on a system that has no such locks, the memory ends with its last handle.
    struct flock lock = whole_file(F_RDLCK);
    static_cast<void>(::fcntl(fd, F_OFD_SETLK, &lock));
  }
  return fd;
}

bool SharedDescriptor::is_open() const {
  struct flock lock = whole_file(F_WRLCK);
  return ::fcntl(file_.get(), F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

bool read_shared_descriptor(int fd, SharedHandle* handle) {
  // The seals first: only a memory file has any, and reading one waits for nothing.
  const int seals = ::fcntl(fd, F_GET_SEALS);
  struct stat facts {};
  return seals >= 0 && (seals & kSeals) == kSeals && ::fstat(fd, &facts) == 0 &&
         facts.st_size == off_t{sizeof *handle} &&
         ::pread(fd, handle, sizeof *handle, 0) == ssize_t{sizeof *handle};
}

}  // namespace farlane::client
