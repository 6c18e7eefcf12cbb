#include "server/output_capture.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

// Present only in a program built with a sanitizer.
extern "C" __attribute__((weak)) void __sanitizer_set_report_fd(void* fd);

namespace farlane::server {

void OutputCapture::send_reports_to_log() {
  if (__sanitizer_set_report_fd != nullptr) {
    __sanitizer_set_report_fd(reinterpret_cast<void*>(static_cast<intptr_t>(log_fd())));
  }
}

std::unique_ptr<OutputCapture> OutputCapture::start(std::string* error) {
  std::unique_ptr<OutputCapture> capture(new OutputCapture());
  const auto failed = [&] {
    *error = std::string("cannot capture device output: ") + std::strerror(errno);
    return nullptr;
  };
  capture->kept_ = KeptText::make(error);
  if (capture->kept_ == nullptr) return nullptr;
  std::array<int, 2> stop{};
  if (::pipe2(stop.data(), O_CLOEXEC) != 0) return failed();
  capture->stop_read_ = transport::Fd(stop[0]);
  capture->stop_write_ = transport::Fd(stop[1]);
  std::fflush(stdout);
  std::fflush(stderr);
  for (int i = 0; i < 2; ++i) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return failed();
    capture->read_[i] = transport::Fd(ends[0]);
    const transport::Fd write(ends[1]);
    ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
    capture->saved_[i] = transport::Fd(::fcntl(i + 1, F_DUPFD_CLOEXEC, 3));
    if (capture->saved_[i].get() < 0 || ::dup2(write.get(), i + 1) < 0) return failed();
  }
  capture->thread_ = std::thread([raw = capture.get()] { raw->run(); });
  return capture;
}

OutputCapture::~OutputCapture() {
  std::fflush(stdout);
  std::fflush(stderr);
  for (int i = 0; i < 2; ++i) {
    if (saved_[i].get() >= 0) ::dup2(saved_[i].get(), i + 1);
  }
  if (thread_.joinable()) {
    stop_write_ = transport::Fd();
    thread_.join();
  }
}

// Keeps the pipes from filling up, which would block the driver in the middle of a write.
void OutputCapture::run() {
  std::array<pollfd, 3> fds{pollfd{read_[0].get(), POLLIN, 0}, pollfd{read_[1].get(), POLLIN, 0},
                            pollfd{stop_read_.get(), POLLIN, 0}};
  for (;;) {
    if (::poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) return;
    if (fds[2].revents != 0) return;
    // Nobody writes any more: fd 1 and 2 were closed by somebody else.
    for (int i = 0; i < 2; ++i) {
      if ((fds[i].revents & (POLLHUP | POLLERR)) != 0 && (fds[i].revents & POLLIN) == 0) {
        fds[i].fd = -1;
      }
    }
    const std::scoped_lock lock(mutex_);
    drain();
  }
}

void OutputCapture::add(int i, std::span<const char> text) {
  const size_t taken = std::min(text.size(), kTextBytesMax - text_[i].size());
  text_[i].append(text.data(), taken);
  dropped_bytes_[i] += text.size() - taken;
}

void OutputCapture::drain() {
  std::array<char, 16 * 1024> buffer;
  for (int i = 0; i < 2; ++i) {
    for (;;) {
      std::span<const char> text(buffer);
      const ssize_t count = i == 1 ? kept_->read_from(read_[i].get(), &text)
                                   : ::read(read_[i].get(), buffer.data(), buffer.size());
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) break;
      add(i, text.first(static_cast<size_t>(count)));
    }
  }
}

void OutputCapture::take(std::string* out, std::string* err) {
  const std::scoped_lock lock(mutex_);
  drain();
  std::string* const to[] = {out, err};
  for (int i = 0; i < 2; ++i) {
    *to[i] = std::move(text_[i]);
    text_[i].clear();
    if (dropped_bytes_[i] != 0) {
      *to[i] += fmt::format("\n[farlane: {} bytes of device output were dropped here]\n",
                            dropped_bytes_[i]);
      dropped_bytes_[i] = 0;
    }
  }
}

}  // namespace farlane::server
