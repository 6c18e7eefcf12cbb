#include "client/core/stats.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <map>
#include <mutex>

#include "client/core/log_line.h"
#include "client/core/session.h"

namespace farlane::client::stats {
namespace {

using std::chrono::nanoseconds;

class Table {
 public:
  void note(const char* name, nanoseconds time) {
    const auto ns = static_cast<uint64_t>(time.count());
    std::lock_guard lock(mutex_);
    Row& row = rows_[name];
    ++row.count;
    row.total_ns += ns;
    row.max_ns = std::max(row.max_ns, ns);
  }
  std::vector<Row> rows() const {
    std::lock_guard lock(mutex_);
    std::vector<Row> out;
    for (const auto& [name, row] : rows_) {
      out.push_back(row);
      out.back().name = name;
    }
    return out;
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string_view, Row> rows_;  // guarded by mutex_
};

struct Tables {
  Table asked;
  Table local;
  Table waits;
  std::atomic<uint64_t> ahead = 0;
  std::atomic<uint64_t> uploads = 0;
  std::atomic<uint64_t> upload_bytes = 0;
};

// Never destroyed: programs make CUDA calls from their own destructors.
Tables& tables() {
  static auto* const all = new Tables;
  return *all;
}

const char* const kAnswers = "answers";

[[gnu::format(printf, 2, 3)]] void add_line(std::string* out, const char* format, ...) {
  char line[256];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  *out += line;
  *out += '\n';
}

double ms(uint64_t ns) {
  return static_cast<double>(ns) / 1e6;
}
double mean_us(const Row& row) {
  return row.count == 0 ? 0
                        : static_cast<double>(row.total_ns) / 1e3 / static_cast<double>(row.count);
}
double per_frame(const Summary& s) {
  return s.frames_out == 0
             ? 0
             : static_cast<double>(s.posted + s.asked) / static_cast<double>(s.frames_out);
}
unsigned long long wide(uint64_t value) {
  return value;
}

void add_timed(std::string* out, const char* title, const std::vector<Row>& rows) {
  if (rows.empty()) {
    return;
  }
  add_line(out, "  %-40s %12s %12s %12s %12s", title, "count", "total ms", "mean us", "max us");
  for (const Row& row : rows) {
    add_line(out, "    %-38s %12llu %12.3f %12.2f %12.2f", row.name.c_str(), wide(row.count),
             ms(row.total_ns), mean_us(row), static_cast<double>(row.max_ns) / 1e3);
  }
}

std::string text(const Summary& s) {
  std::string out;
  add_line(&out, "farlane: statistics of process %d%s", ::getpid(),
           s.lost ? " (its session was lost)" : "");
  const auto number = [&](const char* name, uint64_t value) {
    add_line(&out, "  %-40s %12llu", name, wide(value));
  };
  number("calls posted", s.posted);
  number("calls asked", s.asked);
  number("calls answered here", s.local);
  number("command bytes out", s.bytes_out);
  number("bulk bytes out", s.body_bytes_out);
  number("bytes in", s.bytes_in);
  number("bulk bytes out, further connections", s.lane_bytes_out);
  number("bulk bytes in, further connections", s.lane_bytes_in);
  number("their waits for network or server", s.lane_busy_waits);
  number("frames out", s.frames_out);
  number("frames in", s.frames_in);
  add_line(&out, "  %-40s %12.2f", "commands per frame out", per_frame(s));
  number("questions that found the line taken", s.line_waits);
  number("first calls sent before a question", s.sent_first);
  number("first calls kept for a question", s.held_first);
  number("waits for another thread's encoding", s.encoding_waits);
  number("waits that slept", s.sleeps);
  number("waits that another thread received for", s.follows);
  number("memory fences", s.memory_fences);
  number("memory extents asked for", s.extents);
  number("module images uploaded", s.uploads);
  number("module bytes uploaded", s.upload_bytes);
  number("answers fetched ahead", s.asked_ahead);
  number("vendor's libraries opened, ours given", s.opened_instead);
  add_timed(&out, "asked, by function", s.asked_rows);
  if (!s.local_rows.empty()) {
    add_line(&out, "  %-40s %12s", "answered here, by function", "count");
    for (const Row& row : s.local_rows) {
      add_line(&out, "    %-38s %12llu", row.name.c_str(), wide(row.count));
    }
  }
  add_timed(&out, "waits, by reason", s.wait_rows);
  return out;
}

// Names and reasons are our own: nothing in them needs escaping.
void add_rows(std::string* out, const char* key, const std::vector<Row>& rows) {
  *out += std::string(", \"") + key + "\": {";
  const char* comma = "";
  for (const Row& row : rows) {
    *out += std::string(comma) + "\"" + row.name + "\": {\"count\": " + std::to_string(row.count) +
            ", \"total_ns\": " + std::to_string(row.total_ns) +
            ", \"max_ns\": " + std::to_string(row.max_ns) + "}";
    comma = ", ";
  }
  *out += "}";
}

std::string json(const Summary& s) {
  std::string out = "{\"farlane_stats\": 1, \"pid\": " + std::to_string(::getpid());
  const auto number = [&](const char* name, uint64_t value) {
    out += std::string(", \"") + name + "\": " + std::to_string(value);
  };
  number("posted", s.posted);
  number("asked", s.asked);
  number("local", s.local);
  number("command_bytes_out", s.bytes_out);
  number("bulk_bytes_out", s.body_bytes_out);
  number("bytes_in", s.bytes_in);
  number("lane_bytes_out", s.lane_bytes_out);
  number("lane_bytes_in", s.lane_bytes_in);
  number("lane_busy_waits", s.lane_busy_waits);
  number("frames_out", s.frames_out);
  number("frames_in", s.frames_in);
  number("line_waits", s.line_waits);
  number("sent_first", s.sent_first);
  number("held_first", s.held_first);
  number("encoding_waits", s.encoding_waits);
  number("sleeps", s.sleeps);
  number("follows", s.follows);
  number("memory_fences", s.memory_fences);
  number("extents", s.extents);
  number("uploads", s.uploads);
  number("upload_bytes", s.upload_bytes);
  number("asked_ahead", s.asked_ahead);
  number("opened_instead", s.opened_instead);
  out += std::string(", \"lost\": ") + (s.lost ? "true" : "false");
  add_rows(&out, "asked_by_function", s.asked_rows);
  add_rows(&out, "local_by_function", s.local_rows);
  add_rows(&out, "waits_by_reason", s.wait_rows);
  return out + "}\n";
}

// Runs after the program's own exit handlers and destructors, because the program and the façades
// were loaded later than this library was initialised. A forked child has no session and says
// nothing; neither does a process that ends without exit().
[[gnu::destructor]] void tell() {
  Session* session = session_if_any();
  if (on() && session != nullptr) {
    log_text(render(gather(*session), detail::g_format.load(std::memory_order_relaxed)));
  }
}

}  // namespace

void configure(std::string_view value) {
  const Format format = value == "1"      ? Format::kText
                        : value == "json" ? Format::kJson
                                          : Format::kOff;
  detail::g_format.store(format, std::memory_order_relaxed);
}

void note_asked(const char* name, nanoseconds time) {
  tables().asked.note(name, time);
}
void note_wait(const char* reason, nanoseconds time) {
  tables().waits.note(reason, time);
}
void note_local(const char* name) {
  if (on()) {
    tables().local.note(name, nanoseconds(0));
  }
}
void note_ahead() {
  tables().ahead.fetch_add(1, std::memory_order_relaxed);
}
void note_upload(uint64_t bytes) {
  tables().uploads.fetch_add(1, std::memory_order_relaxed);
  tables().upload_bytes.fetch_add(bytes, std::memory_order_relaxed);
}

Summary gather(Session& session) {
  Summary s;
  s.asked = session.asked();
  const uint64_t commands = session.log().last_sequence();
  s.posted = commands - std::min(commands, s.asked);
  const CommandLogCounters& out = session.log().counters();
  s.bytes_out = out.bytes.load();
  s.body_bytes_out = out.body_bytes.load();
  s.frames_out = out.frames.load();
  s.line_waits = out.line_waits.load();
  s.sent_first = out.sent_first.load();
  s.held_first = out.held_first.load();
  s.encoding_waits = session.log().encoding_waits();
  const InboxCounters& in = session.inbox().counters();
  s.bytes_in = in.bytes.load();
  s.frames_in = in.frames.load();
  s.sleeps = in.sleeps.load();
  s.follows = in.follows.load();
  for (size_t lane = 0; lane < session.lanes().count(); ++lane) {
    const LaneCounters& counters = session.lanes().counters(lane);
    s.lane_bytes_out += counters.bytes_sent.load();
    s.lane_bytes_in += counters.bytes_received.load();
    s.lane_busy_waits += counters.busy_waits.load();
  }
  for (const auto& device : session.devices) {
    // A thread that was stopped inside it must not keep the process from ending.
    std::unique_lock lock(device->memory_mutex, std::try_to_lock);
    if (lock) {
      s.memory_fences += device->memory.counters().fences;
      s.extents += device->memory.counters().extents_created;
    }
  }
  s.uploads = tables().uploads.load();
  s.upload_bytes = tables().upload_bytes.load();
  s.asked_ahead = tables().ahead.load();
  // Of libfarlane_open.so, which only `farlane run` loads.
  if (void* const count = ::dlsym(RTLD_DEFAULT, "farlane_opened_instead"); count != nullptr) {
    s.opened_instead = reinterpret_cast<uint64_t (*)()>(count)();
  }
  s.lost = session.lost();
  s.asked_rows = tables().asked.rows();
  s.local_rows = tables().local.rows();
  for (const Row& row : s.local_rows) {
    s.local += row.count;
  }
  // A wait for an answer carries the question's name: here they are one reason.
  Row answers{.name = kAnswers};
  for (Row& row : tables().waits.rows()) {
    const bool is_answer = std::any_of(s.asked_rows.begin(), s.asked_rows.end(),
                                       [&](const Row& asked) { return asked.name == row.name; });
    if (is_answer) {
      answers.count += row.count;
      answers.total_ns += row.total_ns;
      answers.max_ns = std::max(answers.max_ns, row.max_ns);
    } else {
      s.wait_rows.push_back(std::move(row));
    }
  }
  if (answers.count != 0) {
    s.wait_rows.push_back(std::move(answers));
    std::sort(s.wait_rows.begin(), s.wait_rows.end(),
              [](const Row& a, const Row& b) { return a.name < b.name; });
  }
  return s;
}

std::string render(const Summary& summary, Format format) {
  switch (format) {
    case Format::kOff:
      return {};
    case Format::kText:
      return text(summary);
    case Format::kJson:
      return json(summary);
  }
  return {};
}

}  // namespace farlane::client::stats
