#include "jsonl.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <stdexcept>

#include "json_document.h"

namespace heph {

namespace {

// What is told of malformed lines must not fill the memory: a block may hold millions of them.
constexpr std::size_t kMostBad = 1 << 16;

// Calls on_line(begin, end) for each line, without its line end, while it returns true; returns the bytes up to
// the end of the last one.
template <typename OnLine>
std::size_t each_line(const char* block, std::size_t size, std::size_t begin, bool last, OnLine on_line) {
    while (begin < size) {
        // memchr is vectorized by the C library: this runs at memory speed.
        const void* found = std::memchr(block + begin, '\n', size - begin);
        if (found == nullptr && !last) break;
        const std::size_t stop =
            found == nullptr ? size : static_cast<std::size_t>(static_cast<const char*>(found) - block);
        const bool more = on_line(begin, stop > begin && block[stop - 1] == '\r' ? stop - 1 : stop);
        begin = found == nullptr ? size : stop + 1;
        if (!more) break;
    }
    return begin;
}

class Reader {
public:
    Reader(const char* block, std::size_t size, std::size_t begin, const std::string& field)
        : block_(reinterpret_cast<const unsigned char*>(block)), size_(size), parser_(field) {
        // A text is no longer than the JSON that it stands in: one allocation for all, which the kernel gives
        // page by page as it is written.
        out_.texts.reset(static_cast<unsigned char*>(std::malloc(size - begin + JsonScanner::copy_room)));
        if (!out_.texts) throw std::bad_alloc();
    }

    // False when it is time to stop.
    bool read(std::size_t begin, std::size_t end) {
        ++out_.lines;
        const auto is_space = [](unsigned char byte) { return byte == ' ' || byte == '\t' || byte == '\r'; };
        if (std::all_of(block_ + begin, block_ + end, is_space)) return true;
        try {
            add(begin, parser_.parse({block_ + begin, block_ + end, block_ + size_}, out_.texts.get() + used_));
        } catch (const Malformed& problem) {
            out_.bad.push_back({static_cast<std::int64_t>(begin), static_cast<std::int64_t>(end - begin),
                                out_.reasons.code(problem.reason)});
        }
        return out_.bad.size() < kMostBad;
    }

    JsonLines finish(std::size_t consumed) {
        out_.consumed = consumed;
        return std::move(out_);
    }

private:
    void add(std::size_t position, const ParsedDocument& document) {
        if (document.has_hidden) add_segments();
        used_ += document.bytes;
        out_.offsets.push_back(static_cast<std::int64_t>(used_));
        out_.positions.push_back(static_cast<std::int64_t>(position));
        out_.characters.push_back(static_cast<std::int64_t>(document.characters));
        LabelColumn* const columns[] = {&out_.licenses, &out_.domains, &out_.sources};
        for (std::size_t label = 0; label < kLabels.size(); ++label) {
            const std::string_view name = document.labels[label];
            columns[label]->codes.push_back(name.empty() ? -1 : columns[label]->names.code(name));
        }
    }

    void add_segments() {
        for (const Segment& segment : parser_.segments()) {
            out_.segment_documents.push_back(static_cast<std::int64_t>(out_.positions.size()));
            out_.segment_ends.push_back(static_cast<std::int64_t>(segment.end));
            out_.segment_train.push_back(segment.train ? 1 : 0);
        }
    }

    const unsigned char* block_;
    std::size_t size_;
    DocumentParser parser_;
    JsonLines out_;
    std::size_t used_ = 0;  // bytes of texts
};

}  // namespace

std::int32_t Names::code(std::string_view name) {
    if (latest_ >= 0 && names_[static_cast<std::size_t>(latest_)] == name) return latest_;
    const auto known = codes_.find(name);
    if (known != codes_.end()) return latest_ = known->second;
    names_.emplace_back(name);
    latest_ = static_cast<std::int32_t>(names_.size() - 1);
    codes_.emplace(names_.back(), latest_);
    return latest_;
}

JsonLines read_json_lines(const char* block, std::size_t size, std::size_t begin, bool last,
                          const std::string& field) {
    if (begin > size) {
        throw std::invalid_argument("the lines begin at byte " + std::to_string(begin) + " of a block of " +
                                    std::to_string(size));
    }
    Reader reader(block, size, begin, field);
    const std::size_t consumed =
        each_line(block, size, begin, last, [&](std::size_t first, std::size_t end) { return reader.read(first, end); });
    return reader.finish(consumed);
}

}  // namespace heph
