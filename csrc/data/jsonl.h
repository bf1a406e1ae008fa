// Finding the lines of a block of JSON lines.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace heph {

struct Lines {
    std::vector<std::uint64_t> offsets;  // of the first byte of each line
    std::vector<std::uint64_t> lengths;  // without the line end ("\n" or "\r\n")
    std::size_t consumed = 0;            // bytes up to and with the last line end
};

// The complete lines of `block`; empty lines count, so that line numbers stay right.
// Bytes after the last "\n" belong to the next block, or are a line of their own if this is the `last` one.
Lines split_lines(const char* block, std::size_t size, bool last);

}  // namespace heph
