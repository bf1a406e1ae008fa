// The samples of a source whose documents are packed: a sample is a window of documents of one block.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "pack_group.h"
#include "recent.h"
#include "source_order.h"
#include "token_reader.h"
#include "window_counts.h"
#include "window_walk.h"

namespace heph {

// How far a source has been read.
struct PackPlace {
    std::uint64_t groups = 0;  // finished since the run began
    // What was taken from the group at work: (length, windows), one after the other.  What was left in each of its
    // blocks was packed again whenever the length changed.
    std::vector<std::pair<std::int64_t, std::uint64_t>> history;
};

// Block b owns the documents that start in its tokens.  Per epoch the blocks stand in the order of a keyed
// permutation, in groups; the windows of a group stand in an order of their own.  Epoch follows epoch.  Sample k is
// the k-th window from `begin` on.
class PackOrder final : public SourceOrder {
public:
    // `counts`: of all blocks, at this block and length.  Throws std::invalid_argument if they are those of another
    // number of blocks or of no window, or if the source has no place `begin`.
    PackOrder(std::shared_ptr<const TokenReader> reader, std::shared_ptr<const WindowCounts> counts,
              std::int64_t block, OrderKey key, PackPlace begin, std::int64_t length);

    // Positions beyond the pieces are padding.  Throws std::invalid_argument if the block's documents make another
    // number of windows than was counted, and as TokenReader does.
    void pieces(std::uint64_t number, std::vector<Piece>& out) const override;

    // Where a segment begins that goes on after `number` samples.
    PackPlace place(std::uint64_t number) const;

    // Passes over the source, from the run's beginning to before sample `number`: blocks, and the positions of a
    // group's windows, count alike.  Whole at an epoch's end.
    double epochs(std::uint64_t number) const;

    // Appends those of the first `samples` samples that read one of the source's positions [start, start + count).
    void find(std::uint64_t start, std::uint64_t count, std::uint64_t samples, std::vector<std::uint64_t>& out) const;

private:
    // A window, by its group: groups since the run began are its turn.
    struct Found {
        std::uint64_t turn = 0;    // groups before
        std::uint64_t number = 0;  // of the group's windows in order, as they are now
    };
    Found window_of(std::uint64_t number) const;
    std::shared_ptr<WindowWalk> walk(std::uint64_t epoch) const;
    EpochGroups epoch_groups(std::uint64_t turn) const { return {*counts_, key_, turn / groups_}; }
    bool is_begun(std::uint64_t turn) const { return !begin_.history.empty() && turn == begin_.groups; }
    // Is it begun, and at another length?
    bool is_repacked(std::uint64_t turn) const {
        return is_begun(turn) && (begin_.history.size() > 1 || begin_.history.back().first != length_);
    }
    // The number of the first sample of a group; of the one that is begun, as if it had not been.
    std::int64_t first_of(std::uint64_t turn) const;
    // What find() finds in the block that stands at `at` in its group.
    void find_in(std::uint64_t turn, std::size_t at, std::int64_t begin, std::int64_t end, std::uint64_t samples,
                 std::vector<std::uint64_t>& out) const;

    std::shared_ptr<PackGroup> group(std::uint64_t turn) const;
    std::shared_ptr<PackGroup> repacked_group() const;
    const Windows& windows(std::uint64_t turn, PackGroup& group, std::size_t at) const;
    RoundKeys group_keys(std::uint64_t turn, std::size_t repacked) const;

    std::shared_ptr<const TokenReader> reader_;
    std::shared_ptr<const WindowCounts> counts_;
    std::int64_t block_, length_;
    OrderKey key_;
    PackPlace begin_;                                // no length twice in a row, and none without windows
    std::uint64_t blocks_, groups_;                  // of an epoch
    std::uint64_t begun_used_ = 0, begun_left_ = 0;  // of the group that is begun: windows
    mutable Recent<std::uint64_t, WindowWalk> walks_;
    mutable Recent<std::uint64_t, PackGroup> recent_;
};

}  // namespace heph
