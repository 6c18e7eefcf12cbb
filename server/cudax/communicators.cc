#include "server/cudax/communicators.h"

#include <fmt/format.h>
#include <nccl.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <iterator>
#include <thread>
#include <unordered_map>
#include <unordered_set>

#include "protocol/limits.h"
#include "server/cudax/group_names.h"
#include "server/cudax/known_comms.h"

namespace farlane::server::cudax {
namespace {

// How often communicators are asked whether their peers are well. PyTorch asks as often.
constexpr auto kWatchInterval = std::chrono::milliseconds(100);
// Between two questions whether a communicator that does not block is there.
constexpr auto kPollInterval = std::chrono::microseconds(200);
// Larger groups take long to put into their streams, which the session's other commands wait for.
constexpr size_t kCallsAtOnceMax = 64;
// The worker's word for what never reached the library (client/cudax/call.cc).
constexpr int64_t kNoSuchCall = -1;
// Communicators that were aborted and not there.
constexpr size_t kAbortedInVainMax = 65'536;

// What the library exports that no client calls by itself.
struct Functions {
  ncclResult_t (*group_start)() = nullptr;
  ncclResult_t (*group_end)() = nullptr;
  ncclResult_t (*group_simulate_end)(ncclSimInfo_t*) = nullptr;
  ncclResult_t (*async_error)(ncclComm_t, ncclResult_t*) = nullptr;
  ncclResult_t (*abort)(ncclComm_t) = nullptr;
  ncclResult_t (*count)(ncclComm_t, int*) = nullptr;
  const char* (*error_string)(ncclResult_t) = nullptr;
  const char* (*last_error)(ncclComm_t) = nullptr;

  bool is_complete() const {
    return group_start != nullptr && group_end != nullptr && async_error != nullptr &&
           abort != nullptr && error_string != nullptr;
  }
};

// Of a communicator that does not block, or one that does.
bool went_well(ncclResult_t status) {
  return status == ncclSuccess || status == ncclInProgress;
}

// Before the library reads its environment. The administrator's own words count more.
void set_environment() {
  // Everything is connected when a communicator is made, which is waited for anyway, and not in the
  // middle of somebody's stream.
  ::setenv("NCCL_RUNTIME_CONNECT", "0", 0);
  // Memory of a session is not exported to other processes, and is mapped on its own device.
  ::setenv("NCCL_GRAPH_REGISTER", "0", 0);
  ::setenv("NCCL_P2P_DIRECT_DISABLE", "1", 0);
}

}  // namespace

struct Communicators::State {
  State(const DriverTable& table, std::function<void()> wake_executor)
      : driver(table), wake(std::move(wake_executor)) {}

  const DriverTable& driver;
  const std::function<void()> wake;
  Functions functions;                 // set once, before the first job
  std::vector<Host::Found> found_now;  // the executor's: of the group that is made at once
  uint16_t comm_kind = 0;
  int success = 0;

  std::mutex mutex;
  std::condition_variable changed;
  // All guarded by mutex.
  Objects objects;
  std::unordered_multiset<uint64_t> busy;    // objects of groups that are being made
  std::unordered_multiset<uint64_t> polled;  // communicators that a thread asks about just now
  std::unordered_set<uint64_t> aborting;     // and that nobody may ask about any more
  std::unordered_map<uint64_t, int> told;    // async errors that are known
  // Aborted before they were there: being made, about to be, or still on their way here, because a
  // program's thread may abort what another one is just about to make.
  std::unordered_set<uint64_t> made_in_vain;
  std::vector<WorkRef> running;
  size_t works = 0;  // begun and not done
  KnownComms known;
  bool has_non_blocking = false;
  std::vector<News> news;
  bool watching = false;
  bool stopping = false;

  ncclComm_t find_comm(uint64_t name) {
    const auto found = objects.find(name);
    return found == objects.end() || found->second.kind != comm_kind
               ? nullptr
               : reinterpret_cast<ncclComm_t>(found->second.bits);
  }
  std::string text_of(ncclResult_t status) const {
    std::string text = functions.error_string(status);
    const char* more = functions.last_error == nullptr ? nullptr : functions.last_error(nullptr);
    if (more != nullptr && *more != 0) text += fmt::format(": {}", more);
    if (text.size() > protocol::limits::name_bytes_max) {
      text.resize(protocol::limits::name_bytes_max);
    }
    return text;
  }
  ncclResult_t wait_until_ready(uint64_t name);
  // Those of the objects that are communicators. With the lock.
  std::vector<uint64_t> comms_of(const std::vector<uint64_t>& names) {
    std::vector<uint64_t> comms;
    std::copy_if(names.begin(), names.end(), std::back_inserter(comms),
                 [&](uint64_t name) { return find_comm(name) != nullptr; });
    return comms;
  }
  ncclResult_t wait_until_all_ready(const std::vector<uint64_t>& comms, const char* first,
                                    std::string* what);
  // After a group: which communicators there are; `taken`: of its first calls. With the lock.
  void note_comms(const Request& request, const std::vector<std::unique_ptr<Arguments>>& taken) {
    const auto context_of = [&](uint64_t name) {
      for (size_t i = 0; i < taken.size(); ++i) {
        if (taken[i]->makes(name)) return request.calls[i].context;
      }
      return request.calls.front().context;
    };
    for (const uint64_t name : request.objects) {
      const ncclComm_t comm = find_comm(name);
      if (comm == nullptr) {
        known.forget(name);
      } else if (!known.contains(name)) {
        int ranks = 0;
        if (functions.count != nullptr && functions.count(comm, &ranks) != ncclSuccess) ranks = 0;
        known.add(name, context_of(name), ranks);
      }
    }
  }
};

void Communicators::Work::finish(Outcome outcome) {
  const std::scoped_lock lock(mutex_);
  if (done_.load(std::memory_order_relaxed)) return;
  outcome_ = std::move(outcome);
  done_.store(true, std::memory_order_release);
}

// A communicator that does not block is asked until it is there, or is aborted.
ncclResult_t Communicators::State::wait_until_ready(uint64_t name) {
  std::unique_lock lock(mutex);
  for (;;) {
    const ncclComm_t comm = find_comm(name);
    if (comm == nullptr || aborting.contains(name) || stopping) return ncclInternalError;
    const auto mark = polled.insert(name);
    lock.unlock();
    ncclResult_t state = ncclInternalError;
    const ncclResult_t asked = functions.async_error(comm, &state);
    lock.lock();
    polled.erase(mark);
    if (aborting.contains(name)) changed.notify_all();  // the abort waits until nobody asks
    if (asked != ncclSuccess) state = asked;
    if (state != ncclInProgress) {
      changed.notify_all();
      return state;
    }
    changed.wait_for(lock, kPollInterval);
  }
}

// Of a group whose first call is `first`.
ncclResult_t Communicators::State::wait_until_all_ready(const std::vector<uint64_t>& comms,
                                                        const char* first, std::string* what) {
  ncclResult_t status = ncclSuccess;
  for (const uint64_t name : comms) {
    const ncclResult_t now = wait_until_ready(name);
    if (now == ncclSuccess) continue;
    status = now;
    *what = fmt::format("{} failed: {}", first, text_of(now));
  }
  return status;
}

Communicators::Communicators(const DriverTable& driver, Host& host, bool at_once,
                             std::function<void()> wake)
    : host_(host), at_once_(at_once), state_(std::make_shared<State>(driver, std::move(wake))) {
  set_environment();
}

Communicators::~Communicators() {
  const std::scoped_lock lock(state_->mutex);
  state_->stopping = true;
  state_->changed.notify_all();
}

Communicators::WorkRef Communicators::begin(Request request, std::string* fault) {
  auto work = std::make_shared<Work>();
  for (const Call& call : request.calls) {
    Host::Found found;
    if (!host_.find(request.library << 16 | call.function, &found, fault)) return nullptr;
    if (!found.library->is_grouped) {
      *fault = fmt::format("{} in a group", found.function->name);
      return nullptr;
    }
    work->functions_.push_back(found);
  }
  if (request.calls.empty()) {
    *fault = "a group without calls";
    return nullptr;
  }
  for (Call& call : request.calls) {
    const size_t at = request.data.size();
    request.data.insert(request.data.end(), call.arguments.begin(), call.arguments.end());
    call.arguments = {reinterpret_cast<const std::byte*>(at), call.arguments.size()};
  }
  for (Call& call : request.calls) {
    const auto at = reinterpret_cast<size_t>(call.arguments.data());
    call.arguments = std::span(request.data).subspan(at, call.arguments.size());
  }
  State& state = *state_;
  if (state.functions.async_error == nullptr) {
    const auto look = [&](auto* to, const char* name) {
      *to = reinterpret_cast<std::remove_pointer_t<decltype(to)>>(
          host_.symbol(request.library, name));
    };
    Functions functions;
    look(&functions.group_start, "ncclGroupStart");
    look(&functions.group_end, "ncclGroupEnd");
    look(&functions.group_simulate_end, "ncclGroupSimulateEnd");
    look(&functions.async_error, "ncclCommGetAsyncError");
    look(&functions.abort, "ncclCommAbort");
    look(&functions.count, "ncclCommCount");
    look(&functions.error_string, "ncclGetErrorString");
    look(&functions.last_error, "ncclGetLastError");
    if (!functions.is_complete()) {
      Outcome outcome;
      outcome.status = kNoSuchCall;
      outcome.what = "the server's NCCL has no groups of calls";
      work->finish(std::move(outcome));
      return work;
    }
    state.functions = functions;
    state.comm_kind = static_cast<uint16_t>(request.library << 8 | 1);
    state.success = work->functions_.front().library->success;
  }
  work->request_ = std::move(request);
  ++counters_.begun;
  {
    const std::scoped_lock lock(state.mutex);
    ++state.works;
  }
  queue_.submit({.names = work->request_.objects,
                 .run = [state = state_, work] { run(state, work); },
                 .dropped = [state = state_, work] { finish_in_vain(state, work); }});
  return work;
}

Communicators::Now Communicators::make_now(const Request& request, const Names& names,
                                           Outcome* outcome, WorkRef* rest) {
  State& state = *state_;
  const Functions& library = state.functions;
  if (!at_once_ || library.async_error == nullptr || (request.flags & kGroupSimulate) != 0) {
    return Now::kNo;
  }
  std::unique_lock lock(state.mutex);
  if (state.works != 0 || !state.known.has_one_device() || state.has_non_blocking ||
      !state.aborting.empty()) {
    return Now::kNo;
  }
  for (const uint64_t name : request.objects) {
    if (!state.objects.contains(name)) return Now::kNo;
  }
  bool is_connected = false;
  std::vector<Host::Found>& functions = state.found_now;
  functions.clear();
  if (request.calls.size() > kCallsAtOnceMax) return Now::kNo;
  std::string fault;
  for (const Call& call : request.calls) {
    Host::Found& found = functions.emplace_back();
    if (!host_.find(request.library << 16 | call.function, &found, &fault) ||
        found.address == nullptr || !state.known.is_prompt(*found.function, call.arguments)) {
      return Now::kNo;
    }
    is_connected |= found.function->prompt == Prompt::kConnected;
  }
  ++counters_.made_now;
  if (is_connected) ++counters_.connected_now;
  const bool together = (request.flags & kGroupTogether) != 0;
  ncclResult_t status = ncclSuccess;
  if (together) {
    lock.unlock();
    status = library.group_start();
  }
  for (size_t i = 0; i < request.calls.size() && went_well(status); ++i) {
    if (!lock.owns_lock()) lock.lock();
    Arguments arguments(request.calls[i].arguments, state.objects, names,
                        protocol::limits::cudax_bytes_max, &lock);
    status =
        static_cast<ncclResult_t>(functions[i].function->thunk(functions[i].address, arguments));
    if (lock.owns_lock()) lock.unlock();
    if (!arguments.fault().empty()) {
      outcome->fault = fmt::format("{}: {}", functions[i].function->name, arguments.fault());
      status = ncclInvalidArgument;
    } else if (arguments.has_stale_object()) {
      outcome->what = fmt::format("{}: one of its objects is no more", functions[i].function->name);
      status = ncclInvalidArgument;
    } else if (!went_well(status)) {
      outcome->what =
          fmt::format("{} failed: {}", functions[i].function->name, state.text_of(status));
    }
  }
  if (together) {
    const ncclResult_t ended = library.group_end();
    if (went_well(status) && ended != ncclSuccess) status = ended;
    if (!went_well(ended) && outcome->what.empty()) {
      outcome->what =
          fmt::format("a group of {} calls, the first {}, failed: {}", request.calls.size(),
                      functions[0].function->name, state.text_of(ended));
    }
  }
  if (status == ncclInProgress) {
    // A communicator that does not block was there at once, when it was made. How long this takes
    // is for other ranks to say. From now on it has threads.
    *rest = wait_for_rest(request, functions[0].function->name);
    return Now::kGoesOn;
  }
  outcome->status = status;
  outcome->succeeded = status == ncclSuccess;
  if (!outcome->succeeded) spdlog::info("{}", outcome->what);
  return Now::kDone;
}

// What begins next for its objects comes behind it.
Communicators::WorkRef Communicators::wait_for_rest(const Request& request, const char* first) {
  auto work = std::make_shared<Work>();
  work->request_.objects = request.objects;
  std::vector<uint64_t> comms;
  {
    const std::scoped_lock lock(state_->mutex);
    comms = state_->comms_of(request.objects);
    state_->has_non_blocking = true;
    ++state_->works;
    state_->busy.insert(request.objects.begin(), request.objects.end());
  }
  const auto end_busy = [](State& state, const Work& done) {
    const std::scoped_lock lock(state.mutex);
    for (const uint64_t name : done.objects()) state.busy.erase(state.busy.find(name));
  };
  queue_.submit({.names = request.objects,
                 .run =
                     [state = state_, work, comms, first, end_busy] {
                       Outcome outcome;
                       outcome.status = state->wait_until_all_ready(comms, first, &outcome.what);
                       outcome.succeeded = outcome.status == ncclSuccess;
                       if (!outcome.succeeded) spdlog::info("{}", outcome.what);
                       end_busy(*state, *work);
                       {
                         const std::scoped_lock lock(state->mutex);
                         --state->works;
                       }
                       work->finish(std::move(outcome));
                       state->wake();
                     },
                 .dropped =
                     [state = state_, work, end_busy] {
                       end_busy(*state, *work);
                       finish_in_vain(state, work);
                     }});
  return work;
}

void Communicators::finish_in_vain(const std::shared_ptr<State>& state, const WorkRef& work) {
  {
    const std::scoped_lock lock(state->mutex);
    --state->works;
  }
  Outcome outcome;
  outcome.status = ncclInternalError;
  outcome.what = "its communicator was aborted before";
  work->finish(std::move(outcome));
  state->wake();
}

// On a thread of the queue's.
void Communicators::run(const std::shared_ptr<State>& state, const WorkRef& work) {
  const Request& request = work->request_;
  const Functions& library = state->functions;
  std::unique_lock lock(state->mutex);
  if (std::any_of(request.objects.begin(), request.objects.end(),
                  [&](uint64_t name) { return state->made_in_vain.contains(name); })) {
    lock.unlock();
    finish_in_vain(state, work);
    return;
  }
  state->busy.insert(request.objects.begin(), request.objects.end());
  state->running.push_back(work);
  lock.unlock();
  const Names names = names_of(request);
  Outcome outcome;
  std::vector<std::unique_ptr<Arguments>> taken;
  const bool together = (request.flags & kGroupTogether) != 0;
  ncclResult_t status = together ? library.group_start() : ncclSuccess;
  bool is_ready = true;
  for (size_t i = 0; i < request.calls.size() && went_well(status); ++i) {
    const Call& call = request.calls[i];
    const Host::Found& found = work->functions_[i];
    if (found.address == nullptr) {
      outcome.what = fmt::format("the server's NCCL has no {}", found.function->name);
      outcome.status = kNoSuchCall;
      status = ncclInvalidUsage;
      break;
    }
    if (call.context != nullptr) state->driver.cuCtxSetCurrent(call.context);
    lock.lock();
    taken.push_back(std::make_unique<Arguments>(call.arguments, state->objects, names,
                                                protocol::limits::cudax_bytes_max, &lock));
    Arguments& arguments = *taken.back();
    const auto said = static_cast<ncclResult_t>(found.function->thunk(found.address, arguments));
    if (lock.owns_lock()) lock.unlock();
    if (!arguments.fault().empty()) {
      outcome.fault = fmt::format("{}: {}", found.function->name, arguments.fault());
      status = ncclInvalidArgument;
    } else if (arguments.has_stale_object()) {
      outcome.what =
          fmt::format("{}: one of its objects was never made, or is no more", found.function->name);
      status = ncclInvalidArgument;
    } else {
      if (!went_well(said)) {
        outcome.what = fmt::format("{} failed: {}", found.function->name, state->text_of(said));
      }
      if (said == ncclInProgress) is_ready = false;
      status = said;
    }
  }
  float estimated = 0;
  if (together) {
    ncclResult_t ended = ncclSuccess;
    if ((request.flags & kGroupSimulate) != 0 && library.group_simulate_end != nullptr) {
      ncclSimInfo_t info = NCCL_SIM_INFO_INITIALIZER;
      ended = library.group_simulate_end(&info);
      estimated = info.estimatedTime;
    } else {
      ended = library.group_end();
    }
    if (ended == ncclInProgress) is_ready = false;
    if (went_well(status)) {
      status = ended;
      if (!went_well(ended)) {
        outcome.what =
            fmt::format("a group of {} calls, the first {}, failed: {}", request.calls.size(),
                        work->functions_.front().function->name, state->text_of(ended));
      }
    }
  }
  lock.lock();
  for (const auto& arguments : taken) arguments->settle(went_well(status));
  // A rank that is in no part of a split gets no communicator.
  for (const uint64_t name : request.objects) {
    const auto found = state->objects.find(name);
    if (found != state->objects.end() && found->second.bits == 0) state->objects.erase(found);
  }
  const std::vector<uint64_t> comms = state->comms_of(request.objects);
  lock.unlock();
  if (went_well(status) && !is_ready) {
    status =
        state->wait_until_all_ready(comms, work->functions_.front().function->name, &outcome.what);
  }
  if (outcome.status != kNoSuchCall) outcome.status = status;
  outcome.succeeded = status == ncclSuccess;
  if (!outcome.succeeded) spdlog::info("{}", outcome.what);
  for (const auto& arguments : taken) {
    const std::vector<std::byte> results = arguments->results();
    outcome.results.insert(outcome.results.end(), results.begin(), results.end());
  }
  if ((request.flags & kGroupSimulate) != 0) {
    outcome.results.resize(sizeof(uint64_t));
    std::memcpy(outcome.results.data(), &estimated, sizeof estimated);
  }

  // What was abandoned meanwhile nobody knows: it goes at once.
  std::vector<ncclComm_t> unwanted;
  lock.lock();
  std::erase(state->running, work);
  for (const uint64_t name : request.objects) {
    state->busy.erase(state->busy.find(name));
    if (!state->objects.contains(name)) state->told.erase(name);
    if (state->made_in_vain.erase(name) == 0) continue;
    if (const ncclComm_t comm = state->find_comm(name)) unwanted.push_back(comm);
    state->objects.erase(name);
  }
  --state->works;
  state->has_non_blocking |= !is_ready;
  state->note_comms(request, taken);
  // An estimate makes nothing.
  for (size_t i = 0;
       outcome.succeeded && (request.flags & kGroupSimulate) == 0 && i < request.calls.size();
       ++i) {
    state->known.note_call(*work->functions_[i].function, request.calls[i].arguments);
  }
  const bool has_comms =
      std::any_of(state->objects.begin(), state->objects.end(),
                  [&](auto& known) { return known.second.kind == state->comm_kind; });
  const bool starts_watch = has_comms && !state->watching && !state->stopping;
  if (starts_watch) state->watching = true;
  lock.unlock();
  for (const ncclComm_t comm : unwanted) library.abort(comm);
  if (starts_watch) std::thread([state] { watch(state); }).detach();
  work->finish(std::move(outcome));
  state->wake();
}

// Its own thread, for as long as there are communicators.
void Communicators::watch(const std::shared_ptr<State>& state) {
  std::unique_lock lock(state->mutex);
  while (!state->stopping) {
    bool any = false;
    bool news = false;
    for (const auto& [name, object] : state->objects) {
      if (object.kind != state->comm_kind) continue;
      any = true;
      // Whoever works with it finds out by itself; and it may be on its way out.
      if (state->busy.contains(name) || state->aborting.contains(name)) continue;
      ncclResult_t error = ncclSuccess;
      // With the lock: nobody may end it meanwhile. It is a look, and waits for nothing.
      const auto comm = reinterpret_cast<ncclComm_t>(object.bits);
      if (state->functions.async_error(comm, &error) != ncclSuccess || error == ncclSuccess ||
          error == ncclInProgress) {
        continue;
      }
      int& told = state->told[name];
      if (told == error) continue;
      told = error;
      state->news.push_back(
          {name, error, fmt::format("a communicator failed: {}", state->text_of(error))});
      news = true;
    }
    if (!any) break;
    if (news) {
      lock.unlock();
      state->wake();
      lock.lock();
    }
    state->changed.wait_for(lock, kWatchInterval);
  }
  state->watching = false;
}

Communicators::WorkRef Communicators::abort(uint32_t library, uint32_t function, uint64_t object,
                                            std::string* fault) {
  Host::Found found;
  if (!host_.find(library << 16 | function, &found, fault)) return nullptr;
  if (!found.library->is_grouped) {
    *fault = fmt::format("an abort of {}", found.library->title);
    return nullptr;
  }
  auto work = std::make_shared<Work>();
  const std::shared_ptr<State>& state = state_;
  std::unique_lock lock(state->mutex);
  const ncclComm_t comm = state->find_comm(object);
  if (comm == nullptr || found.address == nullptr) {
    // It is being made: other ranks are missing, and there is nothing yet that could be aborted. Or
    // it is going to be.
    if (state->made_in_vain.size() >= kAbortedInVainMax) {
      *fault = fmt::format("more than {} aborts of what is not there", kAbortedInVainMax);
      return nullptr;
    }
    state->made_in_vain.insert(object);
    for (const WorkRef& running : state->running) {
      const auto& objects = running->objects();
      if (std::find(objects.begin(), objects.end(), object) == objects.end()) continue;
      Outcome left;
      left.status = ncclInternalError;
      left.what = "its communicator was aborted while other ranks were missing";
      running->finish(std::move(left));
    }
    lock.unlock();
    queue_.drop(object);
    Outcome outcome;
    outcome.succeeded = true;
    work->finish(std::move(outcome));
    return work;
  }
  state->aborting.insert(object);
  // What comes behind a call that the abort ends must not find a communicator on its way out.
  state->objects.erase(object);
  state->known.forget(object);
  state->changed.notify_all();
  lock.unlock();
  // Not in the queue, where it would wait for what it is to end.
  std::thread([state, work, comm, object,
               abort = reinterpret_cast<ncclResult_t (*)(ncclComm_t)>(found.address)] {
    std::unique_lock waiting(state->mutex);
    state->changed.wait(waiting, [&] { return !state->polled.contains(object); });
    waiting.unlock();
    const ncclResult_t status = abort(comm);
    waiting.lock();
    state->aborting.erase(object);
    state->told.erase(object);
    waiting.unlock();
    Outcome outcome;
    outcome.status = status;
    outcome.succeeded = status == ncclSuccess;
    if (!outcome.succeeded) {
      outcome.what = fmt::format("ncclCommAbort failed: {}", state->text_of(status));
    }
    work->finish(std::move(outcome));
    state->wake();
  }).detach();
  return work;
}

std::vector<Communicators::News> Communicators::take_news() {
  const std::scoped_lock lock(state_->mutex);
  return std::exchange(state_->news, {});
}

}  // namespace farlane::server::cudax
