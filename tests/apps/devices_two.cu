// Two devices in one program: each has memory, streams, modules and default streams of its own,
// threads choose between them, work on one waits for work on the other, and what belongs to one is
// refused on the other.
#include <string>
#include <thread>

#include "check.h"

constexpr int kN = 5000;

__device__ unsigned calls;  // one on each device
__constant__ unsigned factor;

__global__ void mix(unsigned* values, int n, unsigned key) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) values[i] = values[i] * factor + key + i;
  if (i == 0) calls += 1;
}

std::vector<unsigned> pattern(unsigned seed) {
  std::vector<unsigned> values(kN);
  for (int i = 0; i < kN; ++i) values[i] = seed * 2654435761u + i;
  return values;
}
void mix_on_host(std::vector<unsigned>* values, unsigned by, unsigned key) {
  for (int i = 0; i < kN; ++i) (*values)[i] = (*values)[i] * by + key + i;
}

unsigned factor_of(int device) {
  return 1000003u + 2u * device;
}

// What one thread does on one device.
std::string work(int device, int rounds) {
  const auto failed = [&](cudaError_t e) {
    return "device " + std::to_string(device) + ": " + cudaGetErrorName(e);
  };
#define MUST(call)                          \
  do {                                      \
    cudaError_t e = (call);                 \
    if (e != cudaSuccess) return failed(e); \
  } while (0)
  MUST(cudaSetDevice(device));
  unsigned by = factor_of(device);
  MUST(cudaMemcpyToSymbol(factor, &by, sizeof by));
  unsigned* values = nullptr;
  MUST(cudaMalloc(&values, kN * sizeof(unsigned)));
  std::vector<unsigned> want = pattern(device + 1), got(kN);
  MUST(cudaMemcpy(values, want.data(), kN * sizeof(unsigned), cudaMemcpyHostToDevice));
  for (int r = 0; r < rounds; ++r) {
    mix<<<(kN + 255) / 256, 256>>>(values, kN, r);
    MUST(cudaGetLastError());
    mix_on_host(&want, by, r);
  }
  int now = -1;
  MUST(cudaGetDevice(&now));
  if (now != device) return "another thread changed this one's device";
  MUST(cudaMemcpy(got.data(), values, kN * sizeof(unsigned), cudaMemcpyDeviceToHost));
  MUST(cudaFree(values));
#undef MUST
  return got == want ? "" : "device " + std::to_string(device) + ": values differ";
}

void identities() {
  cudaDeviceProp p[2];
  for (int i = 0; i < 2; ++i) {
    CUDA_CHECK(cudaGetDeviceProperties(&p[i], i));
    char bus[32];
    CUDA_CHECK(cudaDeviceGetPCIBusId(bus, sizeof bus, i));
    int again = -1;
    CUDA_CHECK(cudaDeviceGetByPCIBusId(&again, bus));
    EXPECT(again == i);
    int pci_device = -1;
    CUDA_CHECK(cudaDeviceGetAttribute(&pci_device, cudaDevAttrPciDeviceId, i));
    EXPECT(pci_device == p[i].pciDeviceID);
  }
  EXPECT(std::memcmp(&p[0].uuid, &p[1].uuid, sizeof p[0].uuid) != 0);
  EXPECT(p[0].pciBusID != p[1].pciBusID || p[0].pciDeviceID != p[1].pciDeviceID ||
         p[0].pciDomainID != p[1].pciDomainID);
  int count = 0;
  CUDA_CHECK(cudaGetDeviceCount(&count));
  check::step("a device too many", cudaSetDevice(count), cudaErrorInvalidDevice);
  cudaGetLastError();
  std::printf("two identities\n");
}

void memory_of_each() {
  unsigned* at[2];
  for (int i = 0; i < 2; ++i) {
    CUDA_CHECK(cudaSetDevice(i));
    CUDA_CHECK(cudaMalloc(&at[i], kN * sizeof(unsigned)));
  }
  CUDA_CHECK(cudaSetDevice(0));
  for (int i = 0; i < 2; ++i) {
    cudaPointerAttributes a;
    CUDA_CHECK(cudaPointerGetAttributes(&a, at[i]));
    EXPECT(a.type == cudaMemoryTypeDevice && a.device == i);
  }
  // Straight from one to the other, whichever is current, and by way of the host.
  const std::vector<unsigned> values = pattern(9);
  std::vector<unsigned> got(kN);
  const size_t bytes = kN * sizeof(unsigned);
  const auto arrived = [&](const char* what) {
    CUDA_CHECK(cudaMemcpy(got.data(), at[1], bytes, cudaMemcpyDeviceToHost));
    check::equal(what, got.data(), values.data(), kN);
    int current = 0;
    CUDA_CHECK(cudaGetDevice(&current));
    CUDA_CHECK(cudaSetDevice(1));  // device 0 has no access to it
    CUDA_CHECK(cudaMemset(at[1], 0, bytes));
    CUDA_CHECK(cudaSetDevice(current));
  };
  CUDA_CHECK(cudaMemcpy(at[0], values.data(), bytes, cudaMemcpyDefault));
  CUDA_CHECK(cudaMemcpy(at[1], at[0], bytes, cudaMemcpyDefault));
  arrived("cudaMemcpyDefault");
  CUDA_CHECK(cudaMemcpyPeer(at[1], 1, at[0], 0, bytes));
  arrived("cudaMemcpyPeer");
  CUDA_CHECK(cudaSetDevice(1));
  CUDA_CHECK(cudaMemcpyPeerAsync(at[1], 1, at[0], 0, bytes, nullptr));
  CUDA_CHECK(cudaDeviceSynchronize());
  arrived("cudaMemcpyPeerAsync");
  CUDA_CHECK(cudaMemcpy2D(at[1], 100, at[0], 100, 100, kN * sizeof(unsigned) / 100,
                          cudaMemcpyDeviceToDevice));
  arrived("cudaMemcpy2D");
  cudaMemcpy3DPeerParms box = {};
  box.srcDevice = 0;
  box.dstDevice = 1;
  box.srcPtr = make_cudaPitchedPtr(at[0], 100, 100, 20);
  box.dstPtr = make_cudaPitchedPtr(at[1], 100, 100, 20);
  box.extent = make_cudaExtent(100, 20, kN * sizeof(unsigned) / 2000);
  CUDA_CHECK(cudaMemcpy3DPeer(&box));
  arrived("cudaMemcpy3DPeer");
  check::step("a peer that is not there", cudaMemcpyPeer(at[1], 99, at[0], 0, bytes),
              cudaErrorInvalidDevice);
  cudaGetLastError();
  // A block is freed whichever device is current.
  CUDA_CHECK(cudaFree(at[0]));
  CUDA_CHECK(cudaFree(at[1]));
}

void default_streams() {
  // Each device's own: work on one does not order work on the other, and each is waited for alone.
  unsigned* values[2];
  std::vector<unsigned> want[2];
  for (int i = 0; i < 2; ++i) {
    CUDA_CHECK(cudaSetDevice(i));
    unsigned by = factor_of(i);
    CUDA_CHECK(cudaMemcpyToSymbol(factor, &by, sizeof by));
    CUDA_CHECK(cudaMalloc(&values[i], kN * sizeof(unsigned)));
    want[i] = pattern(i);
    CUDA_CHECK(
        cudaMemcpy(values[i], want[i].data(), kN * sizeof(unsigned), cudaMemcpyHostToDevice));
  }
  for (int r = 0; r < 20; ++r) {
    for (int i = 0; i < 2; ++i) {
      CUDA_CHECK(cudaSetDevice(i));
      mix<<<(kN + 127) / 128, 128>>>(values[i], kN, r);
      LAUNCH_CHECK();
      mix_on_host(&want[i], factor_of(i), r);
    }
  }
  for (int i = 0; i < 2; ++i) {
    CUDA_CHECK(cudaSetDevice(i));
    CUDA_CHECK(cudaDeviceSynchronize());
    std::vector<unsigned> got(kN);
    CUDA_CHECK(cudaMemcpy(got.data(), values[i], kN * sizeof(unsigned), cudaMemcpyDeviceToHost));
    check::equal(i == 0 ? "default stream of 0" : "default stream of 1", got.data(), want[i].data(),
                 kN);
    CUDA_CHECK(cudaFree(values[i]));
  }
}

void streams_and_events() {
  cudaStream_t stream[2];
  cudaEvent_t event[2];
  unsigned* values[2];
  const size_t bytes = kN * sizeof(unsigned);
  for (int i = 0; i < 2; ++i) {
    CUDA_CHECK(cudaSetDevice(i));
    CUDA_CHECK(cudaStreamCreateWithFlags(&stream[i], cudaStreamNonBlocking));
    CUDA_CHECK(cudaEventCreate(&event[i]));
    CUDA_CHECK(cudaMalloc(&values[i], bytes));
    int device = -1;
    CUDA_CHECK(cudaStreamGetDevice(stream[i], &device));
    EXPECT(device == i);
  }
  // A relay: each device goes on where the other one stopped.
  std::vector<unsigned> want = pattern(4), got(kN);
  CUDA_CHECK(cudaMemcpyAsync(values[0], want.data(), bytes, cudaMemcpyHostToDevice, stream[0]));
  for (int r = 0; r < 10; ++r) {
    const int here = r % 2, there = 1 - here;
    CUDA_CHECK(cudaSetDevice(here));
    mix<<<(kN + 127) / 128, 128, 0, stream[here]>>>(values[here], kN, r);
    LAUNCH_CHECK();
    mix_on_host(&want, factor_of(here), r);
    CUDA_CHECK(cudaMemcpyPeerAsync(values[there], there, values[here], here, bytes, stream[here]));
    CUDA_CHECK(cudaEventRecord(event[here], stream[here]));
    CUDA_CHECK(cudaStreamWaitEvent(stream[there], event[here], 0));
  }
  // Of the other device, and the current one does not matter.
  CUDA_CHECK(cudaStreamSynchronize(stream[0]));
  CUDA_CHECK(cudaEventSynchronize(event[1]));
  CUDA_CHECK(cudaEventQuery(event[0]));
  CUDA_CHECK(cudaStreamQuery(stream[1]));
  CUDA_CHECK(cudaMemcpyAsync(got.data(), values[0], bytes, cudaMemcpyDeviceToHost, stream[0]));
  CUDA_CHECK(cudaStreamSynchronize(stream[0]));
  check::equal("relay", got.data(), want.data(), kN);

  CUDA_CHECK(cudaSetDevice(0));
  check::step("record on the other's stream", cudaEventRecord(event[0], stream[1]),
              cudaErrorInvalidResourceHandle);
  float milliseconds = 0;
  check::step("time between two devices", cudaEventElapsedTime(&milliseconds, event[0], event[1]),
              cudaErrorInvalidResourceHandle);
  cudaGetLastError();
  for (int i = 0; i < 2; ++i) {
    CUDA_CHECK(cudaStreamDestroy(stream[i]));  // also of the other device
    CUDA_CHECK(cudaEventDestroy(event[i]));
    CUDA_CHECK(cudaFree(values[i]));
  }
}

// A kernel runs where its stream is, whichever device is current, with that device's variables.
void launches_follow_streams() {
  cudaStream_t stream[2];
  unsigned* values[2];
  unsigned called[2];
  for (int i = 0; i < 2; ++i) {
    CUDA_CHECK(cudaSetDevice(i));
    unsigned by = factor_of(i);
    CUDA_CHECK(cudaMemcpyToSymbol(factor, &by, sizeof by));
    CUDA_CHECK(cudaMemcpyFromSymbol(&called[i], calls, sizeof called[i]));
    CUDA_CHECK(cudaStreamCreateWithFlags(&stream[i], cudaStreamNonBlocking));
    CUDA_CHECK(cudaMalloc(&values[i], kN * sizeof(unsigned)));
    CUDA_CHECK(
        cudaMemcpy(values[i], pattern(6).data(), kN * sizeof(unsigned), cudaMemcpyHostToDevice));
    CUDA_CHECK(cudaDeviceSynchronize());
  }
  for (int i = 0; i < 2; ++i) {
    CUDA_CHECK(cudaSetDevice(1 - i));
    mix<<<(kN + 127) / 128, 128, 0, stream[i]>>>(values[i], kN, 5);
    LAUNCH_CHECK();
    CUDA_CHECK(cudaStreamSynchronize(stream[i]));
  }
  for (int i = 0; i < 2; ++i) {
    CUDA_CHECK(cudaSetDevice(i));
    std::vector<unsigned> want = pattern(6), got(kN);
    mix_on_host(&want, factor_of(i), 5);
    CUDA_CHECK(cudaMemcpy(got.data(), values[i], kN * sizeof(unsigned), cudaMemcpyDeviceToHost));
    check::equal(i == 0 ? "launched from 1 on 0" : "launched from 0 on 1", got.data(), want.data(),
                 kN);
    unsigned now = 0;
    CUDA_CHECK(cudaMemcpyFromSymbol(&now, calls, sizeof now));
    EXPECT(now == called[i] + 1);
    CUDA_CHECK(cudaStreamDestroy(stream[i]));
    CUDA_CHECK(cudaFree(values[i]));
  }
}

void host_memory() {
  // Portable: pinned for both.
  unsigned* host = nullptr;
  CUDA_CHECK(cudaSetDevice(0));
  CUDA_CHECK(cudaHostAlloc(&host, kN * sizeof(unsigned), cudaHostAllocPortable));
  for (int i = 0; i < kN; ++i) host[i] = 7u * i;
  for (int i = 0; i < 2; ++i) {
    CUDA_CHECK(cudaSetDevice(i));
    check::DeviceArray<unsigned> there(kN);
    CUDA_CHECK(
        cudaMemcpyAsync(there.get(), host, kN * sizeof(unsigned), cudaMemcpyHostToDevice, nullptr));
    EXPECT(there.fetch() == std::vector<unsigned>(host, host + kN));
  }
  CUDA_CHECK(cudaFreeHost(host));
  std::printf("pinned memory for both\n");
}

void reset_of_one() {
  unsigned *kept = nullptr, number = 77, got = 0;
  CUDA_CHECK(cudaSetDevice(0));
  CUDA_CHECK(cudaMalloc(&kept, sizeof(unsigned)));
  CUDA_CHECK(cudaMemcpy(kept, &number, sizeof number, cudaMemcpyHostToDevice));
  CUDA_CHECK(cudaSetDevice(1));
  CUDA_CHECK(cudaDeviceReset());
  // Everything of device 1 is new again.
  CUDA_CHECK(cudaMemcpyFromSymbol(&got, calls, sizeof got));
  EXPECT(got == 0);
  EXPECT(work(1, 2).empty());
  CUDA_CHECK(cudaSetDevice(0));
  CUDA_CHECK(cudaMemcpy(&got, kept, sizeof got, cudaMemcpyDeviceToHost));
  EXPECT(got == number);
  CUDA_CHECK(cudaFree(kept));
  std::printf("device 1 was reset, device 0 was not\n");
}

int main() {
  int count = 0;
  CUDA_CHECK(cudaGetDeviceCount(&count));
  if (count < 2) return check::skip("it needs two devices");
  identities();
  std::string said[4];
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&, i] { said[i] = i < 2 ? work(i, 30) : ""; });
  for (std::thread& thread : threads) thread.join();
  for (const std::string& text : said) {
    if (!text.empty()) check::fail("%s", text.c_str());
  }
  unsigned ran[2];
  for (int i = 0; i < 2; ++i) {
    CUDA_CHECK(cudaSetDevice(i));
    CUDA_CHECK(cudaMemcpyFromSymbol(&ran[i], calls, sizeof ran[i]));
    std::printf("kernels on device %d: %u\n", i, ran[i]);
  }
  memory_of_each();
  default_streams();
  streams_and_events();
  launches_follow_streams();
  host_memory();
  reset_of_one();
  return check::finish();
}
