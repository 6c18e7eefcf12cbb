// Where the client libraries are: in ../lib/farlane beside the folder of this executable, in a
// build tree and in an installation alike.
#pragma once

#include <string>
#include <vector>

namespace farlane::cli {

inline constexpr const char* kRuntimeLibrary = "libcudart.so.13";
inline constexpr const char* kDriverLibrary = "libcuda.so.1";
// Answers dlopen() of a vendor's library by path with ours (client/open).
inline constexpr const char* kOpenLibrary = "libfarlane_open.so";

// The folder that should hold them; empty if the executable's own path cannot be read.
std::string library_folder();
// The names of the CUDA libraries in that folder that we have our own of, the runtime and the
// driver first: every lib*.so.N there.
std::vector<std::string> facade_libraries(const std::string& folder);
// library_folder(), or empty with `*error` set if one of the two libraries is not in it.
std::string library_folder_checked(std::string* error);

}  // namespace farlane::cli
