// The client's own log: single lines, to stderr or the file that the settings name. It is somebody
// else's process, so there is no logging library in it and nothing is written at level info or
// below unless asked.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace farlane::client {

enum class LogLevel : uint8_t { kError, kWarning, kInfo, kDebug };

// Thread-safe; to be called before the first log_line. An unknown level name means warning; an
// unwritable file means stderr. Empty path: stderr.
void log_open(std::string_view level_name, const std::string& path);
void log_line(LogLevel level, std::string_view text);
// As it is, whatever the level.
void log_text(std::string_view text);
// For texts that programs get a pointer to: never freed, and equal ones are one.
const char* kept_text(const std::string& text);

}  // namespace farlane::client
