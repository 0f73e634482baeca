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

add_test(NAME check_layers COMMAND sh ${PROJECT_SOURCE_DIR}/tests/check_layers ${PROJECT_SOURCE_DIR})
add_test(NAME check_layers_itself COMMAND sh ${PROJECT_SOURCE_DIR}/tests/check_layers_itself)

set(test_flags "")
if(QDSIM_SANITIZE)
  set(test_flags -fsanitize=${QDSIM_SANITIZE})
endif()
add_test(NAME install COMMAND sh ${PROJECT_SOURCE_DIR}/tests/install/run ${PROJECT_BINARY_DIR} ${CMAKE_COMMAND}
                              ${CMAKE_C_COMPILER} ${PROJECT_VERSION} ${test_flags})
set_tests_properties(install PROPERTIES ENVIRONMENT "${test_environment}" TIMEOUT 600)
