#include <array>
#include <cstdlib>
#include <string>
#include <tuple>

#include "bind.h"
#include "bpe.h"
#include "unicode_classes.h"

namespace py = pybind11;

namespace heph::bind {

namespace {

// Sets of (bytes, id, skipped), searched one after the other.
using AddedRows = std::vector<std::vector<std::tuple<std::string, TokenId, bool>>>;

// The byte that each character of a tokenizer.json stands for, or -1: bytes that print stand for themselves, the
// others are U+0100 and on, in order (GPT-2's table).
const std::array<std::int16_t, 0x144>& bytes_of_characters() {
    static const auto table = [] {
        std::array<std::int16_t, 0x144> made;
        made.fill(-1);
        std::size_t next = 0x100;
        for (unsigned byte = 0; byte < 256; ++byte) {
            const bool prints = (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte != 0xAD);
            made[prints ? byte : next++] = static_cast<std::int16_t>(byte);
        }
        return made;
    }();
    return table;
}

// Characters [begin, end) of a string, as the bytes they stand for; false if one stands for none.
bool to_bytes(PyObject* text, Py_ssize_t begin, Py_ssize_t end, std::string& out) {
    const auto& table = bytes_of_characters();
    const int kind = PyUnicode_KIND(text);
    const void* data = PyUnicode_DATA(text);
    out.clear();
    for (Py_ssize_t i = begin; i < end; ++i) {
        const Py_UCS4 character = PyUnicode_READ(kind, data, i);
        if (character >= table.size() || table[character] < 0) return false;
        out.push_back(static_cast<char>(table[character]));
    }
    return true;
}

PyObject* require_text(PyObject* object, const char* what) {
    if (PyUnicode_Check(object) == 0) throw std::invalid_argument(std::string(what) + " is not a string");
    return object;
}

std::string utf8(PyObject* text) {
    Py_ssize_t size = 0;
    const char* data = PyUnicode_AsUTF8AndSize(text, &size);
    if (data == nullptr) throw py::error_already_set();
    return {data, static_cast<std::size_t>(size)};
}

TokenId to_id(PyObject* number) {
    const long long id = PyLong_Check(number) != 0 ? PyLong_AsLongLong(number) : -1;
    if (id == -1 && PyErr_Occurred() != nullptr) PyErr_Clear();
    if (id < 0 || id >= kMostTokens) {
        throw std::invalid_argument("a token has the id " + py::str(py::handle(number)).cast<std::string>() +
                                    "; ids are 0 to " + std::to_string(kMostTokens - 1));
    }
    return static_cast<TokenId>(id);
}

void read_vocabulary(const py::dict& table, Vocabulary& vocabulary) {
    PyObject* key = nullptr;
    PyObject* value = nullptr;
    Py_ssize_t at = 0;
    std::string bytes;
    while (PyDict_Next(table.ptr(), &at, &key, &value) != 0) {
        require_text(key, "a token of the vocabulary");
        const bool word = to_bytes(key, 0, PyUnicode_GET_LENGTH(key), bytes);
        vocabulary.add_token(to_id(value), word ? bytes : utf8(key), word);
    }
}

// "left right", or [left, right].  False for a merge of characters that no text becomes: it never applies.
bool read_merge(PyObject* merge, std::string& left, std::string& right) {
    if (PyUnicode_Check(merge) != 0) {
        const Py_ssize_t size = PyUnicode_GET_LENGTH(merge);
        const Py_ssize_t cut = PyUnicode_FindChar(merge, ' ', 0, size, 1);
        if (cut < 0 || PyUnicode_FindChar(merge, ' ', cut + 1, size, 1) >= 0) {
            throw std::invalid_argument("the merge '" + utf8(merge) + "' is not two tokens");
        }
        return to_bytes(merge, 0, cut, left) && to_bytes(merge, cut + 1, size, right);
    }
    if (PyList_Check(merge) == 0 || PyList_GET_SIZE(merge) != 2) {
        throw std::invalid_argument("a merge is not two tokens");
    }
    PyObject* first = require_text(PyList_GET_ITEM(merge, 0), "a part of a merge");
    PyObject* second = require_text(PyList_GET_ITEM(merge, 1), "a part of a merge");
    return to_bytes(first, 0, PyUnicode_GET_LENGTH(first), left) &&
           to_bytes(second, 0, PyUnicode_GET_LENGTH(second), right);
}

std::unique_ptr<BpeEncoder> build(Vocabulary&& vocabulary, const AddedRows& rows, const std::string& pattern,
                                  bool whole_words, std::size_t cache_slots) {
    if (cache_slots < 1024 || (cache_slots & (cache_slots - 1)) != 0) {
        throw std::invalid_argument("cache_slots is " + std::to_string(cache_slots) +
                                    ", not a power of 2 from 1024 on");
    }
    vocabulary.finish();
    AddedTokens sets;
    for (const auto& row : rows) {
        AddedTokenSet& set = sets.emplace_back();
        for (const auto& [bytes, id, skipped] : row) {
            if (!vocabulary.known(id)) {
                vocabulary.add_token(id, bytes, false);
            } else if (vocabulary.bytes_of(id) != bytes) {
                throw std::invalid_argument("the added token '" + bytes + "' has the id " + std::to_string(id) +
                                            " of another token");
            }
            set.add(bytes, id, skipped);
        }
    }
    const BpeOptions options{pattern_named(pattern), whole_words, cache_slots, cache_slots / 4};
    return std::make_unique<BpeEncoder>(std::move(vocabulary), std::move(sets), options);
}

std::unique_ptr<BpeEncoder> from_merges(const py::dict& vocab, const py::list& merges, const std::string& pattern,
                                        bool whole_words, const AddedRows& added, std::size_t cache_slots) {
    Vocabulary vocabulary;
    read_vocabulary(vocab, vocabulary);
    vocabulary.reserve_merges(static_cast<std::size_t>(PyList_GET_SIZE(merges.ptr())));
    std::string left;
    std::string right;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(merges.ptr()); ++i) {
        if (read_merge(PyList_GET_ITEM(merges.ptr(), i), left, right)) {
            vocabulary.add_merge(left, right, static_cast<std::uint32_t>(i));
        }
    }
    return build(std::move(vocabulary), added, pattern, whole_words, cache_slots);
}

std::unique_ptr<BpeEncoder> from_ranks(const py::dict& ranks, const std::string& pattern, const AddedRows& added,
                                       std::size_t cache_slots) {
    Vocabulary vocabulary;
    PyObject* key = nullptr;
    PyObject* value = nullptr;
    Py_ssize_t at = 0;
    while (PyDict_Next(ranks.ptr(), &at, &key, &value) != 0) {
        if (PyBytes_Check(key) == 0) throw std::invalid_argument("a token of the ranks is not bytes");
        const auto size = static_cast<std::size_t>(PyBytes_GET_SIZE(key));
        vocabulary.add_token(to_id(value), {PyBytes_AS_STRING(key), size}, true);
    }
    vocabulary.merge_by_id();
    return build(std::move(vocabulary), added, pattern, true, cache_slots);
}

py::tuple encode(const BpeEncoder& encoder, const Array<std::uint8_t>& data, const Array<std::int64_t>& offsets) {
    if (data.ndim() != 1 || offsets.ndim() != 1 || offsets.size() < 1) {
        throw std::invalid_argument("data and offsets are flat arrays, with one offset more than documents");
    }
    Encoded result;
    {
        const py::gil_scoped_release unlocked;
        result = encoder.encode(data.data(), static_cast<std::size_t>(data.size()), offsets.data(),
                                static_cast<std::size_t>(offsets.size()) - 1);
    }
    const auto count = static_cast<py::ssize_t>(result.ids.size());
    TokenId* ids = result.ids.release();
    const py::capsule owner(ids, [](void* memory) { std::free(memory); });
    return py::make_tuple(Array<TokenId>(count, ids, owner), to_numpy(std::move(result.lengths)),
                          to_numpy(std::move(result.declined)), to_numpy(std::move(result.unsteady)));
}

py::bytes decode(const BpeEncoder& encoder, const std::vector<std::int64_t>& ids) {
    std::string bytes;
    for (const std::int64_t id : ids) {
        if (id < 0 || id >= kMostTokens || !encoder.vocabulary().known(static_cast<TokenId>(id))) {
            throw std::out_of_range("token id " + std::to_string(id) + " is not in the vocabulary");
        }
        bytes += encoder.vocabulary().bytes_of(static_cast<TokenId>(id));
    }
    return bytes;
}

Array<std::int64_t> token_lengths(const BpeEncoder& encoder) {
    std::vector<std::int64_t> lengths(encoder.vocabulary().size());
    for (TokenId id = 0; id < lengths.size(); ++id) {
        if (!encoder.vocabulary().known(id)) continue;
        lengths[id] = static_cast<std::int64_t>(encoder.vocabulary().bytes_of(id).size());
    }
    return to_numpy(std::move(lengths));
}

}  // namespace

void bind_bpe(py::module_& module) {
    module.def("unicode_classes", [] {
        std::vector<std::uint8_t> classes(0x110000);
        for (std::uint32_t code = 0; code < classes.size(); ++code) {
            classes[code] = static_cast<std::uint8_t>(unicode_class(code));
        }
        return to_numpy(std::move(classes));
    }, "uint8 [0x110000]: the class bits of every code point (csrc/data/unicode_classes.h).");

    constexpr std::size_t kSlots = std::size_t{1} << 22;
    py::class_<BpeEncoder>(module, "BpeEncoder", "Byte-level BPE; `encode` may run in many threads at a time.")
        .def_static("from_merges", &from_merges, py::arg("vocab"), py::arg("merges"), py::arg("pattern"),
                    py::arg("whole_words"), py::arg("added"), py::arg("cache_slots") = kSlots,
                    "Of the vocabulary and merges of a tokenizer.json; `added` are sets of (bytes, id, skipped).")
        .def_static("from_ranks", &from_ranks, py::arg("ranks"), py::arg("pattern"), py::arg("added"),
                    py::arg("cache_slots") = kSlots, "Of tokens and their ranks, which are their ids (tiktoken).")
        .def("encode", &encode, py::arg("data").noconvert(), py::arg("offsets").noconvert(),
             "(ids uint32 [tokens], lengths int64 [documents], declined int64, unsteady int64) of the texts "
             "data[offsets[i]:offsets[i + 1]].  Declined documents have no ids: they hold a character whose class is "
             "not known.  Unsteady ones may not be in normal form C.")
        .def("decode", &decode, py::arg("ids"), "The bytes of ids.")
        .def_property_readonly("vocab_size", [](const BpeEncoder& encoder) { return encoder.vocabulary().size(); },
                               "Largest id + 1.")
        .def("token_lengths", &token_lengths, "int64 [vocab_size]: the bytes of each token, 0 where there is none.");
}

}  // namespace heph::bind
