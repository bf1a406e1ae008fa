#include <optional>
#include <string>

#include "bind.h"
#include "indexed_writer.h"

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

// OSError(errno, message, path), so that Python gives it the right subclass.
void raise_file_error(const heph::FileError& error) {
    const py::object made = py::reinterpret_steal<py::object>(
        PyObject_CallFunction(PyExc_OSError, "iss", error.number(), error.what(), error.path().c_str()));
    if (made) PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(made.ptr())), made.ptr());
}

}  // namespace

void bind_writer(py::module_& module) {
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
        .def(py::init<std::string, std::uint64_t, std::size_t>(), py::arg("prefix"), py::arg("vocab_size"),
             py::arg("buffer_bytes") = std::size_t{8} << 20)
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
}

}  // namespace heph::bind
