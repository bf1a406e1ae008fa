#include "json_document.h"

#include <algorithm>
#include <cstring>

#include "utf8.h"

namespace heph {

namespace {

constexpr std::size_t kMostKeys = 12;       // that an error names
constexpr std::size_t kMostKeyBytes = 60;

// What Python calls false: such a value under `segments` means that there are none.
bool is_empty_value(JsonKind kind, const unsigned char* begin, const unsigned char* end) {
    switch (kind) {
        case JsonKind::null: case JsonKind::false_: return true;
        case JsonKind::string: return end - begin == 2;
        case JsonKind::object:
            return std::all_of(begin + 1, end - 1, [](unsigned char byte) { return byte <= ' '; });
        case JsonKind::number:  // zero, however it is written
            for (; begin < end && (*begin | 0x20) != 'e'; ++begin) {
                if (std::strchr("-.0", *begin) == nullptr) return false;
            }
            return true;
        default: return false;
    }
}

// For an error: short, on one line, and UTF-8 whatever the key holds.
std::string printable(const JsonString& key) {
    const std::string raw = key.decode();
    const auto* at = reinterpret_cast<const unsigned char*>(raw.data());
    const auto* const end = at + raw.size();
    std::string text;
    while (at < end) {
        const std::size_t length = *at < 0x80 ? 1 : utf8::sequence_length(at, end);
        if (text.size() + length > kMostKeyBytes) return text + "...";
        if (length == 0 || *at < 0x20) text += "\xEF\xBF\xBD";
        else text.append(reinterpret_cast<const char*>(at), length);
        at += std::max<std::size_t>(length, 1);
    }
    return text;
}

}  // namespace

ParsedDocument DocumentParser::parse(const Line& line, unsigned char* out) {
    out_ = out;
    text_ = joined_ = {};
    segments_.clear();
    segment_problem_.clear();
    labels_ = {};
    JsonScanner scan(line.begin, line.end, line.readable);
    if (scan.peek() != '{') {
        const JsonKind kind = scan.skip_value(0);
        scan.finish();
        throw Malformed{std::string("the line holds ") + kind_name(kind) + ", and a document is an object"};
    }
    scan.each_member([&](const JsonString& key) { read_member(scan, key); });
    scan.finish();

    const Text& text = choose_text(line);
    ParsedDocument document;
    document.bytes = static_cast<std::size_t>(text.copy.end - text.begin);
    document.characters = document.bytes - text.copy.tails;
    if (text.begin != out) std::memmove(out, text.begin, document.bytes);
    for (std::size_t label = 0; label < kLabels.size(); ++label) document.labels[label] = label_text(label);
    document.has_hidden =
        std::any_of(segments_.begin(), segments_.end(), [](const Segment& segment) { return !segment.train; });
    return document;
}

// A key may have several parts to play: `--field source` is legal.
void DocumentParser::read_member(JsonScanner& scan, const JsonString& key) {
    const unsigned char* const value = scan.position();
    bool known = false;
    const auto play = [&](std::string_view name) {
        if (!key.is(name)) return false;
        scan.seek(value);
        return known = true;
    };
    if (play(field_)) text_ = read_text(scan, 1);
    if (play("segments")) read_segments(scan);
    for (std::size_t label = 0; label < kLabels.size(); ++label) {
        if (!play(kLabels[label])) continue;
        labels_[label] = {};
        if (scan.peek() == '"') labels_[label] = scan.skip_string();
        else scan.skip_value(1);
    }
    if (!known) scan.skip_value(1);
}

DocumentParser::Text DocumentParser::read_text(JsonScanner& scan, std::size_t depth) {
    Text text;
    if (scan.peek() != '"') {
        text.kind = scan.skip_value(depth);
        return text;
    }
    text.kind = JsonKind::string;
    text.begin = out_;
    text.copy = scan.copy_string(out_);
    out_ = text.copy.end;
    return text;
}

void DocumentParser::read_segments(JsonScanner& scan) {
    joined_ = {};
    segments_.clear();
    segment_problem_.clear();
    if (scan.peek() != '[') {
        const unsigned char* const begin = scan.position();
        const JsonKind kind = scan.skip_value(1);
        if (is_empty_value(kind, begin, scan.position())) return;
        joined_.kind = kind;
        note_segment_problem(std::string("the key 'segments' holds ") + kind_name(kind) +
                             ", and it is a list of {text, train}");
        return;
    }
    Text joined;
    joined.begin = joined.copy.end = out_;
    std::swap(joined_, joined);
    scan.each_element([&] { read_segment(scan); });
}

void DocumentParser::read_segment(JsonScanner& scan) {
    joined_.kind = JsonKind::array;  // it has an element
    if (scan.peek() != '{') {
        note_segment_problem(std::string("a segment is ") + kind_name(scan.skip_value(2)) +
                             ", and it is an object of text and train");
        return;
    }
    unsigned char* const begin = out_;
    Text text;
    JsonKind train = JsonKind::absent;
    scan.each_member([&](const JsonString& key) {
        if (key.is("text")) {
            out_ = begin;  // over an earlier text of this segment
            text = read_text(scan, 3);
        } else if (key.is("train")) {
            train = scan.skip_value(3);
        } else {
            scan.skip_value(3);
        }
    });
    if (text.kind == JsonKind::absent) return note_segment_problem("a segment lacks 'text'");
    if (train == JsonKind::absent) return note_segment_problem("a segment lacks 'train'");
    if (text.kind != JsonKind::string) {
        return note_segment_problem(std::string("the text of a segment is ") + kind_name(text.kind) +
                                    ", and a text is a string");
    }
    if (train != JsonKind::true_ && train != JsonKind::false_) {
        return note_segment_problem(std::string("'train' of a segment is ") + kind_name(train) +
                                    ", and it is true or false");
    }
    joined_.copy.end = out_;
    joined_.copy.tails += text.copy.tails;
    if (joined_.copy.surrogate == 0) joined_.copy.surrogate = text.copy.surrogate;
    segments_.push_back({static_cast<std::size_t>(out_ - joined_.begin), train == JsonKind::true_});
}

// The line is read on: it may not even be JSON, or `segments` may come again.
void DocumentParser::note_segment_problem(std::string problem) {
    if (segment_problem_.empty()) segment_problem_ = std::move(problem);
}

const DocumentParser::Text& DocumentParser::choose_text(const Line& line) const {
    if (!segment_problem_.empty()) throw Malformed{segment_problem_};
    const bool segmented = joined_.kind == JsonKind::array;
    const Text& text = segmented ? joined_ : text_;
    if (!segmented && text.kind != JsonKind::string) fail_without_text(line);
    if (text.copy.surrogate != 0) {
        throw Malformed{"half of a surrogate pair at byte " + std::to_string(text.copy.surrogate)};
    }
    return text;
}

std::string_view DocumentParser::label_text(std::size_t label) {
    const JsonString& string = labels_[label];
    if (!string.escaped) return string.raw();
    decoded_labels_[label] = string.decode();
    const std::string& text = decoded_labels_[label];
    const auto* at = reinterpret_cast<const unsigned char*>(text.data());
    const auto* const end = at + text.size();
    while (at < end) {
        const std::size_t length = *at < 0x80 ? 1 : utf8::sequence_length(at, end);
        if (length == 0) throw Malformed{"half of a surrogate pair in '" + std::string(kLabels[label]) + "'"};
        at += length;
    }
    return text;
}

void DocumentParser::fail_without_text(const Line& line) const {
    if (text_.kind != JsonKind::absent) {
        throw Malformed{"the key '" + field_ + "' holds " + kind_name(text_.kind) + ", and a text is a string"};
    }
    std::vector<std::string> keys;
    JsonScanner scan(line.begin, line.end, line.readable);
    scan.each_member([&](const JsonString& key) {
        keys.push_back(printable(key));
        scan.skip_value(1);
    });
    std::sort(keys.begin(), keys.end());
    keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
    std::string names;
    for (std::size_t i = 0; i < std::min(keys.size(), kMostKeys); ++i) names += (i == 0 ? "" : ", ") + keys[i];
    if (keys.size() > kMostKeys) names += " and " + std::to_string(keys.size() - kMostKeys) + " more";
    throw Malformed{"no text under the key '" + field_ + "' (" +
                    (keys.empty() ? "the object is empty" : "the keys are " + names) + ")"};
}

}  // namespace heph
