// From one JSON line to a document: its text, its segments and its labels.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "json_scanner.h"

namespace heph {

constexpr std::array<std::string_view, 3> kLabels = {"license", "domain", "source"};

struct Line {
    const unsigned char* begin;
    const unsigned char* end;
    const unsigned char* readable;  // the end of the block that it lies in
};

struct Segment {
    std::size_t end;  // stop byte in the text
    bool train;
};

// The views are valid until the next line is read.
struct ParsedDocument {
    std::size_t bytes = 0;
    std::size_t characters = 0;
    std::array<std::string_view, kLabels.size()> labels;  // empty where the line has none
    bool has_hidden = false;                              // a segment carries no loss
};

// A document is an object.  Its text is that of its `segments` (a list of {text, train}) where it has some,
// else the string under `field`.  Of a key that comes twice the last counts.
class DocumentParser {
public:
    explicit DocumentParser(std::string field) : field_(std::move(field)) {}

    // Writes the text to `out`, which has room for as many bytes as the line and JsonScanner::copy_room more.
    // Throws Malformed.
    ParsedDocument parse(const Line& line, unsigned char* out);

    // Of the line that was parsed last.
    const std::vector<Segment>& segments() const { return segments_; }

private:
    struct Text {
        JsonKind kind = JsonKind::absent;
        unsigned char* begin = nullptr;
        JsonCopy copy;
    };

    void read_member(JsonScanner& scan, const JsonString& key);
    Text read_text(JsonScanner& scan, std::size_t depth);
    void read_segments(JsonScanner& scan);
    void read_segment(JsonScanner& scan);
    void note_segment_problem(std::string problem);
    const Text& choose_text(const Line& line) const;
    std::string_view label_text(std::size_t label);
    [[noreturn]] void fail_without_text(const Line& line) const;

    std::string field_;
    unsigned char* out_ = nullptr;  // where the next string is copied to
    Text text_;                     // under field_
    Text joined_;                   // of the segments; absent where there are none
    std::vector<Segment> segments_;
    std::string segment_problem_;
    std::array<JsonString, kLabels.size()> labels_;
    std::array<std::string, kLabels.size()> decoded_labels_;
};

}  // namespace heph
