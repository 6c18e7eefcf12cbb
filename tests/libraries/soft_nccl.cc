// A libnccl.so.2 for machines without a GPU: the functions that tests call, on the software device,
// between processes of one machine.
//
// The worker that is asked for an id becomes the meeting place: a thread of it listens on a unix
// socket whose name is the id, and moves what ranks send. A collective is a host function on its
// stream, which exchanges with the meeting place and waits for the other ranks, as a kernel would.
// The first use of a peer in a direction connects with it and waits for it, in the call or at its
// group's end. When a rank goes, the others' communicators fail.
#include <cuda.h>
#include <dlfcn.h>
#include <nccl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#define EXPORTED extern "C" __attribute__((visibility("default")))

namespace {

// ---- the driver, which the worker has loaded

template <class F>
F driver(const char* name) {
  static void* const library = ::dlopen(SOFTCUDA_SONAME, RTLD_NOW | RTLD_NOLOAD);
  return library == nullptr ? nullptr : reinterpret_cast<F>(::dlsym(library, name));
}

bool launch_host(CUstream stream, CUhostFn function, void* data) {
  static const auto launch = driver<CUresult (*)(CUstream, CUhostFn, void*)>("cuLaunchHostFunc");
  return launch != nullptr && launch(stream, function, data) == CUDA_SUCCESS;
}

// ---- messages: a header, then bytes

enum class Kind : uint32_t { kJoin, kJoined, kOp, kDone, kFailed, kLeave };
enum class Op : uint32_t {
  kReduce,
  kBroadcast,
  kAllReduce,
  kReduceScatter,
  kAllGather,
  kAlltoAll,
  kGather,
  kScatter,
  kSend,
  kRecv,
  kConnectSend,
  kConnectRecv,
  kSplit
};

struct Header {
  Kind kind = Kind::kJoin;
  Op op = Op::kReduce;
  int32_t rank = 0;
  int32_t ranks = 0;
  int32_t peer = 0;  // or root; a split's color
  int32_t key = 0;
  uint32_t type = 0;
  uint32_t reduction = 0;
  uint64_t count = 0;
  uint64_t number = 0;  // of the collective, of this rank's
  uint64_t bytes = 0;   // that follow
};

bool write_all(int fd, const void* data, size_t bytes) {
  const char* at = static_cast<const char*>(data);
  while (bytes != 0) {
    const ssize_t n = ::send(fd, at, bytes, MSG_NOSIGNAL);
    if (n <= 0) return false;
    at += n;
    bytes -= static_cast<size_t>(n);
  }
  return true;
}

bool read_all(int fd, void* data, size_t bytes) {
  char* at = static_cast<char*>(data);
  while (bytes != 0) {
    const ssize_t n = ::recv(fd, at, bytes, 0);
    if (n <= 0) return false;
    at += n;
    bytes -= static_cast<size_t>(n);
  }
  return true;
}

bool send_message(int fd, Header header, const std::vector<char>& data) {
  header.bytes = data.size();
  return write_all(fd, &header, sizeof header) && write_all(fd, data.data(), data.size());
}

bool read_message(int fd, Header* header, std::vector<char>* data) {
  if (!read_all(fd, header, sizeof *header)) return false;
  data->resize(header->bytes);
  return read_all(fd, data->data(), data->size());
}

size_t type_bytes(uint32_t type) {
  switch (type) {
    case ncclInt8:
    case ncclUint8:
      return 1;
    case ncclInt64:
    case ncclUint64:
    case ncclFloat64:
      return 8;
    default:
      return 4;
  }
}

template <class T>
void reduce_as(std::vector<char>* into, const std::vector<char>& from, uint32_t op) {
  auto* a = reinterpret_cast<T*>(into->data());
  const auto* b = reinterpret_cast<const T*>(from.data());
  for (size_t i = 0; i < into->size() / sizeof(T); ++i) {
    switch (op) {
      case ncclProd:
        a[i] = static_cast<T>(a[i] * b[i]);
        break;
      case ncclMax:
        a[i] = std::max(a[i], b[i]);
        break;
      case ncclMin:
        a[i] = std::min(a[i], b[i]);
        break;
      default:
        a[i] = static_cast<T>(a[i] + b[i]);
    }
  }
}

void reduce(std::vector<char>* into, const std::vector<char>& from, const Header& header) {
  switch (header.type) {
    case ncclInt32:
      return reduce_as<int32_t>(into, from, header.reduction);
    case ncclInt64:
      return reduce_as<int64_t>(into, from, header.reduction);
    case ncclFloat64:
      return reduce_as<double>(into, from, header.reduction);
    case ncclFloat32:
      return reduce_as<float>(into, from, header.reduction);
    default:
      return reduce_as<uint8_t>(into, from, header.reduction);
  }
}

// ---- the meeting place, in the worker that made the id

class Hub {
 public:
  explicit Hub(int listener) : listener_(listener) {}

  void run() {
    std::vector<pollfd> fds{{listener_, POLLIN, 0}};
    while (::poll(fds.data(), fds.size(), -1) > 0) {
      for (const pollfd& fd : fds) {
        if (fd.revents == 0) continue;
        if (fd.fd == listener_) {
          const int rank = ::accept(listener_, nullptr, nullptr);
          if (rank >= 0) members_[rank] = {};
        } else {
          take(fd.fd);
        }
      }
      fds.assign(1, {listener_, POLLIN, 0});
      for (const auto& [fd, member] : members_) fds.push_back({fd, POLLIN, 0});
    }
  }

 private:
  struct Message {
    Header header;
    std::vector<char> data;
  };
  struct Member {
    int rank = -1;
  };
  using Pair = std::tuple<bool, int, int>;  // whether it only connects; from, to

  void take(int fd) {
    Message message;
    if (!read_message(fd, &message.header, &message.data)) {
      const bool joined = members_[fd].rank >= 0;
      members_.erase(fd);
      ::close(fd);
      if (joined) fail();
      return;
    }
    if (message.header.kind == Kind::kJoin) {
      members_[fd].rank = message.header.rank;
      by_rank_[message.header.rank] = fd;
      ranks_ = message.header.ranks;
      if (by_rank_.size() == static_cast<size_t>(ranks_)) {
        for (const auto& [rank, member] : by_rank_)
          send_message(member, {.kind = Kind::kJoined}, {});
      }
      return;
    }
    if (message.header.kind == Kind::kLeave) {
      members_[fd].rank = -1;
      return;
    }
    const Header& h = message.header;
    const bool receives = h.op == Op::kRecv || h.op == Op::kConnectRecv;
    const bool connects = h.op == Op::kConnectSend || h.op == Op::kConnectRecv;
    const Pair pair{connects, receives ? h.peer : h.rank, receives ? h.rank : h.peer};
    if (receives) {
      wanted_[pair].push_back(h);
    } else if (connects || h.op == Op::kSend) {
      sent_[pair].push_back(std::move(message));
    } else {
      std::map<int, Message>& all = collectives_[h.number];
      const uint64_t number = h.number;
      all[h.rank] = std::move(message);
      if (all.size() == static_cast<size_t>(ranks_)) {
        finish(all);
        collectives_.erase(number);
      }
      return;
    }
    match(pair);
  }

  void match(Pair pair) {
    auto& sent = sent_[pair];
    auto& wanted = wanted_[pair];
    while (!sent.empty() && !wanted.empty()) {
      answer(wanted.front(), sent.front().data);
      answer(sent.front().header, {});
      sent.pop_front();
      wanted.pop_front();
    }
  }

  void answer(const Header& asked, const std::vector<char>& data) {
    const auto member = by_rank_.find(asked.rank);
    Header header = asked;
    header.kind = Kind::kDone;
    if (member != by_rank_.end()) send_message(member->second, header, data);
  }

  void finish(const std::map<int, Message>& all) {
    const Header& first = all.begin()->second.header;
    std::vector<char> sum = all.begin()->second.data;
    std::vector<char> together;
    for (const auto& [rank, message] : all) {
      if (rank != all.begin()->first && message.data.size() == sum.size()) {
        reduce(&sum, message.data, message.header);
      }
      together.insert(together.end(), message.data.begin(), message.data.end());
    }
    if (first.reduction == ncclAvg && first.type == ncclFloat32) {
      for (size_t i = 0; i < sum.size() / sizeof(float); ++i) {
        reinterpret_cast<float*>(sum.data())[i] /= static_cast<float>(ranks_);
      }
    }
    for (const auto& [rank, message] : all) {
      const Header& h = message.header;
      const size_t part = h.count * type_bytes(h.type);
      const auto piece = [&](const std::vector<char>& of, size_t index) {
        const auto from = of.begin() + static_cast<std::ptrdiff_t>(index * part);
        return std::vector<char>(from, from + static_cast<std::ptrdiff_t>(part));
      };
      const auto me = static_cast<size_t>(rank);
      std::vector<char> out;
      switch (h.op) {
        case Op::kReduce:
          if (rank == h.peer) out = sum;
          break;
        case Op::kAllReduce:
          out = sum;
          break;
        case Op::kReduceScatter:
          out = piece(sum, me);
          break;
        case Op::kBroadcast:
          out = all.at(h.peer).data;
          break;
        case Op::kAllGather:
          out = together;
          break;
        case Op::kGather:
          if (rank == h.peer) out = together;
          break;
        case Op::kScatter:
          out = piece(all.at(h.peer).data, me);
          break;
        case Op::kAlltoAll:
          for (const auto& [from, other] : all) {
            const std::vector<char> theirs = piece(other.data, me);
            out.insert(out.end(), theirs.begin(), theirs.end());
          }
          break;
        case Op::kSplit:  // everybody's color and key
          out = together;
          break;
        case Op::kSend:
        case Op::kRecv:
        case Op::kConnectSend:
        case Op::kConnectRecv:
          break;
      }
      answer(h, out);
    }
  }

  void fail() {
    for (const auto& [fd, member] : members_) send_message(fd, {.kind = Kind::kFailed}, {});
  }

  const int listener_;
  int ranks_ = 0;
  std::map<int, Member> members_;  // by socket
  std::map<int, int> by_rank_;     // socket
  std::map<uint64_t, std::map<int, Message>> collectives_;
  std::map<Pair, std::deque<Message>> sent_;
  std::map<Pair, std::deque<Header>> wanted_;
};

sockaddr_un address_of(const ncclUniqueId& id, socklen_t* bytes) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  // Abstract: it goes with its process.
  std::memcpy(address.sun_path + 1, id.internal, sizeof address.sun_path - 1);
  *bytes = sizeof address;
  return address;
}

ncclUniqueId new_id() {
  ncclUniqueId id{};
  std::random_device random;
  std::snprintf(id.internal, sizeof id.internal, "soft-nccl-%d-%08x%08x", ::getpid(), random(),
                random());
  return id;
}

bool start_hub(const ncclUniqueId& id) {
  const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  socklen_t bytes = 0;
  const sockaddr_un address = address_of(id, &bytes);
  if (listener < 0 || ::bind(listener, reinterpret_cast<const sockaddr*>(&address), bytes) != 0 ||
      ::listen(listener, 64) != 0) {
    return false;
  }
  std::thread([listener] { Hub(listener).run(); }).detach();
  return true;
}

thread_local std::string g_last_error;

ncclResult_t wrong(ncclResult_t status, const char* what) {
  g_last_error = what;
  return status;
}

}  // namespace

// ---- communicators

struct ncclComm {
  int rank = 0;
  int ranks = 0;
  bool blocking = true;
  std::atomic<int> fd{-1};
  std::atomic<int> state{ncclSuccess};
  std::atomic<uint64_t> number{0};
  std::atomic<uint64_t> connects{0};
  std::mutex say_mutex;
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::pair<int, uint64_t>, std::vector<char>> answers;  // by operation and number
  std::thread reader;
  std::set<std::pair<Op, int>> connected;  // in which way with which peer; one thread at a time

  std::mutex join_mutex;  // guards the next two, and making the socket and the reader
  bool joining = false;
  bool left = false;

  bool join(const ncclUniqueId& id) {
    int socket = -1;
    {
      const std::lock_guard lock(join_mutex);
      if (left) return false;
      joining = true;
      socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
      fd = socket;
    }
    const bool met = meet(socket, id);
    const std::lock_guard lock(join_mutex);
    joining = false;
    if (left) {  // aborted meanwhile: what was in use here is closed here
      ::close(socket);
      return false;
    }
    if (met) reader = std::thread([this, socket] { read(socket); });
    return met;
  }

  bool meet(int socket, const ncclUniqueId& id) {
    socklen_t bytes = 0;
    const sockaddr_un address = address_of(id, &bytes);
    if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), bytes) != 0) return false;
    Header header{.kind = Kind::kJoin, .rank = rank, .ranks = ranks};
    std::vector<char> data;
    return send_message(socket, header, {}) && read_message(socket, &header, &data) &&
           header.kind == Kind::kJoined;
  }

  void read(int socket) {
    Header header;
    std::vector<char> data;
    while (read_message(socket, &header, &data) && header.kind == Kind::kDone) {
      const std::lock_guard lock(mutex);
      answers[{static_cast<int>(header.op), header.number}] = std::move(data);
      changed.notify_all();
    }
    const std::lock_guard lock(mutex);
    if (state == ncclSuccess) state = ncclRemoteError;
    changed.notify_all();
  }

  // Any thread: streams' host functions run side by side.
  bool say(const Header& header, const std::vector<char>& data) {
    const std::lock_guard lock(say_mutex);
    return send_message(fd, header, data);
  }

  // False: another rank is gone, or this communicator is.
  bool exchange(Header header, const std::vector<char>& data, std::vector<char>* answer) {
    header.kind = Kind::kOp;
    header.rank = rank;
    if (!say(header, data)) return false;
    return take(header, answer);
  }
  bool take(const Header& header, std::vector<char>* answer) {
    const std::pair key(static_cast<int>(header.op), header.number);
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return answers.contains(key) || state != ncclSuccess; });
    if (!answers.contains(key)) return false;
    *answer = std::move(answers[key]);
    answers.erase(key);
    return true;
  }

  void leave() {
    {
      const std::lock_guard lock(join_mutex);
      left = true;
      ::shutdown(fd, SHUT_RDWR);
      if (joining) return;
    }
    if (reader.joinable()) reader.join();
    ::close(fd);
  }
};

namespace {

// What is wrong from the worker is told apart.
std::mutex g_mutex;
std::set<ncclComm*> g_live;
std::map<int, float> g_factors;  // of operators that were made
int g_next_operator = ncclNumOps;

bool is_live(ncclComm_t comm) {
  const std::lock_guard lock(g_mutex);
  return g_live.contains(comm);
}

ncclResult_t make_comm(ncclComm_t* out, int ranks, const ncclUniqueId& id, int rank,
                       bool blocking) {
  auto* comm = new ncclComm;
  comm->rank = rank;
  comm->ranks = ranks;
  comm->blocking = blocking;
  {
    const std::lock_guard lock(g_mutex);
    g_live.insert(comm);
  }
  *out = comm;
  if (blocking) {
    if (comm->join(id)) return ncclSuccess;
    *out = nullptr;
    return wrong(ncclSystemError, "nobody is at the meeting place");
  }
  comm->state = ncclInProgress;
  std::thread([comm, id] {
    comm->state = comm->join(id) ? ncclSuccess : ncclSystemError;
  }).detach();
  return ncclInProgress;
}

// ---- groups: what a thread gathers

struct Work {
  ncclComm_t comm = nullptr;
  CUstream stream = nullptr;
  Header header;
  const char* from = nullptr;
  size_t from_bytes = 0;
  char* to = nullptr;
  float factor = 1;
};
struct Init {
  ncclComm_t* out;
  int ranks;
  ncclUniqueId id;
  int rank;
  bool blocking;
};
thread_local int g_depth = 0;
thread_local std::vector<Work> g_work;
thread_local std::vector<Init> g_inits;

// All of one communicator's part in a group: first everything is sent, then everything received, so
// that sends and receives of a group cannot wait for each other.
struct Part {
  ncclComm_t comm;
  std::vector<Work> work;
};

void run_part(void* data) {
  const std::unique_ptr<Part> part(static_cast<Part*>(data));
  bool well = true;
  for (Work& work : part->work) {
    std::vector<char> bytes(work.from, work.from + work.from_bytes);
    for (size_t i = 0; work.factor != 1 && i < bytes.size() / sizeof(float); ++i) {
      reinterpret_cast<float*>(bytes.data())[i] *= work.factor;
    }
    work.header.kind = Kind::kOp;
    work.header.rank = part->comm->rank;
    well = well && part->comm->say(work.header, bytes);
  }
  for (const Work& work : part->work) {
    std::vector<char> answer;
    if (!well || !part->comm->take(work.header, &answer)) return;
    if (work.to != nullptr) std::copy(answer.begin(), answer.end(), work.to);
  }
}

// What an operation needs connected.
std::vector<std::pair<Op, int>> connections_of(const Work& work) {
  const Header& h = work.header;
  std::vector<std::pair<Op, int>> all;
  const auto with_all = [&](Op op) {
    for (int rank = 0; rank < work.comm->ranks; ++rank) all.emplace_back(op, rank);
  };
  const bool is_root = h.peer == work.comm->rank;
  switch (h.op) {
    case Op::kSend:
    case Op::kGather:
      all.emplace_back(Op::kConnectSend, h.peer);
      if (h.op == Op::kGather && is_root) with_all(Op::kConnectRecv);
      break;
    case Op::kRecv:
    case Op::kScatter:
      all.emplace_back(Op::kConnectRecv, h.peer);
      if (h.op == Op::kScatter && is_root) with_all(Op::kConnectSend);
      break;
    case Op::kAlltoAll:
      with_all(Op::kConnectSend);
      with_all(Op::kConnectRecv);
      break;
    default:
      break;
  }
  std::erase_if(all, [&](const auto& with) { return with.second == work.comm->rank; });
  return all;
}

// All are asked for before one is waited for. False: a rank is gone.
bool connect(const std::vector<Work>& all) {
  std::vector<std::pair<ncclComm_t, Header>> asked;
  for (const Work& work : all) {
    for (const auto& with : connections_of(work)) {
      if (!work.comm->connected.insert(with).second) continue;
      const Header header{.kind = Kind::kOp,
                          .op = with.first,
                          .rank = work.comm->rank,
                          .peer = with.second,
                          .number = work.comm->connects++};
      if (!work.comm->say(header, {})) return false;
      asked.emplace_back(work.comm, header);
    }
  }
  std::vector<char> nothing;
  return std::all_of(asked.begin(), asked.end(),
                     [&](const auto& each) { return each.first->take(each.second, &nothing); });
}

ncclResult_t launch(std::vector<Work> all) {
  if (!connect(all)) return wrong(ncclRemoteError, "another rank is gone");
  std::map<std::pair<ncclComm_t, CUstream>, std::unique_ptr<Part>> parts;
  for (Work& work : all) {
    auto& part = parts[{work.comm, work.stream}];
    if (part == nullptr) part.reset(new Part{work.comm, {}});
    part->work.push_back(work);
  }
  for (auto& [key, part] : parts) {
    if (!launch_host(key.second, run_part, part.release())) {
      return wrong(ncclUnhandledCudaError, "the stream takes no host function");
    }
  }
  return ncclSuccess;
}

ncclResult_t add(Work work) {
  if (!is_live(work.comm)) return wrong(ncclInvalidArgument, "a communicator that is none");
  if (work.comm->state != ncclSuccess) return static_cast<ncclResult_t>(work.comm->state.load());
  // Only the tests' way to make the library itself refuse something.
  if (work.header.type == ncclFloat8e5m2) return wrong(ncclInvalidArgument, "no such type here");
  {
    const std::lock_guard lock(g_mutex);
    const auto factor = g_factors.find(static_cast<int>(work.header.reduction));
    if (factor != g_factors.end()) {
      work.factor = factor->second;
      work.header.reduction = ncclSum;
    }
  }
  work.header.number = work.comm->number++;
  g_work.push_back(work);
  return g_depth != 0 ? ncclSuccess : launch(std::exchange(g_work, {}));
}

Work collective(Op op, const void* from, size_t from_count, void* to, size_t count, uint32_t type,
                int peer, ncclComm_t comm, cudaStream_t stream, uint32_t reduction = 0) {
  Work work;
  work.comm = comm;
  work.stream = stream;
  work.header.op = op;
  work.header.count = count;
  work.header.type = type;
  work.header.peer = peer;
  work.header.reduction = reduction;
  work.from = static_cast<const char*>(from);
  work.from_bytes = from == nullptr ? 0 : from_count * type_bytes(type);
  work.to = static_cast<char*>(to);
  return work;
}

size_t ranks_of(ncclComm_t comm) {
  return is_live(comm) ? static_cast<size_t>(comm->ranks) : 0;
}

bool is_blocking(const ncclConfig_t* config) {
  return config == nullptr || config->blocking != 0;
}

}  // namespace

EXPORTED ncclResult_t ncclGetVersion(int* version) {
  *version = SOFT_NCCL_VERSION;
  return ncclSuccess;
}

EXPORTED const char* ncclGetErrorString(ncclResult_t status) {
  return status == ncclRemoteError ? "another rank is gone" : "the software device's NCCL failed";
}

EXPORTED const char* ncclGetLastError(ncclComm_t) {
  return g_last_error.c_str();
}

EXPORTED ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  *id = new_id();
  return start_hub(*id) ? ncclSuccess : wrong(ncclSystemError, "no meeting place");
}

EXPORTED ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank,
                                             ncclConfig_t* config) {
  if (config != nullptr && (config->magic != 0xcafebeef || config->size > sizeof *config)) {
    return wrong(ncclInvalidArgument, "a configuration that is none");
  }
  if (config != nullptr && config->commName != nullptr && std::strlen(config->commName) == 0) {
    return wrong(ncclInvalidArgument, "an empty name");
  }
  const bool blocking = is_blocking(config);
  if (g_depth != 0) {
    g_inits.push_back({comm, ranks, id, rank, blocking});
    return ncclSuccess;
  }
  return make_comm(comm, ranks, id, rank, blocking);
}

EXPORTED ncclResult_t ncclCommInitRankScalable(ncclComm_t* comm, int ranks, int rank, int count,
                                               ncclUniqueId* ids, ncclConfig_t* config) {
  return count < 1 ? ncclInvalidArgument
                   : ncclCommInitRankConfig(comm, ranks, ids[0], rank, config);
}

EXPORTED ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  return is_live(comm) ? ncclSuccess : ncclInvalidArgument;
}

EXPORTED ncclResult_t ncclCommAbort(ncclComm_t comm) {
  {
    const std::lock_guard lock(g_mutex);
    if (g_live.erase(comm) == 0) return wrong(ncclInvalidArgument, "a communicator that is none");
  }
  {
    const std::lock_guard lock(comm->mutex);
    comm->state = ncclInternalError;
    comm->changed.notify_all();
  }
  comm->leave();
  return ncclSuccess;  // work of its streams may still look at it
}

// In order: the other ranks are not told of a failure.
EXPORTED ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  if (is_live(comm)) comm->say({.kind = Kind::kLeave}, {});
  return ncclCommAbort(comm);
}

EXPORTED ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
  if (!is_live(comm)) return ncclInvalidArgument;
  *error = static_cast<ncclResult_t>(comm->state.load());
  return ncclSuccess;
}

EXPORTED ncclResult_t ncclCommCount(const ncclComm_t comm, int* count) {
  *count = comm->ranks;
  return ncclSuccess;
}

EXPORTED ncclResult_t ncclCommUserRank(const ncclComm_t comm, int* rank) {
  *rank = comm->rank;
  return ncclSuccess;
}

// The lowest rank of a color has the new meeting place; everybody hears of all of them.
EXPORTED ncclResult_t ncclCommSplit(ncclComm_t comm, int color, int key, ncclComm_t* newcomm,
                                    ncclConfig_t* config) {
  *newcomm = nullptr;
  if (!is_live(comm)) return ncclInvalidArgument;
  struct Entry {
    int color, key, rank, pad;
    ncclUniqueId id;
  };
  Entry mine{color, key, comm->rank, 0, new_id()};
  if (color >= 0 && !start_hub(mine.id)) return ncclSystemError;
  std::vector<char> data(sizeof mine);
  std::memcpy(data.data(), &mine, sizeof mine);
  Header header{.op = Op::kSplit, .number = comm->number++};
  std::vector<char> all;
  if (!comm->exchange(header, data, &all)) return ncclRemoteError;
  std::vector<Entry> entries(all.size() / sizeof(Entry));
  std::memcpy(entries.data(), all.data(), all.size());
  std::erase_if(entries, [&](const Entry& entry) { return entry.color != color; });
  if (color < 0) return ncclSuccess;
  std::stable_sort(entries.begin(), entries.end(),
                   [](const Entry& a, const Entry& b) { return a.key < b.key; });
  int rank = 0;
  while (entries[static_cast<size_t>(rank)].rank != comm->rank) ++rank;
  return make_comm(newcomm, static_cast<int>(entries.size()), entries[0].id, rank,
                   config == nullptr ? comm->blocking : is_blocking(config));
}

EXPORTED ncclResult_t ncclRedOpCreatePreMulSum(ncclRedOp_t* op, void* scalar, ncclDataType_t,
                                               ncclScalarResidence_t, ncclComm_t comm) {
  if (!is_live(comm)) return ncclInvalidArgument;
  const std::lock_guard lock(g_mutex);
  *op = static_cast<ncclRedOp_t>(++g_next_operator + 1000);
  g_factors[*op] = *static_cast<float*>(scalar);
  return ncclSuccess;
}

EXPORTED ncclResult_t ncclRedOpDestroy(ncclRedOp_t op, ncclComm_t) {
  const std::lock_guard lock(g_mutex);
  return g_factors.erase(op) == 1 ? ncclSuccess : ncclInvalidArgument;
}

EXPORTED ncclResult_t ncclAllReduce(const void* from, void* to, size_t count, ncclDataType_t type,
                                    ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
  return add(collective(Op::kAllReduce, from, count, to, count, type, 0, comm, stream, op));
}
EXPORTED ncclResult_t ncclReduce(const void* from, void* to, size_t count, ncclDataType_t type,
                                 ncclRedOp_t op, int root, ncclComm_t comm, cudaStream_t stream) {
  return add(collective(Op::kReduce, from, count, to, count, type, root, comm, stream, op));
}
EXPORTED ncclResult_t ncclBroadcast(const void* from, void* to, size_t count, ncclDataType_t type,
                                    int root, ncclComm_t comm, cudaStream_t stream) {
  return add(collective(Op::kBroadcast, from, count, to, count, type, root, comm, stream));
}
EXPORTED ncclResult_t ncclBcast(void* data, size_t count, ncclDataType_t type, int root,
                                ncclComm_t comm, cudaStream_t stream) {
  return ncclBroadcast(data, data, count, type, root, comm, stream);
}
EXPORTED ncclResult_t ncclReduceScatter(const void* from, void* to, size_t count,
                                        ncclDataType_t type, ncclRedOp_t op, ncclComm_t comm,
                                        cudaStream_t stream) {
  return add(collective(Op::kReduceScatter, from, count * ranks_of(comm), to, count, type, 0, comm,
                        stream, op));
}
EXPORTED ncclResult_t ncclAllGather(const void* from, void* to, size_t count, ncclDataType_t type,
                                    ncclComm_t comm, cudaStream_t stream) {
  return add(collective(Op::kAllGather, from, count, to, count, type, 0, comm, stream));
}
EXPORTED ncclResult_t ncclAlltoAll(const void* from, void* to, size_t count, ncclDataType_t type,
                                   ncclComm_t comm, cudaStream_t stream) {
  return add(
      collective(Op::kAlltoAll, from, count * ranks_of(comm), to, count, type, 0, comm, stream));
}
EXPORTED ncclResult_t ncclGather(const void* from, void* to, size_t count, ncclDataType_t type,
                                 int root, ncclComm_t comm, cudaStream_t stream) {
  return add(collective(Op::kGather, from, count, to, count, type, root, comm, stream));
}
EXPORTED ncclResult_t ncclScatter(const void* from, void* to, size_t count, ncclDataType_t type,
                                  int root, ncclComm_t comm, cudaStream_t stream) {
  const bool is_root = is_live(comm) && comm->rank == root;
  return add(collective(Op::kScatter, is_root ? from : nullptr, count * ranks_of(comm), to, count,
                        type, root, comm, stream));
}
EXPORTED ncclResult_t ncclSend(const void* from, size_t count, ncclDataType_t type, int peer,
                               ncclComm_t comm, cudaStream_t stream) {
  return add(collective(Op::kSend, from, count, nullptr, count, type, peer, comm, stream));
}
EXPORTED ncclResult_t ncclRecv(void* to, size_t count, ncclDataType_t type, int peer,
                               ncclComm_t comm, cudaStream_t stream) {
  return add(collective(Op::kRecv, nullptr, 0, to, count, type, peer, comm, stream));
}

EXPORTED ncclResult_t ncclGroupStart() {
  ++g_depth;
  return ncclSuccess;
}

EXPORTED ncclResult_t ncclGroupEnd() {
  if (g_depth == 0) return ncclInvalidUsage;
  if (--g_depth != 0) return ncclSuccess;
  std::vector<Work> work = std::exchange(g_work, {});
  const std::vector<Init> inits = std::exchange(g_inits, {});
  std::vector<std::thread> threads;
  std::atomic<int> status = ncclSuccess;
  for (const Init& init : inits) {
    threads.emplace_back([&status, init] {
      const int made = make_comm(init.out, init.ranks, init.id, init.rank, init.blocking);
      if (made != ncclSuccess) status = made;
    });
  }
  for (std::thread& thread : threads) thread.join();
  if (status != ncclSuccess) return static_cast<ncclResult_t>(status.load());
  return launch(std::move(work));
}

EXPORTED ncclResult_t ncclGroupSimulateEnd(ncclSimInfo_t* info) {
  g_work.clear();
  g_depth = 0;
  info->estimatedTime = 2.5f;
  return ncclSuccess;
}
