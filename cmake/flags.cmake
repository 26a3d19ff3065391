# SPDX-License-Identifier: Apache-2.0
# Language, warnings and hardening of our own C code: everything links gait_flags.

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
	set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()

# asserts stay on in release
foreach(config RELEASE RELWITHDEBINFO MINSIZEREL)
	string(REPLACE "-DNDEBUG" "" CMAKE_C_FLAGS_${config} "${CMAKE_C_FLAGS_${config}}")
endforeach()

add_library(gait_flags INTERFACE)
target_compile_options(gait_flags INTERFACE
	-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2
	-Wno-unused-parameter -fno-omit-frame-pointer)
# counters are added up in loops of a length that is no power of two
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
	target_compile_options(gait_flags INTERFACE -ftree-vectorize -fvect-cost-model=dynamic)
endif()
target_compile_definitions(gait_flags INTERFACE
	_GNU_SOURCE= # empty, so that a source's own #define is no redefinition
	GAIT_VERSION="${PROJECT_VERSION}"
	GAIT_BPF=$<BOOL:${GAIT_BPF}>
	GAIT_TLS=$<BOOL:${GAIT_TLS}>
	$<$<NOT:$<BOOL:${GAIT_BPF}>>:GAIT_NO_BPF>)

if(CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo" OR CMAKE_BUILD_TYPE STREQUAL "Release")
	target_compile_options(gait_flags INTERFACE
		-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong)
	target_link_options(gait_flags INTERFACE -Wl,-z,relro,-z,now)
	if(NOT GAIT_STATIC)
		set(CMAKE_POSITION_INDEPENDENT_CODE ON)
		target_link_options(gait_flags INTERFACE -pie)
	endif()
endif()

if(GAIT_STATIC)
	set(CMAKE_FIND_LIBRARY_SUFFIXES .a)
	set(OPENSSL_USE_STATIC_LIBS ON)
	add_link_options(-static)
endif()

if(GAIT_FUZZ)
	if(NOT CMAKE_C_COMPILER_ID STREQUAL "Clang")
		message(FATAL_ERROR "GAIT_FUZZ needs clang: use the preset 'fuzz'")
	endif()
	add_compile_options(-fsanitize=fuzzer-no-link,address,undefined
		-fno-sanitize-recover=undefined)
	add_link_options(-fsanitize=address,undefined)
endif()
