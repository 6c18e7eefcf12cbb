#include "server/softcuda/driver_stream.h"

#include <algorithm>

#include "server/softcuda/driver_shared_event.h"

namespace farlane::softcuda {
namespace {

bool is_done(const OpPtr& op) {
  return op == nullptr || op->done;
}

uint64_t this_thread_number() {
  static std::atomic<uint64_t> next{1};
  thread_local const uint64_t number = next.fetch_add(1);
  return number;
}

// Every tail of the context. Under the scheduler's lock.
std::vector<OpPtr> all_tails(const Context& context) {
  std::vector<OpPtr> tails;
  for (const auto& stream : context.streams) {
    if (!is_done(stream->tail)) {
      tails.push_back(stream->tail);
    }
  }
  return tails;
}

OpPtr make_op(const ContextPtr& context, Op::Kind kind, std::function<void()> run) {
  auto op = std::make_shared<Op>();
  op->kind = kind;
  op->run = [context, run = std::move(run)] {
    if (context->sticky.load() == CUDA_SUCCESS && run) {
      run();
    }
  };
  return op;
}

// Under the scheduler's lock.
void forget_ended_streams(Context& context) {
  std::erase_if(context.streams,
                [](const auto& stream) { return stream->destroyed && is_done(stream->tail); });
}

}  // namespace

std::shared_ptr<Stream> make_stream(const ContextPtr& context, unsigned flags, int priority) {
  static std::atomic<uint64_t> next_id{1};
  auto stream = std::make_shared<Stream>();
  stream->context = context;
  stream->context_id = context->id;
  stream->id = next_id.fetch_add(1);
  stream->flags = flags;
  stream->priority = priority;
  const auto lock = Scheduler::instance().lock();
  forget_ended_streams(*context);
  context->streams.push_back(stream);
  return stream;
}

std::shared_ptr<Stream> find_stream(const ContextPtr& context, CUstream handle) {
  if (handle == nullptr || handle == CU_STREAM_LEGACY) {
    return context->legacy_stream;
  }
  if (handle == CU_STREAM_PER_THREAD) {
    const uint64_t thread = this_thread_number();
    {
      const auto lock = Scheduler::instance().lock();
      const auto it = context->per_thread_streams.find(thread);
      if (it != context->per_thread_streams.end()) {
        return it->second;
      }
    }
    auto stream = make_stream(context, CU_STREAM_DEFAULT, 0);  // only this thread adds this entry
    const auto lock = Scheduler::instance().lock();
    context->per_thread_streams.emplace(thread, stream);
    return stream;
  }
  auto stream = Driver::instance().streams.find(handle);
  return stream != nullptr && stream->context_id == context->id ? stream : nullptr;
}

std::shared_ptr<Stream> find_any_stream(ContextPtr* context, CUstream handle) {
  if (auto stream = find_stream(*context, handle)) {
    return stream;
  }
  auto stream = Driver::instance().streams.find(handle);
  ContextPtr owner = stream == nullptr ? nullptr : stream->context.lock();
  if (owner == nullptr) {
    return nullptr;
  }
  *context = std::move(owner);
  return stream;
}

std::vector<OpPtr> predecessors_of(const Context& context, const Stream& stream) {
  std::vector<OpPtr> before;
  if (stream.legacy) {
    for (const auto& other : context.streams) {
      if (other->blocking() && !is_done(other->tail)) {
        before.push_back(other->tail);
      }
    }
    return before;
  }
  if (!is_done(stream.tail)) {
    before.push_back(stream.tail);
  }
  if (stream.blocking() && !is_done(context.legacy_stream->tail)) {
    before.push_back(context.legacy_stream->tail);
  }
  return before;
}

OpPtr enqueue(const ContextPtr& context, const std::shared_ptr<Stream>& stream, Op::Kind kind,
              std::function<void()> run, const std::vector<OpPtr>& after) {
  const OpPtr op = make_op(context, kind, std::move(run));
  auto lock = Scheduler::instance().lock();
  std::vector<OpPtr> before = predecessors_of(*context, *stream);
  before.insert(before.end(), after.begin(), after.end());
  stream->tail = op;
  Scheduler::instance().submit(lock, op, before);
  return op;
}

CUresult enqueue_and_wait(const ContextPtr& context, const std::shared_ptr<Stream>& stream,
                          Op::Kind kind, std::function<void()> run) {
  const OpPtr op = make_op(context, kind, std::move(run));
  {
    auto lock = Scheduler::instance().lock();
    const std::vector<OpPtr> before = predecessors_of(*context, *stream);
    stream->tail = op;
    Scheduler::instance().submit_and_wait(lock, op, before);
  }
  flush_device_output();
  return context->sticky.load();
}

void synchronize_stream(const Context& context, const Stream& stream) {
  {
    auto lock = Scheduler::instance().lock();
    std::vector<OpPtr> before =
        stream.legacy ? predecessors_of(context, stream) : std::vector<OpPtr>{stream.tail};
    Scheduler::instance().wait(lock, before);
  }
  flush_device_output();
}

void synchronize_context(const Context& context) {
  {
    auto lock = Scheduler::instance().lock();
    Scheduler::instance().wait(lock, all_tails(context));
  }
  flush_device_output();
}

bool stream_is_idle(const Context& context, const Stream& stream) {
  const auto lock = Scheduler::instance().lock();
  return stream.legacy ? predecessors_of(context, stream).empty() : is_done(stream.tail);
}

void record_event(const ContextPtr& context, const std::shared_ptr<Stream>& stream,
                  const std::shared_ptr<Event>& event) {
  auto record = std::make_shared<EventRecord>();
  auto op = std::make_shared<Op>();
  op->kind = Op::Kind::kMarker;
  // The record keeps its op alive and not the other way round: the op's end drops this function.
  const std::shared_ptr<SharedEvent> shared = event->shared;
  const uint64_t number = shared == nullptr ? 0 : shared->begin_record();
  op->run = [record, shared, number] {
    record->time = std::chrono::steady_clock::now();
    if (shared != nullptr) {
      shared->finish_record(number);
    }
  };
  record->op = op;
  auto lock = Scheduler::instance().lock();
  const std::vector<OpPtr> before = predecessors_of(*context, *stream);
  stream->tail = op;
  event->record = record;
  Scheduler::instance().submit(lock, op, before);
}

}  // namespace farlane::softcuda
