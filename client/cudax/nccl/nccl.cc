// The functions of NCCL that are answered here, and those that make communicators.
#include <nccl.h>

#include <algorithm>
#include <string>
#include <vector>

#include "client/core/api.h"
#include "client/cudax/nccl/checks.h"
#include "client/cudax/nccl/group_call.h"
#include "generated/client/nccl_facts.h"

using namespace farlane::client::cudax;
using namespace farlane::client::cudax::nccl;
namespace client = farlane::client;

namespace {

ncclResult_t result(int status) {
  return static_cast<ncclResult_t>(status);
}

ncclResult_t invalid(const char* what) {
  note_text(what);
  return ncclInvalidArgument;
}

Object* find(ncclComm_t comm) {
  Object* object = object_find(Call::bits(comm), kComm);
  if (object == nullptr) note_text("the communicator is null, or no more");
  return object;
}

bool is_rank_of(int rank, int ranks) {
  return said(ranks > 0 && rank >= 0 && rank < ranks, "the rank is none of the communicator's");
}

ncclResult_t init_rank(ncclComm_t* comm, int nranks, const ncclUniqueId& id, int rank,
                       const ncclConfig_t* config, int device) {
  GroupCall call(kLibrary, k_ncclCommInitRankConfig, "ncclCommInitRankConfig");
  if (device >= 0) call.on_device(device);
  if (!is_rank_of(rank, nranks)) call.refuse();
  call.made(comm, kComm);
  call.value(nranks);
  call.value(id);
  call.value(rank);
  call.config(config);
  call.makes_comm(nranks, rank);
  return result(call.ask(false));
}

// What a split or shrink has made is asked for its numbers once.
ncclResult_t comm_number(ncclComm_t comm, CommNumber which, uint32_t function, const char* name,
                         int* value) {
  const Object* object = find(comm);
  if (object == nullptr || value == nullptr) return ncclInvalidArgument;
  *value = object->numbers[which];
  if (*value != kCommUnknown) return ncclSuccess;
  GroupCall call(kLibrary, function, name);
  call.object(comm, kComm);
  call.out(value, sizeof *value);
  const ncclResult_t status = result(call.ask(false));
  if (status == ncclSuccess && call.comm() != nullptr) call.comm()->numbers[which] = *value;
  return status;
}

size_t element_bytes(ncclDataType_t type) {
  switch (type) {
    case ncclInt8:
    case ncclUint8:
    case ncclFloat8e4m3:
    case ncclFloat8e5m2:
      return 1;
    case ncclFloat16:
    case ncclBfloat16:
      return 2;
    case ncclInt32:
    case ncclUint32:
    case ncclFloat32:
      return 4;
    case ncclInt64:
    case ncclUint64:
    case ncclFloat64:
      return 8;
    case ncclNumTypes:
      break;
  }
  return 0;
}

}  // namespace

extern "C" {

// ---- identity and versions

// Without a session, which asking would start, the version that the program was built for.
ncclResult_t ncclGetVersion(int* version) {
  if (version == nullptr) return invalid("ncclGetVersion: no place for the answer");
  *version = NCCL_VERSION_CODE;
  if (!client::session_is_started() ||
      open(kLibrary.number, kLibrary.name, kLibrary.soname, kLibrary.major) != CUDA_SUCCESS) {
    return ncclSuccess;
  }
  unsigned numbers[3];
  client::cudax::version(kLibrary.number, numbers);
  const auto [major, minor, patch] = std::array<unsigned, 3>{numbers[0], numbers[1], numbers[2]};
  *version = static_cast<int>(NCCL_VERSION(major, minor, patch));
  return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* uniqueId) {
  GroupCall call(kLibrary, k_ncclGetUniqueId, "ncclGetUniqueId");
  if (uniqueId == nullptr) call.refuse();
  call.out(uniqueId, sizeof *uniqueId);
  return result(call.ask(false));
}

const char* ncclGetErrorString(ncclResult_t status) {
  switch (status) {
    case ncclSuccess:
      return "no error";
    case ncclUnhandledCudaError:
      return "a CUDA function failed under NCCL (NCCL_DEBUG=INFO on the server says more)";
    case ncclSystemError:
      return "a system call failed, or the server or its NCCL is not there (Farlane's log and "
             "NCCL_DEBUG=INFO on the server say more)";
    case ncclInternalError:
      return "an internal error of NCCL (NCCL_DEBUG=INFO on the server says more)";
    case ncclInvalidArgument:
      return "an argument is invalid (ncclGetLastError says which)";
    case ncclInvalidUsage:
      return "NCCL is not used in this way (ncclGetLastError says why)";
    case ncclRemoteError:
      return "another rank failed, or its connection did";
    case ncclInProgress:
      return "NCCL operation in progress";
    case ncclNumResults:
      break;
  }
  return "no result of NCCL's";
}

const char* ncclGetLastError(ncclComm_t) {
  static thread_local std::string text;
  text = last_text();
  return text.c_str();
}

void ncclResetDebugInit() {}

// ---- communicators

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int nranks, ncclUniqueId commId, int rank,
                                    ncclConfig_t* config) {
  return init_rank(comm, nranks, commId, rank, config, -1);
}

ncclResult_t ncclCommInitRank(ncclComm_t* comm, int nranks, ncclUniqueId commId, int rank) {
  return init_rank(comm, nranks, commId, rank, nullptr, -1);
}

ncclResult_t ncclCommInitRankScalable(ncclComm_t* newcomm, int nranks, int myrank, int nId,
                                      ncclUniqueId* commIds, ncclConfig_t* config) {
  GroupCall call(kLibrary, k_ncclCommInitRankScalable, "ncclCommInitRankScalable");
  if (!is_rank_of(myrank, nranks) ||
      !said(commIds != nullptr && nId > 0 && nId <= nranks, "the number of ids is wrong")) {
    call.refuse();
    nId = 0;
  }
  call.made(newcomm, kComm);
  call.value(nranks);
  call.value(myrank);
  call.value(nId);
  call.in(commIds, static_cast<size_t>(nId) * sizeof *commIds);
  call.config(config);
  call.makes_comm(nranks, myrank);
  return result(call.ask(false));
}

ncclResult_t ncclCommInitAll(ncclComm_t* comm, int ndev, const int* devlist) {
  if (comm == nullptr || ndev <= 0) return invalid("ncclCommInitAll: no place, or no devices");
  std::vector<int> devices(static_cast<size_t>(ndev));
  for (int i = 0; i < ndev; ++i) {
    devices[i] = devlist == nullptr ? i : devlist[i];
    uint32_t ordinal = 0;
    if (devices[i] < 0 || device_on_server(devices[i], &ordinal) != CUDA_SUCCESS) {
      return invalid("ncclCommInitAll: a device that the session does not have");
    }
    if (std::count(devices.begin(), devices.begin() + i, devices[i]) != 0) {
      note_text("ncclCommInitAll: a device twice");
      return ncclInvalidUsage;
    }
  }
  ncclUniqueId id;
  ncclResult_t status = ncclGetUniqueId(&id);
  if (status != ncclSuccess) return status;
  GroupCall::begin_group();
  for (int i = 0; i < ndev; ++i) {
    comm[i] = nullptr;
    const ncclResult_t said = init_rank(&comm[i], ndev, id, i, nullptr, devices[i]);
    if (status == ncclSuccess) status = said;
  }
  const ncclResult_t ended = result(GroupCall::end_group(kLibrary, nullptr));
  return status == ncclSuccess ? ended : status;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  GroupCall call(kLibrary, k_ncclCommAbort, "ncclCommAbort");
  call.object(comm, kComm);
  return result(call.abort());
}

ncclResult_t ncclCommRevoke(ncclComm_t comm, int revokeFlags) {
  GroupCall call(kLibrary, k_ncclCommRevoke, "ncclCommRevoke");
  call.forgive();
  call.object(comm, kComm);
  call.value(revokeFlags);
  return result(call.ask(false));
}

ncclResult_t ncclCommSplit(ncclComm_t comm, int color, int key, ncclComm_t* newcomm,
                           ncclConfig_t* config) {
  GroupCall call(kLibrary, k_ncclCommSplit, "ncclCommSplit");
  if (!said(color >= NCCL_SPLIT_NOCOLOR, "ncclCommSplit: a negative color")) call.refuse();
  call.object(comm, kComm);
  call.value(color);
  call.value(key);
  call.made(newcomm, kComm);
  call.config(config);
  call.makes_comm(kCommUnknown, kCommUnknown);
  if (call.comm() != nullptr && call.made_object() != nullptr) {
    call.made_object()->numbers[kCommDevice] = call.comm()->numbers[kCommDevice].load();
  }
  const ncclResult_t status = result(call.ask(false));
  // Its part of the work is done, and it has no part in what comes.
  if ((status == ncclSuccess || status == ncclInProgress) && color == NCCL_SPLIT_NOCOLOR) {
    *newcomm = nullptr;
  }
  return status;
}

ncclResult_t ncclCommShrink(ncclComm_t comm, int* excludeRanksList, int excludeRanksCount,
                            ncclComm_t* newcomm, ncclConfig_t* config, int shrinkFlags) {
  GroupCall call(kLibrary, k_ncclCommShrink, "ncclCommShrink");
  if (!said(excludeRanksList != nullptr && excludeRanksCount > 0,
            "ncclCommShrink: no ranks to exclude")) {
    call.refuse();
    excludeRanksCount = 0;
  }
  call.forgive();
  call.object(comm, kComm);
  call.in(excludeRanksList, static_cast<size_t>(excludeRanksCount) * sizeof *excludeRanksList);
  call.value(excludeRanksCount);
  call.made(newcomm, kComm);
  call.config(config);
  call.value(shrinkFlags);
  call.makes_comm(kCommUnknown, kCommUnknown);
  if (call.comm() != nullptr && call.made_object() != nullptr) {
    call.made_object()->numbers[kCommDevice] = call.comm()->numbers[kCommDevice].load();
  }
  return result(call.ask(false));
}

// The server tells changes by itself; whoever looks takes in what has arrived.
ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* asyncError) {
  const Object* object = find(comm);
  if (object == nullptr || asyncError == nullptr) return ncclInvalidArgument;
  const bool lives = listen();
  const int32_t status = object->status;
  *asyncError = lives || status != ncclSuccess ? result(status) : ncclSystemError;
  if (!lives && status == ncclInProgress) *asyncError = ncclSystemError;
  return ncclSuccess;
}

ncclResult_t ncclCommCount(const ncclComm_t comm, int* count) {
  return comm_number(comm, kCommRanks, k_ncclCommCount, "ncclCommCount", count);
}

ncclResult_t ncclCommUserRank(const ncclComm_t comm, int* rank) {
  return comm_number(comm, kCommRank, k_ncclCommUserRank, "ncclCommUserRank", rank);
}

ncclResult_t ncclCommCuDevice(const ncclComm_t comm, int* device) {
  const Object* object = find(comm);
  if (object == nullptr || device == nullptr) return ncclInvalidArgument;
  *device = object->numbers[kCommDevice];
  return ncclSuccess;
}

// ---- memory

ncclResult_t ncclMemAlloc(void** ptr, size_t size) {
  constexpr size_t kGranule = size_t{2} << 20;  // of the driver's virtual memory
  if (ptr == nullptr || size == 0 || size > SIZE_MAX - kGranule) {
    return invalid("ncclMemAlloc: no place, or no size");
  }
  CUresult made = client::session_start();
  if (made == CUDA_SUCCESS && client::context_current() == nullptr) {
    made = client::make_device_current(0);
  }
  CUdeviceptr address = 0;
  if (made == CUDA_SUCCESS) {
    made = client::memory_allocate(client::current_device(),
                                   (size + kGranule - 1) / kGranule * kGranule, &address);
  }
  if (made != CUDA_SUCCESS) {
    note_text("ncclMemAlloc: CUDA error " + std::to_string(made));
    return ncclUnhandledCudaError;
  }
  *ptr = reinterpret_cast<void*>(address);
  return ncclSuccess;
}

ncclResult_t ncclMemFree(void* ptr) {
  if (ptr == nullptr) return ncclSuccess;
  const CUresult freed = client::memory_free(reinterpret_cast<CUdeviceptr>(ptr));
  return freed == CUDA_SUCCESS ? ncclSuccess : invalid("ncclMemFree: not from ncclMemAlloc");
}

// ---- reduction operators

ncclResult_t ncclRedOpCreatePreMulSum(ncclRedOp_t* op, void* scalar, ncclDataType_t datatype,
                                      ncclScalarResidence_t residence, ncclComm_t comm) {
  GroupCall call(kLibrary, k_ncclRedOpCreatePreMulSum, "ncclRedOpCreatePreMulSum");
  const bool on_device = residence == ncclScalarDevice;
  if (!is_type(datatype) || !said(scalar != nullptr, "the scalar is null") ||
      (on_device && !is_buffer(scalar, 1))) {
    call.refuse();
  }
  call.made(op, kRedop);
  if (on_device) {
    call.scalar_address(scalar);
  } else {
    call.in(scalar, element_bytes(datatype));
  }
  call.value(datatype);
  call.value(residence);
  call.object(comm, kComm);
  return result(call.post());
}

ncclResult_t ncclRedOpDestroy(ncclRedOp_t op, ncclComm_t comm) {
  GroupCall call(kLibrary, k_ncclRedOpDestroy, "ncclRedOpDestroy");
  call.ended(op, kRedop);
  call.object(comm, kComm);
  return result(call.post());
}

// ---- groups

ncclResult_t ncclGroupStart() {
  return result(GroupCall::begin_group());
}

ncclResult_t ncclGroupEnd() {
  return result(GroupCall::end_group(kLibrary, nullptr));
}

ncclResult_t ncclGroupSimulateEnd(ncclSimInfo_t* simInfo) {
  if (simInfo == nullptr) return invalid("ncclGroupSimulateEnd: no place for the answer");
  return result(GroupCall::end_group(kLibrary, &simInfo->estimatedTime));
}

}  // extern "C"
