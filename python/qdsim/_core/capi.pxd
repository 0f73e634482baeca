# The public C API of include/qdsim, as the Cython layer uses it. The headers hold the documentation.

from libc.stdint cimport int64_t, uint64_t


cdef extern from "qdsim/qdsim.h" nogil:
    ctypedef enum qds_status:
        QDS_OK
        QDS_ERROR_ARGUMENT
        QDS_ERROR_INTERRUPTED
        QDS_ERROR_UNSUPPORTED

    ctypedef struct qds_error:
        qds_status status
        const char *message
        const char *file
        int line
        long native

    const qds_error *qds_last_error()
    const char *qds_version()

    const char *qds_nearest(const char *word, const char **candidates)
    int qds_parse_bytes(const char *text, size_t *out)
    void qds_text_destroy(char *text)

    ctypedef struct qds_context
    ctypedef enum qds_log_level:
        QDS_LOG_ERROR
        QDS_LOG_WARNING
        QDS_LOG_INFO
        QDS_LOG_DEBUG
    ctypedef void (*qds_log_fn)(void *user, qds_log_level level, const char *text) noexcept
    ctypedef int (*qds_progress_fn)(void *user, const char *phase, double fraction, const char *detail) noexcept

    ctypedef struct qds_context_options:
        size_t struct_size
        const char *device
        int threads
        size_t memory_limit
        uint64_t seed
        qds_log_fn log
        qds_progress_fn progress
        void *user
        size_t device_memory_limit
        const char *scratch

    qds_status qds_context_create(const qds_context_options *options, qds_context **out)
    void qds_context_destroy(qds_context *ctx)
    void qds_context_interrupt(qds_context *ctx)
    void qds_context_resume(qds_context *ctx)
    const char *qds_context_device(const qds_context *ctx)

    ctypedef struct qds_device_pool
    ctypedef struct qds_device_pool_statistics:
        size_t used_bytes
        size_t peak_used_bytes
        size_t reserved_bytes
        size_t peak_reserved_bytes
    qds_status qds_device_pool_set_slack(qds_device_pool *pool, double slack)
    qds_status qds_device_pool_create(qds_context *ctx, void *stream, const char *tag, qds_device_pool **out)
    void *qds_context_native_stream(qds_context *ctx)
    void qds_device_pool_destroy(qds_device_pool *pool)
    qds_status qds_device_pool_trim(qds_device_pool *pool)
    void qds_device_pool_read(qds_device_pool *pool, qds_device_pool_statistics *out)
    void *qds_device_pool_malloc(void *pool, size_t bytes, int device)
    void qds_device_pool_free(void *pool, void *block, int device)
    qds_status qds_device_pool_install(qds_device_pool *pool)

    ctypedef struct qds_device
    ctypedef struct qds_result
    ctypedef enum qds_boundary:
        QDS_DIRICHLET
        QDS_NEUMANN
        QDS_PERIODIC
    ctypedef struct qds_array_device:
        size_t struct_size
        int dimension
        int64_t nodes[3]
        const double *coordinates_nm[3]
        double spacing_nm[3]
        const double *potential_eV
        double mass
        const double *mass_map
        qds_boundary boundary[3][2]
        int order
        int states
        double tolerance_eV
    ctypedef struct qds_device_cost:
        int dimension, order, states
        int64_t nodes[3]
        int64_t unknowns
        size_t memory_bytes
        double seconds

    qds_status qds_device_read(qds_context *ctx, const char *path, const char **assignments, qds_device **out)
    qds_status qds_device_parse(qds_context *ctx, const char *name, const char *text, const char **assignments,
                                qds_device **out)
    qds_status qds_device_from_arrays(qds_context *ctx, const qds_array_device *arrays, qds_device **out)
    void qds_device_destroy(qds_device *device)
    qds_status qds_device_estimate(const qds_device *device, qds_device_cost *out)
    const char *qds_device_name(const qds_device *device)
    const char *qds_device_configuration(const qds_device *device)
    int qds_device_wants_plot(const qds_device *device)
    qds_status qds_device_solve(qds_device *device, qds_result **out)

    ctypedef struct qds_result_statistics:
        int iterations
        int64_t operator_applications
        int64_t preconditioner_applications
        double setup_s, solve_s, verify_s, measure_s, total_s
        double operator_s, preconditioner_s, algebra_s
        const char *preconditioner
        const char *verification
        int levels_found_by_verification

    void qds_result_destroy(qds_result *result)
    int qds_result_states(const qds_result *result)
    int qds_result_dimension(const qds_result *result)
    const int64_t *qds_result_nodes(const qds_result *result)
    const double *qds_result_coordinates_nm(const qds_result *result, int axis)
    const double *qds_result_weights_nm(const qds_result *result, int axis)
    const double *qds_result_energies_eV(const qds_result *result)
    const double *qds_result_residuals_eV(const qds_result *result)
    const double *qds_result_widths_eV(const qds_result *result)
    const double *qds_result_lifetimes_s(const qds_result *result)
    const double *qds_result_sensitivities_eV(const qds_result *result)
    double qds_result_reference_eV(const qds_result *result)
    const double *qds_result_position_nm(const qds_result *result, int state)
    const double *qds_result_spread_nm(const qds_result *result, int state)
    const char *qds_result_material_name(const qds_result *result, int material)
    double qds_result_probability(const qds_result *result, int state, int material)
    int qds_result_is_complex(const qds_result *result)
    const double *qds_result_psi(const qds_result *result, int state)
    const double *qds_result_psi_complex(const qds_result *result, int state)
    const double *qds_result_band_edge_eV(const qds_result *result)
    const double *qds_result_potential_V(const qds_result *result)
    const double *qds_result_electron_density_cm3(const qds_result *result)
    const double *qds_result_occupations(const qds_result *result)
    double qds_result_fermi_level_eV(const qds_result *result)
    const unsigned char *qds_result_materials(const qds_result *result)
    void qds_result_get_statistics(const qds_result *result, qds_result_statistics *out)
    const char *qds_result_device(const qds_result *result)
    const char *qds_result_device_reason(const qds_result *result)
    const char *qds_result_electrostatics_device(const qds_result *result)
    const char *qds_result_electrostatics_device_reason(const qds_result *result)
    qds_status qds_result_json(const qds_result *result, double output_s, char **out)
    qds_status qds_result_write(const qds_result *result, const char *folder)
    qds_status qds_result_path(const qds_result *result, const char *folder, const char *suffix, char **out)

    qds_status qds_info(qds_context *ctx, int json, char **out)

    ctypedef struct qds_material:
        char name[64]
    qds_status qds_material_alloy(qds_context *ctx, const char *alloy, double x, double temperature_K,
                                  qds_material *out)
    qds_status qds_material_name(qds_context *ctx, size_t index, const char **out)
    qds_status qds_material_json(qds_context *ctx, const char *name, double temperature_K, char **out)

    ctypedef struct qds_buffer
    ctypedef enum qds_mem_strategy:
        QDS_MEM_STRATEGIES
    ctypedef enum qds_place:
        QDS_PLACE_HOST
        QDS_PLACE_PINNED
        QDS_PLACE_DEVICE
        QDS_PLACE_UNIFIED
        QDS_PLACE_FILE
        QDS_PLACES
    ctypedef struct qds_buffer_info:
        size_t bytes
        qds_mem_strategy strategy
        const char *tag
        const char *file
        int line
        unsigned char valid[5]
    const char *qds_mem_strategy_name(qds_mem_strategy strategy)
    const char *qds_place_name(qds_place place)
    void qds_buffer_get_info(qds_buffer *buffer, qds_buffer_info *out)
    qds_status qds_buffer_prefetch(qds_buffer *buffer, qds_place place, void *stream)
    qds_status qds_buffer_spill(qds_buffer *buffer, qds_place place)
    qds_status qds_buffer_fill(qds_buffer *buffer, int byte, void *stream)

    ctypedef struct qds_memory_row:
        const char *tag
        size_t current_bytes, peak_bytes, current_blocks, total_blocks
    void qds_context_memory(const qds_context *ctx, qds_memory_row *total)
    int qds_context_memory_tag(const qds_context *ctx, size_t index, qds_memory_row *row)
    ctypedef struct qds_memory_files:
        const char *folder
        size_t current_bytes, peak_bytes, current_blocks, total_blocks
    void qds_context_files(const qds_context *ctx, qds_memory_files *out)
    ctypedef struct qds_memory_count:
        size_t current_bytes, peak_bytes, current_blocks, total_blocks
    ctypedef struct qds_memory_tag_row:
        const char *tag
        qds_memory_count places[5]
    ctypedef struct qds_memory_statistics:
        size_t buffers, total_buffers, python_buffers, python_bytes
        qds_memory_count places[5]
        size_t spills, spilled_bytes, returns, returned_bytes
        size_t moves[5][5]
        size_t refused_spills
    void qds_memory_get_statistics(qds_context *ctx, qds_memory_statistics *out)
    qds_status qds_memory_buffers(qds_context *ctx, char **out)
    int qds_memory_tag(qds_context *ctx, size_t index, qds_memory_tag_row *row)

    ctypedef struct qds_memory_profile
    qds_status qds_memory_profile_start_on(qds_context **contexts, size_t count, double interval_s,
                                           qds_memory_profile **out)
    qds_status qds_memory_profile_join(qds_memory_profile *profile, qds_context *ctx)
    void qds_memory_profile_leave(qds_memory_profile *profile, const qds_context *ctx)
    void qds_memory_profile_stop(qds_memory_profile *profile)
    void qds_memory_profile_destroy(qds_memory_profile *profile)
    size_t qds_memory_profile_samples(const qds_memory_profile *profile, const double **seconds)
    const char *qds_memory_profile_series(const qds_memory_profile *profile, size_t index, const double **bytes)
    qds_status qds_memory_profile_write(const qds_memory_profile *profile, const char *path)

    ctypedef struct qds_array
    ctypedef enum qds_element:
        QDS_ELEMENT_INT
        QDS_ELEMENT_UINT
        QDS_ELEMENT_FLOAT
        QDS_ELEMENT_COMPLEX
        QDS_ELEMENT_BOOL
    enum:
        QDS_ARRAY_AXES
        QDS_DLPACK_READ_ONLY
        QDS_DLPACK_IS_COPIED
        QDS_DLPACK_VERSIONED
    ctypedef struct qds_array_form:
        qds_element element
        int bits
        int axes
        int64_t shape[64]
    ctypedef struct qds_array_info:
        qds_array_form form
        size_t bytes
        qds_buffer *buffer
        int readonly
        qds_place home
    qds_status qds_array_create_at(qds_context *ctx, const qds_array_form *form, qds_mem_strategy strategy,
                                   const char *tag, const char *file, int line, qds_array **out)
    void qds_array_retain(qds_array *array)
    void qds_array_drop(qds_array *array)
    void qds_array_get_info(const qds_array *array, qds_array_info *out)
    qds_status qds_array_borrow(qds_array *array, qds_place place, int writes, void **out)
    void qds_array_return(qds_array *array, qds_place place)
    qds_status qds_array_copy(qds_array *to, qds_array *origin)
    void qds_array_location(const qds_array *array, qds_place place, int *type, int *number)
    qds_status qds_array_export(qds_array *array, qds_place place, int flags, void **out)
    void qds_dlpack_dispose(void *tensor, int versioned)
    qds_status qds_array_import_at(qds_context *ctx, void *tensor, int versioned, const char *file, int line,
                                   qds_array **out)
