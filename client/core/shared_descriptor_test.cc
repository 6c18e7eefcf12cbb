// Descriptors of shared memory, and what others pass instead of them.
#include "client/core/shared_descriptor.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>

namespace farlane::client {
namespace {

SharedHandle some_handle() {
  SharedHandle handle;
  handle.magic = {'F', 'L', 'S', '1'};
  handle.kind = SharedHandle::Kind::kPhysical;
  handle.name.fill(std::byte{7});
  handle.bytes = 1 << 21;
  return handle;
}

bool is_refused(int fd) {
  SharedHandle handle;
  return !read_shared_descriptor(fd, &handle);
}

TEST(SharedDescriptorTest, HoldsItsHandle) {
  const auto made = SharedDescriptor::make(some_handle());
  ASSERT_NE(made, nullptr);
  const transport::Fd fd(made->open());
  ASSERT_TRUE(fd);
  EXPECT_NE(::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC, 0);
  for (int round = 0; round < 2; ++round) {  // reading moves nothing
    SharedHandle read;
    ASSERT_TRUE(read_shared_descriptor(fd.get(), &read));
    const SharedHandle wanted = some_handle();
    EXPECT_EQ(std::memcmp(&read, &wanted, sizeof read), 0);
  }
}

TEST(SharedDescriptorTest, IsOpenUntilTheLastDuplicateIsClosed) {
  const auto made = SharedDescriptor::make(some_handle());
  EXPECT_FALSE(made->is_open());
  transport::Fd first(made->open());
  transport::Fd second(made->open());
  transport::Fd duplicate(::fcntl(first.get(), F_DUPFD_CLOEXEC, 0));
  EXPECT_TRUE(made->is_open());
  first.reset();
  second.reset();
  EXPECT_TRUE(made->is_open());
  duplicate.reset();
  EXPECT_FALSE(made->is_open());
}

TEST(SharedDescriptorTest, NobodyChangesIt) {
  const auto made = SharedDescriptor::make(some_handle());
  const transport::Fd fd(made->open());
  EXPECT_EQ(::pwrite(fd.get(), "x", 1, 0), -1);
  const std::string path = "/proc/self/fd/" + std::to_string(fd.get());
  const transport::Fd writable(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (writable) {
    EXPECT_EQ(::pwrite(writable.get(), "x", 1, 0), -1);
    EXPECT_EQ(::ftruncate(writable.get(), 0), -1);
  }
}

TEST(SharedDescriptorTest, WhatIsNoneIsRefusedAtOnce) {
  EXPECT_TRUE(is_refused(-1));
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  transport::Fd reader(ends[0]);
  transport::Fd writer(ends[1]);
  EXPECT_TRUE(is_refused(reader.get()));  // empty: reading would wait
  EXPECT_TRUE(is_refused(writer.get()));
  reader.reset();
  EXPECT_TRUE(is_refused(ends[0]));  // closed
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const transport::Fd one(ends[0]);
  const transport::Fd other(ends[1]);
  EXPECT_TRUE(is_refused(one.get()));
  const transport::Fd event(::eventfd(0, EFD_CLOEXEC));
  EXPECT_TRUE(is_refused(event.get()));
  const transport::Fd folder(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  EXPECT_TRUE(is_refused(folder.get()));
  // A regular file with the right contents.
  FILE* const file = std::tmpfile();
  ASSERT_NE(file, nullptr);
  const SharedHandle handle = some_handle();
  ASSERT_EQ(::pwrite(fileno(file), &handle, sizeof handle, 0), ssize_t{sizeof handle});
  EXPECT_TRUE(is_refused(fileno(file)));
  std::fclose(file);
}

TEST(SharedDescriptorTest, MemoryFilesOfOthersAreRefused) {
  constexpr int kAll = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  const SharedHandle handle = some_handle();
  const auto refused = [&](size_t bytes, int seals) {
    const transport::Fd file(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    EXPECT_EQ(::pwrite(file.get(), &handle, std::min(bytes, sizeof handle), 0),
              static_cast<ssize_t>(std::min(bytes, sizeof handle)));
    EXPECT_EQ(::ftruncate(file.get(), static_cast<off_t>(bytes)), 0);
    EXPECT_EQ(::fcntl(file.get(), F_ADD_SEALS, seals), 0);
    return is_refused(file.get());
  };
  EXPECT_FALSE(refused(sizeof handle, kAll));
  EXPECT_TRUE(refused(sizeof handle - 1, kAll));  // truncated
  EXPECT_TRUE(refused(sizeof handle + 1, kAll));
  EXPECT_TRUE(refused(0, kAll));
  EXPECT_TRUE(refused(sizeof handle, kAll & ~F_SEAL_WRITE));  // may change under the reader
  EXPECT_TRUE(refused(sizeof handle, 0));
}

}  // namespace
}  // namespace farlane::client
