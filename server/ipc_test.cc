// Names of shared things: between a worker's end and the supervisor's, without processes.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "server/ipc_names.h"
#include "server/link_ipc.h"

namespace farlane::server {
namespace {

class IpcTest : public testing::Test {
 protected:
  struct Worker {
    LinkPair link;
    std::unique_ptr<LinkIpc> ipc;
    int woken = 0;
    pid_t pid = 0;
  };

  IpcTest() {
    pid_t pid = 100;
    for (Worker& worker : workers_) {
      std::string error;
      EXPECT_TRUE(make_link(&worker.link, &error)) << error;
      worker.ipc = std::make_unique<LinkIpc>(worker.link.worker.get());
      worker.ipc->set_wake([&worker] { ++worker.woken; });
      worker.pid = pid++;
    }
  }

  // The supervisor takes what the worker said, and the worker what it is answered.
  void supervise(Worker& worker) {
    LinkMessage message;
    while (receive_link(worker.link.supervisor.get(), &message) == LinkStatus::kDone) {
      names_.on_message(worker.pid, worker.link.supervisor.get(), std::move(message));
    }
  }
  IpcAnswer answer(Worker& worker) {
    supervise(worker);
    LinkMessage message;
    EXPECT_EQ(receive_link(worker.link.worker.get(), &message), LinkStatus::kDone);
    worker.ipc->deliver(std::move(message));
    IpcAnswer thing;
    EXPECT_TRUE(worker.ipc->take(&thing));
    EXPECT_FALSE(worker.ipc->take(&thing)) << "one answer to one question";
    return thing;
  }

  static constexpr size_t kNamesMax = 2 * IpcNames::kDescriptorsMax;  // few: each takes its time
  IpcNames names_{kNamesMax};
  Worker workers_[2];
};

const std::string kName(kIpcNameBytes, '\x07');
const std::string kOther(kIpcNameBytes, '\0');

TEST_F(IpcTest, WhatOneSharesTheOtherOpens) {
  const transport::Fd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  workers_[0].ipc->share(5, kName, "data", file);
  const IpcAnswer shared = answer(workers_[0]);
  EXPECT_EQ(shared.question, 5u);
  EXPECT_TRUE(shared.done);
  EXPECT_EQ(workers_[0].woken, 1);

  workers_[1].ipc->open(9, kName);
  const IpcAnswer opened = answer(workers_[1]);
  EXPECT_EQ(opened.question, 9u);
  ASSERT_TRUE(opened.done);
  EXPECT_EQ(opened.data, "data");
  struct stat given {};
  struct stat got {};
  ASSERT_EQ(::fstat(file.get(), &given), 0);
  ASSERT_TRUE(opened.fd);
  ASSERT_EQ(::fstat(opened.fd.get(), &got), 0);
  EXPECT_EQ(given.st_ino, got.st_ino);
}

TEST_F(IpcTest, ThereMayBeNoDescriptor) {
  workers_[0].ipc->share(1, kName, "event", transport::Fd());
  EXPECT_TRUE(answer(workers_[0]).done);
  workers_[1].ipc->open(2, kName);
  const IpcAnswer opened = answer(workers_[1]);
  EXPECT_TRUE(opened.done);
  EXPECT_EQ(opened.data, "event");
  EXPECT_FALSE(opened.fd);
}

TEST_F(IpcTest, UnknownNamesAreToldSo) {
  workers_[1].ipc->open(1, kOther);
  const IpcAnswer opened = answer(workers_[1]);
  EXPECT_FALSE(opened.done);
  EXPECT_TRUE(opened.data.empty());
}

TEST_F(IpcTest, ANameIsTakenOnce) {
  workers_[0].ipc->share(1, kName, "first", transport::Fd());
  EXPECT_TRUE(answer(workers_[0]).done);
  workers_[1].ipc->share(1, kName, "second", transport::Fd());
  EXPECT_FALSE(answer(workers_[1]).done);
}

TEST_F(IpcTest, OnlyItsOwnerForgetsIt) {
  workers_[0].ipc->share(1, kName, "", transport::Fd());
  EXPECT_TRUE(answer(workers_[0]).done);
  workers_[1].ipc->forget(kName);
  supervise(workers_[1]);
  workers_[1].ipc->open(2, kName);
  EXPECT_TRUE(answer(workers_[1]).done);
  workers_[0].ipc->forget(kName);
  supervise(workers_[0]);
  workers_[1].ipc->open(3, kName);
  EXPECT_FALSE(answer(workers_[1]).done);
}

TEST_F(IpcTest, AnEndedWorkerSharesNothing) {
  workers_[0].ipc->share(1, kName, "", transport::Fd());
  EXPECT_TRUE(answer(workers_[0]).done);
  names_.forget_all(workers_[0].pid);
  workers_[1].ipc->open(2, kName);
  EXPECT_FALSE(answer(workers_[1]).done);
}

std::string numbered(size_t i, char kind) {
  std::string name = kOther;
  name[0] = static_cast<char>(i);
  name[1] = static_cast<char>(i >> 8);
  name[2] = kind;
  return name;
}

// Whoever shares much leaves as much to others.
TEST_F(IpcTest, ThereIsALimit) {
  const transport::Fd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  for (size_t i = 0; i <= IpcNames::kDescriptorsMax / 2; ++i) {
    workers_[0].ipc->share(i, numbered(i, 0), "", file);
    EXPECT_EQ(answer(workers_[0]).done, i < IpcNames::kDescriptorsMax / 2) << i;
  }
  for (size_t i = 0; i <= IpcNames::kDescriptorsMax / 4; ++i) {
    workers_[1].ipc->share(i, numbered(i, 1), "", file);
    EXPECT_EQ(answer(workers_[1]).done, i < IpcNames::kDescriptorsMax / 4) << i;
  }
  // What needs no descriptor still has room, and so has whoever gave one back.
  std::string event = kName;
  workers_[0].ipc->share(1, event, "", transport::Fd());
  EXPECT_TRUE(answer(workers_[0]).done);
  workers_[1].ipc->forget(numbered(0, 1));
  workers_[1].ipc->share(2, numbered(0, 1), "", file);
  EXPECT_TRUE(answer(workers_[1]).done);
}

TEST_F(IpcTest, NamesWithoutDescriptorsHaveTheSameLimit) {
  for (size_t i = 0; i <= kNamesMax / 2; ++i) {
    workers_[0].ipc->share(i, numbered(i, 0), "", transport::Fd());
    ASSERT_EQ(answer(workers_[0]).done, i < kNamesMax / 2) << i;
  }
  workers_[1].ipc->share(1, kName, "", transport::Fd());
  EXPECT_TRUE(answer(workers_[1]).done);
  names_.forget_all(workers_[0].pid);
  workers_[0].ipc->share(1, numbered(0, 0), "", transport::Fd());
  EXPECT_TRUE(answer(workers_[0]).done);
}

TEST_F(IpcTest, WhatIsKeptByANameIsShort) {
  workers_[0].ipc->share(1, kName, std::string(IpcNames::kDataBytesMax + 1, 'x'), transport::Fd());
  EXPECT_FALSE(answer(workers_[0]).done);
  workers_[0].ipc->share(2, kName, std::string(IpcNames::kDataBytesMax, 'x'), transport::Fd());
  EXPECT_TRUE(answer(workers_[0]).done);
}

TEST_F(IpcTest, ShortMessagesAreIgnored) {
  for (const LinkKind kind : {LinkKind::kShare, LinkKind::kOpen, LinkKind::kForget}) {
    names_.on_message(1, workers_[0].link.supervisor.get(), {kind, "short", transport::Fd()});
  }
  LinkMessage message;
  message.kind = LinkKind::kShared;
  message.text = "short";
  workers_[0].ipc->deliver(std::move(message));
  IpcAnswer thing;
  EXPECT_FALSE(workers_[0].ipc->take(&thing));
}

}  // namespace
}  // namespace farlane::server
