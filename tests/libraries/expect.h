// What the programs of this folder hold against what is so. The first thing that is not ends them.
#pragma once

#include <cstdio>
#include <cstdlib>

#define EXPECT(condition)                                                 \
  do {                                                                    \
    if (!(condition)) {                                                   \
      std::printf("%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      std::exit(1);                                                       \
    }                                                                     \
  } while (0)
#define OK(call) EXPECT((call) == 0)
