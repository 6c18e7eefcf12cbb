// Questions about cuDNN's backend descriptors that a program is about to ask, asked in the same
// round trip as the one that it asks.
//
// Finding a convolution's engine, PyTorch asks the same of every configuration that the heuristic
// offers, and of the engine in each: some 90 questions for a convolution. The configurations are
// relatives: one call has filled them all. When a question comes about a second of them, the next
// one gets it too, then the next two, four, ...: as many as were asked before, so that at most as
// many are asked in vain. An engine is reached as the program did it, through a descriptor made for
// the moment. What comes back is remembered like any answer that cannot change (Call::ask), by the
// same key; what was refused is not.
//
// Off: setting optimise.ask_ahead. A refused question that nobody asked can be what
// cudnnGetLastErrorString tells.
#pragma once

#include <cudnn.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "client/cudax/call.h"

namespace farlane::client::cudax::cudnn {

// What is asked of a descriptor.
struct Attribute {
  cudnnBackendAttributeName_t name{};
  cudnnBackendAttributeType_t type{};
  int64_t requested = 0;
  bool has_array = false;
};

// One cudnnBackendGetAttribute on its way; stays where it is until it is answered.
struct Question {
  // `targets`: the program's descriptors, for the library to fill; as many as are requested.
  Question(cudnnBackendDescriptor_t of, const Attribute& attribute,
           std::span<const cudnnBackendDescriptor_t> targets);

  Call call;
  int64_t found = 0;
  std::vector<std::byte> elements;  // room for what was requested, and a byte more

 private:
  friend class Batch;
  size_t results_bytes = 0;
};

// The descriptors that one successful question has filled, with their types. Any thread, as below.
void note_filled(uint64_t of, const Attribute& attribute,
                 std::span<const cudnnBackendDescriptor_t> filled,
                 cudnnBackendDescriptorType_t type);
void forget(uint64_t descriptor);

// Before the attribute is asked of the descriptor: asks it and what may come next, if anything may.
// `type`: of the descriptor to fill, where it is one.
void ask_ahead(const Object& of, const Attribute& attribute, cudnnBackendDescriptorType_t type);

}  // namespace farlane::client::cudax::cudnn
