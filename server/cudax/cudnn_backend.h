// Calls of cuDNN's backend API whose arguments' types are known only when they come: how they lie.
//
//   cudnnBackendSetAttribute  object descriptor, value name, value type, value count, then
//       names                 handles, descriptors: objects
//       addresses             a count, the addresses, a count, then the indexes of those that stand
//                             for a value in host memory (which cudnnBackendExecute brings)
//       anything else         in
//   cudnnBackendGetAttribute  object descriptor, value name, value type, value count, out count,
//                             value 1 with an array and 0 without, then
//       descriptors           objects, for the library to fill
//       anything else         out
//                             or several: value 0, a count, out (all answers), then for each as
//                             above; before the answer to each a word, 1 where it was answered
//   cudnnBackendExecute       object handle, object plan, object variant pack, a count, then for
//                             each value in host memory its index and its bytes
#pragma once

#include <cstdint>

#include "server/cudax/call.h"

namespace farlane::server::cudax::cudnn {

// Kinds of objects, as protocol/api has them.
extern const uint16_t kHandle;
extern const uint16_t kBackend;

int64_t backend_set_attribute(void* function, Arguments& arguments);
int64_t backend_get_attribute(void* function, Arguments& arguments);
int64_t backend_execute(void* function, Arguments& arguments);

}  // namespace farlane::server::cudax::cudnn
