// cuda_fp16.h and cuda_bf16.h: arithmetic, conversions in all roundings, comparisons, packed pairs,
// atomics. Operands are chosen so that one rounding gives the result; the CPU rounds it itself.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "check.h"

// Rounds to nearest even with the given fraction bits and exponent range; gives the value.
static double round_to(double x, int fraction_bits, int min_exponent, double max) {
  if (x == 0 || std::isnan(x) || std::isinf(x)) return x;
  int e;
  std::frexp(x, &e);
  --e;
  if (e < min_exponent) e = min_exponent;
  double unit = std::ldexp(1.0, e - fraction_bits);
  double r = std::nearbyint(x / unit) * unit;
  return std::fabs(r) > max ? std::copysign(INFINITY, x) : r;
}
static double to_half(double x) {
  return round_to(x, 10, -14, 65504.0);
}
static double to_bf16(double x) {
  return round_to(x, 7, -126, 3.3895313892515355e38);
}

constexpr int kOps = 12;

template <typename T>
struct Convert;
template <>
struct Convert<__half> {
  static __device__ __half from(float x) { return __float2half_rn(x); }
  static __device__ float to(__half x) { return __half2float(x); }
};
template <>
struct Convert<__nv_bfloat16> {
  static __device__ __nv_bfloat16 from(float x) { return __float2bfloat16_rn(x); }
  static __device__ float to(__nv_bfloat16 x) { return __bfloat162float(x); }
};

template <typename T>
__global__ void arithmetic(const float* a, const float* b, float* out, int n) {
  using C = Convert<T>;
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  T x = C::from(a[i]), y = C::from(b[i]);
  float* o = out + i * kOps;
  o[0] = C::to(x);
  o[1] = C::to(__hadd(x, y));
  o[2] = C::to(__hsub(x, y));
  o[3] = C::to(__hmul(x, y));
  o[4] = C::to(__hdiv(x, C::from(4.0f)));
  o[5] = C::to(__hneg(x));
  o[6] = C::to(__habs(y));
  o[7] = C::to(__hmax(x, y));
  o[8] = C::to(__hmin(x, y));
  o[9] = __hlt(x, y) ? 1.0f : 0.0f;
  o[10] = __heq(x, x) && __hge(x, x) && !__hne(y, y) ? 1.0f : 0.0f;
  o[11] = C::to(hfloor(x)) + C::to(htrunc(y)) + C::to(hrint(x));
}

// Pairs, with fused multiply-add on small integers (exact), and operators.
__global__ void pairs(const float2* in, float2* out, int n) {
  int i = threadIdx.x;
  if (i >= n) return;
  __half2 h = __float22half2_rn(in[i]);
  __half2 two = __float2half2_rn(2.0f);
  out[4 * i] = __half22float2(__hfma2(h, two, __lowhigh2highlow(h)));
  out[4 * i + 1] = __half22float2(h * h - two);
  __nv_bfloat162 b = __float22bfloat162_rn(in[i]);
  __nv_bfloat162 three = __float2bfloat162_rn(3.0f);
#if __CUDA_ARCH__ >= 800
  out[4 * i + 2] = __bfloat1622float2(__hfma2(b, three, b));
  __nv_bfloat16 fused = __hfma(b.x, b.y, b.y);
#else  // no fused operations on bf16 before 8.0
  out[4 * i + 2] = __bfloat1622float2(__hadd2(__hmul2(b, three), b));
  __nv_bfloat16 fused = __hadd(__hmul(b.x, b.y), b.y);
#endif
  __half low = __low2half(h), high = __high2half(h);
  out[4 * i + 3] = make_float2(__half2float(__hfma(low, high, low)), __bfloat162float(fused));
}

constexpr int kConversions = 14;

// The same functions on the device and on the host (whose versions the headers give in C++).
__host__ __device__ inline unsigned short bits_of(__half h) {
  return __half_as_ushort(h);
}
__host__ __device__ inline unsigned short bits_of(__nv_bfloat16 b) {
  return __bfloat16_as_ushort(b);
}
__host__ __device__ inline void convert(float f, double d, unsigned* out) {
  out[0] = bits_of(__float2half_rn(f));
  out[1] = bits_of(__float2half_rz(f));
  out[2] = bits_of(__float2half_rd(f));
  out[3] = bits_of(__float2half_ru(f));
  out[4] = bits_of(__float2bfloat16_rn(f));
  out[5] = bits_of(__float2bfloat16_rz(f));
  out[6] = bits_of(__float2bfloat16_rd(f));
  out[7] = bits_of(__float2bfloat16_ru(f));
  out[8] = bits_of(__double2half(d));
  __half small = __float2half_rn(f > 1000 ? 1000.25f : f < -1000 ? -1000.75f : f);
#ifdef __CUDA_ARCH__
  out[9] = static_cast<unsigned>(__half2int_rn(small));
  out[10] = static_cast<unsigned>(__half2int_rz(small));
  out[11] = static_cast<unsigned>(__half2int_rd(small));
  out[12] = static_cast<unsigned>(__half2int_ru(small));
#else
  float value = __half2float(small);
  out[9] = static_cast<unsigned>(static_cast<int>(std::nearbyint(value)));
  out[10] = static_cast<unsigned>(static_cast<int>(value));
  out[11] = static_cast<unsigned>(static_cast<int>(std::floor(value)));
  out[12] = static_cast<unsigned>(static_cast<int>(std::ceil(value)));
#endif
  out[13] = bits_of(__int2half_rn(static_cast<int>(d))) | (bits_of(__short2half_rn(77)) << 16);
}
__global__ void conversions(const float* f, const double* d, unsigned* out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) convert(f[i], d[i], out + i * kConversions);
}

__global__ void atomics(__half* h, __half2* h2, __nv_bfloat16* b) {
  atomicAdd(h, __float2half(1.0f));
  atomicAdd(h2, __floats2half2_rn(1.0f, 0.5f));
  if (threadIdx.x % 2 == 0) atomicAdd(b, __float2bfloat16(2.0f));
}

__global__ void functions(const float* in, float* out, int n) {
  int i = threadIdx.x;
  if (i >= n) return;
  __half h = __float2half(in[i]);
  out[6 * i] = __half2float(hsqrt(h));
  out[6 * i + 1] = __half2float(hrcp(h));
  out[6 * i + 2] = __half2float(hexp2(h));
  out[6 * i + 3] = __half2float(hlog2(h));
  out[6 * i + 4] = __half2float(hrsqrt(h));
  out[6 * i + 5] = __bfloat162float(hsqrt(__float2bfloat16(in[i])));
}

template <typename T>
void run_arithmetic(const char* what, double (*round)(double)) {
  const int n = 500;
  std::vector<float> a(n), b(n), got;
  std::vector<float> want(n * kOps);
  check::Rng rng(20);
  for (int i = 0; i < n; ++i) {
    a[i] = static_cast<float>(round((rng.next_double() - 0.5) * std::ldexp(1, rng.below(12))));
    b[i] = static_cast<float>(round((rng.next_double() - 0.5) * std::ldexp(1, rng.below(12))));
    double x = a[i], y = b[i];
    double values[kOps] = {x,
                           round(x + y),
                           round(x - y),
                           round(x * y),
                           round(x / 4),
                           -x,
                           std::fabs(y),
                           std::fmax(x, y),
                           std::fmin(x, y),
                           x < y ? 1.0 : 0.0,
                           1.0,
                           std::floor(x) + std::trunc(y) + std::nearbyint(x)};
    for (int k = 0; k < kOps; ++k) want[i * kOps + k] = static_cast<float>(values[k]);
  }
  check::DeviceArray<float> da(a), db(b), dout(n * kOps);
  arithmetic<T><<<4, 128>>>(da.get(), db.get(), dout.get(), n);
  LAUNCH_CHECK();
  got = dout.fetch();
  for (float& v : got) v += 0.0f;  // -0 and 0 are one
  for (float& v : want) v += 0.0f;
  check::equal(what, got.data(), want.data(), got.size());
}

int main() {
  run_arithmetic<__half>("half arithmetic", to_half);
  run_arithmetic<__nv_bfloat16>("bf16 arithmetic", to_bf16);

  std::vector<float2> in(12), want_pairs(48);
  for (int i = 0; i < 12; ++i) {
    float x = static_cast<float>(i - 6), y = static_cast<float>(i % 5);
    in[i] = make_float2(x, y);
    want_pairs[4 * i] = make_float2(2 * x + y, 2 * y + x);
    want_pairs[4 * i + 1] = make_float2(x * x - 2, y * y - 2);
    want_pairs[4 * i + 2] = make_float2(4 * x, 4 * y);
    want_pairs[4 * i + 3] = make_float2(x * y + x, x * y + y);
  }
  check::DeviceArray<float2> din(in), dpairs(48);
  pairs<<<1, 32>>>(din.get(), dpairs.get(), 12);
  LAUNCH_CHECK();
  std::vector<float2> got_pairs = dpairs.fetch();
  for (float2& v : got_pairs) v = make_float2(v.x + 0.0f, v.y + 0.0f);
  for (float2& v : want_pairs) v = make_float2(v.x + 0.0f, v.y + 0.0f);
  check::equal("pairs", got_pairs.data(), want_pairs.data(), 48);

  const int n = 400;
  std::vector<float> f(n);
  std::vector<double> d(n);
  std::vector<unsigned> want(n * kConversions);
  check::Rng rng(21);
  for (int i = 0; i < n; ++i) {
    d[i] = (rng.next_double() - 0.5) * std::ldexp(1, static_cast<int>(rng.below(44)) - 26);
    f[i] = static_cast<float>(d[i]);
  }
  const float special[] = {0.0f,     65504.0f,  65519.0f, 65520.0f, 1e-8f,  5.9604645e-8f,
                           2.0f,     1.5f,      2.5f,     -0.5f,    3.5f,   1e30f,
                           INFINITY, -INFINITY, 6.1e-5f,  2049.0f,  2051.0f};
  for (size_t i = 0; i < sizeof special / sizeof *special; ++i) {
    f[i] = special[i];
    d[i] = std::isinf(special[i]) || special[i] > 1e9f ? 12345.678 : special[i];
  }
  for (int i = 0; i < n; ++i) convert(f[i], d[i], &want[i * kConversions]);
  check::DeviceArray<float> df(f);
  check::DeviceArray<double> dd(d);
  check::DeviceArray<unsigned> dwords(n * kConversions);
  conversions<<<4, 128>>>(df.get(), dd.get(), dwords.get(), n);
  LAUNCH_CHECK();
  check::equal("conversions", dwords.fetch().data(), want.data(), want.size());

  __half *h, h_sum;
  __half2 *h2, h2_sum;
  __nv_bfloat16 *b, b_sum;
  CUDA_CHECK(cudaMalloc(&h, 4));
  CUDA_CHECK(cudaMalloc(&h2, 4));
  CUDA_CHECK(cudaMalloc(&b, 4));
  CUDA_CHECK(cudaMemset(h, 0, 4));
  CUDA_CHECK(cudaMemset(h2, 0, 4));
  CUDA_CHECK(cudaMemset(b, 0, 4));
  atomics<<<2, 64>>>(h, h2, b);
  LAUNCH_CHECK();
  CUDA_CHECK(cudaMemcpy(&h_sum, h, sizeof h_sum, cudaMemcpyDeviceToHost));
  CUDA_CHECK(cudaMemcpy(&h2_sum, h2, sizeof h2_sum, cudaMemcpyDeviceToHost));
  CUDA_CHECK(cudaMemcpy(&b_sum, b, sizeof b_sum, cudaMemcpyDeviceToHost));
  float sums[4] = {__half2float(h_sum), __low2float(h2_sum), __high2float(h2_sum),
                   __bfloat162float(b_sum)};
  const float want_sums[4] = {128, 128, 64, 128};
  std::printf("atomics: %g %g %g %g\n", sums[0], sums[1], sums[2], sums[3]);
  check::equal("atomics", sums, want_sums, 4);

  std::vector<float> x(20), want_functions(120);
  for (int i = 0; i < 20; ++i) {
    x[i] = 0.25f * static_cast<float>(i + 1);
    double v = x[i];
    double r[6] = {std::sqrt(v), 1 / v, std::exp2(v), std::log2(v), 1 / std::sqrt(v), std::sqrt(v)};
    for (int k = 0; k < 6; ++k) want_functions[6 * i + k] = static_cast<float>(r[k]);
  }
  check::DeviceArray<float> dx(x), df2(120);
  functions<<<1, 32>>>(dx.get(), df2.get(), 20);
  LAUNCH_CHECK();
  std::vector<float> got = df2.fetch();
  check::close("functions", got.data(), want_functions.data(), 120, 0.005);
  CUDA_CHECK(cudaFree(h));
  CUDA_CHECK(cudaFree(h2));
  CUDA_CHECK(cudaFree(b));
  return check::finish();
}
