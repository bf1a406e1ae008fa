// Which document holds a token of a pair, asked of the `.idx` on the disk: nothing is built, nothing is held.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "index_file.h"
#include "sorted_column.h"
#include "token_file.h"

namespace heph {

// A document of a stream: tokens [start, start + length).
struct Document {
    std::int64_t start = 0;
    std::int64_t length = 0;
};

// Sequences lie one after the other in the `.bin`; a document is the sequences from one document index to the next,
// usually one.  Thread-safe.  Everything throws std::invalid_argument, with the path and both values, for an index
// whose numbers do not ascend where they are read.
class DocumentIndex {
public:
    // Checks the header, and that the ends of the arrays fit each other and the `.bin` of `tokens` tokens.
    DocumentIndex(const std::string& path, std::uint64_t tokens, ReadCounters& counters);

    std::uint64_t size() const { return header_.entries - 1; }  // documents, also the empty ones
    const IndexHeader& header() const { return header_; }

    Document document(std::uint64_t number, Wait wait = Wait::yes) const;
    // The document that holds a token; it is not empty.
    std::uint64_t holding(std::uint64_t token, Wait wait = Wait::yes) const;
    // Appends the documents that start in [first, stop) of this pair's tokens, `base` added to their starts; leaves
    // out the empty ones.
    void starting(std::uint64_t first, std::uint64_t stop, std::int64_t base, std::vector<Document>& out,
                  Wait wait) const;

private:
    class Cursor;

    TokenFile file_;
    IndexHeader header_;
    std::uint64_t item_, bin_bytes_;
    SortedColumn pointers_, entries_;
};

}  // namespace heph
