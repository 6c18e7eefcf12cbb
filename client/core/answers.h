// Answers of a library that never change, by everything that they depend on. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace farlane::client {

// Whether a byte of an answer was written, or is what was in its place before. Where the two are
// the same by chance nobody can tell.
enum class Written : uint8_t { kYes, kNo, kUnknown };

class Answers {
 public:
  struct Answer {
    int64_t status = 0;
    std::vector<std::byte> results;
    // Of each byte of the results whether the library wrote it; empty: all of them.
    std::vector<Written> written;
  };

  explicit Answers(size_t bytes_max) : bytes_max_(bytes_max) {}

  bool find(const std::string& key, Answer* answer) const {
    const std::shared_lock lock(mutex_);
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) {
      return false;
    }
    *answer = found->second;
    return true;
  }

  // When there is no more room all are forgotten: a program that asks so many different questions
  // asks some of them again. Returns whether it is kept and was not before.
  bool keep(const std::string& key, Answer answer) {
    const std::lock_guard lock(mutex_);
    return !by_key_.contains(key) && put(key, std::move(answer));
  }
  // The same, instead of what is known.
  void replace(const std::string& key, Answer answer) {
    const std::lock_guard lock(mutex_);
    if (const auto found = by_key_.find(key); found != by_key_.end()) {
      bytes_ -= bytes_of(key, found->second);
      by_key_.erase(found);
    }
    put(key, std::move(answer));
  }

  size_t bytes() const {
    const std::shared_lock lock(mutex_);
    return bytes_;
  }

 private:
  static size_t bytes_of(const std::string& key, const Answer& answer) {
    return kEntryBytes + key.size() + answer.results.size() + answer.written.size();
  }
  // With the lock.
  bool put(const std::string& key, Answer answer) {
    const size_t bytes = bytes_of(key, answer);
    if (bytes > bytes_max_) {
      return false;
    }
    if (bytes > bytes_max_ - bytes_) {
      by_key_.clear();
      bytes_ = 0;
    }
    bytes_ += bytes;
    by_key_.emplace(key, std::move(answer));
    return true;
  }

  // What an entry takes beside its key and results: a node, two heap blocks' ends, a bucket.
  static constexpr size_t kEntryBytes = 128;

  const size_t bytes_max_;
  mutable std::shared_mutex mutex_;
  std::unordered_map<std::string, Answer> by_key_;  // guarded by mutex_
  size_t bytes_ = 0;                                // guarded by mutex_
};

}  // namespace farlane::client
