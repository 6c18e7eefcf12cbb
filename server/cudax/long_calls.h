// Library calls whose arguments or results are longer than one record: the arguments come before
// the call in pieces, the results are fetched after it.
//
// Calls are told apart by numbers of the client's, so that several threads' may come mixed, and one
// that has to wait keeps its arguments meanwhile. What a client may have here at once is limited
// (limits.h): pieces that no call uses, and results that nobody fetches, cost no more than that.
//
// Executor's thread only. Functions that return a text say what the peer got wrong; empty: nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

namespace farlane::server::cudax {

class LongCalls {
 public:
  struct Limits {
    size_t bytes = 0;  // of arguments, and as many of results
    size_t calls = 0;
  };
  explicit LongCalls(const Limits& limits) : limits_(limits) {}
  LongCalls(const LongCalls&) = delete;

  // The next piece of a call's arguments, which are `total` bytes.
  std::string add(uint64_t call, uint64_t total, std::span<const std::byte> piece);
  // All of them, aligned to 8, until they are dropped.
  std::string arguments(uint64_t call, std::span<const std::byte>* all) const;
  void drop(uint64_t call);

  // What comes behind the first `sent` bytes is kept; nothing, where that is all.
  std::string keep(uint64_t call, std::vector<std::byte> results, size_t sent);
  // The next of them, `bytes_max` at most, until this is called again. Those behind the last are
  // gone.
  std::string next(uint64_t call, size_t bytes_max, std::span<const std::byte>* some);

  // Bytes here now.
  size_t argument_bytes() const { return argument_bytes_; }
  size_t result_bytes() const { return result_bytes_; }

 private:
  struct Pieces {
    std::vector<std::byte> bytes;
    size_t total = 0;
  };
  struct Results {
    std::vector<std::byte> bytes;
    size_t sent = 0;
  };

  const Limits limits_;
  std::unordered_map<uint64_t, Pieces> pieces_;
  std::unordered_map<uint64_t, Results> results_;
  std::vector<std::byte> last_;  // whose end next() has told
  size_t argument_bytes_ = 0;
  size_t result_bytes_ = 0;
};

}  // namespace farlane::server::cudax
