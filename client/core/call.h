// How nearly every function of api.h begins: with the session, and with what the call names in it.
//
//   Call call;
//   Stream* found = call.stream(stream);
//   if (found == nullptr) {
//     return call.error;
//   }
//
// Of several things that are wrong CUDA tells the first. So the steps stand in CUDA's order, and
// behind the first error the others neither look nor do anything: one question at the end is
// enough.
#pragma once

#include "client/core/session.h"

namespace farlane::client {

class Call {
 public:
  Call() {
    // A variable of its own, here and below: nobody gets the address of `error`, which can then
    // stay in a register.
    CUresult wrong = CUDA_SUCCESS;
    session = client::session(&wrong);
    if (session == nullptr) [[unlikely]] {
      fail(wrong, kServerLost);
    }
  }

  explicit operator bool() const { return error == CUDA_SUCCESS; }
  Session* operator->() const { return session; }

  CUresult error = CUDA_SUCCESS;
  Session* session;  // null with an error

  // What the call names; null with an error.
  Device* device(int ordinal) {
    return found(error == CUDA_SUCCESS ? session->device(ordinal) : nullptr,
                 CUDA_ERROR_INVALID_DEVICE);
  }
  Stream* stream(CUstream handle) { return resolve<Stream>(handle); }
  // One that the program made, and no default stream.
  Stream* made_stream(CUstream handle) {
    return find(&Session::streams, handle, CUDA_ERROR_INVALID_HANDLE);
  }
  Function* function(CUfunction handle) { return resolve<Function>(handle, current_device()); }
  // Where the stream is.
  Function* function(CUfunction handle, const Stream* stream) {
    return stream == nullptr ? nullptr : resolve<Function>(handle, stream->device->ordinal);
  }
  Event* event(CUevent handle) { return find(&Session::events, handle, CUDA_ERROR_INVALID_HANDLE); }
  Module* module(CUmodule handle) {
    return find(&Session::modules, handle, CUDA_ERROR_INVALID_HANDLE);
  }
  Graph* graph(CUgraph handle) { return find(&Session::graphs, handle, CUDA_ERROR_INVALID_VALUE); }
  GraphExec* exec(CUgraphExec handle) {
    return find(&Session::graph_execs, handle, CUDA_ERROR_INVALID_VALUE);
  }
  // A node and its graph.
  GraphNode* node(CUgraphNode handle, Graph** of) {
    GraphNode* node = find(&Session::graph_nodes, handle, CUDA_ERROR_INVALID_VALUE);
    *of = node == nullptr ? nullptr : graph(handle_of<CUgraph>(node->graph));
    return *of == nullptr ? nullptr : node;
  }

  // A fresh object of the device, with its name. Null with an error: there are too many.
  template <class T, auto kKind>
  T* make(HandleTable<T, kKind>& names, Device* device) {
    uint64_t bits = 0;
    T* made =
        found(error == CUDA_SUCCESS ? names.create(&bits) : nullptr, CUDA_ERROR_OUT_OF_MEMORY);
    if (made != nullptr) {
      made->id = decltype(made->id)::from_bits(bits);
      made->device = device;
    }
    return made;
  }

  // An error of earlier commands is this call's.
  void take_earlier() {
    if (error == CUDA_SUCCESS) {
      error = session->errors.take();
    }
  }
  // What captures forbid: see Captures.
  void check_unsafe() {
    if (error == CUDA_SUCCESS) {
      error = session->captures.check_unsafe();
    }
  }
  void check_wait(const Stream* stream) {
    if (error == CUDA_SUCCESS) {
      error = session->captures.check_wait(*stream);
    }
  }
  void check_device() {
    if (error == CUDA_SUCCESS) {
      error = session->captures.check_device();
    }
  }
  // Work is put into the stream; the capture that it becomes part of, if any. Not `capturable`: it
  // waits, or CUDA does not capture such work. Other streams' captures do not mind.
  CaptureRef admit(const Stream* stream, bool capturable = true) {
    if (error != CUDA_SUCCESS) {
      return nullptr;
    }
    CUresult wrong = CUDA_SUCCESS;
    CaptureRef capture = session->captures.admit(*stream, &wrong);
    if (!capturable && capture != nullptr) {
      capture = nullptr;
      wrong = session->captures.check_wait(*stream);
    }
    error = wrong;
    return capture;
  }

 private:
  void fail(CUresult wrong, CUresult otherwise) {
    error = wrong == CUDA_SUCCESS ? otherwise : wrong;
  }
  template <class T>
  T* found(T* object, CUresult otherwise) {
    if (object == nullptr && error == CUDA_SUCCESS) [[unlikely]] {
      error = otherwise;
    }
    return object;
  }
  template <class T, auto kKind, class Handle>
  T* find(HandleTable<T, kKind> Session::*names, Handle handle, CUresult otherwise) {
    return found(error == CUDA_SUCCESS ? (session->*names).find(bits_of(handle)) : nullptr,
                 otherwise);
  }
  template <class T, class... What>
  T* resolve(What... what) {
    CUresult wrong = CUDA_SUCCESS;
    T* object = error == CUDA_SUCCESS ? session->resolve(what..., &wrong) : nullptr;
    if (object == nullptr && error == CUDA_SUCCESS) [[unlikely]] {
      fail(wrong, CUDA_ERROR_INVALID_HANDLE);
    }
    return object;
  }
};

}  // namespace farlane::client
