#include "client/core/tensor_map.h"

#include "client/core/call.h"
#include "client/core/session.h"
#include "protocol/limits.h"

namespace farlane::client {
namespace {

constexpr unsigned kRankMax = 5;

// The bytes of a question are its name among those that were answered.
template <class Value>
void append(std::string* bytes, const Value& value) {
  bytes->append(reinterpret_cast<const char*>(&value), sizeof value);
}

// The map that answers the question, as it was answered before or as the server says now.
template <class Question>
CUresult ask_once(Session* s, const std::string& name, const Question& question, CUtensorMap* map) {
  if (s->tensor_maps.find(name, map)) {
    return CUDA_SUCCESS;
  }
  Answer<Question> answer;
  const CUresult result = s->ask(question, &answer);
  if (result == CUDA_SUCCESS) {
    static_assert(sizeof answer.reply.map == sizeof *map);
    std::memcpy(map, answer.reply.map.data(), sizeof *map);
    s->tensor_maps.keep(name, *map);
  }
  return result;
}

}  // namespace

CUresult tensor_map_encode(const TensorMap& what, CUtensorMap* map) {
  Call call;
  if (!call) {
    return call.error;
  }
  if (what.rank == 0 || what.rank > kRankMax ||
      what.numbers.size() > protocol::limits::tensor_map_numbers_max) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  std::string name;
  for (const uint64_t part :
       {uint64_t{static_cast<uint8_t>(what.kind)}, uint64_t{what.type}, uint64_t{what.rank},
        uint64_t{what.address}, uint64_t{what.interleave}, uint64_t{what.mode},
        uint64_t{what.swizzle}, uint64_t{what.promotion}, uint64_t{what.fill}}) {
    append(&name, part);
  }
  std::vector<message::TensorMapNumber> numbers;
  for (const int64_t number : what.numbers) {
    append(&name, number);
    numbers.push_back({number});
  }
  return ask_once(call.session, name,
                  message::TensorMapEncode{.kind = static_cast<uint32_t>(what.kind),
                                           .data_type = what.type,
                                           .rank = what.rank,
                                           .interleave = what.interleave,
                                           .mode = what.mode,
                                           .swizzle = what.swizzle,
                                           .l2_promotion = what.promotion,
                                           .oob_fill = what.fill,
                                           .address = what.address,
                                           .numbers = numbers},
                  map);
}

CUresult tensor_map_move(CUdeviceptr address, CUtensorMap* map) {
  Call call;
  if (!call) {
    return call.error;
  }
  std::string name("move");
  append(&name, *map);
  append(&name, address);
  message::TensorMapMove question{.address = address, .map = {}};
  std::memcpy(question.map.data(), map, sizeof *map);
  return ask_once(call.session, name, question, map);
}

}  // namespace farlane::client
