// cuRAND's host API: every distribution and several generators, seeds, offsets, streams. Prints
// checksums; the same natively and through Farlane.
#include <curand.h>

#include "common.h"

int main() {
  constexpr size_t kN = 10000;
  cudaStream_t stream = nullptr;
  CHECK(cudaStreamCreate(&stream));
  auto* words = room<unsigned>(kN);
  auto* longs = room<unsigned long long>(kN);
  auto* floats = room<float>(kN);
  auto* doubles = room<double>(kN);
  for (const curandRngType_t type : {CURAND_RNG_PSEUDO_DEFAULT, CURAND_RNG_PSEUDO_PHILOX4_32_10,
                                     CURAND_RNG_PSEUDO_MT19937, CURAND_RNG_PSEUDO_MRG32K3A}) {
    curandGenerator_t generator = nullptr;
    CHECK(curandCreateGenerator(&generator, type));
    CHECK(curandSetStream(generator, stream));
    CHECK(curandSetPseudoRandomGeneratorSeed(generator, 1234));
    if (type != CURAND_RNG_PSEUDO_MT19937) CHECK(curandSetGeneratorOffset(generator, 77));
    CHECK(curandGenerateSeeds(generator));
    CHECK(curandGenerate(generator, words, kN));
    CHECK(curandGenerateUniform(generator, floats, kN));
    CHECK(curandGenerateUniformDouble(generator, doubles, kN));
    CHECK(cudaStreamSynchronize(stream));
    std::printf("type %d\n", type);
    print("words", words, kN);
    print("uniform", floats, kN);
    print("uniform double", doubles, kN);
    CHECK(curandGenerateNormal(generator, floats, kN, 1.0f, 2.0f));
    CHECK(curandGenerateLogNormalDouble(generator, doubles, kN, 0.0, 0.5));
    CHECK(curandGeneratePoisson(generator, words, kN, 3.5));
    CHECK(cudaStreamSynchronize(stream));
    print("normal", floats, kN);
    print("log normal double", doubles, kN);
    print("poisson", words, kN);
    double mean = 0;
    for (const float x : host(floats, kN)) mean += x / kN;
    std::printf("mean of 1 %s\n", std::fabs(mean - 1) < 0.1 ? "right" : "WRONG");
    CHECK(curandDestroyGenerator(generator));
  }
  curandGenerator_t sobol = nullptr;
  CHECK(curandCreateGenerator(&sobol, CURAND_RNG_QUASI_SCRAMBLED_SOBOL64));
  CHECK(curandSetQuasiRandomGeneratorDimensions(sobol, 4));
  CHECK(curandSetGeneratorOrdering(sobol, CURAND_ORDERING_QUASI_DEFAULT));
  CHECK(curandGenerateLongLong(sobol, longs, kN));
  print("sobol", longs, kN);
  CHECK(curandDestroyGenerator(sobol));
  // On the host, where a stream's numbers are there when it has been waited for.
  curandGenerator_t on_host = nullptr;
  CHECK(curandCreateGeneratorHost(&on_host, CURAND_RNG_PSEUDO_PHILOX4_32_10));
  CHECK(curandSetPseudoRandomGeneratorSeed(on_host, 1234));
  std::vector<double> numbers_on_host(200'000);
  CHECK(curandGenerateNormalDouble(on_host, numbers_on_host.data(), numbers_on_host.size(), 0, 1));
  print("normal on the host", device(numbers_on_host), numbers_on_host.size());
  CHECK(curandSetStream(on_host, stream));
  CHECK(curandGenerateUniformDouble(on_host, numbers_on_host.data(), numbers_on_host.size()));
  CHECK(cudaStreamSynchronize(stream));
  print("uniform on the host", device(numbers_on_host), numbers_on_host.size());
  CHECK(curandDestroyGenerator(on_host));

  constexpr size_t kDimensions = 20'000;
  unsigned* constants = nullptr;
  CHECK(curandGetScrambleConstants32(&constants));
  const std::vector<unsigned> kept(constants, constants + kDimensions);
  print("constants", device(kept), kDimensions);
  curandDirectionVectors64_t* vectors = nullptr;
  CHECK(curandGetDirectionVectors64(&vectors, CURAND_SCRAMBLED_DIRECTION_VECTORS_64_JOEKUO6));
  const unsigned long long* first = vectors[0];
  print("vectors", device(std::vector<unsigned long long>(first, first + 64 * kDimensions)),
        64 * kDimensions);
  std::printf("no type: %d\n", curandCreateGenerator(&sobol, static_cast<curandRngType_t>(9999)));
  std::printf("no generator: %d\n", curandGenerateSeeds(nullptr));
  return 0;
}
