// One call of a CUDA-X library on its way to the server: what the generated functions of the
// façades are made of.
//
// Arguments are packed in order, in words of 8 bytes (server/cudax/call.h takes them apart). What
// the server answers goes into the places that were given with out(), inout() and result(), before
// ask() returns. The first argument that is an object decides where scalars lie and which stream
// the call is ordered with, unless a stream is an argument itself.
#pragma once

#include <cuda.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "client/core/cudax.h"
#include "protocol/cudax_lists.h"

namespace farlane::client::cudax {

// What a library says when …
struct LibraryFacts {
  uint32_t number = 0;
  const char* name = "";
  const char* soname = "";
  unsigned major = 0;
  int success = 0;
  int not_initialized = 0;  // … the server lacks it
  int invalid_value = 0;    // … an argument is wrong, a descriptor none
  int not_supported = 0;
  int out_of_memory = 0;
  int failed = 0;          // … the session is lost, or the device failed
  int invalid_handle = 0;  // … the handle is none
  // Descriptors may be structs of the program's, which hold the name in their first 8 bytes.
  bool names_in_structs = false;
};

class Call {
 public:
  // `name` lives for ever.
  Call(const LibraryFacts& library, uint32_t function, const char* name);
  Call(const Call&) = delete;

  // Numbers and structs without pointers to host memory in them.
  template <class T>
  void value(const T& v) {
    static_assert(std::is_trivially_copyable_v<T> && !std::is_pointer_v<T>);
    uint64_t words[(sizeof(T) + 7) / 8] = {};
    std::memcpy(words, &v, sizeof v);
    if constexpr (sizeof words == sizeof *words) {
      word(*words);
    } else {
      append(words, sizeof words);
    }
  }
  // Of device memory: travels as it is. Only its alignment counts where answers are remembered.
  void address(const volatile void* p) { address_word(reinterpret_cast<uint64_t>(p)); }
  template <class T>
  requires std::is_integral_v<T>
  void address(T p) { address_word(static_cast<uint64_t>(p)); }
  // The one that addresses in the answer are counted from.
  void base(const volatile void* p) {
    base_at_ = size_;
    base_ = reinterpret_cast<uint64_t>(p);
    has_base_ = true;
    word(base_);
  }
  void stream(CUstream stream);
  void event(CUevent event);

  // Handles and descriptors, null included.
  template <class H>
  void object(H handle, uint16_t kind) {
    name(bits(handle), kind);
  }
  // … that was not made_on_host().
  template <class H>
  void object_on_device(H handle, uint16_t kind) {
    name(bits(handle), kind);
  }
  template <class H>
  void objects(const H* handles, size_t count, uint16_t kind) {
    if (count > protocol::cudax_list_max) return fail(library_.invalid_value);
    list(count);
    for (size_t i = 0; i < count; ++i) name(bits(handles[i]), kind);
  }
  // The call makes it: *out is its name when the call has succeeded.
  template <class H>
  void made(H* out, uint16_t kind) {
    const uint64_t made_name = make(out, kind);
    if constexpr (std::is_pointer_v<H>) {
      write_name_ = [](void* to, uint64_t n) { *static_cast<H*>(to) = reinterpret_cast<H>(n); };
    } else {
      // A small number: the name's index, from 1 on.
      write_name_ = [](void* to, uint64_t n) {
        *static_cast<H*>(to) = static_cast<H>(static_cast<uint32_t>(n) + 1);
      };
    }
    word(made_name);
  }
  // … and it works in host memory (filled).
  template <class H>
  void made_on_host(H* out, uint16_t kind) {
    made(out, kind);
    keeps(kOnHost);
  }
  // The call ends it.
  template <class H>
  void ended(H handle, uint16_t kind) {
    name(bits(handle), kind);
    ended_ = bits(handle);
  }

  // Host memory that the call reads; null stays null.
  void in(const void* data, size_t bytes);
  void string(const char* text) { in(text, text == nullptr ? 0 : std::strlen(text) + 1); }
  // Host or device memory, as the first object says.
  void scalar(const void* data, size_t bytes);
  void scalar_address(const void* data);
  // Host memory that the call writes: the call must be asked. What is there travels along, so that
  // what the library leaves alone stays as it is.
  void out(void* data, size_t bytes) { place(data, bytes, Content::kKept); }
  // … and that it reads before.
  void inout(void* data, size_t bytes) { place(data, bytes, Content::kRead); }
  // … and that it writes all of when it succeeds, and nothing when it fails.
  void whole(void* data, size_t bytes) { place(data, bytes, Content::kNone); }
  // Device memory, or host memory that is written as with whole() where the first object was
  // made_on_host(), behind what is in its stream.
  void filled(void* data, size_t bytes);
  // An address that lies as far from base() for another base.
  template <class T>
  void out_in_base(T** p) {
    out(p, sizeof *p);
    if (p != nullptr && place_count_ != 0) places_[place_count_ - 1].is_in_base = true;
  }
  // A handle or descriptor that the program has.
  template <class H>
  void out_object(H* p, uint16_t) {
    static_assert(std::is_pointer_v<H>);
    out(p, sizeof *p);
  }
  // Host or device memory that the call writes; in host memory it is waited for.
  void result(void* data, size_t bytes);
  void inresult(void* data, size_t bytes);
  // Host memory that only the library uses: the server has its own.
  void scratch(const void* data, size_t bytes);

  // What the arguments so far set in the first object; `part`: and the keys say which part of it.
  template <class... Keys>
  void sets(uint64_t part, Keys... keys) {
    for (const uint64_t key : std::initializer_list<uint64_t>{static_cast<uint64_t>(keys)...}) {
      part = part * 0x100000001b3u + key + 1;
    }
    sets_ = part;
    is_setting_ = true;
  }
  // An object among the arguments so far gets new contents, which follow from the arguments.
  template <class H>
  void fills(H handle) {
    if (const uint64_t filled = bits(handle); filled != 0) fill(filled);
  }
  // An object among the arguments so far gets contents that no argument tells: it is like no other
  // from then on, nor like itself before.
  template <class H>
  void computes(H handle) {
    if (const uint64_t computed = bits(handle); computed != 0) compute(computed);
  }
  // It does something there, too, so it is posted where a known answer saves asking.
  void acts() { acts_ = true; }
  // What the façade keeps with the made object, or else the first.
  void keeps(uint32_t what) {
    kept_ = what;
    keeps_ = true;
  }
  // The call's work is ordered with the stream of this object instead of the first.
  template <class H>
  void ordered_with(H handle) {
    if (Object* object = object_find(bits(handle), 0); object != nullptr) worker_ = object;
  }
  void scalars_on_device(bool on) { scalars_ = on ? 1 : 0; }
  // It leaves its stream alone, although it is posted.
  void idle() { is_idle_ = true; }
  // It puts work into its stream although it is asked.
  void works() { use_ = Use::kWork; }
  // The first object works on the call's stream from now on.
  void binds() { binds_ = true; }
  // It returns no status: whoever calls it would take an earlier call's for its answer.
  void tells_nothing() { tells_nothing_ = true; }

  // Send it. The library's status.
  int post();
  // `ahead` is called where the answer is not known, and may make it known.
  int ask(bool pure, const std::function<void()>& ahead = {});
  // For a call that others travel in: one of them, and what was answered to it, as ask() gets it.
  void part(const Call& call) { append(call.data(), call.size_); }
  void answered(std::span<const std::byte> results);
  // What a call that returns no status returned, after ask(); 0 where it was not made.
  int64_t returned() const { return status_; }

  Object* first() const { return first_; }
  const LibraryFacts& library() const { return library_; }

  static constexpr uint64_t kNull = ~uint64_t{0};
  static constexpr uint64_t kAddress = ~uint64_t{1};
  // Object::word of what was made_on_host().
  static constexpr uint32_t kOnHost = 1;

  // The name of a program's handle, 0 for none. Numbers count from 1 on and are looked up.
  template <class H>
  static uint64_t bits(H handle) {
    if constexpr (std::is_pointer_v<H>) {
      return reinterpret_cast<uint64_t>(handle);
    } else {
      return number_name(static_cast<uint32_t>(handle));
    }
  }

 protected:
  // What is in a place before the call: whether it travels, and the answer may depend on it.
  enum class Content : uint8_t { kNone, kKept, kRead };
  struct Place {
    void* to;
    size_t bytes;
    size_t content_at;  // in the arguments
    Content content;
    bool is_in_base;
  };
  struct Named {
    size_t at;  // of the name in the arguments
    Object* object;
    bool is_filled;
    bool is_computed;
  };

  static uint64_t number_name(uint32_t number);
  void append(const void* data, size_t bytes);
  void place(void* data, size_t bytes, Content content);
  void word(uint64_t value) {
    if (size_ + sizeof value > few_.size()) [[unlikely]]
      return append(&value, sizeof value);
    std::memcpy(few_.data() + size_, &value, sizeof value);
    size_ += sizeof value;
  }
  void address_word(uint64_t value);
  void list(uint64_t count) { word(count); }
  void name(uint64_t bits, uint16_t kind);
  void fill(uint64_t name);
  void compute(uint64_t name);
  Named& named(size_t i) { return i < named_.size() ? named_[i] : more_named_[i - named_.size()]; }
  const Named& named(size_t i) const { return const_cast<Call*>(this)->named(i); }
  uint64_t make(void* out, uint16_t kind);
  void fail(int status) {
    if (failed_ == library_.success) failed_ = status;
  }
  void refuse_size(size_t bytes);
  bool begin(int* status, bool is_posted);
  int ask_on_host();
  int earlier_status();
  void follow_thread();
  static bool is_left_unsaid(CUresult result);
  int sent(CUresult result);
  void finish(bool succeeded);
  void set_recipes();
  void fill_recipes();
  void compute_recipes();
  void rebase(std::vector<std::byte>& results, uint64_t difference) const;
  template <class Each>
  void each_kept_byte(std::span<const std::byte> results, Each each) const;
  KnownAnswer known_answer(std::span<const std::byte> results, const KnownAnswer& before) const;
  bool is_known(const KnownAnswer& answer) const;
  void deliver(std::span<const std::byte> results);
  std::string key() const;
  const std::byte* data() const { return many_.empty() ? few_.data() : many_.data(); }

  const LibraryFacts& library_;
  const uint32_t function_;
  const char* const name_;
  int failed_;
  alignas(8) std::array<std::byte, 1024> few_;
  std::vector<std::byte> many_;  // instead of few_, when it is too small
  size_t size_ = 0;
  Object* first_ = nullptr;
  Object* worker_ = nullptr;  // whose stream it works on; null: the first
  CUstream stream_ = nullptr;
  bool has_stream_ = false;
  std::array<Named, 16> named_;
  std::vector<Named> more_named_;  // that do not fit there
  size_t named_count_ = 0;
  std::array<uint32_t, 16> addresses_;  // where they are in the arguments; later ones count in full
  size_t address_count_ = 0;
  std::array<Place, 24> places_;
  size_t place_count_ = 0;
  size_t place_bytes_ = 0;
  Object* made_ = nullptr;
  size_t made_at_ = 0;  // its name in the arguments
  void* made_out_ = nullptr;
  void (*write_name_)(void*, uint64_t) = nullptr;
  uint64_t ended_ = 0;
  uint64_t sets_ = 0;
  bool is_setting_ = false;
  bool binds_ = false;
  bool tells_nothing_ = false;
  bool acts_ = false;
  bool is_idle_ = false;
  bool is_on_host_ = false;
  Use use_ = Use::kNothing;
  bool fills_ = false;
  bool computes_ = false;
  bool keeps_ = false;
  uint32_t kept_ = 0;
  bool has_base_ = false;
  size_t base_at_ = 0;
  uint64_t base_ = 0;
  int scalars_ = -1;
  int64_t status_ = 0;
};

}  // namespace farlane::client::cudax
