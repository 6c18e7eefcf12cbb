// Copies and fills between linear memories, in up to three dimensions.
#pragma once

#include <cstdint>
#include <functional>

#include "server/softcuda/driver_context.h"

namespace farlane::softcuda {

enum class Side : uint8_t { kHost, kDevice };

struct Copy {
  uint64_t destination = 0;
  uint64_t source = 0;
  Side destination_side = Side::kHost;
  Side source_side = Side::kHost;
  // A row of width bytes, `height` times, `depth` times. Pitches are bytes between rows and slices.
  uint64_t width = 0;
  uint64_t height = 1;
  uint64_t depth = 1;
  uint64_t destination_pitch = 0;
  uint64_t source_pitch = 0;
  uint64_t destination_slice = 0;
  uint64_t source_slice = 0;
};

struct Fill {
  uint64_t destination = 0;
  uint64_t pitch = 0;
  uint64_t width = 0;  // elements
  uint64_t height = 1;
  uint32_t value = 0;
  uint32_t element_bytes = 1;
};

// By unified addressing: a device address or anything else.
Side side_of(uint64_t address);

// The checks alone, and the function that does it; what graphs are made of.
CUresult check_copy(const ContextPtr& context, Copy* copy, std::function<void()>* run);
CUresult check_fill(const ContextPtr& context, const Fill& fill, std::function<void()>* run);

// Checks, then puts the copy into the stream. `wait`: the synchronous forms. They always wait, also
// where CUDA may return early (fills, copies within the device): there such work ends at once, and
// programs have come to rely on it. Asynchronous forms wait where CUDA does: for pageable memory.
CUresult issue_copy(ContextPtr context, CUstream stream, Copy copy, bool wait);
CUresult issue_fill(ContextPtr context, CUstream stream, const Fill& fill, bool wait);

}  // namespace farlane::softcuda
