# What `cmake --install` puts in place: library, command, headers, CMake package, pkg-config file, examples.
include(CMakePackageConfigHelpers)

install(TARGETS qdsim EXPORT qdsim LIBRARY)
if(TARGET qdsim_command)
  install(TARGETS qdsim_command RUNTIME)
endif()
install(DIRECTORY include/qdsim TYPE INCLUDE FILES_MATCHING PATTERN *.h)
if(EXISTS ${PROJECT_SOURCE_DIR}/examples)
  install(DIRECTORY examples DESTINATION ${CMAKE_INSTALL_DATADIR}/qdsim)
endif()
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/qdsim)

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/qdsim)
install(EXPORT qdsim NAMESPACE qdsim:: FILE qdsim-targets.cmake DESTINATION ${package})
configure_package_config_file(cmake/qdsim-config.cmake.in ${PROJECT_BINARY_DIR}/qdsim-config.cmake
                              INSTALL_DESTINATION ${package})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/qdsim-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/qdsim-config.cmake ${PROJECT_BINARY_DIR}/qdsim-config-version.cmake
        DESTINATION ${package})

# Paths relative to the file itself, so that an installation may be moved.
file(RELATIVE_PATH QDSIM_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(cmake/qdsim.pc.in ${PROJECT_BINARY_DIR}/qdsim.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/qdsim.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
