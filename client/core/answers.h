// Answers of a library that never change, by everything that they depend on. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <shared_mutex>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

namespace farlane::client {

class Answers {
 public:
  struct Answer {
    int64_t status = 0;
    std::vector<std::byte> results;
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
  bool keep(const std::string& key, int64_t status, std::span<const std::byte> results) {
    const size_t bytes = kEntryBytes + key.size() + results.size();
    const std::lock_guard lock(mutex_);
    if (bytes > bytes_max_ || by_key_.contains(key)) {
      return false;
    }
    if (bytes > bytes_max_ - bytes_) {
      by_key_.clear();
      bytes_ = 0;
    }
    bytes_ += bytes;
    by_key_.emplace(key, Answer{status, {results.begin(), results.end()}});
    return true;
  }

  size_t bytes() const {
    const std::shared_lock lock(mutex_);
    return bytes_;
  }

 private:
  // What an entry takes beside its key and results: a node, two heap blocks' ends, a bucket.
  static constexpr size_t kEntryBytes = 128;

  const size_t bytes_max_;
  mutable std::shared_mutex mutex_;
  std::unordered_map<std::string, Answer> by_key_;  // guarded by mutex_
  size_t bytes_ = 0;                                // guarded by mutex_
};

}  // namespace farlane::client
