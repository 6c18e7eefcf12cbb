// Calls of the CUDA-X libraries (cuBLAS, cuDNN, …) at their own API: what their façades stand on.
//
// A call travels as a number and packed arguments (client/cudax/call.h); the worker makes it with
// the vendor's library. Handles and descriptors are client-made names. Nothing here knows a
// library.
#pragma once

#include <cuda.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "client/core/answers.h"
#include "client/core/api.h"

namespace farlane::client::cudax {

// A handle, descriptor or plan of a library.
struct Object {
  uint64_t name = 0;
  uint16_t kind = 0;                              // of protocol/api: the library's number, its kind
  std::atomic<CUstream> stream = nullptr;         // that its work is ordered with
  std::atomic<uint64_t> bound = 0;                // the server has this one, if it is per-thread
  std::atomic<uint32_t> binder = 0;               // the function that has set it; 0: none
  std::atomic<bool> scalars_on_device = false;    // its calls' scalars lie in device memory
  std::atomic<uint32_t> scalar_bytes = 0;         // of one scalar, where the object decides that
  std::atomic<uint32_t> scalar_mode = 0;          // the library's own word for where scalars lie
  std::atomic<uint32_t> word = 0;                 // what else the library's façade keeps with it
  std::array<std::atomic<int32_t>, 4> numbers{};  // and more of that
  std::atomic<int32_t> status = 0;                // what the server said last about it

  // Everything that was ever set in it, as one number: two objects with equal recipes answer the
  // same questions alike. Any thread.
  uint64_t recipe();
  // `part` names what is set, `value` is what was said about it; the last word counts.
  void set(uint64_t part, uint64_t value);
  // A call has filled it: nothing that was set before counts.
  void fill(uint64_t value);
  void reset();

 private:
  std::mutex mutex_;
  std::map<uint64_t, uint64_t> parts_;  // guarded by mutex_
  uint64_t recipe_ = 0;                 // guarded by mutex_
};

// A fresh object, or null when there are too many.
FARLANE_CORE_API Object* object_create(uint16_t kind);
// Null: no such object, or one of another kind. kind 0: any.
FARLANE_CORE_API Object* object_find(uint64_t name, uint16_t kind);
// By the index in its name, for libraries whose handles are small numbers.
FARLANE_CORE_API Object* object_find_index(uint32_t index, uint16_t kind);
FARLANE_CORE_API void object_destroy(uint64_t name);
FARLANE_CORE_API uint64_t object_recipe(Object* object);
FARLANE_CORE_API void object_set(Object* object, uint64_t part, uint64_t value);
FARLANE_CORE_API void object_fill(Object* object, uint64_t value);

// Whether the server has the library, asked at the first call of it. `major`: of the headers that
// the façade was built with. CUDA_ERROR_NOT_FOUND, said once in the log: the server has none, or
// one of another major version. `title` and `soname` live for ever.
FARLANE_CORE_API CUresult open(uint32_t library, const char* title, const char* soname,
                               unsigned major);
// The versions on the server: major, minor, patch. After open().
FARLANE_CORE_API void version(uint32_t library, unsigned (&numbers)[3]);

// For a failed status' text: null, or `plain` and why nothing of this library works (the sentence
// that stands in the log). Never freed.
FARLANE_CORE_API const char* why_not(uint32_t library, const char* plain);

// What a call does to its stream; a capture may forbid it.
enum class Use : uint8_t { kNothing, kWork, kWorkAndWait };

struct Request {
  uint32_t function = 0;  // library << 16 | number
  const char* name = "";  // of the function; lives for ever
  CUstream stream = nullptr;
  Use use = Use::kNothing;
  std::span<const std::byte> arguments;
  size_t results_bytes = 0;  // that an asked call's answer has at most
};
// Arguments, and results, may be cudax_long_bytes_max (protocol/limits.h).
FARLANE_CORE_API CUresult post(const Request& request);
// `results` and `status` are set when the server answered.
FARLANE_CORE_API CUresult ask(const Request& request, int64_t* status,
                              std::vector<std::byte>* results);
// The status of an earlier posted call of this library that failed, once. 0: none.
FARLANE_CORE_API int take_status(uint32_t library);

// Answers that never change: by `key`, everything that they depend on. What failed may succeed the
// next time and is not to be kept. Any thread.
using KnownAnswer = Answers::Answer;
// What is known so far, whatever the settings say about using it.
FARLANE_CORE_API bool recall(const std::string& key, KnownAnswer* answer);
// Whether the call `name` may be answered by that, which is counted then.
FARLANE_CORE_API bool answers_here(const char* name);
FARLANE_CORE_API void remember(const std::string& key, KnownAnswer answer);
// Answers that the program has not asked for yet: whether fetching them makes sense, and one that
// came.
FARLANE_CORE_API bool asks_ahead();
FARLANE_CORE_API void remember_ahead(const std::string& key, KnownAnswer answer);

// Groups of calls, which the worker makes on threads of its own (client/cudax/group_call.h).
// A stream as it stands in the log. `stream` null: there is none such.
struct NamedStream {
  uint64_t name = 0;
  void* stream = nullptr;
  friend bool operator==(const NamedStream&, const NamedStream&) = default;
};
FARLANE_CORE_API NamedStream named_stream(CUstream stream);
struct GroupRequest {
  uint32_t library = 0;
  uint32_t flags = 0;
  const char* name = "";  // lives for ever
  std::span<const NamedStream> streams;
  std::span<const uint64_t> objects;  // that it is ordered by
  std::span<const std::byte> calls;
};
FARLANE_CORE_API CUresult post_group(const GroupRequest& request);
// `results`, `what` and `status` are set when the server answered.
FARLANE_CORE_API CUresult ask_group(const GroupRequest& request, int64_t* status,
                                    std::vector<std::byte>* results, std::string* what);
FARLANE_CORE_API CUresult abort(uint32_t library, uint32_t function, uint64_t object,
                                int64_t* status, std::string* what);
// Takes in what the server has said unasked, without waiting. False: the session is lost.
FARLANE_CORE_API bool listen();
// The server's ordinal of a device; the current one's for -1, which is the first for a thread that
// has none.
FARLANE_CORE_API CUresult device_on_server(int device, uint32_t* ordinal);
// What was said last about objects that fared badly.
FARLANE_CORE_API std::string last_text();
FARLANE_CORE_API void note_text(const std::string& text);
// The server says how an object fares.
void note_status(uint64_t object, int status, std::string_view what);

// The event or stream that a program's handle means, as it stands in the log. 0: none such.
FARLANE_CORE_API uint64_t stream_name(CUstream stream);
FARLANE_CORE_API uint64_t event_name(CUevent event);
// Whether the address is in a device's window or a module's variable.
FARLANE_CORE_API bool is_device_address(uint64_t address);

}  // namespace farlane::client::cudax
