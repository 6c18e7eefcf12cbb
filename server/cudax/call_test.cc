#include "server/cudax/call.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "server/cudax/host.h"

namespace farlane::server::cudax {
namespace {

constexpr uint16_t kKind = 0x101;
constexpr uint16_t kOther = 0x102;
constexpr size_t kResultsMax = 64;

// What a call packs: words, and bytes padded to words.
struct Packed {
  std::vector<std::byte> bytes;
  Packed& word(uint64_t value) { return data(&value, sizeof value); }
  Packed& data(const void* from, size_t count) {
    const size_t at = bytes.size();
    bytes.resize(at + (count + 7) / 8 * 8);
    std::memcpy(bytes.data() + at, from, count);
    return *this;
  }
};

// Stands for a vendor's function.
struct Seen {
  uint64_t handle = 0;
  int number = 0;
  std::string text;
  bool has_out = false;
} g_seen;
int function(void* handle, int number, const char* text, int* out) {
  g_seen = {reinterpret_cast<uint64_t>(handle), number, text == nullptr ? "" : text,
            out != nullptr};
  if (out != nullptr) *out = number + 1;
  return 0;
}

class Call : public ::testing::Test {
 protected:
  int64_t call(const Packed& packed) {
    g_seen = {};
    arguments_ = std::make_unique<Arguments>(packed.bytes, objects_, names_, kResultsMax);
    using Thunk = Invoke<decltype(function)>;
    return Thunk::call<role::Object<kKind>, role::Value, role::In, role::Out>(
        reinterpret_cast<void*>(&function), *arguments_);
  }

  Objects objects_;
  Names names_{[](uint64_t name, CUstream*) { return name == 1; },
               [](uint64_t name, CUevent*) { return name == 1; }};
  std::unique_ptr<Arguments> arguments_;
};

TEST_F(Call, ArgumentsArriveAndResultsGoBack) {
  objects_[7] = {kKind, 0x1234, {}};
  EXPECT_EQ(call(Packed().word(7).word(41).word(3).data("ab", 3).word(4).word(0)), 0);
  EXPECT_EQ(arguments_->fault(), "");
  EXPECT_EQ(g_seen.handle, 0x1234u);
  EXPECT_EQ(g_seen.number, 41);
  EXPECT_EQ(g_seen.text, "ab");
  const std::vector<std::byte> results = arguments_->results();
  ASSERT_EQ(results.size(), 8u);
  int value = 0;
  std::memcpy(&value, results.data(), sizeof value);
  EXPECT_EQ(value, 42);
}

TEST_F(Call, NullIsNull) {
  call(Packed().word(0).word(5).word(kNull).word(kNull));
  EXPECT_EQ(arguments_->fault(), "");
  EXPECT_EQ(g_seen.number, 5);
  EXPECT_FALSE(g_seen.has_out);
  EXPECT_TRUE(arguments_->results().empty());
}

TEST_F(Call, AScalarLiesAsItsTypeMay) {
  struct alignas(16) Wide {
    uint64_t parts[2];
  };
  const Packed packed = Packed().word(1).word(16).word(5).word(6).word(16).word(7).word(8);
  for (size_t shift = 0; shift < 2; ++shift) {
    alignas(16) std::array<std::byte, 72> place{};
    std::memcpy(place.data() + shift * 8, packed.bytes.data(), packed.bytes.size());
    Arguments arguments({place.data() + shift * 8, packed.bytes.size()}, objects_, names_, 0);
    arguments.word();
    const auto* wide = role::In::take<const Wide*>(arguments);
    const auto* unknown = role::Scalar::take<const void*>(arguments);
    ASSERT_TRUE(arguments.complete());
    EXPECT_EQ(reinterpret_cast<uintptr_t>(wide) % 16, 0u) << shift;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(unknown) % 16, 0u) << shift;
    EXPECT_EQ(wide->parts[1], 6u);
    EXPECT_EQ(static_cast<const uint64_t*>(unknown)[0], 7u);
  }
}

TEST_F(Call, WhatIsCutShortIsNotCalled) {
  objects_[7] = {kKind, 0x1234, {}};
  const Packed whole = Packed().word(7).word(41).word(3).data("ab", 3).word(4).word(0);
  for (size_t bytes = 0; bytes < whole.bytes.size(); ++bytes) {
    Packed part = whole;
    part.bytes.resize(bytes);
    call(part);
    EXPECT_NE(arguments_->fault(), "") << bytes;
    EXPECT_EQ(g_seen.number, 0) << bytes;
  }
}

TEST_F(Call, WhatIsTooMuchIsNotCalled) {
  const auto refused = [&](const Packed& packed) {
    call(packed);
    return !arguments_->fault().empty() && g_seen.number == 0;
  };
  EXPECT_TRUE(refused(Packed().word(0).word(5).word(kNull).word(kNull).word(0)));
  EXPECT_TRUE(refused(Packed().word(0).word(5).word(uint64_t{1} << 60).word(kNull)));
  EXPECT_TRUE(refused(Packed().word(0).word(5).word(~uint64_t{2}).word(kNull)));
  const std::vector<std::byte> much(kResultsMax + 1);
  EXPECT_TRUE(refused(
      Packed().word(0).word(5).word(kNull).word(much.size()).data(much.data(), much.size())));
  EXPECT_TRUE(refused(Packed().word(0).word(5).word(kNull).word(~uint64_t{3})));
}

TEST_F(Call, WhatTheLibraryLeavesAloneComesBack) {
  const Packed packed = Packed().word(8).word(1234).word(16).word(0x9).word(7);
  Arguments arguments(packed.bytes, objects_, names_, kResultsMax);
  static_cast<void>(role::Out::take<int*>(arguments));
  auto* objects = role::OutObject<kKind>::take<uint64_t*>(arguments);
  ASSERT_TRUE(arguments.complete());
  objects_[5] = {kKind, 0x77, {}};
  objects[1] = 0x77;
  std::vector<uint64_t> results(3);
  const std::vector<std::byte> packed_results = arguments.results();
  ASSERT_EQ(packed_results.size(), results.size() * 8);
  std::memcpy(results.data(), packed_results.data(), packed_results.size());
  EXPECT_EQ(results, (std::vector<uint64_t>{1234, 0x9, 5}));
}

// An address of the client's would be one of this process.
TEST_F(Call, AnObjectOnTheHostGetsNoAddress) {
  Packed made = Packed().word(7);
  Arguments making(made.bytes, objects_, names_, kResultsMax);
  making.made(kKind, true);
  ASSERT_TRUE(making.complete());
  making.settle(true);
  objects_[8] = {kKind, 0x1234, {}};
  const auto filled = [&](uint64_t object, const Packed& place) {
    Packed packed = Packed().word(object);
    packed.bytes.insert(packed.bytes.end(), place.bytes.begin(), place.bytes.end());
    Arguments arguments(packed.bytes, objects_, names_, kResultsMax);
    arguments.object(kKind);
    void* const to = arguments.filled();
    return arguments.complete() ? to : nullptr;
  };
  EXPECT_EQ(filled(8, Packed().word(kAddress).word(0x5000)), reinterpret_cast<void*>(0x5000));
  EXPECT_EQ(filled(7, Packed().word(kAddress).word(0x5000)), nullptr);
  EXPECT_NE(filled(7, Packed().word(16)), nullptr);
  EXPECT_EQ(filled(8, Packed().word(16)), nullptr);
  EXPECT_EQ(filled(7, Packed().word(kResultsMax + 1)), nullptr);
  EXPECT_EQ(filled(7, Packed().word(kNull)), nullptr);

  for (const uint64_t object : {7, 8}) {
    const Packed packed = Packed().word(object);
    Arguments arguments(packed.bytes, objects_, names_, kResultsMax);
    arguments.object_on_device(kKind);
    EXPECT_EQ(arguments.fault().empty(), object == 8);
  }
}

TEST_F(Call, ObjectsAreOfTheirKind) {
  objects_[7] = {kOther, 0x1234, {}};
  call(Packed().word(7).word(41).word(kNull).word(kNull));
  EXPECT_NE(arguments_->fault(), "");
  EXPECT_EQ(g_seen.number, 0);
}

TEST_F(Call, AnObjectThatWasNeverMadeIsNotUsed) {
  call(Packed().word(9).word(41).word(kNull).word(kNull));
  EXPECT_EQ(arguments_->fault(), "");
  EXPECT_TRUE(arguments_->has_stale_object());
  EXPECT_EQ(g_seen.number, 0);
}

TEST_F(Call, NamesAreMadeAndEnded) {
  Packed made = Packed().word(7);
  Arguments making(made.bytes, objects_, names_, kResultsMax);
  uint64_t* to = making.made(kKind);
  ASSERT_TRUE(making.complete());
  *to = 0x99;
  making.settle(true);
  EXPECT_EQ(objects_.at(7).bits, 0x99u);

  Arguments again(made.bytes, objects_, names_, kResultsMax);
  again.made(kKind);
  EXPECT_NE(again.fault(), "") << "the name stands for something";

  Arguments ending(made.bytes, objects_, names_, kResultsMax);
  uint64_t bits = 0;
  ending.end(kKind, &bits);
  EXPECT_EQ(bits, 0x99u);
  ending.settle(true);
  EXPECT_TRUE(objects_.empty());

  // Nothing is called to end what was never made, and nothing is wrong with that.
  Arguments nothing(made.bytes, objects_, names_, kResultsMax);
  nothing.end(kKind, &bits);
  EXPECT_FALSE(nothing.complete());
  EXPECT_EQ(nothing.fault(), "");
  EXPECT_FALSE(nothing.has_stale_object());
}

TEST_F(Call, AListOfObjectsHasALimit) {
  Packed packed = Packed().word(uint64_t{1} << 40);
  Arguments arguments(packed.bytes, objects_, names_, kResultsMax);
  arguments.objects(kKind);
  EXPECT_NE(arguments.fault(), "");
}

TEST(Host, ALibraryThatNobodyDescribedIsNotThere) {
  Host host("", {});
  EXPECT_EQ(host.open(999).major, 0u);
  EXPECT_NE(host.open(999).text, "");
  EXPECT_NE(host.call(999 << 16 | 1, {}, kResultsMax).fault, "");
}

TEST(Host, AFunctionOfALibraryThatIsNotThereEndsTheSession) {
  Host host("/nowhere", {});
  const Outcome outcome = host.call(1 << 16 | 60000, {}, kResultsMax);
  EXPECT_NE(outcome.fault, "");
}

}  // namespace
}  // namespace farlane::server::cudax
