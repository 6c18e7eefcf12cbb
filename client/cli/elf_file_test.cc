#include "client/cli/elf_file.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

namespace farlane::cli {
namespace {

const std::string kPrograms = FARLANE_TEST_PROGRAMS;

std::string read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

bool has(const std::vector<std::string>& list, const std::string& item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

class ElfFileTest : public ::testing::Test {
 protected:
  ElfFileTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "farlane-elf-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~ElfFileTest() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<ElfFile> open(const std::string& path) {
    return ElfFile::open(path, &is_elf_, &error_);
  }
  std::unique_ptr<ElfFile> open_bytes(const std::string& bytes) {
    const std::string path = (folder_ / "file").string();
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
    return open(path);
  }
  // Everything that can be asked of a file; must not crash on any.
  static void ask_everything(const ElfFile& file) {
    for (const ElfSection& section : file.sections()) (void)file.contents(section, 1 << 20);
    (void)file.defines("main");
    (void)file.section_holds(".rodata", "x");
  }

  std::filesystem::path folder_;
  bool is_elf_ = false;
  std::string error_;
};

TEST_F(ElfFileTest, ReadsASharedRuntimeProgram) {
  const auto file = open(kPrograms + "/shared");
  ASSERT_NE(file, nullptr) << error_;
  EXPECT_TRUE(file->native());
  EXPECT_TRUE(file->executable());
  EXPECT_TRUE(file->has_interpreter());
  EXPECT_TRUE(has(file->needed(), "libcudart.so.13"));
  EXPECT_TRUE(has(file->needed(), "libc.so.6"));
  EXPECT_NE(file->section(".nv_fatbin"), nullptr);
  EXPECT_EQ(file->section(".nothing"), nullptr);
  EXPECT_TRUE(file->defines("main"));
  EXPECT_FALSE(file->defines("cudaDeviceSynchronize"));  // it uses that, and does not define it
  EXPECT_FALSE(file->section_holds(".rodata", "/cudart.shm."));
}

TEST_F(ElfFileTest, ReadsAStaticRuntimeProgram) {
  const auto file = open(kPrograms + "/static");
  ASSERT_NE(file, nullptr) << error_;
  EXPECT_FALSE(has(file->needed(), "libcudart.so.13"));
  EXPECT_TRUE(file->section_holds(".rodata", "/cudart.shm."));
}

TEST_F(ElfFileTest, ReadsRpathAndRunpath) {
  const auto old_style = open(kPrograms + "/rpath");
  ASSERT_NE(old_style, nullptr) << error_;
  EXPECT_EQ(old_style->rpath(), (std::vector<std::string>{"$ORIGIN/one", "/two"}));
  EXPECT_TRUE(old_style->runpath().empty());
}

TEST_F(ElfFileTest, SaysWhatIsNoElf) {
  EXPECT_EQ(open((folder_ / "missing").string()), nullptr);
  EXPECT_FALSE(is_elf_);
  EXPECT_EQ(open(folder_.string()), nullptr);
  EXPECT_EQ(open("/dev/null"), nullptr);
  EXPECT_EQ(open_bytes("#!/bin/sh\n"), nullptr);
  EXPECT_FALSE(is_elf_);
  EXPECT_EQ(open_bytes("\177ELF"), nullptr);
  EXPECT_TRUE(is_elf_);
}

TEST_F(ElfFileTest, EveryPrefixIsSafe) {
  const std::string whole = read(kPrograms + "/shared");
  ASSERT_GT(whole.size(), 1000u);
  size_t refused = 0;
  for (size_t bytes = 0; bytes < whole.size(); bytes += bytes < 4096 ? 13 : 997) {
    const auto file = open_bytes(whole.substr(0, bytes));
    if (file == nullptr) {
      ++refused;
      EXPECT_FALSE(error_.empty());
    } else {
      ask_everything(*file);
    }
  }
  EXPECT_GT(refused, 10u);  // the section table lies at the end
}

TEST_F(ElfFileTest, DamageIsSafe) {
  const std::string whole = read(kPrograms + "/shared");
  const unsigned seed = 4713;
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 500; ++round) {
    std::string damaged = whole;
    // The header, the segment table, and the section table at the end: where the offsets are.
    for (int i = 0; i < 4; ++i) {
      const size_t from_end = random() % 2000 + 1;
      const size_t at = random() % 2 == 0 ? random() % 800 : damaged.size() - from_end;
      damaged[at] = static_cast<char>(random());
    }
    if (const auto file = open_bytes(damaged)) ask_everything(*file);
  }
}

}  // namespace
}  // namespace farlane::cli
