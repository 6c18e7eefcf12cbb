// NCCL in a worker: groups of calls, made on threads of their own, because they may wait for other
// ranks for as long as those like.
//
// A group is one unit of one thread, as NCCL's own group state is. Groups that have an object in
// common are made in the order they were given. An abort passes everything. What becomes of
// communicators without anybody asking is gathered as news.
//
// The executor's thread calls everything here.
#pragma once

#include <cuda.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "generated/server/driver_table.h"
#include "server/cudax/host.h"
#include "server/cudax/job_queue.h"

namespace farlane::server::cudax {

// Flags of cudax_group.
inline constexpr uint32_t kGroupTogether = 1;  // between ncclGroupStart and ncclGroupEnd
inline constexpr uint32_t kGroupSimulate = 2;  // ended with ncclGroupSimulateEnd
inline constexpr uint32_t kGroupTell = 4;      // success is told, too

class Communicators {
 public:
  // A call of a group.
  struct Call {
    uint32_t function = 0;
    CUcontext context = nullptr;  // that it is made in
    std::span<const std::byte> arguments;
  };
  struct Request {
    uint32_t library = 0;
    uint32_t flags = 0;
    std::vector<std::pair<uint64_t, CUstream>> streams;  // by name
    std::vector<uint64_t> objects;                       // that the calls are ordered by
    std::vector<Call> calls;
    std::vector<std::byte> data;  // copies of their arguments
  };
  // A group or an abort under way.
  class Work {
   public:
    bool is_done() const { return done_.load(std::memory_order_acquire); }
    // When it is done.
    const Outcome& outcome() const { return outcome_; }
    const std::vector<uint64_t>& objects() const { return request_.objects; }

   private:
    friend class Communicators;
    void finish(Outcome outcome);

    Request request_;
    std::vector<Host::Found> functions_;
    std::mutex mutex_;
    std::atomic<bool> done_ = false;
    Outcome outcome_;  // written once, before done_
  };
  using WorkRef = std::shared_ptr<Work>;

  // `wake` is called on any thread when a Work is done or there is news. `at_once`: make_now() may.
  Communicators(const DriverTable& driver, Host& host, bool at_once, std::function<void()> wake);
  ~Communicators();
  Communicators(const Communicators&) = delete;

  // What became of make_now().
  enum class Now : uint8_t {
    kNo,      // begin() it
    kDone,    // with its outcome
    kGoesOn,  // a communicator does not block, and *rest is done when the group is
  };
  // Makes a group here and now, where nothing in it waits for other ranks: calls that are only put
  // into their streams (Prompt), with communicators that are there, of one device. Ranks on several
  // devices of a session wait for each other in the driver, so those have threads. The contexts of
  // `calls` must be the calling thread's.
  Now make_now(const Request& request, const Names& names, Outcome* outcome, WorkRef* rest);
  // Copies what `request` refers to. Null with *fault set: the peer broke the protocol.
  WorkRef begin(Request request, std::string* fault);
  // Ends a communicator with `function` of the library. One that is still being made, with other
  // ranks missing, is left to itself, and whoever waits for it is told.
  WorkRef abort(uint32_t library, uint32_t function, uint64_t object, std::string* fault);

  struct News {
    uint64_t object = 0;
    int status = 0;
    std::string what;
  };
  struct Counters {
    uint64_t made_now = 0;
    uint64_t connected_now =
        0;  // of those: with sends and receives over connections of earlier ones
    uint64_t begun = 0;
  };
  const Counters& counters() const { return counters_; }
  // Communicators whose peers failed, since the last call.
  std::vector<News> take_news();

 private:
  struct State;
  static void run(const std::shared_ptr<State>& state, const WorkRef& work);
  WorkRef wait_for_rest(const Request& request, const char* first);
  static void finish_in_vain(const std::shared_ptr<State>& state, const WorkRef& work);
  static void watch(const std::shared_ptr<State>& state);

  Host& host_;
  const bool at_once_;
  Counters counters_;
  const std::shared_ptr<State> state_;
  JobQueue queue_;
};

}  // namespace farlane::server::cudax
