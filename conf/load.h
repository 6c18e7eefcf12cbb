// Fills a settings struct: defaults, then the file, then the environment, then the command line.
// Nothing here throws; every failure is one sentence that names the place, the setting and its
// limit.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "conf/table.h"

namespace farlane::conf {

// Looks a variable up; null if it is not set. Tests give their own.
using Environment = std::function<const char*(const char* name)>;
Environment process_environment();

// Where a value came from, for people: "default", "client.toml:7", "FARLANE_SERVER", "--server".
using Origins = std::vector<std::string>;  // one per row of the table

// A value given on the command line.
struct Override {
  std::string key;
  std::string value;
  std::string where;  // "--listen"
};

struct Sources {
  std::string file;  // empty: none. Must be readable otherwise.
  Environment environment;
  std::vector<Override> overrides;
};

// `settings` is the struct the table describes; on failure its contents are unspecified. `origins`
// may be null.
[[nodiscard]] bool load(const Table& table, const Sources& sources, void* settings,
                        Origins* origins, std::string* error);

// One value as text, in the form that a file or the environment would hold it.
std::string value_text(const Setting& setting, const void* settings);
// "1 to 600000", "1KiB to 8MiB", "one of off, error"; empty when anything goes.
std::string range_text(const Setting& setting);
// Sets one value from text. `where` starts the error message.
[[nodiscard]] bool set_from_text(const Setting& setting, std::string_view text,
                                 std::string_view where, void* settings, std::string* error);
// The row with this key; null if there is none.
const Setting* find(const Table& table, std::string_view key);

// Parts that tests want to see by themselves.
[[nodiscard]] bool parse_bytes(std::string_view text, int64_t* bytes);
std::string bytes_text(int64_t bytes);
size_t edit_distance(std::string_view a, std::string_view b);
// The known key that a mistyped one was probably meant to be.
std::string nearest_key(const Table& table, std::string_view key);
// The known environment variable that this name was probably meant to be.
std::string nearest_environment(const Table& table, std::string_view name);

}  // namespace farlane::conf
