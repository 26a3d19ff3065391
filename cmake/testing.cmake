# SPDX-License-Identifier: Apache-2.0
# How tests register. Labels: unit (fast, no rights), cli (BATS on the binary), live (root, BPF,
# real services; one at a time), fuzz (only with GAIT_FUZZ). Exit status 77 is a skip.

# The rooms a test may use: all.
set(GAIT_ROOMS
	gait_cli gait_capture gait_replay gait_report gait_edit gait_attribution gait_probe gait_trace
	gait_base gait_bpf)

# gait_unit_test(NAME source libs...)
function(gait_unit_test name source)
	add_executable(${name} ${source})
	target_link_libraries(${name} PRIVATE gait_flags ${ARGN})
	target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/unit)
	target_compile_definitions(${name} PRIVATE GAIT_TEST_DATA="${CMAKE_SOURCE_DIR}/tests/data")
	add_test(NAME ${name} COMMAND ${name})
	set_tests_properties(${name} PROPERTIES
		LABELS unit TIMEOUT 60 SKIP_RETURN_CODE 77)
endfunction()

find_program(GAIT_BATS NAMES bats)

# gait_bats_tests(LABEL timeout [properties...]): every *.bats of the current folder.
function(gait_bats_tests label timeout)
	file(GLOB files CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.bats)
	if(NOT files OR NOT TARGET gait)
		return()
	endif()
	if(NOT GAIT_BATS)
		message(STATUS "bats not found: no ${label} tests")
		return()
	endif()
	foreach(file ${files})
		get_filename_component(stem ${file} NAME_WE)
		add_test(NAME ${label}_${stem} COMMAND ${GAIT_BATS} --tap ${file})
		set_tests_properties(${label}_${stem} PROPERTIES
			LABELS ${label} TIMEOUT ${timeout} ${ARGN}
			WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
		set_property(TEST ${label}_${stem} PROPERTY ENVIRONMENT
			"GAIT=$<TARGET_FILE:gait>"
			"GAIT_SOURCE=${CMAKE_SOURCE_DIR}"
			"GAIT_TRUTH=${CMAKE_BINARY_DIR}/tests/truth")
	endforeach()
endfunction()
