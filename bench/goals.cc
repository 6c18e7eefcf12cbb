#include "bench/goals.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <optional>

#include "bench/runner.h"
#include "bench/table.h"

namespace farlane::bench {
namespace {

struct Sides {
  Samples native;
  Samples ours;      // over TCP, with the settings as they are
  Samples spinning;  // questions that must ask
  Samples blocking;
  Samples eight;  // large copies over eight connections
  Samples shm;
};

constexpr const char* kTcp = "FARLANE_TRANSPORT=tcp";
constexpr const char* kShm = "FARLANE_TRANSPORT=shm";
constexpr const char* kAsks = "FARLANE_LOCAL_ANSWERS=false";

constexpr const char* kSessions = "16 sessions, launches";

// The rate of 16 processes at once. False, with a message, if one failed.
bool sessions_rate(const Command& launcher, Samples* samples) {
  const double rate = session_rate(launcher, 16);
  if (rate < 0) {
    std::fprintf(stderr, "farlane-bench: one of 16 processes failed\n");
    return false;
  }
  samples->values[kSessions].push_back(rate);
  return true;
}

bool measure(const CompareOptions& options, const std::string& server, pid_t server_pid,
             Sides* sides) {
  const auto with = [&](std::vector<std::string> settings) {
    settings.insert(settings.end(), options.settings.begin(), options.settings.end());
    return through(server, settings);
  };
  const auto program = [&](const Command& launcher, const Command& arguments, Samples* samples) {
    return run_program(launcher, arguments, options.effort, samples);
  };
  const Command memory = {"memory", "--server-pid", std::to_string(server_pid)};
  for (int run = 0; run < options.runs; ++run) {
    for (const char* name :
         {"startup", "launch", "sync", "burst", "copy", "bandwidth", "threads"}) {
      if ((options.native && !program({}, {name}, &sides->native)) ||
          !program(with({kTcp}), {name}, &sides->ours)) {
        return false;
      }
    }
    if ((options.native && !program({}, {"question"}, &sides->native)) ||
        (options.native && !program({}, {"memory"}, &sides->native)) ||
        !program(with({kTcp}), memory, &sides->ours) ||
        !program(with({kTcp, kAsks, "FARLANE_SPIN_US=1000"}), {"question"}, &sides->spinning) ||
        !program(with({kTcp, kAsks, "FARLANE_SPIN_US=0"}), {"question"}, &sides->blocking) ||
        !program(with({kTcp, "FARLANE_CONNECTIONS=8"}), {"bandwidth"}, &sides->eight)) {
      return false;
    }
    if ((options.native && !sessions_rate({}, &sides->native)) ||
        !sessions_rate(with({kTcp}), &sides->ours)) {
      return false;
    }
    // Only where the server is on this machine and offers it.
    if (options.server.empty() &&
        (!program(with({kShm, kAsks, "FARLANE_SPIN_US=1000"}), {"question"}, &sides->shm) ||
         !program(with({kShm}), {"bandwidth"}, &sides->shm))) {
      return false;
    }
  }
  return true;
}

struct Row {
  std::string what;
  std::string goal;
  std::optional<double> native;
  std::optional<double> raw;
  std::optional<double> ours;
  std::optional<double> limit;  // the goal as a number in the row's unit
  bool at_least = false;        // it is a lower limit
  std::string note;

  bool is_judged() const { return ours && limit; }
  bool is_met() const { return at_least ? *ours >= *limit : *ours <= *limit; }
};

constexpr int kTitleWidth = 89;
std::string title(const std::string& what, const std::string& goal) {
  return what + std::string(what.size() < 54 ? 55 - what.size() : 1, ' ') + goal;
}

void print(const Row& row) {
  const std::string met = !row.is_judged() ? "not measured" : row.is_met() ? "met" : "NOT MET";
  print_row(title(row.what, row.goal), kTitleWidth,
            {cell(row.native, 2), cell(row.raw, 2), cell(row.ours, 2), cell(row.limit, 2),
             met + row.note},
            9);
}

void write_json(std::ostream& json, const Row& row) {
  json << "{\"name\": " << json_text(row.what) << ", \"goal\": " << json_text(row.goal);
  write_json_number(json, "native", row.native);
  write_json_number(json, "raw", row.raw);
  write_json_number(json, "ours", row.ours);
  write_json_number(json, "limit", row.limit);
  if (row.is_judged()) json << ", \"met\": " << (row.is_met() ? "true" : "false");
  if (!row.note.empty()) json << ", \"note\": " << json_text(row.note);
  json << "}";
}

class Table {
 public:
  Table(const Sides& sides, const Raw& raw) : sides_(sides), raw_(raw) {}
  std::vector<Row> rows(bool quick) const;

 private:
  static std::optional<double> plus(std::optional<double> value, double more) {
    return value ? std::optional(*value + more) : std::nullopt;
  }
  // What a question to the driver cannot be quicker than: the driver's own time,
  // which is native's, and a round trip.
  static std::string floor(std::optional<double> native, double raw) {
    char text[96] = "";
    if (native) {
      std::snprintf(text, sizeof text, "  (floor %.2f: raw %.2f + the driver's own %.2f)",
                    *native + raw, raw, *native);
    }
    return text;
  }
  static std::optional<double> times(std::optional<double> value, double factor) {
    return value ? std::optional(*value * factor) : std::nullopt;
  }

  const Sides& sides_;
  const Raw& raw_;
};

std::vector<Row> Table::rows(bool quick) const {
  std::vector<Row> rows;
  using Value = std::optional<double>;
  const auto row = [&](const std::string& what, const std::string& goal, Value native_value,
                       Value raw, Value ours_value, Value limit, bool at_least,
                       const std::string& note = {}) {
    rows.push_back({what, goal, native_value, raw, ours_value, limit, at_least, note});
  };
  const auto native = [&](const std::string& name) { return measured(sides_.native, name); };
  const auto ours = [&](const std::string& name) { return measured(sides_.ours, name); };
  const double spin = raw_.spinning_us;
  const double block = raw_.blocking_us;
  for (const char* name : {"launch, client cost", "launch with 5 arguments, client cost"}) {
    row(std::string(name) + ", us", "<= 0.3", native(name), {}, ours(name), 0.3, false);
  }
  const char* sustained = "launch, sustained";
  row("launch, sustained, us", "<= 1.05 native", native(sustained), {}, ours(sustained),
      times(native(sustained), 1.05), false);
  const char* const kMemoryInfo = "question: memory info";
  for (const char* name : {"question: stream synchronise, idle", kMemoryInfo}) {
    // An idle stream is known to the worker; free memory only to the driver.
    const bool by_driver = name == kMemoryInfo;
    row(std::string(name) + ", spinning, us", "<= raw spinning + 2", native(name), spin,
        measured(sides_.spinning, name), spin + 2, false,
        by_driver ? floor(native(name), spin) : "");
    row(std::string(name) + ", blocking, us", "<= raw blocking + 5", native(name), block,
        measured(sides_.blocking, name), block + 5, false,
        by_driver ? floor(native(name), block) : "");
  }
  for (const char* name : {"launch + synchronise", "burst of 10 launches, copy, synchronise",
                           "4-byte copy to device", "4-byte copy to host"}) {
    row(std::string(name) + ", us", "<= native + raw spinning + 2", native(name), spin, ours(name),
        plus(native(name), spin + 2), false);
  }
  const std::string size = quick ? "64 MiB" : "256 MiB";
  for (const std::string& way : {std::string("to device"), std::string("to host")}) {
    const std::string name = "pinned " + size + " " + way;
    const double stream = raw_.stream_gb_per_s.at(8);
    char copy_once[96];
    std::snprintf(copy_once, sizeof copy_once, "  (raw, once from memory to memory: %.2f)",
                  raw_.copy_gb_per_s);
    row(name + ", 8 connections, GB/s", ">= 90 % of raw over 8, and >= 20", native(name), stream,
        measured(sides_.eight, name), std::max(0.9 * stream, 20.0), true, copy_once);
    row(name + ", shared memory, GB/s", ">= 80 % of native", native(name), {},
        measured(sides_.shm, name), times(native(name), 0.8), true);
  }
  const std::string pageable = "pageable " + size + " to device";
  row(pageable + ", GB/s", ">= native", native(pageable), {}, ours(pageable), native(pageable),
      true);
  for (const char* name : {"question: stream synchronise, idle", "question: memory info"}) {
    row(std::string(name) + ", shared memory, us", "<= native + 3", native(name), {},
        measured(sides_.shm, name), plus(native(name), 3), false);
  }
  for (const char* name : {"malloc + free, 256 B", "malloc + free, 1 MiB"}) {
    row(std::string(name) + ", us", "<= 1", native(name), {}, ours(name), 1.0, false);
  }
  row("first CUDA call, warm worker, ms", "<= 30", native("first CUDA call"), {},
      ours("first CUDA call"), 30.0, false);
  row("posting, 8 threads, million/s", ">= 3", native("posting, 8 threads"), {},
      ours("posting, 8 threads"), 3.0, true);
  row("client core, resident beyond program, MiB", "<= 32", {}, {}, ours("client core, resident"),
      32.0, false);
  // The driver's own: what a native program that does the same holds.
  const std::optional<double> driver = native("process, resident");
  const std::optional<double> worker = ours("worker, resident");
  row("worker, resident beyond the driver's, MiB", "<= 256", driver, {},
      worker && driver ? std::optional(*worker - *driver) : std::nullopt, 256.0, false);
  row(std::string(kSessions) + ", million/s", ">= native with 16 processes", native(kSessions), {},
      ours(kSessions), native(kSessions), true);
  return rows;
}

}  // namespace

int goals(const CompareOptions& options) {
  OwnServer own;
  const std::optional<std::string> server = server_for(options, &own);
  if (!server) {
    return 1;
  }
  const Raw raw = measure_raw(options.effort, options.runs);
  Sides sides;
  if (!measure(options, *server, std::max(own.pid(), 0), &sides)) {
    return 1;
  }
  std::printf(
      "%smedians of %d runs; bare TCP: %.1f us spinning, %.1f us blocking, "
      "%.1f GB/s over 8 connections\n\n",
      machine_text(*server).c_str(), options.runs, raw.spinning_us, raw.blocking_us,
      raw.stream_gb_per_s.at(8));
  const std::vector<Row> rows = Table(sides, raw).rows(options.effort.quick);
  print_row(title("", "goal"), kTitleWidth, {"native", "raw", "ours", "limit", ""}, 9);
  for (const Row& row : rows) print(row);
  if (options.json_file.empty()) {
    return 0;
  }
  std::ofstream json(options.json_file);
  json << "{";
  write_json_circumstances(json, *server, options.runs, raw);
  json << ",\n \"goals\": [";
  const char* comma = "\n  ";
  for (const Row& row : rows) {
    json << comma;
    write_json(json, row);
    comma = ",\n  ";
  }
  json << "\n ]}\n";
  return finish_json(json, options.json_file) ? 0 : 1;
}

}  // namespace farlane::bench
