// A block of JSON lines as columns: the texts of its documents, and what is known of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace heph {

// Distinct strings, numbered in the order they came.
class Names {
public:
    std::int32_t code(std::string_view name);
    const std::deque<std::string>& names() const { return names_; }

private:
    std::deque<std::string> names_;  // never moves its strings: the map's keys are views of them
    std::unordered_map<std::string_view, std::int32_t> codes_;
    std::int32_t latest_ = -1;  // neighbours are mostly of one source
};

struct LabelColumn {
    Names names;
    std::vector<std::int32_t> codes;  // per document; -1: none
};

struct BadLine {
    std::int64_t position;
    std::int64_t length;
    std::int32_t reason;  // a code of JsonLines::reasons
};

struct FreeMemory {
    void operator()(void* memory) const { std::free(memory); }
};

struct JsonLines {
    std::size_t consumed = 0;  // bytes up to and with the last line end, from the block's beginning
    std::size_t lines = 0;     // blank ones too
    std::unique_ptr<unsigned char[], FreeMemory> texts;
    std::vector<std::int64_t> offsets = {0};   // documents + 1, into texts
    std::vector<std::int64_t> positions;       // where a document's line begins in the block
    std::vector<std::int64_t> characters;      // code points
    LabelColumn licenses, domains, sources;
    // Of documents with a segment that carries no loss: all of their segments.
    std::vector<std::int64_t> segment_documents;
    std::vector<std::int64_t> segment_ends;    // stop byte in the document's text
    std::vector<unsigned char> segment_train;  // 0 or 1
    std::vector<BadLine> bad;                  // lines that are no document
    Names reasons;
};

// Reads the complete lines of `block` from byte `begin` on (and what follows the last, if `last`).  The text
// of a line is that of its segments, else what stands under the key `field` (see DocumentParser).  Stops after
// 65,536 malformed lines: the caller goes on behind `consumed`.
// Throws std::invalid_argument if `begin` is past the end, std::bad_alloc.
JsonLines read_json_lines(const char* block, std::size_t size, std::size_t begin, bool last, const std::string& field);

}  // namespace heph
