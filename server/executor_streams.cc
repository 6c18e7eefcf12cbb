// Commands about streams and events, and the questions that wait for them.
#include <fmt/format.h>

#include "server/executor.h"

namespace farlane::server {

bool Executor::on(const RecordHeader& header, const message::StreamCreate& create) {
  if (create.stream.is_legacy() || !streams_.can_create(create.stream)) {
    return fault(header, describe(create.stream) + " cannot be created");
  }
  CUresult result = CUDA_SUCCESS;
  StreamRef stream;
  Device* device = find_device(header, create.device, &result);
  if (device != nullptr) result = device->create_stream(create.flags, create.priority, &stream);
  if (result == CUDA_SUCCESS) {
    streams_.create(create.stream, std::move(stream));
  } else {
    streams_.create_failed(create.stream);
  }
  return posted(header, result, [&] { return describe(create.stream); });
}

bool Executor::on(const RecordHeader& header, const message::StreamDestroy& destroy) {
  if (destroy.stream.is_legacy()) return fault(header, "a legacy stream lasts for ever");
  StreamRef* stream = nullptr;
  const Lookup found = streams_.find(destroy.stream, &stream);
  CUresult result = CUDA_SUCCESS;
  if (found == Lookup::kUnknown) return fault(header, describe(destroy.stream) + " does not exist");
  if (found == Lookup::kLive) {
    result = make_current(*(*stream)->device);
    if ((*stream)->capture != nullptr) abandon_capture((*stream)->capture);
    if (result == CUDA_SUCCESS) result = (*stream)->device->destroy_stream(*stream);
  }
  streams_.destroy(destroy.stream);
  return posted(header, result, [&] { return describe(destroy.stream); });
}

bool Executor::on(const RecordHeader& header, const message::StreamWait& wait) {
  CUresult result = CUDA_SUCCESS;
  Event* event = find_event(header, wait.event, &result);
  if (event != nullptr) {
    const StreamRef* stream = find_stream(header, wait.stream, &result);
    const bool external = (wait.flags & CU_EVENT_WAIT_EXTERNAL) != 0;
    const CaptureRef capture = event->capture.lock();
    const bool joins =
        stream != nullptr && capture != nullptr && !external && (*stream)->capture == nullptr;
    if (joins) {
      result = join_capture(*stream, capture);
    } else if (stream != nullptr) {
      result = (*stream)->device->use(**stream);
    }
    if (result == CUDA_SUCCESS) {
      result = driver_.cuStreamWaitEvent((*stream)->handle, event->driver.handle(), wait.flags);
      if (joins && result != CUDA_SUCCESS) leave_capture(*stream);
    }
    if (stream != nullptr && external && (*stream)->capture != nullptr) {
      hold_in_graph(*event, wait.event, true, *(*stream)->capture);
    }
  }
  return posted(header, result,
                [&] { return describe(wait.stream) + " for " + describe(wait.event); });
}

// A node of the captured graph has this event of the driver's, whatever becomes of its name.
void Executor::hold_in_graph(Event& event, protocol::EventId id, bool waits,
                             const Capture& capture) {
  event.is_in_graph = true;
  Graph* graph = nullptr;
  if (graphs_.find(capture.graph, &graph) == Lookup::kLive) {
    graph->events.push_back({event.driver, id.index(), waits});
  }
}

bool Executor::on(const RecordHeader& header, const message::EventCreate& create) {
  if (!events_.can_create(create.event)) {
    return fault(header, describe(create.event) + " cannot be created");
  }
  CUresult result = CUDA_SUCCESS;
  Event event;
  event.device = find_device(header, create.device, &result);
  event.flags = create.flags;
  if (event.device != nullptr) result = EventRef::create(driver_, create.flags, &event.driver);
  if (result == CUDA_SUCCESS) {
    events_.create(create.event, std::move(event));
  } else {
    events_.create_failed(create.event);
  }
  return posted(header, result, [&] { return describe(create.event); });
}

bool Executor::on(const RecordHeader& header, const message::EventDestroy& destroy) {
  Event* event = nullptr;
  const Lookup found = events_.find(destroy.event, &event);
  if (found == Lookup::kUnknown) {
    return fault(header, describe(destroy.event) + " does not exist");
  }
  if (found == Lookup::kLive && ipc_ != nullptr && !event->shared_as.empty()) {
    ipc_->forget(event->shared_as);
  }
  events_.destroy(destroy.event);
  return true;
}

bool Executor::on(const RecordHeader& header, const message::EventRecord& record) {
  CUresult result = CUDA_SUCCESS;
  Event* event = find_event(header, record.event, &result);
  if (event != nullptr) {
    const StreamRef* stream = find_stream(header, record.stream, &result);
    if (stream != nullptr) result = (*stream)->device->use(**stream);
    const CaptureRef capture = stream == nullptr ? nullptr : (*stream)->capture;
    const bool is_node = capture != nullptr && (record.flags & CU_EVENT_RECORD_EXTERNAL) != 0;
    if (result == CUDA_SUCCESS && event->driver.is_shared() && !event->is_in_graph &&
        (event->flags & CU_EVENT_INTERPROCESS) == 0) {
      // Somebody waits for the record before; that must not become this one.
      result = EventRef::create(driver_, event->flags, &event->driver);
    }
    if (result == CUDA_SUCCESS) {
      result = record.flags == 0 || driver_.cuEventRecordWithFlags == nullptr
                   ? driver_.cuEventRecord(event->driver.handle(), (*stream)->handle)
                   : driver_.cuEventRecordWithFlags(event->driver.handle(), (*stream)->handle,
                                                    record.flags);
    }
    if (stream != nullptr && result == CUDA_SUCCESS) {
      event->capture = is_node ? CaptureRef() : capture;
      if (is_node) hold_in_graph(*event, record.event, false, *capture);
    }
  }
  return posted(header, result,
                [&] { return describe(record.event) + " on " + describe(record.stream); });
}

bool Executor::on(const RecordHeader& header, const message::StreamSynchronize& synchronize) {
  CUresult result = CUDA_SUCCESS;
  const StreamRef* stream = find_stream(header, synchronize.stream, &result);
  Device::Mark mark;
  if (stream != nullptr && (*stream)->capture != nullptr) {
    result = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  } else if (stream != nullptr && is_known_idle(**stream)) {
    return answer(header.sequence, message::StreamSynchronizeReply{}, CUDA_SUCCESS);
  }
  if (stream != nullptr && result == CUDA_SUCCESS) {
    result = (*stream)->device->mark(*stream, &mark);
  }
  if (result != CUDA_SUCCESS || stream == nullptr) {
    return answer(header.sequence, message::StreamSynchronizeReply{}, result);
  }
  Wait& wait = new_wait(Then::kReplyStream, header.sequence, (*stream)->device);
  wait.marks.push_back(std::move(mark));
  return true;
}

bool Executor::on(const RecordHeader& header, const message::EventSynchronize& synchronize) {
  CUresult result = CUDA_SUCCESS;
  Event* event = find_event(header, synchronize.event, &result);
  if (event == nullptr) {
    return answer(header.sequence, message::EventSynchronizeReply{}, result);
  }
  Wait& wait = new_wait(Then::kReplyEvent, header.sequence, event->device);
  wait.marks.push_back({event->driver, nullptr, 0});
  return true;
}

bool Executor::on(const RecordHeader& header, const message::DeviceSynchronize& synchronize) {
  CUresult result = CUDA_SUCCESS;
  Device* device = find_device(header, synchronize.device, &result);
  if (device == nullptr) {
    return answer(header.sequence, message::DeviceSynchronizeReply{}, result);
  }
  Wait& wait = new_wait(Then::kReplyDevice, header.sequence, device);
  wait.result = device->mark_all(&wait.marks);
  // With nothing to wait for, nothing would ask the driver; what went wrong stays wrong.
  if (wait.result == CUDA_SUCCESS) wait.result = sticky_;
  if (wait.result != CUDA_SUCCESS) wait.marks.clear();
  return true;
}

bool Executor::on(const RecordHeader& header, const message::StreamQuery& query) {
  CUresult result = CUDA_SUCCESS;
  const StreamRef* stream = find_stream(header, query.stream, &result);
  if (stream != nullptr && (*stream)->capture != nullptr) {
    result = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  } else if (stream != nullptr) {
    const uint64_t posted_before = (*stream)->posted;
    result = driver_.cuStreamQuery((*stream)->handle);
    if (result == CUDA_SUCCESS) (*stream)->finished = posted_before;
    deliver_data();  // of what is finished goes first
  }
  return answer(header.sequence, message::StreamQueryReply{}, result);
}

bool Executor::on(const RecordHeader& header, const message::EventQuery& query) {
  CUresult result = CUDA_SUCCESS;
  Event* event = find_event(header, query.event, &result);
  if (event != nullptr) {
    result = driver_.cuEventQuery(event->driver.handle());
    deliver_data();
  }
  return answer(header.sequence, message::EventQueryReply{}, result);
}

bool Executor::on(const RecordHeader& header, const message::EventElapsed& elapsed) {
  CUresult result = CUDA_SUCCESS;
  message::EventElapsedReply reply;
  Event* start = find_event(header, elapsed.start, &result);
  Event* end = start == nullptr ? nullptr : find_event(header, elapsed.end, &result);
  if (end != nullptr) {
    result = driver_.cuEventElapsedTime(&reply.milliseconds, start->driver.handle(),
                                        end->driver.handle());
  }
  return answer(header.sequence, reply, result);
}

bool Executor::on(const RecordHeader& header, const message::DeviceReset& reset) {
  CUresult result = CUDA_SUCCESS;
  Device* device = find_device(header, reset.device, &result);
  if (device == nullptr) return answer(header.sequence, message::DeviceResetReply{}, result);
  Wait& wait = new_wait(Then::kDeviceReset, header.sequence, device);
  wait.result = device->mark_all(&wait.marks);
  if (wait.result != CUDA_SUCCESS) wait.marks.clear();
  return true;
}

// The client's names stay good for errors: a program may still hold them.
void Executor::reset_device(Device& device) {
  if (make_current(device) != CUDA_SUCCESS) return;
  driver_.cuCtxSynchronize();
  deliver_data();
  bulk_.recycle();
  // Releases under way are overtaken by this one; other waits have nothing left to wait for. None
  // is taken out: progress() may be in the middle of them.
  for (const auto& wait : waits_) {
    if (wait != nullptr && wait->then == Then::kExtentRelease && wait->device == &device) {
      wait->device = nullptr;
    }
  }
  reset_graphs(device);
  kernels_.for_each([&](protocol::KernelId id, Kernel& kernel) {
    if (kernel.device == &device) kernels_.fail(id);
  });
  modules_.for_each([&](protocol::ModuleId id, std::unique_ptr<Module>& module) {
    if (module->device != &device) return;
    driver_.cuModuleUnload(module->handle);
    modules_.fail(id);
  });
  events_.for_each([&](protocol::EventId id, Event& event) {
    if (event.device == &device) events_.fail(id);
  });
  streams_.for_each([&](protocol::StreamId id, StreamRef& stream) {
    if (stream->device == &device) streams_.fail(id);
  });
  device.destroy_streams();
  device.space.release_all();
  for (auto& [name, memory] : memories_) {
    if (memory.device == &device) memory.physical.reset();
  }
  for (const auto& [limit, value] : device.limits_before) driver_.cuCtxSetLimit(limit, value);
  device.limits_before.clear();
  device.prints = false;
}

}  // namespace farlane::server
