# Test environment for ThreadSanitizer. OpenMP's runtime is not instrumented, so its barriers and locks are invisible to
# the sanitizer, which would report every parallel loop. Archer, a tool of LLVM's OpenMP, tells it of them;
# ignore_noninstrumented_modules keeps accesses inside the runtime and inside system libraries out of the reports.
if(NOT CMAKE_C_COMPILER_ID MATCHES Clang)
  message(FATAL_ERROR "QDSIM_SANITIZE=thread needs clang with LLVM's OpenMP: cmake --preset tsan")
endif()
get_filename_component(real_compiler ${CMAKE_C_COMPILER} REALPATH)
get_filename_component(llvm ${real_compiler}/../../lib REALPATH)
find_library(QDSIM_ARCHER archer HINTS ${llvm} NO_DEFAULT_PATH)
if(NOT QDSIM_ARCHER)
  message(FATAL_ERROR "no libarcher.so in ${llvm}; on Debian and Ubuntu it is in libomp-dev")
endif()
set(QDSIM_ARCHER_ENVIRONMENT OMP_TOOL_LIBRARIES=${QDSIM_ARCHER} TSAN_OPTIONS=ignore_noninstrumented_modules=1)
