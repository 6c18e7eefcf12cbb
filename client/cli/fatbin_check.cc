#include "client/cli/fatbin_check.h"

#include <fmt/format.h>
#include <string.h>

#include <algorithm>
#include <set>
#include <span>
#include <string_view>
#include <vector>

#include "client/cli/program_check.h"
#include "protocol/codec/fatbin.h"

namespace farlane::cli {
namespace {

std::string arch_list(const char* prefix, const std::set<std::pair<uint32_t, char>>& archs) {
  std::string text;
  for (const auto& [arch, suffix] : archs) {
    if (!text.empty()) text += ", ";
    text += fmt::format("{}_{}", prefix, arch);
    if (suffix != '\0') text += suffix;
  }
  return text;
}

// Whether an image holds kernels or functions. nvcc's link step adds images that hold none and that
// nobody ever loads; what does not unpack counts as code, to be on the safe side.
bool has_code(const codec::FatbinMember& member, const codec::FatbinLimits& limits) {
  std::vector<std::byte> image;
  std::string error;
  if (member.kind == codec::FatbinKind::kOther) return false;
  if (!codec::unpack_member(member, limits, &image, &error)) return true;
  const auto holds = [&](std::string_view text) {
    return ::memmem(image.data(), image.size(), text.data(), text.size()) != nullptr;
  };
  // A cubin has one section per function, named so; PTX is text.
  return member.kind == codec::FatbinKind::kElf ? holds(".text.")
                                                : holds(".entry") || holds(".func");
}

// One translation unit's images: the device runs one of them.
bool runs_on(std::span<const codec::FatbinMember> members, const DeviceAbility& device) {
  for (const codec::FatbinMember& member : members) {
    switch (member.kind) {
      case codec::FatbinKind::kPtx:
        if (member.arch <= device.arch &&
            (member.arch_suffix == '\0' || member.arch == device.arch)) {
          return true;
        }
        break;
      case codec::FatbinKind::kElf:
        // Machine code runs on its own major generation, from its minor number on.
        if (!device.ptx_only && member.arch / 10 == device.arch / 10 &&
            member.arch <= device.arch &&
            (member.arch_suffix != 'a' || member.arch == device.arch)) {
          return true;
        }
        break;
      case codec::FatbinKind::kOther:
        break;
    }
  }
  return false;
}

}  // namespace

void check_fatbin(const std::string& path, const ElfFile& file,
                  const std::optional<DeviceAbility>& device, Findings* findings) {
  const codec::FatbinLimits limits;
  std::set<std::pair<uint32_t, char>> ptx;
  std::set<std::pair<uint32_t, char>> machine_code;
  size_t containers = 0;
  size_t runnable = 0;
  for (const char* name : {".nv_fatbin", "__nv_relfatbin"}) {
    const ElfSection* const section = file.section(name);
    if (section == nullptr || section->bytes == 0) continue;
    const std::vector<std::byte> bytes = file.contents(*section, limits.container_bytes_max);
    if (bytes.empty()) {
      findings->note(fmt::format("{}: its device code ({} bytes) is too large to look through",
                                 path, section->bytes));
      return;
    }
    std::span<const std::byte> left = bytes;
    while (!left.empty()) {
      if (left.front() == std::byte{0}) {  // padding between containers
        left = left.subspan(1);
        continue;
      }
      const std::optional<uint64_t> claimed = codec::fatbin_bytes(left, limits);
      std::vector<codec::FatbinMember> members;
      std::string error = "it is not a fat binary";
      if (!claimed || *claimed > left.size() ||
          !codec::parse_fatbin(left.first(*claimed), limits, &members, &error)) {
        findings->problem(fmt::format("{}: its device code cannot be read: {}", path, error));
        return;
      }
      left = left.subspan(*claimed);
      const auto empty = [&](const codec::FatbinMember& member) {
        return !has_code(member, limits);
      };
      if (std::all_of(members.begin(), members.end(), empty)) continue;
      ++containers;
      for (const codec::FatbinMember& member : members) {
        if (member.kind == codec::FatbinKind::kPtx) ptx.emplace(member.arch, member.arch_suffix);
        if (member.kind == codec::FatbinKind::kElf) {
          machine_code.emplace(member.arch, member.arch_suffix);
        }
      }
      if (device && runs_on(members, *device)) ++runnable;
    }
  }
  if (containers == 0) return;

  const std::string code =
      fmt::format("{} has device code: {}; {}", path,
                  machine_code.empty() ? "no machine code" : arch_list("sm", machine_code),
                  ptx.empty() ? "no PTX" : "PTX for " + arch_list("compute", ptx));
  if (!device) {
    findings->note(code + (ptx.empty()
                               ? ". Without PTX it runs only on GPUs of those generations, "
                                 "and not on the software device"
                               : ". Whether the server can run it is not known without one"));
  } else if (runnable == containers) {
    findings->fine(fmt::format("{}: the server's {} can run it", code, device->name));
  } else if (device->ptx_only) {
    findings->problem(fmt::format(
        "{}: the server's {} runs only PTX for compute_{} or lower, and {} of {} parts have none. "
        "Build with: nvcc -gencode arch=compute_75,code=compute_75",
        code, device->name, device->arch, containers - runnable, containers));
  } else {
    findings->problem(fmt::format(
        "{}: the server's {} (sm_{}) can run none of the images of {} of {} parts. Build with: "
        "nvcc -gencode arch=compute_{},code=sm_{}",
        code, device->name, device->arch, containers - runnable, containers, device->arch,
        device->arch));
  }
}

}  // namespace farlane::cli
