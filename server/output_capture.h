// Catches what is written to this process's fd 1 and 2: device printf and assert text comes out of
// the driver there.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "server/last_words.h"
#include "server/output_source.h"
#include "transport/fd.h"

namespace farlane::server {

class OutputCapture final : public OutputSource {
 public:
  // More than this is dropped, with a note, until the client takes it. Bytes of each.
  static constexpr size_t kTextBytesMax = 16u << 20;

  // Null with *error when there are no descriptors left.
  static std::unique_ptr<OutputCapture> start(std::string* error);
  // Puts the old fd 1 and 2 back.
  ~OutputCapture() override;

  void take(std::string* out, std::string* err) override;
  // The process's own standard error as it was before: for the log.
  int log_fd() const { return saved_[1].get(); }
  // What is written to fd 2 is kept here as well; whoever holds both descriptors has it when this
  // process is dead.
  int error_pipe() const { return read_[1].get(); }
  int error_memory() const { return kept_->fd(); }
  // From here on a sanitizer's reports about this process go to the log.
  void send_reports_to_log();

 private:
  OutputCapture() = default;
  void drain();  // with the lock
  void add(int i, std::span<const char> text);
  void run();

  transport::Fd saved_[2];
  transport::Fd read_[2];
  transport::Fd stop_read_;
  transport::Fd stop_write_;
  std::mutex mutex_;
  std::unique_ptr<KeptText> kept_;  // guarded by mutex_
  std::string text_[2];             // guarded by mutex_
  size_t dropped_bytes_[2] = {};    // guarded by mutex_
  std::thread thread_;
};

}  // namespace farlane::server
