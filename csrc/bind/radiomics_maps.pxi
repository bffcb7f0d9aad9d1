# Features of a window around each voxel.

cdef extern from "radiomics/maps.hpp" namespace "fastimg::radiomics" nogil:
    cdef cppclass Window:
        const int64_t* places
        int64_t cells
        const int32_t *pairs
        const int32_t *pair_begins
        int64_t offsets
        const int32_t* touching
        int64_t touching_count
        const int32_t *lines
        const int32_t *line_begins
        int64_t directions

    cdef cppclass MapSettings:
        int64_t levels, alpha
        bint symmetric, merged, peer
        const double* pair_weights
        const double* line_weights
        double shift, voxel_volume, flat_correlation

    cdef enum class Family(int):
        pass

    void _map_features "fastimg::radiomics::map_features"(
        Family, const uint16_t*, const double*, const Window&, const MapSettings&, const int64_t*, const int64_t*,
        int64_t, const int32_t*, double*, int64_t, int) except +


def map_features(int family, const uint16_t[::1] levels, const double[::1] values, window, options,
                 const int64_t[::1] centres, const int64_t[::1] targets, const int32_t[::1] slots, double[:, ::1] out,
                 int threads):
    """out[slots[f], targets[c]] = feature f of the window around centres[c] (csrc/radiomics/maps.hpp).

    window: (places, pairs, pair_begins, touching, lines, line_begins), the first int64, the others int32. options: (levels,
    alpha, symmetric, merged, peer, pair_weights, line_weights, shift, voxel_volume, flat_correlation)."""
    cdef const int64_t[::1] places = window[0]
    cdef const int32_t[::1] pairs = window[1], pair_begins = window[2], touching = window[3]
    cdef const int32_t[::1] lines = window[4], line_begins = window[5]
    cdef const double[::1] pair_weights = options[5], line_weights = options[6]
    cdef Window view
    view.places, view.cells = &places[0], places.shape[0]
    view.pairs = &pairs[0] if pairs.shape[0] else NULL
    view.pair_begins, view.offsets = &pair_begins[0], pair_begins.shape[0] - 1
    view.touching, view.touching_count = &touching[0], touching.shape[0] // 2
    view.lines, view.line_begins, view.directions = &lines[0], &line_begins[0], line_begins.shape[0] - 1
    cdef MapSettings chosen
    chosen.levels, chosen.alpha = options[0], options[1]
    chosen.symmetric, chosen.merged, chosen.peer = options[2], options[3], options[4]
    chosen.pair_weights = &pair_weights[0] if pair_weights is not None else NULL
    chosen.line_weights = &line_weights[0] if line_weights is not None else NULL
    chosen.shift, chosen.voxel_volume, chosen.flat_correlation = options[7], options[8], options[9]
    cdef const double* of_values = &values[0] if values is not None else NULL
    with nogil:
        _map_features(<Family>family, &levels[0], of_values, view, chosen, &centres[0], &targets[0], centres.shape[0],
                      &slots[0], &out[0, 0], out.shape[1], threads)
