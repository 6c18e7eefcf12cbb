// A list that is mostly short: the first items need no memory of their own.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <type_traits>
#include <vector>

namespace farlane::client {

template <class T, size_t kFew>
class Few {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Few() {}
  const T* begin() const { return many_.empty() ? few_.data() : many_.data(); }
  const T* end() const { return begin() + size_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  void push_back(const T& item) { append({&item, 1}); }
  void append(std::span<const T> items) {
    if (many_.empty() && size_ + items.size() <= kFew) {
      std::copy(items.begin(), items.end(), few_.begin() + size_);
    } else {
      if (many_.empty()) many_.assign(few_.begin(), few_.begin() + size_);
      many_.insert(many_.end(), items.begin(), items.end());
    }
    size_ += items.size();
  }
  // Each only once.
  void add(const T& item) {
    if (std::find(begin(), end(), item) == end()) push_back(item);
  }

 private:
  // Only the first size_ are ever read, and nothing writes the others.
  union {
    std::array<T, kFew> few_;
  };
  std::vector<T> many_;  // instead of few_, once that is too small
  size_t size_ = 0;
};

}  // namespace farlane::client
