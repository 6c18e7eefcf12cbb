// What a program did through Farlane, told once, when it ends: setting log.stats, environment
// FARLANE_STATS.
//
// What the session counts anyway is read at the end and costs nothing. The rest (times, counts by
// name) is gathered only when it was asked for, and only where a thread waits or could have waited:
// posting a command looks at no clock and at nothing here.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace farlane::client {

class Session;

namespace stats {

enum class Format : uint8_t { kOff, kText, kJson };

namespace detail {
inline std::atomic<Format> g_format = Format::kOff;
}

inline bool on() {
  return detail::g_format.load(std::memory_order_relaxed) != Format::kOff;
}
// "0", "1" or "json". Called before the session begins; from the second session of a process on
// (only tests have several) the counts go on.
void configure(std::string_view value);

// Any thread. `name` must live for ever.
void note_asked(const char* name, std::chrono::nanoseconds time);
void note_wait(const char* reason, std::chrono::nanoseconds time);
void note_local(const char* name);  // answered here, without the server
void note_upload(uint64_t bytes);   // of a module's image
void note_ahead();                  // an answer that nobody has asked for yet

// Times its own life, if statistics are on.
template <void (*note)(const char*, std::chrono::nanoseconds)>
class Timer {
 public:
  explicit Timer(const char* name) : name_(on() ? name : nullptr) {
    if (name_ != nullptr) {
      start_ = std::chrono::steady_clock::now();
    }
  }
  ~Timer() {
    if (name_ != nullptr) {
      note(name_, std::chrono::steady_clock::now() - start_);
    }
  }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

 private:
  const char* const name_;
  std::chrono::steady_clock::time_point start_;
};
using AskTimer = Timer<note_asked>;
using WaitTimer = Timer<note_wait>;

struct Row {
  std::string name;
  uint64_t count = 0;
  uint64_t total_ns = 0;
  uint64_t max_ns = 0;
};

// Everything that the summary tells. Rows are sorted by name.
struct Summary {
  uint64_t posted = 0;
  uint64_t asked = 0;
  uint64_t local = 0;
  uint64_t bytes_out = 0;       // commands
  uint64_t body_bytes_out = 0;  // bulk data
  uint64_t bytes_in = 0;        // both
  uint64_t lane_bytes_out = 0;  // bulk data over further connections
  uint64_t lane_bytes_in = 0;
  uint64_t lane_busy_waits = 0;
  uint64_t frames_out = 0;
  uint64_t frames_in = 0;
  uint64_t line_waits = 0;      // an asking thread found another one sending
  uint64_t sent_first = 0;      // calls posted that were sent at once, before a question
  uint64_t held_first = 0;      // calls posted that waited for a question, to leave with it
  uint64_t encoding_waits = 0;  // the sender found another thread still encoding
  uint64_t sleeps = 0;          // waits that outlasted the spinning
  uint64_t follows = 0;         // waits in which another thread received, and woke this one
  uint64_t memory_fences = 0;
  uint64_t extents = 0;
  uint64_t uploads = 0;
  uint64_t upload_bytes = 0;
  uint64_t asked_ahead = 0;
  uint64_t opened_instead = 0;  // libraries of ours, for the path of a vendor's
  bool lost = false;
  std::vector<Row> asked_rows;
  std::vector<Row> local_rows;
  std::vector<Row> wait_rows;
};

Summary gather(Session& session);
std::string render(const Summary& summary, Format format);

}  // namespace stats
}  // namespace farlane::client
