// NCCL from end to end: façade, log, workers, and a small NCCL of the software device on the
// server.
//
//     library_ranks CASE
//
// Cases with several ranks start this program again for rank 1; the id travels through a pipe. Says
// what failed; exits with 0 when all is well.
#include <cuda_runtime_api.h>
#include <nccl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

extern char** environ;

#define EXPECT(condition)                                                                      \
  do {                                                                                         \
    if (!(condition)) {                                                                        \
      std::printf("rank %d: %s:%d: not so: %s (%s)\n", g_rank, __FILE__, __LINE__, #condition, \
                  ncclGetLastError(nullptr));                                                  \
      std::fflush(stdout);                                                                     \
      std::_Exit(1);                                                                           \
    }                                                                                          \
  } while (0)
#define OK(call) EXPECT((call) == 0)

namespace {

int g_rank = 0;
constexpr int kRanks = 2;
using Floats = std::vector<float>;

float* device(const Floats& host) {
  float* p = nullptr;
  OK(cudaMalloc(reinterpret_cast<void**>(&p), host.size() * sizeof(float)));
  OK(cudaMemcpy(p, host.data(), host.size() * sizeof(float), cudaMemcpyHostToDevice));
  return p;
}

Floats host(const float* p, size_t count) {
  Floats v(count);
  OK(cudaMemcpy(v.data(), p, count * sizeof(float), cudaMemcpyDeviceToHost));
  return v;
}

// Until it is so, for at most a minute.
void wait_for(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!condition()) {
    EXPECT(std::chrono::steady_clock::now() < end);
    std::this_thread::yield();
  }
}

ncclResult_t state_of(ncclComm_t comm) {
  ncclResult_t state = ncclSuccess;
  OK(ncclCommGetAsyncError(comm, &state));
  return state;
}

// ---- rank 1 is a program of its own

struct Peer {
  pid_t pid = 0;
  int status = 0;
};

Peer start_rank_1(const char* which, const ncclUniqueId& id) {
  int ends[2];
  OK(::pipe(ends));
  Peer peer;
  const std::string fd = std::to_string(ends[0]);
  const char* argv[] = {"library_ranks", which, "1", fd.c_str(), nullptr};
  OK(::posix_spawn(&peer.pid, "/proc/self/exe", nullptr, nullptr, const_cast<char**>(argv),
                   environ));
  EXPECT(::write(ends[1], &id, sizeof id) == sizeof id);
  ::close(ends[0]);
  ::close(ends[1]);
  return peer;
}

void join(Peer* peer) {
  EXPECT(::waitpid(peer->pid, &peer->status, 0) == peer->pid);
}

// ---- cases of two processes

void collectives(const ncclUniqueId& id) {
  ncclComm_t comm = nullptr;
  OK(ncclCommInitRank(&comm, kRanks, id, g_rank));
  int number = -1;
  OK(ncclCommCount(comm, &number));
  EXPECT(number == kRanks);
  OK(ncclCommUserRank(comm, &number));
  EXPECT(number == g_rank);
  OK(ncclCommCuDevice(comm, &number));
  EXPECT(number == 0);
  EXPECT(state_of(comm) == ncclSuccess);

  const float me = static_cast<float>(g_rank + 1);
  cudaStream_t stream = nullptr;
  OK(cudaStreamCreate(&stream));
  float* in = device({me, 10 * me, 100 * me, 1000 * me});
  float* out = device({0, 0, 0, 0, 0, 0, 0, 0});

  // In the order of the stream: what is before it and what is after it.
  const Floats mine = {me, 2 * me, 3 * me, 4 * me};
  OK(cudaMemcpyAsync(in, mine.data(), sizeof(float) * 4, cudaMemcpyHostToDevice, stream));
  OK(ncclAllReduce(in, out, 4, ncclFloat, ncclSum, comm, stream));
  OK(cudaMemcpyAsync(in, out, sizeof(float) * 4, cudaMemcpyDeviceToDevice, stream));
  OK(cudaStreamSynchronize(stream));
  EXPECT((host(in, 4) == Floats{3, 6, 9, 12}));
  // In place, several in a row.
  for (int i = 0; i < 20; ++i) OK(ncclAllReduce(in, in, 4, ncclFloat, ncclAvg, comm, stream));
  OK(cudaStreamSynchronize(stream));
  EXPECT((host(in, 4) == Floats{3, 6, 9, 12}));

  OK(cudaMemcpy(in, mine.data(), sizeof(float) * 4, cudaMemcpyHostToDevice));
  OK(ncclAllReduce(in, out, 4, ncclFloat, ncclMax, comm, stream));
  OK(ncclBroadcast(in, out + 4, 4, ncclFloat, 1, comm, stream));
  OK(cudaStreamSynchronize(stream));
  EXPECT((host(out, 8) == Floats{2, 4, 6, 8, 2, 4, 6, 8}));
  OK(ncclAllGather(in, out, 2, ncclFloat, comm, stream));
  OK(ncclReduceScatter(in, out + 4, 2, ncclFloat, ncclSum, comm, stream));
  OK(cudaStreamSynchronize(stream));
  EXPECT((host(out, 4) == Floats{1, 2, 2, 4}));
  EXPECT((host(out + 4, 2) == (g_rank == 0 ? Floats{3, 6} : Floats{9, 12})));
  OK(cudaMemset(out, 0, 8 * sizeof(float)));
  OK(ncclReduce(in, out, 2, ncclFloat, ncclSum, 1, comm, stream));
  OK(ncclAlltoAll(in, out + 2, 2, ncclFloat, comm, stream));
  OK(cudaStreamSynchronize(stream));
  EXPECT((host(out, 2) == (g_rank == 1 ? Floats{3, 6} : Floats{0, 0})));
  EXPECT((host(out + 2, 4) == (g_rank == 0 ? Floats{1, 2, 2, 4} : Floats{3, 4, 6, 8})));
  OK(ncclGather(in, out, 2, ncclFloat, 0, comm, stream));
  OK(ncclScatter(in, out + 4, 2, ncclFloat, 0, comm, stream));
  OK(cudaStreamSynchronize(stream));
  if (g_rank == 0) EXPECT((host(out, 4) == Floats{1, 2, 2, 4}));
  EXPECT((host(out + 4, 2) == (g_rank == 0 ? Floats{1, 2} : Floats{3, 4})));

  // Both ways at once, as one group.
  OK(ncclGroupStart());
  OK(ncclGroupStart());
  OK(ncclSend(in, 4, ncclFloat, 1 - g_rank, comm, stream));
  OK(ncclGroupEnd());
  OK(ncclRecv(out, 4, ncclFloat, 1 - g_rank, comm, stream));
  OK(ncclGroupEnd());
  OK(cudaStreamSynchronize(stream));
  EXPECT((host(out, 4) == (g_rank == 0 ? Floats{2, 4, 6, 8} : Floats{1, 2, 3, 4})));

  // An operator that the program made, from a number in either memory.
  ncclRedOp_t doubled, tripled;
  float factor = 2;
  float* there = device({3});
  OK(ncclRedOpCreatePreMulSum(&doubled, &factor, ncclFloat, ncclScalarHostImmediate, comm));
  factor = 0;
  OK(ncclRedOpCreatePreMulSum(&tripled, there, ncclFloat, ncclScalarDevice, comm));
  EXPECT(doubled != tripled && doubled >= ncclNumOps && tripled >= ncclNumOps);
  OK(ncclAllReduce(in, out, 4, ncclFloat, doubled, comm, stream));
  OK(ncclAllReduce(in, out + 4, 4, ncclFloat, tripled, comm, stream));
  OK(ncclRedOpDestroy(doubled, comm));
  EXPECT(ncclAllReduce(in, out, 4, ncclFloat, doubled, comm, stream) == ncclInvalidArgument);
  OK(cudaStreamSynchronize(stream));
  EXPECT((host(out, 8) == Floats{6, 12, 18, 24, 9, 18, 27, 36}));

  // Two of the same ranks in the other order, and a rank with no part in it.
  ncclComm_t turned = nullptr;
  OK(ncclCommSplit(comm, 7, -g_rank, &turned, nullptr));
  OK(ncclCommUserRank(turned, &number));
  EXPECT(number == 1 - g_rank);
  OK(ncclCommCount(turned, &number));
  EXPECT(number == kRanks);
  OK(ncclAllGather(in, out, 1, ncclFloat, turned, stream));
  OK(cudaStreamSynchronize(stream));
  EXPECT((host(out, 2) == Floats{2, 1}));
  ncclComm_t alone = comm;
  OK(ncclCommSplit(comm, g_rank == 0 ? 0 : NCCL_SPLIT_NOCOLOR, 0, &alone, nullptr));
  EXPECT((alone == nullptr) == (g_rank == 1));
  if (alone != nullptr) {
    OK(ncclAllReduce(in, out, 4, ncclFloat, ncclSum, alone, stream));
    OK(cudaStreamSynchronize(stream));
    EXPECT(host(out, 4) == host(in, 4));
    OK(ncclCommDestroy(alone));
  }

  ncclSimInfo_t info = NCCL_SIM_INFO_INITIALIZER;
  OK(ncclGroupStart());
  OK(ncclAllReduce(in, out, 4, ncclFloat, ncclSum, comm, stream));
  OK(ncclGroupSimulateEnd(&info));
  EXPECT(info.estimatedTime == 2.5f);

  OK(ncclCommFinalize(turned));
  OK(ncclCommDestroy(turned));
  // Its meeting place goes with rank 1, which must not be gone while rank 0 still has it.
  OK(ncclAllReduce(in, out, 4, ncclFloat, ncclSum, comm, stream));
  OK(cudaStreamSynchronize(stream));
  OK(ncclCommDestroy(comm));
  EXPECT(ncclCommDestroy(comm) == ncclInvalidArgument);
}

// Sends and receives: the first of each direction waits for the other rank to connect, later ones
// are in their stream at once.
void exchanges(const ncclUniqueId& id) {
  ncclComm_t comm = nullptr;
  ncclComm_t other = nullptr;
  OK(ncclCommInitRank(&comm, kRanks, id, g_rank));
  OK(ncclCommSplit(comm, 0, g_rank, &other, nullptr));
  cudaStream_t stream = nullptr;
  cudaStream_t beside = nullptr;
  OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  OK(cudaStreamCreateWithFlags(&beside, cudaStreamNonBlocking));
  const int peer = 1 - g_rank;
  const float me = static_cast<float>(g_rank + 1);
  const float they = 3 - me;
  float* in = device({me, 10 * me, 20 * me, 30 * me});
  float* out = device({0, 0, 0, 0});
  float* both = device({me});

  // Rank 1 comes to this only after something that it does with rank 0 meanwhile.
  if (g_rank == 0) OK(ncclSend(in, 4, ncclFloat, peer, comm, stream));
  EXPECT((host(in, 1) == Floats{me}));
  OK(ncclAllReduce(both, both, 1, ncclFloat, ncclSum, other, beside));
  OK(cudaStreamSynchronize(beside));
  EXPECT(host(both, 1) == Floats{3});
  if (g_rank == 1) OK(ncclRecv(out, 4, ncclFloat, peer, comm, stream));
  OK(cudaStreamSynchronize(stream));
  if (g_rank == 1) EXPECT((host(out, 4) == Floats{1, 10, 20, 30}));

  for (int round = 0; round < 20; ++round) {
    const Floats mine = {me, me * static_cast<float>(round)};
    OK(cudaMemcpyAsync(in, mine.data(), 2 * sizeof(float), cudaMemcpyHostToDevice, stream));
    OK(ncclGroupStart());
    OK(ncclSend(in, 2, ncclFloat, peer, comm, stream));
    OK(ncclRecv(out, 2, ncclFloat, peer, comm, stream));
    OK(ncclGroupEnd());
    OK(ncclAlltoAll(in, out + 2, 1, ncclFloat, comm, stream));
    OK(ncclGather(in, in + 2, 1, ncclFloat, 1, comm, stream));
    OK(ncclScatter(in + 2, both, 1, ncclFloat, 1, comm, stream));
    OK(cudaStreamSynchronize(stream));
    const float last = static_cast<float>(round);
    EXPECT((host(out, 4) ==
            Floats{they, they * last, g_rank == 0 ? 1 : last, g_rank == 0 ? 2 : 2 * last}));
    EXPECT(host(both, 1) == Floats{me});
  }

  // To nobody: it holds up its stream alone, and an abort ends it.
  if (g_rank == 0) {
    OK(ncclSend(in, 4, ncclFloat, peer, comm, stream));
    EXPECT(cudaStreamQuery(stream) == cudaErrorNotReady);
    EXPECT(host(both, 1) == Floats{me});
    OK(ncclCommAbort(comm));
    OK(cudaStreamSynchronize(stream));
  }
  OK(ncclAllReduce(both, both, 1, ncclFloat, ncclSum, other, beside));
  OK(cudaStreamSynchronize(beside));
  EXPECT(host(both, 1) == Floats{3});
  if (g_rank == 1) OK(ncclCommAbort(comm));
  OK(ncclCommDestroy(other));
}

// A communicator that does not block: everything is in progress until it is there.
void non_blocking(const ncclUniqueId& id) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  config.commName = "two ranks";
  ncclComm_t comm = nullptr;
  const ncclResult_t begun = ncclCommInitRankConfig(&comm, kRanks, id, g_rank, &config);
  EXPECT(begun == ncclInProgress || begun == ncclSuccess);
  wait_for([&] { return state_of(comm) != ncclInProgress; });
  EXPECT(state_of(comm) == ncclSuccess);
  float* data = device({1, 2});
  OK(ncclAllReduce(data, data, 2, ncclFloat, ncclSum, comm, nullptr));
  OK(cudaStreamSynchronize(nullptr));
  EXPECT((host(data, 2) == Floats{2, 4}));
  // A split's numbers are asked for; that leaves nothing in progress.
  ncclComm_t both = nullptr;
  const ncclResult_t split = ncclCommSplit(comm, 0, -g_rank, &both, nullptr);
  EXPECT(split == ncclInProgress || split == ncclSuccess);
  wait_for([&] { return state_of(comm) != ncclInProgress && state_of(both) != ncclInProgress; });
  int count = 0;
  int rank = -1;
  OK(ncclCommCount(both, &count));
  OK(ncclCommUserRank(both, &rank));
  EXPECT(count == kRanks && rank == kRanks - 1 - g_rank);
  EXPECT(state_of(both) == ncclSuccess);
  // Only then is one rank's abort no failure of the other's.
  const ncclResult_t posted = ncclAllReduce(data, data, 2, ncclFloat, ncclSum, both, nullptr);
  EXPECT(posted == ncclInProgress || posted == ncclSuccess);
  OK(cudaStreamSynchronize(nullptr));
  EXPECT((host(data, 2) == Floats{4, 8}));
  OK(ncclCommAbort(both));
  OK(ncclCommAbort(comm));
}

// Rank 1 dies in the middle. Rank 0 hears of it without asking the device, aborts, and goes on.
void death(const ncclUniqueId& id) {
  ncclComm_t comm = nullptr;
  OK(ncclCommInitRank(&comm, kRanks, id, g_rank));
  float* data = device({1, 2});
  if (g_rank == 1) ::raise(SIGKILL);
  cudaStream_t stream = nullptr;
  OK(cudaStreamCreate(&stream));
  // It may have been told already.
  const ncclResult_t posted = ncclAllReduce(data, data, 2, ncclFloat, ncclSum, comm, stream);
  EXPECT(posted == ncclSuccess || posted == ncclRemoteError);
  wait_for([&] { return state_of(comm) != ncclSuccess; });
  EXPECT(state_of(comm) == ncclRemoteError);
  EXPECT(std::strstr(ncclGetLastError(comm), "another rank is gone") != nullptr);
  EXPECT(ncclAllReduce(data, data, 2, ncclFloat, ncclSum, comm, stream) == ncclRemoteError);
  OK(ncclCommAbort(comm));
  OK(cudaStreamSynchronize(stream));
  EXPECT((host(data, 2) == Floats{1, 2}));
}

// ---- cases of one process

// A rank for each thread, in one session: both wait for each other.
void threads() {
  ncclUniqueId id;
  OK(ncclGetUniqueId(&id));
  std::vector<std::thread> all;
  for (int rank = 0; rank < kRanks; ++rank) {
    all.emplace_back([&, rank] {
      ncclComm_t comm = nullptr;
      OK(ncclCommInitRank(&comm, kRanks, id, rank));
      cudaStream_t stream = nullptr;
      OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
      float* data = device({static_cast<float>(rank)});
      for (int i = 0; i < 50; ++i) {
        OK(ncclAllReduce(data, data, 1, ncclFloat, ncclMax, comm, stream));
      }
      OK(cudaStreamSynchronize(stream));
      EXPECT(host(data, 1) == Floats{1});
      OK(ncclCommDestroy(comm));
    });
  }
  for (std::thread& thread : all) thread.join();
}

// All ranks from one thread, as groups, each on a device of its own.
void devices() {
  int count = 0;
  OK(cudaGetDeviceCount(&count));
  EXPECT(count == kRanks);
  ncclComm_t comms[kRanks];
  const int order[kRanks] = {1, 0};
  const int twice[kRanks] = {1, 1};
  EXPECT(ncclCommInitAll(comms, kRanks, twice) == ncclInvalidUsage);
  OK(ncclCommInitAll(comms, kRanks, order));
  cudaStream_t streams[kRanks];
  float* data[kRanks];
  for (int rank = 0; rank < kRanks; ++rank) {
    int number = -1;
    OK(ncclCommCuDevice(comms[rank], &number));
    EXPECT(number == order[rank]);
    OK(cudaSetDevice(order[rank]));
    OK(cudaStreamCreate(&streams[rank]));
    data[rank] = device({static_cast<float>(rank + 1)});
  }
  for (int i = 0; i < 10; ++i) {
    OK(ncclGroupStart());
    for (int rank = 0; rank < kRanks; ++rank) {
      OK(ncclAllReduce(data[rank], data[rank], 1, ncclFloat, ncclSum, comms[rank], streams[rank]));
    }
    OK(ncclGroupEnd());
  }
  for (int rank = 0; rank < kRanks; ++rank) {
    OK(cudaSetDevice(order[rank]));
    OK(cudaStreamSynchronize(streams[rank]));
    EXPECT(host(data[rank], 1) == Floats{3 * 512});
    OK(ncclCommDestroy(comms[rank]));
  }
}

// What is wrong is told at the call where that can be known here, else by the communicator.
void errors() {
  ncclUniqueId id;
  EXPECT(ncclGetUniqueId(nullptr) == ncclInvalidArgument);
  OK(ncclGetUniqueId(&id));
  ncclComm_t comm = nullptr;
  EXPECT(ncclCommInitRank(&comm, 2, id, 2) == ncclInvalidArgument);
  EXPECT(ncclCommInitRank(&comm, 0, id, 0) == ncclInvalidArgument);
  EXPECT(ncclCommInitRank(nullptr, 1, id, 0) == ncclInvalidArgument);
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.magic = 1;
  EXPECT(ncclCommInitRankConfig(&comm, 1, id, 0, &config) == ncclInvalidArgument);
  // What only the library finds wrong.
  config = NCCL_CONFIG_INITIALIZER;
  config.commName = "";
  EXPECT(ncclCommInitRankConfig(&comm, 1, id, 0, &config) == ncclInvalidArgument);
  EXPECT(comm == nullptr);
  EXPECT(std::strstr(ncclGetLastError(nullptr), "an empty name") != nullptr);
  // Nobody is there.
  ncclUniqueId nobody = id;
  nobody.internal[0] = '?';
  EXPECT(ncclCommInitRank(&comm, 1, nobody, 0) == ncclSystemError);
  EXPECT(ncclCommAbort(nullptr) == ncclInvalidArgument);

  OK(ncclCommInitRank(&comm, 1, id, 0));
  float* data = device({1, 2});
  float there[2] = {};
  EXPECT(ncclAllReduce(data, data, 2, ncclFloat, ncclSum, nullptr, nullptr) == ncclInvalidArgument);
  EXPECT(ncclAllReduce(data, there, 2, ncclFloat, ncclSum, comm, nullptr) == ncclInvalidArgument);
  EXPECT(std::strstr(ncclGetLastError(comm), "device memory") != nullptr);
  EXPECT(ncclAllReduce(data, data, 2, ncclNumTypes, ncclSum, comm, nullptr) == ncclInvalidArgument);
  EXPECT(ncclAllReduce(data, data, 2, ncclFloat, ncclNumOps, comm, nullptr) == ncclInvalidArgument);
  EXPECT(ncclBroadcast(data, data, 2, ncclFloat, 1, comm, nullptr) == ncclInvalidArgument);
  EXPECT(ncclSend(data, 2, ncclFloat, -1, comm, nullptr) == ncclInvalidArgument);
  EXPECT(ncclGroupEnd() == ncclInvalidUsage);

  // A group with an error in it does nothing, and says so.
  OK(ncclGroupStart());
  OK(ncclAllReduce(data, data, 2, ncclFloat, ncclSum, comm, nullptr));
  EXPECT(ncclBroadcast(data, data, 2, ncclFloat, 9, comm, nullptr) == ncclInvalidArgument);
  EXPECT(ncclGroupEnd() == ncclInvalidArgument);
  OK(ncclGroupStart());
  OK(ncclGroupEnd());

  void* memory = nullptr;
  OK(ncclMemAlloc(&memory, 1000));
  OK(ncclAllReduce(memory, memory, 250, ncclFloat, ncclSum, comm, nullptr));
  OK(cudaDeviceSynchronize());
  OK(ncclMemFree(memory));
  EXPECT(ncclMemFree(&memory) == ncclInvalidArgument);

  int version = 0;
  OK(ncclGetVersion(&version));
  EXPECT(version == 22809);
  EXPECT(std::strcmp(ncclGetErrorString(ncclSuccess), ncclGetErrorString(ncclRemoteError)) != 0);

  // A function that the server's library lacks.
  void* handle = nullptr;
  EXPECT(ncclCommRegister(comm, data, 8, &handle) == ncclInvalidUsage);
  EXPECT(handle == nullptr);

  // Posted, and refused there: the communicator has the error from then on.
  OK(ncclAllReduce(data, data, 2, ncclFloat8e5m2, ncclSum, comm, nullptr));
  OK(cudaDeviceSynchronize());
  EXPECT(state_of(comm) == ncclInvalidArgument);
  EXPECT(std::strstr(ncclGetLastError(comm), "no such type here") != nullptr);
  EXPECT(ncclAllReduce(data, data, 2, ncclFloat, ncclSum, comm, nullptr) == ncclInvalidArgument);
  OK(ncclCommDestroy(comm));
}

// Ranks that never join: the session goes on, and an abort gets through.
void aborts() {
  ncclUniqueId id;
  OK(ncclGetUniqueId(&id));
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  ncclComm_t comm = nullptr;
  EXPECT(ncclCommInitRankConfig(&comm, kRanks, id, 0, &config) == ncclInProgress);
  EXPECT(state_of(comm) == ncclInProgress);
  // Work of a stream waits for it, other work does not.
  cudaStream_t stream = nullptr;
  OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  float* data = device({1, 2});
  float* other = device({3, 4});
  OK(ncclAllReduce(data, data, 2, ncclFloat, ncclSum, comm, stream));
  EXPECT((host(other, 2) == Floats{3, 4}));
  EXPECT(cudaStreamQuery(stream) == cudaErrorNotReady);
  OK(ncclCommAbort(comm));
  OK(cudaStreamSynchronize(stream));
  EXPECT((host(data, 2) == Floats{1, 2}));

  // The same with a thread that blocks.
  OK(ncclGetUniqueId(&id));
  ncclComm_t hanging = nullptr;
  ncclResult_t said = ncclSuccess;
  std::atomic<bool> entered = false;
  std::thread thread([&] {
    entered = true;
    said = ncclCommInitRank(&hanging, kRanks, id, 0);
  });
  wait_for([&] { return entered && __atomic_load_n(&hanging, __ATOMIC_ACQUIRE) != nullptr; });
  EXPECT((host(other, 2) == Floats{3, 4}));
  OK(ncclCommAbort(__atomic_load_n(&hanging, __ATOMIC_ACQUIRE)));
  thread.join();
  EXPECT(said == ncclInternalError);
}

// A server without the library, or with another version, is no crash.
void missing() {
  ncclUniqueId id;
  EXPECT(ncclGetUniqueId(&id) == ncclSystemError);
  EXPECT(std::strlen(ncclGetLastError(nullptr)) != 0);
  ncclComm_t comm = nullptr;
  EXPECT(ncclCommInitRank(&comm, 1, id, 0) == ncclSystemError);
  EXPECT(comm == nullptr);
  OK(cudaFree(device({1})));
}

}  // namespace

int main(int argc, char** argv) {
  const std::string which = argc > 1 ? argv[1] : "";
  const std::map<std::string, void (*)(const ncclUniqueId&)> of_two = {
      {"collectives", collectives},
      {"exchanges", exchanges},
      {"non_blocking", non_blocking},
      {"death", death}};
  const std::map<std::string, void (*)()> of_one = {{"threads", threads},
                                                    {"devices", devices},
                                                    {"errors", errors},
                                                    {"aborts", aborts},
                                                    {"missing", missing}};
  if (const auto found = of_one.find(which); found != of_one.end()) {
    found->second();
  } else if (const auto two = of_two.find(which); two != of_two.end()) {
    ncclUniqueId id{};
    if (argc > 3) {
      g_rank = std::atoi(argv[2]);
      EXPECT(::read(std::atoi(argv[3]), &id, sizeof id) == sizeof id);
      two->second(id);
    } else {
      OK(ncclGetUniqueId(&id));
      Peer peer = start_rank_1(argv[1], id);
      two->second(id);
      join(&peer);
      EXPECT(peer.status == (which == "death" ? SIGKILL : 0));
    }
  } else {
    std::printf("no such case\n");
    return 2;
  }
  return 0;
}
