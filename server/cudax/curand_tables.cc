#include "server/cudax/curand_tables.h"

#include <curand.h>
#include <fmt/format.h>

#include "protocol/curand_tables.h"

namespace farlane::server::cudax::curand {
namespace {

// What the call found goes where the client wants it; `get` asks the library for the table.
template <class Entry, class Get>
int64_t answer(Arguments& arguments, Get get) {
  constexpr uint64_t kBytes = protocol::curand_dimensions * sizeof(Entry);
  const uint64_t bytes = arguments.word();
  void* const to = bytes == kBytes ? arguments.out(bytes, nullptr) : nullptr;
  if (to == nullptr) arguments.fail(fmt::format("{} bytes for a table of {}", bytes, kBytes));
  if (!arguments.complete()) return 0;
  Entry* table = nullptr;
  const curandStatus_t status = get(&table);
  if (status == CURAND_STATUS_SUCCESS) std::memcpy(to, table, kBytes);
  return status;
}

template <class Function>
Function* of(void* function) {
  return reinterpret_cast<Function*>(function);
}

}  // namespace

int64_t direction_vectors_32(void* function, Arguments& arguments) {
  const auto set = static_cast<curandDirectionVectorSet_t>(arguments.word());
  return answer<curandDirectionVectors32_t>(arguments, [&](curandDirectionVectors32_t** table) {
    return of<decltype(curandGetDirectionVectors32)>(function)(table, set);
  });
}

int64_t direction_vectors_64(void* function, Arguments& arguments) {
  const auto set = static_cast<curandDirectionVectorSet_t>(arguments.word());
  return answer<curandDirectionVectors64_t>(arguments, [&](curandDirectionVectors64_t** table) {
    return of<decltype(curandGetDirectionVectors64)>(function)(table, set);
  });
}

int64_t scramble_constants_32(void* function, Arguments& arguments) {
  return answer<unsigned>(arguments, [&](unsigned** table) {
    return of<decltype(curandGetScrambleConstants32)>(function)(table);
  });
}

int64_t scramble_constants_64(void* function, Arguments& arguments) {
  return answer<unsigned long long>(arguments, [&](unsigned long long** table) {
    return of<decltype(curandGetScrambleConstants64)>(function)(table);
  });
}

}  // namespace farlane::server::cudax::curand
