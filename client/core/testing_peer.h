// The other end of a loopback channel, moved by hand: a test decides what the server says and when.
#pragma once

#include <gtest/gtest.h>

#include <vector>

#include "generated/protocol/messages.h"
#include "protocol/append.h"
#include "transport/channel.h"
#include "transport/loopback.h"

namespace farlane::client::testing {

class Peer : public transport::FrameSink {
 public:
  explicit Peer(std::unique_ptr<transport::Channel> channel) : channel_(std::move(channel)) {}

  // Takes in everything that the client has sent so far. Number of frames.
  int receive() {
    int frames = 0;
    while (channel_->receive(*this) == transport::ReceiveStatus::kDelivered) {
      ++frames;
    }
    return frames;
  }
  struct Command {
    protocol::RecordHeader header;
    std::vector<std::byte> payload;
    size_t body_bytes = 0;
  };
  const std::vector<Command>& commands() const { return commands_; }

  template <class... Messages>
  void send(uint64_t sequence, const Messages&... messages) {
    std::vector<std::byte> head;
    (protocol::append_record(head, messages, sequence), ...);
    send_raw(head, {});
  }
  void send_raw(std::span<const std::byte> head, std::span<const std::byte> body) {
    const transport::Bytes part = body;
    const transport::Frame frame{
        head, body.empty() ? std::span<const transport::Bytes>() : std::span(&part, 1)};
    ASSERT_EQ(channel_->send(frame), transport::SendStatus::kSent);
  }
  transport::Channel& channel() { return *channel_; }

  transport::MutableBytes place(transport::Bytes, uint32_t body_bytes) override {
    body_.resize(body_bytes);
    return body_;
  }
  void deliver(transport::Bytes head, transport::MutableBytes body) override {
    protocol::RecordCursor records(head);
    protocol::Record record;
    while (records.next(record)) {
      commands_.push_back({record.header, {record.payload.begin(), record.payload.end()}, 0});
    }
    ASSERT_FALSE(records.fault()) << records.fault().text();
    commands_.back().body_bytes = body.size();
  }

 private:
  std::unique_ptr<transport::Channel> channel_;
  std::vector<Command> commands_;
  std::vector<std::byte> body_;
};

}  // namespace farlane::client::testing
