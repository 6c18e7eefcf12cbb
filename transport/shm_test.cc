// What only shared memory can get wrong: what a hostile peer passes or writes, sockets as files,
// and which transport is chosen.
#include "transport/shm.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <random>
#include <thread>

#include "transport/endpoint.h"
#include "transport/shm_segment.h"
#include "transport/tcp.h"
#include "transport/test_support.h"

namespace farlane::transport::testing {
namespace {

namespace fs = std::filesystem;

constexpr size_t kRingBytes = kShmRingBytesMin;

struct Sockets {
  Sockets() {
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    a = Fd(fds[0]);
    b = Fd(fds[1]);
  }
  Fd a;
  Fd b;
};

// A channel whose peer is the test itself, with its hands in the segment.
class HostilePeer : public ::testing::Test {
 protected:
  void SetUp() override {
    Sockets sockets;
    std::string error;
    Fd memory;
    segment_ = ShmSegment::make(kRingBytes, &memory, &error);
    ASSERT_TRUE(segment_) << error;
    ShmSwitch change;
    change.ring_bytes = kRingBytes;
    const Bytes part = std::as_bytes(std::span(&change, 1));
    ASSERT_TRUE(send_with_fd(sockets.a.get(), {&part, 1}, memory.get()));
    channel_ = accept_shm(std::move(sockets.b), patience(), &error);
    ASSERT_TRUE(channel_) << error;
    raw_ = std::move(sockets.a);
    in_ = segment_->ring(0, raw_.get());
    out_ = segment_->ring(1, raw_.get());
  }
  void write_prefix_at(size_t at, uint32_t head_bytes, uint32_t body_bytes) {
    const uint32_t prefix[2] = {head_bytes, body_bytes};
    std::memcpy(in_.data + at, prefix, sizeof(prefix));
  }
  void expect_closed(const std::string& reason) {
    EXPECT_EQ(receive_to_the_end(*channel_, sink_), 0u);
    EXPECT_EQ(channel_->close_reason(), reason);
    EXPECT_EQ(channel_->send({bytes_of("x"), {}}), SendStatus::kGone);
    pollfd state{raw_.get(), POLLRDHUP, 0};
    EXPECT_EQ(::poll(&state, 1, 60'000), 1) << "the peer sees the end";
  }

  std::shared_ptr<ShmSegment> segment_;
  std::unique_ptr<Channel> channel_;
  Fd raw_;
  Ring in_;   // to the channel
  Ring out_;  // from it
  Collector sink_;
};

TEST_F(HostilePeer, BadSizesCloseTheConnectionWithAReason) {
  struct Case {
    uint32_t head_bytes;
    uint32_t body_bytes;
    const char* reason;
  };
  for (const Case& bad : {Case{0, 0, "frame head of 0 bytes"},
                          Case{262'145, 0, "frame head of 262145 bytes (limit 262144)"},
                          Case{0xffffffff, 0, "frame head of 4294967295 bytes (limit 262144)"},
                          Case{8, 8'388'609, "frame body of 8388609 bytes (limit 8388608)"}}) {
    SetUp();
    write_prefix_at(0, bad.head_bytes, bad.body_bytes);
    in_.control->written.store(16);
    expect_closed(bad.reason);
  }
}

TEST_F(HostilePeer, PositionsOutsideOfTheRing) {
  for (const uint64_t written : {uint64_t{kRingBytes + 1}, uint64_t{1} << 40, ~uint64_t{0}}) {
    SetUp();
    in_.control->written.store(written);
    expect_closed("shared memory: the peer's writing position is outside of the ring");
  }
}

TEST_F(HostilePeer, WritingPositionGoesBack) {
  write_prefix_at(0, 8, 0);
  in_.control->written.store(16);
  ASSERT_EQ(channel_->receive(sink_), ReceiveStatus::kDelivered);
  in_.control->written.store(8);
  sink_.frames.clear();
  expect_closed("shared memory: the peer's writing position is outside of the ring");
}

TEST_F(HostilePeer, FrameWithoutItsPadding) {
  write_prefix_at(0, 5, 0);
  in_.control->written.store(13);
  expect_closed("shared memory: a frame without its padding");
}

TEST_F(HostilePeer, ReadingPositionsOutsideOfTheRing) {
  const auto memory = pattern(2 * kRingBytes, 1);
  const Bytes body = memory;
  for (const uint64_t taken : {uint64_t{kRingBytes} * 64, uint64_t{1} << 40, ~uint64_t{0}}) {
    SetUp();
    ASSERT_EQ(channel_->send({bytes_of("x"), {&body, 1}}), SendStatus::kSent);
    ASSERT_FALSE(channel_->drained());
    out_.control->taken.store(taken);
    EXPECT_TRUE(channel_->wait(false, true, patience()).writable);
    EXPECT_EQ(channel_->flush(), SendStatus::kGone);
    EXPECT_TRUE(channel_->drained());
    EXPECT_EQ(channel_->close_reason(),
              "shared memory: the peer's reading position is outside of the ring");
  }
}

// A size that changes after it was checked must not be believed.
TEST_F(HostilePeer, SizesAreReadOnce) {
  write_prefix_at(0, 8, 100);
  in_.control->written.store(8 + 4);  // the head is not whole yet
  ASSERT_EQ(channel_->receive(sink_), ReceiveStatus::kNothing);
  write_prefix_at(0, 0xffffffff, 0xffffffff);
  in_.control->written.store(8 + 8 + 104);
  ASSERT_EQ(channel_->receive(sink_), ReceiveStatus::kDelivered);
  EXPECT_EQ(sink_.frames.at(0).head.size(), 8u);
  EXPECT_EQ(sink_.frames.at(0).body.size(), 100u);
}

// What a sink sees stays as it is, whatever the peer writes meanwhile.
TEST_F(HostilePeer, HeadsAreCopies) {
  class Watching final : public FrameSink {
   public:
    explicit Watching(Ring ring) : ring_(ring) {}
    std::string before;
    std::string after;
    MutableBytes place(Bytes, uint32_t) override { return {}; }
    void deliver(Bytes head, MutableBytes) override {
      before = text_of(head);
      std::memset(ring_.data, 'X', ring_.bytes);
      after = text_of(head);
    }

   private:
    Ring ring_;
  } watching(in_);
  write_prefix_at(0, 8, 0);
  std::memcpy(in_.data + 8, "original", 8);
  in_.control->written.store(16);
  ASSERT_EQ(channel_->receive(watching), ReceiveStatus::kDelivered);
  EXPECT_EQ(watching.before, "original");
  EXPECT_EQ(watching.after, "original");
}

TEST_F(HostilePeer, BellsWithoutNewsDoNotKeepAWaitFromItsDeadline) {
  std::atomic<bool> stop{false};
  std::thread ringer([&] {
    while (!stop) {
      ring_bell(raw_.get());
    }
  });
  const Ready ready = channel_->wait(true, false, Clock::now() + std::chrono::milliseconds(20));
  stop = true;
  ringer.join();
  EXPECT_TRUE(ready.timed_out);
  EXPECT_FALSE(ready.readable);
}

// Half a prefix is no reason to go round and round.
TEST_F(HostilePeer, TooFewBytesForAPrefixAreNoNews) {
  in_.control->written.store(4);
  ASSERT_EQ(channel_->receive(sink_), ReceiveStatus::kNothing);
  EXPECT_TRUE(channel_->wait(true, false, Deadline{}).timed_out);
}

// Control lines and ring changed at random, from a seed: whatever comes of it, the end is orderly.
TEST_F(HostilePeer, GarbageEndsInOrder) {
  std::mt19937_64 random(test_seed());
  for (int round = 0; round < 300; ++round) {
    SetUp();
    uint64_t at = 0;
    for (int i = 0; i < 20; ++i) {
      const auto head_bytes = static_cast<uint32_t>(1 + random() % 100);
      const auto body_bytes = static_cast<uint32_t>(random() % 300);
      write_prefix_at(at, head_bytes, body_bytes);
      at += (8 + head_bytes + body_bytes + 7) / 8 * 8;
    }
    for (uint64_t changes = random() % 4; changes > 0; --changes) {
      in_.data[random() % at] = static_cast<std::byte>(random());
    }
    in_.control->written.store(random() % 4 == 0 ? random() % (2 * at) : at);
    in_.control->ended.store(1);
    sink_.frames.clear();
    static_cast<void>(receive_to_the_end(*channel_, sink_));
    ASSERT_NE(channel_->close_reason(), "") << "seed " << test_seed() << " round " << round;
  }
}

TEST_F(HostilePeer, ItsDeathIsNoticedBySpinnersToo) {
  raw_.reset();
  const Deadline deadline = patience();
  while (channel_->receive(sink_) != ReceiveStatus::kGone) {
    ASSERT_LT(Clock::now(), deadline);
  }
  EXPECT_EQ(channel_->close_reason(), "peer closed the connection");
}

TEST_F(HostilePeer, ItsDeathInTheMiddleOfAFrameIsSaid) {
  write_prefix_at(0, 100, 0);
  in_.control->written.store(64);
  raw_.reset();
  EXPECT_EQ(receive_to_the_end(*channel_, sink_), 0u);
  EXPECT_EQ(channel_->close_reason(), "peer closed the connection in the middle of a frame");
}

// ------------------------------------------------------------------------- what is passed to us

std::string refusal(uint64_t ring_bytes, int fd, uint32_t version = 1) {
  Sockets sockets;
  ShmSwitch change;
  change.version = version;
  change.ring_bytes = ring_bytes;
  const Bytes part = std::as_bytes(std::span(&change, 1));
  EXPECT_TRUE(send_with_fd(sockets.a.get(), {&part, 1}, fd));
  std::string error;
  EXPECT_FALSE(accept_shm(std::move(sockets.b), patience(), &error));
  return error;
}

Fd memory_of(size_t bytes, unsigned seals, unsigned flags = MFD_ALLOW_SEALING) {
  Fd fd(::memfd_create("test", MFD_CLOEXEC | flags));
  EXPECT_EQ(::ftruncate(fd.get(), static_cast<off_t>(bytes)), 0);
  if (seals != 0) {
    EXPECT_EQ(::fcntl(fd.get(), F_ADD_SEALS, seals), 0);
  }
  return fd;
}

constexpr unsigned kGoodSeals = F_SEAL_SHRINK | F_SEAL_GROW;
constexpr size_t kGoodBytes = 4096 + 2 * kRingBytes;
constexpr const char* kRefused = "the peer's shared memory is not acceptable: ";

TEST(ShmSetUp, MemoryThatCouldHarmUsIsRefused) {
  EXPECT_EQ(refusal(kRingBytes, -1), std::string(kRefused) + "none was passed");
  EXPECT_EQ(refusal(kRingBytes, memory_of(kGoodBytes, 0).get()),
            std::string(kRefused) + "it could be made smaller");
  EXPECT_EQ(refusal(kRingBytes, memory_of(kGoodBytes, 0, 0).get()),
            std::string(kRefused) + "it could be made smaller");
  EXPECT_EQ(refusal(kRingBytes, memory_of(kGoodBytes - 1, kGoodSeals).get()),
            std::string(kRefused) + "135167 bytes are too few for 135168");
  const Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  EXPECT_EQ(refusal(kRingBytes, null.get()), std::string(kRefused) + "it is another kind of file");
  const Sockets socket;
  EXPECT_EQ(refusal(kRingBytes, socket.a.get()),
            std::string(kRefused) + "it is another kind of file");
  for (const uint64_t ring_bytes : {uint64_t{0}, uint64_t{1}, uint64_t{kRingBytes} / 2,
                                    uint64_t{kRingBytes} + 1, uint64_t{1} << 40, ~uint64_t{0}}) {
    EXPECT_EQ(refusal(ring_bytes, memory_of(kGoodBytes, kGoodSeals).get()),
              std::string(kRefused) + "rings of " + std::to_string(ring_bytes) + " bytes");
  }
  EXPECT_NE(refusal(kRingBytes, memory_of(kGoodBytes, kGoodSeals | F_SEAL_WRITE).get()), "");
  EXPECT_NE(refusal(kRingBytes, memory_of(kGoodBytes, kGoodSeals).get(), 2).find("version 2"),
            std::string::npos);
}

TEST(ShmSetUp, OurMemoryCannotBeMadeSmaller) {
  Fd memory;
  std::string error;
  ASSERT_TRUE(ShmSegment::make(kRingBytes, &memory, &error)) << error;
  EXPECT_NE(::ftruncate(memory.get(), 0), 0);
}

TEST(ShmSetUp, WhoeverSaysNothingIsGivenUpInTime) {
  Sockets sockets;
  std::string error;
  EXPECT_FALSE(
      accept_shm(std::move(sockets.b), Clock::now() + std::chrono::milliseconds(5), &error));
  EXPECT_EQ(error, "the peer did not switch to shared memory in time");
}

// As between a client, a supervisor that looks at the hello, and a worker.
TEST(ShmSetUp, TheFirstFrameCanBeSeenOnTheSocket) {
  Sockets sockets;
  std::string error;
  const auto client = adopt_shm_client(std::move(sockets.a), "test", {}, &error);
  ASSERT_TRUE(client) << error;
  ASSERT_EQ(client->send({bytes_of("hello"), {}}), SendStatus::kSent);
  ASSERT_EQ(client->send({bytes_of("second"), {}}), SendStatus::kSent);
  std::array<std::byte, 13> seen{};
  ASSERT_EQ(::recv(sockets.b.get(), seen.data(), seen.size(), MSG_PEEK | MSG_DONTWAIT), 13);
  EXPECT_EQ(text_of(parse_first_frame(seen).head), "hello");
  const auto worker = accept_channel(std::move(sockets.b), patience(), &error);
  ASSERT_TRUE(worker) << error;
  ASSERT_TRUE(worker->wait(true, false, patience()).readable);
  Collector sink;
  ASSERT_EQ(receive_frame(*worker, sink), ReceiveStatus::kDelivered);
  ASSERT_EQ(receive_frame(*worker, sink), ReceiveStatus::kDelivered);
  EXPECT_EQ(text_of(sink.frames.at(0).head), "hello");
  EXPECT_EQ(text_of(sink.frames.at(1).head), "second");
  ASSERT_EQ(send_text(*worker, "welcome"), SendStatus::kSent);
  ASSERT_EQ(receive_frame(*client, sink), ReceiveStatus::kDelivered);
  EXPECT_EQ(text_of(sink.frames.at(2).head), "welcome");
}

TEST(ShmSetUp, ARefusalComesOverTheSocket) {
  Sockets sockets;
  std::string error;
  const auto client = adopt_shm_client(std::move(sockets.a), "test", {}, &error);
  ASSERT_TRUE(client) << error;
  ASSERT_EQ(client->send({bytes_of("hello"), {}}), SendStatus::kSent);
  const std::string goodbye("\7\0\0\0\0\0\0\0goodbye", 15);
  ASSERT_EQ(::send(sockets.b.get(), goodbye.data(), goodbye.size(), 0), 15);
  sockets.b.reset();
  Collector sink;
  EXPECT_EQ(receive_to_the_end(*client, sink), 1u);
  EXPECT_EQ(text_of(sink.frames.at(0).head), "goodbye");
}

// --------------------------------------------------------------------------- sockets as files

class ShmSockets : public ::testing::Test {
 protected:
  ShmSockets() {
    std::string name = (fs::temp_directory_path() / "farlane-shm-XXXXXX").string();
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  ~ShmSockets() override { fs::remove_all(folder_); }
  Endpoint endpoint(uint16_t port, Choice choice = Choice::kAuto) const {
    Endpoint made;
    made.host = "127.0.0.1";
    made.port = port;
    made.choice = choice;
    made.socket_folders = {folder_};
    made.shm_ring_bytes = kRingBytes;
    return made;
  }
  std::string folder_;
  std::string error_;
};

TEST_F(ShmSockets, ADeadServersFileIsReplacedALivingOnesIsNot) {
  const std::string path = socket_file(folder_, 7);
  auto first = UnixListener::listen(path, 0600, &error_);
  ASSERT_TRUE(first) << error_;
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  EXPECT_FALSE(UnixListener::listen(path, 0600, &error_));
  EXPECT_EQ(error_, "another process listens on " + path);
  // A server that is killed leaves its file.
  const std::string aside = path + ".aside";
  fs::create_hard_link(path, aside);
  first.reset();
  EXPECT_FALSE(fs::exists(path)) << "a server that ends removes its file";
  fs::rename(aside, path);
  const auto second = UnixListener::listen(path, 0666, &error_);
  ASSERT_TRUE(second) << error_;
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0666u);
}

TEST_F(ShmSockets, OtherFilesAreLeftAlone) {
  const std::string path = socket_file(folder_, 7);
  Fd file(::open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
  EXPECT_FALSE(UnixListener::listen(path, 0600, &error_));
  EXPECT_EQ(error_, path + " is there already and is no socket");
  EXPECT_FALSE(UnixListener::listen(folder_ + std::string(200, 'x'), 0600, &error_));
  EXPECT_NE(error_.find("longer than 107"), std::string::npos) << error_;
}

// A server with both doors; says through which one a client came.
class Doors {
 public:
  explicit Doors(const std::string& folder) {
    std::string error;
    tcp_ = TcpListener::listen("127.0.0.1", 0, &error);
    EXPECT_TRUE(tcp_) << error;
    local_ = listen_beside({folder}, tcp_->port(), 0600, &error);
    EXPECT_TRUE(local_) << error;
  }
  uint16_t port() const { return tcp_->port(); }
  void close_local() { local_.reset(); }
  std::unique_ptr<Channel> accept_local() {
    std::string error;
    Fd socket = local_->accept(&error);
    EXPECT_TRUE(socket) << error;
    auto channel = accept_channel(std::move(socket), patience(), &error);
    EXPECT_TRUE(channel) << error;
    return channel;
  }

 private:
  std::unique_ptr<TcpListener> tcp_;
  std::unique_ptr<UnixListener> local_;
};

TEST_F(ShmSockets, SharedMemoryIsChosenWhereItIsOffered) {
  Doors doors(folder_);
  Connection made = connect(endpoint(doors.port()), patience());
  ASSERT_TRUE(made.channel) << made.error;
  EXPECT_TRUE(made.shared_memory);
  EXPECT_EQ(made.remark, "");
  ASSERT_EQ(made.channel->send({bytes_of("hello"), {}}), SendStatus::kSent);
  const auto server = doors.accept_local();
  Collector sink;
  ASSERT_EQ(receive_frame(*server, sink), ReceiveStatus::kDelivered);
  EXPECT_EQ(text_of(sink.frames.at(0).head), "hello");

  Connection by_name = connect({.socket_path = socket_file(folder_, doors.port())}, patience());
  EXPECT_TRUE(by_name.shared_memory) << by_name.error;
  Connection tcp = connect(endpoint(doors.port(), Choice::kTcp), patience());
  EXPECT_TRUE(tcp.channel) << tcp.error;
  EXPECT_FALSE(tcp.shared_memory);
}

TEST_F(ShmSockets, OtherwiseItIsTcp) {
  Doors doors(folder_);
  const std::string path = socket_file(folder_, doors.port());
  const auto expect_tcp = [&](const char* what) {
    const Connection made = connect(endpoint(doors.port()), patience());
    ASSERT_TRUE(made.channel) << what << made.error;
    EXPECT_FALSE(made.shared_memory) << what;
    EXPECT_NE(made.remark, "") << what;
    const Connection must = connect(endpoint(doors.port(), Choice::kShm), patience());
    EXPECT_FALSE(must.channel) << what;
    EXPECT_NE(must.error.find("connection.socket_dir"), std::string::npos) << must.error;
    EXPECT_NE(must.error.find(path), std::string::npos) << must.error;
  };
  const std::string aside = path + ".aside";
  fs::create_hard_link(path, aside);
  doors.close_local();
  expect_tcp("no socket");
  fs::rename(aside, path);
  expect_tcp("a dead server's socket");
  fs::remove(path);
  const Fd file(::open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
  expect_tcp("another file");
}

TEST_F(ShmSockets, SocketThatIsForbidden) {
  if (::geteuid() == 0) {
    GTEST_SKIP() << "nothing is forbidden to root";
  }
  Doors doors(folder_);
  ASSERT_EQ(::chmod(socket_file(folder_, doors.port()).c_str(), 0), 0);
  const Connection made = connect(endpoint(doors.port()), patience());
  EXPECT_TRUE(made.channel) << made.error;
  EXPECT_FALSE(made.shared_memory);
  EXPECT_NE(made.remark.find("connection.socket_access"), std::string::npos) << made.remark;
}

TEST_F(ShmSockets, SharedMemoryIsNotForOtherMachines) {
  Endpoint far = endpoint(4713, Choice::kShm);
  far.host = "gpu-node";
  const Connection made = connect(far, patience());
  EXPECT_FALSE(made.channel);
  EXPECT_NE(made.error.find("gpu-node is not an address of this machine alone"), std::string::npos)
      << made.error;
  for (const char* here : {"localhost", "127.0.0.1", "127.3.4.5", "::1"}) {
    EXPECT_TRUE(is_loopback(here)) << here;
  }
  for (const char* there : {"", "10.0.0.7", "0.0.0.0", "fd00::7", "localhost.example.org"}) {
    EXPECT_FALSE(is_loopback(there)) << there;
  }
}

// The peer is a process of its own and is killed while a frame is under way.
TEST(ShmProcess, KilledInTheMiddle) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "the sanitizer's fork() is not for this";
#endif
  Sockets sockets;
  ShmOptions options;
  options.ring_bytes = kRingBytes;
  options.first_frame_over_socket = false;
  const auto memory = pattern(1024 * 1024, 3);
  const pid_t child = ::fork();
  if (child == 0) {
    sockets.b.reset();
    std::string error;
    const auto channel = adopt_shm_client(std::move(sockets.a), "test", options, &error);
    const Bytes body = memory;
    for (;;) {
      if (channel->send({bytes_of("head"), {&body, 1}}) == SendStatus::kGone) {
        ::_exit(1);
      }
      channel->wait(false, true, Deadline::max());
    }
  }
  sockets.a.reset();
  std::string error;
  const auto channel = accept_shm(std::move(sockets.b), patience(), &error);
  ASSERT_TRUE(channel) << error;
  Collector sink;
  ASSERT_EQ(::kill(child, 0), 0);
  static_cast<void>(channel->receive(sink));
  ASSERT_EQ(::kill(child, SIGKILL), 0);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  static_cast<void>(receive_to_the_end(*channel, sink));
  EXPECT_NE(channel->close_reason(), "");
  EXPECT_EQ(channel->send({bytes_of("x"), {}}), SendStatus::kGone);
}

// A sender that finds the ring full again and again looks whether its peer lives, and takes the
// bells that lie there. They may be for the thread that sleeps until something comes.
TEST(ShmBells, ASenderDoesNotTakeTheReceiversBells) {
  std::string error;
  const ShmPair pair = make_shm_pair(&error, {.ring_bytes = kRingBytes});
  ASSERT_TRUE(pair.a) << error;
  const auto memory = pattern(4 * kRingBytes, 5);
  const Bytes body = memory;
  ASSERT_EQ(pair.a->send({bytes_of("full"), {&body, 1}}), SendStatus::kSent);
  std::atomic<bool> over = false;
  std::thread sender([&] {
    while (!over && pair.a->flush() == SendStatus::kBusy) {
    }
  });
  std::atomic<int> received = 0;
  constexpr int kFrames = 2000;
  std::thread peer([&] {
    for (int i = 0; i < kFrames && !over; ++i) {
      while (received.load() < i && !over) {
        std::this_thread::yield();
      }
      EXPECT_EQ(pair.b->send({bytes_of("news"), {}}), SendStatus::kSent);
    }
  });
  Collector sink;
  int late = 0;
  while (received.load() < kFrames && late == 0) {
    const auto since = Clock::now();
    pair.a->wait(true, false, since + std::chrono::seconds(20));
    // The bell, or at the deadline the look at the ring.
    late += Clock::now() - since >= std::chrono::seconds(20) ? 1 : 0;
    while (pair.a->receive(sink) == ReceiveStatus::kDelivered) {
      ++received;
    }
  }
  EXPECT_EQ(late, 0) << "after " << received.load() << " frames";
  over = true;
  sender.join();
  peer.join();
}

// ------------------------------------------------------------------------------- passed memory

uint64_t inode_of(const Fd& fd) {
  struct stat status {};
  EXPECT_EQ(::fstat(fd.get(), &status), 0);
  return status.st_ino;
}

TEST(PassedMemory, ComesInOrderBeforeTheFrameThatSpeaksAboutIt) {
  std::string error;
  const ShmPair pair = make_shm_pair(&error);
  ASSERT_TRUE(pair.a) << error;
  EXPECT_FALSE(pair.b->take_memory());
  std::vector<uint64_t> sent;
  for (int i = 0; i < 3; ++i) {
    const Fd memory = make_passable_memory(4096, &error);
    ASSERT_TRUE(memory) << error;
    EXPECT_EQ(passed_memory_fault(memory, 4096), "");
    sent.push_back(inode_of(memory));
    ASSERT_TRUE(pair.a->pass_memory(memory));
  }
  ASSERT_EQ(pair.a->send({bytes_of("three"), {}}), SendStatus::kSent);
  Collector sink;
  ASSERT_EQ(pair.b->receive(sink), ReceiveStatus::kDelivered);
  for (const uint64_t inode : sent) {
    const Fd memory = pair.b->take_memory();
    ASSERT_TRUE(memory);
    EXPECT_EQ(inode_of(memory), inode);
  }
  EXPECT_FALSE(pair.b->take_memory());
  // Bells are still bells.
  std::thread sender([&] { EXPECT_EQ(pair.a->send({bytes_of("x"), {}}), SendStatus::kSent); });
  while (pair.b->receive(sink) == ReceiveStatus::kNothing) {
    pair.b->wait(true, false, patience());
  }
  sender.join();
}

TEST(PassedMemory, OfAPeerThatPassesTooMuchIsClosed) {
  std::string error;
  const ShmPair pair = make_shm_pair(&error);
  ASSERT_TRUE(pair.a) << error;
  const Fd memory = make_passable_memory(4096, &error);
  ASSERT_TRUE(memory) << error;
  // Some at a time, since the socket itself holds few.
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(pair.a->pass_memory(memory));
    EXPECT_TRUE(pair.b->wait(true, false, Clock::now()).timed_out);
  }
  int taken = 0;
  while (pair.b->take_memory()) {
    ++taken;
  }
  EXPECT_GT(taken, 0);
  EXPECT_LE(taken, 16);
}

TEST(PassedMemory, IsRefusedWhereTouchingItCouldHarm) {
  std::string error;
  EXPECT_EQ(passed_memory_fault(Fd(), 4096), "none was passed");
  const Fd open(::memfd_create("open", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(::ftruncate(open.get(), 4096), 0);
  EXPECT_EQ(passed_memory_fault(open, 4096), "it could be made smaller");
  const Fd small = make_passable_memory(4096, &error);
  EXPECT_EQ(passed_memory_fault(small, 8192), "4096 bytes are too few for 8192");
  const Fd file(::open("/dev/zero", O_RDWR | O_CLOEXEC));
  EXPECT_EQ(passed_memory_fault(file, 4096), "it is another kind of file");
}

TEST(PassedMemory, IsNothingForTcp) {
  const Pair pair = make_bare_pair(Transport::kTcp);
  std::string error;
  const Fd memory = make_passable_memory(4096, &error);
  EXPECT_FALSE(pair.a->pass_memory(memory));
  EXPECT_FALSE(pair.b->take_memory());
}

}  // namespace
}  // namespace farlane::transport::testing
