// gpuserverd as a process, on the software device: what comes to its port, and what becomes of its
// workers.
#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "generated/protocol/messages.h"
#include "protocol/append.h"
#include "protocol/control_client.h"
#include "transport/endpoint.h"
#include "transport/fd.h"
#include "transport/tcp.h"

extern char** environ;

namespace farlane::server {
namespace {

namespace control = protocol::control;
namespace message = protocol::message;
using transport::Clock;
using Reason = control::Goodbye::Reason;
constexpr auto kPatience = std::chrono::seconds(30);

// The software device, but for a function in which the worker dies.
const std::string kDyingDriver = FARLANE_DYING_DRIVER;

// How a client comes in.
enum class Door : uint8_t { kPort, kSocket };
constexpr Door kDoors[] = {Door::kPort, Door::kSocket};

// A gpuserverd of its own, with its log.
class Server {
 public:
  explicit Server(std::vector<std::string> options, const std::string& host = "127.0.0.1")
      : host_(host) {
    std::string folder =
        (std::filesystem::temp_directory_path() / "farlane-supervisor-XXXXXX").string();
    if (::mkdtemp(folder.data()) == nullptr) throw std::runtime_error("mkdtemp");
    folder_ = folder;
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe");
    log_ = transport::Fd(ends[0]);
    transport::Fd write(ends[1]);
    options.insert(options.begin(), {FARLANE_GPUSERVERD, "--listen", host + ":0"});
    if (std::find(options.begin(), options.end(), "--device") == options.end()) {
      options.insert(options.end(), {"--device", "software"});
    }
    if (std::find(options.begin(), options.end(), kDyingDriver) == options.end()) {
      options.insert(options.end(), {"--software-library", FARLANE_SOFTCUDA});
    }
    options.insert(options.end(), {"--module-cache-bytes-max", "0", "--log-level", "debug",
                                   "--socket-dir", folder_});
    std::vector<char*> argv;
    for (std::string& option : options) argv.push_back(option.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, write.get(), 1);
    posix_spawn_file_actions_adddup2(&actions, write.get(), 2);
    const int failed =
        ::posix_spawn(&pid_, FARLANE_GPUSERVERD, &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failed != 0) throw std::runtime_error("spawn");
  }
  ~Server() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      int status = 0;
      ::waitpid(pid_, &status, 0);
    }
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  // Reads the log until a line has `text` in it.
  bool wait_for_log(const std::string& text) {
    const auto deadline = Clock::now() + kPatience;
    size_t from = 0;
    for (;;) {
      const size_t found = text_.find(text, from);
      if (found != text_.npos) return true;
      from = text_.size() < text.size() ? 0 : text_.size() - text.size();
      if (!read_more(deadline)) {
        ADD_FAILURE() << "no \"" << text << "\" in the log:\n" << text_;
        return false;
      }
    }
  }
  bool listening() {
    const std::string words = "listening on " + host_ + ":";
    if (!wait_for_log(words)) return false;
    port_ = static_cast<uint16_t>(std::stoi(text_.substr(text_.find(words) + words.size())));
    return true;
  }
  const std::string& host() const { return host_; }
  uint16_t port() const { return port_; }
  std::string socket() const { return transport::socket_file(folder_, port_); }
  pid_t pid() const { return pid_; }
  const std::string& log() const { return text_; }
  void signal(int number) { ::kill(pid_, number); }

  // The exit status, once the log has ended with the process.
  int wait() {
    const auto deadline = Clock::now() + kPatience;
    while (read_more(deadline)) {
    }
    if (Clock::now() >= deadline) {
      ADD_FAILURE() << "it did not end; log:\n" << text_;
      return -1;
    }
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  bool read_more(Clock::time_point deadline) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    pollfd ready{log_.get(), POLLIN, 0};
    if (left.count() <= 0 || ::poll(&ready, 1, static_cast<int>(left.count())) <= 0) return false;
    std::array<char, 4096> buffer;
    const ssize_t count = ::read(log_.get(), buffer.data(), buffer.size());
    if (count <= 0) return false;
    text_.append(buffer.data(), static_cast<size_t>(count));
    return true;
  }

  pid_t pid_ = -1;
  const std::string host_;
  uint16_t port_ = 0;
  std::string folder_;
  transport::Fd log_;
  std::string text_;
};

// A connection with one question at a time.
class Client final : public transport::FrameSink {
 public:
  explicit Client(const Server& server, Door door = Door::kPort) {
    transport::Endpoint endpoint{.host = server.host(), .port = server.port()};
    endpoint.choice = transport::Choice::kTcp;
    if (door == Door::kSocket) endpoint = {.socket_path = server.socket()};
    transport::Connection made = transport::connect(endpoint, Clock::now() + kPatience);
    channel_ = std::move(made.channel);
    EXPECT_NE(channel_, nullptr) << made.error;
  }

  template <class M>
  void send(const M& message) {
    std::vector<std::byte> frame;
    protocol::append_record(frame, message, ++sequence_);
    static_cast<void>(channel_->send({frame, {}}));
  }
  void hello(uint32_t major = control::kVersionMajor, bool probe = false, uint32_t devices = 1) {
    control::Hello hello;
    hello.devices_wanted = devices;
    hello.major = major;
    hello.client = "supervisor_test";
    hello.probe = probe;
    const std::string encoded = control::encode(hello);
    send(message::Control{std::as_bytes(std::span(encoded))});
  }

  void lane(uint32_t number, const std::string& token) {
    control::Hello hello;
    hello.session_token = token;
    hello.lane = number;
    const std::string encoded = control::encode(hello);
    send(message::Control{std::as_bytes(std::span(encoded))});
  }

  // The next control message; empty when the connection ends without one.
  std::optional<control::Control> control() {
    receive_until([&] { return !controls_.empty(); });
    if (controls_.empty()) return std::nullopt;
    control::Control decoded;
    std::string error;
    EXPECT_TRUE(control::decode(std::as_bytes(std::span(controls_.front())), &decoded, &error));
    controls_.erase(controls_.begin());
    return decoded;
  }
  Reason goodbye() {
    const auto answer = control();
    const auto* goodbye = answer ? std::get_if<control::Goodbye>(&*answer) : nullptr;
    return goodbye == nullptr ? Reason::kUnspecified : goodbye->reason;
  }
  // With so many devices.
  bool welcome(uint32_t devices = 1) {
    hello(control::kVersionMajor, false, devices);
    const auto answer = control();
    const auto* welcome = answer ? std::get_if<control::Welcome>(&*answer) : nullptr;
    return welcome != nullptr && (devices == 0 || welcome->devices.size() == devices);
  }
  bool echo() {
    const int before = replies_;
    message::Echo echo;
    echo.value = 7;
    send(echo);
    return receive_until([&] { return replies_ > before; });
  }
  bool ended() {
    receive_until([] { return false; });
    return gone_;
  }

  transport::MutableBytes place(transport::Bytes, uint32_t) override { return {}; }
  void deliver(transport::Bytes head, transport::MutableBytes) override {
    protocol::RecordCursor records(head);
    protocol::Record record;
    while (records.next(record)) {
      message::ControlReply reply;
      protocol::Fault fault;
      if (record.is_reply()) ++replies_;
      if (!record.is_reply() && decode(record, reply, fault)) {
        controls_.emplace_back(reinterpret_cast<const char*>(reply.message.data()),
                               reply.message.size());
      }
    }
  }

 private:
  bool receive_until(const std::function<bool()>& done) {
    const auto deadline = Clock::now() + kPatience;
    while (!done() && !gone_ && Clock::now() < deadline) {
      switch (channel_->receive(*this)) {
        case transport::ReceiveStatus::kDelivered:
          break;
        case transport::ReceiveStatus::kGone:
          gone_ = true;
          break;
        case transport::ReceiveStatus::kNothing:
        case transport::ReceiveStatus::kStalled:
          channel_->wait(true, false, deadline);
          break;
      }
    }
    return done();
  }

  std::unique_ptr<transport::Channel> channel_;
  std::vector<std::string> controls_;
  int replies_ = 0;
  bool gone_ = false;
  uint64_t sequence_ = 0;
};

transport::Fd connect_raw(const Server& server, Door door) {
  if (door == Door::kPort) {
    std::string error;
    transport::Fd socket = transport::connect_tcp_socket(server.host(), server.port(),
                                                         Clock::now() + kPatience, &error);
    EXPECT_TRUE(socket) << error;
    return socket;
  }
  transport::Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  server.socket().copy(address.sun_path, sizeof(address.sun_path) - 1);
  EXPECT_EQ(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)),
            0)
      << std::strerror(errno);
  return socket;
}

// Raw bytes to a door, and everything that comes back until the server closes.
std::string say(const Server& server, const std::string& bytes, bool close_after,
                Door door = Door::kPort) {
  const transport::Fd socket = connect_raw(server, door);
  EXPECT_EQ(::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(bytes.size()));
  if (close_after) ::shutdown(socket.get(), SHUT_WR);
  std::string answer;
  for (;;) {
    pollfd ready{socket.get(), POLLIN, 0};
    if (::poll(&ready, 1, 30'000) <= 0) {
      ADD_FAILURE() << "the server neither answers nor closes";
      return answer;
    }
    std::array<char, 4096> buffer;
    const ssize_t count = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
    if (count <= 0) return answer;
    answer.append(buffer.data(), static_cast<size_t>(count));
  }
}

pid_t worker_of(const Server& server, int session) {
  const std::string log = server.log();
  const std::string marker = "session " + std::to_string(session) + " of ";
  const size_t line = log.find(marker);
  const size_t at = log.find("goes to worker ", line);
  if (line == log.npos || at == log.npos) return -1;
  return std::stoi(log.substr(at + std::strlen("goes to worker ")));
}

TEST(Supervisor, AnswersProbes) {
  Server server({});
  ASSERT_TRUE(server.listening());
  for (const Door door : kDoors) {
    Client client(server, door);
    client.hello(control::kVersionMajor, true);
    const auto answer = client.control();
    ASSERT_TRUE(answer && std::holds_alternative<control::Status>(*answer));
    const auto& status = std::get<control::Status>(*answer);
    ASSERT_EQ(status.devices.size(), 1u);
    EXPECT_FALSE(status.devices[0].name.empty());
    EXPECT_GT(status.devices[0].attributes.size(), 50u);
    EXPECT_EQ(status.sessions, 0u);
    EXPECT_EQ(status.workers_warm, 1u);
    EXPECT_TRUE(client.ended());
  }
}

TEST(Supervisor, TurnsGarbageAwayAndGoesOn) {
  Server server({});
  ASSERT_TRUE(server.listening());
  for (const Door door : kDoors) {
    EXPECT_NE(say(server, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", false, door).find("not a Farlane"),
              std::string::npos);
    EXPECT_NE(say(server, std::string(4096, '\xff'), false, door).find("not a Farlane"),
              std::string::npos);
    // A whole frame whose record is nonsense.
    std::string frame("\x20\0\0\0\0\0\0\0", 8);
    frame.append(32, '\x7f');
    EXPECT_NE(say(server, frame, false, door).find("not a hello"), std::string::npos);
    // Gone before it said anything, and in the middle of a frame.
    say(server, "", true, door);
    say(server, std::string("\x20\0\0\0\0\0\0\0ab", 10), true, door);
    Client client(server, door);
    EXPECT_TRUE(client.welcome());
  }
  EXPECT_EQ(server.log().find("[error]"), std::string::npos) << server.log();
}

TEST(Supervisor, HalfAHelloHoldsNobodyUp) {
  // Long enough for whole ones on a busy machine.
  Server server({"--handshake-timeout-ms", "3000"});
  ASSERT_TRUE(server.listening());
  std::vector<transport::Fd> halves;
  for (const Door door : kDoors) {
    halves.push_back(connect_raw(server, door));
    ASSERT_EQ(::send(halves.back().get(), "\x40\0\0\0", 4, 0), 4);
  }
  for (const Door door : kDoors) {
    Client client(server, door);
    EXPECT_TRUE(client.welcome());
    EXPECT_TRUE(client.echo());
  }
  for (const transport::Fd& half : halves) {
    pollfd told{half.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&told, 1, 30'000), 1);
    char answer = 0;
    EXPECT_EQ(::recv(half.get(), &answer, 1, 0), 1) << "it is told";
  }
  EXPECT_TRUE(server.wait_for_log("no whole hello came within 3000 ms"));
}

// Through the socket as well, what comes in pieces is a hello in the end.
TEST(Supervisor, AHelloMayComeInPieces) {
  Server server({});
  ASSERT_TRUE(server.listening());
  control::Hello hello;
  hello.client = "pieces";
  hello.probe = true;
  const std::string encoded = control::encode(hello);
  std::vector<std::byte> record;
  protocol::append_record(record, message::Control{std::as_bytes(std::span(encoded))}, 1);
  const std::array<uint32_t, 2> prefix{static_cast<uint32_t>(record.size()), 0};
  std::string frame(reinterpret_cast<const char*>(prefix.data()), sizeof(prefix));
  frame.append(reinterpret_cast<const char*>(record.data()), record.size());
  for (const Door door : kDoors) {
    const transport::Fd socket = connect_raw(server, door);
    for (size_t at = 0; at < frame.size(); at += 9) {
      const std::string piece = frame.substr(at, 9);
      ASSERT_EQ(::send(socket.get(), piece.data(), piece.size(), 0),
                static_cast<ssize_t>(piece.size()));
      std::this_thread::yield();
    }
    pollfd answered{socket.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&answered, 1, 30'000), 1);
  }
  EXPECT_TRUE(server.wait_for_log("probe of pieces"));
}

TEST(Supervisor, TheSocketIsItsOwnersAndGoesWithTheServer) {
  Server server({});
  ASSERT_TRUE(server.listening());
  struct stat status {};
  ASSERT_EQ(::stat(server.socket().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  server.signal(SIGTERM);
  EXPECT_EQ(server.wait(), 0);
  EXPECT_NE(::stat(server.socket().c_str(), &status), 0);
  Server without({"--socket-access", "off"});
  ASSERT_TRUE(without.listening());
  EXPECT_NE(::stat(without.socket().c_str(), &status), 0);
}

// A hello without the memory that belongs to it ends that session only.
TEST(Supervisor, ASegmentThatDoesNotComeIsNobodysLoss) {
  Server server({});
  ASSERT_TRUE(server.listening());
  control::Hello hello;
  hello.client = "no segment";
  const std::string encoded = control::encode(hello);
  std::vector<std::byte> record;
  protocol::append_record(record, message::Control{std::as_bytes(std::span(encoded))}, 1);
  const std::array<uint32_t, 2> prefix{static_cast<uint32_t>(record.size()), 0};
  std::string frame(reinterpret_cast<const char*>(prefix.data()), sizeof(prefix));
  frame.append(reinterpret_cast<const char*>(record.data()), record.size());
  EXPECT_EQ(say(server, frame, false, Door::kSocket), "");
  EXPECT_TRUE(server.wait_for_log("did not switch to shared memory in time"));
  Client client(server, Door::kSocket);
  EXPECT_TRUE(client.welcome());
}

TEST(Supervisor, NamesAnotherVersion) {
  Server server({});
  ASSERT_TRUE(server.listening());
  Client client(server);
  client.hello(control::kVersionMajor + 1);
  EXPECT_EQ(client.goodbye(), Reason::kVersion);
  EXPECT_TRUE(client.ended());
}

TEST(Supervisor, ALaneGoesToItsSessionAndNowhereElse) {
  Server server({});
  ASSERT_TRUE(server.listening());
  Client client(server);
  client.hello();
  const auto answer = client.control();
  ASSERT_TRUE(answer && std::holds_alternative<control::Welcome>(*answer));
  const std::string token = std::get<control::Welcome>(*answer).session_token;
  for (const Door door : kDoors) {
    Client stranger(server, door);
    stranger.lane(1, "not the token of anybody");
    EXPECT_EQ(stranger.goodbye(), Reason::kProtocol);
    EXPECT_TRUE(stranger.ended());
  }
  EXPECT_TRUE(client.echo());
  // The worker answers: the number is over its limit, which is the worker's to know.
  Client too_many(server);
  too_many.lane(1000, token);
  EXPECT_EQ(too_many.goodbye(), Reason::kProtocol);
  EXPECT_TRUE(client.echo());
  uint32_t number = 0;
  std::vector<std::unique_ptr<Client>> lanes;
  for (const Door door : kDoors) {
    lanes.push_back(std::make_unique<Client>(server, door));
    lanes.back()->lane(++number, token);
    const auto welcome = lanes.back()->control();
    EXPECT_TRUE(welcome && std::holds_alternative<control::Welcome>(*welcome));
  }
  EXPECT_TRUE(client.echo());
}

class SupervisorDoors : public ::testing::TestWithParam<Door> {};
INSTANTIATE_TEST_SUITE_P(Doors, SupervisorDoors, ::testing::ValuesIn(kDoors), [](const auto& door) {
  return door.param == Door::kPort ? "port" : "socket";
});

TEST_P(SupervisorDoors, ADeadWorkerTakesNobodyWithIt) {
  Server server({});
  ASSERT_TRUE(server.listening());
  Client first(server, GetParam());
  ASSERT_TRUE(first.welcome());
  Client second(server, GetParam());
  ASSERT_TRUE(second.welcome());
  ASSERT_TRUE(server.wait_for_log("session 2 of "));
  const pid_t worker = worker_of(server, 1);
  ASSERT_GT(worker, 0) << server.log();
  ::kill(worker, SIGKILL);
  EXPECT_TRUE(first.ended());
  EXPECT_TRUE(second.echo());
  EXPECT_TRUE(server.wait_for_log("was killed by signal 9"));
  EXPECT_NE(server.log().find("worker " + std::to_string(worker) + " of session 1 of"),
            std::string::npos);
  Client third(server);
  EXPECT_TRUE(third.welcome());
}

// What it wrote last is in the server's log, and not before it is dead.
TEST(Supervisor, ADyingWorkersLastWordsAreInTheLog) {
  constexpr uint64_t kWays = 3;  // dying_driver.c
  const char* const hows[kWays] = {"was killed by signal 6", "exited with status 3",
                                   "was killed by signal 9"};
  Server server({"--software-library", kDyingDriver});
  ASSERT_TRUE(server.listening());
  for (uint64_t way = 0; way < kWays; ++way) {
    const int session = static_cast<int>(way) + 1;
    Client client(server);
    ASSERT_TRUE(client.welcome());
    client.send(message::LimitSet{0, 0 /* CU_LIMIT_STACK_SIZE */, way});
    EXPECT_TRUE(client.ended());
    ASSERT_TRUE(server.wait_for_log("of session " + std::to_string(session) + " of "));
    const pid_t worker = worker_of(server, session);
    const std::string who = "worker " + std::to_string(worker) + " of session " +
                            std::to_string(session) + " of 127.0.0.1";
    ASSERT_TRUE(server.wait_for_log(hows[way]));
    const std::string log = server.log();
    const size_t words = log.rfind(" wrote before its end:");
    ASSERT_NE(words, log.npos) << log;
    EXPECT_NE(log.rfind(who, words), log.npos) << log;
    EXPECT_NE(log.find("\n  | last words, way " + std::to_string(way) + "\n", words), log.npos)
        << log;
  }
  EXPECT_EQ(server.log().find("[critical]"), std::string::npos) << "a line made by the worker";
}

TEST(Supervisor, ReplacesAWarmWorkerThatDies) {
  Server server({});
  ASSERT_TRUE(server.listening());
  const size_t at = server.log().find("worker ");
  const pid_t warm = std::stoi(server.log().substr(at + std::strlen("worker ")));
  ::kill(warm, SIGKILL);
  EXPECT_TRUE(server.wait_for_log("starting another"));
  Client client(server);
  EXPECT_TRUE(client.welcome());
}

TEST(Supervisor, IsBusyWhenItsSessionsAreTaken) {
  Server server({"--max-sessions", "1"});
  ASSERT_TRUE(server.listening());
  {
    Client first(server);
    ASSERT_TRUE(first.welcome());
    Client second(server);
    second.hello();
    EXPECT_EQ(second.goodbye(), Reason::kBusy);
  }
  EXPECT_TRUE(server.wait_for_log("ended after"));
}

std::vector<uint32_t> device_sessions(const Server& server) {
  Client client(server);
  client.hello(control::kVersionMajor, true);
  const auto answer = client.control();
  const auto* status = answer ? std::get_if<control::Status>(&*answer) : nullptr;
  return status == nullptr ? std::vector<uint32_t>() : status->device_sessions;
}

// A session counts on every device that it has, and the next one goes where there are fewest.
TEST(Supervisor, ASessionCountsOnAllItsDevices) {
  using Counts = std::vector<uint32_t>;
  ASSERT_EQ(::setenv("FARLANE_SOFTCUDA_DEVICES", "4", 1), 0);
  Server server({"--warm-workers", "1"});
  ::unsetenv("FARLANE_SOFTCUDA_DEVICES");
  ASSERT_TRUE(server.listening());
  EXPECT_EQ(device_sessions(server), Counts({0, 0, 0, 0}));
  std::vector<std::unique_ptr<Client>> clients;
  const auto begin = [&](uint32_t devices) {
    clients.push_back(std::make_unique<Client>(server));
    return clients.back()->welcome(devices);
  };
  ASSERT_TRUE(begin(2));
  EXPECT_EQ(device_sessions(server), Counts({1, 1, 0, 0}));
  ASSERT_TRUE(begin(1));
  EXPECT_EQ(device_sessions(server), Counts({1, 1, 1, 0}));
  ASSERT_TRUE(begin(1));
  EXPECT_EQ(device_sessions(server), Counts({1, 1, 1, 1}));
  ASSERT_TRUE(begin(3));
  EXPECT_EQ(device_sessions(server), Counts({2, 2, 2, 1}));
  ASSERT_TRUE(begin(2));  // any two have one with two already; 2 and 3 have three together
  EXPECT_EQ(device_sessions(server), Counts({2, 2, 3, 2}));
  ASSERT_TRUE(begin(0));  // all
  EXPECT_EQ(device_sessions(server), Counts({3, 3, 4, 3}));
  EXPECT_TRUE(server.wait_for_log("on devices 0, 1, 2, 3"));
  // What a session had is free when its worker has gone.
  const size_t sessions = clients.size();
  clients.clear();
  for (size_t i = 1; i <= sessions; ++i) {
    EXPECT_TRUE(server.wait_for_log("of session " + std::to_string(i) + " of "));
  }
  EXPECT_EQ(device_sessions(server), Counts({0, 0, 0, 0}));
}

TEST(Supervisor, WithoutWarmWorkersStartsThemOnDemand) {
  Server server({"--warm-workers", "0"});
  ASSERT_TRUE(server.listening());
  for (int i = 0; i < 3; ++i) {
    Client client(server);
    EXPECT_TRUE(client.welcome());
  }
}

TEST(Supervisor, StopsAtOnceWithoutSessions) {
  Server server({});
  ASSERT_TRUE(server.listening());
  server.signal(SIGTERM);
  EXPECT_EQ(server.wait(), 0);
}

// Whether nobody takes a connection: it is refused, or ends without a word. The latter where a
// worker that is starting holds the closed door open until its exec is through.
bool takes_nobody(const Server& server) {
  std::string error;
  const transport::Fd socket =
      transport::connect_tcp_socket(server.host(), server.port(), Clock::now() + kPatience, &error);
  if (!socket) return true;
  pollfd ready{socket.get(), POLLIN, 0};
  std::byte first{};
  return ::poll(&ready, 1, 30'000) > 0 && ::recv(socket.get(), &first, 1, 0) <= 0;
}

TEST(Supervisor, LetsSessionsEndWhenItStops) {
  // An address of its own: elsewhere, another test could have been given the port by now.
  Server server({"--drain-s", "60"}, "127.0.0.53");
  ASSERT_TRUE(server.listening());
  {
    Client client(server);
    ASSERT_TRUE(client.welcome());
    server.signal(SIGTERM);
    ASSERT_TRUE(server.wait_for_log("1 session may go on for 60 s"));
    EXPECT_TRUE(client.echo());
    EXPECT_TRUE(takes_nobody(server));
  }
  EXPECT_EQ(server.wait(), 0);
}

TEST(Supervisor, EndsSessionsWhenTheTimeIsUp) {
  Server server({"--drain-s", "0"});
  ASSERT_TRUE(server.listening());
  Client client(server);
  ASSERT_TRUE(client.welcome());
  server.signal(SIGTERM);
  EXPECT_EQ(client.goodbye(), Reason::kDraining);
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(server.wait(), 0);
}

TEST(Supervisor, ASecondSignalEndsSessions) {
  Server server({"--drain-s", "3600"});
  ASSERT_TRUE(server.listening());
  Client client(server);
  ASSERT_TRUE(client.welcome());
  server.signal(SIGINT);
  ASSERT_TRUE(server.wait_for_log("may go on"));
  server.signal(SIGINT);
  EXPECT_EQ(client.goodbye(), Reason::kDraining);
  EXPECT_EQ(server.wait(), 0);
}

TEST(Supervisor, WorkersDieWithIt) {
  Server server({});
  ASSERT_TRUE(server.listening());
  Client client(server);
  ASSERT_TRUE(client.welcome());
  ::kill(server.pid(), SIGKILL);
  EXPECT_TRUE(client.ended());
}

TEST(Supervisor, WritesItsAddress) {
  const std::string file = testing::TempDir() + "farlane-port-" + std::to_string(::getpid());
  Server server({"--port-file", file});
  ASSERT_TRUE(server.listening());
  // Written after the log line; a probe is answered later still.
  Client client(server);
  client.hello(control::kVersionMajor, true);
  ASSERT_TRUE(client.control());
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  EXPECT_EQ(line, "127.0.0.1:" + std::to_string(server.port()));
  server.signal(SIGTERM);
  EXPECT_EQ(server.wait(), 0);
  EXPECT_NE(::access(file.c_str(), F_OK), 0) << "it goes with the server";
}

TEST(Supervisor, SaysWhatIsWrongAtTheStart) {
  {
    Server server({"--device", "software", "--software-library", "/nowhere/libsoftcuda.so"});
    EXPECT_EQ(server.wait(), 2) << "given twice";
  }
  if (void* cuda = ::dlopen("libcuda.so.1", RTLD_LAZY); cuda != nullptr) {
    GTEST_SKIP() << "this machine has a CUDA driver";
  }
  {
    Server server({"--device", "cuda"});
    EXPECT_EQ(server.wait(), 1);
    EXPECT_NE(server.log().find("libcuda.so.1"), std::string::npos) << server.log();
  }
  Server server({"--device", "auto"});
  EXPECT_TRUE(server.listening());
  EXPECT_NE(server.log().find("using the software device"), std::string::npos);
}

}  // namespace
}  // namespace farlane::server
