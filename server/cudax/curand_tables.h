// Tables in host memory that cuRAND gives away by address: what the worker answers is the table.
#pragma once

#include <cstdint>

#include "server/cudax/call.h"

namespace farlane::server::cudax::curand {

// The set that is asked for, where there is one, and a place as for `whole`, as large as the table.
int64_t direction_vectors_32(void* function, Arguments& arguments);
int64_t direction_vectors_64(void* function, Arguments& arguments);
int64_t scramble_constants_32(void* function, Arguments& arguments);
int64_t scramble_constants_64(void* function, Arguments& arguments);

}  // namespace farlane::server::cudax::curand
