// One pinned buffer, refilled by host functions between the copies that read it, with nothing on
// the host waiting in between: each copy must take what the function before it wrote.
#include <cstring>

#include "check.h"

__global__ void add_to(unsigned long long* sum, const int* values, size_t count) {
  unsigned long long mine = 0;
  for (size_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
    mine += values[i];
  }
  atomicAdd(sum, mine);
}

__global__ void add_one(int* values, size_t count) {
  for (size_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
    values[i] += 1;
  }
}

struct Refill {
  int* buffer;
  size_t count;
  int round;
};

void refill(void* data) {
  Refill* refill = static_cast<Refill*>(data);
  ++refill->round;
  for (size_t i = 0; i < refill->count; ++i) {
    refill->buffer[i] = refill->round + static_cast<int>(i % 7);
  }
}

unsigned long long sum_of(int rounds, size_t count) {
  unsigned long long sum = 0;
  for (int round = 1; round <= rounds; ++round) {
    for (size_t i = 0; i < count; ++i) sum += round + i % 7;
  }
  return sum;
}

unsigned long long refilled(size_t count, int rounds, cudaStream_t stream) {
  int *pinned, *device;
  unsigned long long *sum, got = 0;
  CUDA_CHECK(cudaMallocHost(&pinned, count * sizeof(int)));
  CUDA_CHECK(cudaMalloc(&device, count * sizeof(int)));
  CUDA_CHECK(cudaMalloc(&sum, sizeof *sum));
  CUDA_CHECK(cudaMemsetAsync(sum, 0, sizeof *sum, stream));
  std::memset(pinned, 0xff, count * sizeof(int));
  Refill refill_data{pinned, count, 0};
  for (int round = 0; round < rounds; ++round) {
    CUDA_CHECK(cudaLaunchHostFunc(stream, refill, &refill_data));
    CUDA_CHECK(
        cudaMemcpyAsync(device, pinned, count * sizeof(int), cudaMemcpyHostToDevice, stream));
    add_to<<<4, 128, 0, stream>>>(sum, device, count);
  }
  CUDA_CHECK(cudaMemcpyAsync(&got, sum, sizeof got, cudaMemcpyDeviceToHost, stream));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  CUDA_CHECK(cudaFree(sum));
  CUDA_CHECK(cudaFree(device));
  CUDA_CHECK(cudaFreeHost(pinned));
  return got;
}

int main() {
  cudaStream_t stream, other;
  CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  CUDA_CHECK(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));

  // Sizes that travel in different ways.
  for (size_t count : {size_t{1}, size_t{1000}, size_t{50000}, size_t{700000}}) {
    const int rounds = count > 100000 ? 3 : 10;
    const unsigned long long got = refilled(count, rounds, stream);
    std::printf("%zu values, %d rounds: sum %llu\n", count, rounds, got);
    EXPECT(got == sum_of(rounds, count));
  }
  // The legacy default stream, and a synchronous copy behind a host function on it.
  EXPECT(refilled(500, 5, nullptr) == sum_of(5, 500));
  {
    int *pinned, *device, got[8] = {};
    CUDA_CHECK(cudaMallocHost(&pinned, sizeof got));
    CUDA_CHECK(cudaMalloc(&device, sizeof got));
    std::memset(pinned, 0, sizeof got);
    Refill once{pinned, 8, 40};
    CUDA_CHECK(cudaLaunchHostFunc(nullptr, refill, &once));
    CUDA_CHECK(cudaMemcpy(device, pinned, sizeof got, cudaMemcpyHostToDevice));
    CUDA_CHECK(cudaMemcpy(got, device, sizeof got, cudaMemcpyDeviceToHost));
    std::printf("synchronous copy behind a host function: %d %d\n", got[0], got[7]);
    EXPECT(got[0] == 41 && got[6] == 47 && got[7] == 41);
    CUDA_CHECK(cudaFree(device));
    CUDA_CHECK(cudaFreeHost(pinned));
  }

  // Rows with gaps on both sides, in another stream that waits for the function by an event.
  {
    constexpr size_t kRows = 20, kWidth = 30, kHostPitch = 40, kDevicePitch = 64;
    int *pinned, *device;
    CUDA_CHECK(cudaMallocHost(&pinned, kRows * kHostPitch * sizeof(int)));
    CUDA_CHECK(cudaMalloc(&device, kRows * kDevicePitch * sizeof(int)));
    CUDA_CHECK(cudaMemset(device, 0, kRows * kDevicePitch * sizeof(int)));
    CUDA_CHECK(cudaDeviceSynchronize());
    std::memset(pinned, 0, kRows * kHostPitch * sizeof(int));
    Refill once{pinned, kRows * kHostPitch, 6};
    cudaEvent_t filled;
    CUDA_CHECK(cudaEventCreate(&filled));
    CUDA_CHECK(cudaLaunchHostFunc(stream, refill, &once));
    CUDA_CHECK(cudaEventRecord(filled, stream));
    CUDA_CHECK(cudaStreamWaitEvent(other, filled, 0));
    CUDA_CHECK(cudaMemcpy2DAsync(device, kDevicePitch * sizeof(int), pinned,
                                 kHostPitch * sizeof(int), kWidth * sizeof(int), kRows,
                                 cudaMemcpyHostToDevice, other));
    std::vector<int> got(kRows * kDevicePitch);
    CUDA_CHECK(cudaMemcpyAsync(got.data(), device, got.size() * sizeof(int), cudaMemcpyDeviceToHost,
                               other));
    CUDA_CHECK(cudaStreamSynchronize(other));
    int wrong = 0;
    for (size_t row = 0; row < kRows; ++row) {
      for (size_t column = 0; column < kDevicePitch; ++column) {
        const size_t i = row * kHostPitch + column;
        const int want = column < kWidth ? 7 + static_cast<int>(i % 7) : 0;
        wrong += got[row * kDevicePitch + column] != want;
      }
    }
    std::printf("rows behind an event: %d wrong\n", wrong);
    EXPECT(wrong == 0);
    CUDA_CHECK(cudaEventDestroy(filled));
    CUDA_CHECK(cudaFree(device));
    CUDA_CHECK(cudaFreeHost(pinned));
  }

  // The buffer goes round: to the device, changed there, back, and again, without a function.
  for (size_t count : {size_t{100}, size_t{300000}}) {
    int *pinned, *device;
    CUDA_CHECK(cudaMallocHost(&pinned, count * sizeof(int)));
    CUDA_CHECK(cudaMalloc(&device, count * sizeof(int)));
    for (size_t i = 0; i < count; ++i) pinned[i] = static_cast<int>(i);
    for (int round = 0; round < 5; ++round) {
      CUDA_CHECK(
          cudaMemcpyAsync(device, pinned, count * sizeof(int), cudaMemcpyHostToDevice, stream));
      add_one<<<4, 128, 0, stream>>>(device, count);
      CUDA_CHECK(
          cudaMemcpyAsync(pinned, device, count * sizeof(int), cudaMemcpyDeviceToHost, stream));
    }
    CUDA_CHECK(cudaStreamSynchronize(stream));
    int wrong = 0;
    for (size_t i = 0; i < count; ++i) wrong += pinned[i] != static_cast<int>(i) + 5;
    std::printf("round trips of %zu values: %d wrong\n", count, wrong);
    EXPECT(wrong == 0);
    CUDA_CHECK(cudaFree(device));
    CUDA_CHECK(cudaFreeHost(pinned));
  }
  CUDA_CHECK(cudaStreamDestroy(stream));
  CUDA_CHECK(cudaStreamDestroy(other));
  return check::finish();
}
