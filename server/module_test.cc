#include "server/module.h"

#include <gtest/gtest.h>

#include <string_view>

namespace farlane::server {
namespace {

std::string fault_of(std::string_view image) {
  return image_fault(std::as_bytes(std::span(image)));
}
bool prints(std::string_view image) {
  return may_print(std::as_bytes(std::span(image)));
}

TEST(ModuleImage, WhatIsCutOffIsRefused) {
  using namespace std::string_view_literals;
  EXPECT_EQ(fault_of(".version 7.0"), "");
  EXPECT_EQ(fault_of("!<arch>\n"), "");
  EXPECT_EQ(fault_of("!<arch>\n\0"sv), "");
  EXPECT_EQ(fault_of("!<arch>\nname"), "an archive of device code that is cut off");
  EXPECT_EQ(fault_of("\x7f\x45LF"), "a cubin shorter than its header");
  EXPECT_EQ(fault_of("\x50\xed\x55\xba"), "a fat binary shorter than its header");
}

TEST(ModuleImage, MayPrintWhereThatCannotBeSeen) {
  EXPECT_FALSE(prints(".version 7.0"));
  EXPECT_TRUE(prints(".extern .func vprintf"));
  EXPECT_TRUE(prints("!<arch>\n"));
  EXPECT_TRUE(prints("\x50\xed\x55\xba"));
}

}  // namespace
}  // namespace farlane::server
