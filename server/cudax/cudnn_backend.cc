#include "server/cudax/cudnn_backend.h"

#include <cudnn_graph.h>
#include <fmt/format.h>

#include "protocol/cudax_lists.h"
#include "protocol/cudnn_elements.h"

namespace farlane::server::cudax::cudnn {
namespace {

struct Attribute {
  cudnnBackendDescriptor_t descriptor = nullptr;
  cudax::Object* object = nullptr;
  int name = 0;  // numbers while nobody has looked at them
  int type = 0;
  int64_t count = 0;
};

// What calls begin with; false: the peer got it wrong.
bool take(Arguments& arguments, Attribute* attribute) {
  attribute->descriptor = reinterpret_cast<cudnnBackendDescriptor_t>(arguments.object(kBackend));
  attribute->object = arguments.last();
  attribute->name = static_cast<int>(arguments.word());
  attribute->type = static_cast<int>(arguments.word());
  attribute->count = static_cast<int64_t>(arguments.word());
  if (protocol::cudnn_element_bytes(attribute->type) == 0 || attribute->count < 0) {
    arguments.fail(fmt::format("{} elements of type {}", attribute->count, attribute->type));
  }
  return arguments.fault().empty();
}

uint64_t bytes_of(const Attribute& attribute) {
  const uint64_t each = protocol::cudnn_element_bytes(attribute.type);
  const auto count = static_cast<uint64_t>(attribute.count);
  return count > (uint64_t{1} << 32) ? ~uint64_t{0} : count * each;
}

bool holds_addresses(const Attribute& attribute) {
  return attribute.type == CUDNN_TYPE_VOID_PTR;
}
bool holds_names(const Attribute& attribute) {
  return attribute.type == CUDNN_TYPE_HANDLE || attribute.type == CUDNN_TYPE_BACKEND_DESCRIPTOR;
}
uint16_t kind_of(const Attribute& attribute) {
  return attribute.type == CUDNN_TYPE_HANDLE ? kHandle : kBackend;
}

// Addresses, with those of values in host memory in the places that the client marked.
std::vector<uint64_t> take_addresses(Arguments& arguments, const Attribute& attribute) {
  const uint64_t count = arguments.word();
  if (count > protocol::cudax_list_max || count != static_cast<uint64_t>(attribute.count)) {
    arguments.fail(fmt::format("{} addresses for {} elements", count, attribute.count));
    return {};
  }
  std::vector<uint64_t> addresses(count);
  for (uint64_t& address : addresses) address = arguments.word();
  const uint64_t marked = arguments.word();
  if (marked > count) {
    arguments.fail(fmt::format("{} values in host memory among {} addresses", marked, count));
    return {};
  }
  if (marked != 0 && attribute.object != nullptr) attribute.object->values.resize(count);
  for (uint64_t i = 0; i < marked; ++i) {
    const uint64_t index = arguments.word();
    if (index >= count) {
      arguments.fail(fmt::format("value {} among {} addresses", index, count));
      return {};
    }
    if (attribute.object != nullptr) {
      addresses[index] = reinterpret_cast<uint64_t>(attribute.object->values[index].data());
    }
  }
  return addresses;
}

// One cudnnBackendGetAttribute.
struct Question {
  Attribute attribute;
  int64_t* count = nullptr;
  void* elements = nullptr;

  void take_places(Arguments& arguments) {
    count = role::Whole::take<int64_t*>(arguments);
    const bool has_array = arguments.word() != 0;
    if (attribute.type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
      const std::span<uint64_t> named = arguments.objects(kBackend);
      if (has_array && named.size() != static_cast<uint64_t>(attribute.count)) {
        arguments.fail(fmt::format("{} objects for {} elements", named.size(), attribute.count));
      }
      elements = has_array ? named.data() : nullptr;
    } else if (const uint64_t bytes = arguments.word(); has_array) {
      if (bytes != bytes_of(attribute)) {
        arguments.fail(fmt::format("{} bytes for {} elements", bytes, attribute.count));
      } else {
        elements =
            attribute.type == CUDNN_TYPE_HANDLE
                ? arguments.out_objects(static_cast<uint64_t>(attribute.count), nullptr, kHandle)
                : arguments.out(bytes, nullptr);
      }
    }
  }

  cudnnStatus_t ask(void* function) const {
    return reinterpret_cast<decltype(&cudnnBackendGetAttribute)>(function)(
        attribute.descriptor, static_cast<cudnnBackendAttributeName_t>(attribute.name),
        static_cast<cudnnBackendAttributeType_t>(attribute.type), attribute.count, count, elements);
  }
};

// Several questions, each with a word before its answer that says whether it was answered. They are
// asked in their order: one may be about a descriptor that another fills.
int64_t ask_all(void* function, Arguments& arguments) {
  struct Place {
    Question question;
    int64_t* is_answered = nullptr;
  };
  const uint64_t count = arguments.word();
  // How large the answers are; each question says it again.
  static_cast<void>(arguments.word());
  if (count > protocol::cudnn_questions_max) {
    arguments.fail(fmt::format("{} questions in one", count));
    return 0;
  }
  std::vector<Place> places(count);
  for (Place& place : places) {
    place.is_answered = static_cast<int64_t*>(arguments.out(sizeof(int64_t), nullptr));
    if (!take(arguments, &place.question.attribute)) return 0;
    place.question.take_places(arguments);
  }
  if (!arguments.complete()) return 0;
  for (const Place& place : places) {
    *place.is_answered = place.question.ask(function) == CUDNN_STATUS_SUCCESS ? 1 : 0;
  }
  return CUDNN_STATUS_SUCCESS;
}

}  // namespace

int64_t backend_set_attribute(void* function, Arguments& arguments) {
  Attribute attribute;
  if (!take(arguments, &attribute)) return 0;
  std::vector<uint64_t> addresses;
  const void* elements = nullptr;
  if (holds_addresses(attribute)) {
    addresses = take_addresses(arguments, attribute);
    elements = addresses.data();
  } else if (holds_names(attribute)) {
    const std::span<uint64_t> named = arguments.objects(kind_of(attribute));
    if (named.size() != static_cast<uint64_t>(attribute.count)) {
      arguments.fail(fmt::format("{} objects for {} elements", named.size(), attribute.count));
    }
    elements = named.data();
  } else {
    const uint64_t bytes = arguments.word();
    if (bytes != kNull && bytes != bytes_of(attribute)) {
      arguments.fail(fmt::format("{} bytes for {} elements", bytes, attribute.count));
    } else if (bytes != kNull) {
      elements = arguments.bytes(bytes);
    } else {
      attribute.count = 0;
    }
  }
  if (!arguments.complete()) return 0;
  return reinterpret_cast<decltype(&cudnnBackendSetAttribute)>(function)(
      attribute.descriptor, static_cast<cudnnBackendAttributeName_t>(attribute.name),
      static_cast<cudnnBackendAttributeType_t>(attribute.type), attribute.count, elements);
}

int64_t backend_get_attribute(void* function, Arguments& arguments) {
  if (arguments.next() == 0) {
    static_cast<void>(arguments.word());
    return ask_all(function, arguments);
  }
  Question question;
  if (!take(arguments, &question.attribute)) return 0;
  question.take_places(arguments);
  if (!arguments.complete()) return 0;
  return question.ask(function);
}

int64_t backend_execute(void* function, Arguments& arguments) {
  const auto handle = reinterpret_cast<cudnnHandle_t>(arguments.object(kHandle));
  const auto plan = reinterpret_cast<cudnnBackendDescriptor_t>(arguments.object(kBackend));
  const auto pack = reinterpret_cast<cudnnBackendDescriptor_t>(arguments.object(kBackend));
  cudax::Object* const object = arguments.last();
  const uint64_t count = arguments.word();
  for (uint64_t i = 0; i < count && arguments.fault().empty(); ++i) {
    const uint64_t index = arguments.word();
    const std::byte* value = arguments.bytes(protocol::cudnn_value_bytes);
    if (value == nullptr || object == nullptr) continue;
    if (index >= object->values.size()) {
      arguments.fail(fmt::format("value {} of {}", index, object->values.size()));
    } else {
      std::memcpy(object->values[index].data(), value, protocol::cudnn_value_bytes);
    }
  }
  if (!arguments.complete()) return 0;
  return reinterpret_cast<decltype(&cudnnBackendExecute)>(function)(handle, plan, pack);
}

}  // namespace farlane::server::cudax::cudnn
