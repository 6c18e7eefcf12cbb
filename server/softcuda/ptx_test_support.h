// What the tests of the PTX engine share: device memory, captured output, and a way to run one
// instruction on many operands.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "server/softcuda/engine.h"

namespace farlane::softcuda {

// Device memory that knows exactly what was allocated.
class TestMemory final : public AddressMap {
 public:
  uint64_t allocate(size_t bytes) {
    auto block = std::make_unique<std::byte[]>(bytes + 256);
    auto raw = reinterpret_cast<uint64_t>(block.get());
    uint64_t begin = (raw + 255) / 256 * 256;
    std::lock_guard lock(mutex_);
    blocks_.push_back(std::move(block));
    ranges_[begin] = begin + bytes;
    return begin;
  }
  template <class T>
  uint64_t upload(const std::vector<T>& values) {
    uint64_t address = allocate(values.size() * sizeof(T));
    if (!values.empty()) {
      std::memcpy(reinterpret_cast<void*>(address), values.data(), values.size() * sizeof(T));
    }
    return address;
  }
  template <class T>
  std::vector<T> download(uint64_t address, size_t count) const {
    std::vector<T> values(count);
    if (count != 0) {
      std::memcpy(values.data(), reinterpret_cast<const void*>(address), count * sizeof(T));
    }
    return values;
  }
  bool find(uint64_t address, uint64_t* begin, uint64_t* end) const override {
    std::lock_guard lock(mutex_);
    auto it = ranges_.upper_bound(address);
    if (it == ranges_.begin()) return false;
    --it;
    if (address >= it->second) return false;
    *begin = it->first;
    *end = it->second;
    return true;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<std::byte[]>> blocks_;
  std::map<uint64_t, uint64_t> ranges_;
};

class CapturedOutput final : public OutputSink {
 public:
  void write_stdout(std::string_view text) override {
    std::lock_guard lock(mutex_);
    out += text;
  }
  void write_stderr(std::string_view text) override {
    std::lock_guard lock(mutex_);
    err += text;
  }
  std::string out, err;

 private:
  std::mutex mutex_;
};

// Kernel arguments packed as PTX lays them out.
class Arguments {
 public:
  template <class T>
  Arguments& add(const T& value) {
    size_t at = (bytes_.size() + alignof(T) - 1) / alignof(T) * alignof(T);
    bytes_.resize(at + sizeof(T));
    std::memcpy(bytes_.data() + at, &value, sizeof(T));
    return *this;
  }
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

inline std::unique_ptr<Module> load(const std::vector<std::string>& texts) {
  std::vector<std::string_view> views(texts.begin(), texts.end());
  std::string error;
  auto module = load_ptx(views, &error);
  EXPECT_NE(module, nullptr) << error;
  return module;
}

inline std::string load_error(const std::string& text) {
  std::string_view views[] = {text};
  std::string error;
  auto module = load_ptx(views, &error);
  EXPECT_EQ(module, nullptr) << "loaded, although it should not";
  return error;
}

inline size_t kernel_index(const Module& module, std::string_view name) {
  for (size_t i = 0; i < module.kernels().size(); ++i) {
    if (module.kernels()[i].name == name) return i;
  }
  ADD_FAILURE() << "no kernel " << name;
  return 0;
}

struct Launch {
  Dim3 grid;
  Dim3 block;
  uint32_t shared_bytes = 0;
  bool cooperative = false;
};

inline LaunchResult launch(Module& module, std::string_view kernel, const Launch& how,
                           const Arguments& arguments, const TestMemory& memory,
                           CapturedOutput* output = nullptr) {
  LaunchConfig config;
  config.grid = how.grid;
  config.block = how.block;
  config.shared_dynamic_bytes = how.shared_bytes;
  config.cooperative = how.cooperative;
  config.params = arguments.bytes();
  config.memory = &memory;
  config.output = output;
  return module.launch(kernel_index(module, kernel), config);
}

inline constexpr const char* kHeader = ".version 8.7\n.target sm_90\n.address_size 64\n";

// The PTX spelling of a register for T, and of a load or store of it.
template <class T>
std::string register_word() {
  return sizeof(T) == 2 ? ".b16" : sizeof(T) == 4 ? ".b32" : ".b64";
}

// Runs `code` once per operand set, one thread each. The code finds its operands in %a, %b, %c and
// leaves its result in %d; %p0 … %p7, %r0 … (32 bits), %x0 … (64 bits) and %h0 … (16 bits) are
// free.
template <class D, class A, class B = A, class C = B>
std::vector<D> evaluate(const std::string& code, const std::vector<A>& a,
                        const std::vector<B>& b = {}, const std::vector<C>& c = {}) {
  std::string text = kHeader;
  text += ".visible .entry k(.param .u64 pd, .param .u64 pa, .param .u64 pb, .param .u64 pc,\n";
  text += "                  .param .u32 n)\n{\n";
  text += ".reg .pred %p<8>;\n.reg .b32 %r<16>;\n.reg .b64 %x<16>;\n.reg .b16 %h<8>;\n";
  text += ".reg .u64 %addr, %index;\n.reg .u32 %me, %count, %block;\n.reg .pred %outside;\n";
  text += ".reg " + register_word<D>() + " %d;\n.reg " + register_word<A>() + " %a;\n";
  text += ".reg " + register_word<B>() + " %b;\n.reg " + register_word<C>() + " %c;\n";
  text += "mov.u32 %me, %tid.x;\nmov.u32 %block, %ctaid.x;\nmad.lo.u32 %me, %block, 64, %me;\n";
  text += "ld.param.u32 %count, [n];\nsetp.ge.u32 %outside, %me, %count;\n@%outside ret;\n";
  auto access = [&](const char* parameter, size_t bytes) {
    text += std::string("ld.param.u64 %addr, [") + parameter + "];\n";
    text += "mul.wide.u32 %index, %me, " + std::to_string(bytes) + ";\n";
    text += "add.u64 %addr, %addr, %index;\n";
  };
  auto load_one = [&](const char* parameter, const std::string& word, const char* to,
                      size_t bytes) {
    access(parameter, bytes);
    text += "ld.global" + word + " " + to + ", [%addr];\n";
  };
  load_one("pa", register_word<A>(), "%a", sizeof(A));
  if (!b.empty()) load_one("pb", register_word<B>(), "%b", sizeof(B));
  if (!c.empty()) load_one("pc", register_word<C>(), "%c", sizeof(C));
  text += code + "\n";
  access("pd", sizeof(D));
  text += "st.global" + register_word<D>() + " [%addr], %d;\nret;\n}\n";
  auto module = load({text});
  if (module == nullptr) return std::vector<D>(a.size());
  TestMemory memory;
  Arguments arguments;
  uint64_t result = memory.upload(std::vector<D>(a.size()));
  arguments.add(result).add(memory.upload(a)).add(memory.upload(b)).add(memory.upload(c));
  auto count = static_cast<uint32_t>(a.size());
  arguments.add(count);
  Launch how;
  how.grid.x = (count + 63) / 64;
  how.block.x = 64;
  LaunchResult launched = launch(*module, "k", how, arguments, memory);
  EXPECT_EQ(launched.fault, Fault::kNone) << launched.message;
  return memory.download<D>(result, a.size());
}

}  // namespace farlane::softcuda
