#include <optional>
#include <string>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "bind.h"
#include "indexed_writer.h"
#include "pair_merger.h"

namespace py = pybind11;

namespace heph::bind {

namespace {

template <typename Id>
void append(heph::IndexedWriter& writer, const Array<Id>& ids, const Array<std::int64_t>& lengths,
            std::optional<std::int64_t> end) {
    if (ids.ndim() != 1 || lengths.ndim() != 1) throw std::invalid_argument("ids and lengths are flat arrays");
    if (end && *end < 0) throw std::invalid_argument("the end token is " + std::to_string(*end));
    const py::gil_scoped_release unlocked;
    writer.append(ids.data(), static_cast<std::size_t>(ids.size()), lengths.data(),
                  static_cast<std::size_t>(lengths.size()), end.value_or(heph::IndexedWriter::no_end));
}

// The bytes are a view that is released after the call: the buffer is used again.
IndexedWriter::OnWrite to_on_write(const py::object& callback) {
    if (callback.is_none()) return nullptr;
    return [callback](const void* bytes, std::size_t size) {
        const py::gil_scoped_acquire locked;
        const py::memoryview view = py::memoryview::from_memory(bytes, static_cast<py::ssize_t>(size));
        callback(view);
        view.attr("release")();
    };
}

std::unique_ptr<IndexedWriter> make_writer(std::string prefix, std::uint64_t vocab_size, std::size_t buffer_bytes,
                                           const py::object& on_write) {
    return std::make_unique<IndexedWriter>(std::move(prefix), vocab_size, buffer_bytes, to_on_write(on_write));
}

void merge_pairs(const std::vector<std::string>& prefixes, const std::string& target, const py::object& on_copied) {
    const heph::OnCopied report = [&](std::uint64_t bytes) {
        const py::gil_scoped_acquire locked;
        if (PyErr_CheckSignals() != 0) throw py::error_already_set();  // Ctrl-C ends a long merge
        if (!on_copied.is_none()) on_copied(bytes);
    };
    const py::gil_scoped_release unlocked;
    heph::merge_pairs(prefixes, target, report);
}

// OSError(errno, message, path), so that Python gives it the right subclass.
void raise_file_error(const heph::FileError& error) {
    const py::object made = py::reinterpret_steal<py::object>(
        PyObject_CallFunction(PyExc_OSError, "iss", error.number(), error.what(), error.path().c_str()));
    if (made) PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(made.ptr())), made.ptr());
}

}  // namespace

void bind_writer(py::module_& module) {
    module.def("return_free_memory", [] {
#ifdef __GLIBC__
        ::malloc_trim(0);
#endif
    }, "Gives the system back what is free inside the heap: after large tables have gone.");
    py::register_exception_translator([](std::exception_ptr pending) {
        try {
            if (pending) std::rethrow_exception(pending);
        } catch (const heph::FileError& error) {
            raise_file_error(error);
        } catch (const std::out_of_range& error) {  // pybind11 would make it an IndexError
            PyErr_SetString(PyExc_ValueError, error.what());
        }
    });

    py::class_<IndexedWriter>(module, "IndexedWriter",
                              "Streams token ids into `<prefix>.bin`, and writes `<prefix>.idx` on finalize.")
        .def(py::init(&make_writer), py::arg("prefix"), py::arg("vocab_size"),
             py::arg("buffer_bytes") = std::size_t{256} << 10, py::arg("on_write") = py::none(),
             "on_write(view) is called with every run of bytes of the .bin, in order; the view ends with the call.")
        .def("append", &append<std::uint32_t>, py::arg("ids").noconvert(), py::arg("lengths"), py::arg("end") = py::none(),
             "Appends documents: flat ids (uint16, int32, uint32 or int64), int64 lengths, and an end token each.")
        .def("append", &append<std::int32_t>, py::arg("ids").noconvert(), py::arg("lengths"), py::arg("end") = py::none())
        .def("append", &append<std::int64_t>, py::arg("ids").noconvert(), py::arg("lengths"), py::arg("end") = py::none())
        .def("append", &append<std::uint16_t>, py::arg("ids").noconvert(), py::arg("lengths"), py::arg("end") = py::none())
        .def("finalize", &IndexedWriter::finalize, py::call_guard<py::gil_scoped_release>(),
             "Writes the index and gives both files their names, when all of it is on the disk.")
        .def("abort", &IndexedWriter::abort, "Removes what was written.")
        .def_property_readonly("tokens", &IndexedWriter::tokens)
        .def_property_readonly("documents", &IndexedWriter::documents)
        .def_property_readonly("item_size", &IndexedWriter::item_size, "Bytes per token: 2 or 4.")
        .def("__enter__", [](IndexedWriter& writer) -> IndexedWriter& { return writer; },
             py::return_value_policy::reference)
        .def("__exit__", [](IndexedWriter& writer, const py::args&) { writer.abort(); },
             "Removes what was not finalized.");
    module.def("merge_pairs", &merge_pairs, py::arg("prefixes"), py::arg("target"), py::arg("on_copied") = py::none(),
               "Writes <target>.bin/.idx from the pairs of `prefixes`, in order; on_copied(bytes of .bin since the last "
               "call).  ValueError for what is no pair or of another dtype, before anything is written.");
}

}  // namespace heph::bind
