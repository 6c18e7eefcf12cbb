// What the subcommands that print tables share, and the same as JSON.
#pragma once

#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "bench/compare.h"
#include "bench/runner.h"

namespace farlane::bench {

// The server that the options name, or one of its own; with a message and nothing if there is none.
std::optional<std::string> server_for(const CompareOptions& options, OwnServer* own,
                                      const Command& more_options = {});

// What was not measured is not a number: "-".
std::string cell(std::optional<double> value, int decimals);
// The median of what was measured under this name.
std::optional<double> measured(const Samples& samples, const std::string& name);

// A name, then cells, right-aligned in columns of the same width.
void print_row(const std::string& name, int name_width, const std::vector<std::string>& cells,
               int cell_width);

// The members of a JSON object that say where and how figures were measured, without its braces.
void write_json_circumstances(std::ostream& json, const std::string& server, int runs,
                              const Raw& raw);
// "name": value, or nothing for what was not measured.
void write_json_number(std::ostream& json, const char* name, std::optional<double> value);
// False, with a message, if the file did not take it.
bool finish_json(std::ostream& json, const std::string& file);

}  // namespace farlane::bench
