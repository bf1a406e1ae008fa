#include "sorted_column.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace heph {

namespace {

constexpr int kGuesses = 6;

// Where `value` should lie among [begin, end) if numbers grew evenly from `low` to `high`.
std::uint64_t guess(std::uint64_t begin, std::uint64_t end, std::uint64_t low, std::uint64_t high, std::uint64_t value) {
    if (value <= low || high <= low) return begin;
    const double share = static_cast<double>(value - low) / static_cast<double>(high - low);
    const auto step = static_cast<std::uint64_t>(share * static_cast<double>(end - begin));
    return begin + std::min(step, end - begin - 1);
}

}  // namespace

void SortedColumn::read(std::uint64_t first, std::size_t some, std::uint64_t* out, Wait wait) const {
    if (stride_ == sizeof(std::uint64_t)) {
        file_.read(offset_ + first * stride_, out, some * sizeof(std::uint64_t), wait);
        return;
    }
    std::array<std::uint64_t, 2 * kWindow> pairs;
    file_.read(offset_ + first * stride_, pairs.data(), 2 * some * sizeof(std::uint64_t), wait);
    for (std::size_t i = 0; i < some; ++i) out[i] = pairs[2 * i];
}

std::uint64_t SortedColumn::lower_bound(std::uint64_t value, Wait wait) const {
    std::uint64_t begin = 0, end = count_;       // the answer is in [begin, end]
    std::uint64_t low = low_, high = high_;      // bounds of what lies in [begin, end)
    std::array<std::uint64_t, kWindow> numbers;
    for (int turn = 0; begin < end; ++turn) {
        const std::uint64_t middle =
            turn < kGuesses ? guess(begin, end, low, high, value) : begin + (end - begin) / 2;
        const std::uint64_t first = middle - std::min<std::uint64_t>(middle - begin, kWindow / 2);
        const auto some = static_cast<std::size_t>(std::min<std::uint64_t>(end - first, kWindow));
        read(first, some, numbers.data(), wait);
        const std::uint64_t smallest = numbers[0], largest = numbers[some - 1];
        if (smallest < low || smallest > high) fail(first, smallest, low, high);
        if (largest < smallest || largest > high) fail(first + some - 1, largest, smallest, high);
        if (largest < value) {
            begin = first + some;
            low = largest;
        } else if (smallest >= value) {
            end = first;
            high = smallest;
        } else {
            const auto* found = std::lower_bound(numbers.data(), numbers.data() + some, value);
            return first + static_cast<std::uint64_t>(found - numbers.data());
        }
    }
    return begin;
}

void SortedColumn::fail(std::uint64_t index, std::uint64_t found, std::uint64_t low, std::uint64_t high) const {
    throw std::invalid_argument(file_.path() + " is damaged: its number at byte " +
                                std::to_string(offset_ + index * stride_) + " is " +
                                std::to_string(static_cast<std::int64_t>(found)) + ", and should be " +
                                std::to_string(low) + " to " + std::to_string(high) +
                                ". Copy the file again, or run `heph tokenize` again; `heph inspect data --verify` "
                                "checks all of a source.");
}

void ColumnCursor::fill(std::uint64_t index) {
    first_ = index;
    some_ = static_cast<std::size_t>(std::min<std::uint64_t>(column_.size() - index, ahead_));
    ahead_ = std::min(2 * ahead_, SortedColumn::kWindow);
    try {
        column_.read(first_, some_, numbers_.data(), wait_);
    } catch (...) {
        some_ = 0;  // a cursor that is used again reads again
        throw;
    }
}

}  // namespace heph
