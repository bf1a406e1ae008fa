// Which tokens of a pair carry no loss, asked of the `.mask` on the disk: sorted uint64 (start, length).
#pragma once

#include <cstdint>
#include <string>

#include "sorted_column.h"
#include "token_file.h"

namespace heph {

class LossSpans {
public:
    // Throws std::invalid_argument if the file is not one or more spans.
    LossSpans(const std::string& path, std::uint64_t tokens, ReadCounters& counters);

    // Sets loss[i] to false where token first + i carries none, for i below `count`; leaves the others.
    // Throws std::invalid_argument for spans that overlap, are empty or end beyond the pair.  Thread-safe.
    void clear(std::uint64_t first, std::uint64_t count, bool* loss, Wait wait = Wait::yes) const;

private:
    static constexpr std::size_t kAtOnce = 64;  // spans

    TokenFile file_;
    std::uint64_t tokens_;
    SortedColumn starts_;
};

}  // namespace heph
