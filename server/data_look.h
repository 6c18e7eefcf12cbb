// The order in which data of copies goes to the client.
//
// A client that has data of one copy takes everything before that for done, on other streams, too,
// if events order them. So what came earlier goes first. Looks at the device take time, and one
// that begins with the oldest piece may miss it and then find a newer one: pieces are looked at
// from the newest to the oldest, so that whatever a piece came after is found with it, and are told
// from the oldest on. Tickets grow in the order in which a program asks for copies.
#pragma once

#include <cuda.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "generated/server/driver_table.h"

namespace farlane::server {

// A piece of a copy that the device may have read.
struct DataLook {
  uint64_t ticket = 0;
  uint64_t offset = 0;
  CUevent event = nullptr;
  bool* is_read = nullptr;     // set when it has
  CUresult* result = nullptr;  // of reading it
};

// True: the device has read it.
inline bool look_at(const DriverTable& driver, const DataLook& look) {
  if (*look.is_read) return true;
  const CUresult result = driver.cuEventQuery(look.event);
  if (result == CUDA_ERROR_NOT_READY) return false;
  *look.is_read = true;
  *look.result = result;
  return true;
}

inline void newest_first(std::vector<DataLook>* looks) {
  std::sort(looks->begin(), looks->end(), [](const DataLook& a, const DataLook& b) {
    return a.ticket != b.ticket ? a.ticket > b.ticket : a.offset > b.offset;
  });
}

}  // namespace farlane::server
