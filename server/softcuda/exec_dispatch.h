// From a PTX type at load time to a C++ type at compile time.
#pragma once

#include <cstdint>

#include "server/softcuda/ptx_decode.h"

namespace farlane::softcuda {

// Calls f(T{}) with the integer type. .b types count as unsigned. Unknown to the device otherwise.
template <class F>
Handler with_integer(Decoder& decoder, Type type, F f) {
  switch (type_bytes(type)) {
    case 2:
      if (is_signed(type)) return f(int16_t{});
      if (is_unsigned(type) || is_bits(type)) return f(uint16_t{});
      break;
    case 4:
      if (is_signed(type)) return f(int32_t{});
      if (is_unsigned(type) || is_bits(type)) return f(uint32_t{});
      break;
    case 8:
      if (is_signed(type)) return f(int64_t{});
      if (is_unsigned(type) || is_bits(type)) return f(uint64_t{});
      break;
    default:
      break;
  }
  decoder.unknown();
}

// The same for 32 and 64 bits only.
template <class F>
Handler with_wide_integer(Decoder& decoder, Type type, F f) {
  if (type_bytes(type) == 4 && is_signed(type)) return f(int32_t{});
  if (type_bytes(type) == 4 && (is_unsigned(type) || is_bits(type))) return f(uint32_t{});
  if (type_bytes(type) == 8 && is_signed(type)) return f(int64_t{});
  if (type_bytes(type) == 8 && (is_unsigned(type) || is_bits(type))) return f(uint64_t{});
  decoder.unknown();
}

// Unsigned of the type's width, for bitwise work; any type of 16, 32 or 64 bits.
template <class F>
Handler with_bits(Decoder& decoder, Type type, F f) {
  switch (type_bytes(type)) {
    case 2:
      return f(uint16_t{});
    case 4:
      return f(uint32_t{});
    case 8:
      return f(uint64_t{});
    default:
      break;
  }
  decoder.unknown();
}

}  // namespace farlane::softcuda
