// Commands about the session itself and the devices' limits.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "server/control.h"
#include "server/executor.h"

namespace farlane::server {

bool Executor::on(const RecordHeader& header, const message::Control& control) {
  HelloFacts hello;
  std::string why;
  switch (read_control(control.message, &hello, &why)) {
    case ControlKind::kMalformed:
      return fault(header, why);
    case ControlKind::kOther:
      return fault(header, "a message that only servers send");
    case ControlKind::kGoodbye:
      end_session(SessionEnd::kClientDone, why);
      return false;
    case ControlKind::kHello:
      break;
  }
  if (welcomed_) return fault(header, "a second hello");
  if (hello.major != protocol_major()) {
    end_session(SessionEnd::kVersion,
                fmt::format("this server speaks version {} of the protocol and the client version "
                            "{}: install the same release on both sides",
                            protocol_major(), hello.major));
    return false;
  }
  if (hello.devices_wanted != 0) {
    device_count_ = std::min(device_count_, hello.devices_wanted);
  }
  host_.choose(device_count_);
  welcomed_ = true;
  spdlog::info("session of {} with {} of {} devices", hello.client, device_count_,
               host_.devices.size());
  const std::string welcome = welcome_message(host_, settings_, device_count_, lanes_.token());
  outbox_.append(message::ControlReply{std::as_bytes(std::span(welcome))});
  return true;
}

bool Executor::on(const RecordHeader&, const message::ClientAlive&) {
  return true;
}

bool Executor::on(const RecordHeader& header, const message::LimitGet& get) {
  CUresult result = CUDA_SUCCESS;
  size_t value = 0;
  if (find_device(header, get.device, &result) != nullptr) {
    result = get.limit >= CU_LIMIT_MAX
                 ? CUDA_ERROR_INVALID_VALUE  // as an H100 has it
                 : driver_.cuCtxGetLimit(&value, static_cast<CUlimit>(get.limit));
  }
  message::LimitGetReply reply;
  reply.value = value;
  return answer(header.sequence, reply, result);
}

bool Executor::on(const RecordHeader& header, const message::LimitSet& set) {
  CUresult result = CUDA_SUCCESS;
  Device* device = find_device(header, set.device, &result);
  if (device != nullptr) {
    const auto limit = static_cast<CUlimit>(set.limit);
    size_t before = 0;
    if (set.limit >= CU_LIMIT_MAX) {
      result = CUDA_ERROR_INVALID_VALUE;  // as an H100 has it
    } else if ((result = driver_.cuCtxGetLimit(&before, limit)) == CUDA_SUCCESS &&
               (result = driver_.cuCtxSetLimit(limit, set.value)) == CUDA_SUCCESS) {
      device->limits_before.emplace(limit, before);
    }
  }
  return answer(header.sequence, message::LimitSetReply{}, result);
}

bool Executor::on(const RecordHeader& header, const message::Echo& echo) {
  message::EchoReply reply;
  reply.value = echo.value;
  return answer(header.sequence, reply, CUDA_SUCCESS);
}

bool Executor::on(const RecordHeader& header, const message::WorkerTimes&) {
  std::vector<message::CommandTimes> rows;
  return answer(header.sequence, clocks_.reply(&rows), CUDA_SUCCESS);
}

}  // namespace farlane::server
