// What the programs of this folder share: device memory from host vectors, and checksums.
#pragma once

#include <cuda_runtime.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

#define CHECK(call)                                                       \
  do {                                                                    \
    const int status_ = static_cast<int>(call);                           \
    if (status_ != 0) {                                                   \
      std::printf("%s:%d: %s: %d\n", __FILE__, __LINE__, #call, status_); \
      std::exit(1);                                                       \
    }                                                                     \
  } while (0)

template <class T>
T* device(const std::vector<T>& host) {
  T* p = nullptr;
  CHECK(cudaMalloc(&p, host.size() * sizeof(T) + 1));
  CHECK(cudaMemcpy(p, host.data(), host.size() * sizeof(T), cudaMemcpyHostToDevice));
  return p;
}

template <class T>
T* room(size_t count) {
  T* p = nullptr;
  CHECK(cudaMalloc(&p, count * sizeof(T) + 1));
  CHECK(cudaMemset(p, 0, count * sizeof(T) + 1));
  return p;
}

template <class T>
std::vector<T> host(const T* p, size_t count) {
  std::vector<T> v(count);
  CHECK(cudaMemcpy(v.data(), p, count * sizeof(T), cudaMemcpyDeviceToHost));
  return v;
}

// The bytes decide: the same library on the same device gives the same.
template <class T>
void print(const char* name, const T* p, size_t count) {
  const std::vector<T> v = host(p, count);
  unsigned long long hash = 1469598103934665603ull;
  for (size_t i = 0; i < count * sizeof(T); ++i) {
    hash = (hash ^ reinterpret_cast<const unsigned char*>(v.data())[i]) * 1099511628211ull;
  }
  std::printf("%-28s %016llx\n", name, hash);
}

// For what is known: |got - wanted| over all elements.
template <class T>
void expect(const char* name, const T* p, const std::vector<T>& wanted, double tolerance) {
  const std::vector<T> got = host(p, wanted.size());
  double worst = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    worst = std::fmax(worst, std::fabs(static_cast<double>(got[i]) - wanted[i]));
  }
  std::printf("%-28s %s\n", name, worst <= tolerance ? "right" : "WRONG");
  if (!(worst <= tolerance)) std::exit(1);
}

inline std::vector<double> numbers(size_t count, unsigned seed) {
  std::vector<double> v(count);
  for (double& x : v) {
    seed = seed * 1664525u + 1013904223u;
    x = static_cast<double>(seed >> 16) / 65536.0 - 0.5;
  }
  return v;
}
