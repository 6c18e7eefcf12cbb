// Reads a TOML file into the rows of a table. The one place that knows toml++.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "conf/table.h"

namespace farlane::conf {

struct FileValue {
  size_t row;  // in Table::settings
  std::string text;
  uint32_t line;
};

// Every key of the file has a row, and its value the row's TOML type; ranges are the caller's to
// check. False: `*error` names file, line, key and what to do.
[[nodiscard]] bool read_toml_file(const Table& table, const std::string& file,
                                  std::vector<FileValue>* values, std::string* error);

}  // namespace farlane::conf
