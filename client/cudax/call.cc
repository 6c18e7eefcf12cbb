#include "client/cudax/call.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <span>

#include "protocol/limits.h"

namespace farlane::client::cudax {

namespace {
// The worker's word for a function that the server's version of the library lacks, and for an
// object whose making failed. No library has such a status.
constexpr int64_t kNoSuchCall = -1;
}  // namespace

Call::Call(const LibraryFacts& library, uint32_t function, const char* name)
    : library_(library), function_(function), name_(name), failed_(library.success) {}

uint64_t Call::number_name(uint32_t number) {
  // The kind is checked where the name is used.
  Object* object = number == 0 ? nullptr : object_find_index(number - 1, 0);
  return object == nullptr ? 1 : object->name;  // 1 is nobody's name
}

void Call::append(const void* data, size_t bytes) {
  const size_t whole = (bytes + 7) & ~size_t{7};
  if (size_ + whole > few_.size()) {
    if (size_ + whole > protocol::limits::cudax_long_bytes_max) return refuse_size(size_ + whole);
    if (many_.empty()) many_.assign(few_.data(), few_.data() + size_);
    many_.resize(size_ + whole);
    std::memcpy(many_.data() + size_, data, bytes);
  } else {
    std::memcpy(few_.data() + size_, data, bytes);
    std::memset(few_.data() + size_ + bytes, 0, whole - bytes);
  }
  size_ += whole;
}

void Call::stream(CUstream stream) {
  stream_ = stream;
  has_stream_ = true;
  const uint64_t name = stream_name(stream);
  if (name == 0) fail(library_.invalid_value);
  word(name);
}

void Call::event(CUevent event) {
  const uint64_t name = event_name(event);
  if (name == 0) fail(library_.invalid_value);
  word(name);
}

void Call::name(uint64_t bits, uint16_t kind) {
  // A library's first kind is its handle.
  const int wrong = (kind & 0xff) == 1 ? library_.invalid_handle : library_.invalid_value;
  // Elsewhere null may mean something; as the first argument it is nobody's handle.
  if (bits == 0 && size_ == 0) fail(wrong);
  if (bits != 0) {
    // The address of a program's own struct, in which making the object left its name.
    if (library_.names_in_structs && bits >> 56 == 0) {
      std::memcpy(&bits, reinterpret_cast<const void*>(bits), sizeof bits);
    }
    Object* object = object_find(bits, kind);
    if (object == nullptr) {
      fail(wrong);
    } else {
      if (first_ == nullptr) first_ = object;
      if (named_count_ >= named_.size()) more_named_.emplace_back();
      named(named_count_++) = {size_, object, false, false};
    }
  }
  word(bits);
}

void Call::fill(uint64_t name) {
  for (size_t i = 0; i < named_count_; ++i) {
    if (named(i).object->name == name) named(i).is_filled = fills_ = true;
  }
}

void Call::compute(uint64_t name) {
  for (size_t i = 0; i < named_count_; ++i) {
    if (named(i).object->name == name) named(i).is_computed = computes_ = true;
  }
}

uint64_t Call::make(void* out, uint16_t kind) {
  if (out == nullptr) {
    fail(library_.invalid_value);
    return 0;
  }
  made_ = object_create(kind);
  made_at_ = size_;
  made_out_ = out;
  if (made_ == nullptr) {
    fail(library_.out_of_memory);
    return 0;
  }
  return made_->name;
}

// More than fits one call. A count that is negative or made up is no length of anything.
void Call::refuse_size(size_t bytes) {
  constexpr size_t kAnyMemory = size_t{1} << 40;
  if (bytes > kAnyMemory) return fail(library_.invalid_value);
  unsupported((std::string(name_) + " with more than " +
               std::to_string(protocol::limits::cudax_long_bytes_max >> 20) + " MiB in host memory")
                  .c_str());
  fail(library_.not_supported);
}

void Call::in(const void* data, size_t bytes) {
  if (data != nullptr && bytes > protocol::limits::cudax_long_bytes_max) return refuse_size(bytes);
  word(data == nullptr ? kNull : bytes);
  if (data != nullptr) append(data, bytes);
}

void Call::address_word(uint64_t value) {
  if (address_count_ < addresses_.size()) {
    addresses_[address_count_++] = static_cast<uint32_t>(size_);
  }
  word(value);
}

void Call::scalar_address(const void* data) {
  word(kAddress);
  address_word(reinterpret_cast<uint64_t>(data));
}

void Call::scalar(const void* data, size_t bytes) {
  if (data != nullptr && first_ != nullptr && first_->scalars_on_device) {
    scalar_address(data);
  } else {
    in(data, bytes);
  }
}

void Call::place(void* data, size_t bytes, Content content) {
  word(data == nullptr ? kNull : bytes);
  if (data == nullptr) return;
  const size_t room = protocol::limits::cudax_long_bytes_max - place_bytes_;
  // What was refused may be no memory of anybody's.
  if (place_count_ == places_.size() || bytes > room || ((bytes + 7) & ~size_t{7}) > room) {
    return refuse_size(bytes);
  }
  place_bytes_ += (bytes + 7) & ~size_t{7};
  places_[place_count_++] = {data, bytes, size_, content, false};
  if (content != Content::kNone) append(data, bytes);
}

void Call::scratch(const void* data, size_t bytes) {
  if (data != nullptr && bytes > protocol::limits::cudax_scratch_bytes_max) {
    fail(library_.out_of_memory);
  }
  word(data == nullptr ? kNull : bytes);
}

void Call::result(void* data, size_t bytes) {
  if (data != nullptr && first_ != nullptr && first_->scalars_on_device) {
    scalar_address(data);
    return;
  }
  out(data, bytes);
}

void Call::inresult(void* data, size_t bytes) {
  if (data != nullptr && first_ != nullptr && first_->scalars_on_device) {
    scalar_address(data);
    return;
  }
  inout(data, bytes);
}

void Call::filled(void* data, size_t bytes) {
  if (first_ == nullptr || first_->word != kOnHost) return scalar_address(data);
  is_on_host_ = true;
  whole(data, bytes);
}

// False with *status set: the call goes no further.
bool Call::begin(int* status, bool is_posted) {
  const CUresult opened = open(library_.number, library_.name, library_.soname, library_.major);
  if (opened != CUDA_SUCCESS && !(is_posted && is_left_unsaid(opened))) {
    *status = opened == CUDA_ERROR_NOT_FOUND ? library_.not_initialized : sent(opened);
  } else if (failed_ != library_.success) {
    *status = failed_;
  } else if (*status = earlier_status(); *status == library_.success) {
    if (!has_stream_) follow_thread();
    return true;
  }
  finish(false);
  return false;
}

// What an earlier posted call has left to tell. An object that a program ends is gone then, and
// what ending it returns is looked at by few, or in destructors.
int Call::earlier_status() {
  if (tells_nothing_ || ended_ != 0) return library_.success;
  const int earlier = take_status(library_.number);
  if (earlier == 0) return library_.success;
  return earlier == kNoSuchCall ? library_.not_supported : earlier;
}

// The stream of the object that does the work. The per-thread stream is another one in each thread,
// and the library on the server was given that of the thread which set it.
void Call::follow_thread() {
  Object* const worker = worker_ != nullptr ? worker_ : first_;
  if (worker == nullptr) return;
  stream_ = worker->stream;
  if (stream_ != CU_STREAM_PER_THREAD || worker->binder == 0) return;
  const uint64_t mine = stream_name(stream_);
  if (mine == 0 || worker->bound.exchange(mine) == mine) return;
  const std::array<uint64_t, 2> arguments = {worker->name, mine};
  cudax::post({.function = library_.number << 16 | worker->binder,
               .name = name_,
               .stream = stream_,
               .arguments = std::as_bytes(std::span(arguments))});
}

// A server that is lost in the middle of things is told by the program's next CUDA call: programs
// make an exception of its error's text, which says what happened. A library's status has none. No
// result of posted calls reaches a program but by a CUDA call.
bool Call::is_left_unsaid(CUresult result) {
  return result == kServerLost && session_is_started();
}

int Call::sent(CUresult result) {
  switch (result) {
    case CUDA_SUCCESS:
      return library_.success;
    case CUDA_ERROR_INVALID_VALUE:
    case CUDA_ERROR_INVALID_HANDLE:
    case CUDA_ERROR_INVALID_CONTEXT:
      return library_.invalid_value;
    case CUDA_ERROR_OUT_OF_MEMORY:
      return library_.out_of_memory;
    case CUDA_ERROR_NOT_INITIALIZED:
      return library_.not_initialized;
    default:
      return library_.failed;
  }
}

// The arguments with recipes in the place of names, so that they mean the same another time.
std::string Call::key() const {
  std::string key(reinterpret_cast<const char*>(data()), size_);
  for (size_t i = 0; i < named_count_; ++i) {
    const uint64_t recipe = named(i).is_filled ? 0 : object_recipe(named(i).object);
    std::memcpy(key.data() + named(i).at, &recipe, sizeof recipe);
  }
  if (has_base_) {
    const uint64_t any = base_ != 0;
    std::memcpy(key.data() + base_at_, &any, sizeof any);
  }
  // What a library says about a work area or a shape depends at most on how far addresses are
  // aligned: null, or a power of two up to that of an allocation.
  constexpr int kAllocationAlignment = 8;
  for (size_t i = 0; i < address_count_; ++i) {
    uint64_t address = 0;
    std::memcpy(&address, key.data() + addresses_[i], sizeof address);
    const int zeros = std::min(std::countr_zero(address), kAllocationAlignment);
    address = address == 0 ? 0 : 1 + static_cast<uint64_t>(zeros);
    std::memcpy(key.data() + addresses_[i], &address, sizeof address);
  }
  for (size_t i = 0; i < place_count_; ++i) {
    const Place& place = places_[i];
    if (place.content == Content::kKept) std::memset(key.data() + place.content_at, 0, place.bytes);
  }
  if (made_ != nullptr) std::memset(key.data() + made_at_, 0, sizeof(uint64_t));
  const uint32_t function = library_.number << 16 | function_;
  key.append(reinterpret_cast<const char*>(&function), sizeof function);
  return key;
}

void Call::set_recipes() {
  if (made_ == nullptr && !is_setting_) return;
  std::string what = key();
  if (made_ != nullptr) {
    object_set(made_, 0, XXH3_64bits(what.data(), what.size()));
  } else if (first_ != nullptr) {
    // Not what was set before: the same words leave the same object.
    std::memset(what.data() + named_[0].at, 0, sizeof(uint64_t));
    object_set(first_, sets_ + 1, XXH3_64bits(what.data(), what.size()));
  }
}

void Call::fill_recipes() {
  const std::string what = key();
  const uint64_t hash = XXH3_64bits(what.data(), what.size());
  for (size_t i = 0; i < named_count_; ++i) {
    if (!named(i).is_filled) continue;
    object_fill(named(i).object, hash + i);
    named(i).object->word = keeps_ ? kept_ : 0;
  }
}

void Call::compute_recipes() {
  // Recipes' parts are the numbers of functions and keys, but for this one.
  constexpr uint64_t kComputedPart = ~uint64_t{1};
  static std::atomic<uint64_t> computed = 0;
  for (size_t i = 0; i < named_count_; ++i) {
    if (named(i).is_computed) object_set(named(i).object, kComputedPart, ++computed);
  }
}

// Addresses counted from the base become such counted from elsewhere; null stays null.
void Call::rebase(std::vector<std::byte>& results, uint64_t difference) const {
  size_t at = 0;
  for (size_t i = 0; i < place_count_; ++i) {
    uint64_t address = 0;
    if (places_[i].is_in_base && results.size() - at >= sizeof address) {
      std::memcpy(&address, results.data() + at, sizeof address);
      if (address != 0) address += difference;
      std::memcpy(results.data() + at, &address, sizeof address);
    }
    at += std::min(results.size() - at, (places_[i].bytes + 7) & ~size_t{7});
  }
}

void Call::finish(bool succeeded) {
  if (made_ != nullptr) {
    if (succeeded) {
      // A plan works where the handle does that made it.
      if (first_ != nullptr) made_->stream = stream_;
      write_name_(made_out_, made_->name);
    } else {
      object_destroy(made_->name);
    }
  }
  if (!succeeded) return;
  if (computes_) compute_recipes();
  if (fills_) {
    fill_recipes();
  } else if (Object* keeper = made_ != nullptr ? made_ : first_; keeps_ && keeper != nullptr) {
    keeper->word = kept_;
  }
  if (scalars_ >= 0 && first_ != nullptr) first_->scalars_on_device = scalars_ != 0;
  if (binds_ && first_ != nullptr) {
    first_->bound = stream_ == CU_STREAM_PER_THREAD ? stream_name(stream_) : 0;
    first_->binder = function_;
    first_->stream = stream_;
  }
  if (ended_ != 0) object_destroy(ended_);
}

// The default stream has nothing to do with it; another one comes first.
int Call::ask_on_host() {
  use_ = Use::kNothing;
  const CUresult waited =
      first_->stream == nullptr ? CUDA_SUCCESS : stream_synchronize(first_->stream);
  if (waited == CUDA_SUCCESS) return ask(false);
  finish(false);
  return sent(waited);
}

int Call::post() {
  // What only makes, sets or ends an object leaves streams alone.
  const bool prepares = made_ != nullptr || ended_ != 0 || is_setting_ || acts_ || binds_ ||
                        fills_ || is_idle_ || scalars_ >= 0;
  if (!prepares) use_ = Use::kWork;
  // Something to wait for after all: a result in host memory.
  if (place_count_ != 0) {
    if (is_on_host_) return ask_on_host();
    if (!prepares) use_ = Use::kWorkAndWait;
    return ask(false);
  }
  int status = library_.success;
  if (!begin(&status, true)) return status;
  set_recipes();
  const CUresult posted = cudax::post({.function = library_.number << 16 | function_,
                                       .name = name_,
                                       .stream = stream_,
                                       .use = use_,
                                       .arguments = {data(), size_}});
  status = is_left_unsaid(posted) ? library_.success : sent(posted);
  finish(status == library_.success);
  return status;
}

void Call::answered(std::span<const std::byte> results) {
  remember_ahead(key(), {library_.success, {results.begin(), results.end()}, {}});
  finish(true);
}

// Goes through the results' bytes in whose places something was before that is no part of the
// question: each(the byte's number, what was there).
template <class Each>
void Call::each_kept_byte(std::span<const std::byte> results, Each each) const {
  size_t at = 0;
  for (size_t i = 0; i < place_count_; ++i) {
    const Place& place = places_[i];
    // Addresses lie elsewhere in what is remembered.
    if (place.content == Content::kKept && !place.is_in_base) {
      for (size_t byte = 0; byte < place.bytes && at + byte < results.size(); ++byte) {
        each(at + byte, data()[place.content_at + byte]);
      }
    }
    at += (place.bytes + 7) & ~size_t{7};
  }
}

// The answer that has just come, as it is remembered; `before`: what was known of it. A byte that
// is as it was in its place is known to be the library's when it was another one there before, and
// to be none of its when it has changed with what was there.
KnownAnswer Call::known_answer(std::span<const std::byte> results,
                               const KnownAnswer& before) const {
  KnownAnswer known = {status_, {results.begin(), results.end()}, {}};
  const bool was_known = before.results.size() == results.size();
  each_kept_byte(results, [&](size_t i, std::byte there) {
    Written written = results[i] == there ? Written::kUnknown : Written::kYes;
    if (was_known) {
      const Written said = before.written.empty() ? Written::kYes : before.written[i];
      if (said != Written::kUnknown) {
        written = said;
      } else if (written == Written::kUnknown && there != before.results[i]) {
        written = Written::kNo;
      }
    }
    if (written == Written::kYes) return;
    known.written.resize(results.size(), Written::kYes);
    known.written[i] = written;
  });
  return known;
}

// Whether it is the same whatever of it the library wrote.
bool Call::is_known(const KnownAnswer& answer) const {
  if (answer.written.empty()) return true;
  bool is_known = true;
  each_kept_byte(answer.results, [&](size_t i, std::byte there) {
    is_known = is_known && (answer.written[i] != Written::kUnknown || answer.results[i] == there);
  });
  return is_known;
}

void Call::deliver(std::span<const std::byte> results) {
  const bool failed = status_ != library_.success && !tells_nothing_;
  size_t at = 0;
  for (size_t i = 0; i < place_count_; ++i) {
    const Place& place = places_[i];
    if (place.bytes > results.size() - at) break;
    if (!failed || place.content != Content::kNone) {
      std::memcpy(place.to, results.data() + at, place.bytes);
    }
    at += std::min(results.size() - at, (place.bytes + 7) & ~size_t{7});
  }
}

int Call::ask(bool pure, const std::function<void()>& ahead) {
  int status = library_.success;
  if (!begin(&status, false)) return status;
  set_recipes();
  std::vector<std::byte> results;
  std::string question;
  KnownAnswer known;
  const bool is_asked_once = pure && made_ == nullptr;
  const bool acts = acts_ || fills_;
  if (is_asked_once) question = key();
  const auto is_answered_here = [&] {
    return recall(question, &known) && is_known(known) && answers_here(name_);
  };
  bool is_here = is_asked_once && is_answered_here();
  if (!is_here && is_asked_once && ahead && asks_ahead()) {
    ahead();
    is_here = is_answered_here();
  }
  if (is_here) {
    status_ = known.status;
    results = known.results;
    if (!known.written.empty()) {
      each_kept_byte(known.results, [&](size_t i, std::byte there) {
        if (known.written[i] == Written::kNo) results[i] = there;
      });
    }
    if (acts && status_ == library_.success) {
      status = sent(cudax::post({.function = library_.number << 16 | function_,
                                 .name = name_,
                                 .stream = stream_,
                                 .arguments = {data(), size_}}));
    }
  } else {
    status = sent(cudax::ask({.function = library_.number << 16 | function_,
                              .name = name_,
                              .stream = stream_,
                              .use = use_,
                              .arguments = {data(), size_},
                              .results_bytes = place_bytes_},
                             &status_, &results));
    if (status == library_.success && has_base_) rebase(results, 1 - base_);
    // What failed to be done may be done another time.
    const bool stays = status_ == library_.success || (tells_nothing_ && status_ != kNoSuchCall);
    if (status == library_.success && is_asked_once && stays) {
      remember(question, known_answer(results, known));
    }
  }
  if (status != library_.success) {
    finish(false);
    return status;
  }
  if (has_base_) rebase(results, base_ - 1);
  if (status_ == kNoSuchCall && tells_nothing_) {
    status_ = 0;
  } else if (status_ == kNoSuchCall) {
    // Why an object was never made stands before this answer.
    const int earlier = earlier_status();
    status_ = earlier != library_.success ? earlier : library_.not_supported;
  }
  deliver(results);
  finish(status_ == library_.success);
  return static_cast<int>(status_);
}

}  // namespace farlane::client::cudax
