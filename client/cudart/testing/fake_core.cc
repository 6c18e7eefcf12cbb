#include "client/cudart/testing/fake_core.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>

namespace farlane::client {
namespace {

struct Block {
  size_t bytes = 0;
  int device = 0;
  bool pinned = false;
  unsigned flags = 0;
  bool registered = false;
  bool async = false;
  bool owned = false;  // by this file, and not a variable's or the test's
  uint64_t id = 0;
};
struct FakeStream {
  int device = 0;
  unsigned flags = 0;
  int priority = 0;
};
struct FakeLibrary {
  bool live = true;
};
struct FakeKernel {
  CUlibrary library = nullptr;
  std::string name;
  std::map<int, int> attributes;
};

struct World {
  FakeCore public_part;
  std::map<uint64_t, Block> blocks;
  std::map<CUstream, FakeStream> streams;
  std::map<CUevent, bool> events;  // recorded?
  std::map<CUlibrary, FakeLibrary> libraries;
  std::map<const void*, FakeKernel> kernels;  // by handle, kernels and functions alike
  std::map<CUmodule, int> modules;
  std::map<CUcontext, std::pair<int, unsigned>> contexts;
  std::map<int, size_t> limits;
  std::set<int> used_devices;
  uint64_t next_handle = 0x5000'0000;
  uint64_t next_id = 1;
  std::vector<std::unique_ptr<DeviceFacts>> facts;
};

World& world() {
  static World* the_world = new World;
  return *the_world;
}

std::vector<CUcontext>& stack() {
  static thread_local std::vector<CUcontext> the_stack;
  return the_stack;
}

template <typename Handle>
Handle new_handle() {
  return reinterpret_cast<Handle>(world().next_handle += 16);
}

CUresult called(const char* function) {
  FakeCore& fake = world().public_part;
  fake.calls.emplace_back(function);
  const auto fail = fake.fail_next.find(function);
  if (fail == fake.fail_next.end()) {
    return fake.session;
  }
  const CUresult result = fail->second;
  fake.fail_next.erase(fail);
  return result;
}

#define FAKE_CALLED()                                                                   \
  if (const CUresult called_result = called(__func__); called_result != CUDA_SUCCESS) { \
    return called_result;                                                               \
  }

bool stream_lives(CUstream stream) {
  return stream == nullptr || stream == CU_STREAM_LEGACY || stream == CU_STREAM_PER_THREAD ||
         world().streams.contains(stream);
}

// The block around an address, or the end of the map.
std::map<uint64_t, Block>::iterator block_at(uint64_t address) {
  auto& blocks = world().blocks;
  auto after = blocks.upper_bound(address);
  if (after == blocks.begin()) {
    return blocks.end();
  }
  --after;
  return address < after->first + after->second.bytes ? after : blocks.end();
}

CUresult make_block(Block block, uint64_t* address) {
  if (block.bytes == 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (block.bytes > (size_t{1} << 40)) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  *address = reinterpret_cast<uint64_t>(std::aligned_alloc(512, (block.bytes + 511) / 512 * 512));
  block.owned = true;
  block.id = world().next_id++;
  world().blocks[*address] = block;
  return CUDA_SUCCESS;
}

CUresult drop_block(uint64_t address, bool pinned) {
  const auto found = world().blocks.find(address);
  if (found == world().blocks.end() || found->second.pinned != pinned || found->second.registered) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  std::free(reinterpret_cast<void*>(address));
  world().blocks.erase(found);
  return CUDA_SUCCESS;
}

bool range_is_device(uint64_t address, size_t bytes) {
  const auto found = block_at(address);
  return found != world().blocks.end() && !found->second.pinned &&
         bytes <= found->first + found->second.bytes - address;
}

CUresult variable_of(const char* name, CUdeviceptr* address, size_t* bytes) {
  auto& variables = world().public_part.variables;
  const auto found = variables.find(name);
  if (found == variables.end()) {
    return CUDA_ERROR_NOT_FOUND;
  }
  *address = reinterpret_cast<CUdeviceptr>(found->second.data());
  *bytes = found->second.size();
  Block block;
  block.bytes = found->second.size();
  world().blocks[*address] = block;
  return CUDA_SUCCESS;
}

bool has_kernel(const std::string& name) {
  const auto& kernels = world().public_part.kernels;
  return std::find(kernels.begin(), kernels.end(), name) != kernels.end();
}

FakeKernel* kernel_at(const void* handle) {
  const auto found = world().kernels.find(handle);
  return found == world().kernels.end() ? nullptr : &found->second;
}

}  // namespace

int FakeCore::count(const std::string& function) const {
  return static_cast<int>(std::count(calls.begin(), calls.end(), function));
}

FakeCore& fake_core() {
  return world().public_part;
}

void reset_fake_core() {
  for (const auto& [address, block] : world().blocks) {
    if (block.owned) {
      std::free(reinterpret_cast<void*>(address));
    }
  }
  world() = World();
  stack().clear();
}

CUresult session_start() {
  return called(__func__);
}
bool session_is_started() {
  return context_current() != nullptr;
}
bool session_is_forked() {
  return world().public_part.forked;
}
CUresult session_error() {
  return called(__func__);
}
const char* session_loss(const char*) {
  return world().public_part.session == kServerLost ? world().public_part.loss : nullptr;
}
void unsupported(const char* function_name) {
  world().public_part.calls.push_back(std::string("unsupported ") + function_name);
}

int device_count() {
  return world().public_part.session == CUDA_SUCCESS ? world().public_part.devices : 0;
}
const DeviceFacts* device_facts(int device) {
  if (device < 0 || device >= device_count()) {
    return nullptr;
  }
  auto& facts = world().facts;
  while (facts.size() <= static_cast<size_t>(device)) {
    auto made = std::make_unique<DeviceFacts>();
    made->name = "Fake GPU " + std::to_string(facts.size());
    std::memset(&made->uuid, static_cast<int>(facts.size()) + 1, sizeof(made->uuid));
    made->memory_bytes = size_t{16} << 30;
    made->pci_bus_id = facts.empty() ? "0000:1b:00.0" : "0000:2c:00.0";
    made->stream_priority_least = 0;
    made->stream_priority_greatest = -5;
    facts.push_back(std::move(made));
  }
  return facts[static_cast<size_t>(device)].get();
}
CUresult device_attribute(int device, CUdevice_attribute attribute, int* value) {
  if (device < 0 || device >= device_count()) {
    return CUDA_ERROR_INVALID_DEVICE;
  }
  const auto& attributes = world().public_part.attributes;
  const auto found = attributes.find(attribute);
  if (found == attributes.end()) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  *value = found->second;
  return CUDA_SUCCESS;
}
int driver_version() {
  return 13000;
}
bool can_access_peer(int device, int peer) {
  return device != peer;
}
CUresult peer_access_enable(int, int) {
  FAKE_CALLED();
  return CUDA_SUCCESS;
}
CUresult peer_access_disable(int, int) {
  FAKE_CALLED();
  return CUDA_ERROR_PEER_ACCESS_NOT_ENABLED;
}
CUresult memory_share(CUdeviceptr, std::span<char, 64>) {
  FAKE_CALLED();
  return CUDA_SUCCESS;
}
CUresult memory_open(std::span<const char, 64>, int, CUdeviceptr*) {
  FAKE_CALLED();
  return CUDA_ERROR_INVALID_HANDLE;
}
CUresult memory_export(CUmemGenericAllocationHandle, int*) {
  FAKE_CALLED();
  return CUDA_SUCCESS;
}
CUresult memory_import(int, int, CUmemGenericAllocationHandle*) {
  FAKE_CALLED();
  return CUDA_ERROR_INVALID_VALUE;
}
CUresult memory_close(CUdeviceptr) {
  FAKE_CALLED();
  return CUDA_ERROR_INVALID_VALUE;
}
CUresult event_share(CUevent, std::span<char, 64>) {
  FAKE_CALLED();
  return CUDA_SUCCESS;
}
CUresult event_open(std::span<const char, 64>, int, CUevent*) {
  FAKE_CALLED();
  return CUDA_ERROR_INVALID_HANDLE;
}
CUresult peer_attribute(int, int, CUdevice_P2PAttribute, int* value) {
  FAKE_CALLED();
  *value = 1;
  return CUDA_SUCCESS;
}

CUresult context_primary(int device, CUcontext* context) {
  FAKE_CALLED();
  if (device < 0 || device >= device_count()) {
    return CUDA_ERROR_INVALID_DEVICE;
  }
  *context = reinterpret_cast<CUcontext>(uint64_t{0x1000} + static_cast<uint64_t>(device) * 16);
  world().contexts[*context].first = device;
  return CUDA_SUCCESS;
}
CUresult context_create(int device, unsigned flags, CUcontext* context) {
  FAKE_CALLED();
  *context = new_handle<CUcontext>();
  world().contexts[*context] = {device, flags};
  return CUDA_SUCCESS;
}
CUresult context_destroy(CUcontext context) {
  FAKE_CALLED();
  std::erase(stack(), context);
  return world().contexts.erase(context) != 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}
CUresult context_device(CUcontext context, int* device) {
  const auto found = world().contexts.find(context);
  if (found == world().contexts.end()) {
    return CUDA_ERROR_INVALID_CONTEXT;
  }
  *device = found->second.first;
  return CUDA_SUCCESS;
}
CUresult context_flags(CUcontext context, unsigned* flags) {
  const auto found = world().contexts.find(context);
  if (found == world().contexts.end()) {
    return CUDA_ERROR_INVALID_CONTEXT;
  }
  *flags = found->second.second;
  return CUDA_SUCCESS;
}
CUcontext context_current() {
  return stack().empty() ? nullptr : stack().back();
}
CUresult context_set_current(CUcontext context) {
  if (context != nullptr && !world().contexts.contains(context)) {
    return CUDA_ERROR_INVALID_CONTEXT;
  }
  if (!stack().empty()) {
    stack().pop_back();
  }
  if (context != nullptr) {
    stack().push_back(context);
  }
  return CUDA_SUCCESS;
}
CUresult context_push(CUcontext context) {
  if (!world().contexts.contains(context)) {
    return CUDA_ERROR_INVALID_CONTEXT;
  }
  stack().push_back(context);
  return CUDA_SUCCESS;
}
CUresult context_pop(CUcontext* context) {
  if (stack().empty()) {
    return CUDA_ERROR_INVALID_CONTEXT;
  }
  if (context != nullptr) {
    *context = stack().back();
  }
  stack().pop_back();
  return CUDA_SUCCESS;
}
int current_device() {
  return stack().empty() ? -1 : world().contexts[stack().back()].first;
}
CUresult make_device_current(int device) {
  FAKE_CALLED();
  CUcontext context = nullptr;
  if (const CUresult result = context_primary(device, &context); result != CUDA_SUCCESS) {
    return result;
  }
  world().used_devices.insert(device);
  return context_set_current(context);
}
bool device_is_used(int device) {
  return world().used_devices.contains(device);
}

CUresult device_synchronize(int) {
  return called(__func__);
}
CUresult device_reset(int) {
  return called(__func__);
}
CUresult limit_get(int, CUlimit limit, size_t* value) {
  FAKE_CALLED();
  *value = world().limits[limit];
  return CUDA_SUCCESS;
}
CUresult limit_set(int, CUlimit limit, size_t value) {
  FAKE_CALLED();
  world().limits[limit] = value;
  return CUDA_SUCCESS;
}

CUresult memory_allocate(int device, size_t bytes, CUdeviceptr* address) {
  FAKE_CALLED();
  Block block;
  block.bytes = bytes;
  block.device = device;
  uint64_t made = 0;
  const CUresult result = make_block(block, &made);
  *address = made;
  return result;
}
CUresult memory_free(CUdeviceptr address) {
  FAKE_CALLED();
  return drop_block(address, false);
}
CUresult memory_allocate_async(int device, size_t bytes, CUstream stream, CUdeviceptr* address) {
  FAKE_CALLED();
  if (!stream_lives(stream)) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  Block block;
  block.bytes = bytes;
  block.device = device;
  block.async = true;
  uint64_t made = 0;
  const CUresult result = make_block(block, &made);
  *address = made;
  return result;
}
CUresult memory_free_async(CUdeviceptr address, CUstream stream) {
  FAKE_CALLED();
  return stream_lives(stream) ? drop_block(address, false) : CUDA_ERROR_INVALID_HANDLE;
}
CUresult memory_info(int, size_t* free_bytes, size_t* total_bytes) {
  FAKE_CALLED();
  *free_bytes = size_t{15} << 30;
  *total_bytes = size_t{16} << 30;
  return CUDA_SUCCESS;
}
size_t memory_created(int) {
  return 0;
}
void memory_in_use(int device, size_t* now_bytes, size_t* high_bytes) {
  *now_bytes = 0;
  for (const auto& [address, block] : world().blocks) {
    *now_bytes += !block.pinned && block.device == device ? block.bytes : 0;
  }
  *high_bytes = *now_bytes;
}

CUresult host_allocate(size_t bytes, unsigned flags, void** address) {
  FAKE_CALLED();
  Block block;
  block.bytes = bytes;
  block.pinned = true;
  block.flags = flags;
  uint64_t made = 0;
  const CUresult result = make_block(block, &made);
  *address = reinterpret_cast<void*>(made);
  return result;
}
CUresult host_free(void* address) {
  FAKE_CALLED();
  return drop_block(reinterpret_cast<uint64_t>(address), true);
}
CUresult host_register(void* address, size_t bytes, unsigned flags) {
  FAKE_CALLED();
  const auto key = reinterpret_cast<uint64_t>(address);
  if (world().blocks.contains(key)) {
    return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
  }
  Block block;
  block.bytes = bytes;
  block.pinned = true;
  block.registered = true;
  block.flags = flags;
  world().blocks[key] = block;
  return CUDA_SUCCESS;
}
CUresult host_unregister(void* address) {
  FAKE_CALLED();
  const auto found = world().blocks.find(reinterpret_cast<uint64_t>(address));
  if (found == world().blocks.end() || !found->second.registered) {
    return CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
  }
  world().blocks.erase(found);
  return CUDA_SUCCESS;
}

PointerFacts pointer_facts(uint64_t address) {
  PointerFacts facts;
  const auto found = block_at(address);
  if (found != world().blocks.end()) {
    const Block& block = found->second;
    facts.kind = block.pinned ? PointerFacts::Kind::kPinnedHost : PointerFacts::Kind::kDevice;
    facts.device = block.pinned ? -1 : block.device;
    facts.base = found->first;
    facts.bytes = block.bytes;
    facts.id = block.id;
    facts.host_flags = block.flags;
    facts.registered = block.registered;
    facts.stream_ordered = block.async;
  }
  return facts;
}

CUresult copy(const Copy& copy, CUstream stream, bool) {
  FAKE_CALLED();
  if (!stream_lives(stream)) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  world().public_part.copies.emplace_back(copy, stream);
  for (size_t z = 0; z < copy.depth; z++) {
    for (size_t y = 0; y < copy.height; y++) {
      const uint64_t to = copy.to + z * copy.to_slice + y * copy.to_pitch;
      const uint64_t from = copy.from + z * copy.from_slice + y * copy.from_pitch;
      if ((copy.to_place == Place::kDevice && !range_is_device(to, copy.width)) ||
          (copy.from_place == Place::kDevice && !range_is_device(from, copy.width))) {
        return CUDA_ERROR_INVALID_VALUE;
      }
      std::memmove(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from), copy.width);
    }
  }
  return CUDA_SUCCESS;
}
CUresult fill(CUdeviceptr to, size_t pitch, uint32_t value, unsigned element_bytes, size_t width,
              size_t height, CUstream stream, bool) {
  FAKE_CALLED();
  if (!stream_lives(stream)) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  for (size_t y = 0; y < height; y++) {
    if (!range_is_device(to + y * pitch, width * element_bytes)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    for (size_t x = 0; x < width; x++) {
      std::memcpy(reinterpret_cast<void*>(to + y * pitch + x * element_bytes), &value,
                  element_bytes);
    }
  }
  return CUDA_SUCCESS;
}

CUresult stream_create(int device, unsigned flags, int priority, CUstream* stream) {
  FAKE_CALLED();
  *stream = new_handle<CUstream>();
  world().streams[*stream] = {device, flags, priority};
  return CUDA_SUCCESS;
}
CUresult stream_destroy(CUstream stream) {
  FAKE_CALLED();
  return world().streams.erase(stream) != 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
CUresult stream_synchronize(CUstream stream) {
  FAKE_CALLED();
  return stream_lives(stream) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
CUresult stream_query(CUstream stream) {
  FAKE_CALLED();
  return stream_lives(stream) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
CUresult stream_wait_event(CUstream stream, CUevent event, unsigned) {
  FAKE_CALLED();
  return stream_lives(stream) && world().events.contains(event) ? CUDA_SUCCESS
                                                                : CUDA_ERROR_INVALID_HANDLE;
}
CUresult stream_flags(CUstream stream, unsigned* flags) {
  if (!stream_lives(stream)) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  *flags = world().streams[stream].flags;
  return CUDA_SUCCESS;
}
CUresult stream_priority(CUstream stream, int* priority) {
  if (!stream_lives(stream)) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  *priority = world().streams[stream].priority;
  return CUDA_SUCCESS;
}
CUresult memory_trim(int, size_t) {
  return CUDA_SUCCESS;
}
CUresult memory_hold(int, size_t) {
  return CUDA_SUCCESS;
}
CUresult stream_get_attribute(CUstream stream, CUstreamAttrID attribute, CUstreamAttrValue* value) {
  if (!stream_lives(stream)) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  *value = {};
  if (attribute == CU_LAUNCH_ATTRIBUTE_PRIORITY) {
    value->priority = world().streams[stream].priority;
  }
  return CUDA_SUCCESS;
}
CUresult stream_set_attribute(CUstream stream, CUstreamAttrID, const CUstreamAttrValue&) {
  return stream_lives(stream) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
CUresult stream_copy_attributes(CUstream to, CUstream from) {
  return stream_lives(to) && stream_lives(from) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
CUresult occupancy_clusters(CUfunction, const Launch&, int*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult occupancy_cluster_size(CUfunction, const Launch&, int*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult tensor_map_encode(const TensorMap&, CUtensorMap*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult tensor_map_move(CUdeviceptr, CUtensorMap*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}

// The fake has no virtual memory management: only what the façade itself checks is tested with it.
CUresult memory_granularity(size_t* bytes) {
  *bytes = 2 << 20;
  return CUDA_SUCCESS;
}
CUresult address_reserve(int, size_t, size_t, CUdeviceptr, CUdeviceptr*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult address_free(CUdeviceptr, size_t) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult memory_create(size_t, const CUmemAllocationProp&, CUmemGenericAllocationHandle*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult memory_release(CUmemGenericAllocationHandle) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult memory_properties(CUmemGenericAllocationHandle, CUmemAllocationProp*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult memory_map(CUdeviceptr, size_t, CUmemGenericAllocationHandle) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult memory_unmap(CUdeviceptr, size_t) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult memory_set_access(CUdeviceptr, size_t, std::span<const CUmemAccessDesc>) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult memory_get_access(CUdeviceptr, int, unsigned*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult memory_retain(CUdeviceptr, CUmemGenericAllocationHandle*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}

// At once: the fake's streams are always idle.
CUresult host_function(CUstream, std::function<void(CUresult status)> function) {
  function(CUDA_SUCCESS);
  return CUDA_SUCCESS;
}

bool in_host_function() {
  return world().public_part.in_host_function;
}

CUresult stream_id(CUstream stream, unsigned long long* id) {
  *id = reinterpret_cast<unsigned long long>(stream);
  return stream_lives(stream) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
CUresult stream_device(CUstream stream, int* device) {
  const auto found = world().streams.find(stream);
  *device = found == world().streams.end() ? std::max(0, current_device()) : found->second.device;
  return stream_lives(stream) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

CUresult event_create(int, unsigned, CUevent* event) {
  FAKE_CALLED();
  *event = new_handle<CUevent>();
  world().events[*event] = false;
  return CUDA_SUCCESS;
}
CUresult event_destroy(CUevent event) {
  FAKE_CALLED();
  return world().events.erase(event) != 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
CUresult event_record(CUevent event, CUstream stream, unsigned) {
  FAKE_CALLED();
  if (!world().events.contains(event) || !stream_lives(stream)) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  world().events[event] = true;
  return CUDA_SUCCESS;
}
CUresult event_synchronize(CUevent event) {
  FAKE_CALLED();
  return world().events.contains(event) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
CUresult event_query(CUevent event) {
  FAKE_CALLED();
  return world().events.contains(event) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
CUresult event_elapsed(CUevent start, CUevent end, float* milliseconds) {
  FAKE_CALLED();
  if (!world().events.contains(start) || !world().events.contains(end) || !world().events[start] ||
      !world().events[end]) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  *milliseconds = 1.5F;
  return CUDA_SUCCESS;
}

CUresult library_load(std::span<const void* const> images, bool, CUlibrary* library) {
  FAKE_CALLED();
  *library = new_handle<CUlibrary>();
  world().libraries[*library] = {};
  world().public_part.loaded.emplace_back(images.begin(), images.end());
  return CUDA_SUCCESS;
}
CUresult library_unload(CUlibrary library) {
  FAKE_CALLED();
  return world().libraries.erase(library) != 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
CUresult library_module(CUlibrary library, int, CUmodule* module) {
  FAKE_CALLED();
  *module = reinterpret_cast<CUmodule>(library);
  return world().libraries.contains(library) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
CUresult library_kernel(CUlibrary library, const char* name, CUkernel* kernel) {
  FAKE_CALLED();
  if (!world().libraries.contains(library)) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  *kernel = new_handle<CUkernel>();
  world().kernels[*kernel] = {library, name, {}};
  return CUDA_SUCCESS;
}
CUresult library_kernel_checked(CUlibrary library, const char* name, CUkernel* kernel) {
  FAKE_CALLED();
  return has_kernel(name) ? library_kernel(library, name, kernel) : CUDA_ERROR_NOT_FOUND;
}
CUresult library_kernel_names(CUlibrary, std::vector<std::string>* names) {
  FAKE_CALLED();
  *names = world().public_part.kernels;
  return CUDA_SUCCESS;
}
CUresult library_variable(CUlibrary, int, const char* name, CUdeviceptr* address, size_t* bytes) {
  FAKE_CALLED();
  return variable_of(name, address, bytes);
}
CUresult kernel_library(CUkernel kernel, CUlibrary* library) {
  const FakeKernel* found = kernel_at(kernel);
  if (found == nullptr) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  *library = found->library;
  return CUDA_SUCCESS;
}
CUresult kernel_name(CUkernel kernel, const char** name) {
  const FakeKernel* found = kernel_at(kernel);
  if (found == nullptr) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  *name = found->name.c_str();
  return CUDA_SUCCESS;
}
CUresult kernel_function(CUkernel kernel, int, CUfunction* function) {
  *function = reinterpret_cast<CUfunction>(kernel);
  return kernel_at(kernel) == nullptr ? CUDA_ERROR_INVALID_HANDLE : CUDA_SUCCESS;
}

CUresult module_load(int, std::span<const void* const> images, CUmodule* module, std::string* log) {
  FAKE_CALLED();
  *module = new_handle<CUmodule>();
  world().modules[*module] = 0;
  world().public_part.loaded.emplace_back(images.begin(), images.end());
  if (log != nullptr) {
    *log = "a log";
  }
  return CUDA_SUCCESS;
}
CUresult module_unload(CUmodule module) {
  FAKE_CALLED();
  return world().modules.erase(module) != 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
CUresult module_function(CUmodule module, const char* name, CUfunction* function) {
  FAKE_CALLED();
  if (!world().modules.contains(module)) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  if (!has_kernel(name)) {
    return CUDA_ERROR_NOT_FOUND;
  }
  *function = new_handle<CUfunction>();
  world().kernels[*function] = {nullptr, name, {}};
  return CUDA_SUCCESS;
}
CUresult module_function_names(CUmodule, std::vector<std::string>* names) {
  FAKE_CALLED();
  *names = world().public_part.kernels;
  return CUDA_SUCCESS;
}
CUresult module_variable(CUmodule module, const char* name, CUdeviceptr* address, size_t* bytes) {
  FAKE_CALLED();
  return world().modules.contains(module) ? variable_of(name, address, bytes)
                                          : CUDA_ERROR_INVALID_HANDLE;
}

CUresult function_attribute(CUfunction function, CUfunction_attribute attribute, int* value) {
  FAKE_CALLED();
  FakeKernel* found = kernel_at(function);
  if (found == nullptr) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  if (!has_kernel(found->name)) {
    return CUDA_ERROR_NOT_FOUND;
  }
  *value = found->attributes[attribute];
  return CUDA_SUCCESS;
}
CUresult function_set_attribute(CUfunction function, CUfunction_attribute attribute, int value) {
  FAKE_CALLED();
  FakeKernel* found = kernel_at(function);
  if (found == nullptr) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  found->attributes[attribute] = value;
  return CUDA_SUCCESS;
}
CUresult function_set_cache(CUfunction, CUfunc_cache) {
  return called(__func__);
}
CUresult function_name(CUfunction function, const char** name) {
  return kernel_name(reinterpret_cast<CUkernel>(function), name);
}
CUresult function_module(CUfunction, CUmodule* module) {
  FAKE_CALLED();
  *module = nullptr;
  return CUDA_SUCCESS;
}
CUresult function_param(CUfunction, size_t index, size_t* offset, size_t* bytes) {
  FAKE_CALLED();
  if (index > 1) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  *offset = index * 8;
  *bytes = 8;
  return CUDA_SUCCESS;
}
CUresult occupancy_blocks(CUfunction, int block_threads, size_t, unsigned, int* blocks) {
  FAKE_CALLED();
  *blocks = 2048 / block_threads;
  return CUDA_SUCCESS;
}
CUresult occupancy_shared(CUfunction, int blocks, int, size_t* bytes) {
  FAKE_CALLED();
  *bytes = 65536 / static_cast<size_t>(blocks);
  return CUDA_SUCCESS;
}

CUresult launch(CUfunction function, const Launch& launch) {
  FAKE_CALLED();
  const FakeKernel* found = kernel_at(function);
  if (found == nullptr || !stream_lives(launch.stream)) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  if (!has_kernel(found->name)) {
    return CUDA_ERROR_NOT_FOUND;
  }
  world().public_part.launches.push_back(
      {found->name, launch, {launch.attributes, launch.attributes + launch.attribute_count}});
  return CUDA_SUCCESS;
}

}  // namespace farlane::client
