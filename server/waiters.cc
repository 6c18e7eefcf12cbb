#include "server/waiters.h"

namespace farlane::server {

Waiters::~Waiters() {
  for (const auto& waiter : waiters_) {
    {
      const std::scoped_lock lock(waiter->mutex);
      waiter->stop = true;
    }
    waiter->changed.notify_one();
    waiter->thread.join();
  }
}

bool Waiters::wait_for(EventRef event, CUcontext context) {
  collect();
  Waiter* free = nullptr;
  for (const auto& waiter : waiters_) {
    if (!waiter->held) free = waiter.get();
  }
  if (free == nullptr) {
    if (waiters_.size() == kThreadsMax) return false;
    waiters_.push_back(std::make_unique<Waiter>());
    free = waiters_.back().get();
    free->thread = std::thread([this, free] { run(*free); });
  }
  free->busy = true;
  {
    const std::scoped_lock lock(free->mutex);
    free->event = event.handle();
    free->context = context;
  }
  free->held = std::move(event);
  free->changed.notify_one();
  return true;
}

void Waiters::collect() {
  for (const auto& waiter : waiters_) {
    if (!waiter->busy) waiter->held.reset();
  }
}

void Waiters::run(Waiter& waiter) {
  std::unique_lock lock(waiter.mutex);
  for (;;) {
    waiter.changed.wait(lock, [&] { return waiter.stop || waiter.event != nullptr; });
    if (waiter.event == nullptr) return;
    const CUevent event = waiter.event;
    const CUcontext context = waiter.context;
    lock.unlock();
    driver_.cuCtxSetCurrent(context);
    // Whatever it says, the executor asks again and gets the same answer.
    driver_.cuEventSynchronize(event);
    lock.lock();
    waiter.event = nullptr;
    waiter.busy = false;
    channel_.wake();
  }
}

}  // namespace farlane::server
