// Kernel parameters: structs by value, mixed alignment, unions, enums, arrays inside structs,
// templates, many small parameters.
#include "check.h"

struct Small {
  char a;
  double b;
  short c;
};
struct alignas(16) Wide {
  float4 v;
  char tail;
};
struct Nested {
  Small small[2];
  struct {
    unsigned char bits[5];
    int after;
  } inner;
  const int* pointer;
};
struct Packed {
  unsigned flag : 3;
  unsigned value : 29;
  bool on;
};
union Either {
  float f;
  unsigned u;
};
enum class Mode : unsigned char { kOne = 1, kTwo = 200 };
struct Empty {};

__global__ void mixed(char c, double d, short s, float4 f, bool flag, Small small, Wide wide,
                      char c2, Nested nested, Packed packed, Either either, Mode mode, Empty,
                      long long l, uchar3 rgb, double* out) {
  int i = 0;
  out[i++] = c;
  out[i++] = d;
  out[i++] = s;
  out[i++] = f.x + f.y * 2 + f.z * 4 + f.w * 8;
  out[i++] = flag;
  out[i++] = small.a + small.b * 2 + small.c * 3;
  out[i++] = wide.v.x - wide.v.w + wide.tail;
  out[i++] = c2;
  out[i++] = nested.small[0].b + nested.small[1].a + nested.small[1].c;
  for (int k = 0; k < 5; ++k) out[i++] = nested.inner.bits[k];
  out[i++] = nested.inner.after;
  out[i++] = nested.pointer[3];
  out[i++] = packed.flag + 10.0 * packed.value + packed.on * 0.5;
  out[i++] = either.u;
  out[i++] = static_cast<unsigned char>(mode);
  out[i++] = static_cast<double>(l);
  out[i++] = rgb.x * 65536.0 + rgb.y * 256.0 + rgb.z;
}
constexpr int kMixed = 21;

template <typename... T>
__global__ void sum_all(double* out, T... values) {
  double sum = 0, weight = 1;
  ((sum += weight * static_cast<double>(values), weight += 1), ...);
  *out = sum;
}

template <typename T, int N>
struct Vec {
  T data[N];
};

// Indexed by a runtime value: the parameter cannot stay in registers.
template <typename T, int N>
__global__ void pick(Vec<T, N> v, const int* order, T* out) {
  out[threadIdx.x] = v.data[order[threadIdx.x]];
}

template <typename T, int N>
void run_pick(const char* what) {
  Vec<T, N> v;
  std::vector<int> order(N);
  std::vector<T> want(N);
  for (int i = 0; i < N; ++i) v.data[i] = static_cast<T>(i * 7 + 1);
  for (int i = 0; i < N; ++i) {
    order[i] = (i * 5 + 3) % N;
    want[i] = v.data[order[i]];
  }
  check::DeviceArray<int> dorder(order);
  check::DeviceArray<T> dout(N);
  pick<T, N><<<1, N>>>(v, dorder.get(), dout.get());
  LAUNCH_CHECK();
  check::equal(what, dout.fetch().data(), want.data(), N);
}

int main() {
  check::DeviceArray<int> numbers(std::vector<int>{5, 6, 7, 88});
  check::DeviceArray<double> out(kMixed);
  Small small{-3, 1.5, 300};
  Wide wide{make_float4(10, 0, 0, 4), 9};
  Nested nested{{small, {100, 0.25, -5}}, {{1, 2, 3, 4, 255}, -123456}, numbers.get()};
  Packed packed{5, 1000, true};
  Either either;
  either.f = 1.0f;
  mixed<<<1, 1>>>('x', 2.5, -7, make_float4(1, 2, 3, 4), true, small, wide, -1, nested, packed,
                  either, Mode::kTwo, Empty{}, -(1LL << 40), make_uchar3(1, 2, 3), out.get());
  LAUNCH_CHECK();
  const double want[kMixed] = {
      120, 2.5, -7, 49, 1,   900,     15, -1,      96.5,  // 1.5+100-5
      1,   2,   3,  4,  255, -123456, 88, 10005.5, 1065353216.0, 200, -1099511627776.0, 66051};
  check::equal("mixed", out.fetch().data(), want, kMixed);

  check::DeviceArray<double> sum(1);
  sum_all<<<1, 1>>>(sum.get(), char(1), 2.0, short(3), 4.0f, 5LL, static_cast<unsigned char>(6),
                    7.0, 8u, true, 10, char(11), 12.0);
  LAUNCH_CHECK();
  double total = 0;
  for (int i = 1; i <= 12; ++i) total += i == 9 ? 9.0 : static_cast<double>(i) * i;
  check::equal("twelve small ones", sum.fetch().data(), &total, 1);

  run_pick<char, 33>("char[33]");
  run_pick<short, 64>("short[64]");
  run_pick<int, 100>("int[100]");
  run_pick<double, 128>("double[128]");
  return check::finish();
}
