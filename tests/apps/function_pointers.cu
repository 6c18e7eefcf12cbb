// Indirect calls: tables of device functions, pointers taken through symbols, virtual functions,
// recursion.
#include <new>

#include "check.h"

typedef int (*Operation)(int, int);

__device__ int op_add(int a, int b) {
  return a + b;
}
__device__ int op_sub(int a, int b) {
  return a - b;
}
__device__ int op_mul(int a, int b) {
  return a * b;
}
__device__ int op_gcd(int a, int b) {
  while (b != 0) {
    int t = a % b;
    a = b;
    b = t;
  }
  return a;
}
__device__ Operation table[4] = {op_add, op_sub, op_mul, op_gcd};
__device__ Operation chosen = op_gcd;

__global__ void by_table(const int* a, const int* b, int* out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) out[i] = table[i % 4](a[i], b[i]);  // diverges: four targets in a warp
}
__global__ void by_argument(Operation op, const int* a, const int* b, int* out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) out[i] = op(a[i], b[i]);
}

struct Figure {
  __device__ virtual ~Figure() {}
  __device__ virtual int area() const = 0;
  __device__ virtual int corners() const { return 0; }
};
struct Square : Figure {
  int side;
  __device__ explicit Square(int s) : side(s) {}
  __device__ int area() const override { return side * side; }
  __device__ int corners() const override { return 4; }
};
struct Box : Square {
  int height;
  __device__ Box(int s, int h) : Square(s), height(h) {}
  __device__ int area() const override { return 2 * side * side + 4 * side * height; }
};
struct Disc : Figure {
  int radius;
  __device__ explicit Disc(int r) : radius(r) {}
  __device__ int area() const override { return 3 * radius * radius; }
};

constexpr size_t kSlot = 32;

__global__ void construct(unsigned char* memory, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  void* slot = memory + i * kSlot;
  if (i % 3 == 0) new (slot) Square(i);
  if (i % 3 == 1) new (slot) Box(i, 2);
  if (i % 3 == 2) new (slot) Disc(i);
}
__global__ void measure(unsigned char* memory, int* out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  Figure* figure = reinterpret_cast<Figure*>(memory + i * kSlot);
  out[i] = figure->area() * 10 + figure->corners();
  figure->~Figure();
}

__device__ __noinline__ int fibonacci(int n) {
  return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}
__device__ __noinline__ int ackermann(int m, int n) {
  if (m == 0) return n + 1;
  if (n == 0) return ackermann(m - 1, 1);
  return ackermann(m - 1, ackermann(m, n - 1));
}
__global__ void recursive(int* out) {
  out[threadIdx.x] = fibonacci(threadIdx.x % 12) + ackermann(2, threadIdx.x % 4) * 1000;
}

int gcd(int a, int b) {
  return b == 0 ? a : gcd(b, a % b);
}
int fib(int n) {
  return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

int main() {
  CUDA_CHECK(cudaDeviceSetLimit(cudaLimitStackSize, 8192));
  const int n = 200;
  std::vector<int> a(n), b(n), want(n), want_gcd(n);
  check::Rng rng(27);
  for (int i = 0; i < n; ++i) {
    a[i] = static_cast<int>(rng.below(10000)) + 1;
    b[i] = static_cast<int>(rng.below(100)) + 1;
    const int results[4] = {a[i] + b[i], a[i] - b[i], a[i] * b[i], gcd(a[i], b[i])};
    want[i] = results[i % 4];
    want_gcd[i] = results[3];
  }
  check::DeviceArray<int> da(a), db(b), dout(n);
  by_table<<<2, 128>>>(da.get(), db.get(), dout.get(), n);
  LAUNCH_CHECK();
  check::equal("table", dout.fetch().data(), want.data(), n);
  Operation pointer = nullptr;
  CUDA_CHECK(cudaMemcpyFromSymbol(&pointer, chosen, sizeof pointer));
  EXPECT(pointer != nullptr);
  by_argument<<<2, 128>>>(pointer, da.get(), db.get(), dout.get(), n);
  LAUNCH_CHECK();
  check::equal("pointer as argument", dout.fetch().data(), want_gcd.data(), n);

  check::DeviceArray<unsigned char> memory(n * kSlot);
  construct<<<2, 128>>>(memory.get(), n);
  measure<<<2, 128>>>(memory.get(), dout.get(), n);
  LAUNCH_CHECK();
  for (int i = 0; i < n; ++i)
    want[i] = i % 3 == 0 ? i * i * 10 + 4 : i % 3 == 1 ? (2 * i * i + 8 * i) * 10 + 4 : 30 * i * i;
  check::equal("virtual functions", dout.fetch().data(), want.data(), n);

  check::DeviceArray<int> drecursive(32);
  recursive<<<1, 32>>>(drecursive.get());
  LAUNCH_CHECK();
  for (int i = 0; i < 32; ++i) want[i] = fib(i % 12) + (2 * (i % 4) + 3) * 1000;
  check::equal("recursion", drecursive.fetch().data(), want.data(), 32);
  return check::finish();
}
