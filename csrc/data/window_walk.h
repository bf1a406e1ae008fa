// Windows numbered along the groups of blocks of one epoch, in the order of its permutation.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "pack_group.h"
#include "permutation.h"
#include "recent.h"
#include "window_counts.h"

namespace heph {

// The blocks of an epoch in their order, PackGroup::kBlocks at a time.
class EpochGroups {
public:
    EpochGroups(const WindowCounts& counts, OrderKey key, std::uint64_t epoch)
        : counts_(&counts), permutation_(counts.blocks()), keys_(round_keys(key, epoch)) {}

    static std::uint64_t groups_of(std::uint64_t blocks) { return (blocks + PackGroup::kBlocks - 1) / PackGroup::kBlocks; }

    std::uint64_t blocks_before(std::uint64_t group) const { return std::min(group * PackGroup::kBlocks, counts_->blocks()); }
    // The blocks of a group.
    std::vector<std::uint64_t> blocks(std::uint64_t group) const;
    std::uint64_t block(std::uint64_t group, std::size_t at) const {
        return permutation_.forward(group * PackGroup::kBlocks + at, keys_);
    }
    // Windows of a group.
    std::uint64_t windows(std::uint64_t group) const;
    // At which position of the epoch a block stands.
    std::uint64_t position(std::uint64_t block) const { return permutation_.inverse(block, keys_); }

private:
    const WindowCounts* counts_;
    Permutation permutation_;
    RoundKeys keys_;
};

// A window, by its group.
struct GroupWindow {
    std::uint64_t group = 0;   // of the epoch
    std::uint64_t number = 0;  // of the group's windows, in their order
};

// The windows of the groups from `first` on.  Their sums are known at every 16th group as far as somebody asked, so
// that going on costs a look at each block, and going back a search.  Thread-safe.
class WindowWalk {
public:
    WindowWalk(std::shared_ptr<const WindowCounts> counts, OrderKey key, std::uint64_t epoch, std::uint64_t first);

    // False if the epoch ends before window `number`, counted from group `first`.
    bool find(std::uint64_t number, GroupWindow& found);
    // Windows of the groups [first, group).
    std::uint64_t before(std::uint64_t group);
    // Windows up to the epoch's end: looks at all of its blocks.
    std::uint64_t total();

private:
    static constexpr std::uint64_t kChunk = 16;

    // Of some groups the windows of the chunk before each, and at its end.
    using Chunk = std::vector<std::uint64_t>;
    std::shared_ptr<Chunk> chunk(std::uint64_t number);
    // Makes the sum before the next chunk known.
    void extend();

    std::shared_ptr<const WindowCounts> counts_;
    EpochGroups groups_;
    std::uint64_t first_, end_;  // groups
    std::uint64_t chunks_;

    std::mutex mutex_;                       // of sums_
    std::vector<std::uint64_t> sums_ = {0};  // windows before each chunk that was looked at, and after the last one
    Recent<std::uint64_t, Chunk> recent_;
};

}  // namespace heph
