// Two processes, one physical memory: exported as file descriptors, passed over a socket, imported
// and mapped there. As an allocator with growing segments shares them.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "driver_check.h"

constexpr int kSegments = 3;
size_t segment_bytes = 0;

__global__ void number(unsigned* out, size_t count, unsigned from) {
  for (size_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
    out[i] = from + static_cast<unsigned>(i);
  }
}

CUmemAllocationProp on_device_0(CUmemAllocationHandleType type) {
  CUmemAllocationProp prop = {};
  prop.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  prop.requestedHandleTypes = type;
  prop.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  prop.location.id = 0;
  return prop;
}

CUmemGenericAllocationHandle create(CUmemAllocationHandleType type) {
  const CUmemAllocationProp prop = on_device_0(type);
  CUmemGenericAllocationHandle memory = 0;
  CU_CHECK(cuMemCreate(&memory, segment_bytes, &prop, 0));
  return memory;
}

void map(CUdeviceptr at, CUmemGenericAllocationHandle memory) {
  CU_CHECK(cuMemMap(at, segment_bytes, 0, memory, 0));
  CUmemAccessDesc access = {};
  access.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  CU_CHECK(cuMemSetAccess(at, segment_bytes, &access, 1));
}

int export_of(CUmemGenericAllocationHandle memory) {
  int fd = -1;
  CU_CHECK(cuMemExportToShareableHandle(&fd, memory, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
  EXPECT(fd > 2 && fcntl(fd, F_GETFD) >= 0);
  return fd;
}

CUresult import_of(CUmemGenericAllocationHandle* memory, int fd) {
  return cuMemImportFromShareableHandle(memory, reinterpret_cast<void*>(static_cast<intptr_t>(fd)),
                                        CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
}

void send_fd(int to, int fd) {
  char byte = 'f';
  iovec data = {&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof fd);
  std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  if (sendmsg(to, &message, 0) != 1) check::fail("the socket is broken");
}

int receive_fd(int from) {
  char byte = 0;
  iovec data = {&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  int fd = -1;
  if (recvmsg(from, &message, MSG_CMSG_CLOEXEC) != 1 || CMSG_FIRSTHDR(&message) == nullptr) {
    check::fail("the socket is broken");
  } else {
    std::memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
  }
  return fd;
}

void tell(int to) {
  if (write(to, "t", 1) != 1) check::fail("the socket is broken");
}
void wait_for(int from) {
  char byte = 0;
  if (read(from, &byte, 1) != 1) check::fail("the socket is broken");
}

size_t wrong_numbers(CUdeviceptr at, size_t count, unsigned from) {
  std::vector<unsigned> got(count);
  CU_CHECK(cuMemcpyDtoH(got.data(), at, count * sizeof(unsigned)));
  size_t wrong = 0;
  for (size_t i = 0; i < count; ++i) wrong += got[i] != from + i;
  return wrong;
}

void prepare() {
  CUDA_CHECK(cudaFree(nullptr));
  const CUmemAllocationProp prop = on_device_0(CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
  CU_CHECK(
      cuMemGetAllocationGranularity(&segment_bytes, &prop, CU_MEM_ALLOC_GRANULARITY_RECOMMENDED));
}

int importer(int socket) {
  prepare();
  const size_t values = segment_bytes / sizeof(unsigned);
  CUdeviceptr base = 0;
  CU_CHECK(cuMemAddressReserve(&base, kSegments * segment_bytes, 0, 0, 0));
  for (int i = 0; i < kSegments; ++i) {
    const int fd = receive_fd(socket);
    CUmemGenericAllocationHandle memory = 0;
    CU_CHECK(import_of(&memory, fd));
    close(fd);
    CUmemAllocationProp prop = {};
    CU_CHECK(cuMemGetAllocationPropertiesFromHandle(&prop, memory));
    EXPECT(prop.type == CU_MEM_ALLOCATION_TYPE_PINNED && prop.location.id == 0);
    map(base + i * segment_bytes, memory);
    CU_CHECK(cuMemRelease(memory));  // the mapping keeps it
  }
  std::printf("imported: %zu wrong\n", wrong_numbers(base, kSegments * values, 5));
  number<<<8, 256>>>(reinterpret_cast<unsigned*>(base), kSegments * values, 1000);
  LAUNCH_CHECK();
  CUDA_CHECK(cudaDeviceSynchronize());
  tell(socket);

  // What the other process has let go of, but for its descriptor.
  const int fd = receive_fd(socket);
  wait_for(socket);
  CUmemGenericAllocationHandle orphan = 0;
  CU_CHECK(import_of(&orphan, fd));
  close(fd);
  CU_CHECK(cuMemUnmap(base, segment_bytes));
  map(base, orphan);
  std::printf("kept by its descriptor: %zu wrong\n", wrong_numbers(base, values, 77));
  CU_CHECK(cuMemUnmap(base, segment_bytes));
  CU_CHECK(cuMemRelease(orphan));
  CU_CHECK(cuMemUnmap(base + segment_bytes, (kSegments - 1) * segment_bytes));
  CU_CHECK(cuMemAddressFree(base, kSegments * segment_bytes));

  // What is no such descriptor is refused, and nothing waits for it.
  int pipe_ends[2];
  if (pipe(pipe_ends) != 0) std::exit(1);
  const int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  CUmemGenericAllocationHandle none = 0;
  EXPECT(import_of(&none, pipe_ends[0]) != CUDA_SUCCESS);
  EXPECT(import_of(&none, file) != CUDA_SUCCESS);
  EXPECT(import_of(&none, fd) != CUDA_SUCCESS);  // closed
  EXPECT(none == 0);
  CUDA_CHECK(cudaDeviceSynchronize());
  tell(socket);
  return check::finish();
}

int exporter(int socket, pid_t child) {
  prepare();
  int supported = 0;
  CU_CHECK(cuDeviceGetAttribute(
      &supported, CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED, 0));
  std::printf("descriptors supported: %d\n", supported);
  const size_t values = segment_bytes / sizeof(unsigned);
  CUdeviceptr base = 0;
  CU_CHECK(cuMemAddressReserve(&base, kSegments * segment_bytes, 0, 0, 0));
  std::vector<CUmemGenericAllocationHandle> segments;
  for (int i = 0; i < kSegments; ++i) {
    segments.push_back(create(CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
    map(base + i * segment_bytes, segments[i]);
  }
  unsigned long long types = 0;
  CU_CHECK(cuPointerGetAttribute(&types, CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES, base));
  std::printf("handle types allowed: %llu\n", types);
  number<<<8, 256>>>(reinterpret_cast<unsigned*>(base), kSegments * values, 5);
  LAUNCH_CHECK();
  CUDA_CHECK(cudaDeviceSynchronize());

  int fd = -1;
  const CUmemGenericAllocationHandle plain = create(CU_MEM_HANDLE_TYPE_NONE);
  check::step("export what was not made for it",
              cuMemExportToShareableHandle(&fd, plain, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0),
              CUDA_ERROR_INVALID_VALUE);
  CU_CHECK(cuMemRelease(plain));

  for (int i = 0; i < kSegments; ++i) {
    // As of a pointer: the handle that its mapping has.
    CUmemGenericAllocationHandle retained = 0;
    CU_CHECK(
        cuMemRetainAllocationHandle(&retained, reinterpret_cast<void*>(base + i * segment_bytes)));
    const int descriptor = export_of(retained);
    CU_CHECK(cuMemRelease(retained));
    send_fd(socket, descriptor);
    close(descriptor);
  }
  wait_for(socket);
  std::printf("written by the importer: %zu wrong\n",
              wrong_numbers(base, kSegments * values, 1000));

  // Handle and mapping go, the descriptor stays; then it goes too, but for the one on its way.
  number<<<8, 256>>>(reinterpret_cast<unsigned*>(base), values, 77);
  LAUNCH_CHECK();
  CUDA_CHECK(cudaDeviceSynchronize());
  fd = export_of(segments[0]);
  for (CUmemGenericAllocationHandle segment : segments) CU_CHECK(cuMemRelease(segment));
  CU_CHECK(cuMemUnmap(base, kSegments * segment_bytes));
  CU_CHECK(cuMemAddressFree(base, kSegments * segment_bytes));
  send_fd(socket, fd);
  close(fd);
  CUDA_CHECK(cudaDeviceSynchronize());
  tell(socket);
  wait_for(socket);
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  return check::finish();
}

int main() {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // the order of two processes' lines
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets) != 0) return 1;
  // Before the first CUDA call: a child of a process that uses CUDA cannot use it.
  const pid_t child = fork();
  alarm(100);
  close(sockets[child == 0 ? 0 : 1]);
  return child == 0 ? importer(sockets[1]) : exporter(sockets[0], child);
}
