#include "client/core/stats.h"

#include <gtest/gtest.h>

namespace farlane::client::stats {
namespace {

Summary example() {
  Summary s;
  s.posted = 70;
  s.asked = 10;
  s.frames_out = 16;
  s.asked_rows = {{"memory_info", 10, 50'000, 9'000}};
  s.wait_rows = {{"answers", 4, 8'000, 3'000}, {"credit to send more commands", 1, 1'000, 1'000}};
  return s;
}

TEST(Stats, OffIsNothing) {
  EXPECT_EQ(render(example(), Format::kOff), "");
}

TEST(Stats, TextHasEveryRow) {
  const std::string text = render(example(), Format::kText);
  for (const char* part : {"calls posted", "commands per frame out", "5.00", "memory_info",
                           "credit to send more commands", "answers"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
}

TEST(Stats, JsonIsOneLine) {
  const std::string json = render(example(), Format::kJson);
  EXPECT_EQ(json.find('\n'), json.size() - 1);
  EXPECT_NE(json.find("\"memory_info\": {\"count\": 10, \"total_ns\": 50000, \"max_ns\": 9000}"),
            std::string::npos)
      << json;
}

}  // namespace
}  // namespace farlane::client::stats
