// Protobuf's `string` fields must be UTF-8; a program's name or path need not be.
#pragma once

#include <string>
#include <string_view>

namespace farlane::protocol {

// `text` with a '?' for every byte that is not part of well-formed UTF-8.
std::string utf8_or_question_marks(std::string_view text);

}  // namespace farlane::protocol
