#include "server/softcuda/exec_pool.h"

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <thread>

namespace farlane::softcuda {
namespace {

// Blocks of an ordinary grid that may be under way at once. A block is put aside only when it
// spins. The blocks of a cooperative grid are all under way.
constexpr uint64_t kResidentMax = 64;

uint32_t thread_count() {
  if (const char* text = std::getenv("FARLANE_SOFTCUDA_THREADS")) {
    long value = std::strtol(text, nullptr, 10);
    if (value >= 1 && value <= 1024) return static_cast<uint32_t>(value);
  }
  return std::max(1u, std::thread::hardware_concurrency());
}

// Takes a block to run: a new one while more may be under way, otherwise the one that has waited
// longest. Null when there is none at the moment.
std::unique_ptr<Block> take_block(Grid& grid, uint64_t* start_index, bool* is_new) {
  std::lock_guard lock(grid.mutex);
  if (grid.stop.load(std::memory_order_relaxed)) return nullptr;
  const bool may_start = grid.config->cooperative || grid.resident < kResidentMax;
  if (grid.next_block < grid.blocks_total && may_start) {
    *start_index = grid.next_block++;
    *is_new = true;
    ++grid.resident;
    if (grid.spare.empty()) return std::make_unique<Block>();
    auto block = std::move(grid.spare.back());
    grid.spare.pop_back();
    return block;
  }
  if (grid.suspended.empty()) return nullptr;
  auto block = std::move(grid.suspended.front());
  grid.suspended.pop_front();
  return block;
}

// Works on the grid until nothing of it is left to take. True when the last block has ended.
void work_on(Grid& grid) {
  for (;;) {
    uint64_t index = 0;
    bool is_new = false;
    auto block = take_block(grid, &index, &is_new);
    if (!block) return;
    if (is_new) start_block(*block, grid, index);
    BlockEnd end = run_block(*block);
    bool alone = false;
    {
      std::lock_guard lock(grid.mutex);
      if (end == BlockEnd::kDone) {
        ++grid.blocks_ended;
        --grid.resident;
        grid.spare.push_back(std::move(block));
      } else {
        alone = grid.suspended.empty() && grid.next_block >= grid.blocks_total;
        grid.suspended.push_back(std::move(block));
      }
    }
    // What it waits for runs elsewhere.
    if (alone) std::this_thread::yield();
  }
}

class Pool {
 public:
  static Pool& instance() {
    // Never destroyed: worker threads may outlive static destructors.
    static Pool* pool = new Pool();
    return *pool;
  }

  void run(Grid& grid) {
    const bool shared = grid.blocks_total > 1 && threads_max_ > 1;
    if (shared) {
      std::lock_guard lock(mutex_);
      start_threads();
      grids_.push_back(&grid);
      wake_.notify_all();
    }
    for (;;) {
      work_on(grid);
      if (!shared) return;
      std::unique_lock lock(mutex_);
      // Nothing to take now: done, or the workers hold the rest.
      auto over = [&] { return helpers(grid) == 0; };
      if (over()) {
        if (finished(grid)) {
          std::erase(grids_, &grid);
          return;
        }
        continue;  // a worker has put its block aside just now
      }
      idle_.wait(lock, [&] { return over() || has_work(grid); });
    }
  }

 private:
  Pool() : threads_max_(thread_count()) {}

  static bool finished(Grid& grid) {
    std::lock_guard lock(grid.mutex);
    return grid.stop.load(std::memory_order_relaxed) || grid.blocks_ended == grid.blocks_total;
  }
  static bool has_work(Grid& grid) {
    std::lock_guard lock(grid.mutex);
    if (grid.stop.load(std::memory_order_relaxed)) return false;
    return !grid.suspended.empty() || (grid.next_block < grid.blocks_total &&
                                       (grid.config->cooperative || grid.resident < kResidentMax));
  }
  static uint64_t helpers(Grid& grid) {
    std::lock_guard lock(grid.mutex);
    return grid.working;
  }
  static void add_helper(Grid& grid, int64_t by) {
    std::lock_guard lock(grid.mutex);
    grid.working += static_cast<uint64_t>(by);
  }

  void start_threads() {
    while (threads_ + 1 < threads_max_) {
      ++threads_;
      std::thread([this] { serve(); }).detach();
    }
  }

  void serve() {
    std::unique_lock lock(mutex_);
    for (;;) {
      Grid* grid = nullptr;
      for (size_t i = 0; i < grids_.size() && grid == nullptr; ++i) {
        Grid* candidate = grids_[(next_ + i) % grids_.size()];
        if (has_work(*candidate)) grid = candidate;
      }
      if (grid == nullptr) {
        wake_.wait(lock);
        continue;
      }
      ++next_;
      add_helper(*grid, 1);
      lock.unlock();
      work_on(*grid);
      lock.lock();
      add_helper(*grid, -1);
      idle_.notify_all();
    }
  }

  const uint32_t threads_max_;
  std::mutex mutex_;
  std::condition_variable wake_;  // grids_ has grown
  std::condition_variable idle_;  // a worker has left a grid
  std::vector<Grid*> grids_;      // guarded by mutex_
  uint32_t threads_ = 0;          // guarded by mutex_
  size_t next_ = 0;               // guarded by mutex_
};

}  // namespace

void run_grid(Grid& grid) {
  Pool::instance().run(grid);
}

}  // namespace farlane::softcuda
