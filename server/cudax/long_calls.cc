#include "server/cudax/long_calls.h"

#include <fmt/format.h>

#include <algorithm>

namespace farlane::server::cudax {

std::string LongCalls::add(uint64_t call, uint64_t total, std::span<const std::byte> piece) {
  const auto [found, is_new] = pieces_.try_emplace(call);
  Pieces& pieces = found->second;
  if (is_new) {
    if (pieces_.size() > limits_.calls || total > limits_.bytes - argument_bytes_) {
      const size_t calls = pieces_.size() - 1;
      pieces_.erase(found);
      return fmt::format(
          "{} bytes of arguments of a library call beside {} of {} others (limits {} and {})",
          total, argument_bytes_, calls, limits_.bytes, limits_.calls);
    }
    pieces.total = total;
    argument_bytes_ += total;
  }
  if (total != pieces.total || piece.size() > pieces.total - pieces.bytes.size()) {
    return fmt::format("{} bytes of arguments of library call {:#x} behind {} of {}", piece.size(),
                       call, pieces.bytes.size(), pieces.total);
  }
  // Room for what has come: a total is only said. Twice as much each time, to the total at most.
  const size_t size = pieces.bytes.size() + piece.size();
  if (size > pieces.bytes.capacity()) {
    pieces.bytes.reserve(std::min(std::max(2 * pieces.bytes.capacity(), size), pieces.total));
  }
  pieces.bytes.insert(pieces.bytes.end(), piece.begin(), piece.end());
  return {};
}

std::string LongCalls::arguments(uint64_t call, std::span<const std::byte>* all) const {
  const auto found = pieces_.find(call);
  if (found == pieces_.end()) return fmt::format("library call {:#x} has no arguments", call);
  const Pieces& pieces = found->second;
  if (pieces.bytes.size() != pieces.total) {
    return fmt::format("library call {:#x} has {} bytes of arguments, not {}", call,
                       pieces.bytes.size(), pieces.total);
  }
  *all = pieces.bytes;
  return {};
}

void LongCalls::drop(uint64_t call) {
  const auto found = pieces_.find(call);
  if (found == pieces_.end()) return;
  argument_bytes_ -= found->second.total;
  pieces_.erase(found);
}

std::string LongCalls::keep(uint64_t call, std::vector<std::byte> results, size_t sent) {
  if (sent >= results.size()) return {};
  if (results_.contains(call) || results_.size() >= limits_.calls ||
      results.size() > limits_.bytes - result_bytes_) {
    return fmt::format(
        "{} bytes of results of library call {:#x} beside {} of {} others (limits {} and {})",
        results.size(), call, result_bytes_, results_.size(), limits_.bytes, limits_.calls);
  }
  result_bytes_ += results.size();
  results_[call] = {std::move(results), sent};
  return {};
}

std::string LongCalls::next(uint64_t call, size_t bytes_max, std::span<const std::byte>* some) {
  const auto found = results_.find(call);
  if (found == results_.end()) return fmt::format("library call {:#x} has no results left", call);
  Results& results = found->second;
  const size_t count = std::min(bytes_max, results.bytes.size() - results.sent);
  *some = std::span(results.bytes).subspan(results.sent, count);
  results.sent += count;
  if (results.sent == results.bytes.size()) {
    result_bytes_ -= results.bytes.size();
    last_ = std::move(results.bytes);
    results_.erase(found);
  }
  return {};
}

}  // namespace farlane::server::cudax
