#include "client/cudax/nccl/group_call.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "generated/client/nccl_facts.h"

namespace farlane::client::cudax {

namespace {
// Flags of cudax_group (server/cudax/communicators.h).
constexpr uint32_t kTogether = 1;
constexpr uint32_t kSimulate = 2;
constexpr uint32_t kTell = 4;
}  // namespace

// The calls of a thread between ncclGroupStart and ncclGroupEnd, or a call by itself.
struct Group {
  struct Made {
    Object* object = nullptr;
    void* out = nullptr;
    void (*write_name)(void*, uint64_t) = nullptr;
    bool is_comm = false;
  };

  int depth = 0;
  int error = 0;
  Few<std::byte, 256> calls;
  Few<NamedStream, 2> streams;
  Few<uint64_t, 4> objects;
  Few<Object*, 4> progressing;  // communicators that do not block, with something new to do
  std::vector<Made> made;
  std::vector<uint64_t> ended;
  bool asks = false;
  const char* name = "";

  bool is_empty() const { return calls.empty(); }
  int add(GroupCall& call, bool waits);
  // The library's status; *results as the server has them.
  int send(const LibraryFacts& library, uint32_t flags, std::vector<std::byte>* results);
  void undo();
};

namespace {

Group& thread_group() {
  static thread_local Group group;
  return group;
}

}  // namespace

int Group::add(GroupCall& call, bool waits) {
  uint32_t device = 0;
  const CUresult known = device_on_server(call.device_, &device);
  if (known != CUDA_SUCCESS) {
    note_text("the call's device is none of the session's");
    return call.sent(known);
  }
  const uint64_t words[] = {call.function_, device, call.size_};
  if (calls.empty()) name = call.name_;
  calls.append(std::as_bytes(std::span(words)));
  calls.append({call.data(), call.size_});
  if (call.named_stream_.stream != nullptr) streams.add(call.named_stream_);
  for (const uint64_t object : call.objects_) objects.add(object);
  if (call.made_ != nullptr) {
    // The program has the handle from now on; at the end of a group that failed it becomes null.
    call.write_name_(call.made_out_, call.made_->name);
    made.push_back({call.made_, call.made_out_, call.write_name_, call.made_->kind == nccl::kComm});
    call.made_ = nullptr;
  }
  if (call.ended_ != 0) ended.push_back(call.ended_);
  if (waits && call.non_blocking_) {
    if (call.comm_ != nullptr) progressing.add(call.comm_);
    if (!made.empty() && made.back().is_comm) progressing.push_back(made.back().object);
  } else {
    asks |= waits;
  }
  return call.library_.success;
}

void Group::undo() {
  for (const Made& each : made) {
    each.write_name(each.out, 0);
    object_destroy(each.object->name);
  }
  made.clear();
}

int Group::send(const LibraryFacts& library, uint32_t flags, std::vector<std::byte>* results) {
  if (asks) progressing = {};  // the answer tells, and the server tells nothing else
  if (!progressing.empty()) flags |= kTell;
  for (Object* comm : progressing) comm->status = ncclInProgress;
  const GroupRequest request{.library = library.number,
                             .flags = flags,
                             .name = name,
                             .streams = streams,
                             .objects = objects,
                             .calls = calls};
  CUresult sent = CUDA_SUCCESS;
  int64_t status = library.success;
  std::string what;
  if (asks) {
    sent = ask_group(request, &status, results, &what);
  } else {
    sent = post_group(request);
  }
  if (sent != CUDA_SUCCESS) {
    note_text(sent == kServerLost ? "the session is lost"
                                  : "a group that is too large, or an "
                                    "earlier error of the device");
    status = sent == CUDA_ERROR_INVALID_VALUE ? library.invalid_value : library.failed;
  } else if (status != library.success) {
    note_text(what);
    // What the worker says of a function that its library lacks.
    if (status < 0) status = library.not_supported;
  }
  if (status != library.success) {
    undo();
    for (Object* comm : progressing) comm->status = static_cast<int32_t>(status);
    return static_cast<int>(status);
  }
  for (const uint64_t gone : ended) object_destroy(gone);
  return progressing.empty() ? library.success : static_cast<int>(ncclInProgress);
}

uint64_t GroupCall::operator_name(ncclRedOp_t op, uint16_t kind) {
  const auto number = static_cast<uint32_t>(op);
  const Object* object =
      number < ncclNumOps ? nullptr : object_find_index(number - ncclNumOps, kind);
  return object == nullptr ? 0 : object->name;
}

void GroupCall::either(ncclRedOp_t op, uint16_t kind) {
  if (static_cast<uint32_t>(op) < ncclNumOps) {
    word(static_cast<uint32_t>(op));
    return;
  }
  const uint64_t name = operator_name(op, kind);
  if (name == 0) {
    note_text("the reduction operator is neither NCCL's own nor one that was created");
    refuse();
  }
  word(name);
}

void GroupCall::group_object(uint64_t name, uint16_t kind) {
  Object* found = object_find(name, kind);
  if (found == nullptr) {
    note_text(std::string(name_) + ": a handle is null, or no more, or of another kind");
    refuse();
  } else {
    objects_.push_back(name);
    if (kind == nccl::kComm) {
      comm_ = found;
      non_blocking_ |= (found->numbers[kCommFlags] & kCommNonBlocking) != 0;
    }
  }
  word(name);
}

void GroupCall::stream(CUstream stream) {
  named_stream_ = named_stream(stream);
  if (named_stream_.stream == nullptr) {
    note_text(std::string(name_) + ": the stream does not exist");
    refuse();
  }
  word(named_stream_.name);
}

void GroupCall::config(const ncclConfig_t* given) {
  // One made for an older NCCL is shorter; of a newer one's only what is known here counts.
  constexpr uint32_t kMagic = 0xcafebeef;  // NCCL_CONFIG_INITIALIZER
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  const char* blocking = std::getenv("NCCL_COMM_BLOCKING");
  if (given != nullptr) {
    const size_t bytes = std::min(given->size, sizeof config);
    if (bytes < offsetof(ncclConfig_t, blocking) || given->magic != kMagic) {
      note_text(std::string(name_) +
                ": the configuration was not begun with NCCL_CONFIG_INITIALIZER");
      refuse();
      return;
    }
    std::memcpy(&config, given, bytes);
    config.size = bytes;
  }
  if (blocking != nullptr && *blocking != 0) config.blocking = std::atoi(blocking) != 0 ? 1 : 0;
  if (config.blocking == 0) {
    non_blocking_ = true;
  } else if (given != nullptr) {
    non_blocking_ = false;  // a new communicator of its own kind
  }
  if (given == nullptr && (blocking == nullptr || *blocking == 0)) {
    in(nullptr, 0);
    return;
  }
  const char* const net = std::exchange(config.netName, nullptr);
  const char* const name = std::exchange(config.commName, nullptr);
  in(&config, config.size);
  string(net);
  string(name);
}

void GroupCall::makes_comm(int ranks, int rank) {
  if (made_ == nullptr) return;
  made_->numbers[kCommRanks] = ranks;
  made_->numbers[kCommRank] = rank;
  made_->numbers[kCommDevice] = device_ >= 0 ? device_ : std::max(current_device(), 0);
  made_->numbers[kCommFlags] = non_blocking_ ? kCommNonBlocking : 0;
}

bool GroupCall::may_go(int* status) {
  const CUresult opened = open(library_.number, library_.name, library_.soname, library_.major);
  if (opened != CUDA_SUCCESS) {
    note_text(opened == CUDA_ERROR_NOT_FOUND
                  ? "the server has no NCCL of this version (Farlane's log says more)"
                  : "the session is lost, or could not begin");
    *status = library_.failed;
    return false;
  }
  *status = failed_;
  // An error of a communicator's stays with it.
  if (*status == library_.success && comm_ != nullptr && !forgives_ && ended_ == 0) {
    const int32_t state = comm_->status;
    if (state != library_.success && state != ncclInProgress) *status = state;
  }
  return *status == library_.success;
}

int GroupCall::submit(bool waits) {
  Group& group = thread_group();
  const bool answers = place_count_ != 0;
  const bool joins = group.depth != 0 && !answers;
  int status = library_.success;
  Group alone;
  Group& mine = joins ? group : alone;
  if (!may_go(&status) || (status = mine.add(*this, waits)) != library_.success) {
    if (made_ != nullptr) object_destroy(made_->name);
    if (joins && group.error == 0) group.error = status;
    return status;
  }
  if (joins) return library_.success;
  alone.asks |= answers;
  std::vector<std::byte> results;
  status = alone.send(library_, 0, &results);
  size_t at = 0;
  for (size_t i = 0; status == library_.success && i < place_count_; ++i) {
    const Place& place = places_[i];
    if (place.bytes > results.size() - at) break;
    std::memcpy(place.to, results.data() + at, place.bytes);
    at += std::min(results.size() - at, (place.bytes + 7) & ~size_t{7});
  }
  return status;
}

int GroupCall::abort() {
  int status = failed_;
  const CUresult opened = open(library_.number, library_.name, library_.soname, library_.major);
  if (status != library_.success) return status;
  int64_t said = library_.success;
  std::string what;
  const CUresult sent = opened != CUDA_SUCCESS
                            ? opened
                            : cudax::abort(library_.number, function_, comm_->name, &said, &what);
  // With the session the communicator is gone as well.
  object_destroy(comm_->name);
  if (sent != CUDA_SUCCESS) return library_.success;
  if (said != library_.success) note_text(what);
  return static_cast<int>(said);
}

int GroupCall::begin_group() {
  ++thread_group().depth;
  return ncclSuccess;
}

int GroupCall::end_group(const LibraryFacts& library, float* estimated_ms) {
  Group& group = thread_group();
  if (group.depth == 0) {
    note_text("ncclGroupEnd without ncclGroupStart");
    return ncclInvalidUsage;
  }
  if (group.depth > 1) {
    --group.depth;
    return ncclSuccess;
  }
  Group mine = std::exchange(group, Group());
  if (mine.error != 0) {
    mine.undo();
    return mine.error;
  }
  if (mine.is_empty()) return ncclSuccess;
  if (estimated_ms != nullptr) mine.asks = true;
  std::vector<std::byte> results;
  const int status =
      mine.send(library, kTogether | (estimated_ms != nullptr ? kSimulate : 0), &results);
  if (estimated_ms != nullptr && results.size() >= sizeof *estimated_ms) {
    std::memcpy(estimated_ms, results.data(), sizeof *estimated_ms);
  }
  return status;
}

}  // namespace farlane::client::cudax
