#include <stdexcept>
#include <string>
#include <tuple>

#include "bind.h"
#include "pack_order.h"
#include "packing.h"
#include "window_counts.h"

namespace py = pybind11;

namespace heph::bind {

namespace {

using ReaderPtr = std::shared_ptr<TokenReader>;
using CountsPtr = std::shared_ptr<WindowCounts>;
using Place = std::pair<std::int64_t, std::vector<std::pair<std::int64_t, std::int64_t>>>;

std::uint64_t natural(std::int64_t value, const char* name) {
    if (value < 0) throw std::invalid_argument(std::string(name) + " is " + std::to_string(value) + ", below 0");
    return static_cast<std::uint64_t>(value);
}

std::uint64_t sample_number(std::int64_t number) {
    constexpr std::int64_t limit = std::int64_t{1} << 62;
    if (number >= limit) throw std::invalid_argument("sample " + std::to_string(number) + "; there are 2^62");
    return natural(number, "the sample's number");
}

py::tuple pack(const Array<std::int64_t>& items, std::int64_t length) {
    if (items.ndim() != 2 || items.shape(1) != 2) throw std::invalid_argument("items are rows of two: start, count");
    std::vector<Run> runs;
    for (py::ssize_t i = 0; i < items.shape(0); ++i) {
        runs.push_back({items.at(i, 0), items.at(i, 1)});
        if (runs.back().count < 0) throw std::invalid_argument("an item of " + std::to_string(items.at(i, 1)));
    }
    const Windows packed = Packer(length).pack(runs);
    Array<std::int64_t> pieces(std::vector<py::ssize_t>{static_cast<py::ssize_t>(packed.runs.size()), 2});
    for (std::size_t i = 0; i < packed.runs.size(); ++i) {
        pieces.mutable_at(static_cast<py::ssize_t>(i), 0) = packed.runs[i].start;
        pieces.mutable_at(static_cast<py::ssize_t>(i), 1) = packed.runs[i].count;
    }
    return py::make_tuple(pieces, to_numpy(std::vector<std::int64_t>(packed.begins.begin(), packed.begins.end())));
}

Array<std::uint32_t> count(const TokenReader& reader, std::int64_t block, std::int64_t length, std::int64_t first,
                           std::int64_t blocks) {
    std::vector<std::uint32_t> counts;
    {
        const py::gil_scoped_release unlocked;
        counts = heph::count_windows(reader, block, length, natural(first, "the first block"), natural(blocks, "count"));
    }
    return to_numpy(std::move(counts));
}

void append(WindowCounts& counts, const Array<std::uint32_t>& more) {
    if (more.ndim() != 1) throw std::invalid_argument("counts are flat");
    counts.append(more.data(), static_cast<std::size_t>(more.size()));
}

std::shared_ptr<PackOrder> make_order(const ReaderPtr& reader, const CountsPtr& counts, std::int64_t block,
                                      const std::pair<std::uint64_t, std::uint64_t>& key, const Place& begin,
                                      std::int64_t length) {
    if (!reader || !counts) throw std::invalid_argument("an order needs a reader and counts");
    PackPlace place{natural(begin.first, "the place's groups"), {}};
    for (const auto& [past, windows] : begin.second) place.history.emplace_back(past, natural(windows, "windows used"));
    const py::gil_scoped_release unlocked;
    return std::make_shared<PackOrder>(reader, counts, block, OrderKey{key.first, key.second}, std::move(place), length);
}

Place place(const PackOrder& order, std::int64_t number) {
    const py::gil_scoped_release unlocked;
    const PackPlace found = order.place(sample_number(number));
    Place out{static_cast<std::int64_t>(found.groups), {}};
    for (const auto& [length, windows] : found.history) {
        out.second.emplace_back(length, static_cast<std::int64_t>(windows));
    }
    return out;
}

Array<std::int64_t> find(const PackOrder& order, std::int64_t start, std::int64_t count, std::int64_t samples) {
    std::vector<std::uint64_t> found;
    {
        const py::gil_scoped_release unlocked;
        order.find(natural(start, "start"), natural(count, "count"), sample_number(samples), found);
    }
    return to_numpy(std::vector<std::int64_t>(found.begin(), found.end()));
}

}  // namespace

void bind_pack(py::module_& module) {
    module.def("pack", &pack, py::arg("items"), py::arg("length"),
               "Best-fit decreasing of int64 [items, 2] (start, count), apart from each other and in order: the pieces, "
               "int64 [pieces, 2], and each window's first piece, int64 [windows + 1].");
    module.def("count_windows", &count, py::arg("reader"), py::arg("block"), py::arg("length"), py::arg("first"),
               py::arg("count"), "How many windows blocks [first, first + count) pack into: uint32 [count].");
    py::class_<WindowCounts, CountsPtr>(module, "WindowCounts",
                                        "How many windows each block of a source has, in few bytes each.")
        .def(py::init([](std::int64_t blocks) {
                 return std::make_shared<WindowCounts>(natural(blocks, "the number of blocks"));
             }), py::arg("blocks"))
        .def("append", &append, py::arg("counts"), "The counts of the next blocks: uint32 [any].")
        .def_property_readonly("blocks", &WindowCounts::blocks)
        .def_property_readonly("filled", &WindowCounts::filled, "Blocks whose counts are there.")
        .def_property_readonly("total", &WindowCounts::total, "Windows of all of them.");
    py::class_<PackOrder, SourceOrder, std::shared_ptr<PackOrder>>(
        module, "PackOrder", "A source whose documents are packed into windows; see csrc/data/pack_order.h.")
        .def(py::init(&make_order), py::arg("reader"), py::arg("counts"), py::arg("block"), py::arg("key"),
             py::arg("begin"), py::arg("length"),
             "begin: (groups of 16 blocks finished since the run began, [(length, windows used), ...] of the group at work).")
        .def("place", &place, py::arg("number"), "Where a segment begins that goes on after `number` samples: a `begin`.")
        .def("find", &find, py::arg("start"), py::arg("count"), py::arg("samples"),
             "Those of the first `samples` samples that read one of the source's positions [start, start + count): "
             "int64 [any], each once, by epoch and block.")
        .def("epochs", [](const PackOrder& order, std::int64_t number) {
            const py::gil_scoped_release unlocked;
            return order.epochs(sample_number(number));
        }, py::arg("number"), "Passes over the source from the run's beginning to before a sample.");
}

}  // namespace heph::bind
