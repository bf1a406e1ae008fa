#include "pack_order.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace heph {

namespace {

// Samples come in order: what is packed at a time are the groups of the steps that are being read.
constexpr std::size_t kGroups = 3;
constexpr std::size_t kEpochs = 3;

PackPlace normal(PackPlace place) {
    std::vector<std::pair<std::int64_t, std::uint64_t>> history;
    for (const auto& [length, windows] : place.history) {
        if (windows == 0) continue;
        if (!history.empty() && history.back().first == length) history.back().second += windows;
        else history.emplace_back(length, windows);
    }
    place.history = std::move(history);
    return place;
}

void check_used(std::uint64_t used, const PackGroup& group, std::int64_t length) {
    if (used <= group.size()) return;
    throw std::invalid_argument("a place after window " + std::to_string(used) + " of a group of blocks, which has " +
                                std::to_string(group.size()) + " of " + std::to_string(length) +
                                " positions: the place is one of another source");
}

}  // namespace

PackOrder::PackOrder(std::shared_ptr<const TokenReader> reader, std::shared_ptr<const WindowCounts> counts,
                     std::int64_t block, OrderKey key, PackPlace begin, std::int64_t length)
    : reader_(std::move(reader)), counts_(std::move(counts)), block_(block), length_(length), key_(key),
      begin_(normal(std::move(begin))), blocks_(blocks_of(reader_->total_tokens(), block)),
      groups_(EpochGroups::groups_of(blocks_)), walks_(kEpochs), recent_(kGroups) {
    if (counts_->filled() != blocks_) {
        throw std::invalid_argument("window counts of " + std::to_string(counts_->filled()) + " blocks for a source of " +
                                    std::to_string(blocks_));
    }
    if (counts_->total() == 0) throw std::invalid_argument("a source to pack has no document of two tokens or more");
    if (begin_.history.empty()) return;
    if (begin_.history.back().first == length_) begun_used_ = begin_.history.back().second;
    const std::shared_ptr<PackGroup> begun = group(begin_.groups);
    check_used(begun_used_, *begun, length_);
    begun_left_ = begun->size() - begun_used_;
}

RoundKeys PackOrder::group_keys(std::uint64_t turn, std::size_t repacked) const {
    const std::uint64_t epoch = round_keys(key_, turn / groups_).state;
    return {mix_seed(mix_seed(epoch, turn % groups_), repacked)};
}

std::shared_ptr<PackGroup> PackOrder::repacked_group() const {
    const std::uint64_t turn = begin_.groups;
    std::vector<std::vector<Run>> items;  // of each block what is left
    for (const std::uint64_t block : epoch_groups(turn).blocks(turn % groups_)) {
        block_items(*reader_, block_, block, 1, items.emplace_back());
    }
    std::size_t repacked = 0;
    const auto pack = [&](std::int64_t length) {
        Packer packer(length);
        std::vector<Windows> packed;
        for (const auto& left : items) packed.push_back(packer.pack(left));
        return std::make_shared<PackGroup>(std::move(packed), group_keys(turn, repacked++));
    };
    for (const auto& [length, windows_used] : begin_.history) {
        const std::shared_ptr<PackGroup> group = pack(length);
        const std::uint64_t used = windows_used;
        check_used(used, *group, length);
        if (repacked == begin_.history.size() && length == length_) return group;
        for (std::size_t i = 0; i < items.size(); ++i) {
            const auto left = [&](std::uint32_t window) { return group->number({i, window}) >= used; };
            items[i] = items_of(windows(turn, *group, i), left);
        }
    }
    return pack(length_);
}

std::shared_ptr<PackGroup> PackOrder::group(std::uint64_t turn) const {
    return recent_.get(turn, [&] {
        if (is_repacked(turn)) return repacked_group();
        std::vector<std::uint64_t> counts;
        for (const std::uint64_t block : epoch_groups(turn).blocks(turn % groups_)) counts.push_back((*counts_)[block]);
        return std::make_shared<PackGroup>(counts, group_keys(turn, 0));
    });
}

const Windows& PackOrder::windows(std::uint64_t turn, PackGroup& group, std::size_t at) const {
    return group.packed(at, [&] {
        const std::uint64_t block = epoch_groups(turn).block(turn % groups_, at);
        std::vector<Run> items;
        block_items(*reader_, block_, block, 1, items);
        Windows packed = Packer(length_).pack(items);
        if (packed.size() != (*counts_)[block]) {
            throw std::invalid_argument("block " + std::to_string(block) + " of " + std::to_string(block_) +
                                        " tokens packs into " + std::to_string(packed.size()) + " windows of " +
                                        std::to_string(length_) + ", and the counts say " +
                                        std::to_string((*counts_)[block]) + ": they were made of other documents");
        }
        return packed;
    });
}

std::shared_ptr<WindowWalk> PackOrder::walk(std::uint64_t epoch) const {
    return walks_.get(epoch, [&] {
        // The first epoch begins where the run stands, after the group that is begun.
        const bool first = epoch == begin_.groups / groups_;
        const std::uint64_t from = first ? begin_.groups % groups_ + (begin_.history.empty() ? 0 : 1) : 0;
        return std::make_shared<WindowWalk>(counts_, key_, epoch, from);
    });
}

PackOrder::Found PackOrder::window_of(std::uint64_t number) const {
    if (number < begun_left_) return {begin_.groups, begun_used_ + number};
    number -= begun_left_;
    std::uint64_t epoch = begin_.groups / groups_;
    GroupWindow found;
    if (!walk(epoch)->find(number, found)) {
        number -= walk(epoch)->total();
        epoch += 1 + number / counts_->total();  // all epochs have the same windows
        walk(epoch)->find(number % counts_->total(), found);
    }
    return {epoch * groups_ + found.group, found.number};
}

void PackOrder::pieces(std::uint64_t number, std::vector<Piece>& out) const {
    const Found found = window_of(number);
    const std::shared_ptr<PackGroup> there = group(found.turn);
    const auto [at, window] = there->place(found.number);
    const Windows& packed = windows(found.turn, *there, at);
    Piece piece;
    for (std::uint32_t i = packed.begins[window]; i < packed.begins[window + 1]; ++i) {
        piece.start = packed.runs[i].start;
        piece.count = packed.runs[i].count;
        out.push_back(piece);
        piece.column += piece.count;
    }
}

PackPlace PackOrder::place(std::uint64_t number) const {
    const Found found = window_of(number);
    PackPlace place{found.turn, {}};
    if (is_begun(found.turn)) {
        place.history = begin_.history;
        if (begun_used_ > 0) place.history.pop_back();
    }
    if (found.number > 0) place.history.emplace_back(length_, found.number);
    return place;
}

double PackOrder::epochs(std::uint64_t number) const {
    const Found found = window_of(number);
    const EpochGroups groups = epoch_groups(found.turn);
    const std::uint64_t there = found.turn % groups_;
    const std::uint64_t windows = is_begun(found.turn) ? begun_used_ + begun_left_ : groups.windows(there);
    double taken = 0;  // positions of windows, padding included
    for (const auto& [length, used] : place(number).history) {
        taken += static_cast<double>(length) * static_cast<double>(used);
    }
    const double left = static_cast<double>(windows - found.number) * static_cast<double>(length_);
    std::uint64_t first = there;  // groups without a window count with the next one: no sample would count them
    while (first > 0 && groups.windows(first - 1) == 0) --first;
    const std::uint64_t before = groups.blocks_before(first), span = groups.blocks_before(there + 1) - before;
    const double within = static_cast<double>(before) + taken / (taken + left) * static_cast<double>(span);
    return static_cast<double>(found.turn / groups_) + within / static_cast<double>(blocks_);
}

}  // namespace heph
