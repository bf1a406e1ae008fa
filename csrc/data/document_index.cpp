#include "document_index.h"

#include <stdexcept>

namespace heph {

namespace {

std::uint64_t checked_bin_bytes(const TokenFile& file, const IndexHeader& header, std::uint64_t tokens) {
    const std::uint64_t says = read_bin_bytes(file.source(), header), has = tokens * header.item_size();
    if (says == has) return has;
    throw std::invalid_argument(file.path() + " says that its .bin has " + std::to_string(says) + " bytes, and it has " +
                                std::to_string(has) + ": one of the two was cut short or belongs to another pair. " +
                                "Copy both again, or run `heph tokenize` again.");
}

}  // namespace

DocumentIndex::DocumentIndex(const std::string& path, std::uint64_t tokens, ReadCounters& counters)
    : file_(path, counters),
      header_(read_index_header(file_.source())),
      item_(header_.item_size()),
      bin_bytes_(checked_bin_bytes(file_, header_, tokens)),
      pointers_(file_, header_.pointers_at(), header_.sequences, 8, 0, bin_bytes_),
      entries_(file_, header_.entries_at(), header_.entries, 8, 0, header_.sequences) {}

// Documents one after the other, every one checked against the one before.
class DocumentIndex::Cursor {
public:
    Cursor(const DocumentIndex& index, std::uint64_t first, Wait wait)
        : index_(index), entries_(index.entries_, wait), pointers_(index.pointers_, wait), number_(first) {
        sequence_ = checked(index.entries_, first, entries_.at(first), 0, index.header_.sequences);
        byte_ = start_of(sequence_, 0);
    }

    // The bytes [begin, end) of the next document.
    std::uint64_t begin() const { return byte_; }
    std::uint64_t end() {
        sequence_ = checked(index_.entries_, number_ + 1, entries_.at(number_ + 1), sequence_, index_.header_.sequences);
        byte_ = start_of(sequence_, byte_);
        ++number_;
        return byte_;
    }
    bool at_end() const { return number_ >= index_.size(); }

private:
    static std::uint64_t checked(const SortedColumn& column, std::uint64_t at, std::uint64_t found, std::uint64_t low,
                                 std::uint64_t high) {
        if (found < low || found > high) column.fail(at, found, low, high);
        return found;
    }

    std::uint64_t start_of(std::uint64_t sequence, std::uint64_t low) {
        if (sequence == index_.header_.sequences) return index_.bin_bytes_;
        const std::uint64_t byte = pointers_.at(sequence);
        if (byte % index_.item_ != 0) index_.pointers_.fail(sequence, byte, low, index_.bin_bytes_);
        return checked(index_.pointers_, sequence, byte, low, index_.bin_bytes_);
    }

    const DocumentIndex& index_;
    ColumnCursor entries_, pointers_;
    std::uint64_t number_, sequence_ = 0, byte_ = 0;
};

Document DocumentIndex::document(std::uint64_t number, Wait wait) const {
    Cursor cursor(*this, number, wait);
    const std::uint64_t begin = cursor.begin(), end = cursor.end();
    return {static_cast<std::int64_t>(begin / item_), static_cast<std::int64_t>((end - begin) / item_)};
}

std::uint64_t DocumentIndex::holding(std::uint64_t token, Wait wait) const {
    // Of sequences (documents) that begin at the same place the last one is not empty, and that is the one before
    // the first that begins later.
    const std::uint64_t later = pointers_.lower_bound((token + 1) * item_, wait);
    if (later == 0) pointers_.fail(0, bin_bytes_, 0, 0);  // the first one does not begin at 0
    const std::uint64_t next = entries_.lower_bound(later, wait);
    if (next == 0 || next >= header_.entries) entries_.fail(0, next, 0, 0);
    return next - 1;
}

void DocumentIndex::starting(std::uint64_t first, std::uint64_t stop, std::int64_t base, std::vector<Document>& out,
                             Wait wait) const {
    const std::uint64_t sequence = pointers_.lower_bound(first * item_, wait);
    const std::uint64_t number = entries_.lower_bound(sequence, wait);
    if (number >= size()) return;
    Cursor cursor(*this, number, wait);
    const std::uint64_t stop_byte = stop * item_;
    while (!cursor.at_end() && cursor.begin() < stop_byte) {
        const std::uint64_t begin = cursor.begin(), end = cursor.end();
        if (begin < first * item_) pointers_.fail(sequence, begin, first * item_, bin_bytes_);
        if (end == begin) continue;
        out.push_back({base + static_cast<std::int64_t>(begin / item_), static_cast<std::int64_t>((end - begin) / item_)});
    }
}

}  // namespace heph
