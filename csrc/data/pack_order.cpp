#include "pack_order.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace heph {

namespace {

// Samples come in order: what is packed at a time are the blocks of the steps that are being read.
constexpr std::size_t kPackedBlocks = 32;
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

}  // namespace

PackOrder::PackOrder(std::shared_ptr<const TokenReader> reader, std::shared_ptr<const WindowCounts> counts,
                     std::int64_t block, OrderKey key, PackPlace begin, std::int64_t length)
    : reader_(std::move(reader)), counts_(std::move(counts)), block_(block), length_(length), key_(key),
      begin_(normal(std::move(begin))), blocks_(blocks_of(reader_->total_tokens(), block)), walks_(kEpochs),
      packed_(kPackedBlocks) {
    if (counts_->filled() != blocks_) {
        throw std::invalid_argument("window counts of " + std::to_string(counts_->filled()) + " blocks for a source of " +
                                    std::to_string(blocks_));
    }
    if (counts_->total() == 0) throw std::invalid_argument("a source to pack has no document of two tokens or more");
    permutation_.emplace(blocks_);
    if (begin_.history.empty()) return;
    begun_block_ = permutation_->forward(begin_.blocks % blocks_, round_keys(key_, begin_.blocks / blocks_));
    if (begin_.history.back().first == length_) begun_used_ = begin_.history.back().second;
    const auto now = windows(begin_.blocks, begun_block_);
    begun_left_ = now->size() - begun_used_;
}

std::uint64_t PackOrder::seed(std::uint64_t turn, std::uint64_t block, std::size_t repacked) const {
    const std::uint64_t epoch = turn / blocks_;
    return mix_seed(mix_seed(mix_seed(mix_seed(key_.first, key_.second), epoch), block), repacked);
}

Windows PackOrder::pack_begun(std::uint64_t block) const {
    std::vector<Run> items;
    block_items(*reader_, block_, block, 1, items);
    std::size_t repacked = 0;
    for (const auto& [length, used] : begin_.history) {
        const Windows packed = Packer(length).pack(items, seed(begin_.blocks, block, repacked));
        if (used > packed.size()) {
            throw std::invalid_argument("a place after window " + std::to_string(used) + " of block " +
                                        std::to_string(block) + ", which has " + std::to_string(packed.size()) +
                                        " of " + std::to_string(length) + " positions: the place is one of another source");
        }
        if (repacked + 1 == begin_.history.size() && length == length_) return packed;
        items = items_from(packed, used);
        ++repacked;
    }
    return Packer(length_).pack(items, seed(begin_.blocks, block, repacked));
}

std::shared_ptr<Windows> PackOrder::windows(std::uint64_t turn, std::uint64_t block) const {
    return packed_.get(turn, [&] {
        if (is_begun(turn)) return std::make_shared<Windows>(pack_begun(block));
        std::vector<Run> items;
        block_items(*reader_, block_, block, 1, items);
        auto packed = std::make_shared<Windows>(Packer(length_).pack(items, seed(turn, block, 0)));
        if (packed->size() != (*counts_)[block]) {
            throw std::invalid_argument("block " + std::to_string(block) + " of " + std::to_string(block_) +
                                        " tokens packs into " + std::to_string(packed->size()) + " windows of " +
                                        std::to_string(length_) + ", and the counts say " +
                                        std::to_string((*counts_)[block]) + ": they were made of other documents");
        }
        return packed;
    });
}

std::shared_ptr<WindowWalk> PackOrder::walk(std::uint64_t epoch) const {
    return walks_.get(epoch, [&] {
        // The first epoch begins where the run stands, after the block that is begun.
        const bool first = epoch == begin_.blocks / blocks_;
        const std::uint64_t from = first ? begin_.blocks % blocks_ + (begin_.history.empty() ? 0 : 1) : 0;
        return std::make_shared<WindowWalk>(counts_, key_, epoch, from);
    });
}

PackOrder::Found PackOrder::window_of(std::uint64_t number) const {
    if (number < begun_left_) {
        return {begin_.blocks, begun_block_, static_cast<std::uint32_t>(begun_used_ + number)};
    }
    number -= begun_left_;
    std::uint64_t epoch = begin_.blocks / blocks_;
    BlockWindow found;
    if (!walk(epoch)->find(number, found)) {
        number -= walk(epoch)->total();
        epoch += 1 + number / counts_->total();  // all epochs have the same windows
        walk(epoch)->find(number % counts_->total(), found);
    }
    return {epoch * blocks_ + found.position, found.block, found.window};
}

void PackOrder::pieces(std::uint64_t number, std::vector<Piece>& out) const {
    const Found found = window_of(number);
    const auto packed = windows(found.turn, found.block);
    Piece piece;
    for (std::uint32_t i = packed->begins[found.window]; i < packed->begins[found.window + 1]; ++i) {
        piece.start = packed->runs[i].start;
        piece.count = packed->runs[i].count;
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
    if (found.window > 0) place.history.emplace_back(length_, found.window);
    return place;
}

double PackOrder::epochs(std::uint64_t number) const {
    const Found found = window_of(number);
    const auto in_block = static_cast<double>(is_begun(found.turn) ? begun_used_ + begun_left_ : (*counts_)[found.block]);
    double taken = 0;  // positions of windows, padding included
    for (const auto& [length, used] : place(number).history) {
        taken += static_cast<double>(length) * static_cast<double>(used);
    }
    const double left = (in_block - found.window) * static_cast<double>(length_);
    const double within = static_cast<double>(found.turn % blocks_) + taken / (taken + left);
    return static_cast<double>(found.turn / blocks_) + within / static_cast<double>(blocks_);
}

std::int64_t PackOrder::first_of(std::uint64_t turn) const {
    if (is_begun(turn)) return -static_cast<std::int64_t>(begun_used_);
    const std::uint64_t begun = begin_.blocks / blocks_, epoch = turn / blocks_;
    std::uint64_t before = begun_left_ + walk(epoch)->before(turn % blocks_);
    if (epoch > begun) before += walk(begun)->total() + (epoch - begun - 1) * counts_->total();
    return static_cast<std::int64_t>(before);
}

void PackOrder::find(std::uint64_t start, std::uint64_t count, std::uint64_t samples,
                     std::vector<std::uint64_t>& out) const {
    if (count == 0 || samples == 0) return;
    count = std::min(count, reader_->total_tokens() - std::min(start, reader_->total_tokens()));
    const auto begin = static_cast<std::int64_t>(start), end = static_cast<std::int64_t>(start + count);
    const auto limit = static_cast<std::int64_t>(samples);
    const auto size = static_cast<std::uint64_t>(block_);
    // the document that is under way at `start` may belong to a block far before
    const auto first = static_cast<std::uint64_t>(reader_->document_at(start).document.start) / size;
    const std::uint64_t last = (start + count - 1) / size, last_turn = window_of(samples - 1).turn;
    for (std::uint64_t epoch = begin_.blocks / blocks_; epoch <= last_turn / blocks_; ++epoch) {
        const RoundKeys keys = round_keys(key_, epoch);
        for (std::uint64_t block = first; block <= last; ++block) {
            const std::uint64_t turn = epoch * blocks_ + permutation_->inverse(block, keys);
            if (turn < begin_.blocks || turn > last_turn || (*counts_)[block] == 0) continue;
            const std::int64_t number = first_of(turn);
            const auto packed = windows(turn, block);
            for (std::size_t i = 0; i < packed->runs.size(); ++i) {
                const Run& run = packed->runs[i];
                if (run.start >= end || run.start + run.count <= begin) continue;
                const auto after = std::upper_bound(packed->begins.begin(), packed->begins.end(), i);
                const std::int64_t found = number + (after - packed->begins.begin()) - 1;
                if (found < 0 || found >= limit) continue;
                if (out.empty() || out.back() != static_cast<std::uint64_t>(found)) {
                    out.push_back(static_cast<std::uint64_t>(found));
                }
            }
        }
    }
}

}  // namespace heph
