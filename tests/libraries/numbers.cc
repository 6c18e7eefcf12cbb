// cuRAND's host side from end to end: generators that fill host memory, and tables. Says what
// failed; exits with 0 when all is well.
#include <cuda_runtime_api.h>
#include <curand.h>

#include <cstring>
#include <thread>
#include <vector>

#include "tests/libraries/expect.h"

namespace {

constexpr size_t kDimensions = 20'000;

void generators() {
  curandGenerator_t generator = nullptr;
  EXPECT(curandCreateGeneratorHost(&generator, CURAND_RNG_QUASI_SOBOL64) ==
         CURAND_STATUS_TYPE_ERROR);
  OK(curandCreateGeneratorHost(&generator, CURAND_RNG_PSEUDO_DEFAULT));
  OK(curandSetPseudoRandomGeneratorSeed(generator, 10));
  // One is as good as a million, and they go on where the last ones ended.
  unsigned long long next = 10;
  for (const size_t count : {2, 1000, 32'768, 1'000'000}) {
    std::vector<unsigned> got(count, 7);
    OK(curandGenerate(generator, got.data(), count));
    for (const unsigned number : got) EXPECT(number == next++);
  }
  // What fails leaves the memory alone.
  std::vector<double> doubles(100'001, -1);
  EXPECT(curandGenerateUniformDouble(generator, doubles.data(), doubles.size()) ==
         CURAND_STATUS_LENGTH_NOT_MULTIPLE);
  EXPECT(doubles[0] == -1 && doubles.back() == -1);

  // Behind what is in its stream: the copy reads what was there before.
  cudaStream_t stream = nullptr;
  OK(cudaStreamCreate(&stream));
  OK(curandSetStream(generator, stream));
  unsigned* pinned = nullptr;
  unsigned* device = nullptr;
  OK(cudaMallocHost(reinterpret_cast<void**>(&pinned), 2 * sizeof *pinned));
  OK(cudaMalloc(reinterpret_cast<void**>(&device), 2 * sizeof *pinned));
  pinned[0] = pinned[1] = 5;
  OK(cudaMemcpyAsync(device, pinned, 2 * sizeof *pinned, cudaMemcpyHostToDevice, stream));
  OK(cudaMemsetAsync(device + 1, 0xff, sizeof *device, stream));
  OK(cudaMemcpyAsync(pinned, device, 2 * sizeof *pinned, cudaMemcpyDeviceToHost, stream));
  OK(curandGenerate(generator, pinned, 2));
  OK(cudaStreamSynchronize(stream));
  EXPECT(pinned[0] == next && pinned[1] == next + 1);

  // Waiting for a stream that is being captured breaks the capture; the default one is not waited
  // for.
  cudaGraph_t graph = nullptr;
  OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
  EXPECT(curandGenerate(generator, pinned, 2) != CURAND_STATUS_SUCCESS);
  EXPECT(pinned[0] == next);
  EXPECT(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated);
  cudaGetLastError();
  OK(curandSetStream(generator, nullptr));
  OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  OK(curandGenerate(generator, pinned, 2));
  EXPECT(pinned[0] == next + 2);
  OK(cudaStreamEndCapture(stream, &graph));

  // One on the device gets an address of the device, which this library does not write to.
  curandGenerator_t other = nullptr;
  OK(curandCreateGenerator(&other, CURAND_RNG_PSEUDO_DEFAULT));
  OK(curandSetStream(other, stream));
  OK(curandGenerate(other, device, 2));
  OK(cudaDeviceSynchronize());
  EXPECT(curandGenerateSeeds(other) == CURAND_STATUS_LAUNCH_FAILURE);
  OK(curandDestroyGenerator(other));
  OK(curandDestroyGenerator(generator));
  EXPECT(curandGenerate(generator, pinned, 2) == CURAND_STATUS_NOT_INITIALIZED);
}

template <class T>
bool are_multiples(const T* values, size_t count, T step) {
  for (size_t i = 0; i < count; ++i) {
    if (values[i] != static_cast<T>(i) * step) return false;
  }
  return true;
}

void tables() {
  unsigned* constants = nullptr;
  unsigned long long* long_constants = nullptr;
  OK(curandGetScrambleConstants32(&constants));
  EXPECT(are_multiples(constants, kDimensions, 32u));
  OK(curandGetScrambleConstants64(&long_constants));
  EXPECT(are_multiples(long_constants, kDimensions, 64ull));
  for (const curandDirectionVectorSet_t set :
       {CURAND_DIRECTION_VECTORS_32_JOEKUO6, CURAND_SCRAMBLED_DIRECTION_VECTORS_32_JOEKUO6}) {
    curandDirectionVectors32_t* vectors = nullptr;
    curandDirectionVectors64_t* none = nullptr;
    OK(curandGetDirectionVectors32(&vectors, set));
    EXPECT(are_multiples(vectors[0], kDimensions * 32, static_cast<unsigned>(set)));
    EXPECT(curandGetDirectionVectors64(&none, set) == CURAND_STATUS_OUT_OF_RANGE);
    EXPECT(none == nullptr);
  }
  for (const curandDirectionVectorSet_t set :
       {CURAND_DIRECTION_VECTORS_64_JOEKUO6, CURAND_SCRAMBLED_DIRECTION_VECTORS_64_JOEKUO6}) {
    curandDirectionVectors64_t* vectors = nullptr;
    // Several threads get the same one.
    std::vector<std::thread> threads;
    std::vector<curandDirectionVectors64_t*> got(4);
    for (curandDirectionVectors64_t*& to : got) {
      threads.emplace_back([&to, set] { OK(curandGetDirectionVectors64(&to, set)); });
    }
    for (std::thread& thread : threads) thread.join();
    OK(curandGetDirectionVectors64(&vectors, set));
    for (const auto* each : got) EXPECT(each == vectors);
    EXPECT(are_multiples(vectors[0], kDimensions * 64, static_cast<unsigned long long>(set)));
  }
  curandDirectionVectors32_t* none = nullptr;
  EXPECT(curandGetDirectionVectors32(&none, static_cast<curandDirectionVectorSet_t>(7)) ==
         CURAND_STATUS_OUT_OF_RANGE);
}

}  // namespace

int main() {
  generators();
  tables();
  return 0;
}
