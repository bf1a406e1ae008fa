// Pieces and samples as numpy sees them.
#pragma once

#include <stdexcept>
#include <string>

#include "bind.h"
#include "mixture.h"
#include "sample_order.h"
#include "source_order.h"

namespace heph::bind {

// Memory of int64 [pieces, 5], without a copy.
inline Array<std::int64_t> to_matrix(std::vector<Piece>&& pieces) {
    auto owned = std::make_unique<std::vector<Piece>>(std::move(pieces));
    auto* raw = owned.get();
    const pybind11::capsule owner(owned.release(), [](void* p) { delete static_cast<std::vector<Piece>*>(p); });
    const std::vector<pybind11::ssize_t> shape{static_cast<pybind11::ssize_t>(raw->size()), 5};
    return Array<std::int64_t>(shape, reinterpret_cast<const std::int64_t*>(raw->data()), owner);
}

// Samples first, first + stride, ..., all of them below 2^62.
inline void check_samples(std::int64_t first, std::int64_t count, std::int64_t stride) {
    constexpr auto limit = static_cast<__int128>(Mixture::kMaxSamples);
    if (first < 0 || count < 0 || stride < 1 || first + static_cast<__int128>(count) * stride > limit) {
        throw std::invalid_argument("samples from " + std::to_string(first) + ", " + std::to_string(count) +
                                    " of them in steps of " + std::to_string(stride));
    }
}

// (pieces int64 [pieces, 5], sources int64 [count]) of what has pieces(first, count, stride).
template <typename Order>
pybind11::tuple sample_pieces(const Order& order, std::int64_t first, std::int64_t count, std::int64_t stride) {
    check_samples(first, count, stride);
    Samples samples;
    {
        const pybind11::gil_scoped_release unlocked;
        samples = order.pieces(static_cast<std::uint64_t>(first), static_cast<std::uint64_t>(count),
                               static_cast<std::uint64_t>(stride));
    }
    return pybind11::make_tuple(to_matrix(std::move(samples.pieces)), to_numpy(std::move(samples.sources)));
}

}  // namespace heph::bind
