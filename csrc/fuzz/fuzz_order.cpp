// Orders of random shape, at random places: what is asked backwards, or counted, agrees with what is asked forwards.
#include <algorithm>
#include <memory>
#include <utility>

#include "../data/mixture.h"
#include "../data/permutation.h"
#include "../data/sample_order.h"
#include "../data/stream_order.h"
#include "fuzz.h"

namespace {

using heph::Mixture;

// Of any magnitude from 1 to `limit`.
std::uint64_t magnitude(fuzz::Random& random, std::uint64_t limit) {
    return 1 + (random.next() >> random.below(64)) % limit;
}

void check_permutation(fuzz::Random& random) {
    const heph::Permutation permutation(magnitude(random, heph::Permutation::kMaxSize));
    const heph::RoundKeys keys = heph::round_keys({random.next(), random.next()}, random.next());
    for (int i = 0; i < 20; ++i) {
        const std::uint64_t position = random.next() % permutation.size();
        const std::uint64_t value = permutation.forward(position, keys);
        FUZZ_CHECK(value < permutation.size());
        FUZZ_CHECK(permutation.inverse(value, keys) == position);
    }
}

// Any tree, not only Huffman's.
Mixture make_mixture(fuzz::Random& random, std::int64_t sources) {
    std::vector<std::int64_t> open;
    for (std::int64_t source = 0; source < sources; ++source) open.push_back(-1 - source);
    if (open.size() > 1 && random.one_in(3)) open.erase(open.begin() + static_cast<std::ptrdiff_t>(random.below(open.size())));
    const auto take = [&] {
        std::swap(open[random.below(open.size())], open.back());
        const std::int64_t taken = open.back();
        open.pop_back();
        return taken;
    };
    std::vector<Mixture::Node> nodes;
    while (open.size() > 1) {
        const std::int64_t lighter = take(), heavier = take();
        const std::uint64_t half = std::uint64_t{1} << 63;
        nodes.push_back({random.one_in(5) ? half : random.next() % half >> random.below(63), lighter, heavier});
        open.push_back(static_cast<std::int64_t>(nodes.size()) - 1);
    }
    const std::int64_t only = nodes.empty() ? -1 - open[0] : -1;
    return Mixture(sources, std::move(nodes), only);
}

void check_mixture(fuzz::Random& random, const Mixture& mixture) {
    std::uint64_t sample = random.one_in(2) ? random.below(100) : magnitude(random, Mixture::kMaxSamples - 100);
    std::vector<std::int64_t> counts = mixture.counts(sample);
    for (int i = 0; i < 50; ++i) {
        const Mixture::Place place = mixture.place(sample++);
        FUZZ_CHECK(mixture.has(place.source));
        FUZZ_CHECK(place.earlier == counts[static_cast<std::size_t>(place.source)]++);
    }
    FUZZ_CHECK(mixture.counts(sample) == counts);
}

// An epoch of short samples, from anywhere, is every position once.
void check_stream(fuzz::Random& random) {
    const auto tokens = static_cast<std::int64_t>(2 + random.below(300));
    const auto block = static_cast<std::int64_t>(1 + random.below(50));
    const auto length = static_cast<std::int64_t>(1 + random.below(60));
    const std::int64_t epoch = tokens - 1;
    const auto begin = static_cast<std::int64_t>(magnitude(random, std::uint64_t{1} << 50)) * epoch;
    const heph::StreamOrder order(tokens, block, {random.next(), random.next()}, begin, length);
    std::vector<int> seen(static_cast<std::size_t>(epoch), 0);
    std::int64_t left = epoch;
    for (std::uint64_t number = 0; left > 0; ++number) {
        std::vector<heph::Piece> pieces;
        order.pieces(number, pieces);
        std::int64_t column = 0;
        for (const heph::Piece& piece : pieces) {
            FUZZ_CHECK(piece.column == column && piece.count > 0 && piece.start >= 0);
            FUZZ_CHECK(piece.start + piece.count < tokens);
            column += piece.count;
            for (std::int64_t i = 0; i < piece.count && left > 0; ++i, --left) {
                FUZZ_CHECK(seen[static_cast<std::size_t>(piece.start + i)]++ == 0);
            }
        }
        FUZZ_CHECK(column == length);
    }
}

void check_samples(fuzz::Random& random, const Mixture& mixture) {
    std::vector<std::shared_ptr<heph::SourceOrder>> orders;
    for (std::int64_t source = 0; source < mixture.sources(); ++source) {
        orders.push_back(mixture.has(source) ? std::make_shared<heph::StreamOrder>(
                                                   2 + static_cast<std::int64_t>(magnitude(random, 1u << 30)), 64,
                                                   heph::OrderKey{1, 2}, 0, 32)
                                             : nullptr);
    }
    const std::uint64_t count = random.below(40);
    const heph::SampleOrder order(mixture, std::move(orders));
    const heph::Samples samples = order.pieces(random.below(1000), count, 1 + random.below(9));
    FUZZ_CHECK(samples.sources.size() == count);
    std::vector<std::int64_t> filled(count, 0);
    for (const heph::Piece& piece : samples.pieces) {
        FUZZ_CHECK(piece.source == samples.sources.at(static_cast<std::size_t>(piece.row)));
        filled[static_cast<std::size_t>(piece.row)] += piece.count;
    }
    FUZZ_CHECK(std::all_of(filled.begin(), filled.end(), [](std::int64_t positions) { return positions == 32; }));
}

void round(fuzz::Random& random) {
    check_permutation(random);
    check_stream(random);
    const Mixture mixture = make_mixture(random, 1 + static_cast<std::int64_t>(random.below(random.one_in(9) ? 500 : 12)));
    check_mixture(random, mixture);
    check_samples(random, mixture);
}

}  // namespace

int main(int count, char** arguments) { return fuzz::run(count, arguments, 20000, round); }
