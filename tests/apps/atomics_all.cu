// Every atomic function on every type, in global and shared memory, with block and system scope.
#include "check.h"

struct Counters {
  int add_i, sub_i, min_i, max_i, and_i, or_i, xor_i, cas_i, scoped_i;
  unsigned add_u, min_u, max_u, inc_u, dec_u, exch_sum;
  unsigned long long add_l, min_l, max_l, and_l, or_l, xor_l, cas_l;
  long long smin_l, smax_l;
  float add_f;
  double add_d;
  double cas_product;
  unsigned short cas_16;
};

__device__ void multiply(double* target, double factor) {
  unsigned long long* bits = reinterpret_cast<unsigned long long*>(target);
  unsigned long long old = *bits, seen;
  do {
    seen = old;
    old = atomicCAS(
        bits, seen,
        static_cast<unsigned long long>(__double_as_longlong(__longlong_as_double(seen) * factor)));
  } while (old != seen);
}

__device__ void apply(Counters* c, int i) {
  atomicAdd(&c->add_i, i - 50);
  atomicSub(&c->sub_i, i);
  atomicMin(&c->min_i, 20 - i);
  atomicMax(&c->max_i, i * 3 - 1000);
  atomicAnd(&c->and_i, ~(1 << (i % 20)));
  atomicOr(&c->or_i, 1 << (i % 30));
  atomicXor(&c->xor_i, i * 77);
  for (int old = c->cas_i, seen;;) {  // add 3 by compare-and-swap
    seen = old;
    old = atomicCAS(&c->cas_i, seen, seen + 3);
    if (old == seen) break;
  }
  atomicAdd(&c->add_u, 0x10000001u);
  atomicMin(&c->min_u, 4000000000u - i);
  atomicMax(&c->max_u, 3000000000u + i);
  atomicInc(&c->inc_u, 36);
  atomicDec(&c->dec_u, 40);
  atomicAdd(&c->add_l, 0x100000001ull * i);
  atomicMin(&c->min_l, (1ull << 40) - i);
  atomicMax(&c->max_l, (1ull << 63) + i);
  atomicAnd(&c->and_l, ~(1ull << (i % 50)));
  atomicOr(&c->or_l, 1ull << (i % 60));
  atomicXor(&c->xor_l, 0x1234567ull * i);
  atomicMin(&c->smin_l, -(1LL << 40) + i);
  atomicMax(&c->smax_l, -(1LL << 41) + i);
  unsigned long long old = c->cas_l, seen;
  do {
    seen = old;
    old = atomicCAS(&c->cas_l, seen, seen * 2 + 1);
  } while (old != seen);
  atomicAdd(&c->add_f, 0.25f);
  atomicAdd(&c->add_d, 0.125);
  if (i % 16 == 0) multiply(&c->cas_product, 2.0);
  unsigned short old16 = *reinterpret_cast<volatile unsigned short*>(&c->cas_16), seen16;
  do {
    seen16 = old16;
    old16 = atomicCAS(&c->cas_16, seen16, static_cast<unsigned short>(seen16 + 5));
  } while (old16 != seen16);
}

__global__ void in_global(Counters* c) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  apply(c, i);
  atomicAdd_system(&c->scoped_i, 2);
  atomicMax_system(&c->max_i, i * 3 - 1000);
}

__global__ void in_shared(Counters* out, Counters start) {
  __shared__ Counters c;
  if (threadIdx.x == 0) c = start;
  __syncthreads();
  apply(&c, threadIdx.x);
  atomicAdd_block(&c.scoped_i, 2);
  __syncthreads();
  if (threadIdx.x == 0) *out = c;
}

// Every value put in comes out exactly once.
__global__ void exchange(unsigned* cell, unsigned long long* sum, unsigned* returned) {
  unsigned mine = blockIdx.x * blockDim.x + threadIdx.x + 1;
  atomicAdd(sum, static_cast<unsigned long long>(atomicExch(cell, mine)));
  unsigned ticket = atomicAdd(&returned[0], 1u);  // tickets are all different
  atomicAdd(&returned[1 + ticket], 1u);
}

// A spin lock per block leader.
__global__ void locked(int* lock, volatile int* counter) {
  if (threadIdx.x == 0) {
    while (atomicCAS(lock, 0, 1) != 0) {
    }
    __threadfence();
    *counter = *counter * 1 + 1;
    __threadfence();
    atomicExch(lock, 0);
  }
}

Counters expected(Counters c, int n) {
  for (int i = 0; i < n; ++i) {
    c.add_i += i - 50;
    c.sub_i -= i;
    c.min_i = 20 - i < c.min_i ? 20 - i : c.min_i;
    c.max_i = i * 3 - 1000 > c.max_i ? i * 3 - 1000 : c.max_i;
    c.and_i &= ~(1 << (i % 20));
    c.or_i |= 1 << (i % 30);
    c.xor_i ^= i * 77;
    c.cas_i += 3;
    c.scoped_i += 2;
    c.add_u += 0x10000001u;
    c.min_u = 4000000000u - i < c.min_u ? 4000000000u - i : c.min_u;
    c.max_u = 3000000000u + i > c.max_u ? 3000000000u + i : c.max_u;
    c.inc_u = c.inc_u >= 36 ? 0 : c.inc_u + 1;
    c.dec_u = c.dec_u == 0 || c.dec_u > 40 ? 40 : c.dec_u - 1;
    c.add_l += 0x100000001ull * i;
    c.min_l = (1ull << 40) - i < c.min_l ? (1ull << 40) - i : c.min_l;
    c.max_l = (1ull << 63) + i > c.max_l ? (1ull << 63) + i : c.max_l;
    c.and_l &= ~(1ull << (i % 50));
    c.or_l |= 1ull << (i % 60);
    c.xor_l ^= 0x1234567ull * i;
    c.smin_l = -(1LL << 40) + i < c.smin_l ? -(1LL << 40) + i : c.smin_l;
    c.smax_l = -(1LL << 41) + i > c.smax_l ? -(1LL << 41) + i : c.smax_l;
    c.cas_l = c.cas_l * 2 + 1;
    c.add_f += 0.25f;
    c.add_d += 0.125;
    if (i % 16 == 0) c.cas_product *= 2;
    c.cas_16 = static_cast<unsigned short>(c.cas_16 + 5);
  }
  return c;
}

bool same(const char* what, const Counters& a, const Counters& b) {
  bool good = true;
#define FIELD(name)                               \
  if (!(a.name == b.name)) {                      \
    std::printf("%s: " #name " differs\n", what); \
    check::fail("%s: " #name " differs", what);   \
    good = false;                                 \
  }
  FIELD(add_i)
  FIELD(sub_i) FIELD(min_i) FIELD(max_i) FIELD(and_i) FIELD(or_i) FIELD(xor_i) FIELD(cas_i)
      FIELD(scoped_i) FIELD(add_u) FIELD(min_u) FIELD(max_u) FIELD(inc_u) FIELD(dec_u) FIELD(add_l)
          FIELD(min_l) FIELD(max_l) FIELD(and_l) FIELD(or_l) FIELD(xor_l) FIELD(cas_l) FIELD(smin_l)
              FIELD(smax_l) FIELD(add_f) FIELD(add_d) FIELD(cas_product) FIELD(cas_16)
#undef FIELD
                  if (good) std::printf("%s: all equal\n", what);
  return good;
}

int main() {
  Counters start;
  std::memset(&start, 0, sizeof start);
  start.and_i = -1;
  start.and_l = ~0ull;
  start.min_u = ~0u;
  start.min_l = ~0ull;
  start.max_i = -2000000000;
  start.smax_l = INT64_MIN;
  start.cas_product = 1;
  check::DeviceArray<Counters> device(std::vector<Counters>{start});
  in_global<<<4, 100>>>(device.get());
  LAUNCH_CHECK();
  same("global", device.fetch()[0], expected(start, 400));
  in_shared<<<1, 200>>>(device.get(), start);
  LAUNCH_CHECK();
  same("shared", device.fetch()[0], expected(start, 200));

  check::DeviceArray<unsigned> cell(1), returned(1001);
  check::DeviceArray<unsigned long long> sum(1);
  cell.zero();
  sum.zero();
  returned.zero();
  exchange<<<8, 125>>>(cell.get(), sum.get(), returned.get());
  LAUNCH_CHECK();
  unsigned long long total = sum.fetch()[0] + cell.fetch()[0];
  std::printf("exchanged: %llu\n", total);
  EXPECT(total == 500500);
  std::vector<unsigned> tickets = returned.fetch(), ones(1001, 1);
  ones[0] = 1000;
  check::equal("tickets", tickets.data(), ones.data(), 1001);

  check::DeviceArray<int> lock(2);
  lock.zero();
  locked<<<64, 32>>>(lock.get(), lock.get() + 1);
  LAUNCH_CHECK();
  int count = lock.fetch()[1];
  std::printf("under the lock: %d\n", count);
  EXPECT(count == 64);
  return check::finish();
}
