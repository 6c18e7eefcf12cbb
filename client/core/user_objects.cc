// User objects: counted here, and destroyed here by whoever gives the last reference up.
#include <mutex>
#include <utility>

#include "client/core/call.h"
#include "client/core/graph_api.h"
#include "client/core/session.h"

namespace farlane::client {
namespace {

std::mutex g_mutex;

// The destructor to run, without the lock.
struct Last {
  CUhostFn destroy = nullptr;
  void* object = nullptr;
};

CUresult release(Session* s, uint64_t bits, uint64_t count, Last* last) {
  std::lock_guard lock(g_mutex);
  UserObject* found = s->user_objects.find(bits);
  if (found == nullptr || count == 0 || count > found->references) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  found->references -= count;
  if (found->references == 0) {
    *last = {found->destroy, found->object};
    s->user_objects.destroy(bits);
  }
  return CUDA_SUCCESS;
}

CUresult retain(Session* s, uint64_t bits, uint64_t count) {
  std::lock_guard lock(g_mutex);
  UserObject* found = s->user_objects.find(bits);
  if (found == nullptr || count == 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  found->references += count;
  return CUDA_SUCCESS;
}

CUresult give_up(Session* s, uint64_t bits, uint64_t count) {
  Last last;
  const CUresult result = release(s, bits, count, &last);
  if (last.destroy != nullptr) {
    last.destroy(last.object);
  }
  return result;
}

}  // namespace

void release_objects(Session* s, ObjectCounts* objects) {
  const ObjectCounts mine = std::exchange(*objects, {});
  for (const auto& [bits, count] : mine) {
    give_up(s, bits, count);
  }
}

void retain_objects(Session* s, const ObjectCounts& objects) {
  for (const auto& [bits, count] : objects) {
    retain(s, bits, count);
  }
}

CUresult user_object_create(void* object, CUhostFn destroy, unsigned references,
                            CUuserObject* handle) {
  Call call;
  if (!call) {
    return call.error;
  }
  if (destroy == nullptr || references == 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  uint64_t bits = 0;
  UserObject* made = call->user_objects.create(&bits);
  if (made == nullptr) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  made->object = object;
  made->destroy = destroy;
  made->references = references;
  call->user_objects.publish(bits);
  *handle = handle_of<CUuserObject>(bits);
  return CUDA_SUCCESS;
}

CUresult user_object_retain(CUuserObject handle, unsigned count) {
  Call call;
  return !call ? call.error : retain(call.session, bits_of(handle), count);
}

CUresult user_object_release(CUuserObject handle, unsigned count) {
  Call call;
  return !call ? call.error : give_up(call.session, bits_of(handle), count);
}

CUresult graph_retain_object(CUgraph graph, CUuserObject handle, unsigned count, bool move) {
  Call call;
  Graph* found = call.graph(graph);
  if (found == nullptr) {
    return call.error;
  }
  if (move ? call->user_objects.find(bits_of(handle)) == nullptr || count == 0
           : retain(call.session, bits_of(handle), count) != CUDA_SUCCESS) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  std::lock_guard lock(found->mutex);
  found->objects[bits_of(handle)] += count;
  return CUDA_SUCCESS;
}

CUresult graph_release_object(CUgraph graph, CUuserObject handle, unsigned count) {
  Call call;
  Graph* found = call.graph(graph);
  if (found == nullptr) {
    return call.error;
  }
  {
    std::lock_guard lock(found->mutex);
    const auto held = found->objects.find(bits_of(handle));
    if (held == found->objects.end() || count == 0 || count > held->second) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    held->second -= count;
    if (held->second == 0) {
      found->objects.erase(held);
    }
  }
  return give_up(call.session, bits_of(handle), count);
}

}  // namespace farlane::client
