#include "client/core/cudax.h"

#include <algorithm>

#include "client/core/answers.h"
#include "client/core/call.h"
#include "client/core/few.h"
#include "client/core/log_line.h"
#include "client/core/session.h"
#include "protocol/limits.h"

namespace farlane::client::cudax {
namespace {

constexpr uint32_t kLibrariesMax = 32;
// A part of every recipe that is no part of any library's.
constexpr uint64_t kMadeOn = ~uint64_t{0};
// Of answers kept, with their questions: some tens of thousands of plans' workspace sizes.
constexpr size_t kAnswerBytesMax = 16 << 20;

uint64_t mix(uint64_t a, uint64_t b) {
  uint64_t x = (a ^ (b + 0x9e3779b97f4a7c15u)) * 0xbf58476d1ce4e5b9u;
  x ^= x >> 29;
  x *= 0x94d049bb133111ebu;
  return x ^ x >> 32;
}

struct Opened {
  std::mutex mutex;
  std::atomic<Session*> session = nullptr;  // that it was asked of
  CUresult result = CUDA_ERROR_NOT_FOUND;
  std::array<unsigned, 3> version{};
  std::string why_not;  // a sentence, where the result is an error
};

// Never destroyed: programs call libraries from their own destructors.
struct State {
  HandleTable<Object, protocol::HandleKind::kCudax> objects;
  std::array<Opened, kLibrariesMax> opened;
  Answers answers{kAnswerBytesMax};
  std::mutex text_mutex;
  std::string text;  // guarded by text_mutex
};

State& state() {
  static State* const made = new State;
  return *made;
}

// Libraries work as the runtime does: a thread without a context gets the first device's.
Stream* find_stream(Call* call, CUstream stream) {
  if (*call && context_current() == nullptr) {
    call->error = make_device_current(0);
  }
  return call->stream(stream);
}

// Whether captures allow what the call does. A call that may not be made during a capture breaks
// it, as its launches would natively.
CUresult admit(Session* s, const Stream& stream, Use use, bool* is_captured) {
  CUresult error = CUDA_SUCCESS;
  switch (use) {
    case Use::kNothing:
      break;
    case Use::kWork:
      *is_captured = s->captures.admit(stream, &error) != nullptr;
      break;
    case Use::kWorkAndWait:
      error = s->captures.check_wait(stream);
      break;
  }
  return error;
}

// The stream of a call that may be made. Null with the call's error.
Stream* admit(Call* call, const Request& request, bool* is_captured) {
  Stream* stream = find_stream(call, request.stream);
  if (stream == nullptr && request.use == Use::kNothing &&
      call->error == CUDA_ERROR_INVALID_HANDLE) {
    // Programs destroy a stream before the handles that worked on it: these can still be set and
    // ended.
    call->error = CUDA_SUCCESS;
    stream = find_stream(call, nullptr);
  }
  if (stream != nullptr) {
    call->error = admit(call->session, *stream, request.use, is_captured);
  }
  return *call ? stream : nullptr;
}

}  // namespace

uint64_t Object::recipe() {
  const std::lock_guard lock(mutex_);
  return mix(recipe_, kind);
}

void Object::set(uint64_t part, uint64_t value) {
  const std::lock_guard lock(mutex_);
  // A sum: whatever order parts were set in, and however often.
  uint64_t& held = parts_[part];
  if (held != 0) {
    recipe_ -= held;
  }
  held = mix(part, value) | 1;
  recipe_ += held;
}

void Object::fill(uint64_t value) {
  {
    const std::lock_guard lock(mutex_);
    parts_.clear();
    recipe_ = 0;
  }
  set(0, value);
}

void Object::reset() {
  name = 0;
  kind = 0;
  stream = nullptr;
  bound = 0;
  binder = 0;
  scalars_on_device = false;
  scalar_bytes = 0;
  scalar_mode = 0;
  word = 0;
  status = 0;
  for (std::atomic<int32_t>& number : numbers) {
    number = 0;
  }
  const std::lock_guard lock(mutex_);
  parts_.clear();
  recipe_ = 0;
}

Object* object_create(uint16_t kind) {
  uint64_t name = 0;
  Object* object = state().objects.create(&name);
  if (object != nullptr) {
    object->name = name;
    object->kind = kind;
    // Handles belong to the device they are made on, and what is true of one device's need not be
    // of another's.
    object->set(kMadeOn, static_cast<uint64_t>(std::max(current_device(), 0)));
    state().objects.publish(name);
  }
  return object;
}

Object* object_find(uint64_t name, uint16_t kind) {
  Object* object = state().objects.find(name);
  return object != nullptr && (kind == 0 || object->kind == kind) ? object : nullptr;
}

Object* object_find_index(uint32_t index, uint16_t kind) {
  Object* object = state().objects.find_index(index);
  return object != nullptr && (kind == 0 || object->kind == kind) ? object : nullptr;
}

void object_destroy(uint64_t name) {
  state().objects.destroy(name);
}

uint64_t object_recipe(Object* object) {
  return object->recipe();
}

void object_set(Object* object, uint64_t part, uint64_t value) {
  object->set(part, value);
}

void object_fill(Object* object, uint64_t value) {
  object->fill(value);
}

CUresult open(uint32_t library, const char* title, const char* soname, unsigned major) {
  Call call;
  if (!call) {
    return call.error;
  }
  Opened& opened = state().opened[library % kLibrariesMax];
  if (opened.session.load(std::memory_order_acquire) == call.session) [[likely]] {
    return opened.result;
  }
  const std::lock_guard lock(opened.mutex);
  if (opened.session.load(std::memory_order_acquire) == call.session) {
    return opened.result;
  }
  Answer<message::CudaxOpen> answer;
  const CUresult asked = call->ask(message::CudaxOpen{.library = library}, &answer);
  if (asked == kServerLost) {
    return asked;
  }
  const message::CudaxOpenReply& reply = answer.reply;
  opened.version = {reply.major, reply.minor, reply.patch};
  opened.result = CUDA_SUCCESS;
  if (asked != CUDA_SUCCESS || reply.major == 0) {
    opened.result = CUDA_ERROR_NOT_FOUND;
    opened.why_not = std::string("the program uses ") + title + ", and the server " +
                     call->server_name() + " has no " + soname + ": " + std::string(reply.text) +
                     " (install it there, or name its folder in the server's setting "
                     "libraries.path)";
  } else if (reply.major != major) {
    opened.result = CUDA_ERROR_NOT_FOUND;
    opened.why_not = std::string("the program uses ") + title + " " + std::to_string(major) +
                     ", and " + soname + " on the server " + call->server_name() + " is version " +
                     std::to_string(reply.major) + "." + std::to_string(reply.minor) + "." +
                     std::to_string(reply.patch) + ": their major versions must be the same";
  }
  if (!opened.why_not.empty()) {
    log_line(LogLevel::kError, opened.why_not);
  }
  opened.session.store(call.session, std::memory_order_release);
  return opened.result;
}

void version(uint32_t library, unsigned (&numbers)[3]) {
  Opened& opened = state().opened[library % kLibrariesMax];
  const std::lock_guard lock(opened.mutex);
  std::copy(opened.version.begin(), opened.version.end(), numbers);
}

const char* why_not(uint32_t library, const char* plain) {
  Opened& opened = state().opened[library % kLibrariesMax];
  {
    const std::lock_guard lock(opened.mutex);
    if (!opened.why_not.empty()) {
      return kept_text(std::string(plain) + ": " + opened.why_not);
    }
  }
  return session_loss(plain);
}

namespace {

// A call that does not fit one record, from its first piece to its end.
class InPieces {
 public:
  InPieces(Session* s, const Request& request) : session_(s), request_(request) {}
  InPieces(const InPieces&) = delete;
  ~InPieces() {
    if (is_begun_) {
      session_->long_calls().over(call_);
    }
  }

  static bool is_needed(const Request& request) {
    return request.arguments.size() > protocol::limits::cudax_bytes_max ||
           request.results_bytes > protocol::limits::cudax_bytes_max;
  }
  static bool is_too_much(const Request& request) {
    return request.arguments.size() > protocol::limits::cudax_long_bytes_max ||
           request.results_bytes > protocol::limits::cudax_long_bytes_max;
  }

  // The command's number; 0: the session is lost.
  uint64_t post(Stream* stream) {
    if (!send_arguments()) {
      return 0;
    }
    const uint64_t sequence = session_->post_to(
        stream, message::CudaxLongCall{
                    .stream = stream->id, .function = request_.function, .call = call_.number});
    if (sequence != 0) {
      session_->long_calls().posted(call_, sequence);
      is_begun_ = false;
    }
    return sequence;
  }

  CUresult ask(Stream* stream, int64_t* status, std::vector<std::byte>* results) {
    if (!send_arguments()) {
      return kServerLost;
    }
    Answer<message::CudaxLongAsk> answer;
    const CUresult asked = session_->ask(
        message::CudaxLongAsk{
            .stream = stream->id, .function = request_.function, .call = call_.number},
        &answer, request_.name);
    if (asked != CUDA_SUCCESS) {
      return asked;
    }
    session_->touch(stream, answer.waiter.sequence);
    *status = answer.reply.status;
    results->assign(answer.reply.results.begin(), answer.reply.results.end());
    // What the server says is more than there are places for is left out by whoever takes it apart.
    const uint64_t total = std::min<uint64_t>(answer.reply.total, request_.results_bytes);
    results->reserve(total);
    while (results->size() < total) {
      Answer<message::CudaxResults> more;
      const CUresult fetched =
          session_->ask(message::CudaxResults{.call = call_.number}, &more, request_.name);
      if (fetched != CUDA_SUCCESS || more.reply.results.empty()) {
        return fetched != CUDA_SUCCESS ? fetched : kServerLost;
      }
      results->insert(results->end(), more.reply.results.begin(), more.reply.results.end());
    }
    return CUDA_SUCCESS;
  }

 private:
  bool send_arguments() {
    const auto ask_executed = [this](uint64_t* executed) {
      Answer<message::Echo> answer;
      const bool is_answered = session_->ask(message::Echo{}, &answer) != kServerLost;
      *executed = answer.reply.executed;
      return is_answered;
    };
    const std::span<const std::byte> all = request_.arguments;
    is_begun_ =
        session_->long_calls().begin(all.size(), request_.results_bytes, ask_executed, &call_);
    // Two of them fit a frame.
    constexpr size_t kPiece = protocol::limits::cudax_bytes_max - 1024;
    for (size_t at = 0; is_begun_ && (at < all.size() || at == 0); at += kPiece) {
      const size_t bytes = std::min(kPiece, all.size() - at);
      if (session_->post(message::CudaxPiece{
              .call = call_.number, .total = all.size(), .arguments = all.subspan(at, bytes)}) ==
          0) {
        return false;
      }
    }
    return is_begun_;
  }

  Session* const session_;
  const Request& request_;
  LongCalls::Call call_;
  bool is_begun_ = false;  // and nobody else ends it
};

}  // namespace

CUresult post(const Request& request) {
  Call call;
  bool is_captured = false;
  Stream* stream = admit(&call, request, &is_captured);
  if (stream == nullptr) {
    return call.error;
  }
  uint64_t sequence = 0;
  if (request.arguments.size() > protocol::limits::cudax_bytes_max) [[unlikely]] {
    if (InPieces::is_too_much(request)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    sequence = InPieces(call.session, request).post(stream);
  } else {
    sequence = call->post_to(stream, message::CudaxCall{.stream = stream->id,
                                                        .function = request.function,
                                                        .arguments = request.arguments});
  }
  if (sequence == 0) {
    return kServerLost;
  }
  const bool waits = call->launch_blocking && request.use != Use::kNothing && !is_captured;
  return waits ? stream_synchronize(request.stream) : CUDA_SUCCESS;
}

CUresult ask(const Request& request, int64_t* status, std::vector<std::byte>* results) {
  Call call;
  bool is_captured = false;
  Stream* stream = admit(&call, request, &is_captured);
  if (stream == nullptr) {
    return call.error;
  }
  if (InPieces::is_too_much(request)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (InPieces::is_needed(request)) {
    return InPieces(call.session, request).ask(stream, status, results);
  }
  Answer<message::CudaxAsk> answer;
  const CUresult asked = call->ask(
      message::CudaxAsk{
          .stream = stream->id, .function = request.function, .arguments = request.arguments},
      &answer, request.name);
  if (asked != CUDA_SUCCESS) {
    return asked;
  }
  // It may have left work on the stream.
  call->touch(stream, answer.waiter.sequence);
  *status = answer.reply.status;
  results->assign(answer.reply.results.begin(), answer.reply.results.end());
  return CUDA_SUCCESS;
}

int take_status(uint32_t library) {
  Session* s = session_if_any();
  return s == nullptr ? 0 : s->errors.take_library(library);
}

bool recall(const std::string& key, KnownAnswer* answer) {
  return state().answers.find(key, answer);
}

bool answers_here(const char* name) {
  Session* s = session_if_any();
  return s != nullptr && s->answers_here(true, name);
}

void remember(const std::string& key, KnownAnswer answer) {
  state().answers.replace(key, std::move(answer));
}

bool asks_ahead() {
  Session* s = session_if_any();
  return s != nullptr && s->settings().local_answers && s->settings().ask_ahead;
}

void remember_ahead(const std::string& key, KnownAnswer answer) {
  if (state().answers.keep(key, std::move(answer))) {
    stats::note_ahead();
  }
}

namespace {

// The request's streams and objects as they travel.
struct Travelling {
  explicit Travelling(const GroupRequest& request) {
    for (const NamedStream& stream : request.streams) {
      streams.push_back({protocol::StreamId::from_bits(stream.name)});
    }
    for (const uint64_t object : request.objects) {
      objects.push_back({object});
    }
  }
  template <class M>
  M message(const GroupRequest& request) const {
    return M{.library = request.library,
             .flags = request.flags,
             .streams = streams,
             .objects = objects,
             .calls = request.calls};
  }
  Few<message::StreamName, 4> streams;
  Few<message::ObjectName, 4> objects;
};

bool is_too_large(const GroupRequest& request) {
  return request.calls.size() > protocol::limits::cudax_bytes_max ||
         request.streams.size() > protocol::limits::cudax_group_max ||
         request.objects.size() > protocol::limits::cudax_group_max;
}

// The session, where its limits and captures allow the request on all its streams. Null: *error
// says why not.
Session* admit_all(const GroupRequest& request, Use use, bool* is_captured, CUresult* error) {
  Session* s = session(error);
  if (s != nullptr && is_too_large(request)) {
    *error = CUDA_ERROR_INVALID_VALUE;
    return nullptr;
  }
  for (size_t i = 0; s != nullptr && i < request.streams.size(); ++i) {
    bool captured = false;
    *error = admit(s, *static_cast<const Stream*>(request.streams[i].stream), use, &captured);
    if (*error != CUDA_SUCCESS) {
      return nullptr;
    }
    *is_captured |= captured;
  }
  return s;
}

CUresult touch_all(Session* s, const GroupRequest& request, uint64_t sequence, bool is_captured) {
  for (const NamedStream& named : request.streams) {
    s->touch(static_cast<Stream*>(named.stream), sequence);
  }
  for (const NamedStream& named : request.streams) {
    if (!s->launch_blocking || is_captured) {
      break;
    }
    const auto* stream = static_cast<const Stream*>(named.stream);
    const CUresult result = stream->is_legacy()
                                ? device_synchronize(stream->device->ordinal)
                                : stream_synchronize(handle_of<CUstream>(named.name));
    if (result != CUDA_SUCCESS) {
      return result;
    }
  }
  return CUDA_SUCCESS;
}

}  // namespace

NamedStream named_stream(CUstream stream) {
  Call call;
  Stream* found = find_stream(&call, stream);
  return found == nullptr ? NamedStream{} : NamedStream{found->id.bits(), found};
}

CUresult post_group(const GroupRequest& request) {
  CUresult error = CUDA_SUCCESS;
  bool is_captured = false;
  Session* s = admit_all(request, Use::kWork, &is_captured, &error);
  if (s == nullptr) {
    return error;
  }
  const uint64_t sequence = s->post(Travelling(request).message<message::CudaxGroup>(request));
  return sequence == 0 ? kServerLost : touch_all(s, request, sequence, is_captured);
}

CUresult ask_group(const GroupRequest& request, int64_t* status, std::vector<std::byte>* results,
                   std::string* what) {
  CUresult error = CUDA_SUCCESS;
  bool is_captured = false;
  Session* s = admit_all(request, Use::kWorkAndWait, &is_captured, &error);
  if (s == nullptr) {
    return error;
  }
  Answer<message::CudaxGroupAsk> answer;
  const CUresult asked =
      s->ask(Travelling(request).message<message::CudaxGroupAsk>(request), &answer, request.name);
  if (asked != CUDA_SUCCESS) {
    return asked;
  }
  *status = answer.reply.status;
  results->assign(answer.reply.results.begin(), answer.reply.results.end());
  *what = answer.reply.what;
  return touch_all(s, request, answer.waiter.sequence, is_captured);
}

CUresult abort(uint32_t library, uint32_t function, uint64_t object, int64_t* status,
               std::string* what) {
  Call call;
  if (!call) {
    return call.error;
  }
  Answer<message::CudaxAbort> answer;
  const CUresult asked = call->ask(
      message::CudaxAbort{.library = library, .function = function, .object = object}, &answer);
  if (asked != CUDA_SUCCESS) {
    return asked;
  }
  *status = answer.reply.status;
  *what = answer.reply.what;
  return CUDA_SUCCESS;
}

bool listen() {
  Session* s = session_if_any();
  if (s == nullptr || s->lost()) {
    return false;
  }
  s->inbox().drain();
  return !s->lost();
}

CUresult device_on_server(int device, uint32_t* ordinal) {
  Call call;
  const Device* found = call.device(device >= 0 ? device : std::max(current_device(), 0));
  if (found == nullptr) {
    return call.error;
  }
  *ordinal = found->server_ordinal;
  return CUDA_SUCCESS;
}

std::string last_text() {
  State& all = state();
  const std::lock_guard lock(all.text_mutex);
  return all.text;
}

void note_text(const std::string& text) {
  State& all = state();
  const std::lock_guard lock(all.text_mutex);
  all.text = text;
}

void note_status(uint64_t object, int status, std::string_view what) {
  if (Object* found = object_find(object, 0); found != nullptr) {
    found->status = status;
  }
  if (!what.empty()) {
    note_text(std::string(what));
  }
}

uint64_t stream_name(CUstream stream) {
  Call call;
  Stream* found = find_stream(&call, stream);
  return found == nullptr ? 0 : found->id.bits();
}

uint64_t event_name(CUevent event) {
  Call call;
  const Event* found = call.event(event);
  return found == nullptr ? 0 : found->id.bits();
}

bool is_device_address(uint64_t address) {
  Call call;
  return call && call->is_device_address(address);
}

}  // namespace farlane::client::cudax
