// A libnccl.so.2 that does what a test says, without any device (communicators_test.cc).
#include "server/cudax/test_nccl.h"

#include <nccl.h>

#include <memory>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#define EXPORTED extern "C" __attribute__((visibility("default")))

using farlane::server::cudax::TestNccl;

EXPORTED TestNccl test_nccl;
TestNccl test_nccl;

struct ncclComm {
  std::mutex mutex;
  std::set<std::pair<bool, int>> connections;  // whether data goes there, and the peer; guarded
};

namespace {

// Nothing here ends one.
std::mutex g_made_mutex;
std::vector<std::unique_ptr<ncclComm>> g_made;  // guarded by g_made_mutex

// As the real one: what a group needs is connected at its end, each direction of a peer by itself.
struct Exchange {
  ncclComm_t comm;
  bool sends;
  int peer;
};
thread_local int g_depth = 0;
thread_local std::vector<Exchange> g_exchanges;

ncclResult_t end_exchanges() {
  for (const Exchange& exchange : std::exchange(g_exchanges, {})) {
    {
      const std::scoped_lock lock(exchange.comm->mutex);
      if (!exchange.comm->connections.emplace(exchange.sends, exchange.peer).second) continue;
    }
    ++test_nccl.connections;
    while (test_nccl.peers_missing && !test_nccl.aborted) std::this_thread::yield();
  }
  return test_nccl.aborted ? ncclRemoteError : ncclSuccess;
}

ncclResult_t exchange(std::vector<Exchange> all) {
  g_exchanges.insert(g_exchanges.end(), all.begin(), all.end());
  test_nccl.exchange_thread = std::this_thread::get_id();
  const ncclResult_t status = g_depth != 0 ? ncclSuccess : end_exchanges();
  ++test_nccl.exchanges;
  return status;
}

}  // namespace

EXPORTED ncclResult_t ncclGetVersion(int* version) {
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}
EXPORTED ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int, ncclUniqueId, int,
                                             ncclConfig_t*) {
  ++test_nccl.made;
  const std::scoped_lock lock(g_made_mutex);
  *comm = g_made.emplace_back(std::make_unique<ncclComm>()).get();
  return test_nccl.looks_in_progress != 0 ? ncclInProgress : ncclSuccess;
}
EXPORTED ncclResult_t ncclCommCount(const ncclComm_t, int* count) {
  *count = test_nccl.ranks;
  return ncclSuccess;
}
EXPORTED ncclResult_t ncclGroupStart() {
  ++g_depth;
  return ncclSuccess;
}
EXPORTED ncclResult_t ncclGroupEnd() {
  return --g_depth != 0 ? ncclSuccess : end_exchanges();
}
EXPORTED ncclResult_t ncclGroupSimulateEnd(ncclSimInfo_t*) {
  --g_depth;
  g_exchanges.clear();
  return ncclSuccess;
}
EXPORTED ncclResult_t ncclCommRegister(const ncclComm_t comm, void*, size_t, void** handle) {
  *handle = comm;
  return ncclSuccess;
}
EXPORTED ncclResult_t ncclSend(const void*, size_t, ncclDataType_t, int peer, ncclComm_t comm,
                               cudaStream_t) {
  return exchange({{comm, true, peer}});
}
EXPORTED ncclResult_t ncclRecv(void*, size_t, ncclDataType_t, int peer, ncclComm_t comm,
                               cudaStream_t) {
  return exchange({{comm, false, peer}});
}
EXPORTED ncclResult_t ncclAlltoAll(const void*, void*, size_t count, ncclDataType_t,
                                   ncclComm_t comm, cudaStream_t) {
  std::vector<Exchange> all;
  for (int rank = 0; count != 0 && rank < test_nccl.ranks; ++rank) {
    all.push_back({comm, true, rank});
    all.push_back({comm, false, rank});
  }
  return exchange(std::move(all));
}
EXPORTED ncclResult_t ncclCommGetAsyncError(ncclComm_t, ncclResult_t* error) {
  ++test_nccl.looks;
  while (test_nccl.look_held) std::this_thread::yield();
  const bool in_progress = test_nccl.looks_in_progress != 0;
  if (in_progress) --test_nccl.looks_in_progress;
  *error = in_progress ? ncclInProgress : ncclSuccess;
  return ncclSuccess;
}
EXPORTED const char* ncclGetErrorString(ncclResult_t) {
  return "as the test wants it";
}
EXPORTED ncclResult_t ncclAllReduce(const void*, void*, size_t, ncclDataType_t, ncclRedOp_t,
                                    ncclComm_t, cudaStream_t) {
  test_nccl.collective_thread = std::this_thread::get_id();
  ++test_nccl.collectives;
  while (test_nccl.ranks_missing && !test_nccl.aborted) std::this_thread::yield();
  if (test_nccl.looks_in_progress != 0) return ncclInProgress;
  return test_nccl.aborted ? ncclRemoteError : ncclSuccess;
}
EXPORTED ncclResult_t ncclCommAbort(ncclComm_t) {
  test_nccl.aborted = true;
  while (test_nccl.abort_held) std::this_thread::yield();
  return ncclSuccess;
}
