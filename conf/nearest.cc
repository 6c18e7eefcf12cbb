// "did you mean ...?"
#include <algorithm>
#include <numeric>

#include "conf/load.h"

namespace farlane::conf {
namespace {

std::string_view last_part(std::string_view key) {
  const size_t dot = key.rfind('.');
  return dot == std::string_view::npos ? key : key.substr(dot + 1);
}

}  // namespace

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);  // of the classic table, the last one computed
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replace = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replace, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

std::string nearest_key(const Table& table, std::string_view key) {
  std::string best;
  size_t best_distance = SIZE_MAX;
  for (const Setting& setting : table.settings) {
    // A right name in the wrong section is as good as a right path.
    const size_t distance = std::min(edit_distance(key, setting.key),
                                     edit_distance(last_part(key), last_part(setting.key)));
    if (distance < best_distance) {
      best_distance = distance;
      best = setting.key;
    }
  }
  return best;
}

std::string nearest_environment(const Table& table, std::string_view name) {
  std::string best;
  size_t best_distance = SIZE_MAX;
  for (const Setting& setting : table.settings) {
    const size_t distance = edit_distance(name, setting.environment);
    if (distance < best_distance) {
      best_distance = distance;
      best = setting.environment;
    }
  }
  return best;
}

}  // namespace farlane::conf
