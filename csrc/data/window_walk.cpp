#include "window_walk.h"

#include <algorithm>

namespace heph {

std::vector<std::uint64_t> EpochGroups::blocks(std::uint64_t group) const {
    std::vector<std::uint64_t> blocks(blocks_before(group + 1) - blocks_before(group));
    for (std::size_t i = 0; i < blocks.size(); ++i) blocks[i] = block(group, i);
    return blocks;
}

std::uint64_t EpochGroups::windows(std::uint64_t group) const {
    std::uint64_t windows = 0;
    for (const std::uint64_t block : blocks(group)) windows += (*counts_)[block];
    return windows;
}

WindowWalk::WindowWalk(std::shared_ptr<const WindowCounts> counts, OrderKey key, std::uint64_t epoch,
                       std::uint64_t first)
    : counts_(std::move(counts)), groups_(*counts_, key, epoch), first_(first),
      end_(EpochGroups::groups_of(counts_->blocks())), chunks_((end_ - first + kChunk - 1) / kChunk), recent_(8) {}

std::shared_ptr<WindowWalk::Chunk> WindowWalk::chunk(std::uint64_t number) {
    return recent_.get(number, [&] {
        const std::uint64_t begin = first_ + number * kChunk, end = std::min(begin + kChunk, end_);
        auto sums = std::make_shared<Chunk>(1, 0);
        for (std::uint64_t group = begin; group < end; ++group) sums->push_back(sums->back() + groups_.windows(group));
        return sums;
    });
}

void WindowWalk::extend() { sums_.push_back(sums_.back() + chunk(sums_.size() - 1)->back()); }

bool WindowWalk::find(std::uint64_t number, GroupWindow& found) {
    std::uint64_t at, before;
    {
        const std::lock_guard<std::mutex> locked(mutex_);
        while (sums_.back() <= number) {
            if (sums_.size() > chunks_) return false;
            extend();
        }
        at = static_cast<std::uint64_t>(std::upper_bound(sums_.begin(), sums_.end(), number) - sums_.begin()) - 1;
        before = sums_[at];
    }
    const std::shared_ptr<Chunk> sums = chunk(at);
    const auto after = std::upper_bound(sums->begin(), sums->end(), number - before);
    found.group = first_ + at * kChunk + static_cast<std::uint64_t>(after - sums->begin()) - 1;
    found.number = number - before - *(after - 1);
    return true;
}

std::uint64_t WindowWalk::before(std::uint64_t group) {
    const std::uint64_t at = (group - first_) / kChunk;
    std::uint64_t sum;
    {
        const std::lock_guard<std::mutex> locked(mutex_);
        while (sums_.size() <= at) extend();
        sum = sums_[at];
    }
    const std::uint64_t within = (group - first_) % kChunk;
    return within == 0 ? sum : sum + (*chunk(at))[within];
}

std::uint64_t WindowWalk::total() {
    const std::lock_guard<std::mutex> locked(mutex_);
    while (sums_.size() <= chunks_) extend();
    return sums_.back();
}

}  // namespace heph
