// Which samples of a packed source read a position: the order backwards.
#include <algorithm>

#include "pack_order.h"

namespace heph {

std::int64_t PackOrder::first_of(std::uint64_t turn) const {
    if (is_begun(turn)) return -static_cast<std::int64_t>(begun_used_);
    const std::uint64_t begun = begin_.groups / groups_, epoch = turn / groups_;
    std::uint64_t before = begun_left_ + walk(epoch)->before(turn % groups_);
    if (epoch > begun) before += walk(begun)->total() + (epoch - begun - 1) * counts_->total();
    return static_cast<std::int64_t>(before);
}

void PackOrder::find(std::uint64_t start, std::uint64_t count, std::uint64_t samples,
                     std::vector<std::uint64_t>& out) const {
    if (count == 0 || samples == 0) return;
    count = std::min(count, reader_->total_tokens() - std::min(start, reader_->total_tokens()));
    const auto begin = static_cast<std::int64_t>(start), end = static_cast<std::int64_t>(start + count);
    const auto size = static_cast<std::uint64_t>(block_);
    // the document that is under way at `start` may belong to a block far before
    const auto first = static_cast<std::uint64_t>(reader_->document_at(start).document.start) / size;
    const std::uint64_t last = (start + count - 1) / size, last_turn = window_of(samples - 1).turn;
    for (std::uint64_t epoch = begin_.groups / groups_; epoch <= last_turn / groups_; ++epoch) {
        const EpochGroups groups(*counts_, key_, epoch);
        for (std::uint64_t block = first; block <= last; ++block) {
            const std::uint64_t position = groups.position(block);
            const std::uint64_t turn = epoch * groups_ + position / PackGroup::kBlocks;
            if (turn < begin_.groups || turn > last_turn || (*counts_)[block] == 0) continue;
            find_in(turn, position % PackGroup::kBlocks, begin, end, samples, out);
        }
    }
}

void PackOrder::find_in(std::uint64_t turn, std::size_t at, std::int64_t begin, std::int64_t end, std::uint64_t samples,
                        std::vector<std::uint64_t>& out) const {
    const std::int64_t first = first_of(turn);
    const std::shared_ptr<PackGroup> there = group(turn);
    const Windows& packed = windows(turn, *there, at);
    for (std::uint32_t window = 0; window < packed.size(); ++window) {
        const auto run = packed.runs.begin() + packed.begins[window];
        const auto stop = packed.runs.begin() + packed.begins[window + 1];
        if (std::none_of(run, stop, [&](const Run& r) { return r.start < end && r.start + r.count > begin; })) continue;
        const std::int64_t found = first + static_cast<std::int64_t>(there->number({at, window}));
        if (found >= 0 && found < static_cast<std::int64_t>(samples)) out.push_back(static_cast<std::uint64_t>(found));
    }
}

}  // namespace heph
