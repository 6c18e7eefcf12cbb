// What nvcc makes of CUDA kernels, for three generations, run and compared with the host.
#include <chrono>
#include <cmath>
#include <fstream>
#include <numeric>
#include <sstream>
#include <thread>

#include "server/softcuda/ptx_test_support.h"

namespace farlane::softcuda {
namespace {

std::string read_file(const std::string& name) {
  std::ifstream file(std::string(FARLANE_PTX_TEST_KERNELS) + "/" + name);
  EXPECT_TRUE(file.good()) << name;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// One module per generation, loaded once.
Module& kernels(int arch) {
  static std::map<int, std::unique_ptr<Module>>& modules =
      *new std::map<int, std::unique_ptr<Module>>();
  auto& module = modules[arch];
  if (!module) module = load({read_file("engine_test_kernels." + std::to_string(arch) + ".ptx")});
  return *module;
}

class Cuda : public ::testing::TestWithParam<int> {
 protected:
  void run(const char* kernel, const Launch& how, const Arguments& arguments) {
    LaunchResult result = launch(module(), kernel, how, arguments, memory, &output);
    ASSERT_EQ(result.fault, Fault::kNone) << result.message;
  }
  Module& module() { return kernels(GetParam()); }
  uint64_t variable(const std::string& name) {
    for (const VariableInfo& info : module().variables()) {
      if (info.name == name) return info.address;
    }
    ADD_FAILURE() << "no variable " << name;
    return 0;
  }
  TestMemory memory;
  CapturedOutput output;
};

std::vector<float> ramp(size_t count, float step, float start = 0) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = start + static_cast<float>(i) * step;
  return values;
}

TEST_P(Cuda, VectorAdd) {
  const int n = 10000;
  auto a = ramp(n, 0.25f);
  auto b = ramp(n, -1.5f, 3);
  uint64_t c = memory.upload(std::vector<float>(n));
  run("vector_add", {{40, 1, 1}, {256, 1, 1}},
      Arguments().add(memory.upload(a)).add(memory.upload(b)).add(c).add(n));
  auto got = memory.download<float>(c, n);
  for (int i = 0; i < n; ++i) ASSERT_EQ(got[i], a[i] + b[i]);
}

TEST_P(Cuda, GridStrideLoop) {
  const int n = 5000;
  auto x = ramp(n, 0.1f);
  auto y = ramp(n, -0.3f, 7);
  uint64_t py = memory.upload(y);
  run("saxpy_stride", {{3, 1, 1}, {96, 1, 1}},
      Arguments().add(1.7f).add(memory.upload(x)).add(py).add(n));
  auto got = memory.download<float>(py, n);
  for (int i = 0; i < n; ++i) ASSERT_EQ(got[i], std::fma(1.7f, x[i], y[i]));
}

TEST_P(Cuda, BlockReductionInDynamicSharedMemory) {
  const int n = 1000;
  std::vector<int> values(n);
  std::iota(values.begin(), values.end(), -300);
  uint64_t sums = memory.upload(std::vector<int>(4));
  Launch how{{4, 1, 1}, {256, 1, 1}, 256 * sizeof(int)};
  run("block_sum", how, Arguments().add(memory.upload(values)).add(sums).add(n));
  auto got = memory.download<int>(sums, 4);
  EXPECT_EQ(std::accumulate(got.begin(), got.end(), 0),
            std::accumulate(values.begin(), values.end(), 0));
}

TEST_P(Cuda, WarpScan) {
  std::vector<int> values(64);
  for (int i = 0; i < 64; ++i) values[i] = i * i - 40;
  uint64_t out = memory.upload(values);
  run("warp_scan", {{}, {64, 1, 1}}, Arguments().add(memory.upload(values)).add(out));
  auto got = memory.download<int>(out, 64);
  for (int i = 0; i < 64; ++i) {
    EXPECT_EQ(got[i], std::accumulate(values.begin() + i / 32 * 32, values.begin() + i + 1, 0));
  }
}

TEST_P(Cuda, TiledMatrixMultiply) {
  const int n = 48;
  std::vector<float> a(n * n), b(n * n);
  for (int i = 0; i < n * n; ++i) {
    a[i] = static_cast<float>(i % 13 - 6) * 0.37f;
    b[i] = static_cast<float>(i % 17 - 8) * 0.21f;
  }
  uint64_t c = memory.upload(std::vector<float>(n * n));
  run("matrix_multiply", {{3, 3, 1}, {16, 16, 1}},
      Arguments().add(memory.upload(a)).add(memory.upload(b)).add(c).add(n));
  auto got = memory.download<float>(c, n * n);
  for (int row = 0; row < n; ++row) {
    for (int column = 0; column < n; ++column) {
      float sum = 0;
      for (int k = 0; k < n; ++k) sum = std::fma(a[row * n + k], b[k * n + column], sum);
      ASSERT_EQ(got[row * n + column], sum);
    }
  }
}

TEST_P(Cuda, Histogram) {
  const int n = 20000;
  std::vector<uint8_t> bytes(n);
  std::vector<uint32_t> expected(256);
  for (int i = 0; i < n; ++i) {
    bytes[i] = static_cast<uint8_t>(i * i / 7);
    ++expected[bytes[i]];
  }
  uint64_t counts = memory.upload(std::vector<uint32_t>(256));
  run("histogram", {{6, 1, 1}, {128, 1, 1}},
      Arguments().add(memory.upload(bytes)).add(counts).add(n));
  EXPECT_EQ(memory.download<uint32_t>(counts, 256), expected);
}

void expect_near(double got, double want, double relative) {
  EXPECT_NEAR(got, want, relative * std::max(1e-3, std::fabs(want))) << want;
}

TEST_P(Cuda, MathLibraryFloat) {
  std::vector<float> x = {0, 0.1f, -0.7f, 1, 2.5f, -9, 30, 1e-4f, 88, -100, 12345.678f, 3e7f};
  x.resize(32, 0.5f);
  uint64_t out = memory.upload(std::vector<float>(8 * 32));
  run("transcendental", {{}, {32, 1, 1}}, Arguments().add(memory.upload(x)).add(out));
  auto got = memory.download<float>(out, 8 * 32);
  for (int i = 0; i < 32; ++i) {
    double v = x[i];
    expect_near(got[8 * i + 0], std::sin(v), 3e-6);
    expect_near(got[8 * i + 1], std::cos(v), 3e-6);
    if (v < 88) expect_near(got[8 * i + 2], std::exp(v), 1e-6);
    expect_near(got[8 * i + 3], std::log(std::fabs(v) + 0.5), 1e-6);
    EXPECT_EQ(got[8 * i + 4], std::sqrt(std::fabs(x[i])));
    expect_near(got[8 * i + 5], std::pow(std::fabs(v), static_cast<double>(1.7f)), 1e-5);
    expect_near(got[8 * i + 6], std::tanh(v), 1e-6);
    EXPECT_EQ(got[8 * i + 7], x[i] / 3.0f);
  }
}

TEST_P(Cuda, MathLibraryDouble) {
  std::vector<double> x = {0, 0.1, -0.7, 1, 2.5, -9, 30, 1e-4, 100, -100, 12345.678, 3e12};
  x.resize(32, 0.5);
  uint64_t out = memory.upload(std::vector<double>(6 * 32));
  run("transcendental_double", {{}, {32, 1, 1}}, Arguments().add(memory.upload(x)).add(out));
  auto got = memory.download<double>(out, 6 * 32);
  for (int i = 0; i < 32; ++i) {
    expect_near(got[6 * i + 0], std::sin(x[i]), 1e-12);
    if (x[i] < 200) expect_near(got[6 * i + 1], std::exp(x[i]), 1e-14);
    expect_near(got[6 * i + 2], std::log(std::fabs(x[i]) + 0.5), 1e-14);
    EXPECT_EQ(got[6 * i + 3], std::sqrt(std::fabs(x[i])));
    EXPECT_EQ(got[6 * i + 4], x[i] / 3.0);
    expect_near(got[6 * i + 5], std::cbrt(x[i]), 1e-14);
  }
}

TEST_P(Cuda, IntegerDivision) {
  std::vector<int64_t> a = {100, -100, INT64_MAX, INT64_MIN, 7, 1ll << 40, -5, 123456789012345};
  std::vector<int64_t> b = {7, 7, -3, 10, 1ll << 50, 3, -1, 98765};
  uint64_t out = memory.upload(std::vector<int64_t>(32));
  run("integer_division", {{}, {8, 1, 1}},
      Arguments().add(memory.upload(a)).add(memory.upload(b)).add(out));
  auto got = memory.download<int64_t>(out, 32);
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(got[4 * i], a[i] / b[i]);
    EXPECT_EQ(got[4 * i + 1], a[i] % b[i]);
    EXPECT_EQ(static_cast<uint64_t>(got[4 * i + 2]),
              static_cast<uint64_t>(a[i]) / static_cast<uint64_t>(b[i]));
    EXPECT_EQ(got[4 * i + 3], static_cast<int64_t>((static_cast<__int128>(a[i]) * b[i]) >> 64));
  }
}

TEST_P(Cuda, HalfPrecision) {
  std::vector<float> x = {0.5f, 1, 1.5f, 2, -3, 0.25f, 10, 20};
  uint64_t out = memory.upload(std::vector<float>(32));
  run("halves", {{}, {8, 1, 1}}, Arguments().add(memory.upload(x)).add(out));
  auto got = memory.download<float>(out, 32);
  for (int i = 0; i < 8; ++i) {  // all exact in these formats
    EXPECT_EQ(got[4 * i + 0], x[i] * x[i] + x[i]);
    EXPECT_EQ(got[4 * i + 1], 4 * x[i] * x[i] + 2 * x[i]);
    EXPECT_EQ(got[4 * i + 2], x[i] * x[i]);
    EXPECT_EQ(got[4 * i + 3], x[i] > 1 ? 1.0f : 0.0f);
  }
}

TEST_P(Cuda, VirtualCalls) {
  uint64_t out = memory.upload(std::vector<float>(64));
  run("virtual_calls", {{}, {64, 1, 1}}, Arguments().add(out));
  auto got = memory.download<float>(out, 64);
  for (int i = 0; i < 64; ++i) {
    EXPECT_EQ(got[i], i % 2 != 0 ? static_cast<float>(i * i) : static_cast<float>(3 * i * i));
  }
}

int ackermann(int m, int n) {
  if (m == 0) return n + 1;
  return n == 0 ? ackermann(m - 1, 1) : ackermann(m - 1, ackermann(m, n - 1));
}

TEST_P(Cuda, Recursion) {
  uint64_t out = memory.upload(std::vector<int>(32));
  run("recursion", {{}, {32, 1, 1}}, Arguments().add(out));
  auto got = memory.download<int>(out, 32);
  for (int i = 0; i < 32; ++i) EXPECT_EQ(got[i], ackermann(2, i % 5));
}

TEST_P(Cuda, SwitchWithLoopsAndReturns) {
  std::vector<int> x(64), before(64);
  for (int i = 0; i < 64; ++i) {
    x[i] = i % 9;
    before[i] = i + 100;
  }
  uint64_t out = memory.upload(before);
  run("big_switch", {{}, {64, 1, 1}}, Arguments().add(memory.upload(x)).add(out));
  auto got = memory.download<int>(out, 64);
  for (int i = 0; i < 64; ++i) {
    int v = x[i];
    int expected = 0;
    switch (v) {
      case 0:
        expected = 17;
        break;
      case 1:
        expected = before[i] * 3;
        break;
      case 2:
        expected = 3 ^ 0x55;
        break;
      case 3:
        expected = 3 ^ 0x55;
        break;
      case 4:
        expected = before[i];
        break;
      case 5:
        expected = __builtin_popcount(i);
        break;
      case 6:
        expected = i == 0 ? 32 : __builtin_clz(i);
        break;
      case 7:
        expected = 7;
        for (int k = 0; k < i && k != 20; ++k) expected += k == 9 ? 0 : k;
        break;
      default:
        expected = -v;
        break;
    }
    EXPECT_EQ(got[i], expected) << i;
  }
}

TEST_P(Cuda, CooperativeGrid) {
  const int n = 256;
  const int rounds = 5;
  std::vector<int> data(n);
  for (int i = 0; i < n; ++i) data[i] = i % 7;
  uint64_t device = memory.upload(data);
  Launch how{{8, 1, 1}, {32, 1, 1}};
  how.cooperative = true;
  run("grid_phases", how, Arguments().add(device).add(n).add(rounds));
  for (int r = 0; r < rounds; ++r) {
    std::vector<int> next(n);
    for (int i = 0; i < n; ++i) next[i] = data[i] + data[(i + n - 1) % n];
    data = next;
  }
  EXPECT_EQ(memory.download<int>(device, n), data);
}

TEST_P(Cuda, TilesAndCoalescedGroups) {
  uint64_t out = memory.upload(std::vector<int>(64));
  run("tiles", {{}, {64, 1, 1}}, Arguments().add(out));
  auto got = memory.download<int>(out, 64);
  for (int i = 0; i < 64; ++i) {
    int sum = 8 * (i / 8 * 8) + 28;
    int active = 0;
    if (i % 3 == 0) {
      int size = 0;
      int rank = 0;
      for (int k = i / 32 * 32; k < i / 32 * 32 + 32; ++k) {
        if (k % 3 != 0) continue;
        ++size;
        if (k < i) ++rank;
      }
      active = size * 100 + rank;
    }
    EXPECT_EQ(got[i], sum * 10000 + active) << i;
  }
}

TEST_P(Cuda, BarrierObjectsInSharedMemory) {
  if (GetParam() < 80) GTEST_SKIP() << "mbarrier came with sm_80";
  uint64_t out = memory.upload(std::vector<int>(128));
  run("object_barrier", {{}, {128, 1, 1}}, Arguments().add(out).add(4));
  std::vector<int> expected(128);
  std::iota(expected.begin(), expected.end(), 0);
  for (int r = 0; r < 4; ++r) {
    std::vector<int> before = expected;
    for (int i = 0; i < 128; ++i) expected[i] += before[(i + 1) % 128];
  }
  EXPECT_EQ(memory.download<int>(out, 128), expected);
}

TEST_P(Cuda, TicketLockAcrossBlocks) {
  *reinterpret_cast<int*>(variable("ticket")) = 0;
  *reinterpret_cast<int*>(variable("turn")) = 0;
  uint64_t order = memory.upload(std::vector<int>(256));
  run("in_turn", {{4, 1, 1}, {64, 1, 1}}, Arguments().add(order));
  auto got = memory.download<int>(order, 256);
  std::sort(got.begin(), got.end());
  for (int i = 0; i < 256; ++i) EXPECT_EQ(got[i], i + 1);
}

TEST_P(Cuda, SpinLockInsideAWarp) {
  *reinterpret_cast<int*>(variable("guarded")) = 0;
  run("spin_lock", {{4, 1, 1}, {64, 1, 1}}, {});
  EXPECT_EQ(*reinterpret_cast<int*>(variable("guarded")), 256);
}

TEST_P(Cuda, Variables) {
  auto* coefficients = reinterpret_cast<float*>(variable("coefficients"));
  for (int k = 0; k < 4; ++k) coefficients[k] = static_cast<float>(k + 1);
  auto x = ramp(32, 0.5f);
  uint64_t out = memory.upload(x);
  run("uses_variables", {{}, {32, 1, 1}}, Arguments().add(memory.upload(x)).add(out));
  auto got = memory.download<float>(out, 32);
  for (int i = 0; i < 32; ++i) EXPECT_EQ(got[i], ((4 * x[i] + 3) * x[i] + 2) * x[i] + 1 + 1.5f);
}

struct Particle {
  float position[3];
  double mass;
  char tag;
  short counts[5];
};

TEST_P(Cuda, StructByValue) {
  Particle p{{1, 2, 3}, 4.5, 'x', {1, 2, 3, 4, 5}};
  uint64_t out = memory.upload(std::vector<Particle>(40));
  run("by_value", {{}, {40, 1, 1}}, Arguments().add(p).add(4).add(out));
  auto got = memory.download<Particle>(out, 40);
  for (int i = 0; i < 40; ++i) {
    EXPECT_EQ(got[i].position[1], 2.0f + static_cast<float>(i));
    EXPECT_EQ(got[i].mass, 4.5 * i);
    EXPECT_EQ(got[i].tag, 'a' + i % 26);
    EXPECT_EQ(got[i].counts[3], 4);
    EXPECT_EQ(got[i].counts[4], i);
  }
}

TEST_P(Cuda, Printf) {
  run("says", {{}, {3, 1, 1}}, Arguments().add(3));
  EXPECT_EQ(output.out,
            "thread 0 of 3: even 0.000 1099511627776\nthread 1 of 3: odd 0.500 2199023255552\n"
            "thread 2 of 3: even 1.000 4398046511104\n");
}

TEST_P(Cuda, Assert) {
  auto result = launch(module(), "asserts", {{}, {4, 1, 1}}, Arguments().add(3), memory, &output);
  EXPECT_EQ(result.fault, Fault::kAssert);
  EXPECT_NE(output.err.find("engine_test_kernels.cu:"), std::string::npos) << output.err;
  EXPECT_NE(output.err.find(": block: [0,0,0], thread: [3,0,0] Assertion "
                            "`static_cast<int>(threadIdx.x) < n` failed.\n"),
            std::string::npos)
      << output.err;
}

TEST_P(Cuda, OutOfBounds) {
  uint64_t p = memory.allocate(400);
  auto result = launch(module(), "out_of_bounds", {{}, {128, 1, 1}}, Arguments().add(p).add(0),
                       memory, &output);
  EXPECT_EQ(result.fault, Fault::kIllegalAddress);
  EXPECT_NE(result.message.find("kernel out_of_bounds, block: [0,0,0], thread: [100,0,0]"),
            std::string::npos)
      << result.message;
}

TEST_P(Cuda, LocalArrays) {
  std::vector<int> x(64);
  std::iota(x.begin(), x.end(), 1);
  uint64_t out = memory.upload(x);
  run("local_array", {{}, {64, 1, 1}}, Arguments().add(memory.upload(x)).add(out));
  auto got = memory.download<int>(out, 64);
  for (int i = 0; i < 64; ++i) {
    int at = i % 40;
    for (int k = 0; k < 50; ++k) at = (at * x[i] + k) % 40;
    EXPECT_EQ(got[i], at);
  }
}

TEST_P(Cuda, DeviceHeap) {
  uint64_t slots = memory.upload(std::vector<uint64_t>(96));
  run("heap", {{}, {96, 1, 1}}, Arguments().add(slots));
}

TEST_P(Cuda, SeveralGridsAtOnce) {
  const int n = 4096;
  auto a = ramp(n, 1);
  uint64_t pa = memory.upload(a);
  std::vector<uint64_t> results;
  for (int i = 0; i < 6; ++i) results.push_back(memory.upload(std::vector<float>(n)));
  Module& shared = module();  // loaded here, before the threads use it
  std::vector<std::thread> callers;
  for (int i = 0; i < 6; ++i) {
    callers.emplace_back([&, i] {
      auto result = launch(shared, "vector_add", {{16, 1, 1}, {256, 1, 1}},
                           Arguments().add(pa).add(pa).add(results[i]).add(n), memory);
      EXPECT_EQ(result.fault, Fault::kNone) << result.message;
    });
  }
  for (std::thread& caller : callers) caller.join();
  for (uint64_t address : results) {
    auto got = memory.download<float>(address, n);
    for (int i = 0; i < n; ++i) ASSERT_EQ(got[i], 2 * a[i]);
  }
}

TEST_P(Cuda, AluResultsAndSpeed) {
  const int rounds = 2000;
  uint64_t out = memory.upload(std::vector<uint32_t>(2048));
  auto start = std::chrono::steady_clock::now();
  run("alu_speed", {{8, 1, 1}, {256, 1, 1}}, Arguments().add(out).add(rounds));
  std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  auto got = memory.download<uint32_t>(out, 2048);
  for (uint32_t i = 0; i < 2048; i += 97) {
    uint32_t x = i % 256;
    uint32_t y = i / 256;
    uint32_t z = 12345;
    for (int k = 0; k < rounds; ++k) {
      x ^= x << 13;
      x ^= x >> 17;
      x ^= x << 5;
      y = y * 1664525u + 1013904223u;
      z += x ^ y;
    }
    ASSERT_EQ(got[i], x + y + z);
  }
  // For the record; how fast the machine is says nothing about right or wrong.
  RecordProperty("thread_instructions_per_us",
                 static_cast<int>(2048.0 * rounds * 11 / (took.count() * 1e6)));
}

INSTANTIATE_TEST_SUITE_P(Arch, Cuda, ::testing::Values(75, 80, 90),
                         [](const auto& arch) { return "sm_" + std::to_string(arch.param); });

TEST(Linking, TwoTextsOfOneProgram) {
  for (bool swapped : {false, true}) {
    std::string first = read_file("engine_test_linked.1.ptx");
    std::string second = read_file("engine_test_linked.2.ptx");
    if (swapped) std::swap(first, second);
    auto module = load({first, second});
    ASSERT_NE(module, nullptr);
    TestMemory memory;
    uint64_t out = memory.upload(std::vector<int>(32));
    Launch how{{}, {32, 1, 1}, 128};
    auto result = launch(*module, "linked", how, Arguments().add(out), memory);
    ASSERT_EQ(result.fault, Fault::kNone) << result.message;
    auto got = memory.download<int>(out, 32);
    for (int i = 0; i < 32; ++i) {
      EXPECT_EQ(got[i], (2 * (31 - i) + i + 1000) * 7 + 100 * (i % 4 + 1) + 1);
    }
    size_t linked = kernel_index(*module, "linked");
    EXPECT_EQ(module->kernels()[linked].shared_static_bytes, 128u);
    EXPECT_EQ(module->kernels()[kernel_index(*module, "alone")].shared_static_bytes, 0u);
  }
}

TEST(Linking, AMissingTextIsNamed) {
  std::string error = load_error(read_file("engine_test_linked.1.ptx"));
  EXPECT_NE(error.find("no text defines"), std::string::npos) << error;
}

}  // namespace
}  // namespace farlane::softcuda
