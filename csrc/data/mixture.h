// Which source each sample comes from: a tree of two-way splits by rounding, in closed form.
#pragma once

#include <cstdint>
#include <vector>

namespace heph {

// Every inner node sends round(n p), halves down, of its first n samples to its lighter child, whose share of the
// node is p <= 1/2, and the others to the heavier one.  The tree is Huffman's, which keeps the errors small:
// megatron_heph/data/mixture.py builds it, and has the proof.
class Mixture {
public:
    static constexpr std::uint64_t kMaxSamples = std::uint64_t{1} << 62;

    // `fraction` is p in units of 2^-64.  A child c >= 0 is node c, which stands before its parent; c < 0 is source
    // -1 - c.  The root is the last node.
    struct Node {
        std::uint64_t fraction;
        std::int64_t lighter, heavier;
    };

    struct Place {
        std::int64_t source;
        std::int64_t earlier;  // samples of that source before this one
    };

    // Throws std::invalid_argument if the nodes are no tree in that order, or name a source of 0 .. sources-1 twice.
    // Sources that no node names are never picked.  Without nodes `only` is the one that is picked.
    Mixture(std::int64_t sources, std::vector<Node> nodes, std::int64_t only);

    std::int64_t sources() const { return sources_; }

    // Whether a source is ever picked; it is below sources().
    bool has(std::int64_t source) const { return present_[static_cast<std::size_t>(source)]; }

    // The place of sample n < 2^62.
    Place place(std::uint64_t sample) const;

    // How many of the first `samples` <= 2^62 samples fall to each source.
    std::vector<std::int64_t> counts(std::uint64_t samples) const;

private:
    void check(std::int64_t child, std::size_t node, std::vector<bool>& used);

    std::int64_t sources_;
    std::vector<Node> nodes_;
    std::int64_t root_;
    std::vector<bool> present_;
};

}  // namespace heph
