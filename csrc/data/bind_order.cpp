#include <stdexcept>
#include <string>

#include "bind.h"
#include "bind_pieces.h"
#include "mixture.h"
#include "permutation.h"
#include "sample_order.h"
#include "stream_order.h"

namespace py = pybind11;

namespace heph::bind {

namespace {

using Key = std::pair<std::uint64_t, std::uint64_t>;

OrderKey to_key(const Key& key) { return {key.first, key.second}; }

// A permutation of one epoch, for numpy.
class EpochPermutation {
public:
    EpochPermutation(std::uint64_t size, const Key& key, std::uint64_t epoch)
        : permutation_(size), keys_(round_keys(to_key(key), epoch)) {}

    Array<std::int64_t> forward(const Array<std::int64_t>& positions) const {
        return apply(positions, [this](std::uint64_t value) { return permutation_.forward(value, keys_); });
    }
    Array<std::int64_t> inverse(const Array<std::int64_t>& values) const {
        return apply(values, [this](std::uint64_t value) { return permutation_.inverse(value, keys_); });
    }
    std::uint64_t size() const { return permutation_.size(); }

private:
    template <typename Function>
    Array<std::int64_t> apply(const Array<std::int64_t>& values, Function function) const {
        Array<std::int64_t> found(std::vector<py::ssize_t>(values.shape(), values.shape() + values.ndim()));
        const std::int64_t* from = values.data();
        std::int64_t* to = found.mutable_data();
        const py::gil_scoped_release unlocked;
        for (py::ssize_t i = 0; i < values.size(); ++i) {
            const auto value = static_cast<std::uint64_t>(from[i]);  // a negative one is beyond any range
            if (value >= permutation_.size()) {
                throw std::invalid_argument(std::to_string(from[i]) + " in a permutation of " +
                                            std::to_string(permutation_.size()));
            }
            to[i] = static_cast<std::int64_t>(function(value));
        }
        return found;
    }

    Permutation permutation_;
    RoundKeys keys_;
};

Mixture make_mixture(std::int64_t sources, const Array<std::uint64_t>& fractions, const Array<std::int64_t>& children,
                     std::int64_t only) {
    const py::ssize_t count = fractions.size();
    if (fractions.ndim() != 1 || children.ndim() != 2 || children.shape(0) != count || children.shape(1) != 2) {
        throw std::invalid_argument("fractions are [nodes], children [nodes, 2]");
    }
    std::vector<Mixture::Node> nodes;
    nodes.reserve(static_cast<std::size_t>(count));
    for (py::ssize_t i = 0; i < count; ++i) nodes.push_back({fractions.at(i), children.at(i, 0), children.at(i, 1)});
    return Mixture(sources, std::move(nodes), only);
}

py::tuple assign(const Mixture& mixture, std::int64_t first, std::int64_t count, std::int64_t stride) {
    check_samples(first, count, stride);
    std::vector<std::int64_t> sources(static_cast<std::size_t>(count)), earlier(static_cast<std::size_t>(count));
    {
        const py::gil_scoped_release unlocked;
        for (std::size_t i = 0; i < sources.size(); ++i) {
            const Mixture::Place place =
                mixture.place(static_cast<std::uint64_t>(first) + i * static_cast<std::uint64_t>(stride));
            sources[i] = place.source;
            earlier[i] = place.earlier;
        }
    }
    return py::make_tuple(to_numpy(std::move(sources)), to_numpy(std::move(earlier)));
}

Array<std::int64_t> source_pieces(const SourceOrder& order, std::uint64_t number) {
    std::vector<Piece> pieces;
    {
        const py::gil_scoped_release unlocked;
        order.pieces(number, pieces);
    }
    return to_matrix(std::move(pieces));
}

void bind_mixture(py::module_& module) {
    py::class_<Mixture>(module, "Mixture", "Which source each sample comes from; see megatron_heph.data.mixture.")
        .def(py::init(&make_mixture), py::arg("sources"), py::arg("fractions"), py::arg("children"),
             py::arg("only") = -1,
             "The tree: uint64 [nodes] shares of the lighter child in units of 2^-64, int64 [nodes, 2] children (lighter, "
             "heavier): a node, or -1 - source.  A child stands before its parent.  Without nodes: the only source.")
        .def("assign", &assign, py::arg("first"), py::arg("count"), py::arg("stride") = 1,
             "For samples first, first + stride, ...: their source, and how many of that source came before; int64 [count].")
        .def("counts", [](const Mixture& mixture, std::int64_t samples) {
            check_samples(0, samples, 1);
            return to_numpy(mixture.counts(static_cast<std::uint64_t>(samples)));
        }, py::arg("samples"), "How many of the first `samples` samples fall to each source: int64 [sources].")
        .def_property_readonly("sources", &Mixture::sources);
}

}  // namespace

void bind_order(py::module_& module) {
    py::class_<EpochPermutation>(module, "Permutation", "A keyed permutation of 0 .. size-1; see csrc/data/permutation.h.")
        .def(py::init<std::uint64_t, Key, std::uint64_t>(), py::arg("size"), py::arg("key"), py::arg("epoch"))
        .def("forward", &EpochPermutation::forward, py::arg("positions"),
             "Which value stands at each position: int64 of the same shape.")
        .def("inverse", &EpochPermutation::inverse, py::arg("values"),
             "At which position each value stands: int64 of the same shape.")
        .def_property_readonly("size", &EpochPermutation::size);
    bind_mixture(module);
    py::class_<SourceOrder, std::shared_ptr<SourceOrder>>(module, "SourceOrder",
                                                          "The endless sequence of a source's samples.")
        .def("pieces", &source_pieces, py::arg("number"),
             "The pieces of a sample, counted from the segment's beginning: int64 [pieces, 5], columns as in "
             "csrc/data/source_order.h, row and source 0.");
    py::class_<StreamOrder, SourceOrder, std::shared_ptr<StreamOrder>>(
        module, "StreamOrder", "A source read as one permuted stream; see csrc/data/stream_order.h.")
        .def(py::init([](std::int64_t tokens, std::int64_t block, const Key& key, std::int64_t begin, std::int64_t length) {
                 return std::make_shared<StreamOrder>(tokens, block, to_key(key), begin, length);
             }), py::arg("tokens"), py::arg("block"), py::arg("key"), py::arg("begin"), py::arg("length"))
        .def_property_readonly("extent", &StreamOrder::extent, "Positions that are read soon after each other.")
        .def("turn_of", [](const StreamOrder& order, std::uint64_t block, std::uint64_t epoch) {
            return order.turn_of(block, epoch);
        }, py::arg("block"), py::arg("epoch"), "At which turn of an epoch a whole block stands.");
    py::class_<SampleOrder>(module, "SampleOrder", "The samples of a segment; see csrc/data/sample_order.h.")
        .def(py::init<Mixture, std::vector<std::shared_ptr<SourceOrder>>>(), py::arg("mixture"), py::arg("orders"))
        .def("pieces", &sample_pieces<SampleOrder>, py::arg("first"), py::arg("count"), py::arg("stride") = 1,
             "Of samples first, first + stride, ...: int64 [pieces, 5] (row, column, source, start, count) by row and "
             "column, and each row's source, int64 [count].");
}

}  // namespace heph::bind
