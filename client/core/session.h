// The one session of this process: the connection, the log, and the client's side of every name in
// it.
//
// Made at the first call that needs the server, and never destroyed: programs make CUDA calls from
// their own destructors. The functions of api.h are written against it, one file per subject.
#pragma once

#include <cuda.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "client/core/address_space.h"
#include "client/core/api.h"
#include "client/core/capture.h"
#include "client/core/command_log.h"
#include "client/core/context_goods.h"
#include "client/core/courier.h"
#include "client/core/graph.h"
#include "client/core/graph_memory.h"
#include "client/core/handle_table.h"
#include "client/core/host_calls.h"
#include "client/core/host_functions.h"
#include "client/core/inbox.h"
#include "client/core/lanes.h"
#include "client/core/long_calls.h"
#include "client/core/loss.h"
#include "client/core/sharing.h"
#include "client/core/stats.h"
#include "client/core/stream_attributes.h"
#include "client/core/tensor_map.h"
#include "client/core/virtual_memory.h"
#include "client/core/work_marks.h"
#include "conf/client_settings.h"
#include "generated/protocol/messages.h"
#include "protocol/control_client.h"
#include "protocol/handles.h"
#include "protocol/limits.h"
#include "protocol/sticky_errors.h"
#include "transport/channel.h"

namespace farlane::client {

namespace message = protocol::message;
class Session;
struct Device;
struct JitOption;

// Apart from its neighbours in the table: each may be posted to by another thread.
struct alignas(64) Stream {
  protocol::StreamId id;
  Device* device = nullptr;
  unsigned flags = 0;
  int priority = 0;
  uint64_t unique_id = 0;                       // what cuStreamGetId tells
  std::atomic<uint64_t> last_sequence = 0;      // of the last command posted to it
  std::atomic<uint64_t> finished_sequence = 0;  // known to have finished on the device
  // Of the last copy to the host whose data, when it has come, tells that the stream got so far.
  std::atomic<uint64_t> told_by_data = 0;
  // Held by who launches a graph: a launch may be several commands, which no other launch comes
  // between.
  std::mutex graph_launch;

  bool is_legacy() const { return id.is_legacy(); }
  // Not a non-blocking stream: ordered with the legacy default stream.
  bool is_blocking() const { return (flags & CU_STREAM_NON_BLOCKING) == 0; }
  void reset() {
    device = nullptr;
    last_sequence = 0;
    finished_sequence = 0;
    told_by_data = 0;
  }
};

struct Event {
  protocol::EventId id;
  Device* device = nullptr;
  unsigned flags = 0;
  std::atomic<uint64_t> recorded_sequence = 0;  // 0: never recorded
  std::atomic<uint64_t> recorded_stream = 0;    // StreamId bits
  std::atomic<uint64_t> finished_sequence = 0;  // the record known to have finished
  std::atomic<uint64_t> capture = 0;            // last recorded in this one (Capture::id)
  // Other processes record and wait for it too, so that nothing about it is known here.
  bool is_shared() const { return (flags & CU_EVENT_INTERPROCESS) != 0; }
  void reset() {
    capture = 0;
    device = nullptr;
    recorded_sequence = 0;
    recorded_stream = 0;
    finished_sequence = 0;
  }
};

// What the server told about a kernel.
struct KernelFacts {
  std::string name;
  std::vector<message::Param> params;
  uint32_t param_bytes = 0;
  std::array<int, CU_FUNC_ATTRIBUTE_MAX> attributes{};
  void assign(const message::KernelFacts& facts);
};

struct Function;

struct Module {
  protocol::ModuleId id;
  Device* device = nullptr;
  std::mutex mutex;  // guards the maps
  std::map<std::string, KernelFacts, std::less<>> kernels;
  std::map<std::string, CUfunction, std::less<>> functions;
  struct Variable {
    CUdeviceptr address = 0;
    uint64_t bytes = 0;
  };
  std::map<std::string, Variable, std::less<>> variables;  // that were asked for
  std::vector<std::string> kernel_order;                   // as the server lists them
  void reset() {
    device = nullptr;
    kernels.clear();
    functions.clear();
    variables.clear();
    kernel_order.clear();
  }
};

// A kernel of a module.
struct Function {
  protocol::KernelId id;
  CUmodule module = nullptr;
  Device* device = nullptr;
  KernelFacts facts;
  std::mutex mutex;  // guards the answers
  // Of either kind; with so many a program asks for ever new ones.
  static constexpr size_t kAnswersMax = 4096;
  std::map<std::array<uint64_t, 3>, int>
      occupancy;                        // by block threads, dynamic shared bytes, flags
  std::map<std::string, int> clusters;  // by the question's bytes
  void reset() {
    module = nullptr;
    device = nullptr;
    facts = {};
    occupancy.clear();
    clusters.clear();
  }
};

struct Library {
  std::vector<const void*> images;
  std::vector<std::vector<std::byte>> owned;  // copies of them, if asked for
  std::vector<message::JitOption> jit_options;
  std::mutex mutex;                 // guards the rest
  std::map<int, CUmodule> modules;  // by device
  std::map<std::string, CUkernel, std::less<>> kernels;
  void reset() {
    images.clear();
    owned.clear();
    jit_options.clear();
    modules.clear();
    kernels.clear();
  }
};

// A kernel of a library, on any device.
struct LibraryKernel {
  CUlibrary library = nullptr;
  std::string name;
  static constexpr int kDevicesMax = 64;
  std::array<std::atomic<CUfunction>, kDevicesMax> functions{};  // by device; null until used there
  std::mutex mutex;
  std::map<int, int>
      attributes;  // set before the kernel was used on a device: applied at first use
  void reset() {
    library = nullptr;
    name.clear();
    attributes.clear();
    for (auto& function : functions) {
      function = nullptr;
    }
  }
};

struct Context {
  Device* device = nullptr;
  unsigned flags = 0;
  bool primary = false;
  void reset() { device = nullptr; }
};

// A visible device.
struct Device final : Backing {
  Session* session = nullptr;
  int ordinal = 0;              // as the program counts
  uint32_t server_ordinal = 0;  // as the session's log counts
  DeviceFacts facts;
  static constexpr int kAttributesMax = 512;
  std::array<int, kAttributesMax> attributes{};
  std::array<bool, kAttributesMax> attribute_known{};
  std::vector<uint32_t> peers;  // server ordinals
  CUcontext primary = nullptr;
  std::atomic<bool> is_used = false;  // a thread has made `primary` its current context
  Stream legacy;
  WorkMarks work;                               // of all streams of the device
  std::atomic<uint64_t> finished_sequence = 0;  // everything up to here has finished
  // A second stream was ever made, or the session has another device.
  std::atomic<bool> several_streams = false;
  // Of the last synchronous copy that returned while its data were still on their way, because the
  // order of the one stream there was is enough for whatever comes behind. A stream that is made
  // later has another order.
  std::atomic<uint64_t> unsettled_sequence = 0;

  std::mutex memory_mutex;
  AddressSpace memory;  // guarded by memory_mutex
  // The server's last word about the device's memory; guarded by memory_mutex.
  struct MemoryFacts {
    uint64_t free_bytes = 0;
    uint64_t total_bytes = 0;
    uint64_t physical_bytes = 0;  // of `memory` when it was said
    uint64_t changes = 0;         // memory_changes when it was said
    transport::Clock::time_point at;
  };
  std::optional<MemoryFacts> memory_facts;
  // Counts what takes or frees device memory other than extents: modules, streams, limits.
  std::atomic<uint64_t> memory_changes = 0;
  void memory_changed() { memory_changes.fetch_add(1, std::memory_order_acq_rel); }

  int attribute(CUdevice_attribute which) const { return attributes[which]; }

  // Backing, with memory_mutex held; extent_create opens it while it asks.
  CUresult extent_create(uint64_t address, uint64_t bytes) override;
  void extent_release(uint64_t address, uint64_t bytes) override;
  void reuse_fence() override;
  bool avoid_fences() override;
};

// A reply, decoded, with the memory its views point into.
template <class M>
struct Answer {
  Inbox::Waiter waiter;
  typename M::Reply reply;
};

// Host memory that the server maps too.
struct SharedRange {
  uint64_t region = 0;
  uint64_t offset = 0;
  bool written = false;  // copies may be under way that write to the region
};
// False: not, or not all of it.
bool shared_range(uint64_t address, size_t bytes, SharedRange* range);
// A copy that nobody waits for writes to the region of this address.
void note_written(uint64_t address);

class Session {
 public:
  // Connects and shakes hands. Null: *error is a sentence to act on.
  static std::unique_ptr<Session> open(const ClientSettings& settings,
                                       std::unique_ptr<transport::Channel> channel,
                                       Lanes::Connect connect, std::string* error);
  // For tests: a program's session is never destroyed.
  ~Session() { courier_.stop(); }

  bool lost() const { return loss_.declared(); }
  std::string loss_sentence() const { return loss_.sentence(); }
  std::string server_name() const { return channel_->peer_name(); }

  // False once the connection or the server has declined to share host memory.
  std::atomic<bool> may_share = true;
  std::atomic<size_t> shared_regions = 0;  // none over a network: copies need not look for one
  std::mutex share_mutex;
  bool pass_memory(const transport::Fd& memory) { return channel_->pass_memory(memory); }

  // Appends a command. Its sequence number; 0 when the session is lost.
  template <class M>
  uint64_t post(const M& command) {
    return log_.post(command);
  }
  template <class M>
  uint64_t post_with_body(const M& command, std::span<const transport::Bytes> body) {
    return log_.post_with_body(command, body);
  }
  // Appends a command to the stream's work.
  template <class M>
  uint64_t post_to(Stream* stream, const M& command) {
    const uint64_t sequence = post(command);
    if (sequence != 0) {
      touch(stream, sequence);
    }
    return sequence;
  }
  // Ends a name that the server knows, and tells it. False: there is no such name.
  template <class Names, class M>
  bool end(Names& names, uint64_t bits, const M& command) {
    if (!names.retire(bits)) {
      return false;
    }
    post(command);
    names.recycle(bits);
    return true;
  }
  // Asks and waits. The server's result, or kServerLost.
  // `name`: the question's, for the statistics; lives for ever.
  template <class M>
  CUresult ask(const M& question, Answer<M>* answer, const char* name = M::kName) {
    const stats::AskTimer timer(name);
    Inbox::Waiter& waiter = answer->waiter;
    const uint64_t sequence =
        log_.send_now(question, {}, [&](uint64_t number) { inbox_.expect(&waiter, number); });
    asked_.fetch_add(1, std::memory_order_relaxed);
    const bool answered =
        sequence != 0 &&
        inbox_.wait_until([&] { return waiter.done.load(std::memory_order_acquire); }, name);
    if (!answered) {
      inbox_.forget(&waiter);
      return kServerLost;
    }
    protocol::Fault fault;
    if (!decode(waiter.record, answer->reply, fault)) {
      give_up("a malformed answer to " + std::string(M::kName) + " (" + fault.text() + ")");
      return kServerLost;
    }
    const auto result = static_cast<CUresult>(answer->reply.result);
    if (protocol::is_sticky(result)) {
      errors.note(result, true);
    }
    return result;
  }
  template <class M>
  CUresult ask(const M& question) {
    Answer<M> answer;
    return ask(question, &answer);
  }

  // What is known here need not be asked, unless the settings want it so. `name`: the question's.
  bool answers_here(bool known, const char* name) const {
    if (!known || !settings_.local_answers) {
      return false;
    }
    stats::note_local(name);
    return true;
  }

  CommandLog& log() { return log_; }
  Inbox& inbox() { return inbox_; }
  Courier& courier() { return courier_; }
  Lanes& lanes() { return lanes_; }
  HostCalls& host_calls() { return host_calls_; }
  LongCalls& long_calls() { return long_calls_; }
  const ClientSettings& settings() const { return settings_; }
  uint64_t asked() const { return asked_.load(std::memory_order_relaxed); }

  Device* device(int ordinal) {
    return ordinal >= 0 && ordinal < static_cast<int>(devices.size()) ? devices[ordinal].get()
                                                                      : nullptr;
  }
  // The device whose window holds the address; null: none.
  Device* device_of(uint64_t address);
  // A range of device memory that a copy may touch: in a live block or a known module variable.
  bool is_device_range(uint64_t address, uint64_t bytes, Device** device);
  bool is_device_address(uint64_t address);

  // 0, CU_STREAM_LEGACY, CU_STREAM_PER_THREAD or a stream's name. Null with *error set.
  Stream* resolve(CUstream stream, CUresult* error);
  // The function a CUfunction or CUkernel means on a device; only a CUkernel has one on each. Null
  // with *error set.
  Function* resolve(CUfunction function, int on, CUresult* error);
  // The command with this number now belongs to the stream's work.
  void touch(Stream* stream, uint64_t sequence) {
    raise_to(stream->last_sequence, sequence);
    stream->device->work.touch();
    if (host_calls_.pending()) [[unlikely]] {
      host_calls_.throttle();
    }
  }

  PostedErrors errors;
  std::vector<std::unique_ptr<Device>> devices;
  int driver_version = 0;
  bool launch_blocking = false;  // CUDA_LAUNCH_BLOCKING
  // As the server described them, before CUDA_VISIBLE_DEVICES: what monitoring tools see.
  std::vector<protocol::control::Device> told_devices;

  HandleTable<Stream, protocol::HandleKind::kStream> streams;
  HandleTable<Event, protocol::HandleKind::kEvent> events;
  HandleTable<Module, protocol::HandleKind::kModule> modules;
  HandleTable<Function, protocol::HandleKind::kKernel> functions;
  HandleTable<Context, LocalKind::kContext> contexts;
  HandleTable<Graph, protocol::HandleKind::kGraph> graphs;
  HandleTable<GraphExec, protocol::HandleKind::kExec> graph_execs;
  HandleTable<GraphNode, LocalKind::kGraphNode> graph_nodes;
  HandleTable<UserObject, LocalKind::kUserObject> user_objects;
  Captures captures;
  HostFunctions host_functions;  // of graphs
  GraphMemories graph_memories;

  std::mutex peers_mutex;
  std::set<std::pair<int, int>> peers;  // who was given access to whose memory; guarded by it

  struct Variable {
    uint64_t bytes = 0;
    Device* device = nullptr;
    uint64_t module = 0;
    uint64_t id = 0;
  };
  std::shared_mutex variables_mutex;
  std::map<uint64_t, Variable> variables;  // by address; module variables the program asked for

  VirtualMemory virtual_memory;
  SharedMemory shared_memory;
  TensorMaps tensor_maps;
  StreamAttributes stream_attributes;
  ContextGoods context_goods;

  // Module images are uploaded one after the other: the parts of one that two threads miss at the
  // same time must not mix.
  std::mutex upload_mutex;
  std::atomic<uint64_t> uploads = 0;  // so many are over; counted with upload_mutex

  std::atomic<uint64_t> next_ticket = 1;
  std::atomic<uint64_t> next_unique_id = 1;

 private:
  Session(const ClientSettings& settings, std::unique_ptr<transport::Channel> channel);
  bool shake_hands(Lanes::Connect connect, std::string* error);
  bool reserve_windows(std::string* error);
  void give_up(const std::string& what);

  const ClientSettings settings_;
  const std::unique_ptr<transport::Channel> channel_;
  Loss loss_;
  Inbox inbox_;
  Courier courier_;
  CommandLog log_;
  Lanes lanes_;
  HostCalls host_calls_;
  std::atomic<uint64_t> asked_ = 0;
  int64_t alive_ms_ = 0;
  LongCalls long_calls_{
      {protocol::limits::cudax_long_bytes_max, protocol::limits::cudax_long_calls_max}};
};

// The process's session, started if need be. Null: *error says why (lost, no server, forked child).
Session* session(CUresult* error);
// The session if there is one, whatever its state; never starts it.
Session* session_if_any();
// For tests: ends the session if there is one; the next start uses this channel instead of
// connecting (null: it connects), and `connect` for its lanes (null: it has none).
FARLANE_CORE_API void use_channel_for_session(std::unique_ptr<transport::Channel> channel,
                                              const ClientSettings& settings,
                                              Lanes::Connect connect = nullptr);

// Handles and their objects.
inline uint64_t bits_of(const void* handle) {
  return reinterpret_cast<uint64_t>(handle);
}
template <class H>
H handle_of(uint64_t bits) {
  return reinterpret_cast<H>(bits);
}

// What a call returns whose command got this number.
inline CUresult posted(uint64_t sequence) {
  return sequence == 0 ? kServerLost : CUDA_SUCCESS;
}

// The record of an event that other processes may wait for has been made: they learn about it by
// other ways, and must not come before it.
CUresult settle_record(Session* s, CUstream stream, uint64_t sequence);
// Gives back what only exported descriptors kept and nobody has open any more. Costs nothing where
// there is none.
void release_closed(Session* s);

// All peer access of a device, given and had, ends.
void peer_access_reset(Session* s, int device);

// A copy's ends are where they may be; which are the device's.
CUresult check_copy_ends(Session* s, const Copy& box, bool* to_device, bool* from_device);
// The place of a function of the program in a stream that is not captured. Its number; 0 when the
// session is lost.
uint64_t post_host_call(Session* s, Stream* stream, std::function<void(CUresult status)> function);
// From device to host memory of any kind, without waiting.
CUresult copy_to_host_later(const Copy& box, CUstream stream);

// Something was made that goes with the thread's current context, if that is one of cuCtxCreate.
void note_made(Session* s, uint64_t name);
// memory_allocate, event_create and module_load_with for what goes with no context.
CUresult make_block(int device, size_t bytes, CUdeviceptr* address);
CUresult make_event(int device, unsigned flags, CUevent* event);
CUresult load_module(int device, std::span<const void* const> images,
                     std::span<const JitOption> options, CUmodule* module, std::string* log);

// Contexts were destroyed, or the session they belong to was: threads look their device up anew.
void contexts_changed();

// Libraries and their kernels exist without a session: they are registered before main().
HandleTable<Library, LocalKind::kLibrary>& libraries();
HandleTable<LibraryKernel, LocalKind::kLibraryKernel>& library_kernels();

}  // namespace farlane::client
