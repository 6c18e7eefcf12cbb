// Integer instructions, each against plain C++ on the CPU.
#include "check.h"

constexpr int kOps = 40;

__device__ unsigned long long add_with_carry(unsigned long long a, unsigned long long b,
                                             unsigned* high) {
  unsigned a0 = static_cast<unsigned>(a), a1 = static_cast<unsigned>(a >> 32);
  unsigned b0 = static_cast<unsigned>(b), b1 = static_cast<unsigned>(b >> 32), s0, s1, s2;
  asm("add.cc.u32 %0, %3, %4;\n\t"
      "addc.cc.u32 %1, %5, %6;\n\t"
      "addc.u32 %2, 0, 0;"
      : "=r"(s0), "=r"(s1), "=r"(s2)
      : "r"(a0), "r"(b0), "r"(a1), "r"(b1));
  *high = s2;
  return static_cast<unsigned long long>(s1) << 32 | s0;
}

__global__ void compute(const unsigned long long* in, unsigned long long* out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  unsigned long long A = in[3 * i], B = in[3 * i + 1], C = in[3 * i + 2];
  unsigned a = static_cast<unsigned>(A), b = static_cast<unsigned>(B), c = static_cast<unsigned>(C);
  int sa = static_cast<int>(a), sb = static_cast<int>(b);
  long long SA = static_cast<long long>(A), SB = static_cast<long long>(B);
  unsigned long long* o = out + static_cast<size_t>(i) * kOps;
  o[0] = __clz(sa);
  o[1] = __clzll(SA);
  o[2] = __popc(a);
  o[3] = __popcll(A);
  o[4] = __ffs(sa);
  o[5] = __ffsll(SA);
  o[6] = __brev(a);
  o[7] = __brevll(A);
  o[8] = static_cast<unsigned>(__mulhi(sa, sb));
  o[9] = __umulhi(a, b);
  o[10] = static_cast<unsigned long long>(__mul64hi(SA, SB));
  o[11] = __umul64hi(A, B);
  o[12] = __byte_perm(a, b, c & 0x7777);
  o[13] = __funnelshift_l(a, b, c);
  o[14] = __funnelshift_r(a, b, c);
  o[15] = __funnelshift_lc(a, b, c & 63);
  o[16] = __funnelshift_rc(a, b, c & 63);
  o[17] = static_cast<unsigned>(__dp4a(sa, sb, static_cast<int>(c)));
  o[18] = __dp4a(a, b, c);
  o[19] = __sad(sa, sb, c);
  o[20] = __usad(a, b, c);
  o[21] = static_cast<unsigned>(__hadd(sa, sb));
  o[22] = __urhadd(a, b);
  o[23] = static_cast<unsigned>(__mul24(sa, sb));
  o[24] = a / (b | 1);
  o[25] = a % (b | 1);
  o[26] = static_cast<unsigned>(sa / ((sb >> 8) | 1));
  o[27] = static_cast<unsigned>(sa % ((sb >> 8) | 1));
  o[28] = A / (B >> 20 | 1);
  o[29] = static_cast<unsigned long long>(SA % (SB >> 30 | 1));
  o[30] = A << (c & 63);
  o[31] = static_cast<unsigned long long>(SA >> (c & 63));
  unsigned high;
  o[32] = add_with_carry(A, B, &high);
  o[33] = high;
  unsigned __int128 wide = static_cast<unsigned __int128>(A) * B + C;
  o[34] = static_cast<unsigned long long>(wide);
  o[35] = static_cast<unsigned long long>(wide >> 64);
  o[36] = (a & b) ^ (~a & c) ^ (b | c);  // one lop3
  int extracted, inserted;
  asm("bfe.s32 %0, %1, %2, %3;" : "=r"(extracted) : "r"(sa), "r"(c & 31), "r"(b & 31));
  asm("bfi.b32 %0, %1, %2, %3, %4;"
      : "=r"(inserted)
      : "r"(sa), "r"(sb), "r"(c & 31), "r"(c >> 8 & 31));
  o[37] = static_cast<unsigned>(extracted);
  o[38] = static_cast<unsigned>(inserted);
  o[39] = static_cast<unsigned char>(a) * 1ull +
          static_cast<unsigned long long>(static_cast<signed char>(b)) + static_cast<short>(c) +
          min(sa, sb) + max(a, b) + abs(sa >> 1);
}

static unsigned reverse32(unsigned v) {
  unsigned r = 0;
  for (int i = 0; i < 32; ++i) r |= (v >> i & 1u) << (31 - i);
  return r;
}

void reference(unsigned long long A, unsigned long long B, unsigned long long C,
               unsigned long long* o) {
  unsigned a = static_cast<unsigned>(A), b = static_cast<unsigned>(B), c = static_cast<unsigned>(C);
  int sa = static_cast<int>(a), sb = static_cast<int>(b);
  long long SA = static_cast<long long>(A), SB = static_cast<long long>(B);
  o[0] = a ? __builtin_clz(a) : 32;
  o[1] = A ? __builtin_clzll(A) : 64;
  o[2] = __builtin_popcount(a);
  o[3] = __builtin_popcountll(A);
  o[4] = __builtin_ffs(sa);
  o[5] = __builtin_ffsll(SA);
  o[6] = reverse32(a);
  o[7] = static_cast<unsigned long long>(reverse32(a)) << 32 |
         reverse32(static_cast<unsigned>(A >> 32));
  o[8] = static_cast<unsigned>(static_cast<unsigned long long>(1LL * sa * sb) >> 32);
  o[9] = 1ull * a * b >> 32;
  o[10] = static_cast<unsigned long long>(
      static_cast<unsigned __int128>(static_cast<__int128>(SA) * SB) >> 64);
  o[11] = static_cast<unsigned long long>(static_cast<unsigned __int128>(A) * B >> 64);
  unsigned char bytes[8];
  std::memcpy(bytes, &a, 4);
  std::memcpy(bytes + 4, &b, 4);
  unsigned perm = 0;
  for (int k = 0; k < 4; ++k) perm |= 1u * bytes[c >> (4 * k) & 7] << (8 * k);
  o[12] = perm;
  unsigned long long joined = 1ull * b << 32 | a;
  o[13] = static_cast<unsigned>(joined << (c & 31) >> 32);
  o[14] = static_cast<unsigned>(joined >> (c & 31));
  unsigned clamped = (c & 63) > 32 ? 32 : c & 63;
  o[15] = static_cast<unsigned>(joined << clamped >> 32);
  if (clamped == 32) o[15] = a;
  o[16] = static_cast<unsigned>(joined >> clamped);
  int dot = static_cast<int>(c);
  unsigned udot = c;
  for (int k = 0; k < 4; ++k) {
    dot = static_cast<int>(static_cast<unsigned>(dot) +
                           static_cast<unsigned>(static_cast<signed char>(a >> (8 * k)) *
                                                 static_cast<signed char>(b >> (8 * k))));
    udot += (a >> (8 * k) & 255) * (b >> (8 * k) & 255);
  }
  o[17] = static_cast<unsigned>(dot);
  o[18] = udot;
  o[19] = static_cast<unsigned>(std::llabs(1LL * sa - sb)) + c;
  o[20] = (a > b ? a - b : b - a) + c;
  o[21] = static_cast<unsigned>((1LL * sa + sb) >> 1);
  o[22] = static_cast<unsigned>((1ull * a + b + 1) >> 1);
  o[23] = static_cast<unsigned>((1LL * (sa << 8 >> 8)) * (sb << 8 >> 8));
  o[24] = a / (b | 1);
  o[25] = a % (b | 1);
  o[26] = static_cast<unsigned>(sa / ((sb >> 8) | 1));
  o[27] = static_cast<unsigned>(sa % ((sb >> 8) | 1));
  o[28] = A / (B >> 20 | 1);
  o[29] = static_cast<unsigned long long>(SA % (SB >> 30 | 1));
  o[30] = A << (c & 63);
  o[31] = static_cast<unsigned long long>(SA >> (c & 63));
  unsigned __int128 sum = static_cast<unsigned __int128>(A) + B;
  o[32] = static_cast<unsigned long long>(sum);
  o[33] = static_cast<unsigned long long>(sum >> 64);
  unsigned __int128 wide = static_cast<unsigned __int128>(A) * B + C;
  o[34] = static_cast<unsigned long long>(wide);
  o[35] = static_cast<unsigned long long>(wide >> 64);
  o[36] = (a & b) ^ (~a & c) ^ (b | c);
  unsigned position = c & 31, length = b & 31;  // bfe: sign from the field's last bit or bit 31
  unsigned field = 0;
  if (length) {
    unsigned last = position + length - 1 > 31 ? 31 : position + length - 1;
    unsigned sign = a >> last & 1;
    for (unsigned k = 0; k < 32; ++k) {
      unsigned bit = k < length && position + k <= 31 ? a >> (position + k) & 1 : sign;
      field |= bit << k;
    }
  }
  o[37] = field;
  unsigned ins = b, ins_length = c >> 8 & 31;
  for (unsigned k = 0; k < ins_length && position + k <= 31; ++k)
    ins = (ins & ~(1u << (position + k))) | (a >> k & 1u) << (position + k);
  o[38] = ins;
  o[39] = static_cast<unsigned char>(a) * 1ull +
          static_cast<unsigned long long>(static_cast<signed char>(b)) + static_cast<short>(c) +
          (sa < sb ? sa : sb) + (a > b ? a : b) + std::abs(sa >> 1);
}

int main(int argc, char** argv) {
  int n = 1000 * check::scale(argc, argv);
  std::vector<unsigned long long> in(3 * n), want(static_cast<size_t>(n) * kOps);
  check::Rng rng(22);
  for (unsigned long long& v : in) v = rng.next_u64() >> (rng.below(4) ? 0 : rng.below(64));
  const unsigned long long edges[] = {0, 1, ~0ull, 1ull << 63, 1ull << 31, 0x7fffffffull};
  for (int i = 0; i < 216; ++i) {
    in[3 * i] = edges[i % 6];
    in[3 * i + 1] = edges[i / 6 % 6];
    in[3 * i + 2] = edges[i / 36];
  }
  // These two quotients overflow, in C++ and on the device alike: not a question to ask.
  for (int i = 0; i < n; ++i) {
    if (static_cast<int>(in[3 * i]) == INT32_MIN &&
        (static_cast<int>(in[3 * i + 1]) >> 8 | 1) == -1)
      in[3 * i] ^= 2;
    if (static_cast<long long>(in[3 * i]) == INT64_MIN) in[3 * i] ^= 4;
    reference(in[3 * i], in[3 * i + 1], in[3 * i + 2], &want[static_cast<size_t>(i) * kOps]);
  }
  check::DeviceArray<unsigned long long> din(in), dout(want.size());
  compute<<<(n + 127) / 128, 128>>>(din.get(), dout.get(), n);
  LAUNCH_CHECK();
  std::vector<unsigned long long> got = dout.fetch();
  for (int op = 0; op < kOps; ++op) {
    int wrong = 0;
    for (int i = 0; i < n; ++i) wrong += got[i * kOps + op] != want[i * kOps + op];
    if (wrong) std::printf("operation %d: %d wrong\n", op, wrong);
  }
  check::equal("forty operations", got.data(), want.data(), want.size());
  return check::finish();
}
