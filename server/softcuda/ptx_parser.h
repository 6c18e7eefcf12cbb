// Parses one PTX text. Throws PtxError.
#pragma once

#include <string_view>

#include "server/softcuda/ptx_ast.h"
#include "server/softcuda/ptx_lexer.h"

namespace farlane::softcuda {

AstModule parse_ptx(std::string_view text);

}  // namespace farlane::softcuda
