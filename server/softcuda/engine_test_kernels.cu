// Kernels that the engine's tests run as nvcc compiles them. Each is checked against the host.
#include <cassert>
#include <cstdint>
#include <cstdio>

#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda/barrier>

namespace cg = cooperative_groups;

extern "C" {

__global__ void vector_add(const float* a, const float* b, float* c, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) c[i] = a[i] + b[i];
}

__global__ void saxpy_stride(float a, const float* x, float* y, int n) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
    y[i] = a * x[i] + y[i];
  }
}

__global__ void block_sum(const int* values, int* sums, int n) {
  extern __shared__ int partial[];
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  partial[threadIdx.x] = i < n ? values[i] : 0;
  __syncthreads();
  for (int half = blockDim.x / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) partial[threadIdx.x] += partial[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0) sums[blockIdx.x] = partial[0];
}

__global__ void warp_scan(const int* values, int* scanned) {
  int lane = threadIdx.x % 32;
  int value = values[threadIdx.x];
  for (int d = 1; d < 32; d *= 2) {
    int other = __shfl_up_sync(0xffffffffu, value, d);
    if (lane >= d) value += other;
  }
  scanned[threadIdx.x] = value;
}

__global__ void matrix_multiply(const float* a, const float* b, float* c, int n) {
  __shared__ float ta[16][16], tb[16][17];
  int x = threadIdx.x, y = threadIdx.y;
  int row = blockIdx.y * 16 + y, column = blockIdx.x * 16 + x;
  float sum = 0;
  for (int t = 0; t < n; t += 16) {
    ta[y][x] = a[row * n + t + x];
    tb[y][x] = b[(t + y) * n + column];
    __syncthreads();
#pragma unroll
    for (int k = 0; k < 16; ++k) sum += ta[y][k] * tb[k][x];
    __syncthreads();
  }
  c[row * n + column] = sum;
}

__global__ void histogram(const uint8_t* bytes, uint32_t* counts, int n) {
  __shared__ uint32_t local[256];
  for (int i = threadIdx.x; i < 256; i += blockDim.x) local[i] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
    atomicAdd(&local[bytes[i]], 1);
  }
  __syncthreads();
  for (int i = threadIdx.x; i < 256; i += blockDim.x) atomicAdd(&counts[i], local[i]);
}

__global__ void transcendental(const float* x, float* out) {
  int i = threadIdx.x;
  out[8 * i + 0] = sinf(x[i]);
  out[8 * i + 1] = cosf(x[i]);
  out[8 * i + 2] = expf(x[i]);
  out[8 * i + 3] = logf(fabsf(x[i]) + 0.5f);
  out[8 * i + 4] = sqrtf(fabsf(x[i]));
  out[8 * i + 5] = powf(fabsf(x[i]), 1.7f);
  out[8 * i + 6] = tanhf(x[i]);
  out[8 * i + 7] = x[i] / 3.0f;
}

__global__ void transcendental_double(const double* x, double* out) {
  int i = threadIdx.x;
  out[6 * i + 0] = sin(x[i]);
  out[6 * i + 1] = exp(x[i]);
  out[6 * i + 2] = log(fabs(x[i]) + 0.5);
  out[6 * i + 3] = sqrt(fabs(x[i]));
  out[6 * i + 4] = x[i] / 3.0;
  out[6 * i + 5] = cbrt(x[i]);
}

__global__ void integer_division(const int64_t* a, const int64_t* b, int64_t* out) {
  int i = threadIdx.x;
  out[4 * i + 0] = a[i] / b[i];
  out[4 * i + 1] = a[i] % b[i];
  out[4 * i + 2] = static_cast<int64_t>(static_cast<uint64_t>(a[i]) / static_cast<uint64_t>(b[i]));
  out[4 * i + 3] = __mul64hi(a[i], b[i]);
}

__global__ void halves(const float* x, float* out) {
  int i = threadIdx.x;
  __half h = __float2half(x[i]);
  __half2 pair = __halves2half2(h, __hadd(h, h));
  __half2 product = __hfma2(pair, pair, pair);
  out[4 * i + 0] = __half2float(__low2half(product));
  out[4 * i + 1] = __half2float(__high2half(product));
  __nv_bfloat16 b = __float2bfloat16(x[i]);
  out[4 * i + 2] = __bfloat162float(__hmul(b, b));
  out[4 * i + 3] = __hgt(h, __float2half(1.0f)) ? 1.0f : 0.0f;
}

struct Shape {
  virtual __device__ float area() const = 0;
};
struct Square : Shape {
  float side;
  __device__ float area() const override { return side * side; }
};
struct Circle : Shape {
  float radius;
  __device__ float area() const override { return 3.0f * radius * radius; }
};

__global__ void virtual_calls(float* out) {
  Square square;
  square.side = threadIdx.x;
  Circle circle;
  circle.radius = threadIdx.x;
  const Shape* shape = threadIdx.x % 2 ? static_cast<const Shape*>(&square) : &circle;
  out[threadIdx.x] = shape->area();
}

__device__ __noinline__ int ackermann(int m, int n) {
  if (m == 0) return n + 1;
  if (n == 0) return ackermann(m - 1, 1);
  return ackermann(m - 1, ackermann(m, n - 1));
}
__global__ void recursion(int* out) { out[threadIdx.x] = ackermann(2, threadIdx.x % 5); }

__global__ void big_switch(const int* x, int* out) {
  int i = threadIdx.x, v = x[i];
  switch (v) {
    case 0: v = 17; break;
    case 1: v = out[i] * 3; break;
    case 2: v = 5 - v; // falls through
    case 3: v ^= 0x55; break;
    case 4: return;
    case 5: v = __popc(i); break;
    case 6: v = __clz(i); break;
    case 7: for (int k = 0; k < i; ++k) { if (k == 9) continue; if (k == 20) break; v += k; } break;
    default: v = -v;
  }
  out[i] = v;
}

__global__ void grid_phases(int* data, int n, int rounds) {
  cg::grid_group grid = cg::this_grid();
  int i = grid.thread_rank();
  for (int r = 0; r < rounds; ++r) {
    int left = data[(i + n - 1) % n];
    grid.sync();
    data[i] += left;
    grid.sync();
  }
}

__global__ void tiles(int* out) {
  auto tile = cg::tiled_partition<8>(cg::this_thread_block());
  int sum = cg::reduce(tile, static_cast<int>(threadIdx.x), cg::plus<int>());
  int active = 0;
  if (threadIdx.x % 3 == 0) {
    auto together = cg::coalesced_threads();
    active = together.size() * 100 + together.thread_rank();
  }
  out[threadIdx.x] = sum * 10000 + active;
}

#if __CUDA_ARCH__ >= 800
__global__ void object_barrier(int* out, int rounds) {
#pragma nv_diag_suppress static_var_with_dynamic_init
  __shared__ cuda::barrier<cuda::thread_scope_block> barrier;
  __shared__ int values[128];
  if (threadIdx.x == 0) init(&barrier, blockDim.x);
  __syncthreads();
  int value = threadIdx.x;
  for (int r = 0; r < rounds; ++r) {
    values[threadIdx.x] = value;
    barrier.arrive_and_wait();
    value += values[(threadIdx.x + 1) % blockDim.x];
    barrier.arrive_and_wait();
  }
  out[threadIdx.x] = value;
}
#endif

__device__ int ticket;
__device__ volatile int turn;
__global__ void in_turn(int* order) {
  // A ticket lock taken by one thread of every block, and by every lane of a warp after another.
  for (int lane = 0; lane < 32; ++lane) {
    if (threadIdx.x % 32 != lane) continue;
    int mine = atomicAdd(&ticket, 1);
    while (turn != mine) {
    }
    __threadfence();
    order[mine] = blockIdx.x * blockDim.x + threadIdx.x + 1;
    __threadfence();
    turn = mine + 1;
  }
}

__device__ int mutex;
__device__ int guarded;
__global__ void spin_lock() {
  bool done = false;
  while (!done) {
    if (atomicCAS(&mutex, 0, 1) == 0) {
      __threadfence();
      guarded = guarded + 1;
      __threadfence();
      atomicExch(&mutex, 0);
      done = true;
    }
  }
}

__constant__ float coefficients[4];
__device__ float result_variable = 1.5f;
__global__ void uses_variables(const float* x, float* out) {
  float v = x[threadIdx.x], sum = 0;
  for (int k = 3; k >= 0; --k) sum = sum * v + coefficients[k];
  out[threadIdx.x] = sum + result_variable;
}

struct Particle {
  float position[3];
  double mass;
  char tag;
  short counts[5];
};
__global__ void by_value(Particle p, int index, Particle* out) {
  Particle q = p;
  q.position[index % 3] += threadIdx.x;
  q.mass *= threadIdx.x;
  q.counts[index] = static_cast<short>(threadIdx.x);
  q.tag = 'a' + threadIdx.x % 26;
  out[threadIdx.x] = q;
}

__global__ void says(int n) {
  printf("thread %d of %d: %s %.3f %lld\n", threadIdx.x, n, threadIdx.x % 2 ? "odd" : "even",
         threadIdx.x * 0.5, 1ll << (threadIdx.x + 40));
}
__global__ void asserts(int n) { assert(static_cast<int>(threadIdx.x) < n); }
__global__ void out_of_bounds(int* p, int i) { p[i + threadIdx.x] = 1; }

__global__ void local_array(const int* x, int* out) {
  int table[40];
  for (int k = 0; k < 40; ++k) table[k] = k * x[threadIdx.x];
  int at = threadIdx.x % 40;
  for (int k = 0; k < 50; ++k) at = (table[at] + k) % 40;
  out[threadIdx.x] = at;
}

__global__ void heap(int** slots) {
  int* p = static_cast<int*>(malloc(64 * sizeof(int)));
  assert(p != nullptr);
  for (int k = 0; k < 64; ++k) p[k] = threadIdx.x + k;
  slots[threadIdx.x] = p;
  __syncthreads();
  int* next = slots[(threadIdx.x + 1) % blockDim.x];
  assert(next[63] == (threadIdx.x + 1) % blockDim.x + 63);
  __syncthreads();
  free(p);
}

__global__ void alu_speed(uint32_t* out, int rounds) {
  uint32_t x = threadIdx.x, y = blockIdx.x, z = 12345;
  for (int k = 0; k < rounds; ++k) {
    x ^= x << 13; x ^= x >> 17; x ^= x << 5;
    y = y * 1664525u + 1013904223u;
    z += x ^ y;
  }
  out[blockIdx.x * blockDim.x + threadIdx.x] = x + y + z;
}
}
