#include "conf/server_settings.h"

#include <unistd.h>

namespace farlane {
namespace {

using conf::kGiB;
using conf::kKiB;
using conf::kMiB;
using conf::kTiB;
using S = ServerSettings;

constexpr const char* kLogLevels[] = {"off", "error", "warning", "info", "debug"};
constexpr const char* kSocketAccess[] = {"off", "owner", "group", "all"};
constexpr const char* kDevices[] = {"auto", "cuda", "software"};

constexpr conf::Setting kSettings[] = {
    conf::text<&S::listen>(
        "listen", "FARLANE_GPUSERVERD_LISTEN",
        "The address to listen on, as HOST:PORT. Port 0 takes a free one. Sessions are neither "
        "encrypted nor authenticated yet: use an address other than loopback only on a network "
        "where everybody may use the GPUs."),
    conf::text<&S::port_file>(
        "port_file", "FARLANE_GPUSERVERD_PORT_FILE",
        "A file to write HOST:PORT to once the server accepts connections; for scripts that listen "
        "on port 0. Empty is none."),
    conf::choice<&S::device>("device", "FARLANE_GPUSERVERD_DEVICE", kDevices,
                             "What executes the work: the machine's NVIDIA GPUs (cuda), the "
                             "software device on the CPU (software), or cuda where there is a "
                             "usable driver and software otherwise (auto)."),
    conf::text<&S::software_library>(
        "software_library", "FARLANE_GPUSERVERD_SOFTWARE_LIBRARY",
        "Where libsoftcuda.so, the software device, is. Empty looks beside gpuserverd, in "
        "../lib/farlane."),
    conf::integer<&S::software_threads>(
        "software_threads", "FARLANE_GPUSERVERD_SOFTWARE_THREADS", 0, 1024,
        "How many CPU threads the software device uses per session. 0 is one per CPU."),

    conf::text<&S::socket_dir>(
        "connection.socket_dir", "FARLANE_GPUSERVERD_SOCKET_DIR",
        "The folder for the socket farlane-PORT.sock. Through it programs on this machine, and in "
        "containers that share the folder, use shared memory instead of the network. Empty takes "
        "the first of /run/farlane, $XDG_RUNTIME_DIR and /tmp/farlane-UID that can be written."),
    conf::choice<&S::socket_access>("connection.socket_access", "FARLANE_GPUSERVERD_SOCKET_ACCESS",
                                    kSocketAccess,
                                    "Who may use that socket: the user that gpuserverd runs as, "
                                    "also its group, or everybody. off makes none."),

    conf::integer<&S::max_sessions>(
        "sessions.max_sessions", "FARLANE_GPUSERVERD_MAX_SESSIONS", 1, 4096,
        "How many programs may use this server at once. One more is told that the server is busy."),
    conf::integer<&S::warm_workers>(
        "sessions.warm_workers", "FARLANE_GPUSERVERD_WARM_WORKERS", 0, 64,
        "How many workers per GPU wait ready for the next session, so that a program starts "
        "quickly. Each holds a CUDA context, a few hundred MiB of GPU memory."),
    conf::integer<&S::drain_s>("sessions.drain_s", "FARLANE_GPUSERVERD_DRAIN_S", 0, 86'400,
                               "How long running sessions may go on after SIGTERM before they are "
                               "ended. New ones are refused meanwhile."),

    conf::text<&S::nvml_library>(
        "monitoring.nvml_library", "FARLANE_GPUSERVERD_NVML_LIBRARY",
        "The library that is asked for the GPUs' temperature, utilisation and the like when a "
        "client's program wants to know. auto is libnvidia-ml.so.1, and none with the software "
        "device; empty is none."),

    conf::integer<&S::handshake_timeout_ms>(
        "timeouts.handshake_timeout_ms", "FARLANE_GPUSERVERD_HANDSHAKE_TIMEOUT_MS", 10, 600'000,
        "How long a new connection may take to say what it wants before it is closed."),
    conf::integer<&S::heartbeat_ms>(
        "timeouts.heartbeat_ms", "FARLANE_GPUSERVERD_HEARTBEAT_MS", 10, 60'000,
        "How often the server tells an idle client that it is alive. Keep it well below the "
        "client's timeouts.call_timeout_ms."),
    conf::integer<&S::client_timeout_ms>(
        "timeouts.client_timeout_ms", "FARLANE_GPUSERVERD_CLIENT_TIMEOUT_MS", 100, 86'400'000,
        "How long a client may be silent, heartbeats included, before its session is ended and its "
        "GPU memory freed."),
    conf::integer<&S::stopped_client_timeout_ms>(
        "timeouts.stopped_client_timeout_ms", "FARLANE_GPUSERVERD_STOPPED_CLIENT_TIMEOUT_MS", 100,
        2'592'000'000,
        "The same for a client whose machine still answers: a debugger or Ctrl-Z stopped the "
        "program, and it keeps its session as it would keep a local GPU's memory. Counts only when "
        "longer than timeouts.client_timeout_ms."),

    conf::integer<&S::spin_us>(
        "waiting.spin_us", "FARLANE_GPUSERVERD_SPIN_US", -1, 1'000'000,
        "How long a worker without work watches the network before it goes to sleep. Longer means "
        "quicker answers and a busier CPU. -1 is automatic: 0 on a machine with fewer than 4 CPUs, "
        "else 50."),
    conf::integer<&S::device_spin_us>(
        "waiting.device_spin_us", "FARLANE_GPUSERVERD_DEVICE_SPIN_US", -1, 1'000'000,
        "How long at most a worker watches a device that a client waits for before it sleeps "
        "between its looks; less while such waits are longer than this, and where others want the "
        "processor. Longer means quicker synchronisation and a busier CPU. -1 is automatic: 0 on a "
        "machine with fewer than 4 CPUs, 200 with fewer than 8, else 10000."),
    conf::integer<&S::device_looks>(
        "waiting.device_looks", "FARLANE_GPUSERVERD_DEVICE_LOOKS", 1, 64,
        "How often a worker looks whether its device has finished what a client waits for, before "
        "it looks at the network again, which costs more. 1 takes turns."),

    conf::flag<&S::collectives_at_once>(
        "nccl.collectives_at_once", "FARLANE_GPUSERVERD_COLLECTIVES_AT_ONCE",
        "Put NCCL's collectives into their streams between a session's other commands, where that "
        "waits for nobody. Off hands each to another thread, which is slower and useful only to "
        "find faults."),

    conf::flag<&S::overtaking>(
        "copies.overtaking", "FARLANE_GPUSERVERD_OVERTAKING",
        "Go on with a session's other work while a copy waits for its data or for a staging "
        "buffer. Off stops at it, which is slower and useful only to find faults."),
    conf::bytes<&S::staging_slot_bytes>(
        "copies.staging_slot_bytes", "FARLANE_GPUSERVERD_STAGING_SLOT_BYTES", 64 * kKiB, 64 * kMiB,
        "The size of one pinned buffer between network and GPU."),
    conf::integer<&S::staging_slots>("copies.staging_slots", "FARLANE_GPUSERVERD_STAGING_SLOTS", 2,
                                     256, "How many such buffers a worker has."),
    conf::integer<&S::lanes_max>(
        "copies.lanes_max", "FARLANE_GPUSERVERD_LANES_MAX", 0, 64,
        "How many further connections a session may open for the data of large copies. 0 is none."),
    conf::bytes<&S::lane_chunk_bytes>(
        "copies.lane_chunk_bytes", "FARLANE_GPUSERVERD_LANE_CHUNK_BYTES", 64 * kKiB, 8 * kMiB,
        "The largest piece of a copy that travels over such a connection, and the size of its "
        "pinned buffers."),
    conf::integer<&S::lane_slots>(
        "copies.lane_slots", "FARLANE_GPUSERVERD_LANE_SLOTS", 2, 64,
        "How many pinned buffers each such connection has in each direction. A session pins at "
        "most connections * lane_slots * lane_chunk_bytes * 2."),
    conf::bytes<&S::lane_share_bytes>(
        "copies.lane_share_bytes", "FARLANE_GPUSERVERD_LANE_SHARE_BYTES", 0, 1 * kGiB,
        "A copy to the program uses one of those connections for each so many of its bytes, but at "
        "least four if there are. 0 uses all for every copy."),
    conf::integer<&S::lane_nap_us>(
        "copies.lane_nap_us", "FARLANE_GPUSERVERD_LANE_NAP_US", 0, 1000,
        "How long a worker sleeps between two looks at what those connections have brought while "
        "much of a copy to the GPU is still to come and nothing else is under way. The processor "
        "is then theirs. 0 keeps it busy looking."),
    conf::bytes<&S::wake_bytes>("copies.wake_bytes", "FARLANE_GPUSERVERD_WAKE_BYTES", 0, 8 * kMiB,
                                "How much more of a piece of a copy must have come over TCP before "
                                "the thread that waits for "
                                "it is woken. 0 wakes it for every arrival."),
    conf::bytes<&S::shared_bytes_max>(
        "copies.shared_bytes_max", "FARLANE_GPUSERVERD_SHARED_BYTES_MAX", 0, 16 * kTiB,
        "How much of its own pinned memory a program that comes through shared memory may have the "
        "GPU read and write directly. It stays in the machine's memory. 0 is none."),

    conf::text<&S::libraries_path>(
        "libraries.path", "FARLANE_GPUSERVERD_LIBRARIES_PATH",
        "Folders in which cuBLAS, cuDNN and the other CUDA-X libraries are looked for first, "
        "separated by colons; otherwise the system's loader finds them. What these libraries open "
        "by name comes from there, too, before the LD_LIBRARY_PATH that gpuserverd has."),

    conf::text<&S::module_cache_dir>(
        "modules.module_cache_dir", "FARLANE_GPUSERVERD_MODULE_CACHE_DIR",
        "The folder for programs' device code, so that it is sent only once. Empty is "
        "$XDG_CACHE_HOME/farlane/modules, or ~/.cache/farlane/modules."),
    conf::bytes<&S::module_cache_bytes_max>(
        "modules.module_cache_bytes_max", "FARLANE_GPUSERVERD_MODULE_CACHE_BYTES_MAX", 0, 16 * kTiB,
        "The most that folder may hold; the longest unused goes first. 0 keeps nothing on disk."),

    conf::bytes<&S::credit_bytes>(
        "memory.credit_bytes", "FARLANE_GPUSERVERD_CREDIT_BYTES", 256 * kKiB, 1 * kGiB,
        "The most command bytes that a client may have sent and the worker not yet executed."),
    conf::address<&S::window_base>(
        "memory.window_base", "FARLANE_GPUSERVERD_WINDOW_BASE", 0x1'0000'0000, 0x7000'0000'0000,
        "Where the device addresses begin that warm workers reserve ahead of their session. The "
        "same on every server that a session may move between."),
    conf::bytes<&S::window_bytes>("memory.window_bytes", "FARLANE_GPUSERVERD_WINDOW_BYTES",
                                  1 * kGiB, 16 * kTiB,
                                  "How many bytes of addresses each device of a session has; at "
                                  "least the memory of the largest GPU."),

    conf::choice<&S::log_level>("log.level", "FARLANE_GPUSERVERD_LOG_LEVEL", kLogLevels,
                                "How much the server logs."),
    conf::text<&S::log_file>("log.file", "FARLANE_GPUSERVERD_LOG_FILE",
                             "The file that log lines are appended to. Empty is standard error."),
    conf::flag<&S::command_times>(
        "log.command_times", "FARLANE_GPUSERVERD_COMMAND_TIMES",
        "Measure where workers' time goes, by kind of command, for farlane-bench split. It makes "
        "every command a little slower."),
};

}  // namespace

const conf::Table& server_settings_table() {
  static const ServerSettings defaults;
  static const conf::Table table{"gpuserverd", "server.toml", "FARLANE_GPUSERVERD_", kSettings,
                                 &defaults};
  return table;
}

std::string server_settings_file(const conf::Environment& environment) {
  const char* file = environment("FARLANE_GPUSERVERD_CONFIG");
  if (file != nullptr && *file != '\0') return file;
  const char* const system = "/etc/farlane/server.toml";
  return ::access(system, F_OK) == 0 ? system : "";
}

bool load_server_settings(const std::string& file, const conf::Environment& environment,
                          const std::vector<conf::Override>& overrides, ServerSettings* settings,
                          conf::Origins* origins, std::string* error) {
  *settings = ServerSettings{};
  return conf::load(server_settings_table(), {file, environment, overrides}, settings, origins,
                    error);
}

}  // namespace farlane
