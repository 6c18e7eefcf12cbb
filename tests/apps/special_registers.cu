// Special registers and instructions around them: what must hold on every device.
#include "check.h"

__device__ unsigned long long now_ns() {
  unsigned long long t;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(t));
  return t;
}

__global__ void registers(int* out, int limit) {
  unsigned lane, lt, le, gt, ge, eq, smid, nsmid, warps;
  asm("mov.u32 %0, %laneid;" : "=r"(lane));
  asm("mov.u32 %0, %lanemask_lt;" : "=r"(lt));
  asm("mov.u32 %0, %lanemask_le;" : "=r"(le));
  asm("mov.u32 %0, %lanemask_gt;" : "=r"(gt));
  asm("mov.u32 %0, %lanemask_ge;" : "=r"(ge));
  asm("mov.u32 %0, %lanemask_eq;" : "=r"(eq));
  asm("mov.u32 %0, %smid;" : "=r"(smid));
  asm("mov.u32 %0, %nsmid;" : "=r"(nsmid));
  asm("mov.u32 %0, %nwarpid;" : "=r"(warps));
  long long clock_a = clock64();
  unsigned long long ns_a = now_ns();
  __nanosleep(100);
  unsigned x = lane;
  for (int i = 0; i < limit; ++i) x = x * 3 + 1;
  long long clock_b = clock64();
  unsigned long long ns_b = now_ns();
  unsigned shared_address;
  __shared__ int word;
  asm("{ .reg .u64 t; cvta.to.shared.u64 t, %1; cvt.u32.u64 %0, t; }"
      : "=r"(shared_address)
      : "l"(&word));
  int good = lane == threadIdx.x % 32 && lt == (1u << lane) - 1 && le == (lt | 1u << lane) &&
             gt == ~le && ge == ~lt && eq == 1u << lane && smid < nsmid && warps >= 1 &&
             clock_b > clock_a && ns_b >= ns_a && x != 7 && shared_address % 4 == 0;
  good += 2 * (__isGlobal(out) && !__isShared(out) && __isShared(&word) && !__isGlobal(&word) &&
               __isLocal(&good) && !__isConstant(&word));
  out[blockIdx.x * blockDim.x + threadIdx.x] = good;
}

// Predicates, selections, switch tables, and an exit in the middle.
__global__ void branches(const int* in, int* out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  int v = in[i], r;
  switch (v % 11) {
    case 0: r = v * 3; break;
    case 1: r = v ^ 0x55; break;
    case 2: r = v - 1000; break;
    case 3: r = -v; break;
    case 4: r = v << 3; break;
    case 5: r = v >> 2; break;
    case 6: r = v / 7; break;
    case 7: r = v % 13; break;
    case 8: r = v | 0xff; break;
    case 9: r = v & 0xf0; break;
    default: r = 12345; break;
  }
  for (int k = 0; k < v % 17; ++k) {
    if (k == 5 && v % 2) continue;
    if (k == 11 && v % 3 == 0) break;
    r += k * (v & 3);
    while (r > 100000) r -= 77777;
  }
  out[i] = v % 4 == 0 ? r : r + 1;
}

int main() {
  check::DeviceArray<int> out(256);
  registers<<<2, 128>>>(out.get(), 100);
  LAUNCH_CHECK();
  std::vector<int> threes(256, 3);
  check::equal("registers", out.fetch().data(), threes.data(), 256);

  const int n = 1000;
  std::vector<int> in(n), want(n);
  check::Rng rng(41);
  for (int i = 0; i < n; ++i) {
    int v = in[i] = static_cast<int>(rng.below(30000)), r;
    switch (v % 11) {
      case 0: r = v * 3; break;
      case 1: r = v ^ 0x55; break;
      case 2: r = v - 1000; break;
      case 3: r = -v; break;
      case 4: r = v << 3; break;
      case 5: r = v >> 2; break;
      case 6: r = v / 7; break;
      case 7: r = v % 13; break;
      case 8: r = v | 0xff; break;
      case 9: r = v & 0xf0; break;
      default: r = 12345; break;
    }
    for (int k = 0; k < v % 17; ++k) {
      if (k == 5 && v % 2) continue;
      if (k == 11 && v % 3 == 0) break;
      r += k * (v & 3);
      while (r > 100000) r -= 77777;
    }
    want[i] = v % 4 == 0 ? r : r + 1;
  }
  check::DeviceArray<int> din(in), dout(n);
  branches<<<8, 128>>>(din.get(), dout.get(), n);
  LAUNCH_CHECK();
  check::equal("branches", dout.fetch().data(), want.data(), n);
  return check::finish();
}
