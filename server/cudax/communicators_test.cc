#include "server/cudax/communicators.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <nccl.h>

#include <chrono>
#include <cstring>
#include <thread>

#include "server/cudax/test_nccl.h"
#include "server/fake_driver.h"

namespace farlane::server::cudax {
namespace {

constexpr uint32_t kLibrary = 8;
// Numbers of functions in protocol/api/nccl.api.
constexpr uint32_t kInit = 2;
constexpr uint32_t kAbort = 6;
constexpr uint32_t kRegister = 12;
constexpr uint32_t kAllReduce = 23;
constexpr uint32_t kAlltoAll = 26;
constexpr uint32_t kSend = 29;
constexpr uint32_t kRecv = 30;
constexpr uint64_t kStream = 77;

TestNccl& library() {
  void* const handle = ::dlopen(TEST_NCCL_FOLDER "/libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
  void* const at = handle == nullptr ? nullptr : ::dlsym(handle, "test_nccl");
  if (at == nullptr) std::abort();
  return *static_cast<TestNccl*>(at);
}

void wait_for(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    std::this_thread::yield();
  }
}

class CommunicatorsTest : public ::testing::Test {
 protected:
  explicit CommunicatorsTest(bool at_once = true) : communicators_(driver_, host_, at_once, [] {}) {
    TestNccl& test = library();
    test.made = 0;
    test.collectives = 0;
    test.ranks_missing = false;
    test.aborted = false;
    test.abort_held = false;
    test.looks_in_progress = 0;
    test.look_held = false;
    test.looks = 0;
    test.peers_missing = false;
    test.connections = 0;
    test.exchanges = 0;
    test.ranks = 2;
    EXPECT_NE(host_.open(kLibrary).major, 0u) << host_.open(kLibrary).text;
  }

  static void word(std::vector<std::byte>* to, uint64_t value) {
    const auto* bytes = reinterpret_cast<const std::byte*>(&value);
    to->insert(to->end(), bytes, bytes + sizeof value);
  }
  static CUcontext context(uintptr_t device) { return reinterpret_cast<CUcontext>(0x100 + device); }
  Communicators::Request request(uint32_t function, uint64_t comm, uintptr_t device) {
    Communicators::Request made;
    made.library = kLibrary;
    made.objects = {comm};
    made.calls = {{.function = function, .context = context(device), .arguments = arguments_}};
    return made;
  }
  Communicators::Request all_reduce(uint64_t comm, uintptr_t device = 0) {
    return words(kAllReduce, {0x1000, 0x2000, 256, ncclFloat, ncclSum, comm, kStream}, comm,
                 device);
  }
  // A group of one call, whose arguments stay as long as that of no other call.
  Communicators::Request words(uint32_t function, std::vector<uint64_t> values, uint64_t comm,
                               uintptr_t device = 0) {
    arguments_.clear();
    for (const uint64_t value : values) word(&arguments_, value);
    Communicators::Request made = request(function, comm, device);
    made.streams = {{kStream, nullptr}};
    return made;
  }
  // To or from a peer, of so many elements.
  Communicators::Request exchange(uint32_t function, uint64_t peer, uint64_t comm = 1,
                                  uint64_t count = 256) {
    return words(function, {0x1000, count, ncclFloat, peer, comm, kStream}, comm);
  }
  Communicators::Request all_to_all(uint64_t comm, uint64_t count = 256) {
    return words(kAlltoAll, {0x1000, 0x2000, count, ncclFloat, comm, kStream}, comm);
  }
  void make_by_thread(Communicators::Request request) {
    const Communicators::WorkRef work = begin(std::move(request));
    wait_for([&] { return work->is_done(); });
    EXPECT_TRUE(work->outcome().succeeded) << work->outcome().what << work->outcome().fault;
  }
  static std::vector<std::byte> init_arguments(uint64_t comm) {
    std::vector<std::byte> made;
    word(&made, comm);
    word(&made, 1);
    made.resize(made.size() + sizeof(ncclUniqueId));
    word(&made, 0);
    word(&made, kNull);
    return made;
  }
  Communicators::WorkRef begin_init(uint64_t comm, uintptr_t device = 0) {
    arguments_ = init_arguments(comm);
    return begin(request(kInit, comm, device));
  }
  void init(uint64_t comm, uintptr_t device = 0) {
    const Communicators::WorkRef work = begin_init(comm, device);
    wait_for([&] { return work->is_done(); });
    EXPECT_TRUE(work->outcome().succeeded) << work->outcome().what << work->outcome().fault;
  }
  Communicators::WorkRef begin(Communicators::Request request) {
    std::string fault;
    Communicators::WorkRef work = communicators_.begin(std::move(request), &fault);
    EXPECT_NE(work, nullptr) << fault;
    return work;
  }
  bool make_now(const Communicators::Request& request) {
    Outcome outcome;
    const auto now = communicators_.make_now(request, host_.names(), &outcome, &rest_);
    EXPECT_EQ(now == Communicators::Now::kDone, outcome.succeeded) << outcome.what << outcome.fault;
    return now != Communicators::Now::kNo;
  }

  const DriverTable driver_ = fake_driver();
  Host host_{TEST_NCCL_FOLDER,
             {[](uint64_t name, CUstream*) { return name == kStream; },
              [](uint64_t, CUevent*) { return false; }}};
  std::vector<std::byte> arguments_;
  Communicators::WorkRef rest_;  // of what make_now() began
  Communicators communicators_;
};

TEST_F(CommunicatorsTest, ACollectiveIsPutIntoItsStreamOnTheSpot) {
  init(1);
  EXPECT_TRUE(make_now(all_reduce(1)));
  EXPECT_EQ(library().collective_thread.load(), std::this_thread::get_id());
  EXPECT_FALSE(make_now(all_reduce(2))) << "a communicator that is not there, or not yet";
  EXPECT_EQ(library().collectives, 1);
  EXPECT_EQ(communicators_.counters().made_now, 1u);
  EXPECT_EQ(communicators_.counters().begun, 1u);
}

// They wait for each other in the driver when both are this session's.
TEST_F(CommunicatorsTest, CommunicatorsOfTwoDevicesHaveThreads) {
  init(1, 0);
  init(2, 1);
  EXPECT_FALSE(make_now(all_reduce(1, 0)));
  const Communicators::WorkRef work = begin(all_reduce(1, 0));
  wait_for([&] { return work->is_done(); });
  EXPECT_TRUE(work->outcome().succeeded);
  EXPECT_NE(library().collective_thread.load(), std::this_thread::get_id());
}

// Also when one group has made them.
TEST_F(CommunicatorsTest, CommunicatorsMadeTogetherOnTwoDevicesHaveThreads) {
  std::vector<std::byte> first = init_arguments(1);
  arguments_ = init_arguments(2);
  Communicators::Request both = request(kInit, 2, 1);
  both.flags = kGroupTogether;
  both.objects.push_back(1);
  both.calls.push_back({.function = kInit, .context = context(0), .arguments = first});
  make_by_thread(both);
  EXPECT_EQ(library().made, 2);
  EXPECT_FALSE(make_now(all_reduce(1, 0)));
  EXPECT_FALSE(make_now(all_reduce(2, 1)));
}

// A communicator that does not block may be there as soon as it is made, as one that does.
TEST_F(CommunicatorsTest, ACollectiveInProgressIsNoError) {
  init(1);
  library().looks_in_progress = 1000;
  EXPECT_TRUE(make_now(all_reduce(1)));
  ASSERT_NE(rest_, nullptr);
  EXPECT_FALSE(make_now(all_reduce(1))) << "from then on it has threads";
  const Communicators::WorkRef next = begin(all_reduce(1));
  wait_for([&] { return rest_->is_done() && next->is_done(); });
  EXPECT_EQ(library().looks_in_progress, 0);
  EXPECT_TRUE(rest_->outcome().succeeded) << rest_->outcome().what;
  EXPECT_TRUE(next->outcome().succeeded) << next->outcome().what;
}

// Other ranks say how long that takes; whoever made the collective waits for none of them.
TEST_F(CommunicatorsTest, ACollectiveThatStaysInProgressHoldsUpNobodyAndCanBeAborted) {
  init(1);
  library().looks_in_progress = 1'000'000'000;
  EXPECT_TRUE(make_now(all_reduce(1)));
  ASSERT_NE(rest_, nullptr);
  const Communicators::WorkRef next = begin(all_reduce(1));
  wait_for([&] { return library().looks > 100; });
  EXPECT_FALSE(rest_->is_done());
  EXPECT_FALSE(next->is_done());
  EXPECT_EQ(library().collectives, 1) << "nothing is called with what is in progress";
  std::string fault;
  const Communicators::WorkRef abort = communicators_.abort(kLibrary, kAbort, 1, &fault);
  ASSERT_NE(abort, nullptr) << fault;
  wait_for([&] { return abort->is_done() && rest_->is_done() && next->is_done(); });
  EXPECT_FALSE(rest_->outcome().succeeded);
  EXPECT_FALSE(next->outcome().succeeded);
}

TEST_F(CommunicatorsTest, NothingIsPutBeforeWhatStillWaits) {
  init(1);
  library().ranks_missing = true;
  const Communicators::WorkRef waiting = begin(all_reduce(1));
  wait_for([&] { return library().collectives == 1; });
  EXPECT_FALSE(make_now(all_reduce(1)));
  library().ranks_missing = false;
  wait_for([&] { return waiting->is_done(); });
  EXPECT_TRUE(make_now(all_reduce(1)));
}

// What waited behind the call that an abort ended must not be made with a communicator that is
// being taken apart.
TEST_F(CommunicatorsTest, NothingIsCalledWithACommunicatorThatIsBeingAborted) {
  init(1);
  TestNccl& test = library();
  test.ranks_missing = true;
  test.abort_held = true;
  const Communicators::WorkRef first = begin(all_reduce(1));
  const Communicators::WorkRef second = begin(all_reduce(1));
  wait_for([&] { return test.collectives == 1; });
  std::string fault;
  const Communicators::WorkRef abort = communicators_.abort(kLibrary, kAbort, 1, &fault);
  ASSERT_NE(abort, nullptr) << fault;
  wait_for([&] { return first->is_done() && second->is_done(); });
  EXPECT_FALSE(abort->is_done());
  EXPECT_EQ(test.collectives, 1);
  EXPECT_FALSE(second->outcome().succeeded);
  EXPECT_TRUE(second->outcome().fault.empty()) << second->outcome().fault;
  EXPECT_FALSE(make_now(all_reduce(1)));
  test.abort_held = false;
  wait_for([&] { return abort->is_done(); });
  EXPECT_TRUE(abort->outcome().succeeded);
}

// A thread of the program aborts what another one is about to make; the abort is here first.
TEST_F(CommunicatorsTest, WhatIsAbortedBeforeItIsMadeIsNeverMade) {
  std::string fault;
  const Communicators::WorkRef abort = communicators_.abort(kLibrary, kAbort, 1, &fault);
  ASSERT_NE(abort, nullptr) << fault;
  wait_for([&] { return abort->is_done(); });
  for (const Communicators::WorkRef& late : {begin_init(1), begin(all_reduce(1))}) {
    wait_for([&] { return late->is_done(); });
    EXPECT_EQ(late->outcome().status, ncclInternalError);
    EXPECT_FALSE(late->outcome().succeeded);
  }
  EXPECT_EQ(library().made, 0);
  init(2);
  EXPECT_TRUE(make_now(all_reduce(2)));
}

// The abort begins while somebody asks whether the communicator is there, and waits for that.
TEST_F(CommunicatorsTest, AnAbortThatMeetsAQuestionGoesOnBehindIt) {
  TestNccl& test = library();
  for (uint64_t comm = 1; comm <= 20; ++comm) {
    test.aborted = false;
    test.looks = 0;
    test.looks_in_progress = 1'000'000'000;
    test.look_held = true;
    const Communicators::WorkRef making = begin_init(comm);
    wait_for([&] { return test.looks != 0; });
    std::string fault;
    const Communicators::WorkRef abort = communicators_.abort(kLibrary, kAbort, comm, &fault);
    ASSERT_NE(abort, nullptr) << fault;
    // Long enough, mostly, for the abort's thread to come to its wait.
    for (int i = 0; i < 3; ++i) std::thread([] {}).join();
    EXPECT_FALSE(test.aborted);
    test.look_held = false;
    wait_for([&] { return abort->is_done() && making->is_done(); });
    ASSERT_TRUE(test.aborted);
    EXPECT_FALSE(making->outcome().succeeded);
  }
}

// A peer is waited for at its first use in a direction, by whatever size; then never again.
TEST_F(CommunicatorsTest, AnExchangeIsMadeOnTheSpotOnceItsPeerIsConnected) {
  init(1);
  init(2);
  EXPECT_FALSE(make_now(exchange(kSend, 1)));
  make_by_thread(exchange(kSend, 1, 1, 4));
  EXPECT_NE(library().exchange_thread.load(), std::this_thread::get_id());
  EXPECT_TRUE(make_now(exchange(kSend, 1, 1, size_t{1} << 30)));
  EXPECT_EQ(library().exchange_thread.load(), std::this_thread::get_id());
  EXPECT_EQ(library().connections, 1);
  EXPECT_EQ(communicators_.counters().connected_now, 1u);
  EXPECT_FALSE(make_now(exchange(kRecv, 1))) << "the other direction";
  EXPECT_FALSE(make_now(exchange(kSend, 0))) << "another peer";
  EXPECT_FALSE(make_now(exchange(kSend, 1, 2))) << "another communicator";
  EXPECT_FALSE(make_now(all_to_all(1))) << "all peers in both directions";
  make_by_thread(all_to_all(1));
  EXPECT_TRUE(make_now(all_to_all(1)));
  EXPECT_EQ(library().connections, 4);
  EXPECT_TRUE(make_now(all_reduce(1)));
  EXPECT_EQ(communicators_.counters().made_now, 3u);
  EXPECT_EQ(communicators_.counters().connected_now, 2u);
}

TEST_F(CommunicatorsTest, AGroupIsMadeOnTheSpotWhenAllItsPeersAreConnected) {
  init(1);
  make_by_thread(exchange(kSend, 1));
  const std::vector<std::byte> send = arguments_;
  Communicators::Request both = exchange(kRecv, 1);
  both.flags = kGroupTogether;
  both.calls.push_back({.function = kSend, .context = context(0), .arguments = send});
  EXPECT_FALSE(make_now(both));
  make_by_thread(both);
  EXPECT_TRUE(make_now(both));
  EXPECT_EQ(library().connections, 2);
  EXPECT_EQ(library().exchanges, 5);
}

// What connects nothing: a group that is only estimated, one that failed, an exchange of nothing.
TEST_F(CommunicatorsTest, OnlyWhatWasMadeIsConnected) {
  init(1);
  Communicators::Request estimated = exchange(kSend, 1);
  estimated.flags = kGroupTogether | kGroupSimulate;
  make_by_thread(estimated);
  EXPECT_FALSE(make_now(exchange(kSend, 1)));
  make_by_thread(all_to_all(1, 0));
  EXPECT_EQ(library().connections, 0);
  EXPECT_FALSE(make_now(all_to_all(1)));
  library().aborted = true;
  const Communicators::WorkRef failed = begin(exchange(kSend, 1));
  wait_for([&] { return failed->is_done(); });
  EXPECT_FALSE(failed->outcome().succeeded);
  EXPECT_FALSE(make_now(exchange(kSend, 1)));
}

TEST_F(CommunicatorsTest, AnExchangeThatLacksItsPeerHoldsUpNobodyAndCanBeAborted) {
  init(1);
  make_by_thread(exchange(kSend, 1));
  library().peers_missing = true;
  EXPECT_TRUE(make_now(exchange(kSend, 1))) << "its connection is there";
  const Communicators::WorkRef waiting = begin(exchange(kRecv, 1));
  wait_for([&] { return library().connections == 2; });
  EXPECT_FALSE(make_now(exchange(kSend, 1))) << "behind what waits";
  EXPECT_FALSE(waiting->is_done());
  std::string fault;
  const Communicators::WorkRef abort = communicators_.abort(kLibrary, kAbort, 1, &fault);
  ASSERT_NE(abort, nullptr) << fault;
  wait_for([&] { return abort->is_done() && waiting->is_done(); });
  EXPECT_FALSE(waiting->outcome().succeeded);
  EXPECT_FALSE(make_now(exchange(kSend, 1)));
}

// The library has no room for the work of many such groups, and waits.
TEST_F(CommunicatorsTest, ExchangesBetweenManyRanksHaveThreads) {
  library().ranks = 17;
  init(1);
  make_by_thread(all_to_all(1));
  EXPECT_FALSE(make_now(all_to_all(1)));
  make_by_thread(exchange(kSend, 16));
  EXPECT_TRUE(make_now(exchange(kSend, 16)));
}

// Other ranks are asked at each use whether their memory is registered as well.
TEST_F(CommunicatorsTest, CollectivesOfRegisteredMemoryHaveThreads) {
  init(1);
  make_by_thread(words(kRegister, {1, 0x1000, 256, 0x777}, 1));
  EXPECT_FALSE(make_now(all_reduce(1)));
  make_by_thread(all_reduce(1));
}

// The peer made of what is none, as only a client can that is not ours.
TEST_F(CommunicatorsTest, AnExchangeThatIsCutOffIsAFault) {
  init(1);
  Communicators::Request cut = exchange(kSend, 1);
  cut.calls.front().arguments = cut.calls.front().arguments.first(32);
  EXPECT_FALSE(make_now(cut));
  const Communicators::WorkRef work = begin(cut);
  wait_for([&] { return work->is_done(); });
  EXPECT_FALSE(work->outcome().fault.empty());
}

class CommunicatorsByThreads : public CommunicatorsTest {
 protected:
  CommunicatorsByThreads() : CommunicatorsTest(false) {}
};

TEST_F(CommunicatorsByThreads, NothingIsMadeOnTheSpot) {
  init(1);
  EXPECT_FALSE(make_now(all_reduce(1)));
  const Communicators::WorkRef work = begin(all_reduce(1));
  wait_for([&] { return work->is_done(); });
  EXPECT_TRUE(work->outcome().succeeded);
  make_by_thread(exchange(kSend, 1));
  EXPECT_FALSE(make_now(exchange(kSend, 1)));
  EXPECT_EQ(communicators_.counters().made_now, 0u);
  EXPECT_EQ(communicators_.counters().begun, 3u);
}

}  // namespace
}  // namespace farlane::server::cudax
