#include "client/cli/program_check.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string_view>

#include "client/cli/elf_file.h"
#include "client/cli/fatbin_check.h"

namespace farlane::cli {
namespace {

namespace fs = std::filesystem;

// Loading a large application touches a few hundred libraries.
constexpr size_t kLibrariesMax = 2000;

// Where the loader looks when nothing else is said; Debian's and Ubuntu's folders.
constexpr std::array kSystemFolders = {"/lib/x86_64-linux-gnu",
                                       "/usr/lib/x86_64-linux-gnu",
                                       "/lib/aarch64-linux-gnu",
                                       "/usr/lib/aarch64-linux-gnu",
                                       "/lib64",
                                       "/usr/lib64",
                                       "/lib",
                                       "/usr/lib",
                                       "/usr/local/lib",
                                       "/usr/local/cuda/lib64"};

// The vendor's libraries that a program may need, by the start of their names.
constexpr std::array kCudaLibraries = {
    "libcudart.", "libcuda.",      "libcublas",    "libcudnn",  "libcufft",
    "libcurand",  "libcusparse",   "libcusolver",  "libnccl.",  "libnvrtc",
    "libcupti.",  "libnvidia-ml.", "libnvjitlink", "libcufile", "libnpp",
    "libnvjpeg",  "libnvshmem",    "libcutensor",  "libcudss",  "libnvToolsExt.",
    "libnvinfer", "libcudadevrt.", "libnvJitLink", "libnvblas"};
// Of these, the ones that need no GPU: compilers and markers, which run where the program runs.
constexpr std::array kHostOnlyLibraries = {"libnvrtc", "libnvJitLink", "libnvjitlink",
                                           "libnvToolsExt."};

bool starts_with_any(std::string_view name, auto const& prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const char* prefix) { return name.starts_with(prefix); });
}

std::vector<std::string> split_path(const std::string& text) {
  std::vector<std::string> parts;
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = std::min(text.find(':', begin), text.size());
    if (end > begin) parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

bool carries_static_runtime(const ElfFile& file) {
  // The runtime names its shared memory so; the text survives `strip`.
  return file.section_holds(".rodata", "/cudart.shm.") || file.defines("__cudaRegisterFatBinary");
}

bool has_device_code(const ElfFile& file) {
  return file.section(".nv_fatbin") != nullptr || file.section("__nv_relfatbin") != nullptr;
}

// The interpreter line of a script; empty if it is none.
std::string script_interpreter(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::array<char, 256> start{};
  in.read(start.data(), start.size() - 1);
  const std::string_view text(start.data(), static_cast<size_t>(in.gcount()));
  if (!text.starts_with("#!")) return {};
  std::string line(text.substr(2, text.find('\n') - 2));
  line.erase(0, line.find_first_not_of(' '));
  return line;
}

// Why the loader would ignore preloaded libraries for the program; empty if it would not.
std::string privileges(const std::string& path, const struct stat& facts) {
  if ((facts.st_mode & (S_ISUID | S_ISGID)) != 0) {
    return fmt::format(
        "{} is set-user-id or set-group-id: the loader ignores preloaded libraries for it", path);
  }
  if (::getxattr(path.c_str(), "security.capability", nullptr, 0) > 0) {
    return fmt::format(
        "{} has file capabilities (getcap): the loader ignores preloaded libraries for it", path);
  }
  return {};
}

// The loaded files of a program: itself and, through NEEDED, its libraries.
class Loaded {
 public:
  explicit Loaded(const ProgramCheckInput& input) : input_(input) {}

  struct Object {
    std::string path;
    std::unique_ptr<ElfFile> file;
  };

  void add(const std::string& path, std::unique_ptr<ElfFile> file) {
    std::vector<std::string> inherited =
        file->runpath().empty() ? file->rpath() : std::vector<std::string>{};
    expand(&inherited, path);
    program_rpath_ = inherited;
    objects_.push_back({path, std::move(file)});
    // By index: the vector grows while it is walked.
    for (size_t i = 0; i < objects_.size() && objects_.size() < kLibrariesMax; ++i) {
      for (const std::string& name : objects_[i].file->needed()) follow(name, objects_[i]);
    }
  }

  const std::vector<Object>& objects() const { return objects_; }
  // Every library name that anything needs, and who needs it first.
  const std::map<std::string, std::string>& needed() const { return needed_; }
  const std::set<std::string>& missing() const { return missing_; }

 private:
  static void expand(std::vector<std::string>* folders, const std::string& path) {
    const std::string origin = fs::path(path).parent_path().string();
    for (std::string& folder : *folders) {
      for (const char* name : {"$ORIGIN", "${ORIGIN}"}) {
        const size_t at = folder.find(name);
        if (at != std::string::npos) folder.replace(at, std::string_view(name).size(), origin);
      }
    }
  }

  void follow(const std::string& name, const Object& user) {
    const std::string user_path = user.path;
    if (!needed_.emplace(name, user_path).second) return;
    std::vector<std::string> rpath =
        user.file->runpath().empty() ? user.file->rpath() : std::vector<std::string>{};
    std::vector<std::string> runpath = user.file->runpath();
    expand(&rpath, user_path);
    expand(&runpath, user_path);
    std::vector<std::string> folders = std::move(rpath);
    folders.insert(folders.end(), program_rpath_.begin(), program_rpath_.end());
    for (std::string& folder : split_path(input_.library_path_variable)) {
      folders.push_back(std::move(folder));
    }
    folders.insert(folders.end(), runpath.begin(), runpath.end());
    folders.insert(folders.end(), kSystemFolders.begin(), kSystemFolders.end());
    for (const std::string& folder : folders) {
      const std::string path = folder + "/" + name;
      bool is_elf = false;
      std::string error;
      std::unique_ptr<ElfFile> file = ElfFile::open(path, &is_elf, &error);
      if (file != nullptr && file->native()) {
        // The vendor's own libraries carry a private runtime; they are judged by name.
        if (!starts_with_any(name, kCudaLibraries)) objects_.push_back({path, std::move(file)});
        return;
      }
    }
    missing_.insert(name);
  }

  const ProgramCheckInput& input_;
  std::vector<std::string> program_rpath_;
  std::vector<Object> objects_;
  std::map<std::string, std::string> needed_;
  std::set<std::string> missing_;
};

void check_runtime(const Loaded& loaded, Findings* findings) {
  bool shared = false;
  for (const auto& [name, user] : loaded.needed()) {
    if (name == "libcudart.so.13") {
      shared = true;
      findings->fine(
          fmt::format("{} links the CUDA 13 runtime dynamically: Farlane's takes its place", user));
    } else if (name.starts_with("libcudart.so.")) {
      findings->problem(fmt::format(
          "{} needs {}: only CUDA 13 programs run so far. Rebuild it with CUDA 13", user, name));
    }
  }
  bool any_static = false;
  bool any_device_code = false;
  for (const Loaded::Object& object : loaded.objects()) {
    any_device_code |= has_device_code(*object.file);
    if (!carries_static_runtime(*object.file)) continue;
    any_static = true;
    findings->problem(
        fmt::format("{} carries the CUDA runtime statically, as nvcc links it unless told "
                    "otherwise, so Farlane cannot take its place. Relink with: nvcc -cudart "
                    "shared (CMake: set(CMAKE_CUDA_RUNTIME_LIBRARY Shared))",
                    object.path));
  }
  const bool driver = std::any_of(loaded.needed().begin(), loaded.needed().end(),
                                  [](const auto& n) { return n.first == "libcuda.so.1"; });
  if (driver) findings->fine("it uses the CUDA driver API: Farlane's libcuda.so.1 takes its place");
  if (!shared && !any_static && !driver) {
    if (any_device_code) {
      findings->problem(
          "it has device code but links no CUDA runtime that could be found; if it loads one by "
          "itself, try it");
    } else {
      findings->note(
          "neither it nor its libraries link CUDA; if it loads CUDA while it runs (as Python "
          "does), check those libraries by themselves: farlane doctor LIBRARY.so");
    }
  }
}

void check_cuda_libraries(const Loaded& loaded, const ProgramCheckInput& input,
                          Findings* findings) {
  for (const auto& [name, user] : loaded.needed()) {
    if (name.starts_with("libcudart.") || name == "libcuda.so.1" ||
        !starts_with_any(name, kCudaLibraries)) {
      continue;
    }
    if (::access((input.library_folder + "/" + name).c_str(), R_OK) == 0) {
      findings->fine(fmt::format("{} needs {}: Farlane has it", user, name));
    } else if (starts_with_any(name, kHostOnlyLibraries)) {
      findings->fine(
          fmt::format("{} needs {}, which needs no GPU: it runs on this machine", user, name));
    } else {
      findings->problem(fmt::format(
          "{} needs {}, which Farlane does not forward yet: calls to it would look for a GPU in "
          "this machine and fail",
          user, name));
    }
  }
  for (const std::string& name : loaded.missing()) {
    // Ours are found through LD_LIBRARY_PATH, which `farlane run` sets.
    if (::access((input.library_folder + "/" + name).c_str(), R_OK) == 0) continue;
    if (name.starts_with("libcuda.") || name.starts_with("libcudart.")) continue;
    findings->note(fmt::format("{} was not found in the usual folders; {} needs it", name,
                               loaded.needed().at(name)));
  }
}

void check_device_code(const Loaded& loaded, const ProgramCheckInput& input, Findings* findings) {
  for (const Loaded::Object& object : loaded.objects()) {
    if (has_device_code(*object.file)) {
      check_fatbin(object.path, *object.file, input.device, findings);
    }
  }
}

}  // namespace

std::string find_program(const std::string& program, const std::string& path_variable) {
  if (program.find('/') != std::string::npos) {
    return ::access(program.c_str(), F_OK) == 0 ? program : std::string{};
  }
  for (const std::string& folder : split_path(path_variable)) {
    std::string path = folder + "/" + program;
    if (::access(path.c_str(), X_OK) == 0 && fs::is_regular_file(path)) return path;
  }
  return {};
}

std::string preload_obstacle(const std::string& path) {
  struct stat facts {};
  if (::stat(path.c_str(), &facts) == 0 && ::geteuid() != 0) {
    if (std::string why = privileges(path, facts); !why.empty()) return why;
  }
  bool is_elf = false;
  std::string error;
  const std::unique_ptr<ElfFile> file = ElfFile::open(path, &is_elf, &error);
  if (file == nullptr || !file->native()) return {};
  if (!file->has_interpreter()) {
    return fmt::format("{} is linked statically as a whole: libraries cannot be preloaded into it",
                       path);
  }
  if (carries_static_runtime(*file)) {
    return fmt::format(
        "{} carries the CUDA runtime statically, so it will not use Farlane's. Relink with nvcc "
        "-cudart shared",
        path);
  }
  return {};
}

Findings check_program(const ProgramCheckInput& input) {
  Findings findings;
  const std::string path = find_program(input.program, input.path_variable);
  if (path.empty()) {
    findings.problem(input.program.find('/') == std::string::npos
                         ? fmt::format("there is no program {} in PATH", input.program)
                         : fmt::format("there is no file {}", input.program));
    return findings;
  }
  const bool library = fs::path(path).filename().string().find(".so") != std::string::npos;
  struct stat facts {};
  if (::stat(path.c_str(), &facts) != 0 || !S_ISREG(facts.st_mode)) {
    findings.problem(fmt::format("{} is not a regular file", path));
    return findings;
  }
  if (!library && (facts.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)) == 0) {
    findings.problem(fmt::format("{} is not executable: chmod +x {}", path, path));
  }
  if (const std::string why = privileges(path, facts); !why.empty()) {
    findings.problem(why + ". Run a copy without");
  }

  const std::string interpreter = script_interpreter(path);
  if (!interpreter.empty()) {
    findings.note(fmt::format(
        "{} is a script for {}: Farlane's libraries are preloaded into it and into every program "
        "it starts. Check those by themselves",
        path, interpreter));
    return findings;
  }

  bool is_elf = false;
  std::string error;
  std::unique_ptr<ElfFile> file = ElfFile::open(path, &is_elf, &error);
  if (file == nullptr) {
    findings.problem(error);
    return findings;
  }
  if (!file->native()) {
    findings.problem(fmt::format("{} is a program for another kind of machine", path));
    return findings;
  }
  if (!library && !file->has_interpreter()) {
    findings.problem(fmt::format(
        "{} is linked statically as a whole: libraries cannot be preloaded into it. Relink without "
        "-static",
        path));
  }
  Loaded loaded(input);
  loaded.add(path, std::move(file));
  check_runtime(loaded, &findings);
  check_cuda_libraries(loaded, input, &findings);
  check_device_code(loaded, input, &findings);
  return findings;
}

}  // namespace farlane::cli
