#include "batch_reader.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "batch_layout.h"

namespace heph {

BatchReader::BatchReader(std::vector<std::shared_ptr<const TokenReader>> readers, std::vector<bool> apart,
                         std::uint64_t vocab, std::shared_ptr<ReadAhead> ahead)
    : readers_(std::move(readers)), apart_(std::move(apart)), vocab_(vocab), ahead_(std::move(ahead)) {
    if (apart_.size() == readers_.size()) return;
    throw std::invalid_argument("there are " + std::to_string(readers_.size()) + " sources, and " +
                                std::to_string(apart_.size()) + " answers to whether their documents stay apart");
}

template <typename Id>
void BatchReader::check(const Piece* pieces, std::size_t count, const BatchArrays<Id>& arrays, Layout layout) const {
    if (arrays.columns < 1 || arrays.rows < 0 ||
        arrays.rows > std::numeric_limits<std::int32_t>::max() / (arrays.columns + 1)) {
        throw std::invalid_argument("a batch of " + std::to_string(arrays.rows) + " x " + std::to_string(arrays.columns) +
                                    " has no positions, or more than 2^31");
    }
    const PlaceChecker place(arrays.rows, arrays.columns + (layout == Layout::joined));
    for (std::size_t i = 0; i < count; ++i) {
        const Piece& piece = pieces[i];
        place.check(i, piece, i > 0 ? &pieces[i - 1] : nullptr);
        if (piece.source < 0 || piece.source >= static_cast<std::int64_t>(readers_.size())) {
            place.fail(i, piece, "its source is none of 0 to " + std::to_string(readers_.size()));
        }
        const TokenReader& reader = *readers_[static_cast<std::size_t>(piece.source)];
        const auto needs = static_cast<std::uint64_t>(piece.count) + (layout == Layout::separate);
        if (piece.start < 0 || needs > reader.total_tokens() ||
            static_cast<std::uint64_t>(piece.start) > reader.total_tokens() - needs) {
            place.fail(i, piece, "it reads " + std::to_string(needs) + " tokens, beyond the source's " +
                                     std::to_string(reader.total_tokens()));
        }
        if (std::is_same_v<Id, std::uint16_t> && !reader.is_narrow() && (vocab_ == 0 || vocab_ > 65536)) {
            place.fail(i, piece, "the batch is uint16, but its source holds wider ids, and the vocabulary is " +
                                     (vocab_ ? std::to_string(vocab_) : std::string("not known")) + ": give int32 arrays");
        }
    }
}

template <typename Id>
std::vector<std::int32_t> BatchReader::read(const Piece* pieces, std::size_t count, const BatchArrays<Id>& arrays,
                                            Layout layout) const {
    check(pieces, count, arrays, layout);
    std::vector<std::int32_t> edges;
    edges.reserve(64);
    std::vector<Id> ids;
    std::vector<Piece> cold;
    for (std::size_t i = 0; i < count; ++i) {
        try {
            fill(pieces[i], arrays, layout, ahead_ ? Wait::no : Wait::yes, ids, edges);
        } catch (const ColdRead&) {  // its edges so far come again
            cold.push_back(pieces[i]);
        }
    }
    fill_cold(cold, arrays, layout, edges);
    pad(pieces, count, arrays, layout, edges);
    finish_edges(arrays.rows, arrays.columns, edges);
    return edges;
}

template <typename Id>
void BatchReader::fill(const Piece& piece, const BatchArrays<Id>& arrays, Layout layout, Wait wait,
                       std::vector<Id>& ids, std::vector<std::int32_t>& edges) const {
    const PieceParts parts(piece, arrays.columns, layout);
    const auto source = static_cast<std::size_t>(piece.source);
    const TokenReader& reader = *readers_[source];
    const auto start = static_cast<std::uint64_t>(piece.start);
    if (ids.size() < parts.ids) ids.resize(parts.ids);
    reader.read(start, parts.ids, ids.data(), vocab_ ? vocab_ : TokenReader::kAnyId, wait);
    const std::int64_t row = piece.row * arrays.columns;
    std::copy_n(ids.data(), parts.tokens, arrays.tokens + row + piece.column);
    const std::int64_t labels = row + parts.label_column;
    std::copy_n(ids.data() + parts.first_label, parts.labels, arrays.labels + labels);
    std::fill_n(arrays.loss + labels, parts.labels, true);
    if (reader.has_masks()) reader.clear_loss(start + parts.first_label, parts.labels, arrays.loss + labels, wait);
    if (apart_[source]) part_documents(piece, parts.ids, arrays, layout, wait, edges);
}

template <typename Id>
void BatchReader::part_documents(const Piece& piece, std::uint64_t ids, const BatchArrays<Id>& arrays, Layout layout,
                                 Wait wait, std::vector<std::int32_t>& edges) const {
    std::vector<Document> documents;
    const TokenReader& reader = *readers_[static_cast<std::size_t>(piece.source)];
    reader.documents(static_cast<std::uint64_t>(piece.start), ids, documents, wait);
    const std::int64_t row = piece.row * arrays.columns;
    const auto part = [&](std::int64_t column) {  // nothing from before attends to, or is asked for, what begins there
        if (column < arrays.columns) edges.push_back(static_cast<std::int32_t>(row + column));
        if (column > 0 && (layout == Layout::joined || column > piece.column)) arrays.loss[row + column - 1] = false;
    };
    part(piece.column);
    for (const Document& document : documents) part(piece.column + document.start - piece.start);
    // In a joined row the next piece's first label is its own affair.
    const std::int64_t end = std::min(piece.column + piece.count, arrays.columns);
    edges.push_back(static_cast<std::int32_t>(row + end));
}

template <typename Id>
void BatchReader::fill_cold(const std::vector<Piece>& pieces, const BatchArrays<Id>& arrays, Layout layout,
                            std::vector<std::int32_t>& edges) const {
    if (pieces.empty()) return;
    for (const Piece& piece : pieces) {  // all of them are with the disk before the first is waited for
        const TokenReader& reader = *readers_[static_cast<std::size_t>(piece.source)];
        reader.touch(static_cast<std::uint64_t>(piece.start), static_cast<std::uint64_t>(piece.count));
    }
    std::vector<std::vector<std::int32_t>> own_edges(pieces.size());
    ahead_->run(pieces.size(), [&](std::size_t i) {
        std::vector<Id> ids;
        fill(pieces[i], arrays, layout, Wait::yes, ids, own_edges[i]);
    });
    for (const auto& own : own_edges) edges.insert(edges.end(), own.begin(), own.end());
}

void BatchReader::want(const Piece* pieces, std::size_t count, const std::vector<std::int64_t>& extents) const {
    if (!ahead_) return;
    if (extents.size() != readers_.size()) throw std::invalid_argument("one extent for each source");
    for (const Piece* piece = pieces; piece != pieces + count; ++piece) {
        if (piece->source < 0 || static_cast<std::size_t>(piece->source) >= readers_.size() || piece->start < 0) continue;
        const auto source = static_cast<std::size_t>(piece->source);
        const std::int64_t extent = extents[source];
        const std::int64_t start = extent > 0 ? piece->start / extent * extent : piece->start;
        const std::int64_t size = (extent > 0 ? extent : piece->count) + 1;  // the last label is the next extent's
        ahead_->want(readers_[source], static_cast<std::uint64_t>(start), static_cast<std::uint64_t>(size));
    }
}

template std::vector<std::int32_t> BatchReader::read(const Piece*, std::size_t, const BatchArrays<std::uint16_t>&,
                                                     Layout) const;
template std::vector<std::int32_t> BatchReader::read(const Piece*, std::size_t, const BatchArrays<std::int32_t>&,
                                                     Layout) const;

}  // namespace heph
