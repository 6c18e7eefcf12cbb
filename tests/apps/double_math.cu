// Special functions in double and float against libm, and the rounding intrinsics, exactly.
#include <cfenv>

#include "check.h"

constexpr int kFunctions = 30;

template <typename T>
struct Functions {
  static __host__ __device__ void all(T x, T y, T* o) {
    // x in (0, 10], y in [-3, 3]
    int i = 0, e;
    T s, c, whole;
    sincos_of(y, &s, &c);
    o[i++] = s;
    o[i++] = c;
    o[i++] = sin(x);
    o[i++] = cos(x);
    o[i++] = tan(y / 3);
    o[i++] = asin(y / 3);
    o[i++] = acos(y / 3);
    o[i++] = atan(y);
    o[i++] = atan2(y, x);
    o[i++] = sinh(y);
    o[i++] = cosh(y);
    o[i++] = tanh(y);
    o[i++] = exp(y);
    o[i++] = exp2(y);
    o[i++] = expm1(y);
    o[i++] = log(x);
    o[i++] = log2(x);
    o[i++] = log10(x);
    o[i++] = log1p(x);
    o[i++] = pow(x, y);
    o[i++] = sqrt(x);
    o[i++] = cbrt(y);
    o[i++] = hypot(x, y);
    o[i++] = erf(y);
    o[i++] = erfc(y);
    o[i++] = tgamma(x / 2 + T(0.5));
    o[i++] = lgamma(x + 1);
    o[i++] = fmod(x, T(0.75)) + remainder(y, T(0.5));
    T mantissa = frexp(x, &e), fraction = modf(y, &whole);
    o[i++] = mantissa + T(e) + ldexp(y, 3);
    o[i++] = fraction + whole * 2 + copysign(x, y) + fdim(x, y) + floor(y) + ceil(x) + rint(y * 3) +
             trunc(y) + round(y);
  }
  static __host__ __device__ void sincos_of(double v, double* s, double* c) {
#ifdef __CUDA_ARCH__
    sincos(v, s, c);
#else
    *s = std::sin(v), *c = std::cos(v);
#endif
  }
  static __host__ __device__ void sincos_of(float v, float* s, float* c) {
#ifdef __CUDA_ARCH__
    sincosf(v, s, c);
#else
    *s = std::sin(v), *c = std::cos(v);
#endif
  }
};

template <typename T>
__global__ void special(const T* x, const T* y, T* out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) Functions<T>::all(x[i], y[i], out + i * kFunctions);
}

template <typename T>
void run_special(const char* what, double bound) {
  const int n = 400;
  std::vector<T> x(n), y(n), want(n * kFunctions);
  check::Rng rng(24);
  for (int i = 0; i < n; ++i) {
    x[i] = static_cast<T>(rng.next_double() * 9.99 + 0.01);
    y[i] = static_cast<T>(rng.next_double() * 6 - 3);
    // Values next to a jump of floor, rint and the like are the same on both sides.
    Functions<T>::all(x[i], y[i], &want[i * kFunctions]);
  }
  check::DeviceArray<T> dx(x), dy(y), dout(want.size());
  special<T><<<4, 128>>>(dx.get(), dy.get(), dout.get(), n);
  LAUNCH_CHECK();
  check::close(what, dout.fetch().data(), want.data(), want.size(), bound);
}

// The fast approximations, with the errors they may have.
__global__ void fast(const float* x, float* out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  out[6 * i] = __sinf(x[i]);
  out[6 * i + 1] = __cosf(x[i]);
  out[6 * i + 2] = __expf(-x[i]);
  out[6 * i + 3] = __logf(x[i]);
  out[6 * i + 4] = __fdividef(1.0f, x[i]);
  out[6 * i + 5] = rsqrtf(x[i]);
}

constexpr int kRounded = 28;

__global__ void rounded_double(const double* a, const double* b, double* out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  double x = a[i], y = b[i], z = fabs(x);
  double* o = out + i * kRounded;
  *o++ = __dadd_rn(x, y), *o++ = __dadd_rz(x, y), *o++ = __dadd_rd(x, y), *o++ = __dadd_ru(x, y);
  *o++ = __dsub_rn(x, y), *o++ = __dsub_rz(x, y), *o++ = __dsub_rd(x, y), *o++ = __dsub_ru(x, y);
  *o++ = __dmul_rn(x, y), *o++ = __dmul_rz(x, y), *o++ = __dmul_rd(x, y), *o++ = __dmul_ru(x, y);
  *o++ = __ddiv_rn(x, y), *o++ = __ddiv_rz(x, y), *o++ = __ddiv_rd(x, y), *o++ = __ddiv_ru(x, y);
  *o++ = __dsqrt_rn(z), *o++ = __dsqrt_rz(z), *o++ = __dsqrt_rd(z), *o++ = __dsqrt_ru(z);
  *o++ = __fma_rn(x, y, z), *o++ = __fma_rz(x, y, z), *o++ = __fma_rd(x, y, z),
  *o++ = __fma_ru(x, y, z);
  *o++ = __double2float_rn(x), *o++ = __double2float_rz(x), *o++ = __double2float_rd(x),
  *o++ = __double2float_ru(x);
}
__global__ void rounded_float(const float* a, const float* b, float* out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float x = a[i], y = b[i], z = fabsf(x);
  float* o = out + i * kRounded;
  *o++ = __fadd_rn(x, y), *o++ = __fadd_rz(x, y), *o++ = __fadd_rd(x, y), *o++ = __fadd_ru(x, y);
  *o++ = __fsub_rn(x, y), *o++ = __fsub_rz(x, y), *o++ = __fsub_rd(x, y), *o++ = __fsub_ru(x, y);
  *o++ = __fmul_rn(x, y), *o++ = __fmul_rz(x, y), *o++ = __fmul_rd(x, y), *o++ = __fmul_ru(x, y);
  *o++ = __fdiv_rn(x, y), *o++ = __fdiv_rz(x, y), *o++ = __fdiv_rd(x, y), *o++ = __fdiv_ru(x, y);
  *o++ = __fsqrt_rn(z), *o++ = __fsqrt_rz(z), *o++ = __fsqrt_rd(z), *o++ = __fsqrt_ru(z);
  *o++ = __fmaf_rn(x, y, z), *o++ = __fmaf_rz(x, y, z), *o++ = __fmaf_rd(x, y, z),
  *o++ = __fmaf_ru(x, y, z);
  int k = static_cast<int>(__float_as_uint(x));
  *o++ = __int2float_rn(k), *o++ = __int2float_rz(k), *o++ = __int2float_rd(k),
  *o++ = __int2float_ru(k);
}

constexpr int kInts = 20;

__global__ void to_integers(const double* in, long long* out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  double x = in[i];
  float f = static_cast<float>(x);
  long long* o = out + i * kInts;
  *o++ = __double2int_rn(x), *o++ = __double2int_rz(x), *o++ = __double2int_rd(x),
  *o++ = __double2int_ru(x);
  *o++ = __double2ll_rn(x), *o++ = __double2ll_rz(x), *o++ = __double2ll_rd(x),
  *o++ = __double2ll_ru(x);
  *o++ = __float2int_rn(f), *o++ = __float2int_rz(f), *o++ = __float2int_rd(f),
  *o++ = __float2int_ru(f);
  *o++ = __float2ll_rn(f), *o++ = __float2ll_rz(f), *o++ = __float2ll_rd(f),
  *o++ = __float2ll_ru(f);
  *o++ = __float_as_int(f), *o++ = __double_as_longlong(x);
  *o++ = __double2hiint(x), *o++ = __double2loint(x);
}

const int kModes[4] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD};

template <typename T>
void reference(T x_in, T y_in, T* out, bool to_float) {
  volatile T x = x_in, y = y_in, z = std::fabs(x_in);
  for (int m = 0; m < 4; ++m) {
    std::fesetround(kModes[m]);
    volatile T sum = x + y, difference = x - y, product = x * y, quotient = x / y;
    volatile T root = std::sqrt(static_cast<T>(z));
    volatile T fused = std::fma(static_cast<T>(x), static_cast<T>(y), static_cast<T>(z));
    out[m] = sum;
    out[4 + m] = difference;
    out[8 + m] = product;
    out[12 + m] = quotient;
    out[16 + m] = root;
    out[20 + m] = fused;
    if (to_float) {
      volatile float narrow = static_cast<float>(x);
      out[24 + m] = static_cast<T>(narrow);
    } else {
      float exact = static_cast<float>(x_in);
      volatile int bits = 0;
      std::memcpy(const_cast<int*>(&bits), &exact, 4);
      volatile float converted = static_cast<float>(bits);
      out[24 + m] = static_cast<T>(converted);
    }
    std::fesetround(FE_TONEAREST);
  }
}

int main() {
  run_special<double>("double functions", 1e-12);
  run_special<float>("float functions", 1e-5);

  const int n = 500;
  check::Rng rng(25);
  std::vector<double> a(n), b(n), want(n * kRounded);
  std::vector<float> fa(n), fb(n), fwant(n * kRounded);
  for (int i = 0; i < n; ++i) {
    a[i] = (rng.next_double() - 0.5) * std::ldexp(1, static_cast<int>(rng.below(40)) - 20);
    b[i] = (rng.next_double() - 0.5) * std::ldexp(1, static_cast<int>(rng.below(40)) - 20);
    fa[i] = static_cast<float>(a[i]);
    fb[i] = static_cast<float>(b[i]);
    reference<double>(a[i], b[i], &want[i * kRounded], true);
    reference<float>(fa[i], fb[i], &fwant[i * kRounded], false);
  }
  check::DeviceArray<double> da(a), db(b), dout(want.size());
  check::DeviceArray<float> dfa(fa), dfb(fb), dfout(fwant.size());
  rounded_double<<<4, 128>>>(da.get(), db.get(), dout.get(), n);
  rounded_float<<<4, 128>>>(dfa.get(), dfb.get(), dfout.get(), n);
  LAUNCH_CHECK();
  check::equal("double roundings", dout.fetch().data(), want.data(), want.size());
  check::equal("float roundings", dfout.fetch().data(), fwant.data(), fwant.size());

  std::vector<long long> iwant(n * kInts);
  for (int i = 0; i < n; ++i) {
    if (i < 40) a[i] = i * 0.5 - 10;  // ties
    float f = static_cast<float>(a[i]);
    for (int m = 0; m < 4; ++m) {
      std::fesetround(kModes[m]);
      volatile double x = a[i], xr = std::nearbyint(static_cast<double>(x));
      volatile float y = f, yr = std::nearbyint(static_cast<float>(y));
      std::fesetround(FE_TONEAREST);
      iwant[i * kInts + m] = static_cast<int>(xr);
      iwant[i * kInts + 4 + m] = static_cast<long long>(xr);
      iwant[i * kInts + 8 + m] = static_cast<int>(yr);
      iwant[i * kInts + 12 + m] = static_cast<long long>(yr);
    }
    int bits;
    long long wide;
    std::memcpy(&bits, &f, 4);
    std::memcpy(&wide, &a[i], 8);
    iwant[i * kInts + 16] = bits;
    iwant[i * kInts + 17] = wide;
    iwant[i * kInts + 18] = static_cast<int>(wide >> 32);
    iwant[i * kInts + 19] = static_cast<int>(wide);
  }
  da.put(a);
  check::DeviceArray<long long> dints(iwant.size());
  to_integers<<<4, 128>>>(da.get(), dints.get(), n);
  LAUNCH_CHECK();
  check::equal("to integers", dints.fetch().data(), iwant.data(), iwant.size());

  std::vector<float> x(200);
  std::vector<double> wfast(1200);
  for (int i = 0; i < 200; ++i) {
    x[i] = 0.015f * static_cast<float>(i + 1);
    double v = x[i];
    const double w[6] = {std::sin(v), std::cos(v), std::exp(-v),
                         std::log(v), 1 / v,       1 / std::sqrt(v)};
    for (int k = 0; k < 6; ++k) wfast[6 * i + k] = w[k];
  }
  check::DeviceArray<float> dx(x), dfast(1200);
  fast<<<2, 128>>>(dx.get(), dfast.get(), 200);
  LAUNCH_CHECK();
  check::close("fast approximations", dfast.fetch().data(), wfast.data(), 1200, 1e-5);
  return check::finish();
}
