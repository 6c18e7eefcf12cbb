// What the façades (libcudart, libcuda, …) stand on: the driver-level operations of the one session
// of this process. Façades translate an API's ways (error codes, default streams, current device,
// argument quirks) into these; nothing here knows the runtime API.
//
// Everything is thread-safe, throws nothing, and returns a CUresult. The first call that needs the
// server connects; when the server is lost every call returns kServerLost for ever. Errors of
// posted commands are returned by the next call that reports errors (any function here marked
// [reports]), once; sticky ones by every such call.
//
// Streams, events, modules, functions, libraries, kernels and contexts are client-made names in the
// shape of CUDA's handle types; each is looked up with its kind, so that a stale or foreign handle
// is an error and not a crash. A CUstream may be 0 or CU_STREAM_LEGACY (the legacy default stream
// of the current device) or CU_STREAM_PER_THREAD.
#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#define FARLANE_CORE_API __attribute__((visibility("default")))

namespace farlane::client {

// The error of a session whose server is gone or never was: CUDA's code for a device that fell off.
inline constexpr CUresult kServerLost = CUDA_ERROR_SYSTEM_NOT_READY;

// ---- session ----

// Connects if that has not happened yet. The session's final error when it is lost;
// CUDA_ERROR_NOT_INITIALIZED in a forked child whose parent had a session. Does not report posted
// errors.
FARLANE_CORE_API CUresult session_start();
// Somebody has needed the server before, in this process: there is a session, alive or lost.
FARLANE_CORE_API bool session_is_started();
// This process was forked by one that had a session. Nothing of CUDA works in it, and what other
// threads held locked at that moment stays locked for ever.
FARLANE_CORE_API bool session_is_forked();
// [reports] Takes the error of earlier posted commands, if one has arrived. No network.
FARLANE_CORE_API CUresult session_error();
// What became of the session, for whoever shows an error's text: null while nothing did, else
// `plain`, the text of CUDA's own error for it, and the sentence of the log. Never freed.
FARLANE_CORE_API const char* session_loss(const char* plain);
// Says once per name, in the log, that a program called something Farlane does not implement.
FARLANE_CORE_API void unsupported(const char* function_name);

// ---- devices (answered from what the welcome said; no network after session_start) ----

struct DeviceFacts {
  std::string name;
  CUuuid uuid;
  size_t memory_bytes = 0;
  std::string pci_bus_id;  // "0000:1b:00.0"
  int stream_priority_least = 0;
  int stream_priority_greatest = 0;
};
FARLANE_CORE_API int
device_count();  // visible ones (CUDA_VISIBLE_DEVICES honoured); 0 without a session
FARLANE_CORE_API const DeviceFacts* device_facts(int device);  // null: no such device
// CUDA_ERROR_INVALID_VALUE for an attribute the server's driver did not know.
FARLANE_CORE_API CUresult device_attribute(int device, CUdevice_attribute attribute, int* value);
FARLANE_CORE_API int
driver_version();  // e.g. 13000: what this client implements, at most what the server has
FARLANE_CORE_API bool can_access_peer(int device, int peer);
// cuCtxEnablePeerAccess and its end, with its errors. All memory of a session's devices is mapped
// for all of them, so that what natively is a fault without it works here.
FARLANE_CORE_API CUresult peer_access_enable(int device, int peer);
FARLANE_CORE_API CUresult peer_access_disable(int device, int peer);
FARLANE_CORE_API CUresult peer_attribute(int device, int peer, CUdevice_P2PAttribute attribute,
                                         int* value);

// ---- the calling thread's current context ----

// One primary context per device, and created ones, which share the primary's resources. The stack
// is per thread and shared by all façades.
FARLANE_CORE_API CUresult context_primary(int device,
                                          CUcontext* context);  // retains nothing, always the same
FARLANE_CORE_API CUresult context_create(int device, unsigned flags, CUcontext* context);
FARLANE_CORE_API CUresult context_destroy(CUcontext context);
FARLANE_CORE_API CUresult context_device(CUcontext context, int* device);
FARLANE_CORE_API CUresult context_flags(CUcontext context, unsigned* flags);
FARLANE_CORE_API CUcontext context_current();                      // null: none
FARLANE_CORE_API CUresult context_set_current(CUcontext context);  // replaces the top; null pops
FARLANE_CORE_API CUresult context_push(CUcontext context);
FARLANE_CORE_API CUresult context_pop(CUcontext* context);
// The device of the current context, or -1.
FARLANE_CORE_API int current_device();
// Makes the primary context of `device` the thread's current one (what cudaSetDevice means). Not
// permitted in a host function: its thread never has a context.
FARLANE_CORE_API CUresult make_device_current(int device);
// Some thread has done so.
FARLANE_CORE_API bool device_is_used(int device);

FARLANE_CORE_API CUresult device_synchronize(int device);  // [reports]
FARLANE_CORE_API CUresult device_reset(int device);
FARLANE_CORE_API CUresult limit_get(int device, CUlimit limit, size_t* value);
FARLANE_CORE_API CUresult limit_set(int device, CUlimit limit, size_t value);

// ---- memory ----

// Exact and immediate: CUDA_ERROR_OUT_OF_MEMORY when the server cannot back it. 512-byte aligned,
// zero bytes is CUDA_ERROR_INVALID_VALUE.
FARLANE_CORE_API CUresult memory_allocate(int device, size_t bytes, CUdeviceptr* address);
// CUDA_ERROR_INVALID_VALUE for anything that is not the start of a live block.
FARLANE_CORE_API CUresult memory_free(CUdeviceptr address);
// Stream-ordered. Zero bytes is CUDA_ERROR_INVALID_VALUE.
FARLANE_CORE_API CUresult memory_allocate_async(int device, size_t bytes, CUstream stream,
                                                CUdeviceptr* address);
FARLANE_CORE_API CUresult memory_free_async(CUdeviceptr address, CUstream stream);
FARLANE_CORE_API CUresult memory_info(int device, size_t* free_bytes, size_t* total_bytes);
// Gives back what is held for the next allocation, but for so much of it.
FARLANE_CORE_API CUresult memory_trim(int device, size_t keep_bytes);
// So much may be held for it, if that is more than the setting memory.cached_bytes_max.
FARLANE_CORE_API CUresult memory_hold(int device, size_t bytes);
// Bytes in live blocks of one device, made by either pair above, now and at most so far.
FARLANE_CORE_API void memory_in_use(int device, size_t* now_bytes, size_t* high_bytes);
// Bytes of physical memory that the program has made on the device (memory_create).
FARLANE_CORE_API size_t memory_created(int device);

FARLANE_CORE_API CUresult host_allocate(size_t bytes, unsigned flags,
                                        void** address);  // CU_MEMHOSTALLOC_*
FARLANE_CORE_API CUresult host_free(void* address);
FARLANE_CORE_API CUresult host_register(void* address, size_t bytes, unsigned flags);
FARLANE_CORE_API CUresult host_unregister(void* address);

struct PointerFacts {
  enum class Kind : uint8_t { kUnknown, kPinnedHost, kDevice };  // kUnknown: ordinary host memory
  Kind kind = Kind::kUnknown;
  int device = -1;  // kDevice
  uint64_t base = 0;
  size_t bytes = 0;
  uint64_t id = 0;                 // unique per allocation for the life of the process
  unsigned host_flags = 0;         // kPinnedHost: as given to host_allocate or host_register
  bool registered = false;         // kPinnedHost: by host_register
  bool stream_ordered = false;     // kDevice: by memory_allocate_async
  bool variable = false;           // kDevice: a module's variable
  bool mapped_by_program = false;  // kDevice: by memory_map
};
FARLANE_CORE_API PointerFacts pointer_facts(uint64_t address);

// ---- virtual memory management ----

// Everything in multiples of memory_granularity(). Reserving needs no server.
FARLANE_CORE_API CUresult memory_granularity(size_t* bytes);
FARLANE_CORE_API CUresult address_reserve(int device, size_t bytes, size_t alignment,
                                          CUdeviceptr hint, CUdeviceptr* address);
FARLANE_CORE_API CUresult address_free(CUdeviceptr address, size_t bytes);
// On the device in `properties`. Exact and immediate, as memory_allocate.
FARLANE_CORE_API CUresult memory_create(size_t bytes, const CUmemAllocationProp& properties,
                                        CUmemGenericAllocationHandle* memory);
FARLANE_CORE_API CUresult memory_release(CUmemGenericAllocationHandle memory);
FARLANE_CORE_API CUresult memory_properties(CUmemGenericAllocationHandle memory,
                                            CUmemAllocationProp* properties);
FARLANE_CORE_API CUresult memory_map(CUdeviceptr address, size_t bytes,
                                     CUmemGenericAllocationHandle memory);
// Work that uses the range must be over, as CUDA has it.
FARLANE_CORE_API CUresult memory_unmap(CUdeviceptr address, size_t bytes);
FARLANE_CORE_API CUresult memory_set_access(CUdeviceptr address, size_t bytes,
                                            std::span<const CUmemAccessDesc> access);
FARLANE_CORE_API CUresult memory_get_access(CUdeviceptr address, int device, unsigned* flags);
// One more reference to what is mapped there.
FARLANE_CORE_API CUresult memory_retain(CUdeviceptr address, CUmemGenericAllocationHandle* memory);

// ---- memory and events of other processes with sessions on the same server ----

// A handle's 64 bytes are the client's own making. A block of memory_allocate; asks once per block.
FARLANE_CORE_API CUresult memory_share(CUdeviceptr address, std::span<char, 64> handle);
// Opening it again gives the same address; as many closings take it away, when no work uses it any
// more. CUDA_ERROR_INVALID_CONTEXT for what this process shares, CUDA_ERROR_INVALID_HANDLE for what
// the server does not know (any more).
FARLANE_CORE_API CUresult memory_open(std::span<const char, 64> handle, int device,
                                      CUdeviceptr* address);
FARLANE_CORE_API CUresult memory_close(CUdeviceptr address);
// A new descriptor of memory that was made for it (shared_descriptor.h), the caller's to close;
// asks once per memory. It keeps the memory as a handle does, while this session lasts.
FARLANE_CORE_API CUresult memory_export(CUmemGenericAllocationHandle memory, int* descriptor);
// The memory that a descriptor stands for, of this process too; the descriptor stays the caller's.
// `device`: for which, where this session does not have the one it is on. CUDA_ERROR_INVALID_VALUE
// for what is no such descriptor, and for memory that the server does not know (any more).
FARLANE_CORE_API CUresult memory_import(int descriptor, int device,
                                        CUmemGenericAllocationHandle* memory);
// Events with CU_EVENT_INTERPROCESS.
FARLANE_CORE_API CUresult event_share(CUevent event, std::span<char, 64> handle);
FARLANE_CORE_API CUresult event_open(std::span<const char, 64> handle, int device, CUevent* event);

// ---- copies and fills ----

enum class Place : uint8_t { kByAddress, kHost, kDevice };

// A box of `width` bytes × `height` rows × `depth` slices. Pitches and slice pitches in bytes
// too. 1-D: height = depth = 1 and pitches are not looked at.
struct Copy {
  uint64_t to = 0;
  uint64_t from = 0;
  Place to_place = Place::kByAddress;
  Place from_place = Place::kByAddress;
  size_t width = 0, height = 1, depth = 1;
  size_t to_pitch = 0, from_pitch = 0;
  size_t to_slice = 0, from_slice = 0;
};
// [reports] `async` false: CUDA's synchronous semantics (a copy to the host has arrived when it
// returns). CUDA_ERROR_INVALID_VALUE when a device range is not inside a live allocation.
FARLANE_CORE_API CUresult copy(const Copy& copy, CUstream stream, bool async);
// Sets `width` elements of 1, 2 or 4 bytes in `height` rows. [reports]
FARLANE_CORE_API CUresult fill(CUdeviceptr to, size_t pitch, uint32_t value, unsigned element_bytes,
                               size_t width, size_t height, CUstream stream, bool async);

// ---- streams and events ----

FARLANE_CORE_API CUresult stream_create(int device, unsigned flags, int priority, CUstream* stream);
FARLANE_CORE_API CUresult stream_destroy(CUstream stream);
FARLANE_CORE_API CUresult stream_synchronize(CUstream stream);  // [reports]
FARLANE_CORE_API CUresult stream_query(CUstream stream);        // [reports]
FARLANE_CORE_API CUresult stream_wait_event(CUstream stream, CUevent event, unsigned flags);
FARLANE_CORE_API CUresult stream_flags(CUstream stream, unsigned* flags);
FARLANE_CORE_API CUresult stream_priority(CUstream stream, int* priority);
FARLANE_CORE_API CUresult stream_id(CUstream stream, unsigned long long* id);
FARLANE_CORE_API CUresult stream_device(CUstream stream, int* device);
FARLANE_CORE_API CUresult stream_get_attribute(CUstream stream, CUstreamAttrID attribute,
                                               CUstreamAttrValue* value);
FARLANE_CORE_API CUresult stream_set_attribute(CUstream stream, CUstreamAttrID attribute,
                                               const CUstreamAttrValue& value);
FARLANE_CORE_API CUresult stream_copy_attributes(CUstream to, CUstream from);

// Runs `function` in this process, in the stream's order, with the stream's state: not success when
// the context has failed or the session is lost before. Whatever is thrown ends the program.
FARLANE_CORE_API CUresult host_function(CUstream stream,
                                        std::function<void(CUresult status)> function);
// The calling thread is running such a function: CUDA calls are not permitted.
FARLANE_CORE_API bool in_host_function();

FARLANE_CORE_API CUresult event_create(int device, unsigned flags, CUevent* event);
FARLANE_CORE_API CUresult event_destroy(CUevent event);
FARLANE_CORE_API CUresult event_record(CUevent event, CUstream stream, unsigned flags);
FARLANE_CORE_API CUresult event_synchronize(CUevent event);  // [reports]
FARLANE_CORE_API CUresult event_query(CUevent event);        // [reports]
FARLANE_CORE_API CUresult event_elapsed(CUevent start, CUevent end, float* milliseconds);

// ---- modules, libraries, kernels ----

// A library is a set of images linked into one, independent of devices; on each device it becomes a
// module at first use. What the runtime registers and what cuLibraryLoadData loads are libraries.
// `images` point at a fat binary (container or wrapper), a cubin or NUL-terminated PTX; their bytes
// are read when the first module is made, and must stay until then unless `copy` is set. No
// network.
FARLANE_CORE_API CUresult library_load(std::span<const void* const> images, bool copy,
                                       CUlibrary* library);
FARLANE_CORE_API CUresult library_unload(CUlibrary library);
FARLANE_CORE_API CUresult library_module(CUlibrary library, int device, CUmodule* module);
// Names a kernel without asking whether it exists (that shows at its first use); see
// library_kernel_checked.
FARLANE_CORE_API CUresult library_kernel(CUlibrary library, const char* name, CUkernel* kernel);
// CUDA_ERROR_NOT_FOUND if the library has no such kernel (loads it on the current device to know).
FARLANE_CORE_API CUresult library_kernel_checked(CUlibrary library, const char* name,
                                                 CUkernel* kernel);
FARLANE_CORE_API CUresult library_kernel_names(CUlibrary library, std::vector<std::string>* names);
FARLANE_CORE_API CUresult library_variable(CUlibrary library, int device, const char* name,
                                           CUdeviceptr* address, size_t* bytes);
FARLANE_CORE_API CUresult kernel_library(CUkernel kernel, CUlibrary* library);
FARLANE_CORE_API CUresult kernel_name(CUkernel kernel,
                                      const char** name);  // lives as long as the kernel
FARLANE_CORE_API CUresult kernel_function(CUkernel kernel, int device, CUfunction* function);

// A module of one device. `log` gets the server's JIT log (may be null).
FARLANE_CORE_API CUresult module_load(int device, std::span<const void* const> images,
                                      CUmodule* module, std::string* log);
FARLANE_CORE_API CUresult module_unload(CUmodule module);
FARLANE_CORE_API CUresult module_function(CUmodule module, const char* name, CUfunction* function);
FARLANE_CORE_API CUresult module_function_names(CUmodule module, std::vector<std::string>* names);
FARLANE_CORE_API CUresult module_variable(CUmodule module, const char* name, CUdeviceptr* address,
                                          size_t* bytes);

// Functions below take a CUfunction, or a CUkernel cast to one (then the current device's), as CUDA
// does.
FARLANE_CORE_API CUresult function_attribute(CUfunction function, CUfunction_attribute attribute,
                                             int* value);
FARLANE_CORE_API CUresult function_set_attribute(CUfunction function,
                                                 CUfunction_attribute attribute, int value);
FARLANE_CORE_API CUresult function_set_cache(CUfunction function, CUfunc_cache config);
FARLANE_CORE_API CUresult function_name(CUfunction function, const char** name);
FARLANE_CORE_API CUresult function_module(CUfunction function, CUmodule* module);
FARLANE_CORE_API CUresult function_param(CUfunction function, size_t index, size_t* offset,
                                         size_t* bytes);
FARLANE_CORE_API CUresult occupancy_blocks(CUfunction function, int block_threads,
                                           size_t shared_dynamic_bytes, unsigned flags,
                                           int* blocks);
FARLANE_CORE_API CUresult occupancy_shared(CUfunction function, int blocks, int block_threads,
                                           size_t* bytes);

struct Launch {
  unsigned grid[3] = {1, 1, 1};
  unsigned block[3] = {1, 1, 1};
  size_t shared_bytes = 0;
  CUstream stream = nullptr;
  const CUlaunchAttribute* attributes = nullptr;
  unsigned attribute_count = 0;
  void** params = nullptr;              // one pointer per parameter, or
  const void* packed_params = nullptr;  // all of them packed
  size_t packed_bytes = 0;
};
// [reports] Checks the configuration on the spot with cuLaunchKernel's error codes.
FARLANE_CORE_API CUresult launch(CUfunction function, const Launch& launch);
// Of a launch of that configuration: clusters that may be resident at once, or the largest cluster.
FARLANE_CORE_API CUresult occupancy_clusters(CUfunction function, const Launch& launch, int* count);
FARLANE_CORE_API CUresult occupancy_cluster_size(CUfunction function, const Launch& launch,
                                                 int* blocks);

// ---- tensor maps ----

// The arguments of cuTensorMapEncode*. What the driver makes of them is asked once.
struct TensorMap {
  enum class Kind : uint8_t { kTiled, kIm2col, kIm2colWide };
  Kind kind = Kind::kTiled;
  CUtensorMapDataType type = CU_TENSOR_MAP_DATA_TYPE_UINT8;
  unsigned rank = 0;
  CUdeviceptr address = 0;
  CUtensorMapInterleave interleave = CU_TENSOR_MAP_INTERLEAVE_NONE;
  unsigned mode = 0;  // kIm2colWide
  CUtensorMapSwizzle swizzle = CU_TENSOR_MAP_SWIZZLE_NONE;
  CUtensorMapL2promotion promotion = CU_TENSOR_MAP_L2_PROMOTION_NONE;
  CUtensorMapFloatOOBfill fill = CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE;
  std::vector<int64_t> numbers;  // its other arguments, in the function's order
};
FARLANE_CORE_API CUresult tensor_map_encode(const TensorMap& what, CUtensorMap* map);
FARLANE_CORE_API CUresult tensor_map_move(CUdeviceptr address, CUtensorMap* map);

}  // namespace farlane::client
