#include "client/core/log_line.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <mutex>
#include <set>

namespace farlane::client {
namespace {

std::atomic<int> g_fd = 2;
std::atomic<LogLevel> g_level = LogLevel::kWarning;

const char* name_of(LogLevel level) {
  switch (level) {
    case LogLevel::kError:
      return "error";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kDebug:
      return "debug";
  }
  return "?";
}

}  // namespace

void log_open(std::string_view level_name, const std::string& path) {
  for (LogLevel level : {LogLevel::kError, LogLevel::kWarning, LogLevel::kInfo, LogLevel::kDebug}) {
    if (level_name == name_of(level)) {
      g_level = level;
    }
  }
  if (!path.empty()) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd >= 0) {
      g_fd = fd;
    }
  }
}

void log_line(LogLevel level, std::string_view text) {
  if (level > g_level.load(std::memory_order_relaxed)) {
    return;
  }
  // One write, so that lines of several threads and processes do not mix.
  std::string line = "farlane: ";
  line += name_of(level);
  line += ": ";
  line += text;
  line += '\n';
  log_text(line);
}

void log_text(std::string_view text) {
  [[maybe_unused]] const ssize_t written = ::write(g_fd, text.data(), text.size());
}

const char* kept_text(const std::string& text) {
  static std::mutex mutex;
  static std::set<std::string>* const kept = new std::set<std::string>;
  const std::lock_guard lock(mutex);
  return kept->insert(text).first->c_str();
}

}  // namespace farlane::client
