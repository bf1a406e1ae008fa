// Blocks of lines that are nearly documents: nothing is read or written out of bounds, and the columns fit
// together.  (What the lines mean is held to Python's json.loads in tests/csrc/test_native_jsonl.py.)
#include <cstring>
#include <memory>
#include <string>

#include "../data/byte_search.h"
#include "../data/jsonl.h"
#include "fuzz.h"

namespace {

using std::string_literals::operator""s;

const std::vector<std::string> kDocuments = {
    R"({"text":"a\nb\t\"c\" \u00e9 \ud83d\ude00 and a long plain run of text","license":"MIT","source":"s\u0041"})",
    "{\"text\":\"\xE6\xBC\xA2\xE5\xAD\x97 \xC3\xA9 \xF0\x9F\x98\x80\",\"domain\":\"text\",\"n\":-12.5e+3,\"l\":[1,[],{\"k\":null}]}",
    R"({"segments":[{"text":"x","train":true},{"text":"\u00e9","train":false,"more":[0]}],"source":"a"})",
    R"({"te\u0078t":"key","provenance":{"text":"inner","path":[true,false,NaN,-Infinity]},"segments":[]})",
    R"({"text":"first","text":"last","segments":null,"u":"\ud800"})",
    R"({"body":"no text","txt":1})",
    R"(  )",
    "",
};
const std::vector<std::string> kPieces = {
    "\"", "\\", "{", "}", "[", "]", ":", ",", "0", "-", "1e9", "\\u", "\\ud83d", "\\ude00", "\\u0000", "\n", "\r\n", "\t",
    "\0"s, "\x80", "\xFF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xF0\x8F\xBF\xBF", "\xE6\xBC", "\xF0\x9F\x98\x80", "\xEF\xBB\xBF", "text",
    "\"text\":\"z\"", "segments", "\"segments\":[{\"text\":\"q\",\"train\":false}]", "true", "null", "NaN", "Infinity",
    "[[[[[[[[", "{\"a\":{\"a\":", "                ", "\"license\":\"L\"",
};

std::string make_block(fuzz::Random& random) {
    std::string block;
    for (std::size_t lines = random.below(6); lines > 0; --lines) {
        block += random.pick(kDocuments);
        if (random.one_in(20)) block += std::string(random.below(3000), random.one_in(2) ? '[' : 'x');
        block += random.one_in(4) ? "\r\n" : "\n";
    }
    for (std::size_t changes = random.below(8); changes > 0; --changes) {
        const std::size_t at = random.below(block.size() + 1);
        switch (random.below(4)) {
            case 0: block.insert(at, random.pick(kPieces)); break;
            case 1: block.erase(at, random.below(8)); break;
            case 2: block.insert(at, 1, static_cast<char>(random.next())); break;
            default: block.insert(at, block.substr(random.below(block.size() + 1), random.below(40)));
        }
    }
    return block.substr(0, block.size() - random.below(std::min<std::size_t>(block.size(), 20) + 1));
}

// A second decoder, as plain as can be: code points of a valid text, or -1.
std::int64_t count_characters(const unsigned char* text, std::size_t size) {
    std::int64_t count = 0;
    for (std::size_t at = 0; at < size; ++count) {
        const unsigned lead = text[at];
        const std::size_t length = lead < 0x80 ? 1 : lead >> 5 == 6 ? 2 : lead >> 4 == 14 ? 3 : lead >> 3 == 30 ? 4 : 0;
        if (length == 0 || at + length > size) return -1;
        std::uint32_t code = length == 1 ? lead : lead & (0x7Fu >> length);
        for (std::size_t i = 1; i < length; ++i) {
            if (text[at + i] >> 6 != 2) return -1;
            code = code << 6 | (text[at + i] & 0x3Fu);
        }
        const std::uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        if (code < least[length] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return -1;
        at += length;
    }
    return count;
}

void check_columns(const heph::JsonLines& lines, std::size_t begin, std::size_t size) {
    const std::size_t documents = lines.positions.size();
    FUZZ_CHECK(lines.consumed >= begin && lines.consumed <= size);
    FUZZ_CHECK(lines.offsets.size() == documents + 1 && lines.characters.size() == documents);
    FUZZ_CHECK(documents + lines.bad.size() <= lines.lines);
    for (std::size_t i = 0; i < documents; ++i) {
        FUZZ_CHECK(lines.offsets[i] <= lines.offsets[i + 1]);
        FUZZ_CHECK(lines.positions[i] >= static_cast<std::int64_t>(i == 0 ? begin : lines.positions[i - 1] + 1));
        const auto bytes = static_cast<std::size_t>(lines.offsets[i + 1] - lines.offsets[i]);
        FUZZ_CHECK(count_characters(lines.texts.get() + lines.offsets[i], bytes) == lines.characters[i]);
    }
    for (const heph::LabelColumn* column : {&lines.licenses, &lines.domains, &lines.sources}) {
        FUZZ_CHECK(column->codes.size() == documents);
        const auto names = static_cast<std::int32_t>(column->names.names().size());
        for (const std::int32_t code : column->codes) FUZZ_CHECK(code >= -1 && code < names);
    }
    for (const heph::BadLine& line : lines.bad) {
        FUZZ_CHECK(line.position >= static_cast<std::int64_t>(begin) && line.length > 0);
        FUZZ_CHECK(line.position + line.length <= static_cast<std::int64_t>(lines.consumed));
        FUZZ_CHECK(static_cast<std::size_t>(line.reason) < lines.reasons.names().size());
        const std::string& reason = lines.reasons.names()[static_cast<std::size_t>(line.reason)];
        FUZZ_CHECK(count_characters(reinterpret_cast<const unsigned char*>(reason.data()), reason.size()) > 0);
    }
    for (std::size_t i = 0; i < lines.segment_ends.size(); ++i) {
        const auto document = static_cast<std::size_t>(lines.segment_documents[i]);
        const bool first = i == 0 || lines.segment_documents[i - 1] != lines.segment_documents[i];
        FUZZ_CHECK(document < documents && lines.segment_train[i] <= 1);
        FUZZ_CHECK(lines.segment_ends[i] >= (first ? 0 : lines.segment_ends[i - 1]));
        const bool last = i + 1 == lines.segment_ends.size() || lines.segment_documents[i + 1] != lines.segment_documents[i];
        const std::int64_t bytes = lines.offsets[document + 1] - lines.offsets[document];
        FUZZ_CHECK(last ? lines.segment_ends[i] == bytes : lines.segment_ends[i] <= bytes);
    }
}

// The steps of all processors find what a byte after the other finds.
void check_search(fuzz::Random& random) {
    unsigned char bytes[heph::kVectorBytes];
    unsigned expected = 0;
    for (unsigned i = 0; i < sizeof(bytes); ++i) {
        bytes[i] = static_cast<unsigned char>(random.one_in(4) ? random.next() : 'x');
        expected |= static_cast<unsigned>(heph::is_special(bytes[i])) << i;
    }
    heph::ByteVector vector;
    std::memcpy(&vector, bytes, sizeof(bytes));
    FUZZ_CHECK(heph::gather(heph::special_flags(vector)) == expected);
    FUZZ_CHECK(heph::gather_portably(heph::special_flags(vector)) == expected);
}

void round(fuzz::Random& random) {
    check_search(random);
    const std::string source = make_block(random);
    // of its very size, so that a sanitizer sees the first byte beyond it
    const auto block = std::make_unique<char[]>(source.size());
    std::memcpy(block.get(), source.data(), source.size());
    const std::string field = random.pick(std::vector<std::string>{"text", "text", "text", "body", "segments", "license", ""});
    const std::size_t begin = random.one_in(4) ? random.below(source.size() + 1) : 0;
    const bool last = random.one_in(2);
    const heph::JsonLines whole = heph::read_json_lines(block.get(), source.size(), begin, last, field);
    check_columns(whole, begin, source.size());
    FUZZ_CHECK(!last || whole.consumed == source.size());

    // A cut anywhere changes nothing.
    const std::size_t cut = begin + random.below(source.size() - begin + 1);
    const heph::JsonLines first = heph::read_json_lines(block.get(), cut, begin, false, field);
    const heph::JsonLines second = heph::read_json_lines(block.get(), source.size(), first.consumed, last, field);
    FUZZ_CHECK(second.consumed == whole.consumed && first.lines + second.lines == whole.lines);
    FUZZ_CHECK(first.positions.size() + second.positions.size() == whole.positions.size());
    FUZZ_CHECK(first.bad.size() + second.bad.size() == whole.bad.size());
    const std::int64_t bytes = first.offsets.back();
    FUZZ_CHECK(bytes + second.offsets.back() == whole.offsets.back());
    FUZZ_CHECK(bytes == 0 || std::memcmp(whole.texts.get(), first.texts.get(), static_cast<std::size_t>(bytes)) == 0);
}

}  // namespace

int main(int count, char** arguments) { return fuzz::run(count, arguments, 100000, round); }
