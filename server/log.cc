#include "server/log.h"

#include <fcntl.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <mutex>

namespace farlane::server {

namespace {

// Whole lines in one write, so that those of several processes do not mix.
class FdSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit FdSink(int fd) : fd_(fd) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    static_cast<void>(!::write(fd_, line.data(), line.size()));
  }
  void flush_() override {}

  const int fd_;
};

}  // namespace

bool start_log(const ServerSettings& settings, int fd, const std::string& who, std::string* error) {
  if (!settings.log_file.empty()) {
    fd = ::open(settings.log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0) {
      *error = "cannot open the log file " + settings.log_file + ": " + std::strerror(errno) +
               " (setting log.file)";
      return false;
    }
  }
  auto logger = std::make_shared<spdlog::logger>(who, std::make_shared<FdSink>(fd));
  logger->set_pattern("%Y-%m-%d %H:%M:%S.%e [%l] %n: %v");
  logger->set_level(spdlog::level::from_str(settings.log_level));
  spdlog::set_default_logger(std::move(logger));
  return true;
}

}  // namespace farlane::server
