// Executes one session's log: receives frames, decodes commands in place, calls the driver,
// answers.
//
// One thread owns everything here and never waits in the driver: what must wait becomes an event on
// the stream, and the answer leaves when it has fired (Wait). Commands of the client's other
// threads go on meanwhile. Only a copy that finds no staging slot holds the log up, because nothing
// may overtake it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "conf/server_settings.h"
#include "generated/protocol/messages.h"
#include "protocol/limits.h"
#include "protocol/record.h"
#include "server/backlog.h"
#include "server/bulk_engine.h"
#include "server/command_clocks.h"
#include "server/copy_engine.h"
#include "server/cudax/communicators.h"
#include "server/cudax/host.h"
#include "server/cudax/long_calls.h"
#include "server/graph.h"
#include "server/handle_table.h"
#include "server/host.h"
#include "server/image_cache.h"
#include "server/ipc.h"
#include "server/lanes.h"
#include "server/module.h"
#include "server/outbox.h"
#include "server/output_source.h"
#include "server/shared_host.h"
#include "transport/channel.h"

namespace farlane::server {

namespace message = protocol::message;
using protocol::RecordHeader;

// Why a session ended.
enum class SessionEnd : uint8_t {
  kNotYet,
  kClientDone,    // it said goodbye
  kPeerGone,      // the connection ended without one
  kProtocol,      // the client broke the protocol
  kVersion,       // it speaks another version
  kTimeout,       // it was silent for too long
  kDraining,      // the server is shutting down
  kWorkerFailed,  // the device or this process cannot go on
};
const char* session_end_name(SessionEnd end);

class Executor final : private transport::FrameSink {
 public:
  // `output` may be null: device output then goes wherever this process's does.
  Executor(Host& host, transport::Channel& channel, const ServerSettings& settings,
           OutputSource* output);
  // Frees everything the session made. Waits for the device.
  ~Executor() override;

  // Executes until the session ends.
  SessionEnd run();
  // One pass without waiting, for tests. True when something was done.
  bool step();

  SessionEnd end() const { return end_; }
  const std::string& end_text() const { return end_text_; }
  // Up to here all commands are executed.
  uint64_t executed() const { return backlog_.is_empty() ? taken_ : backlog_.first_sequence() - 1; }
  // Any thread: ends the session as soon as the executor looks.
  void request_end(SessionEnd end, std::string text);

  // Bulk lanes. Any thread: a connection that asks to become one.
  void adopt_lane(std::unique_ptr<transport::Channel> channel) { lanes_.adopt(std::move(channel)); }
  // By way of what this session's memory and events are shared with others; null (a test without
  // a supervisor): they are not. Before run().
  void set_ipc(Ipc* ipc) {
    ipc_ = ipc;
    ipc->set_wake([this] { channel_.wake(); });
  }
  // What the client must know for that; made here unless somebody else did. Before run().
  void set_session_token(std::string token) { lanes_.set_token(std::move(token)); }
  const Lanes& lanes() const { return lanes_; }
  // How often it slept because only lanes had work. Any thread.
  uint64_t lane_naps() const { return lane_naps_.load(std::memory_order_relaxed); }

  // --- one per command; called by the generated dispatch. False stops the frame.
  bool on(const RecordHeader& header, const message::Control& control);
  bool on(const RecordHeader& header, const message::ClientAlive& alive);
  bool on(const RecordHeader& header, const message::ExtentRelease& release);
  bool on(const RecordHeader& header, const message::ReuseFence& fence);
  bool on(const RecordHeader& header, const message::PeerAccess& access);
  bool on(const RecordHeader& header, const message::PeerAttribute& ask);
  bool on(const RecordHeader& header, const message::CopyIn& copy, std::span<std::byte> body);
  bool on(const RecordHeader& header, const message::CopyOut& copy);
  bool on(const RecordHeader& header, const message::CopyInLanes& copy);
  bool on(const RecordHeader& header, const message::CopyOutLanes& copy);
  bool on(const RecordHeader& header, const message::LaneData& data, std::span<std::byte> body);
  bool on(const RecordHeader& header, const message::HostMap& map);
  bool on(const RecordHeader& header, const message::HostUnmap& unmap);
  bool on(const RecordHeader& header, const message::CopyInShared& copy);
  bool on(const RecordHeader& header, const message::CopyOutShared& copy);
  bool on(const RecordHeader& header, const message::MonitorCall& call);
  bool on(const RecordHeader& header, const message::CopyWithin& copy);
  bool on(const RecordHeader& header, const message::Fill& fill);
  bool on(const RecordHeader& header, const message::StreamCreate& create);
  bool on(const RecordHeader& header, const message::StreamDestroy& destroy);
  bool on(const RecordHeader& header, const message::StreamWait& wait);
  bool on(const RecordHeader& header, const message::EventCreate& create);
  bool on(const RecordHeader& header, const message::EventDestroy& destroy);
  bool on(const RecordHeader& header, const message::EventRecord& record);
  bool on(const RecordHeader& header, const message::ImagePart& part, std::span<std::byte> body);
  bool on(const RecordHeader& header, const message::ModuleUnload& unload);
  bool on(const RecordHeader& header, const message::KernelBind& bind);
  bool on(const RecordHeader& header, const message::KernelSet& set);
  bool on(const RecordHeader& header, const message::KernelCache& cache);
  bool on(const RecordHeader& header, const message::Launch& launch);
  bool on(const RecordHeader& header, const message::WindowsReserve& reserve);
  bool on(const RecordHeader& header, const message::ExtentCreate& create);
  bool on(const RecordHeader& header, const message::MemoryInfo& info);
  bool on(const RecordHeader& header, const message::StreamSynchronize& synchronize);
  bool on(const RecordHeader& header, const message::EventSynchronize& synchronize);
  bool on(const RecordHeader& header, const message::DeviceSynchronize& synchronize);
  bool on(const RecordHeader& header, const message::StreamQuery& query);
  bool on(const RecordHeader& header, const message::EventQuery& query);
  bool on(const RecordHeader& header, const message::EventElapsed& elapsed);
  bool on(const RecordHeader& header, const message::ModuleLoad& load);
  bool on(const RecordHeader& header, const message::VariableFind& find);
  bool on(const RecordHeader& header, const message::KernelFactsGet& get);
  bool on(const RecordHeader& header, const message::OccupancyBlocks& occupancy);
  bool on(const RecordHeader& header, const message::OccupancyShared& occupancy);
  bool on(const RecordHeader& header, const message::LimitGet& get);
  bool on(const RecordHeader& header, const message::LimitSet& set);
  bool on(const RecordHeader& header, const message::DeviceReset& reset);
  bool on(const RecordHeader& header, const message::Echo& echo);
  bool on(const RecordHeader& header, const message::KernelsMore& more);
  bool on(const RecordHeader& header, const message::CaptureBegin& begin);
  bool on(const RecordHeader& header, const message::CaptureEnd& end);
  bool on(const RecordHeader& header, const message::CaptureState& state);
  bool on(const RecordHeader& header, const message::CaptureDepend& depend);
  bool on(const RecordHeader& header, const message::GraphCreate& create);
  bool on(const RecordHeader& header, const message::GraphDestroy& destroy);
  bool on(const RecordHeader& header, const message::GraphClone& clone);
  bool on(const RecordHeader& header, const message::GraphChild& child);
  bool on(const RecordHeader& header, const message::GraphInstantiate& instantiate);
  bool on(const RecordHeader& header, const message::GraphLaunch& launch);
  bool on(const RecordHeader& header, const message::GraphUpload& upload);
  bool on(const RecordHeader& header, const message::ExecDestroy& destroy);
  bool on(const RecordHeader& header, const message::ExecUpdate& update);
  bool on(const RecordHeader& header, const message::GraphShape& shape);
  bool on(const RecordHeader& header, const message::GraphEdges& edges);
  bool on(const RecordHeader& header, const message::NodeDestroy& destroy);
  bool on(const RecordHeader& header, const message::NodeEnable& enable);
  bool on(const RecordHeader& header, const message::KernelNode& node);
  bool on(const RecordHeader& header, const message::CopyNode& node);
  bool on(const RecordHeader& header, const message::FillNode& node);
  bool on(const RecordHeader& header, const message::EventNode& node);
  bool on(const RecordHeader& header, const message::ChildNode& node);
  bool on(const RecordHeader& header, const message::EmptyNode& node);
  bool on(const RecordHeader& header, const message::NodeAttribute& attribute);
  bool on(const RecordHeader& header, const message::NodeAttributesCopy& copy);
  bool on(const RecordHeader& header, const message::KernelNodeGet& get);
  bool on(const RecordHeader& header, const message::CopyNodeGet& get);
  bool on(const RecordHeader& header, const message::FillNodeGet& get);
  bool on(const RecordHeader& header, const message::EventNodeGet& get);
  bool on(const RecordHeader& header, const message::NodeAttributeGet& get);
  bool on(const RecordHeader& header, const message::GraphDot& dot);
  bool on(const RecordHeader& header, const message::HostNode& node);
  bool on(const RecordHeader& header, const message::HostCaptured& captured);
  bool on(const RecordHeader& header, const message::HostNodeGet& get);
  bool on(const RecordHeader& header, const message::ExecParts& parts);
  bool on(const RecordHeader& header, const message::StandInsMove& move);
  bool on(const RecordHeader& header, const message::PartLaunch& launch);
  bool on(const RecordHeader& header, const message::MemoryNode& node);
  bool on(const RecordHeader& header, const message::MemoryCaptured& captured);
  bool on(const RecordHeader& header, const message::MemoryNodeGet& get);
  bool on(const RecordHeader& header, const message::ConditionCreate& create);
  bool on(const RecordHeader& header, const message::ConditionNode& node);
  bool on(const RecordHeader& header, const message::JitOptions& options);
  bool on(const RecordHeader& header, const message::JitOutcome& outcome);
  bool on(const RecordHeader& header, const message::WorkerTimes& times);
  bool on(const RecordHeader& header, const message::CudaxOpen& open);
  bool on(const RecordHeader& header, const message::CudaxCall& call);
  bool on(const RecordHeader& header, const message::CudaxAsk& ask);
  bool on(const RecordHeader& header, const message::CudaxPiece& piece);
  bool on(const RecordHeader& header, const message::CudaxLongCall& call);
  bool on(const RecordHeader& header, const message::CudaxLongAsk& ask);
  bool on(const RecordHeader& header, const message::CudaxResults& ask);
  bool on(const RecordHeader& header, const message::CudaxGroup& group);
  bool on(const RecordHeader& header, const message::CudaxGroupAsk& ask);
  bool on(const RecordHeader& header, const message::CudaxAbort& abort);
  bool on(const RecordHeader& header, const message::HostCall& call);
  bool on(const RecordHeader& header, const message::HostCallDone& done);
  bool on(const RecordHeader& header, const message::HostCallCopy& copy, std::span<std::byte> body);
  bool on(const RecordHeader& header, const message::MemoryCreate& create);
  bool on(const RecordHeader& header, const message::MemoryRelease& release);
  bool on(const RecordHeader& header, const message::MemoryMap& map);
  bool on(const RecordHeader& header, const message::MemoryUnmap& unmap);
  bool on(const RecordHeader& header, const message::MemoryAccess& access);
  bool on(const RecordHeader& header, const message::MemoryShare& share);
  bool on(const RecordHeader& header, const message::MemoryOpen& open);
  bool on(const RecordHeader& header, const message::EventShare& share);
  bool on(const RecordHeader& header, const message::EventOpen& open);
  bool on(const RecordHeader& header, const message::StreamSet& set);
  bool on(const RecordHeader& header, const message::TensorMapEncode& encode);
  bool on(const RecordHeader& header, const message::TensorMapMove& move);
  bool on(const RecordHeader& header, const message::OccupancyClusters& clusters);

 private:
  struct Event {
    EventRef driver;
    Device* device = nullptr;
    unsigned flags = 0;
    std::weak_ptr<Capture> capture;  // its last record was captured
    bool is_in_graph = false;        // nodes have it: the driver's event may not be another one
    std::string shared_as;           // the name other sessions know it by
  };

  // What to do when all events of a Wait have fired.
  enum class Then : uint8_t {
    kReplyStream,
    kReplyEvent,
    kReplyDevice,
    kExtentReady,    // reply to extent_create
    kExtentRelease,  // unmap and give back
    kHostUnmap,      // the client's memory is its own again
    kDeviceReset,    // take everything down, then reply
  };
  struct Wait {
    Then then = Then::kReplyStream;
    uint64_t sequence = 0;
    uint64_t since = 0;  // clocks_
    Device* device = nullptr;
    uint64_t address = 0;
    std::vector<Device::Mark> marks;
    size_t fired = 0;
    CUresult result = CUDA_SUCCESS;
  };
  // A place in a stream where the client has something to do. Its command waits in the backlog.
  struct HostCall {
    uint64_t command = 0;
    protocol::StreamId stream;
    EventRef reached;  // by the stream
    CUresult result = CUDA_SUCCESS;
    bool due = false;
    bool done = false;
  };
  // An ask that has to wait until extents on their way out are gone.
  struct WaitingAsk {
    protocol::Op op;
    uint64_t sequence = 0;
    Device* device = nullptr;
    uint64_t address = 0;
    uint64_t bytes = 0;
    uint64_t memory = 0;  // the name of memory to create
    uint8_t compression = 0;
  };
  // Memory that the program made. A name is never used again.
  struct Memory {
    Device* device = nullptr;
    std::shared_ptr<PhysicalMemory>
        physical;  // null: it could not be made, or its device was reset
  };

  // --- executor.cc: the loop
  transport::MutableBytes place(transport::Bytes head, uint32_t body_bytes) override;
  void deliver(transport::Bytes head, transport::MutableBytes body) override;
  bool receive();
  bool look_again();
  void execute(std::span<const std::byte> head, std::span<std::byte> body);
  bool execute_record(const protocol::Record& record, std::span<std::byte> body);
  bool dispatch(const protocol::Record& record, std::span<std::byte> body);
  bool answer_not_ready(const RecordHeader& header);
  bool retry_backlog();
  bool resume();
  bool is_stalled() const { return stalled_bytes_ != 0; }
  bool may_receive() const;
  void wait_for_something();
  bool may_nap() const;
  bool nap();
  void check_requests();
  void say_goodbye();
  void pulse_loop(int64_t interval_ms);

  // --- errors and answers
  void end_session(SessionEnd end, std::string text);
  bool fault(const RecordHeader& header, const std::string& what);
  // A posted command's outcome: latches the first error. `subject` is made into text only then.
  template <class Subject>
  bool posted(const RecordHeader& header, CUresult result, Subject&& subject) {
    if (result != CUDA_SUCCESS) [[unlikely]] {
      if (end_ == SessionEnd::kNotYet) latch(header, result, subject());
    }
    return end_ == SessionEnd::kNotYet;
  }
  void latch(const RecordHeader& header, CUresult result, std::string subject);
  void tell_latched();
  template <class Reply>
  bool answer(uint64_t sequence, Reply reply, CUresult result) {
    if (end_ != SessionEnd::kNotYet) return false;
    const CommandClocks::Answering answering(clocks_, Reply::kOp);
    note_sticky(result);
    tell_latched();
    reply.result = result;
    reply.executed = executed();
    outbox_.append(reply, sequence);
    return true;
  }
  void note_sticky(CUresult result);
  void acknowledge(bool idle);
  // False: the peer is gone.
  [[nodiscard]] bool push();
  // Data of copies that the devices have read goes to the client. True: there was something.
  bool deliver_data();
  void tell_output(const EventRef* event);

  // Launch attributes as the driver takes them, their events found. Others than plain values and
  // events of the client's are refused.
  CUresult translate(const RecordHeader& header,
                     std::span<const message::LaunchAttribute> attributes,
                     std::vector<CUlaunchAttribute>* out);

  // --- lookups: null with *result set, or with the session ended for a name that never was
  const StreamRef* find_stream(const RecordHeader& header, protocol::StreamId id, CUresult* result);
  Event* find_event(const RecordHeader& header, protocol::EventId id, CUresult* result);
  Kernel* find_kernel(const RecordHeader& header, protocol::KernelId id, CUresult* result);
  Module* find_module(const RecordHeader& header, protocol::ModuleId id, CUresult* result);
  Device* find_device(const RecordHeader& header, uint32_t ordinal, CUresult* result);
  // Graphs of a capture under way have the nodes captured so far.
  Graph* find_graph(const RecordHeader& header, protocol::GraphId id, CUresult* result);
  GraphExec* find_exec(const RecordHeader& header, protocol::ExecId id, CUresult* result);
  Graph* find_node(const RecordHeader& header, protocol::GraphId id, uint32_t number,
                   CUgraphNode* node, CUresult* result);
  void add_event(Graph* graph, const GraphEvent& event);
  // So much of the stream waits in the driver that more of it might make the driver wait, too: then
  // the command must be tried again (stall_).
  bool is_far_ahead(Stream& stream);
  CUresult make_current(Device& device);
  CUresult fence_devices();
  bool is_blocking(protocol::StreamId id);
  void add_events_of(protocol::ExecId id, uint32_t part, Touches* touches);
  // The stream of a copy to the client that may begin. Null: it was refused with its ticket, or the
  // session has ended.
  template <class Copy>
  const StreamRef* admit_out(const RecordHeader& header, const Copy& copy);
  // Whether a client may touch rows at `address`.
  bool may_touch(uint64_t address, uint64_t pitch, uint64_t width, uint64_t height) const;

  // --- waits
  // The driver need not be asked: nothing is under way, nothing went wrong, nothing was printed.
  bool is_known_idle(const Stream& stream) const {
    return sticky_ == CUDA_SUCCESS && latched_ == CUDA_SUCCESS && !stream.device->prints &&
           stream.device->is_idle(stream);
  }
  Wait& new_wait(Then then, uint64_t sequence, Device* device);
  bool poll(Wait& wait);
  bool progress();
  bool client_waits_for_device() const;
  void finish(Wait& wait);
  void finish_release(Wait& wait);
  void reset_device(Device& device);
  CUresult create_extent(const WaitingAsk& ask, bool* deferred);
  CUresult create_memory(const WaitingAsk& ask, bool* deferred);
  // The window that holds the range. Null: none does, or it is not made of whole granules.
  Device* find_window(uint64_t address, uint64_t bytes);
  void answer_memory_info(const WaitingAsk& ask);
  bool retry_waiting_asks();
  bool has_release_pending(const Device& device) const;

  // --- executor_graphs.cc, executor_graph_nodes.cc
  CUresult join_capture(const StreamRef& stream, const CaptureRef& capture);
  void leave_capture(const StreamRef& stream);
  void end_capture(const CaptureRef& capture);
  // Ends it without a graph, unless the graph was there before.
  void abandon_capture(CaptureRef capture);
  void hold_in_graph(Event& event, protocol::EventId id, bool waits, const Capture& capture);
  void reset_graphs(Device& device);
  CUresult destroy_exec(GraphExec& exec);
  template <class M, class Add, class Change, class ChangeExec>
  bool put_node(const RecordHeader& header, const M& command, CUresult wrong, Add&& add,
                Change&& change, ChangeExec&& change_exec, GraphEvent event = {});
  template <class Add>
  CUresult add_node(const Graph& graph, std::span<const message::GraphDependency> dependencies,
                    CUgraphNode* node, Add&& add);

  // --- executor_ipc.cc
  // A question to the supervisor that a command waits for.
  struct IpcAsk {
    protocol::Op op;
    std::string name;
    std::shared_ptr<PhysicalMemory> memory;  // kMemoryShare
    uint64_t offset = 0;
    uint64_t memory_name = 0;  // kMemoryOpen
    protocol::EventId event;   // kEventShare, kEventOpen
    Device* device = nullptr;
  };
  // Asks for what has the name; answered in progress_ipc().
  bool open_shared(const RecordHeader& header, IpcAsk ask);
  bool progress_ipc();
  void finish_share(const IpcAsk& ask, uint64_t sequence, const IpcAnswer& answer);
  void finish_memory_open(const IpcAsk& ask, uint64_t sequence, const IpcAnswer& answer);
  void finish_event_open(const IpcAsk& ask, uint64_t sequence, const IpcAnswer& answer);

  // --- executor_cudax.cc
  cudax::Host& cudax();
  template <class Command>
  bool call_library(const RecordHeader& header, const Command& command,
                    std::span<const std::byte> arguments, size_t results_max,
                    cudax::Outcome* outcome, CUresult* result);
  template <class Command>
  bool call_in_pieces(const RecordHeader& header, const Command& command, cudax::Outcome* outcome,
                      CUresult* result);
  void tell_failure(const RecordHeader& header, uint32_t function, const cudax::Outcome& outcome);

  // --- executor_groups.cc: calls that other threads make
  struct Group {
    uint64_t sequence = 0;
    protocol::Op op = protocol::Op::kCudaxGroup;
    bool tells = false;     // success, too
    bool holds_up = false;  // its streams: it is looked at when its command's turn comes again
    cudax::Communicators::WorkRef work;
  };
  cudax::Communicators& communicators();
  template <class Command>
  bool read_group(const RecordHeader& header, const Command& command,
                  cudax::Communicators::Request* request, CUresult* result);
  template <class Command>
  bool make_group(const RecordHeader& header, const Command& command);
  bool settle(const Group& group, const std::vector<uint64_t>& objects,
              const cudax::Outcome& outcome);
  bool progress_groups();

  // --- executor_bulk.cc: what comes and goes on the bulk lanes
  bool progress_bulk();
  void check_lanes();
  void check_patience(std::string_view what, transport::Clock::time_point since,
                      transport::Clock::duration more, transport::Clock::time_point* deadline);
  void check_bulk_silence(transport::Clock::time_point* deadline);
  void check_lane_readers(transport::Clock::time_point* deadline);

  // --- executor_shared_host.cc: host memory that the client shares
  template <class Copy>
  bool copy_shared(const RecordHeader& header, const Copy& copy, bool to_device);

  const DriverTable& driver_;
  Host& host_;
  transport::Channel& channel_;
  const ServerSettings settings_;
  OutputSource* const output_;
  CommandClocks clocks_;

  // Order matters: events and slots go back to pools and devices that outlive them.
  Outbox outbox_;
  CopyEngine copies_;
  std::vector<DataLook> looks_;  // deliver_data()'s
  std::atomic<int> naps_ = 0;    // until a time that is near: lanes need not wake it
  std::atomic<uint64_t> lane_naps_ = 0;
  Lanes lanes_;
  BulkEngine bulk_;
  SharedHost shared_;
  Backlog backlog_{[this](protocol::StreamId id) { return is_blocking(id); },
                   [this](protocol::ExecId id, uint32_t part, Touches* touches) {
                     add_events_of(id, part, touches);
                   }};
  ImageCache images_;
  HandleTable<protocol::StreamId, StreamRef> streams_;
  HandleTable<protocol::EventId, Event> events_;
  HandleTable<protocol::ModuleId, std::unique_ptr<Module>> modules_;
  HandleTable<protocol::KernelId, Kernel> kernels_;
  HandleTable<protocol::GraphId, Graph> graphs_;
  HandleTable<protocol::ExecId, GraphExec> execs_;
  std::vector<std::unique_ptr<Wait>> waits_;  // in the order of the log
  std::vector<std::unique_ptr<Wait>> spare_waits_;
  std::vector<WaitingAsk> waiting_asks_;
  std::vector<CUlaunchAttribute> launch_attributes_;  // of the launch at hand
  // Of modules that are not loaded yet.
  std::unordered_map<protocol::ModuleId, std::vector<message::JitOption>> jit_options_;
  std::unordered_map<uint64_t, Memory> memories_;      // by name
  std::unordered_map<uint64_t, HostCall> host_calls_;  // whose turn has come, by ticket

  std::unique_ptr<cudax::Host> cudax_;  // made at the first call of a library
  std::unique_ptr<cudax::Communicators> communicators_;
  std::vector<Group> groups_;                    // under way
  cudax::Communicators::Request group_request_;  // of the group at hand
  std::vector<Stream*> group_streams_;           // the same
  std::atomic<bool> groups_changed_{false};      // one of them is done, or there is news

  Ipc* ipc_ = nullptr;
  std::unordered_map<uint64_t, IpcAsk> ipc_asks_;  // by sequence

  Device* current_ = nullptr;  // whose context is this thread's
  uint32_t device_count_ = 0;  // of this session
  bool welcomed_ = false;
  uint64_t taken_ = 0;        // the last command taken from the log
  uint64_t taken_bytes_ = 0;  // of frame heads
  uint64_t acknowledged_bytes_ = 0;
  uint64_t acknowledged_ = 0;

  // The rest of a frame whose next command found no staging slot.
  std::unique_ptr<std::byte[]> stalled_head_;
  size_t stalled_begin_ = 0;
  size_t stalled_bytes_ = 0;
  std::span<std::byte> stalled_body_;
  bool stall_ = false;              // set by a command that could not go on
  bool stall_is_long_ = false;      // because of what only the client may end
  bool body_has_no_place_ = false;  // a frame waits in the channel for a slot

  // The first error of a posted command that the client has not been told.
  CUresult latched_ = CUDA_SUCCESS;
  uint64_t latched_sequence_ = 0;
  std::string latched_text_;
  CUresult sticky_ = CUDA_SUCCESS;  // the one that the client knows

  SessionEnd end_ = SessionEnd::kNotYet;
  std::string end_text_;
  transport::Clock::time_point last_received_;
  transport::Clock::time_point last_progress_;
  transport::Clock::time_point stopped_said_;  // of which silence the log has a line

  std::atomic<bool> end_requested_{false};
  std::mutex request_mutex_;
  SessionEnd requested_end_ = SessionEnd::kNotYet;  // guarded by request_mutex_
  std::string requested_text_;                      // guarded by request_mutex_

  uint32_t peer_heartbeat_ms_ = 0;

  // When the bulk lanes last got rid of a piece, as far as anybody looked.
  uint64_t lanes_sent_ = 0;
  transport::Clock::time_point lanes_sent_at_;
  cudax::LongCalls long_calls_{
      {protocol::limits::cudax_long_bytes_max, protocol::limits::cudax_long_calls_max}};
};

}  // namespace farlane::server
