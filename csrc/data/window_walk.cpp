#include "window_walk.h"

#include <algorithm>

namespace heph {

WindowWalk::WindowWalk(std::shared_ptr<const WindowCounts> counts, OrderKey key, std::uint64_t epoch,
                       std::uint64_t first)
    : counts_(std::move(counts)), permutation_(counts_->blocks()), keys_(round_keys(key, epoch)), first_(first),
      chunks_((counts_->blocks() - first + kChunk - 1) / kChunk), recent_(8) {}

std::shared_ptr<WindowWalk::Chunk> WindowWalk::chunk(std::uint64_t number) {
    return recent_.get(number, [&] {
        const std::uint64_t begin = first_ + number * kChunk, end = std::min(begin + kChunk, counts_->blocks());
        auto made = std::make_shared<Chunk>();
        made->sums.push_back(0);
        for (std::uint64_t position = begin; position < end; ++position) {
            const std::uint64_t block = permutation_.forward(position, keys_);
            made->blocks.push_back(block);
            made->sums.push_back(made->sums.back() + (*counts_)[block]);
        }
        return made;
    });
}

void WindowWalk::extend() { sums_.push_back(sums_.back() + chunk(sums_.size() - 1)->sums.back()); }

bool WindowWalk::find(std::uint64_t number, BlockWindow& found) {
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
    const std::shared_ptr<Chunk> there = chunk(at);
    const auto after = std::upper_bound(there->sums.begin(), there->sums.end(), number - before);
    const auto within = static_cast<std::uint64_t>(after - there->sums.begin()) - 1;
    found.position = first_ + at * kChunk + within;
    found.block = there->blocks[within];
    found.window = static_cast<std::uint32_t>(number - before - there->sums[within]);
    return true;
}

std::uint64_t WindowWalk::before(std::uint64_t position) {
    const std::uint64_t at = (position - first_) / kChunk;
    std::uint64_t sum;
    {
        const std::lock_guard<std::mutex> locked(mutex_);
        while (sums_.size() <= at) extend();
        sum = sums_[at];
    }
    return sum + chunk(at)->sums[(position - first_) % kChunk];
}

std::uint64_t WindowWalk::total() {
    const std::lock_guard<std::mutex> locked(mutex_);
    while (sums_.size() <= chunks_) extend();
    return sums_.back();
}

}  // namespace heph
