// The functions of cuRAND that give away tables in host memory, and the stream of a generator that
// works there.
#include <curand.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <mutex>
#include <new>

#include "client/cudax/call.h"
#include "generated/client/curand_facts.h"
#include "protocol/curand_tables.h"

using farlane::client::cudax::Call;
using farlane::client::cudax::Object;
using namespace farlane::client::cudax::curand;
namespace cudax = farlane::client::cudax;
namespace protocol = farlane::protocol;

namespace {

// A table of the library's, fetched at its first use. It stays as long as the process, as the
// library's own does. Any thread.
template <class Entry>
class Table {
 public:
  // `ask` gets room for it, and returns the library's status.
  template <class Ask>
  curandStatus_t get(Entry** out, Ask ask) {
    if (out == nullptr) return CURAND_STATUS_OUT_OF_RANGE;
    Entry* found = table_.load(std::memory_order_acquire);
    if (found == nullptr) {
      const std::lock_guard lock(mutex_);
      found = table_.load(std::memory_order_relaxed);
      if (found == nullptr) {
        const size_t bytes = protocol::curand_dimensions * sizeof(Entry);
        void* const room = ::operator new(bytes, std::nothrow);
        if (room == nullptr) return CURAND_STATUS_ALLOCATION_FAILED;
        const auto status = static_cast<curandStatus_t>(ask(room, bytes));
        if (status != CURAND_STATUS_SUCCESS) {
          ::operator delete(room);
          return status;
        }
        found = static_cast<Entry*>(room);
        table_.store(found, std::memory_order_release);
      }
    }
    *out = found;
    return CURAND_STATUS_SUCCESS;
  }

 private:
  std::mutex mutex_;
  std::atomic<Entry*> table_ = nullptr;
};

// Its direction vectors, by set. Never destroyed: programs end late.
template <class Entry>
curandStatus_t direction_vectors(uint32_t function, const char* name,
                                 curandDirectionVectorSet_t set, Entry** vectors) {
  static auto* const tables = new std::array<Table<Entry>, 4>;
  const auto ask = [&](void* room, size_t bytes) {
    Call call(kLibrary, function, name);
    call.value(set);
    call.whole(room, bytes);
    return call.ask(false);
  };
  const auto index =
      static_cast<size_t>(set) - static_cast<size_t>(CURAND_DIRECTION_VECTORS_32_JOEKUO6);
  if (index >= tables->size()) return CURAND_STATUS_OUT_OF_RANGE;
  return (*tables)[index].get(vectors, ask);
}

template <class Entry>
curandStatus_t scramble_constants(uint32_t function, const char* name, Entry** constants) {
  static auto* const table = new Table<Entry>;
  return table->get(constants, [&](void* room, size_t bytes) {
    Call call(kLibrary, function, name);
    call.whole(room, bytes);
    return call.ask(false);
  });
}

}  // namespace

extern "C" {

curandStatus_t curandGetDirectionVectors32(curandDirectionVectors32_t* vectors[],
                                           curandDirectionVectorSet_t set) {
  return direction_vectors(k_curandGetDirectionVectors32, "curandGetDirectionVectors32", set,
                           vectors);
}

curandStatus_t curandGetDirectionVectors64(curandDirectionVectors64_t* vectors[],
                                           curandDirectionVectorSet_t set) {
  return direction_vectors(k_curandGetDirectionVectors64, "curandGetDirectionVectors64", set,
                           vectors);
}

curandStatus_t curandGetScrambleConstants32(unsigned int** constants) {
  return scramble_constants(k_curandGetScrambleConstants32, "curandGetScrambleConstants32",
                            constants);
}

curandStatus_t curandGetScrambleConstants64(unsigned long long** constants) {
  return scramble_constants(k_curandGetScrambleConstants64, "curandGetScrambleConstants64",
                            constants);
}

curandStatus_t curandSetStream(curandGenerator_t generator, cudaStream_t stream) {
  Object* const object = cudax::object_find(Call::bits(generator), kGenerator);
  if (object != nullptr && object->word == Call::kOnHost) {
    // The server's has none: its numbers are waited for, behind what is in the stream.
    object->stream = stream;
    return CURAND_STATUS_SUCCESS;
  }
  Call call(kLibrary, k_curandSetStream, "curandSetStream");
  call.object_on_device(generator, kGenerator);
  call.stream(stream);
  call.binds();
  return static_cast<curandStatus_t>(call.post());
}

}  // extern "C"
