// Whether a question will soon follow what was just posted.
//
// A program that posts and then waits does so again and again. When the courier sends what was
// posted at once, the asking thread finds the line taken, waits, and sends a second frame; left
// alone for a moment, it would have sent both in one. Guessing wrong costs that moment, so a guess
// that fails often is made rarely.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace farlane::client {

class QuestionGuess {
 public:
  // Any thread.
  bool expects() const { return expects_.load(std::memory_order_relaxed); }

  // These by one thread at a time.
  //
  // An asking thread found the line taken.
  void collided() {
    if (!expects() && ++seen_ >= needed_) {
      seen_ = 0;
      expects_.store(true, std::memory_order_relaxed);
    }
  }
  // A question came, and took with it what had been posted.
  void came() { needed_ = 1; }
  // None came.
  void failed() {
    needed_ = std::min(needed_ * 2, kNeededMax);
    expects_.store(false, std::memory_order_relaxed);
  }

 private:
  static constexpr uint32_t kNeededMax = 256;
  std::atomic<bool> expects_ = false;
  uint32_t needed_ = 1;  // collisions before the next guess
  uint32_t seen_ = 0;
};

}  // namespace farlane::client
