// Windows numbered along the blocks of one epoch, in the order of its permutation.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "permutation.h"
#include "recent.h"
#include "window_counts.h"

namespace heph {

// Which block a window belongs to.
struct BlockWindow {
    std::uint64_t position = 0;  // of the block in the epoch's order
    std::uint64_t block = 0;
    std::uint32_t window = 0;    // of that block
};

// The windows of the blocks at positions [first, blocks).  Their sums are known at every 256th position as far as
// somebody asked, so that going on costs a look at each block, and going back a search.  Thread-safe.
class WindowWalk {
public:
    WindowWalk(std::shared_ptr<const WindowCounts> counts, OrderKey key, std::uint64_t epoch, std::uint64_t first);

    // False if the epoch ends before window `number`, counted from `first`.
    bool find(std::uint64_t number, BlockWindow& found);
    // Windows of the blocks at positions [first, position).
    std::uint64_t before(std::uint64_t position);
    // Windows up to the epoch's end: looks at all of its blocks.
    std::uint64_t total();

private:
    static constexpr std::uint64_t kChunk = 256;

    // Some positions with the blocks there, and the windows of the chunk before each and at its end.
    struct Chunk {
        std::vector<std::uint64_t> blocks, sums;  // of sums one more than of blocks
    };
    std::shared_ptr<Chunk> chunk(std::uint64_t number);
    // Makes the sum before the next chunk known.
    void extend();

    std::shared_ptr<const WindowCounts> counts_;
    Permutation permutation_;
    RoundKeys keys_;
    std::uint64_t first_;
    std::uint64_t chunks_;

    std::mutex mutex_;                       // of sums_
    std::vector<std::uint64_t> sums_ = {0};  // windows before each chunk that was looked at, and after the last one
    Recent<std::uint64_t, Chunk> recent_;
};

}  // namespace heph
