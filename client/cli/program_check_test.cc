#include "client/cli/program_check.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "client/cli/install_paths.h"
#include "client/cli/preload.h"

namespace farlane::cli {
namespace {

const std::string kPrograms = FARLANE_TEST_PROGRAMS;

class ProgramCheckTest : public ::testing::Test {
 protected:
  ProgramCheckTest() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "farlane-check-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~ProgramCheckTest() override { std::filesystem::remove_all(folder_); }

  Findings check(const std::string& program, std::optional<DeviceAbility> device = {}) {
    return check_program({program, folder_.string(), "", folder_.string(), std::move(device)});
  }
  std::string write(const std::string& name, const std::string& text, mode_t mode) {
    const std::string path = (folder_ / name).string();
    std::ofstream(path) << text;
    ::chmod(path.c_str(), mode);
    return path;
  }

  std::filesystem::path folder_;
};

testing::AssertionResult says(const Findings& findings, Weight weight, const std::string& text) {
  std::string all;
  for (const Finding& finding : findings.all()) {
    if (finding.weight == weight && finding.text.find(text) != std::string::npos) {
      return testing::AssertionSuccess();
    }
    all += "\n  " + std::to_string(static_cast<int>(finding.weight)) + " " + finding.text;
  }
  return testing::AssertionFailure() << "nothing says \"" << text << "\":" << all;
}

const DeviceAbility kHopper{"NVIDIA H100", 90, false};
const DeviceAbility kBlackwell{"NVIDIA B200", 100, false};
const DeviceAbility kTuring{"Tesla T4", 75, false};
const DeviceAbility kSoftware{"Farlane Software Device", 90, true};

TEST_F(ProgramCheckTest, ProgramsWithCapabilitiesCannotBePreloaded) {
  const std::string program = (folder_ / "program").string();
  std::filesystem::copy_file(kPrograms + "/shared", program);
  EXPECT_FALSE(check(program).has_problem());
  // A vfs_cap_data of version 2 (linux/capability.h): CAP_IPC_LOCK, as programs with RDMA have it.
  const uint32_t capabilities[5] = {0x02000001, 1 << 14, 0, 0, 0};
  if (::setxattr(program.c_str(), "security.capability", capabilities, sizeof capabilities, 0) !=
      0) {
    GTEST_SKIP() << "only root may give a file capabilities";
  }
  EXPECT_TRUE(says(check(program), Weight::kProblem, "has file capabilities"));
}

TEST_F(ProgramCheckTest, SharedRuntimeIsFine) {
  const Findings findings = check(kPrograms + "/shared", kHopper);
  EXPECT_FALSE(findings.has_problem());
  EXPECT_TRUE(says(findings, Weight::kFine, "links the CUDA 13 runtime dynamically"));
  EXPECT_TRUE(says(findings, Weight::kFine, "sm_90; PTX for compute_75"));
  EXPECT_EQ(preload_obstacle(kPrograms + "/shared"), "");
}

TEST_F(ProgramCheckTest, StaticRuntimeSaysHowToRelink) {
  for (const char* name : {"/static", "/stripped"}) {
    const Findings findings = check(kPrograms + name);
    EXPECT_TRUE(says(findings, Weight::kProblem, "nvcc -cudart shared"));
    EXPECT_NE(preload_obstacle(kPrograms + name), "");
  }
}

TEST_F(ProgramCheckTest, DeviceCodeAgainstDevice) {
  EXPECT_FALSE(check(kPrograms + "/shared", kSoftware).has_problem());  // by PTX
  EXPECT_FALSE(check(kPrograms + "/shared", kTuring).has_problem());    // by PTX
  EXPECT_FALSE(check(kPrograms + "/sass", kHopper).has_problem());      // by machine code
  EXPECT_TRUE(says(check(kPrograms + "/sass", kSoftware), Weight::kProblem, "runs only PTX"));
  EXPECT_TRUE(says(check(kPrograms + "/sass", kTuring), Weight::kProblem, "sm_75"));
  EXPECT_TRUE(says(check(kPrograms + "/sass", kBlackwell), Weight::kProblem, "sm_100"));
  EXPECT_TRUE(says(check(kPrograms + "/rdc", kTuring), Weight::kProblem, "can run none"));
  EXPECT_FALSE(check(kPrograms + "/rdc", kHopper).has_problem());
  EXPECT_TRUE(says(check(kPrograms + "/sass"), Weight::kNote, "Without PTX"));
}

TEST_F(ProgramCheckTest, OtherCudaLibrariesByFacade) {
  const Findings without = check(kPrograms + "/needs_cublas");
  EXPECT_TRUE(says(without, Weight::kProblem, "libcublas.so.13, which Farlane does not forward"));
  EXPECT_TRUE(says(without, Weight::kFine, "libnvrtc.so.13, which needs no GPU"));
  write("libcublas.so.13", "", 0644);  // in the folder of the client libraries
  const Findings with = check(kPrograms + "/needs_cublas");
  EXPECT_TRUE(says(with, Weight::kFine, "libcublas.so.13: Farlane has it"));
}

TEST_F(ProgramCheckTest, Cuda12IsNotYet) {
  EXPECT_TRUE(says(check(kPrograms + "/needs_cudart_12"), Weight::kProblem,
                   "libcudart.so.12: only CUDA 13 programs run so far"));
}

TEST_F(ProgramCheckTest, FilesThatAreNoPrograms) {
  EXPECT_TRUE(says(check("nosuch"), Weight::kProblem, "there is no program nosuch in PATH"));
  EXPECT_TRUE(says(check("./nosuch"), Weight::kProblem, "there is no file ./nosuch"));
  EXPECT_TRUE(says(check(folder_.string()), Weight::kProblem, "not a regular file"));
  EXPECT_TRUE(says(check(write("text", "hello", 0644)), Weight::kProblem, "chmod +x"));
  EXPECT_TRUE(says(check(write("text2", "hello", 0755)), Weight::kProblem, "not an ELF program"));
}

TEST_F(ProgramCheckTest, ScriptsNameTheirInterpreter) {
  write("script", "#! /usr/bin/env python3\nprint(1)\n", 0755);
  const Findings findings = check("script");  // found in PATH
  EXPECT_FALSE(findings.has_problem());
  EXPECT_TRUE(says(findings, Weight::kNote, "a script for /usr/bin/env python3"));
}

TEST_F(ProgramCheckTest, SetUserIdAndStaticPrograms) {
  const std::string copy = (folder_ / "setuid").string();
  std::filesystem::copy_file(kPrograms + "/shared", copy);
  ASSERT_EQ(::chmod(copy.c_str(), 04755), 0);
  EXPECT_TRUE(says(check(copy), Weight::kProblem, "set-user-id"));
  EXPECT_TRUE(
      says(check(kPrograms + "/no_loader"), Weight::kProblem, "linked statically as a whole"));
  EXPECT_NE(preload_obstacle(kPrograms + "/no_loader"), "");
}

TEST(Preload, OursFirstButForSanitizers) {
  const std::vector<std::string> ours = {kRuntimeLibrary, kDriverLibrary};
  EXPECT_EQ(preload_value("", "/l", ours), "/l/libcudart.so.13:/l/libcuda.so.1");
  EXPECT_EQ(preload_value("/x/libjemalloc.so", "/l", ours),
            "/l/libcudart.so.13:/l/libcuda.so.1:/x/libjemalloc.so");
  EXPECT_EQ(preload_value("/a/b.so /usr/lib/libasan.so.8:/c.so", "/l", ours),
            "/usr/lib/libasan.so.8:/l/libcudart.so.13:/l/libcuda.so.1:/a/b.so:/c.so");
  const std::string once = preload_value("libtsan.so.2", "/l", ours);
  EXPECT_EQ(preload_value(once, "/l", ours), once);
  EXPECT_EQ(preload_value("/l/libfarlane_open.so:/ll/a.so", "/l", ours),
            "/l/libcudart.so.13:/l/libcuda.so.1:/ll/a.so");
}

TEST(Preload, EveryFacadeOfTheFolder) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("farlane-facades-" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  for (const char* name :
       {"libcuda.so", "libcuda.so.1", "libcublas.so.13", "libcudart.so.13", "libfarlane_core.so",
        "libsoftcuda.so", "libnvidia-ml.so.1", "notes.so.1", "libold.so.1.2"}) {
    std::ofstream(folder / name) << "";
  }
  EXPECT_EQ(facade_libraries(folder.string()),
            (std::vector<std::string>{"libcudart.so.13", "libcuda.so.1", "libcublas.so.13",
                                      "libnvidia-ml.so.1"}));
  std::filesystem::remove_all(folder);
}

TEST(Preload, LibraryPath) {
  EXPECT_EQ(library_path_value("", "/l"), "/l");
  EXPECT_EQ(library_path_value("/a::/b:", "/l"), "/l:/a:/b");
  EXPECT_EQ(library_path_value("/a:/l", "/l"), "/l:/a");
}

}  // namespace
}  // namespace farlane::cli
