// Which devices can run the device code in a file?
#pragma once

#include <optional>
#include <string>

#include "client/cli/elf_file.h"
#include "client/cli/findings.h"

namespace farlane::cli {

struct DeviceAbility;

void check_fatbin(const std::string& path, const ElfFile& file,
                  const std::optional<DeviceAbility>& device, Findings* findings);

}  // namespace farlane::cli
