// What `farlane doctor` has to say: sentences, each with how much it matters.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace farlane::cli {

enum class Weight : uint8_t { kFine, kNote, kProblem };

struct Finding {
  Weight weight;
  std::string text;
};

class Findings {
 public:
  void fine(std::string text) { all_.push_back({Weight::kFine, std::move(text)}); }
  void note(std::string text) { all_.push_back({Weight::kNote, std::move(text)}); }
  void problem(std::string text) { all_.push_back({Weight::kProblem, std::move(text)}); }

  const std::vector<Finding>& all() const { return all_; }
  bool has_problem() const {
    for (const Finding& finding : all_) {
      if (finding.weight == Weight::kProblem) return true;
    }
    return false;
  }

 private:
  std::vector<Finding> all_;
};

}  // namespace farlane::cli
