#include "permutation.h"

#include <cmath>
#include <stdexcept>
#include <string>

namespace heph {

namespace {

std::uint64_t multiply_high(std::uint64_t a, std::uint64_t b) {
    return static_cast<std::uint64_t>((static_cast<unsigned __int128>(a) * b) >> 64);
}

// A number below `limit` by `value` and `key`: Lemire's reduction, whose bias is limit / 2^64.
std::uint64_t draw(std::uint64_t value, std::uint64_t key, std::uint64_t limit) {
    return multiply_high(mix64(value + key), limit);
}

std::uint64_t add(std::uint64_t a, std::uint64_t b, std::uint64_t limit) {
    const std::uint64_t sum = a + b;
    return sum >= limit ? sum - limit : sum;
}

std::uint64_t subtract(std::uint64_t a, std::uint64_t b, std::uint64_t limit) { return a >= b ? a - b : a + limit - b; }

std::uint64_t ceil_sqrt(std::uint64_t value) {
    auto root = static_cast<std::uint64_t>(std::sqrt(static_cast<double>(value)));
    while (root * root < value) ++root;  // a double has 53 bits
    while (root > 1 && (root - 1) * (root - 1) >= value) --root;
    return root;
}

}  // namespace

RoundKeys round_keys(OrderKey key, std::uint64_t epoch) { return {key.first + mix64(key.second + epoch)}; }

Permutation::Permutation(std::uint64_t size) : size_(size), rounds_(size < kSmall ? kSmallRounds : kRounds) {
    if (size == 0 || size > kMaxSize) {
        throw std::invalid_argument("a permutation of " + std::to_string(size) + " values; 1 to 2^62 can be permuted");
    }
    a_ = ceil_sqrt(size);
    b_ = (size + a_ - 1) / a_;
    reciprocal_ = ~std::uint64_t{0} / a_;
}

Permutation::Pair Permutation::split(std::uint64_t value) const {
    // value < 2^62 + 2^31, so that the quotient is at most one too small.
    std::uint64_t y = multiply_high(value, reciprocal_);
    std::uint64_t x = value - y * a_;
    if (x >= a_) {
        x -= a_;
        ++y;
    }
    return {x, y};
}

std::uint64_t Permutation::forward(std::uint64_t position, const RoundKeys& keys) const {
    do {
        auto [x, y] = split(position);
        for (int round = 0; round < rounds_; round += 2) {
            x = add(x, draw(y, keys[round], a_), a_);
            y = add(y, draw(x, keys[round + 1], b_), b_);
        }
        position = y * a_ + x;
    } while (position >= size_);
    return position;
}

std::uint64_t Permutation::inverse(std::uint64_t value, const RoundKeys& keys) const {
    do {
        auto [x, y] = split(value);
        for (int round = rounds_; round > 0; round -= 2) {
            y = subtract(y, draw(x, keys[round - 1], b_), b_);
            x = subtract(x, draw(y, keys[round - 2], a_), a_);
        }
        value = y * a_ + x;
    } while (value >= size_);
    return value;
}

}  // namespace heph
