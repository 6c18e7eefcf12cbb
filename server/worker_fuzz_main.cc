// Runs the fuzz target without libFuzzer: every file named (or in a folder named) once as it is and
// then, with --mutations N --seed S, N times with random changes. Prints the seed, so that a
// failure can be had again.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes);

namespace {

using Input = std::vector<uint8_t>;

void mutate(Input& input, std::mt19937_64& random) {
  const size_t changes = 1 + random() % 4;
  for (size_t i = 0; i < changes && !input.empty(); ++i) {
    const size_t at = random() % input.size();
    switch (random() % 5) {
      case 0:
        input[at] = static_cast<uint8_t>(random());
        break;
      case 1:
        input[at] ^= static_cast<uint8_t>(1u << random() % 8);
        break;
      case 2:  // an extreme number
        for (size_t j = at & ~size_t{7}; j < (at & ~size_t{7}) + 8 && j < input.size(); ++j) {
          input[j] = random() % 2 == 0 ? 0xff : 0;
        }
        break;
      case 3:
        input.resize(at);
        break;
      case 4:  // a piece again
        if (input.size() < 1 << 20) input.insert(input.end(), input.begin(), input.begin() + at);
        break;
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  namespace fs = std::filesystem;
  std::vector<Input> corpus;
  size_t mutations = 0;
  uint64_t seed = 1;
  const auto add = [&](const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  };
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--mutations" && i + 1 < argc) {
      mutations = std::strtoull(argv[++i], nullptr, 10);
    } else if (argument == "--seed" && i + 1 < argc) {
      seed = std::strtoull(argv[++i], nullptr, 10);
    } else if (fs::is_directory(argument)) {
      for (const auto& file : fs::directory_iterator(argument)) add(file.path());
    } else {
      add(argument);
    }
  }
  if (corpus.empty()) {
    std::fprintf(stderr, "usage: %s [--mutations N] [--seed S] FILE-OR-FOLDER...\n", argv[0]);
    return 2;
  }
  std::printf("%zu inputs, %zu mutations, seed %llu\n", corpus.size(), mutations,
              static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  for (const Input& input : corpus) LLVMFuzzerTestOneInput(input.data(), input.size());
  std::mt19937_64 random(seed);
  for (size_t i = 0; i < mutations; ++i) {
    Input input = corpus[random() % corpus.size()];
    mutate(input, random);
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  return 0;
}
