// A libnccl.so.2 that does what a test says, without any device (communicators_test.cc).
#include "server/cudax/test_nccl.h"

#include <nccl.h>

#define EXPORTED extern "C" __attribute__((visibility("default")))

using farlane::server::cudax::TestNccl;

EXPORTED TestNccl test_nccl;
TestNccl test_nccl;

EXPORTED ncclResult_t ncclGetVersion(int* version) {
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}
EXPORTED ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int, ncclUniqueId, int,
                                             ncclConfig_t*) {
  ++test_nccl.made;
  *comm = reinterpret_cast<ncclComm_t>(&test_nccl);
  return test_nccl.looks_in_progress != 0 ? ncclInProgress : ncclSuccess;
}
EXPORTED ncclResult_t ncclGroupStart() {
  return ncclSuccess;
}
EXPORTED ncclResult_t ncclGroupEnd() {
  return ncclSuccess;
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
