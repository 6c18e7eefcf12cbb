// Special registers and instructions around them: what must hold on every device.
#include "check.h"

__device__ unsigned long long now_ns() {
  unsigned long long t;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(t));
  return t;
}

__constant__ int table[16] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3};

// A tiny interpreter: a loop around a dense switch.
__host__ __device__ unsigned execute(const unsigned char* program, int length, unsigned x) {
  unsigned y = 1, z = 2;
  for (int i = 0; i < length; ++i) {
    switch (program[i]) {
      case 0:
        x += y;
        break;
      case 1:
        y ^= x;
        z += 3;
        break;
      case 2:
        z = x * y + i;
        break;
      case 3:
        x = z - x;
        y = y * 5;
        break;
      case 4:
        y = (y >> 3) + x;
        break;
      case 5:
        z ^= z << 7;
        x -= z;
        break;
      case 6:
        x = x > y ? x - y : y - x;
        break;
      case 7:
        z = (x & y) | (~x & z);
        break;
      case 8:
        y = y % 1000 + z % 77;
        break;
      case 9:
        x = x * 31 + 7;
        z -= y;
        break;
      case 10:
        i += static_cast<int>(x & 1);
        break;
      case 11:
        z = z / 3 - y / 5;
        break;
      case 12:
        x ^= 0x5a5a5a5au;
        y = -y;
        break;
      case 13: {
        unsigned t = x;
        x = y;
        y = z;
        z = t;
        break;
      }
      case 14:
        z += x * y * 3;
        break;
      default:
        x = ~x;
        break;
    }
  }
  return x ^ (y * 3) ^ (z * 7);
}
__global__ void interpret(const unsigned char* program, int length, int* out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  out[i] = static_cast<int>(execute(program + i % 8, length, i * 1001u));
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
  // Which space a generic address is in; chosen at run time, so that it has to be asked.
  int local = limit;
  const void* pointers[4] = {out, &word, &local, &table};
  int which = (threadIdx.x + limit) % 4;
  const void* q = pointers[which];
  int spaces = __isGlobal(q) + 2 * __isShared(q) + 4 * __isLocal(q) + 8 * __isConstant(q);
  good += 2 * (spaces == 1 << which);
  out[blockIdx.x * blockDim.x + threadIdx.x] = good;
}

// Predicates, selections, switch tables, and an exit in the middle.
__global__ void branches(const int* in, int* out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  int v = in[i], r;
  switch (v % 11) {
    case 0:
      r = v * 3;
      break;
    case 1:
      r = v ^ 0x55;
      break;
    case 2:
      r = v - 1000;
      break;
    case 3:
      r = -v;
      break;
    case 4:
      r = v << 3;
      break;
    case 5:
      r = v >> 2;
      break;
    case 6:
      r = v / 7;
      break;
    case 7:
      r = v % 13;
      break;
    case 8:
      r = v | 0xff;
      break;
    case 9:
      r = v & 0xf0;
      break;
    default:
      r = 12345;
      break;
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
      case 0:
        r = v * 3;
        break;
      case 1:
        r = v ^ 0x55;
        break;
      case 2:
        r = v - 1000;
        break;
      case 3:
        r = -v;
        break;
      case 4:
        r = v << 3;
        break;
      case 5:
        r = v >> 2;
        break;
      case 6:
        r = v / 7;
        break;
      case 7:
        r = v % 13;
        break;
      case 8:
        r = v | 0xff;
        break;
      case 9:
        r = v & 0xf0;
        break;
      default:
        r = 12345;
        break;
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

  std::vector<unsigned char> program(72);
  for (unsigned char& c : program) c = static_cast<unsigned char>(rng.below(16));
  check::DeviceArray<unsigned char> dprogram(program);
  check::DeviceArray<int> dresults(128);
  interpret<<<2, 64>>>(dprogram.get(), 64, dresults.get());
  LAUNCH_CHECK();
  for (int i = 0; i < 128; ++i) want[i] = static_cast<int>(execute(&program[i % 8], 64, i * 1001u));
  check::equal("interpreter", dresults.fetch().data(), want.data(), 128);
  return check::finish();
}
