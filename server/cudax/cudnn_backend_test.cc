// What a hostile client's arguments for cuDNN's backend calls come to: a fault, and no call.
#include "server/cudax/cudnn_backend.h"

#include <cudnn_graph.h>
#include <gtest/gtest.h>

#include <bit>
#include <initializer_list>

namespace farlane::server::cudax::cudnn {
namespace {

int g_calls = 0;
const void* g_elements = nullptr;
int64_t g_count = 0;

cudnnStatus_t set(cudnnBackendDescriptor_t, cudnnBackendAttributeName_t,
                  cudnnBackendAttributeType_t, int64_t count, const void* elements) {
  ++g_calls;
  g_count = count;
  g_elements = elements;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t get(cudnnBackendDescriptor_t, cudnnBackendAttributeName_t,
                  cudnnBackendAttributeType_t, int64_t count, int64_t*, void* elements) {
  ++g_calls;
  g_count = count;
  g_elements = elements;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t execute(cudnnHandle_t, cudnnBackendDescriptor_t, cudnnBackendDescriptor_t) {
  ++g_calls;
  return CUDNN_STATUS_SUCCESS;
}

constexpr uint64_t kHandleName = 11, kDescriptorName = 12, kPackName = 13;

class CudnnBackend : public ::testing::Test {
 protected:
  CudnnBackend() {
    g_calls = 0;
    objects_[kHandleName] = {.kind = kHandle, .bits = 0x1000, .scratch = {}, .values = {}};
    objects_[kDescriptorName] = {.kind = kBackend, .bits = 0x2000, .scratch = {}, .values = {}};
    objects_[kPackName] = {.kind = kBackend, .bits = 0x3000, .scratch = {}, .values = {}};
  }

  // Whether the call was made; the fault is kept.
  bool call(int64_t (*thunk)(void*, Arguments&), void* function,
            std::initializer_list<uint64_t> words) {
    const std::vector<uint64_t> packed(words);
    Arguments arguments(std::as_bytes(std::span(packed)), objects_, names_, 1 << 16);
    const int before = g_calls;
    thunk(function, arguments);
    fault_ = arguments.fault();
    results_ = arguments.results();
    return g_calls != before;
  }
  bool call_set(std::initializer_list<uint64_t> words) {
    return call(&backend_set_attribute, reinterpret_cast<void*>(&set), words);
  }
  bool call_get(std::initializer_list<uint64_t> words) {
    return call(&backend_get_attribute, reinterpret_cast<void*>(&get), words);
  }
  bool call_execute(std::initializer_list<uint64_t> words) {
    return call(&backend_execute, reinterpret_cast<void*>(&execute), words);
  }

  Objects objects_;
  Names names_;
  std::string fault_;
  std::vector<std::byte> results_;
};

TEST_F(CudnnBackend, NumbersAreAsManyAsElements) {
  EXPECT_TRUE(call_set({kDescriptorName, 902, CUDNN_TYPE_INT64, 2, 16, 7, 8}));
  EXPECT_EQ(fault_, "");
  EXPECT_EQ(g_count, 2);
  for (const uint64_t bytes : {uint64_t{8}, uint64_t{24}, uint64_t{1} << 40, kAddress}) {
    EXPECT_FALSE(call_set({kDescriptorName, 902, CUDNN_TYPE_INT64, 2, bytes, 7, 8}));
    EXPECT_NE(fault_, "");
  }
  EXPECT_FALSE(call_set({kDescriptorName, 902, CUDNN_TYPE_INT64, ~uint64_t{0}, 16, 7, 8}));
  EXPECT_NE(fault_, "");
  EXPECT_FALSE(call_set({kDescriptorName, 902, 77, 2, 16, 7, 8}));
  EXPECT_NE(fault_, "");
  EXPECT_FALSE(call_set({kDescriptorName, 902, CUDNN_TYPE_INT64, 2, 16, 7}));
  EXPECT_NE(fault_, "");
  EXPECT_FALSE(call_set({}));
  EXPECT_NE(fault_, "");
}

TEST_F(CudnnBackend, NamesAreOfTheirKind) {
  EXPECT_TRUE(call_set({kDescriptorName, 800, CUDNN_TYPE_HANDLE, 1, 1, kHandleName}));
  EXPECT_FALSE(call_set({kDescriptorName, 800, CUDNN_TYPE_HANDLE, 1, 1, kPackName}));
  EXPECT_NE(fault_, "");
  EXPECT_FALSE(call_set({kDescriptorName, 801, CUDNN_TYPE_BACKEND_DESCRIPTOR, 2, 1, kPackName}));
  EXPECT_NE(fault_, "");
  EXPECT_FALSE(call_set({kDescriptorName, 801, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1u << 30, 1u << 30}));
  EXPECT_NE(fault_, "");
  // One that was never made is nobody's fault, and no call.
  EXPECT_FALSE(call_set({kDescriptorName, 801, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, 1, 99}));
  EXPECT_EQ(fault_, "");
}

TEST_F(CudnnBackend, ValuesLieWhereTheyWereMarked) {
  constexpr uint64_t kPointers = CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS;
  EXPECT_FALSE(call_execute({kHandleName, kDescriptorName, kPackName, 1, 0, 1, 2}));
  EXPECT_NE(fault_, "");
  EXPECT_FALSE(call_set({kPackName, kPointers, CUDNN_TYPE_VOID_PTR, 2, 2, 5, 6, 1, 2}));
  EXPECT_NE(fault_, "");
  EXPECT_FALSE(call_set({kPackName, kPointers, CUDNN_TYPE_VOID_PTR, 2, 3, 5, 6, 7, 0}));
  EXPECT_NE(fault_, "");
  EXPECT_FALSE(call_set({kPackName, kPointers, CUDNN_TYPE_VOID_PTR, 2, 2, 5, 6, 3, 0, 1, 1}));
  EXPECT_NE(fault_, "");
  EXPECT_TRUE(call_set({kPackName, kPointers, CUDNN_TYPE_VOID_PTR, 2, 2, 5, 6, 1, 1}));
  ASSERT_EQ(objects_[kPackName].values.size(), 2u);
  EXPECT_TRUE(call_execute({kHandleName, kDescriptorName, kPackName, 1, 1, 0x4142, 0}));
  EXPECT_EQ(objects_[kPackName].values[1][0], std::byte{0x42});
  EXPECT_FALSE(call_execute({kHandleName, kDescriptorName, kPackName, 1, 2, 0x4142, 0}));
  EXPECT_NE(fault_, "");
  EXPECT_FALSE(call_execute({kHandleName, kDescriptorName, kPackName, ~uint64_t{0}, 1, 1, 0}));
  EXPECT_NE(fault_, "");
}

TEST_F(CudnnBackend, AnswersHaveRoomForAllThatIsAskedFor) {
  EXPECT_TRUE(call_get({kDescriptorName, 402, CUDNN_TYPE_INT64, 1, 8, 1, 8}));
  EXPECT_EQ(results_.size(), 16u);
  EXPECT_FALSE(call_get({kDescriptorName, 402, CUDNN_TYPE_INT64, 4, 8, 1, 8}));
  EXPECT_NE(fault_, "");
  EXPECT_FALSE(call_get({kDescriptorName, 402, CUDNN_TYPE_INT64, 1u << 20, 8, 1, 8u << 20}));
  EXPECT_NE(fault_, "");
  EXPECT_FALSE(
      call_get({kDescriptorName, 202, CUDNN_TYPE_BACKEND_DESCRIPTOR, 2, 8, 1, 1, kPackName}));
  EXPECT_NE(fault_, "");
  EXPECT_TRUE(call_get({kDescriptorName, 202, CUDNN_TYPE_BACKEND_DESCRIPTOR, 2, 8, 0, 0}));
  EXPECT_EQ(g_elements, nullptr);
}

TEST_F(CudnnBackend, SeveralQuestionsAreOneCall) {
  const std::vector<uint64_t> one = {kDescriptorName, 402, CUDNN_TYPE_INT64, 1, 8, 1, 8};
  const auto several = [&](uint64_t count, std::vector<uint64_t> second) {
    std::vector<uint64_t> words = {0, count, 48};
    words.insert(words.end(), one.begin(), one.end());
    words.insert(words.end(), second.begin(), second.end());
    const int before = g_calls;
    Arguments arguments(std::as_bytes(std::span(words)), objects_, names_, 1 << 16);
    backend_get_attribute(reinterpret_cast<void*>(&get), arguments);
    fault_ = arguments.fault();
    results_ = arguments.results();
    return g_calls - before;
  };
  EXPECT_EQ(several(2, one), 2);
  EXPECT_EQ(fault_, "");
  ASSERT_EQ(results_.size(), 48u);
  EXPECT_EQ(results_[0], std::byte{1});
  EXPECT_EQ(results_[24], std::byte{1});
  // One that is wrong, missing or too much: none is asked.
  for (const uint64_t count : {uint64_t{1}, uint64_t{3}, uint64_t{1} << 40}) {
    EXPECT_EQ(several(count, one), 0);
    EXPECT_NE(fault_, "");
  }
  EXPECT_EQ(several(2, {kDescriptorName, 402, CUDNN_TYPE_INT64, 4, 8, 1, 8}), 0);
  EXPECT_NE(fault_, "");
  EXPECT_EQ(several(2, {99, 402, CUDNN_TYPE_INT64, 1, 8, 1, 8}), 0);
  EXPECT_EQ(fault_, "");  // never made: nobody's fault
}

}  // namespace
}  // namespace farlane::server::cudax::cudnn
