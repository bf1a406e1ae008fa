#include "pack_group.h"

#include <algorithm>

namespace heph {

PackGroup::PackGroup(const std::vector<std::uint64_t>& counts, RoundKeys keys) : keys_(keys) { sum(counts); }

PackGroup::PackGroup(std::vector<Windows> packed, RoundKeys keys) : keys_(keys) {
    std::vector<std::uint64_t> counts;
    for (std::size_t i = 0; i < packed.size(); ++i) {
        counts.push_back(packed[i].size());
        blocks_[i].packed = std::move(packed[i]);
    }
    sum(counts);
}

void PackGroup::sum(const std::vector<std::uint64_t>& counts) {
    for (const std::uint64_t count : counts) begins_.push_back(begins_.back() + count);
    if (size() > 0) permutation_.emplace(size());
}

PackGroup::Place PackGroup::place(std::uint64_t number) const {
    const std::uint64_t window = permutation_->forward(number, keys_);
    const auto after = std::upper_bound(begins_.begin(), begins_.end(), window);
    return {static_cast<std::size_t>(after - begins_.begin()) - 1, static_cast<std::uint32_t>(window - *(after - 1))};
}

std::uint64_t PackGroup::number(const Place& place) const {
    return permutation_->inverse(begins_[place.block] + place.window, keys_);
}

}  // namespace heph
