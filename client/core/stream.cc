// Streams. Queries and synchronisation of a stream that is known to be idle are answered here.
#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "client/core/call.h"
#include "client/core/session.h"

namespace farlane::client {
namespace {

// The per-thread default streams of one thread, made at first use and destroyed with it.
struct ThreadStreams {
  static constexpr int kDevicesMax = 64;
  std::array<CUstream, kDevicesMax> streams{};
  Session* owner = nullptr;
  ~ThreadStreams() {
    if (owner == nullptr || owner != session_if_any()) {
      return;
    }
    for (CUstream stream : streams) {
      if (stream != nullptr) {
        stream_destroy(stream);
      }
    }
  }
};
thread_local ThreadStreams t_streams;

bool is_idle(const Stream& stream) {
  // The legacy default stream waits for all blocking streams, so its idleness is the device's.
  if (stream.is_legacy()) {
    return stream.device->work.is_legacy_idle();
  }
  const uint64_t last = stream.last_sequence.load(std::memory_order_acquire);
  return last <= stream.finished_sequence.load(std::memory_order_acquire) ||
         last <= stream.device->finished_sequence.load(std::memory_order_acquire);
}

// What a question about a stream covers when it is asked from now on.
struct Covered {
  uint64_t sequence = 0;
  uint64_t mark = 0;  // of the legacy stream
};
Covered covered_by_question(Session* s, Stream& stream) {
  if (!stream.is_legacy()) {
    return {stream.last_sequence.load(), 0};
  }
  const uint64_t mark = stream.device->work.begin_question();
  return {s->log().last_sequence(), mark};
}
void note_finished(Stream& stream, const Covered& covered) {
  raise_to(stream.finished_sequence, covered.sequence);
  if (stream.is_legacy()) {
    stream.device->work.legacy_finished(covered.mark);
  }
}

// What synchronous copies promised to have done must be done before a stream that the legacy stream
// does not hold up can see it.
CUresult settle_copies(Session* s, Device& device, unsigned flags) {
  const uint64_t unsettled = device.unsettled_sequence.load(std::memory_order_seq_cst);
  if ((flags & CU_STREAM_NON_BLOCKING) == 0 ||
      unsettled <= device.legacy.finished_sequence.load(std::memory_order_acquire)) {
    return CUDA_SUCCESS;
  }
  const CUresult result = s->ask(message::StreamSynchronize{.stream = device.legacy.id});
  if (result == CUDA_SUCCESS) {
    raise_to(device.legacy.finished_sequence, unsettled);
  }
  return result;
}

// What was opened for a device that the server has reset: its mappings are gone there.
void forget_opened(Session* s, int device) {
  std::lock_guard lock(s->shared_memory.mutex);
  std::erase_if(s->shared_memory.opened, [&](const auto& entry) {
    const SharedMemory::Opened& opened = entry.second;
    if (opened.device != device) {
      return false;
    }
    std::vector<uint64_t> gone;
    s->virtual_memory.unmap(opened.start, opened.bytes, &gone);
    memory_release(opened.memory);
    address_free(opened.start, opened.bytes);
    return true;
  });
}

}  // namespace

Stream* Session::resolve(CUstream stream, CUresult* error) {
  if (Stream* found = streams.find(bits_of(stream)); found != nullptr) {
    return found;
  }
  *error = CUDA_ERROR_INVALID_HANDLE;
  if (stream != nullptr && stream != CU_STREAM_LEGACY && stream != CU_STREAM_PER_THREAD) {
    return nullptr;
  }
  Device* current = device(current_device());
  if (current == nullptr) {
    *error = CUDA_ERROR_INVALID_CONTEXT;
    return nullptr;
  }
  if (stream != CU_STREAM_PER_THREAD) {
    return &current->legacy;
  }
  if (t_streams.owner != this) {
    t_streams.streams.fill(nullptr);
    t_streams.owner = this;
  }
  CUstream& mine = t_streams.streams[current->ordinal];
  if (streams.find(bits_of(mine)) == nullptr) {
    *error = stream_create(current->ordinal, CU_STREAM_DEFAULT, 0, &mine);
    if (*error != CUDA_SUCCESS) {
      return nullptr;
    }
  }
  return streams.find(bits_of(mine));
}

CUresult stream_create(int device, unsigned flags, int priority, CUstream* stream) {
  Call call;
  Device* found = call.device(device);
  if (found == nullptr) {
    return call.error;
  }
  if ((flags & ~static_cast<unsigned>(CU_STREAM_NON_BLOCKING)) != 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  // CUDA clamps priorities silently.
  priority = std::clamp(
      priority, found->facts.stream_priority_greatest,
      std::max(found->facts.stream_priority_least, found->facts.stream_priority_greatest));
  Stream* made = call.make(call->streams, found);
  if (made == nullptr) {
    return call.error;
  }
  made->flags = flags;
  made->priority = priority;
  made->unique_id = call->next_unique_id.fetch_add(1);
  found->several_streams.store(true, std::memory_order_seq_cst);
  if (const CUresult result = settle_copies(call.session, *found, flags); result != CUDA_SUCCESS) {
    call->streams.destroy(made->id.bits());
    return result;
  }
  call->post(message::StreamCreate{
      .stream = made->id, .device = found->server_ordinal, .flags = flags, .priority = priority});
  found->memory_changed();
  *stream = handle_of<CUstream>(made->id.bits());
  note_made(call.session, made->id.bits());
  return CUDA_SUCCESS;
}

CUresult stream_destroy(CUstream stream) {
  Call call;
  Stream* found = call.made_stream(stream);
  if (found == nullptr) {
    return call.error;
  }
  call->captures.destroyed(*found);
  const protocol::StreamId id = found->id;
  Device* const owner = found->device;
  call->context_goods.remove(id.bits());
  if (!call->end(call->streams, id.bits(), message::StreamDestroy{.stream = id})) {
    return CUDA_ERROR_INVALID_HANDLE;  // another thread was quicker
  }
  call->stream_attributes.forget(id.bits());
  owner->memory_changed();
  return CUDA_SUCCESS;
}

CUresult stream_synchronize(CUstream stream) {
  Call call;
  Stream* found = call.stream(stream);
  call.check_wait(found);
  if (!call) {
    return call.error;
  }
  if (call->answers_here(is_idle(*found), message::StreamSynchronize::kName)) {
    return call->errors.take();
  }
  const Covered covered = covered_by_question(call.session, *found);
  // Where a copy to the host was the last thing, the copy's data says as much as an answer would.
  const bool told_by_data = call->answers_here(covered.sequence == found->told_by_data.load(),
                                               message::StreamSynchronize::kName);
  if (told_by_data) {
    call->log().flush_to_wait();  // the session is lost if not, and so will the wait say
  } else if (const CUresult result = call->ask(message::StreamSynchronize{.stream = found->id});
             result != CUDA_SUCCESS) {
    return result;
  }
  // Data of earlier copies to the host comes before the answer; with several lanes it may still be
  // under way.
  const bool arrived = call->inbox().wait_until(
      [&] {
        return !call->inbox().tickets_pending(covered.sequence, [&](uint64_t bits) {
          if (bits == found->id.bits()) {
            return true;
          }
          const Stream* other = call->streams.find(bits);
          return found->is_legacy() && other != nullptr && other->device == found->device &&
                 other->is_blocking();
        });
      },
      "data of copies to the host");
  if (!arrived) {
    return kServerLost;
  }
  const CUresult earlier = call->errors.take();
  if (told_by_data && earlier != CUDA_SUCCESS) {
    found->told_by_data = 0;  // a copy that failed does not tell what came before it
    return earlier;
  }
  note_finished(*found, covered);
  return earlier;
}

CUresult stream_query(CUstream stream) {
  Call call;
  Stream* found = call.stream(stream);
  call.check_wait(found);
  if (!call) {
    return call.error;
  }
  if (call->answers_here(is_idle(*found), message::StreamQuery::kName)) {
    return call->errors.take();
  }
  const Covered covered = covered_by_question(call.session, *found);
  const CUresult result = call->ask(message::StreamQuery{.stream = found->id});
  if (result != CUDA_SUCCESS) {
    return result;
  }
  if (call->inbox().tickets_pending(covered.sequence,
                                    [&](uint64_t bits) { return bits == found->id.bits(); })) {
    return CUDA_ERROR_NOT_READY;
  }
  note_finished(*found, covered);
  return call->errors.take();
}

CUresult stream_wait_event(CUstream stream, CUevent event, unsigned flags) {
  Call call;
  Stream* found = call.stream(stream);
  const Event* awaited = call.event(event);
  if (awaited == nullptr) {
    return call.error;
  }
  const bool external = (flags & CU_EVENT_WAIT_EXTERNAL) != 0;
  const CaptureRef capture =
      external ? call.admit(found) : call->captures.joined(found, *awaited, &call.error);
  if (!call) {
    return call.error;
  }
  if (capture != nullptr) {
    const uint64_t sequence =
        call->post(message::StreamWait{.stream = found->id, .event = awaited->id, .flags = flags});
    return posted(sequence);
  }
  if (awaited->recorded_sequence.load() == 0 && !awaited->is_shared()) {
    return CUDA_SUCCESS;  // an event that was never recorded is over
  }
  call->touch(found, call->post(message::StreamWait{
                         .stream = found->id, .event = awaited->id, .flags = flags}));
  return CUDA_SUCCESS;
}

CUresult stream_flags(CUstream stream, unsigned* flags) {
  Call call;
  Stream* found = call.stream(stream);
  if (found == nullptr) {
    return call.error;
  }
  *flags = found->flags;
  return CUDA_SUCCESS;
}

CUresult stream_priority(CUstream stream, int* priority) {
  Call call;
  Stream* found = call.stream(stream);
  if (found == nullptr) {
    return call.error;
  }
  *priority = found->priority;
  return CUDA_SUCCESS;
}

CUresult stream_id(CUstream stream, unsigned long long* id) {
  Call call;
  Stream* found = call.stream(stream);
  if (found == nullptr) {
    return call.error;
  }
  *id = found->unique_id;
  return CUDA_SUCCESS;
}

CUresult stream_device(CUstream stream, int* device) {
  Call call;
  Stream* found = call.stream(stream);
  if (found == nullptr) {
    return call.error;
  }
  *device = found->device->ordinal;
  return CUDA_SUCCESS;
}

CUresult device_synchronize(int device) {
  Call call;
  Device* found = call.device(device);
  call.check_device();
  if (!call) {
    return call.error;
  }
  if (call->answers_here(found->work.is_idle(), message::DeviceSynchronize::kName)) {
    return call->errors.take();
  }
  const uint64_t mark = found->work.begin_question();
  const uint64_t covered = call->log().last_sequence();
  const CUresult result = call->ask(message::DeviceSynchronize{.device = found->server_ordinal});
  if (result != CUDA_SUCCESS) {
    return result;
  }
  const bool arrived = call->inbox().wait_until(
      [&] {
        return !call->inbox().tickets_pending(covered, [&](uint64_t bits) {
          const Stream* other = call->streams.find(bits);
          return bits == found->legacy.id.bits() || (other != nullptr && other->device == found);
        });
      },
      "data of copies to the host");
  if (!arrived) {
    return kServerLost;
  }
  raise_to(found->finished_sequence, covered);
  found->work.finished(mark);
  // Under the lock: what is freed later, by a thread that posted meanwhile, is not meant.
  std::lock_guard lock(found->memory_mutex);
  // Any device may use this one's memory.
  if (std::all_of(call->devices.begin(), call->devices.end(),
                  [](const auto& one) { return one->work.is_idle(); })) {
    found->memory.all_work_finished();
  }
  return call->errors.take();
}

CUresult device_reset(int device) {
  Call call;
  Device* found = call.device(device);
  if (found == nullptr) {
    return call.error;
  }
  peer_access_reset(call.session, device);
  const CUresult result = call->ask(message::DeviceReset{.device = found->server_ordinal});
  found->memory_changed();
  call->captures.break_all();
  // Their memory is given back while it still is the program's.
  std::vector<GraphCopies> copies;
  std::vector<GraphContentsRef> contents;
  call->graph_execs.for_each([&](uint64_t bits, GraphExec& exec) {
    if (exec.device == found) {
      std::lock_guard lock(exec.mutex);
      copies.push_back(std::exchange(exec.copies, {}));
      call->graph_execs.destroy(bits);
    }
  });
  call->graphs.for_each([&](uint64_t bits, Graph& graph) {
    if (graph.device == found) {
      std::lock_guard lock(graph.mutex);
      contents.push_back(std::exchange(graph.contents, nullptr));
      call->graphs.destroy(bits);
    }
  });
  copies.clear();
  contents.clear();
  // Every name of the device is gone, as in CUDA.
  call->streams.for_each([&](uint64_t bits, Stream& stream) {
    if (stream.device == found) {
      call->streams.destroy(bits);
    }
  });
  call->events.for_each([&](uint64_t bits, Event& event) {
    if (event.device == found) {
      call->events.destroy(bits);
    }
  });
  call->functions.for_each([&](uint64_t bits, Function& function) {
    if (function.device == found) {
      call->functions.destroy(bits);
    }
  });
  call->modules.for_each([&](uint64_t bits, Module& module) {
    if (module.device == found) {
      call->modules.destroy(bits);
    }
  });
  {
    std::unique_lock lock(call->variables_mutex);
    std::erase_if(call->variables, [&](const auto& entry) { return entry.second.device == found; });
  }
  {
    std::lock_guard lock(found->memory_mutex);
    found->memory.clear();
  }
  call->context_goods.clear();
  call->virtual_memory.forget(found->ordinal);
  forget_opened(call.session, found->ordinal);
  if (result == CUDA_SUCCESS) {
    call->errors.clear();
  }
  return result;
}

}  // namespace farlane::client
