// Search in a column of ascending numbers that lies in a file.
#pragma once

#include <array>
#include <cstdint>

#include "token_file.h"

namespace heph {

// `count` uint64 in a file, `stride` bytes apart (8, or 16 where every second number is of another column).
//
// Numbers that come from documents or sequences grow nearly evenly, so that a search guesses where its value lies
// (interpolation search; Perl, Itai and Avni 1978) and reads 4 KiB there; after some guesses it halves, which bounds
// the reads whatever the file holds.  What a search reads must ascend between `low` and `high`; what it does not
// read is not looked at.
class SortedColumn {
public:
    static constexpr std::size_t kWindow = 512;  // numbers read at a time

    SortedColumn(const TokenFile& file, std::uint64_t offset, std::uint64_t count, std::uint64_t stride,
                 std::uint64_t low, std::uint64_t high)
        : file_(file), offset_(offset), count_(count), stride_(stride), low_(low), high_(high) {}

    std::uint64_t size() const { return count_; }
    // The first number that is `value` or more; `size()` if there is none.
    std::uint64_t lower_bound(std::uint64_t value, Wait wait) const;
    // Numbers [first, first + some), at most kWindow of them.
    void read(std::uint64_t first, std::size_t some, std::uint64_t* out, Wait wait) const;
    [[noreturn]] void fail(std::uint64_t index, std::uint64_t found, std::uint64_t low, std::uint64_t high) const;

private:
    const TokenFile& file_;
    std::uint64_t offset_, count_, stride_, low_, high_;
};

// Numbers of a column one after the other: one read for many of them.
class ColumnCursor {
public:
    ColumnCursor(const SortedColumn& column, Wait wait) : column_(column), wait_(wait) {}
    std::uint64_t at(std::uint64_t index) {
        if (index - first_ >= some_) fill(index);
        return numbers_[index - first_];
    }

private:
    void fill(std::uint64_t index);

    const SortedColumn& column_;
    Wait wait_;
    std::uint64_t first_ = 0;
    std::size_t some_ = 0;
    std::size_t ahead_ = 32;  // doubles: a short look reads little
    std::array<std::uint64_t, SortedColumn::kWindow> numbers_;
};

}  // namespace heph
