#include "conf/client_settings.h"

#include <unistd.h>

#include <algorithm>
#include <exception>
#include <thread>

namespace farlane {
namespace {

using conf::kGiB;
using conf::kKiB;
using conf::kMiB;
using conf::kTiB;
using S = ClientSettings;

constexpr const char* kTransports[] = {"auto", "tcp", "shm"};
constexpr const char* kLogLevels[] = {"off", "error", "warning", "info", "debug"};

constexpr const char* kStats[] = {"0", "1", "json"};

constexpr conf::Setting kSettings[] = {
    conf::text<&S::server>("server", "FARLANE_SERVER",
                           "The GPU server to use, as HOST:PORT. An IPv6 address stands in "
                           "brackets: [::1]:4713. A server on this machine may also be given by "
                           "its socket: unix:/run/farlane/farlane-4713.sock."),
    conf::integer<&S::devices>("devices", "FARLANE_DEVICES", 0, 64,
                               "How many of the server's GPUs the program sees. 0, and more than "
                               "there are, is all of them; CUDA_VISIBLE_DEVICES then chooses among "
                               "these. One by default: a pool's GPUs are for several programs, and "
                               "most programs use the first they see."),

    conf::choice<&S::transport>(
        "connection.transport", "FARLANE_TRANSPORT", kTransports,
        "How bytes travel. auto is shared memory where the address is a loopback one and a server "
        "offers it there, else TCP. shm insists on shared memory."),
    conf::text<&S::socket_dir>(
        "connection.socket_dir", "FARLANE_SOCKET_DIR",
        "The folder where servers of this machine have their sockets for shared memory. Empty "
        "looks in /run/farlane, $XDG_RUNTIME_DIR and /tmp/farlane-UID."),
    conf::bytes<&S::shm_ring_bytes>(
        "connection.shm_ring_bytes", "FARLANE_SHM_RING_BYTES", 64 * kKiB, 1 * kGiB,
        "How much shared memory each direction of a connection has; rounded up to a power of two. "
        "What fits into the processor's cache is fastest."),

    conf::integer<&S::connect_timeout_ms>(
        "timeouts.connect_timeout_ms", "FARLANE_CONNECT_TIMEOUT_MS", 10, 600'000,
        "How long connecting to the server may take. After that the program's CUDA calls fail. "
        "Opening the session then falls under timeouts.call_timeout_ms."),
    conf::integer<&S::call_timeout_ms>(
        "timeouts.call_timeout_ms", "FARLANE_CALL_TIMEOUT_MS", 100, 3'600'000,
        "How long the server may be silent before the session counts as lost. A kernel may run "
        "longer than this: a busy server still sends heartbeats."),

    conf::integer<&S::spin_us>(
        "waiting.spin_us", "FARLANE_SPIN_US", -1, 1'000'000,
        "How long at most a thread that waits for the server watches the network before it goes to "
        "sleep; less while waits are longer than this, and where others want the processor. Longer "
        "means quicker synchronisation and a busier CPU. -1 is automatic: 0 on a machine with "
        "fewer than 4 CPUs, 200 with fewer than 8, else 10000."),
    conf::integer<&S::sender_spin_us>(
        "waiting.sender_spin_us", "FARLANE_SENDER_SPIN_US", -1, 1'000'000,
        "How long the sending thread looks for more commands before it goes to sleep. -1 is "
        "automatic: 0 on a machine with fewer than 4 CPUs, else 50."),
    conf::integer<&S::receive_after_us>(
        "waiting.receive_after_us", "FARLANE_RECEIVE_AFTER_US", 0, 1'000'000,
        "How long the background thread leaves asynchronous copies to the host to the thread that "
        "posted them, which mostly waits for them at once, before it receives them itself. 0 does "
        "so at once; the waiting thread must then be woken, which is slower."),
    conf::integer<&S::hold_us>(
        "waiting.hold_us", "FARLANE_HOLD_US", 0, 100'000,
        "In a program that posts a few commands and waits for them right away, again and again, "
        "they stay for the question and leave with it in one frame; after so long without one they "
        "leave by themselves. 0 sends the first of them at once."),

    conf::flag<&S::batching>(
        "batching.enabled", "FARLANE_BATCHING",
        "Gather commands into batches while the line is busy. Off sends each by itself, which is "
        "slower and useful only to find faults."),
    conf::bytes<&S::flush_bytes>(
        "batching.flush_bytes", "FARLANE_FLUSH_BYTES", 1 * kKiB, 256 * kKiB,
        "The most command bytes that one batch gathers before it is sent."),
    conf::bytes<&S::credit_bytes_max>(
        "batching.credit_bytes_max", "FARLANE_CREDIT_BYTES_MAX", 0, 1 * kGiB,
        "The most command bytes that may be on their way and not yet executed. The server's own "
        "limit holds as well. 0 leaves it to the server."),

    conf::bytes<&S::inline_bytes_max>(
        "copies.inline_bytes_max", "FARLANE_INLINE_BYTES_MAX", 0, 64 * kKiB,
        "Copies up to this size travel inside the batch of commands; larger ones are sent by "
        "themselves, in chunks."),
    conf::bytes<&S::copy_chunk_bytes>("copies.copy_chunk_bytes", "FARLANE_COPY_CHUNK_BYTES",
                                      1 * kMiB, 8 * kMiB,
                                      "The size of the chunks of a large copy."),
    conf::integer<&S::connections>(
        "copies.connections", "FARLANE_CONNECTIONS", -1, 64,
        "How many further connections carry the data of large copies, in parallel. They are opened "
        "at the first large copy. 0 sends everything over the session's one connection; -1 is "
        "automatic: half the CPUs, at most 8. The server's copies.lanes_max holds as well."),
    conf::bytes<&S::lanes_threshold_bytes>(
        "copies.lanes_threshold_bytes", "FARLANE_LANES_THRESHOLD_BYTES", 64 * kKiB, 1 * kGiB,
        "Copies of at least this size go over those connections."),
    conf::bytes<&S::lane_share_bytes>("copies.lane_share_bytes", "FARLANE_LANE_SHARE_BYTES", 0,
                                      1 * kGiB,
                                      "A copy to the GPU uses one of those connections for each so "
                                      "many of its bytes, but at least "
                                      "four if there are. 0 uses all for every copy."),
    conf::bytes<&S::last_piece_bytes>(
        "copies.last_piece_bytes", "FARLANE_LAST_PIECE_BYTES", 0, 8 * kMiB,
        "Towards its end a copy to the GPU travels in smaller and smaller pieces, down to so many "
        "bytes, so that the connections end together. 0 leaves all its pieces alike."),
    conf::bytes<&S::wake_bytes>("copies.wake_bytes", "FARLANE_WAKE_BYTES", 0, 8 * kMiB,
                                "How much more of a piece of a copy must have come over TCP before "
                                "the thread that waits for "
                                "it is woken. 0 wakes it for every arrival."),
    conf::bytes<&S::shared_bytes_min>(
        "copies.shared_bytes_min", "FARLANE_SHARED_BYTES_MIN", 0, 1 * kTiB,
        "Pinned host memory from this size on is shared with a server that is reached through "
        "shared memory: the GPU then reads and writes it directly. 0 shares none."),

    conf::bytes<&S::extent_bytes_min>(
        "memory.extent_bytes_min", "FARLANE_EXTENT_BYTES_MIN", 2 * kMiB, 16 * kGiB,
        "GPU memory is asked from the server in pieces of at least this size; smaller allocations "
        "are carved from them without asking."),
    conf::bytes<&S::cached_bytes_max>(
        "memory.cached_bytes_max", "FARLANE_CACHED_BYTES_MAX", 0, 1 * kTiB,
        "How much freed GPU memory per device stays with the program for its next allocation, "
        "instead of going back to the server. More where the release thresholds of the program's "
        "memory pools say so."),
    conf::address<&S::window_base>(
        "memory.window_base", "FARLANE_WINDOW_BASE", 0, 0x7000'0000'0000,
        "Where the program's device addresses begin. 0 is automatic; set it when something else "
        "in the process needs those addresses."),
    conf::integer<&S::info_age_ms>(
        "memory.info_age_ms", "FARLANE_MEMORY_INFO_AGE_MS", 0, 60'000,
        "How long an answer about the GPU's free memory may be used again. The program's own "
        "allocations are counted at once; those of others show after so long. 0 always asks."),
    conf::flag<&S::reuse_without_fence>(
        "memory.reuse_without_fence", "FARLANE_REUSE_WITHOUT_FENCE",
        "A fault on purpose, for tests: hand out freed GPU memory without waiting for the work "
        "that may still use it."),

    conf::flag<&S::local_answers>(
        "optimise.local_answers", "FARLANE_LOCAL_ANSWERS",
        "Answer on the client what is known there: that a stream is idle, that an event is over, "
        "how much memory is free. Off asks the server each time, which is slower and useful for "
        "measurements and to find faults."),
    conf::flag<&S::parallel_encoding>(
        "optimise.parallel_encoding", "FARLANE_PARALLEL_ENCODING",
        "Threads that post commands write them into the batch side by side. Off lets one write at "
        "a time."),
    conf::flag<&S::send_before_questions>(
        "optimise.send_before_questions", "FARLANE_SEND_BEFORE_QUESTIONS",
        "In a program that posts one command and waits for it, again and again, the thread that "
        "posts also sends. Off leaves sending to the background thread."),
    conf::flag<&S::ask_ahead>(
        "optimise.ask_ahead", "FARLANE_ASK_AHEAD",
        "When a program asks cuDNN the same of one engine after the other, ask about the next ones "
        "in the same round trip. Needs a server of this version; off until it has been tried with "
        "the vendor's cuDNN. Off asks one by one."),
    conf::flag<&S::libraries_by_path>(
        "optimise.libraries_by_path", "FARLANE_LIBRARIES_BY_PATH",
        "Under farlane run, a program that opens a vendor's library by its path gets ours, as it "
        "does by name. Off gives it the file, which is loaded in vain."),

    conf::integer<&S::simulate_rtt_us>(
        "network.simulate_rtt_us", "FARLANE_SIMULATE_RTT_US", 0, 10'000'000,
        "A fault on purpose, for measurements: a round trip takes so much longer. 0 is none."),
    conf::integer<&S::simulate_gbps>(
        "network.simulate_gbps", "FARLANE_SIMULATE_GBPS", 0, 10'000,
        "A fault on purpose, for measurements: no more than so many gigabits (1e9) per second in "
        "each direction, for all connections of a program together. 0 is the network's own."),

    conf::choice<&S::log_level>("log.level", "FARLANE_LOG_LEVEL", kLogLevels,
                                "How much the client libraries log."),
    conf::text<&S::log_file>("log.file", "FARLANE_LOG_FILE",
                             "The file that log lines are appended to. Empty is standard error."),
    conf::choice<&S::stats>("log.stats", "FARLANE_STATS", kStats,
                            "Tell at the program's end what it did: calls, bytes, waits. 1 is a "
                            "table for people, json for machines; it goes where log lines go."),
};

const char* non_empty(const conf::Environment& environment, const char* name) {
  const char* value = environment(name);
  return value != nullptr && *value != '\0' ? value : nullptr;
}

}  // namespace

const conf::Table& client_settings_table() {
  // Never destroyed: programs make CUDA calls from their own destructors.
  static const auto* const defaults = new ClientSettings;
  static const conf::Table table{"client", "client.toml", "FARLANE_", kSettings, defaults};
  return table;
}

std::string client_settings_file(const conf::Environment& environment) {
  if (const char* file = non_empty(environment, "FARLANE_CONFIG")) return file;
  std::string user;
  if (const char* home = non_empty(environment, "XDG_CONFIG_HOME")) {
    user = std::string(home) + "/farlane/client.toml";
  } else if (const char* home_folder = non_empty(environment, "HOME")) {
    user = std::string(home_folder) + "/.config/farlane/client.toml";
  }
  for (const std::string& file : {user, std::string("/etc/farlane/client.toml")}) {
    if (!file.empty() && ::access(file.c_str(), F_OK) == 0) return file;
  }
  return {};
}

bool load_client_settings(const conf::Environment& environment, ClientSettings* settings,
                          conf::Origins* origins, std::string* error) {
  *settings = ClientSettings{};
  const conf::Sources sources{client_settings_file(environment), environment, {}};
  return conf::load(client_settings_table(), sources, settings, origins, error);
}

bool load_client_settings(ClientSettings* settings, std::string* error) noexcept {
  try {
    return load_client_settings(conf::process_environment(), settings, nullptr, error);
  } catch (const std::exception&) {  // nothing but memory running out throws
    *error = "out of memory";        // short enough to need none
    return false;
  }
}

int64_t effective_connections(int64_t connections) {
  if (connections >= 0) return connections;
  return std::clamp<int64_t>(std::thread::hardware_concurrency() / 2, 1, 8);
}

namespace {
int64_t automatic_spin_us(int64_t few_cpus_us, int64_t many_cpus_us) {
  const unsigned cpus = std::thread::hardware_concurrency();
  if (cpus < 4) return 0;
  return cpus < 8 ? few_cpus_us : many_cpus_us;
}
}  // namespace

int64_t effective_spin_us(int64_t spin_us) {
  return spin_us >= 0 ? spin_us : automatic_spin_us(50, 50);
}

int64_t effective_answer_spin_us(int64_t spin_us) {
  return spin_us >= 0 ? spin_us : automatic_spin_us(200, 10'000);
}

}  // namespace farlane
