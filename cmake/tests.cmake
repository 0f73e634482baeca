# Every tests/LAYER/test_SUBJECT.c is a program and a test; beside them stand the scripts that check the house rules.
pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)

set(test_environment "")
if(QDSIM_SANITIZE MATCHES address)
  list(APPEND test_environment ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1
       UBSAN_OPTIONS=print_stacktrace=1)
elseif(QDSIM_SANITIZE MATCHES thread)
  include(archer)
  list(APPEND test_environment ${QDSIM_ARCHER_ENVIRONMENT})
  add_compile_definitions(QDSIM_THREAD_SANITIZER)
endif()

file(GLOB QDSIM_TEST_SOURCES CONFIGURE_DEPENDS tests/*/test_*.c)
foreach(source ${QDSIM_TEST_SOURCES})
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} ${source})
  target_include_directories(${name} PRIVATE tests)
  target_link_libraries(${name} PRIVATE qdsim_objects PkgConfig::CMOCKA)
  target_compile_options(${name} PRIVATE -Wall -Wextra $<$<BOOL:${QDSIM_WERROR}>:-Werror>)
  add_dependencies(${name} ${QDSIM_C_PLUGINS})
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES ENVIRONMENT "${test_environment}" TIMEOUT 600)
endforeach()

# Linear algebra and dots run a second time on the simulated device and, where the plugin for CUDA was built, on a GPU if
# there is one. The programs that do so make their contexts with with_context(); those of lower layers run on every device
# in one go. The bundle reads their names from device_tests.
set(device_tests "")
foreach(source ${QDSIM_TEST_SOURCES})
  file(STRINGS ${source} uses REGEX "[^_]with_context\\(")
  if(NOT uses OR NOT source MATCHES "/tests/(la|dot)/")
    continue()
  endif()
  get_filename_component(name ${source} NAME_WE)
  string(APPEND device_tests "${name}\n")
  foreach(device sim cuda)
    if(TARGET qdsim_${device})
      add_test(NAME ${name}_on_${device} COMMAND ${name} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
      set_tests_properties(${name}_on_${device} PROPERTIES TIMEOUT 600 SKIP_REGULAR_EXPRESSION "no device \"cuda\":"
        ENVIRONMENT "QDSIM_TEST_DEVICE=${device};${test_environment}")
    endif()
  endforeach()
endforeach()
file(WRITE ${PROJECT_BINARY_DIR}/device_tests "${device_tests}")

# What test_plugin loads from beside itself.
set(QDSIM_FAKE_PLUGINS good without_symbol without_table wrong_abi small_table missing_slot without_kernels
    two_kinds_of_kernels half_graphs without_devices)
foreach(kind ${QDSIM_FAKE_PLUGINS})
  add_library(fake_plugin_${kind} MODULE tests/par/fake_plugin.c)
  target_include_directories(fake_plugin_${kind} PRIVATE include src)
  target_compile_definitions(fake_plugin_${kind} PRIVATE FAKE_${kind})
  set_target_properties(fake_plugin_${kind} PROPERTIES PREFIX "" OUTPUT_NAME qdsim_${kind}
                        LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/fake_plugins)
  add_dependencies(test_plugin fake_plugin_${kind})
endforeach()

if(TARGET qdsim_cuda)
  add_test(NAME check_cuda_plugin COMMAND sh ${PROJECT_SOURCE_DIR}/tests/check_cuda_plugin $<TARGET_FILE:qdsim_cuda>)
endif()
add_test(NAME check_layers COMMAND sh ${PROJECT_SOURCE_DIR}/tests/check_layers ${PROJECT_SOURCE_DIR})
add_test(NAME check_layers_itself COMMAND sh ${PROJECT_SOURCE_DIR}/tests/check_layers_itself)

set(test_flags "")
if(QDSIM_SANITIZE)
  set(test_flags -fsanitize=${QDSIM_SANITIZE})
endif()
add_test(NAME install COMMAND sh ${PROJECT_SOURCE_DIR}/tests/install/run ${PROJECT_BINARY_DIR} ${CMAKE_COMMAND}
                              ${CMAKE_C_COMPILER} ${PROJECT_VERSION} ${test_flags})
set_tests_properties(install PROPERTIES ENVIRONMENT "${test_environment}" TIMEOUT 600)

# Every examples/*.c is a program that uses the installed interface alone; it must run, on each device that every
# machine has. The documentation shows it as it is (tests/cli/test_documents.py).
file(GLOB QDSIM_EXAMPLES CONFIGURE_DEPENDS examples/*.c)
foreach(source ${QDSIM_EXAMPLES})
  get_filename_component(name ${source} NAME_WE)
  add_executable(example_${name} ${source})
  target_link_libraries(example_${name} PRIVATE qdsim)
  target_compile_options(example_${name} PRIVATE ${QDSIM_WARNINGS})
  foreach(device cpu sim)
    add_test(NAME example_${name}_${device} COMMAND example_${name} ${device} ${PROJECT_SOURCE_DIR}/examples/well_1d.yaml)
    set_tests_properties(example_${name}_${device} PROPERTIES ENVIRONMENT "${test_environment}" TIMEOUT 600)
  endforeach()
endforeach()
