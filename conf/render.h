// A table as text for people: documentation, example file, command-line help, effective values.
#pragma once

#include <string>

#include "conf/load.h"

namespace farlane::conf {

// "--heartbeat-ms", made from the environment name.
std::string option_name(const Table& table, const Setting& setting);
// The help text with default and range.
std::string option_help(const Table& table, const Setting& setting);
// "TEXT", "BOOL", "INT", "BYTES", "ADDRESS".
std::string kind_name(const Setting& setting);

// A commented example file: every setting with its help, at its default, commented out.
std::string example_file(const Table& table);
// A chapter of docs/configuration.md.
std::string markdown(const Table& table);
// The whole of docs/configuration.md.
std::string configuration_page();
// One line per setting: key, value, where it came from.
std::string effective_values(const Table& table, const void* settings, const Origins& origins);

// Breaks text into lines of at most `columns`, each starting with `prefix`.
std::string wrapped(std::string_view text, std::string_view prefix, size_t columns);

}  // namespace farlane::conf
