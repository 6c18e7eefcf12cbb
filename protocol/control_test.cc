// The client's control messages (protozero) and the server's (libprotobuf) hold each other to
// control.proto, in both directions, with every field set.
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <string>

#include "generated/protocol/control.pb.h"
#include "protocol/control_client.h"
#include "protocol/control_server.h"
#include "protocol/limits.h"
#include "protocol/testing/filler.h"

namespace farlane::protocol::control {
namespace {

namespace pb = ::google::protobuf;
using ServerControl = ::farlane::control::Control;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

// Sets every field of a message, whatever fields it has: a field that is added to control.proto and
// forgotten in control_client.cc fails the test.
void set_all(pb::Message* message, int which_of_oneof) {
  const pb::Descriptor* type = message->GetDescriptor();
  const pb::Reflection* set = message->GetReflection();
  for (int i = 0; i < type->field_count(); ++i) {
    const pb::FieldDescriptor* field = type->field(i);
    if (field->containing_oneof() != nullptr && i != which_of_oneof) continue;
    const int times = field->is_repeated() ? 3 : 1;
    for (int n = 0; n < times; ++n) {
      const uint64_t value = 0xfedcba9800000000u + static_cast<uint64_t>(field->number()) * 16 +
                             static_cast<uint64_t>(n);
      const std::string text = field->name() == "uuid" ? std::string(kUuidBytes, 'u')
                                                       : field->name() + std::to_string(n);
      const bool repeated = field->is_repeated();
      switch (field->cpp_type()) {
        case pb::FieldDescriptor::CPPTYPE_INT32:
          repeated ? set->AddInt32(message, field, -static_cast<int32_t>(value))
                   : set->SetInt32(message, field, -static_cast<int32_t>(value));
          break;
        case pb::FieldDescriptor::CPPTYPE_UINT32:
          repeated ? set->AddUInt32(message, field, static_cast<uint32_t>(value))
                   : set->SetUInt32(message, field, static_cast<uint32_t>(value));
          break;
        case pb::FieldDescriptor::CPPTYPE_UINT64:
          repeated ? set->AddUInt64(message, field, value) : set->SetUInt64(message, field, value);
          break;
        case pb::FieldDescriptor::CPPTYPE_BOOL:
          set->SetBool(message, field, true);
          break;
        case pb::FieldDescriptor::CPPTYPE_ENUM:
          set->SetEnumValue(
              message, field,
              field->enum_type()->value(field->enum_type()->value_count() - 1)->number());
          break;
        case pb::FieldDescriptor::CPPTYPE_STRING:
          repeated ? set->AddString(message, field, text) : set->SetString(message, field, text);
          break;
        case pb::FieldDescriptor::CPPTYPE_MESSAGE:
          set_all(repeated ? set->AddMessage(message, field) : set->MutableMessage(message, field),
                  0);
          break;
        default:
          FAIL() << "control.proto has a field of a type this test does not know: "
                 << field->full_name();
      }
    }
  }
}

TEST(Control, EveryFieldGoesFromServerToClientAndBack) {
  const pb::Descriptor* type = ServerControl::descriptor();
  ASSERT_EQ(type->field_count(), static_cast<int>(std::variant_size_v<Control>));
  for (int kind = 0; kind < type->field_count(); ++kind) {
    SCOPED_TRACE(type->field(kind)->name());
    ServerControl sent;
    set_all(&sent, kind);
    Control middle;
    std::string error;
    ASSERT_TRUE(decode(bytes_of(::farlane::control::serialize(sent)), &middle, &error)) << error;
    EXPECT_EQ(middle.index(), static_cast<size_t>(kind));
    ServerControl got;
    ASSERT_TRUE(::farlane::control::parse(bytes_of(encode(middle)), &got, &error)) << error;
    EXPECT_TRUE(pb::util::MessageDifferencer::Equals(sent, got))
        << sent.DebugString() << "\nbecame\n"
        << got.DebugString();
  }
}

Welcome welcome() {
  Welcome message;
  message.features = 5;
  message.ops = {1, 53, 97};
  message.server = "gpu-17, farlane 0.1.0";
  message.session_token = std::string("\0\xff token", 8);
  Device device;
  device.name = "NVIDIA H100 80GB HBM3";
  device.uuid = {1, 2, 3, 255};
  device.memory_bytes = uint64_t{80} << 30;
  device.attributes = {{75, 9}, {76, 0}};
  device.limits = {{0, 1024}};
  device.stream_priority_greatest = -5;
  device.peers = {1, 2};
  message.devices = {device, Device()};
  message.driver_version = 13000;
  return message;
}

TEST(Control, TheServerReadsWhatTheClientWrites) {
  ServerControl got;
  std::string error;
  ASSERT_TRUE(::farlane::control::parse(bytes_of(encode(welcome())), &got, &error)) << error;
  EXPECT_EQ(got.welcome().server(), "gpu-17, farlane 0.1.0");
  EXPECT_EQ(got.welcome().session_token(), std::string("\0\xff token", 8));
  EXPECT_EQ(got.welcome().devices(0).stream_priority_greatest(), -5);
  EXPECT_EQ(got.welcome().devices(0).uuid().size(), kUuidBytes);
  Control back;
  ASSERT_TRUE(decode(bytes_of(::farlane::control::serialize(got)), &back, &error)) << error;
  EXPECT_EQ(std::get<Welcome>(back), welcome());
}

TEST(Control, EmptyMessagesOfEveryKind) {
  for (const Control& sent :
       {Control(Hello()), Control(Welcome()), Control(Goodbye()), Control(Status())}) {
    Control got;
    std::string error;
    ASSERT_TRUE(decode(bytes_of(encode(sent)), &got, &error)) << error;
    EXPECT_EQ(got, sent);
    ServerControl server;
    EXPECT_TRUE(::farlane::control::parse(bytes_of(encode(sent)), &server, &error)) << error;
  }
}

TEST(Control, NumbersThatAreNotPackedAreReadToo) {
  // ops = 7, ops = 8, each with its own tag, as writers before proto3 do.
  const std::string hello = std::string("\x0a\x04\x20\x07\x20\x08", 6);
  Control got;
  std::string error;
  ASSERT_TRUE(decode(bytes_of(hello), &got, &error)) << error;
  EXPECT_EQ(std::get<Hello>(got).ops, (std::vector<uint32_t>{7, 8}));
}

TEST(Control, TextThatIsNotUtf8IsMarkedAndLongTextIsCut) {
  Hello hello;
  hello.client = "caf\xe9";
  ServerControl got;
  std::string error;
  ASSERT_TRUE(::farlane::control::parse(bytes_of(encode(hello)), &got, &error)) << error;
  EXPECT_EQ(got.hello().client(), "caf?");
  hello.client = std::string(limits::control_text_bytes_max + 10, 'x');
  ASSERT_TRUE(::farlane::control::parse(bytes_of(encode(hello)), &got, &error)) << error;
  EXPECT_EQ(got.hello().client().size(), limits::control_text_bytes_max);
}

// Both sides refuse the same, each with a reason that names the field.
void expect_refused(const std::string& bytes, const std::string& part_of_reason) {
  Control client;
  ServerControl server;
  std::string error;
  EXPECT_FALSE(decode(bytes_of(bytes), &client, &error));
  EXPECT_NE(error.find(part_of_reason), std::string::npos) << error;
  EXPECT_FALSE(::farlane::control::parse(bytes_of(bytes), &server, &error));
  EXPECT_NE(error.find(part_of_reason), std::string::npos) << error;
}

TEST(Control, WhatIsOverALimitIsRefusedByBothSides) {
  expect_refused(std::string(limits::control_bytes_max + 1, '\0'), "bytes (limit");
  expect_refused("", "no kind");

  Hello hello;
  hello.ops.assign(limits::control_ops_max + 1, 1);
  expect_refused(encode(hello), "ops");
  Hello token;
  token.session_token.assign(limits::session_token_bytes_max + 1, 't');
  expect_refused(encode(token), "session token");
  Status status;
  status.devices.resize(limits::devices_max + 1);
  expect_refused(encode(status), "devices");
  Status sessions;
  sessions.device_sessions.assign(limits::devices_max + 1, 1);
  expect_refused(encode(sessions), "device sessions");

  ServerControl text;
  text.mutable_goodbye()->set_text(std::string(limits::control_text_bytes_max + 1, 'x'));
  expect_refused(text.SerializeAsString(), "text");
  ServerControl uuid;
  uuid.mutable_status()->add_devices()->set_uuid(std::string(kUuidBytes + 1, 'x'));
  expect_refused(uuid.SerializeAsString(), "device uuid");
}

TEST(Control, PrefixesAndMutationsNeverHurt) {
  const std::string good = encode(welcome());
  testing::Random random(4711);
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = good.substr(0, random.below(good.size() + 1));
    for (uint64_t changes = random.below(5); changes != 0 && !bytes.empty(); --changes) {
      bytes[random.below(bytes.size())] = static_cast<char>(random.next());
    }
    // On the heap and of exactly this size, so that the sanitizer sees a read past it.
    const std::vector<char> exact(bytes.begin(), bytes.end());
    Control got;
    std::string error;
    const bool decoded = decode(std::as_bytes(std::span(exact)), &got, &error);
    EXPECT_TRUE(decoded || !error.empty());
  }
}

TEST(Control, AReasonOfALaterVersionIsUnspecified) {
  ServerControl sent;
  sent.mutable_goodbye()->set_reason(static_cast<::farlane::control::Goodbye_Reason>(200));
  Control got;
  std::string error;
  ASSERT_TRUE(decode(bytes_of(sent.SerializeAsString()), &got, &error)) << error;
  EXPECT_EQ(std::get<Goodbye>(got).reason, Goodbye::Reason::kUnspecified);
}

}  // namespace
}  // namespace farlane::protocol::control
