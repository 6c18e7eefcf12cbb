// A libcurand.so.10 for machines without a GPU, as soft_blas.cc: generators that work on the host,
// and tables, as far as tests look at them.
#include <curand.h>

#include <cstddef>

struct curandGenerator_st {
  bool is_on_host = false;
  unsigned long long next = 0;
};

namespace {

constexpr int kDimensions = 20'000;

// Multiples of `step`, in a table of the library's own.
template <class T, size_t kCount>
T* table(T step) {
  static T values[kCount];
  for (size_t i = 0; i < kCount; ++i) values[i] = static_cast<T>(i) * step;
  return values;
}

template <class T>
curandStatus_t fill(curandGenerator_t generator, T* to, size_t count) {
  // What is not the host's would be memory of no device here.
  if (!generator->is_on_host) return CURAND_STATUS_LAUNCH_FAILURE;
  if (count % 2 != 0) return CURAND_STATUS_LENGTH_NOT_MULTIPLE;
  for (size_t i = 0; i < count; ++i) to[i] = static_cast<T>(generator->next++);
  return CURAND_STATUS_SUCCESS;
}

}  // namespace

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED curandStatus_t curandGetProperty(libraryPropertyType type, int* value) {
  *value = type == MAJOR_VERSION ? CURAND_VER_MAJOR : 0;
  return CURAND_STATUS_SUCCESS;
}

EXPORTED curandStatus_t curandCreateGenerator(curandGenerator_t* generator, curandRngType_t) {
  *generator = new curandGenerator_st;
  return CURAND_STATUS_SUCCESS;
}

EXPORTED curandStatus_t curandCreateGeneratorHost(curandGenerator_t* generator,
                                                  curandRngType_t type) {
  if (type != CURAND_RNG_PSEUDO_DEFAULT) return CURAND_STATUS_TYPE_ERROR;
  *generator = new curandGenerator_st{.is_on_host = true};
  return CURAND_STATUS_SUCCESS;
}

EXPORTED curandStatus_t curandDestroyGenerator(curandGenerator_t generator) {
  delete generator;
  return CURAND_STATUS_SUCCESS;
}

EXPORTED curandStatus_t curandSetStream(curandGenerator_t generator, cudaStream_t) {
  // It would write when nobody waits for it any more.
  return generator->is_on_host ? CURAND_STATUS_INTERNAL_ERROR : CURAND_STATUS_SUCCESS;
}

EXPORTED curandStatus_t curandSetPseudoRandomGeneratorSeed(curandGenerator_t generator,
                                                           unsigned long long seed) {
  generator->next = seed;
  return CURAND_STATUS_SUCCESS;
}

EXPORTED curandStatus_t curandGenerate(curandGenerator_t generator, unsigned* to, size_t count) {
  return fill(generator, to, count);
}

EXPORTED curandStatus_t curandGenerateUniformDouble(curandGenerator_t generator, double* to,
                                                    size_t count) {
  return fill(generator, to, count);
}

EXPORTED curandStatus_t curandGetDirectionVectors32(curandDirectionVectors32_t* vectors[],
                                                    curandDirectionVectorSet_t set) {
  if (set > CURAND_SCRAMBLED_DIRECTION_VECTORS_32_JOEKUO6) return CURAND_STATUS_OUT_OF_RANGE;
  *vectors = reinterpret_cast<curandDirectionVectors32_t*>(
      table<unsigned, size_t{kDimensions} * 32>(static_cast<unsigned>(set)));
  return CURAND_STATUS_SUCCESS;
}

EXPORTED curandStatus_t curandGetDirectionVectors64(curandDirectionVectors64_t* vectors[],
                                                    curandDirectionVectorSet_t set) {
  if (set < CURAND_DIRECTION_VECTORS_64_JOEKUO6) return CURAND_STATUS_OUT_OF_RANGE;
  *vectors = reinterpret_cast<curandDirectionVectors64_t*>(
      table<unsigned long long, size_t{kDimensions} * 64>(set));
  return CURAND_STATUS_SUCCESS;
}

EXPORTED curandStatus_t curandGetScrambleConstants32(unsigned** constants) {
  *constants = table<unsigned, kDimensions>(32);
  return CURAND_STATUS_SUCCESS;
}

EXPORTED curandStatus_t curandGetScrambleConstants64(unsigned long long** constants) {
  *constants = table<unsigned long long, kDimensions>(64);
  return CURAND_STATUS_SUCCESS;
}
