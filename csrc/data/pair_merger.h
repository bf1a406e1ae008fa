// Merges `.bin/.idx` pairs into one, as if their documents had been written in one go.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace heph {

// Is called now and then with the bytes of `.bin` copied since the last call; what it throws ends the merge.
using OnCopied = std::function<void(std::uint64_t bytes)>;

// Writes `<target>.bin/.idx` from the pairs of `prefixes`, in that order.  Memory is bounded (one buffer and
// some numbers per pair); nothing has its name before both files are complete.  All headers, sizes and
// dtypes are checked before anything is written.
// Throws std::invalid_argument (no pair, no index, cut short, different dtypes), FileError.
void merge_pairs(const std::vector<std::string>& prefixes, const std::string& target, const OnCopied& on_copied);

}  // namespace heph
