#include "server/monitor.h"

#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <deque>
#include <string>
#include <vector>

#include "protocol/append.h"
#include "protocol/record.h"
#include "server/monitor_call.h"
#include "transport/endpoint.h"

namespace farlane::server {
namespace {

using transport::Clock;

constexpr auto kSegmentTime = std::chrono::seconds(1);
constexpr auto kIdleTime = std::chrono::seconds(60);
// Questions whose answers have not left yet; a client of ours asks one at a time.
constexpr size_t kAnswersMax = 64;

class Monitor : public transport::FrameSink {
 public:
  Monitor(transport::Channel& channel, const Nvml& nvml, bool has_nvml)
      : channel_(channel), nvml_(nvml), has_nvml_(has_nvml) {}

  // What went wrong; empty if the client just left.
  std::string run() {
    for (;;) {
      const bool busy = !send_answers();
      const transport::ReceiveStatus got = answers_.size() < kAnswersMax
                                               ? channel_.receive(*this)
                                               : transport::ReceiveStatus::kNothing;
      if (!fault_.empty()) return fault_;
      if (got == transport::ReceiveStatus::kGone) return "";
      if (got == transport::ReceiveStatus::kDelivered) continue;
      if (channel_.wait(true, busy, Clock::now() + kIdleTime).timed_out) return "";
    }
  }

  transport::MutableBytes place(transport::Bytes, uint32_t) override {
    fault_ = "a frame with a body";
    return {};
  }

  void deliver(transport::Bytes head, transport::MutableBytes) override {
    protocol::RecordCursor records(head);
    protocol::Record record;
    while (fault_.empty() && records.next(record)) {
      // The hello, which the supervisor has read, and signs of life.
      if (record.header.op != static_cast<uint16_t>(protocol::Op::kMonitorCall)) continue;
      protocol::message::MonitorCall call;
      protocol::Fault fault;
      if (!decode(record, call, fault)) {
        fault_ = fault.text();
        return;
      }
      answer(record.header.sequence, call);
    }
    if (records.fault()) fault_ = records.fault().text();
  }

 private:
  void answer(uint64_t sequence, const protocol::message::MonitorCall& call) {
    protocol::message::MonitorCallReply reply;
    reply.executed = sequence;
    reply.result = NVML_ERROR_NOT_SUPPORTED;
    std::vector<std::byte> data;
    if (has_nvml_) {
      MonitorArguments in(call, nvml_);
      reply.result = call_nvml(nvml_, std::string(call.function), in);
      data = in.answer();
    }
    reply.data = data;
    protocol::append_record(answers_.emplace_back(), reply, sequence);
  }

  // False: the rest waits for the network.
  bool send_answers() {
    if (channel_.flush() == transport::SendStatus::kBusy) return false;
    while (!answers_.empty()) {
      if (channel_.send({answers_.front(), {}}) == transport::SendStatus::kBusy) return false;
      answers_.pop_front();
    }
    return true;
  }

  transport::Channel& channel_;
  const Nvml& nvml_;
  const bool has_nvml_;
  std::deque<std::vector<std::byte>> answers_;
  std::string fault_;
};

}  // namespace

void monitor_main(int socket_fd, const ServerSettings& settings) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::signal(SIGINT, SIG_IGN);
  ::signal(SIGTERM, SIG_IGN);
  ::signal(SIGPIPE, SIG_IGN);
  std::string error;
  const std::unique_ptr<transport::Channel> channel =
      transport::accept_channel(transport::Fd(socket_fd), Clock::now() + kSegmentTime, &error);
  if (channel == nullptr) {
    spdlog::warn("a monitoring connection could not begin: {}", error);
    ::_exit(1);
  }
  Nvml nvml;
  const bool has_nvml = nvml.load(settings.nvml_library, &error);
  if (!has_nvml) spdlog::info("NVML is not usable: {} (setting monitoring.nvml_library)", error);
  const std::string fault = Monitor(*channel, nvml, has_nvml).run();
  if (!fault.empty()) spdlog::warn("{}: not a monitoring client: {}", channel->peer_name(), fault);
  channel->close();
  ::_exit(0);
}

}  // namespace farlane::server
