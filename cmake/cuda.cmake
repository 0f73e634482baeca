# The plugin for NVIDIA GPUs: plugins/cuda and every src/LAYER/NAME_cuda.cu, when a CUDA compiler is at hand. Otherwise
# QDSIM_CUDA_MISSING says why there is none; `./dev build` prints it.
set(QDSIM_CUDA_MISSING "" CACHE INTERNAL "why the CUDA plugin is not built")

if(NOT QDSIM_CUDA)
  set(QDSIM_CUDA_MISSING "switched off with QDSIM_CUDA=OFF" CACHE INTERNAL "")
elseif(QDSIM_SANITIZE)
  set(QDSIM_CUDA_MISSING "nvcc knows no host sanitizers" CACHE INTERNAL "")
else()
  find_program(QDSIM_NVCC nvcc HINTS ENV CUDACXX ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)
  if(NOT QDSIM_NVCC)
    set(QDSIM_CUDA_MISSING "no nvcc in PATH, CUDA_HOME or /usr/local/cuda" CACHE INTERNAL "")
  else()
    set(ENV{CUDACXX} ${QDSIM_NVCC}) # check_language does not try what CMAKE_CUDA_COMPILER names
    # Machine code for what the library is measured on; later devices compile the second one's PTX.
    set(CMAKE_CUDA_ARCHITECTURES 80-real 90)
    include(CheckLanguage)
    check_language(CUDA)
    if(NOT CMAKE_CUDA_COMPILER)
      set(QDSIM_CUDA_MISSING "${QDSIM_NVCC} does not work with this C++ compiler" CACHE INTERNAL "")
    else()
      enable_language(CUDA)
      if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.0)
        set(QDSIM_CUDA_MISSING "${QDSIM_NVCC} is ${CMAKE_CUDA_COMPILER_VERSION}, 12.0 or newer is wanted"
            CACHE INTERNAL "")
      endif()
    endif()
  endif()
endif()

if(QDSIM_CUDA_MISSING)
  message(STATUS "no CUDA plugin: ${QDSIM_CUDA_MISSING}")
  return()
endif()

file(GLOB QDSIM_CUDA_SOURCES CONFIGURE_DEPENDS plugins/cuda/*.cu src/*/*_cuda.cu)
add_library(qdsim_cuda MODULE ${QDSIM_CUDA_SOURCES})
target_include_directories(qdsim_cuda PRIVATE include src)
target_compile_options(qdsim_cuda PRIVATE
  -std=c++20 # CMake before 3.26 does not know that nvcc 12 has it
  # Headers shared with C write {0}, and their functions carry pragmas of nvcc's.
  -Xcompiler=-Wall,-Wextra,-Wno-missing-field-initializers,-Wno-unknown-pragmas,-fno-exceptions,-fno-rtti
  $<$<BOOL:${QDSIM_WERROR}>:-Werror=all-warnings>)
target_link_libraries(qdsim_cuda PRIVATE dl)
# Stays mapped once it is loaded: the driver keeps functions of it to call when threads and the process end.
target_link_options(qdsim_cuda PRIVATE -static-libstdc++ -static-libgcc LINKER:--exclude-libs,ALL LINKER:-z,defs LINKER:-z,nodelete)
set_target_properties(qdsim_cuda PROPERTIES
  PREFIX "" CUDA_RUNTIME_LIBRARY Static
  CUDA_VISIBILITY_PRESET hidden LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib/qdsim)
install(TARGETS qdsim_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/qdsim)
