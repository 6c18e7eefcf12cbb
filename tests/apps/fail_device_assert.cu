// A failing assert in a kernel: its text on standard error, and a sticky cudaErrorAssert.
#include <fcntl.h>
#include <unistd.h>
#include <cassert>

#include "check.h"

__global__ void must_be_small(const int* values, int limit) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  assert(values[i] < limit && "value too large");
}

int main() {
  // Standard error goes to a file for a while, to look at the text.
  char name[] = "/tmp/fail_device_assert.XXXXXX";
  int file = mkstemp(name);
  if (file < 0) return 1;
  unlink(name);
  int standard_error = dup(2);
  dup2(file, 2);

  std::vector<int> values(96, 5);
  values[45] = 1000;  // block 1, thread 13
  check::DeviceArray<int> device(values);
  must_be_small<<<3, 32>>>(device.get(), 2000);
  check::step("no assert fails", cudaDeviceSynchronize(), cudaSuccess);
  must_be_small<<<3, 32>>>(device.get(), 100);
  check::step("launch", cudaGetLastError(), cudaSuccess);
  check::step("cudaDeviceSynchronize", cudaDeviceSynchronize(), cudaErrorAssert);
  check::step("again", cudaDeviceSynchronize(), cudaErrorAssert);
  check::step("cudaGetLastError", cudaGetLastError(), cudaErrorAssert);
  void* p;
  check::step("cudaMalloc", cudaMalloc(&p, 16), cudaErrorAssert);
  must_be_small<<<3, 32>>>(device.get(), 2000);
  check::step("another launch", cudaGetLastError(), cudaErrorAssert);

  std::fflush(stderr);
  dup2(standard_error, 2);
  char text[4096] = {};
  ssize_t size = pread(file, text, sizeof text - 1, 0);
  if (size < 0) size = 0;
  text[size] = 0;
  int lines = 0;
  for (const char* c = text; *c; ++c) lines += *c == '\n';
  std::printf("lines on standard error: %d\n", lines);
  // Without the path in front, which depends on how this was compiled.
  const char* from = std::strstr(text, "fail_device_assert.cu:");
  std::printf("%s", from ? from : "no text\n");
  EXPECT(from && std::strstr(from, "block: [1,0,0], thread: [13,0,0]"));
  return check::finish();
}
