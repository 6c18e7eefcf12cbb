// Calls of NVML as clients send them, honest and not, against server/fake_nvml.c.
#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "protocol/record.h"
#include "server/monitor_call.h"

namespace farlane::server {
namespace {

namespace message = protocol::message;

const Nvml& fake_nvml() {
  static const Nvml nvml = [] {
    Nvml loaded;
    std::string error;
    EXPECT_TRUE(loaded.load(FARLANE_FAKE_NVML, &error)) << error;
    return loaded;
  }();
  return nvml;
}

// The software device's.
constexpr unsigned char kUuid[16] = {0xfa, 0x71, 0xa2, 0xe0, 0x50, 0xf7, 0x4d, 0xe1,
                                     0x9c, 0xe0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01};

struct Call {
  std::vector<message::DeviceUuid> devices;
  std::vector<message::MonitorNumber> numbers;
  std::vector<message::MonitorBuffer> buffers;
  std::vector<std::byte> data;
  std::vector<std::byte> back;

  Call& device(bool known = true) {
    std::memcpy(devices.emplace_back().bytes.data(), kUuid, sizeof kUuid);
    if (!known) devices.back().bytes[0] = {};
    return *this;
  }
  Call& number(uint64_t value) {
    numbers.push_back({value});
    return *this;
  }
  Call& buffer(const void* from, uint32_t bytes) {
    buffers.push_back({bytes, 0});
    const size_t at = data.size();
    data.resize(at + protocol::padded(bytes));
    if (bytes > 0) std::memcpy(data.data() + at, from, bytes);
    return *this;
  }
  template <class T>
  Call& one(const T& value) {
    return buffer(&value, sizeof value);
  }
  Call& null() {
    buffers.push_back({0, 1});
    return *this;
  }
  nvmlReturn_t make(const char* function) {
    MonitorArguments in(message::MonitorCall{.function = function,
                                             .devices = devices,
                                             .numbers = numbers,
                                             .buffers = buffers,
                                             .data = data},
                        fake_nvml());
    const nvmlReturn_t result = call_nvml(fake_nvml(), function, in);
    back = in.answer();
    return result;
  }
  template <class T>
  T answer(size_t at = 0) const {
    T value{};
    EXPECT_LE(at + sizeof value, back.size());
    std::memcpy(&value, back.data() + at, sizeof value);
    return value;
  }
};

TEST(Monitor, NumbersStructuresAndTexts) {
  Call temperature;
  EXPECT_EQ(temperature.device().number(0).one(0u).make("nvmlDeviceGetTemperature"), NVML_SUCCESS);
  EXPECT_EQ(temperature.answer<unsigned>(), 41u);
  Call rates;
  EXPECT_EQ(rates.device().one(nvmlUtilization_t{}).make("nvmlDeviceGetUtilizationRates"),
            NVML_SUCCESS);
  EXPECT_EQ(rates.answer<nvmlUtilization_t>().gpu, 87u);
  Call serial;
  char text[30] = {};
  EXPECT_EQ(
      serial.device().number(sizeof text).buffer(text, sizeof text).make("nvmlDeviceGetSerial"),
      NVML_SUCCESS);
  EXPECT_STREQ(reinterpret_cast<const char*>(serial.back.data()), "1324021012345");
}

TEST(Monitor, ListsAreAsLongAsTheirBuffer) {
  Call asks_length;
  EXPECT_EQ(asks_length.device().one(0u).null().make("nvmlDeviceGetSupportedMemoryClocks"),
            NVML_ERROR_INSUFFICIENT_SIZE);
  EXPECT_EQ(asks_length.answer<unsigned>(), 3u);
  Call whole;
  const unsigned room[3] = {};
  EXPECT_EQ(
      whole.device().one(3u).buffer(room, sizeof room).make("nvmlDeviceGetSupportedMemoryClocks"),
      NVML_SUCCESS);
  EXPECT_EQ(whole.answer<unsigned>(8), 2619u);
  // It says three and brings two.
  Call lies;
  EXPECT_EQ(lies.device().one(3u).buffer(room, 8).make("nvmlDeviceGetSupportedMemoryClocks"),
            NVML_ERROR_INVALID_ARGUMENT);
  Call negative;
  EXPECT_EQ(negative.device()
                .number(static_cast<uint32_t>(-1))
                .buffer(room, 8)
                .make("nvmlDeviceGetFieldValues"),
            NVML_ERROR_INVALID_ARGUMENT);
}

TEST(Monitor, StructuresThatTellTheirSize) {
  nvmlMemory_v2_t memory = {};
  memory.version = nvmlMemory_v2;
  Call honest;
  EXPECT_EQ(honest.device().one(memory).make("nvmlDeviceGetMemoryInfo_v2"), NVML_SUCCESS);
  EXPECT_EQ(honest.answer<nvmlMemory_v2_t>().reserved, 50u);
  Call shorter;
  EXPECT_EQ(shorter.device().buffer(&memory, 8).make("nvmlDeviceGetMemoryInfo_v2"),
            NVML_ERROR_INVALID_ARGUMENT);
  memory.version = 0x02ffffff;
  Call larger;
  EXPECT_EQ(larger.device().one(memory).make("nvmlDeviceGetMemoryInfo_v2"),
            NVML_ERROR_INVALID_ARGUMENT);
}

TEST(Monitor, WhatMayNotBeCalledIsNotThere) {
  for (const char* name : {"nvmlDeviceSetPersistenceMode", "nvmlInit_v2", "nvmlShutdown", "system",
                           "", "nvmlDeviceGetFanSpeed"}) {
    Call call;
    EXPECT_EQ(call.device().number(1).one(0u).make(name), NVML_ERROR_FUNCTION_NOT_FOUND) << name;
  }
  Call stranger;
  EXPECT_EQ(stranger.device(false).one(0u).make("nvmlDeviceGetPowerUsage"), NVML_ERROR_NOT_FOUND);
}

TEST(Monitor, MissingArgumentsAreRefused) {
  Call nothing;
  EXPECT_EQ(nothing.make("nvmlDeviceGetTemperature"), NVML_ERROR_INVALID_ARGUMENT);
  Call no_number;
  EXPECT_EQ(no_number.device().one(0u).make("nvmlDeviceGetTemperature"),
            NVML_ERROR_INVALID_ARGUMENT);
  Call small;
  const uint16_t half = 0;
  EXPECT_EQ(small.device().one(half).make("nvmlDeviceGetPowerUsage"), NVML_ERROR_INVALID_ARGUMENT);
  Call more_than_sent;
  more_than_sent.device().one(0u);
  more_than_sent.buffers[0].bytes = 4096;
  EXPECT_EQ(more_than_sent.make("nvmlDeviceGetPowerUsage"), NVML_ERROR_INVALID_ARGUMENT);
}

// Whatever comes: no crash, and an answer no longer than what came.
TEST(Monitor, AnythingAtAll) {
  std::mt19937 random(1);
  const char* const functions[] = {
      "nvmlDeviceGetTemperature",          "nvmlDeviceGetSerial",  "nvmlDeviceGetMemoryInfo_v2",
      "nvmlDeviceGetFieldValues",          "nvmlDeviceGetMigMode", "nvmlDeviceGetPciInfo_v3",
      "nvmlDeviceGetSupportedMemoryClocks"};
  for (int round = 0; round < 20'000; ++round) {
    Call call;
    for (unsigned n = random() % 3; n > 0; --n) call.device(random() % 4 != 0);
    for (unsigned n = random() % 3; n > 0; --n) call.number(random() % 64);
    for (unsigned n = random() % 4; n > 0; --n) {
      uint32_t bytes[32];
      for (uint32_t& word : bytes) word = random() % 3 == 0 ? nvmlMemory_v2 : random() % 5;
      call.buffer(bytes, random() % sizeof bytes);
      if (random() % 8 == 0) call.null();
      if (random() % 16 == 0) call.buffers.back().bytes = random();
    }
    static_cast<void>(call.make(functions[random() % std::size(functions)]));
    EXPECT_LE(call.back.size(), call.data.size());
  }
}

}  // namespace
}  // namespace farlane::server
