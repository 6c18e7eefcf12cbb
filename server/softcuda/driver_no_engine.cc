// Stands in where the PTX engine is not part of the build: memory, streams and events work, modules do
// not load and say why.
#include "server/softcuda/engine.h"

namespace farlane::softcuda {

std::unique_ptr<Module> load_ptx(std::span<const std::string_view>, std::string* error) {
  *error = "this libsoftcuda.so was built without the PTX engine";
  return nullptr;
}

}  // namespace farlane::softcuda
