// Streams: who comes before whom, including the rules of the legacy default stream.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "server/softcuda/driver_context.h"

namespace farlane::softcuda {

// Adds a stream to its context. No handle is made.
std::shared_ptr<Stream> make_stream(const ContextPtr& context, unsigned flags, int priority);

// Resolves a handle, the special ones included. Null when it names no stream of this context.
std::shared_ptr<Stream> find_stream(const ContextPtr& context, CUstream handle);

// The same for what may be put into a stream of any context: everything but launches. The special
// handles are the current context's; *context becomes the stream's.
std::shared_ptr<Stream> find_any_stream(ContextPtr* context, CUstream handle);

// What must be done before work put into `stream` now may start. Under the scheduler's lock.
std::vector<OpPtr> predecessors_of(const Context& context, const Stream& stream);

// Appends work. It is skipped once the context has failed. `after`: more predecessors.
OpPtr enqueue(const ContextPtr& context, const std::shared_ptr<Stream>& stream, Op::Kind kind,
              std::function<void()> run, const std::vector<OpPtr>& after = {});
// The same, and waits for it; runs it on this thread when nothing comes before it. Returns the
// context's state afterwards.
CUresult enqueue_and_wait(const ContextPtr& context, const std::shared_ptr<Stream>& stream,
                          Op::Kind kind, std::function<void()> run);

// Wait, then deliver device output.
void synchronize_stream(const Context& context, const Stream& stream);
void synchronize_context(const Context& context);
bool stream_is_idle(const Context& context, const Stream& stream);

// Puts a record of `event` into the stream.
void record_event(const ContextPtr& context, const std::shared_ptr<Stream>& stream,
                  const std::shared_ptr<Event>& event);

}  // namespace farlane::softcuda
