// Ids from a `.bin` of any width, as the width that is asked for.
#pragma once

#include <cstdint>

#include "token_file.h"

namespace heph {

// Reads tokens [first, first + count) of a file of TokenType `code` into `out` (std::uint16_t or std::int32_t).
// Returns the place of the first id that is not below `limit` (negative ones are not), or `count`; ids behind it may be
// missing.
template <typename Id>
std::uint64_t read_ids(const TokenFile& bin, int code, std::uint64_t first, std::uint64_t count, Id* out,
                       std::uint64_t limit, Wait wait);

// One id as it stands in the file.
void read_id(const TokenFile& bin, int code, std::uint64_t token, std::int64_t& id);

}  // namespace heph
