// How a CUDA-X library's function is called with arguments from the log.
//
// A library's table (generated from protocol/api) has for every function a thunk: it takes the
// packed arguments apart, one role for each parameter, and calls the vendor's function. Arguments
// lie in words of 8 bytes, in order:
//
//   value, address    the value, padded
//   object, ended     the client's name of a handle or descriptor, 0 for null
//   object_on_device  as `object`; not one that was made on the host
//   made              the name that what the call makes will have; 0: the client wants none
//   made_on_host      as `made`; what it makes works in host memory
//   objects           a count, then names
//   stream, event     the name of a stream or event
//   in, string        a count of bytes or kNull, then the bytes, padded
//   scalar            as `in`, or kAddress and a device address
//   base              as `address`
//   out, inout        a count of bytes or kNull, then the bytes as they are before the call,
//   padded;
//                     the answer has those that are there after it
//   whole             as `out` without the bytes: the call writes them all, or it fails
//   filled            as `whole` where the first object was made on the host, else kAddress and a
//                     device address
//   out_in_base       as `out`
//   out_object        as `out`; the bytes are the name of a handle or descriptor
//   result, inresult  as `out`, or kAddress and a device address
//   scratch           a count of bytes of host memory that only the library uses, or kNull
//   null              nothing: the parameter is always null
//   either            below 2^56 a value, else the name of an object
//   config            of NCCL's: server/cudax/nccl_config.h
#pragma once

#include <cuda.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <vector>

namespace farlane::server::cudax {

inline constexpr uint64_t kNull = ~uint64_t{0};
inline constexpr uint64_t kAddress = ~uint64_t{1};

// What a client's name stands for.
struct Object {
  uint16_t kind = 0;
  uint64_t bits = 0;  // the vendor's handle
  bool is_on_host = false;
  // Host memory for the library's own use, kept because calls may use it after they return.
  std::vector<std::unique_ptr<std::byte[]>> scratch;
  // Values in host memory that the object refers to by address: those of by-value tensors.
  std::vector<std::array<std::byte, 16>> values;
};
using Objects = std::unordered_map<uint64_t, Object>;

// Finds the driver's stream or event of a name; null with false: there is none.
struct Names {
  std::function<bool(uint64_t name, CUstream* stream)> stream;
  std::function<bool(uint64_t name, CUevent* event)> event;
};

// The arguments of one call, and what comes of it. What the peer got wrong is in `fault`.
class Arguments {
 public:
  Arguments(std::span<const std::byte> packed, Objects& objects, const Names& names,
            size_t results_max, std::unique_lock<std::mutex>* lock = nullptr)
      : at_(packed.data()),
        left_(packed.size()),
        objects_(objects),
        names_(names),
        results_left_(results_max),
        lock_(lock) {}

  uint64_t word();
  // The word that comes next, without taking it; all bits where there is none.
  uint64_t next() const;
  // Copies out a value.
  void value(void* to, size_t bytes);
  const std::byte* bytes(uint64_t count);
  uint64_t object(uint16_t kind);
  uint64_t object_on_device(uint16_t kind);
  std::span<uint64_t> objects(uint16_t kind);
  uint64_t* made(uint16_t kind, bool on_host = false);
  void end(uint16_t kind, uint64_t* bits);
  CUstream stream();
  CUevent event();
  void* out(uint64_t count, const std::byte* before);
  void* filled();
  // Handles of the library's, which the answer has the names of; where the call leaves what was
  // there `before`, it has that.
  void* out_objects(uint64_t count, const std::byte* before, uint16_t kind);
  void* scratch(uint64_t count);
  // Zeros, for as long as these arguments.
  void* memory(size_t bytes);
  uint64_t either(uint16_t kind);

  // After the last argument. False: the call may not be made. Opens the lock, which the objects
  // need and the call does not.
  bool complete();
  // After the call: names that were made stand for something now, ended ones for nothing.
  void settle(bool succeeded);
  void fail(std::string what) {
    if (fault_.empty()) fault_ = std::move(what);
  }
  // Whether this is what an object is called that the call makes.
  bool makes(uint64_t name) const;
  // The object that was taken last; null when there was none.
  cudax::Object* last() { return last_; }
  const std::string& fault() const { return fault_; }
  // The names of objects that must exist and do not, because making them failed.
  bool has_stale_object() const { return stale_; }
  // All out parameters, in order, each padded.
  std::vector<std::byte> results() const;

 private:
  const std::byte* take(size_t count);

  const std::byte* at_;
  size_t left_;
  Objects& objects_;
  const Names& names_;
  size_t results_left_;
  std::string fault_;
  bool stale_ = false;
  struct Making {
    uint64_t name = 0;
    uint16_t kind = 0;
    bool is_on_host = false;
    uint64_t bits = 0;
  };
  std::array<Making, 4> making_;
  size_t making_count_ = 0;
  uint64_t ending_ = 0;
  Object* first_ = nullptr;
  Object* last_ = nullptr;
  struct Result {
    std::unique_ptr<std::byte[]> data;
    size_t bytes = 0;
    uint16_t kind = 0;             // of the handles in it
    std::vector<uint64_t> before;  // the same, what was there before the call
  };
  std::vector<Result> results_;
  std::vector<std::unique_ptr<uint64_t[]>> lists_;
  std::unique_lock<std::mutex>* lock_ = nullptr;
};

namespace role {

// A handle is a pointer or a small number.
template <class H>
H handle(uint64_t bits) {
  if constexpr (std::is_pointer_v<H>) {
    return reinterpret_cast<H>(bits);
  } else {
    return static_cast<H>(bits);
  }
}

struct Value {
  template <class T>
  static T take(Arguments& arguments) {
    std::remove_cv_t<T> value{};
    arguments.value(&value, sizeof value);
    return value;
  }
};
struct Address {
  template <class T>
  static T take(Arguments& arguments) {
    return handle<T>(arguments.word());
  }
};
template <uint16_t kKind>
struct Object {
  template <class T>
  static T take(Arguments& arguments) {
    return handle<T>(arguments.object(kKind));
  }
};
template <uint16_t kKind>
struct Ended {
  template <class T>
  static T take(Arguments& arguments) {
    uint64_t bits = 0;
    arguments.end(kKind, &bits);
    return handle<T>(bits);
  }
};
template <uint16_t kKind>
struct Objects {
  template <class T>
  static T take(Arguments& arguments) {
    return reinterpret_cast<T>(arguments.objects(kKind).data());
  }
};
template <uint16_t kKind>
struct Made {
  template <class T>
  static T take(Arguments& arguments) {
    return reinterpret_cast<T>(arguments.made(kKind));
  }
};
template <uint16_t kKind>
struct MadeOnHost {
  template <class T>
  static T take(Arguments& arguments) {
    return reinterpret_cast<T>(arguments.made(kKind, true));
  }
};
template <uint16_t kKind>
struct ObjectOnDevice {
  template <class T>
  static T take(Arguments& arguments) {
    return handle<T>(arguments.object_on_device(kKind));
  }
};
struct Stream {
  template <class T>
  static T take(Arguments& arguments) {
    return reinterpret_cast<T>(arguments.stream());
  }
};
struct Event {
  template <class T>
  static T take(Arguments& arguments) {
    return reinterpret_cast<T>(arguments.event());
  }
};
struct In {
  template <class T>
  static T take(Arguments& arguments) {
    const uint64_t count = arguments.word();
    if (count == kNull) return nullptr;
    return (T)(arguments.bytes(count));
  }
};
using String = In;
struct Scalar {
  template <class T>
  static T take(Arguments& arguments) {
    const uint64_t count = arguments.word();
    if (count == kNull) return nullptr;
    if (count == kAddress) return reinterpret_cast<T>(arguments.word());
    return (T)(arguments.bytes(count));
  }
};
struct Out {
  template <class T>
  static T take(Arguments& arguments) {
    const uint64_t count = arguments.word();
    if (count == kNull) return nullptr;
    return reinterpret_cast<T>(arguments.out(count, arguments.bytes(count)));
  }
};
struct Whole {
  template <class T>
  static T take(Arguments& arguments) {
    const uint64_t count = arguments.word();
    return count == kNull ? nullptr : reinterpret_cast<T>(arguments.out(count, nullptr));
  }
};
struct Filled {
  template <class T>
  static T take(Arguments& arguments) {
    return reinterpret_cast<T>(arguments.filled());
  }
};
template <uint16_t kKind>
struct OutObject {
  template <class T>
  static T take(Arguments& arguments) {
    const uint64_t count = arguments.word();
    if (count == kNull) return nullptr;
    return reinterpret_cast<T>(
        arguments.out_objects(count / sizeof(uint64_t), arguments.bytes(count), kKind));
  }
};
struct Result {
  template <class T>
  static T take(Arguments& arguments) {
    const uint64_t count = arguments.word();
    if (count == kNull) return nullptr;
    if (count == kAddress) return reinterpret_cast<T>(arguments.word());
    return reinterpret_cast<T>(arguments.out(count, arguments.bytes(count)));
  }
};
struct Scratch {
  template <class T>
  static T take(Arguments& arguments) {
    const uint64_t count = arguments.word();
    return count == kNull ? nullptr : reinterpret_cast<T>(arguments.scratch(count));
  }
};
template <uint16_t kKind>
struct Either {
  template <class T>
  static T take(Arguments& arguments) {
    return static_cast<T>(arguments.either(kKind));
  }
};
struct Null {
  template <class T>
  static T take(Arguments&) {
    return nullptr;
  }
};

}  // namespace role

using Thunk = int64_t (*)(void* function, Arguments& arguments);

template <class F>
struct Invoke;
template <class R, class... A>
struct Invoke<R(A...)> {
  // What the function returned; nothing is called when the arguments are not complete.
  template <class... Roles>
  static int64_t call(void* function, Arguments& arguments) {
    // In braces: in the order written.
    const std::tuple<A...> taken{Roles::template take<A>(arguments)...};
    if (!arguments.complete()) return 0;
    if constexpr (std::is_void_v<R>) {
      std::apply(reinterpret_cast<R (*)(A...)>(function), taken);
      return 0;
    } else {
      return static_cast<int64_t>(std::apply(reinterpret_cast<R (*)(A...)>(function), taken));
    }
  }
};

// Of a function of a grouped library: when it is only put into its stream, and waits for no other
// rank.
enum class Prompt : uint8_t {
  kNo,
  kYes,
  // Once a call of it that was not empty has been made with the same communicator and peer: that
  // one has made the connections, which later ones use, whatever their size.
  kConnected,
};

struct Function {
  uint32_t number = 0;
  const char* name = "";
  Thunk thunk = nullptr;
  Prompt prompt = Prompt::kNo;
  // Which words of its arguments are what decides about kConnected.
  struct {
    uint8_t count = 0;
    uint8_t peer = 0;  // 0: it is between all ranks
    uint8_t comm = 0;
  } connects = {};
  bool registers = false;  // what used to be prompt may agree with other ranks from then on
};

struct Library {
  uint32_t number = 0;
  const char* title = "";
  const char* soname = "";
  const char* property = "";  // the function that tells the version
  int success = 0;
  std::span<const Function> functions;  // sorted by number
  // Its calls are made in groups and on other threads (server/cudax/communicators.h); `property` is
  // a function that tells the version as one number.
  bool is_grouped = false;
};

// All that are described.
std::span<const Library* const> libraries();

}  // namespace farlane::server::cudax
