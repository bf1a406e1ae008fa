// Documents into windows of one length: best-fit decreasing.
//
// The longest item first, each into the window with the least room that still takes it (Johnson 1974; for training
// sequences: Ding et al. 2024, arXiv:2404.10830).  Sizes are whole numbers, ties go by position, and so every
// machine packs the same.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "permutation.h"

namespace heph {

// `count` consecutive positions of one document, from `start` in the source's stream.
struct Run {
    std::int64_t start = 0;
    std::int64_t count = 0;
};
static_assert(sizeof(Run) == 16);

// Windows, one after the other; the runs of a window are in order of their start.
struct Windows {
    std::vector<Run> runs;
    std::vector<std::uint32_t> begins = {0};  // of each window its first run, and the end

    std::size_t size() const { return begins.size() - 1; }
};

// Windows that still have room, by how much: a set of small whole numbers as a tree of 64 branches, with a stack of
// windows at each.
class FreeRoom {
public:
    explicit FreeRoom(std::uint32_t limit);  // room is below it

    void push(std::uint32_t room, std::uint32_t window);
    // Takes the window with the least room that is `wanted` or more, of several the one put in last; `room` becomes
    // its room.  False if there is none.
    bool pop(std::uint32_t wanted, std::uint32_t& window, std::uint32_t& room);
    void clear();

private:
    bool find(std::uint32_t wanted, std::uint32_t& room) const;

    std::vector<std::vector<std::uint64_t>> levels_;  // of the last one word; a bit: is anything below?
    std::vector<std::uint32_t> top_;                  // by room: the window on the stack, from 1
    std::vector<std::uint32_t> below_;                // by window: the one under it
};

// Packs, again and again, for one length.  Not thread-safe.
class Packer {
public:
    static constexpr std::int64_t longest = std::int64_t{1} << 28;

    // Throws std::invalid_argument unless 1 <= length <= longest.
    explicit Packer(std::int64_t length);

    // Items in order of their start, apart from each other.  One that is longer than a window is cut into pieces of
    // a window's length and a rest; one that fits is never cut.  Empty items take no part.
    std::uint32_t count(const std::vector<Run>& items);
    // The windows stand in the order in which they are opened, which goes by the length of their longest document:
    // whoever reads them draws an order of his own.
    Windows pack(const std::vector<Run>& items);

private:
    void cut(const std::vector<Run>& items);
    std::uint32_t assign();

    std::uint32_t length_;
    FreeRoom room_;
    std::vector<Run> pieces_;
    std::vector<std::uint64_t> by_size_;
    std::vector<std::uint32_t> window_of_;  // of each piece
};

// What those windows hold for which left(window) is true, as items in order of their start: runs that touch are one
// again.  Runs that touch are of one document, since a document's last token is no position.
std::vector<Run> items_of(const Windows& windows, const std::function<bool(std::uint32_t)>& left);

// A seed made of another and a number: the output of SplitMix64 from that state.
inline std::uint64_t mix_seed(std::uint64_t seed, std::uint64_t value) {
    return mix64(seed + (value + 1) * 0x9E3779B97F4A7C15u);
}

}  // namespace heph
