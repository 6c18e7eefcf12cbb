// Devices and the calling thread's current context: all answered here.
#include <algorithm>

#include "client/core/call.h"
#include "client/core/log_line.h"
#include "client/core/session.h"

namespace farlane::client {
namespace {

// Contexts are shared by all façades, so the stack lives here and not in one of them. A plain
// array: nothing to destroy when a thread ends.
struct ContextStack {
  static constexpr int kDepthMax = 64;
  CUcontext entries[kDepthMax];
  int depth;
  // What current_device() found at `known_at`: nearly every call asks for it.
  int known_device;
  uint64_t known_at;  // 0: not known
};
thread_local constinit ContextStack t_stack{};

Context* find_context(CUcontext context) {
  Session* s = session_if_any();
  return s == nullptr ? nullptr : s->contexts.find(bits_of(context));
}

// Counts what may change the device of a context, on any thread.
std::atomic<uint64_t> g_context_changes = 1;

// The devices of a lost session stay devices, and its contexts contexts: what fails is the work in
// them. PyTorch asks for devices and changes them in destructors, where an error ends the program.
Session* session_or_lost(CUresult* error) {
  Session* s = session(error);
  if (s == nullptr && *error == kServerLost) {
    s = session_if_any();
  }
  return s;
}

Device* device_or_lost(int device, CUresult* error) {
  Session* s = session_or_lost(error);
  Device* found = s == nullptr ? nullptr : s->device(device);
  if (found == nullptr && s != nullptr) {
    *error = CUDA_ERROR_INVALID_DEVICE;
  }
  return found;
}

}  // namespace

int device_count() {
  CUresult error = CUDA_SUCCESS;
  Session* s = session_or_lost(&error);
  return s == nullptr ? 0 : static_cast<int>(s->devices.size());
}

const DeviceFacts* device_facts(int device) {
  CUresult error = CUDA_SUCCESS;
  const Device* found = device_or_lost(device, &error);
  return found == nullptr ? nullptr : &found->facts;
}

CUresult device_attribute(int device, CUdevice_attribute attribute, int* value) {
  CUresult error = CUDA_SUCCESS;
  const Device* found = device_or_lost(device, &error);
  if (found == nullptr) {
    return error;
  }
  const auto index = static_cast<int>(attribute);
  if (index <= 0 || index >= Device::kAttributesMax || !found->attribute_known[index]) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  *value = found->attributes[attribute];
  return CUDA_SUCCESS;
}

int driver_version() {
  Session* s = session_if_any();
  return s == nullptr ? CUDA_VERSION : s->driver_version;
}

bool can_access_peer(int device, int peer) {
  Session* s = session_if_any();
  Device* from = s == nullptr ? nullptr : s->device(device);
  Device* to = s == nullptr ? nullptr : s->device(peer);
  return from != nullptr && to != nullptr &&
         std::find(from->peers.begin(), from->peers.end(), to->server_ordinal) != from->peers.end();
}

CUresult context_primary(int device, CUcontext* context) {
  CUresult error = CUDA_SUCCESS;
  const Device* found = device_or_lost(device, &error);
  if (found == nullptr) {
    return error;
  }
  *context = found->primary;
  return CUDA_SUCCESS;
}

CUresult context_create(int device, unsigned flags, CUcontext* context) {
  Call call;
  Device* found = call.device(device);
  if (found == nullptr) {
    return call.error;
  }
  uint64_t bits = 0;
  Context* made = call->contexts.create(&bits);
  if (made == nullptr) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  made->device = found;
  made->flags = flags;
  made->primary = false;
  call->context_goods.begin_context();
  *context = handle_of<CUcontext>(bits);
  return CUDA_SUCCESS;
}

void note_made(Session* s, uint64_t name) {
  if (!s->context_goods.any()) {
    return;
  }
  const uint64_t current = bits_of(context_current());
  const Context* context = s->contexts.find(current);
  if (context != nullptr && !context->primary) {
    s->context_goods.add(current, name);
  }
}

namespace {

void end_good(Session* s, uint64_t name) {
  if (s->streams.find(name) != nullptr) {
    (void)stream_destroy(handle_of<CUstream>(name));
  } else if (s->events.find(name) != nullptr) {
    (void)event_destroy(handle_of<CUevent>(name));
  } else if (s->modules.find(name) != nullptr) {
    (void)module_unload(handle_of<CUmodule>(name));
  } else if (s->device_of(name) != nullptr) {
    (void)memory_free(name);
  } else {
    (void)host_free(reinterpret_cast<void*>(name));
  }
}

}  // namespace

CUresult context_destroy(CUcontext context) {
  const Context* found = find_context(context);
  if (found == nullptr || found->primary) {
    return CUDA_ERROR_INVALID_CONTEXT;
  }
  Session* const s = session_if_any();
  if (!s->contexts.destroy(bits_of(context))) {
    return CUDA_ERROR_INVALID_CONTEXT;  // another thread was quicker
  }
  contexts_changed();
  if (context_current() == context) {
    --t_stack.depth;
  }
  for (const uint64_t name : s->context_goods.end_context(bits_of(context))) {
    end_good(s, name);
  }
  return CUDA_SUCCESS;
}

CUresult context_device(CUcontext context, int* device) {
  const Context* found = find_context(context);
  if (found == nullptr) {
    return CUDA_ERROR_INVALID_CONTEXT;
  }
  *device = found->device->ordinal;
  return CUDA_SUCCESS;
}

CUresult context_flags(CUcontext context, unsigned* flags) {
  const Context* found = find_context(context);
  if (found == nullptr) {
    return CUDA_ERROR_INVALID_CONTEXT;
  }
  *flags = found->flags;
  return CUDA_SUCCESS;
}

CUcontext context_current() {
  return t_stack.depth == 0 ? nullptr : t_stack.entries[t_stack.depth - 1];
}

CUresult context_set_current(CUcontext context) {
  if (context == nullptr) {
    if (t_stack.depth > 0) {
      --t_stack.depth;
      t_stack.known_at = 0;
    }
    return CUDA_SUCCESS;
  }
  int device = 0;
  if (const CUresult result = context_device(context, &device); result != CUDA_SUCCESS) {
    return result;
  }
  if (t_stack.depth == 0) {
    t_stack.depth = 1;
  }
  t_stack.entries[t_stack.depth - 1] = context;
  t_stack.known_at = 0;
  return CUDA_SUCCESS;
}

CUresult context_push(CUcontext context) {
  int device = 0;
  if (const CUresult result = context_device(context, &device); result != CUDA_SUCCESS) {
    return result;
  }
  if (t_stack.depth == ContextStack::kDepthMax) {
    return CUDA_ERROR_INVALID_CONTEXT;
  }
  t_stack.entries[t_stack.depth++] = context;
  t_stack.known_at = 0;
  return CUDA_SUCCESS;
}

CUresult context_pop(CUcontext* context) {
  if (t_stack.depth == 0) {
    return CUDA_ERROR_INVALID_CONTEXT;
  }
  const CUcontext top = t_stack.entries[--t_stack.depth];
  t_stack.known_at = 0;
  if (context != nullptr) {
    *context = top;
  }
  return CUDA_SUCCESS;
}

void contexts_changed() {
  g_context_changes.fetch_add(1, std::memory_order_release);
}

int current_device() {
  const uint64_t changes = g_context_changes.load(std::memory_order_acquire);
  if (t_stack.known_at == changes) [[likely]] {
    return t_stack.known_device;
  }
  int device = -1;
  const CUcontext context = context_current();
  if (context == nullptr || context_device(context, &device) != CUDA_SUCCESS) {
    return -1;
  }
  t_stack.known_device = device;
  t_stack.known_at = changes;
  return device;
}

CUresult make_device_current(int device) {
  if (in_host_function()) {
    return CUDA_ERROR_NOT_PERMITTED;
  }
  CUresult error = CUDA_SUCCESS;
  Device* found = device_or_lost(device, &error);
  if (found == nullptr) {
    return error;
  }
  found->is_used.store(true, std::memory_order_relaxed);
  return context_set_current(found->primary);
}

bool device_is_used(int device) {
  Session* s = session_if_any();
  const Device* found = s == nullptr ? nullptr : s->device(device);
  return found != nullptr && found->is_used.load(std::memory_order_relaxed);
}

CUresult limit_get(int device, CUlimit limit, size_t* value) {
  Call call;
  Device* found = call.device(device);
  if (found == nullptr) {
    return call.error;
  }
  Answer<message::LimitGet> answer;
  const CUresult result = call->ask(
      message::LimitGet{.device = found->server_ordinal, .limit = static_cast<uint32_t>(limit)},
      &answer);
  if (result == CUDA_SUCCESS) {
    *value = answer.reply.value;
  }
  return result;
}

CUresult limit_set(int device, CUlimit limit, size_t value) {
  Call call;
  Device* found = call.device(device);
  if (found == nullptr) {
    return call.error;
  }
  const CUresult result = call->ask(message::LimitSet{
      .device = found->server_ordinal, .limit = static_cast<uint32_t>(limit), .value = value});
  found->memory_changed();
  return result;
}

void unsupported(const char* function_name) {
  // Once per name: few names, so a short list under a lock does.
  static std::mutex* const mutex = new std::mutex;
  static auto* const said = new std::vector<std::string>;
  {
    std::lock_guard lock(*mutex);
    if (std::find(said->begin(), said->end(), function_name) != said->end()) {
      return;
    }
    said->emplace_back(function_name);
  }
  log_line(LogLevel::kWarning, std::string(function_name) +
                                   " is not supported by Farlane yet and returns an error "
                                   "(docs/coverage.md lists what is)");
}

}  // namespace farlane::client
