#include "packing.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <string>

namespace heph {

namespace {

std::uint32_t checked(std::int64_t length) {
    if (length < 1 || length > Packer::longest) {
        throw std::invalid_argument("a window of " + std::to_string(length) + " positions; it has from 1 to " +
                                    std::to_string(Packer::longest));
    }
    return static_cast<std::uint32_t>(length);
}

}  // namespace

FreeRoom::FreeRoom(std::uint32_t limit) : top_(limit, 0) {
    std::size_t words = limit;
    do {
        words = (words + 63) / 64;
        levels_.emplace_back(words, 0);
    } while (words > 1);
}

void FreeRoom::push(std::uint32_t room, std::uint32_t window) {
    if (below_.size() <= window) below_.resize(window + 1);
    below_[window] = top_[room];
    top_[room] = window + 1;
    if (below_[window] != 0) return;
    std::size_t at = room;
    for (auto& level : levels_) {
        std::uint64_t& word = level[at / 64];
        const bool known = word != 0;
        word |= std::uint64_t{1} << at % 64;
        if (known) return;
        at /= 64;
    }
}

bool FreeRoom::find(std::uint32_t wanted, std::uint32_t& room) const {
    std::size_t at = wanted;
    for (std::size_t up = 0; up < levels_.size(); ++up) {
        if (at / 64 >= levels_[up].size()) return false;
        const std::uint64_t word = levels_[up][at / 64] & ~std::uint64_t{0} << at % 64;
        if (word == 0) {
            at = at / 64 + 1;  // on the level above: the first word after this one
            continue;
        }
        at = at / 64 * 64 + static_cast<std::size_t>(__builtin_ctzll(word));
        while (up-- > 0) at = at * 64 + static_cast<std::size_t>(__builtin_ctzll(levels_[up][at]));
        room = static_cast<std::uint32_t>(at);
        return true;
    }
    return false;
}

bool FreeRoom::pop(std::uint32_t wanted, std::uint32_t& window, std::uint32_t& room) {
    if (!find(wanted, room)) return false;
    window = top_[room] - 1;
    top_[room] = below_[window];
    std::size_t at = room;
    for (std::size_t i = 0; top_[room] == 0 && i < levels_.size(); ++i) {
        std::uint64_t& word = levels_[i][at / 64];
        word &= ~(std::uint64_t{1} << at % 64);
        if (word != 0) break;
        at /= 64;
    }
    return true;
}

void FreeRoom::clear() {
    // as many steps as there are windows, not as a window has positions
    std::uint32_t window, room;
    while (pop(0, window, room)) {
    }
}

Packer::Packer(std::int64_t length) : length_(checked(length)), room_(length_) {}

void Packer::cut(const std::vector<Run>& items) {
    pieces_.clear();
    for (Run item : items) {
        for (; item.count > length_; item.start += length_, item.count -= length_) {
            pieces_.push_back({item.start, length_});
        }
        if (item.count > 0) pieces_.push_back(item);
    }
    if (pieces_.size() > UINT32_MAX) throw std::invalid_argument("a block with more than 2^32 pieces of documents");
}

std::uint32_t Packer::assign() {
    by_size_.clear();
    window_of_.resize(pieces_.size());
    std::uint32_t windows = 0;
    for (std::size_t i = 0; i < pieces_.size(); ++i) {
        const auto missing = length_ - static_cast<std::uint32_t>(pieces_[i].count);
        if (missing == 0) window_of_[i] = windows++;  // full: nobody looks for room there
        else by_size_.push_back(std::uint64_t{missing} << 32 | i);
    }
    std::sort(by_size_.begin(), by_size_.end());
    for (const std::uint64_t key : by_size_) {
        const auto piece = static_cast<std::uint32_t>(key);
        const auto size = static_cast<std::uint32_t>(pieces_[piece].count);
        std::uint32_t window = 0, room = 0;
        if (!room_.pop(size, window, room)) {
            window = windows++;
            room = length_;
        }
        window_of_[piece] = window;
        if (room > size) room_.push(room - size, window);
    }
    room_.clear();
    return windows;
}

std::uint32_t Packer::count(const std::vector<Run>& items) {
    cut(items);
    return assign();
}

Windows Packer::pack(const std::vector<Run>& items) {
    cut(items);
    const std::uint32_t windows = assign();
    Windows packed;
    packed.begins.assign(windows + 1, 0);
    for (const std::uint32_t window : window_of_) ++packed.begins[window + 1];
    std::partial_sum(packed.begins.begin(), packed.begins.end(), packed.begins.begin());
    packed.runs.resize(pieces_.size());
    std::vector<std::uint32_t> next(packed.begins.begin(), packed.begins.end() - 1);
    for (std::size_t i = 0; i < pieces_.size(); ++i) packed.runs[next[window_of_[i]]++] = pieces_[i];
    return packed;
}

std::vector<Run> items_of(const Windows& windows, const std::function<bool(std::uint32_t)>& left) {
    std::vector<Run> runs;
    for (std::uint32_t window = 0; window < windows.size(); ++window) {
        if (!left(window)) continue;
        const auto first = windows.runs.begin();
        runs.insert(runs.end(), first + windows.begins[window], first + windows.begins[window + 1]);
    }
    std::sort(runs.begin(), runs.end(), [](const Run& a, const Run& b) { return a.start < b.start; });
    std::vector<Run> items;
    for (const Run& run : runs) {
        if (!items.empty() && items.back().start + items.back().count == run.start) items.back().count += run.count;
        else items.push_back(run);
    }
    return items;
}

}  // namespace heph
