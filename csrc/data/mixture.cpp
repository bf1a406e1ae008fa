#include "mixture.h"

#include <stdexcept>
#include <string>
#include <utility>

namespace heph {

namespace {

using Wide = unsigned __int128;

constexpr std::uint64_t kHalf = std::uint64_t{1} << 63;

// n p + 1/2 in units of 2^-64, less one unit: the integral part is n p rounded, halves down.
Wide rounded(std::uint64_t n, std::uint64_t fraction) { return static_cast<Wide>(n) * fraction + (kHalf - 1); }

std::uint64_t whole(Wide fixed) { return static_cast<std::uint64_t>(fixed >> 64); }

}  // namespace

Mixture::Mixture(std::int64_t sources, std::vector<Node> nodes, std::int64_t only)
    : sources_(sources), nodes_(std::move(nodes)) {
    if (sources < 1) throw std::invalid_argument("a mixture of " + std::to_string(sources) + " sources");
    present_.assign(static_cast<std::size_t>(sources), false);
    std::vector<bool> used(nodes_.size(), false);
    for (std::size_t node = 0; node < nodes_.size(); ++node) {
        if (nodes_[node].fraction > kHalf) throw std::invalid_argument("a lighter child of more than a half");
        check(nodes_[node].lighter, node, used);
        check(nodes_[node].heavier, node, used);
    }
    if (nodes_.empty()) check(-1 - only, 0, used);
    for (std::size_t node = 0; node + 1 < nodes_.size(); ++node) {
        if (!used[node]) throw std::invalid_argument("node " + std::to_string(node) + " hangs nowhere");
    }
    root_ = nodes_.empty() ? -1 - only : static_cast<std::int64_t>(nodes_.size()) - 1;
}

void Mixture::check(std::int64_t child, std::size_t node, std::vector<bool>& used) {
    const bool leaf = child < 0;
    const std::int64_t index = leaf ? -1 - child : child;
    const std::int64_t limit = leaf ? sources_ : static_cast<std::int64_t>(node);
    if (index >= limit) {
        throw std::invalid_argument((leaf ? "source " : "node ") + std::to_string(index) + " in a mixture of " +
                                    std::to_string(sources_) + " sources, below node " + std::to_string(node));
    }
    std::vector<bool>& taken = leaf ? present_ : used;
    if (taken[static_cast<std::size_t>(index)]) {
        throw std::invalid_argument((leaf ? "source " : "node ") + std::to_string(index) + " stands twice in the tree");
    }
    taken[static_cast<std::size_t>(index)] = true;
}

Mixture::Place Mixture::place(std::uint64_t sample) const {
    std::int64_t at = root_;
    while (at >= 0) {
        const Node& node = nodes_[static_cast<std::size_t>(at)];
        const Wide before = rounded(sample, node.fraction);
        const std::uint64_t low = static_cast<std::uint64_t>(before);
        const bool lighter = low + node.fraction < low;  // one sample more carries into the integral part
        sample = lighter ? whole(before) : sample - whole(before);
        at = lighter ? node.lighter : node.heavier;
    }
    return {-1 - at, static_cast<std::int64_t>(sample)};
}

std::vector<std::int64_t> Mixture::counts(std::uint64_t samples) const {
    std::vector<std::int64_t> found(static_cast<std::size_t>(sources_), 0);
    std::vector<std::uint64_t> reach(nodes_.size(), 0);  // of the first samples those that come by a node
    const auto give = [&](std::int64_t child, std::uint64_t count) {
        if (child >= 0) reach[static_cast<std::size_t>(child)] = count;
        else found[static_cast<std::size_t>(-1 - child)] = static_cast<std::int64_t>(count);
    };
    give(root_, samples);
    for (std::size_t node = nodes_.size(); node-- > 0;) {
        const std::uint64_t lighter = whole(rounded(reach[node], nodes_[node].fraction));
        give(nodes_[node].lighter, lighter);
        give(nodes_[node].heavier, reach[node] - lighter);
    }
    return found;
}

}  // namespace heph
