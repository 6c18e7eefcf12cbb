// What is kept of a text while it passes a pipe, at any moment.
#include "server/last_words.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <string>

namespace farlane::server {
namespace {

class LastWordsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK), 0);
    read_ = transport::Fd(ends[0]);
    write_ = transport::Fd(ends[1]);
    std::string error;
    kept_ = KeptText::make(&error);
    ASSERT_NE(kept_, nullptr) << error;
    words_.set_pipe(transport::Fd(::dup(read_.get())));
    words_.set_memory(transport::Fd(::dup(kept_->fd())));
  }
  void write(const std::string& text) {
    ASSERT_EQ(::write(write_.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
    all_ += text;
  }
  std::string read() {
    std::span<const char> text;
    const ssize_t count = kept_->read_from(read_.get(), &text);
    return count <= 0 ? "" : std::string(text.data(), text.size());
  }

  transport::Fd read_;
  transport::Fd write_;
  std::unique_ptr<KeptText> kept_;
  LastWords words_;
  std::string all_;
};

TEST_F(LastWordsTest, NothingWasSaid) {
  EXPECT_EQ(words_.take(), "");
}

TEST_F(LastWordsTest, WhatWasReadAndWhatWasNotAreBothThere) {
  write("read, ");
  EXPECT_EQ(read(), "read, ");
  write("not read");
  EXPECT_EQ(words_.take(), "read, not read");
}

// Killed between the read and the note that it was made.
TEST_F(LastWordsTest, AReadThatWasNotCountedIsThere) {
  write("counted ");
  EXPECT_EQ(read(), "counted ");
  const std::string uncounted = "uncounted";
  ASSERT_EQ(::pwrite(kept_->fd(), uncounted.data(), uncounted.size(),
                     sizeof(uint64_t) + std::string("counted ").size()),
            static_cast<ssize_t>(uncounted.size()));
  EXPECT_EQ(words_.take(), "counted uncounted");
}

// At every place of the memory, the end of which is passed several times.
TEST_F(LastWordsTest, TheEndOfALongTextIsKept) {
  for (int i = 0; all_.size() < 300'000; ++i) {
    write("line " + std::to_string(i) + std::string(static_cast<size_t>(i) * 7 % 5000, '.') + "\n");
    std::string text;
    for (std::string piece = read(); !piece.empty(); piece = read()) text += piece;
    ASSERT_EQ(text, all_.substr(all_.size() - text.size()));
    LastWords now;
    now.set_memory(transport::Fd(::dup(kept_->fd())));
    const std::string words = now.take();
    ASSERT_LE(words.size(), kLastWordsBytesMax);
    if (all_.size() <= kLastWordsBytesMax) {
      ASSERT_EQ(words, all_);
      continue;
    }
    const size_t note = words.find("left out]\n");
    ASSERT_NE(note, words.npos);
    const std::string end = words.substr(note + std::string("left out]\n").size());
    ASSERT_GT(end.size(), kLastWordsBytesMax - 100);
    ASSERT_TRUE(all_.ends_with(end)) << i;
  }
}

// A worker's memory is its own to cut short.
TEST_F(LastWordsTest, MemoryThatIsGoneIsNobodysLoss) {
  write("in the pipe");
  ASSERT_EQ(::ftruncate(kept_->fd(), 10), 0);
  EXPECT_EQ(words_.take(), "in the pipe");
}

TEST(QuotedLines, NothingPassesForALineOfTheLog) {
  EXPECT_EQ(quoted_lines(""), "");
  EXPECT_EQ(quoted_lines("one\n\x1b[2Jtwo\r\n\nend"),
            "\n  | one\n  | \\x1b[2Jtwo\\x0d\n  | \n  | end");
}

}  // namespace
}  // namespace farlane::server
