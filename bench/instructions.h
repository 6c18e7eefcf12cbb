// The parts of farlane_instructions; instructions.py says what becomes of them.
#pragma once

namespace farlane::bench {

inline constexpr int kCountedCalls = 1000;

// The log alone. False, with a message, if something did not work.
bool count_log();
// A program's calls through libcudart's functions, and the worker that executes them.
bool count_program();

}  // namespace farlane::bench
