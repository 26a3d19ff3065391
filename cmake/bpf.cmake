# SPDX-License-Identifier: Apache-2.0
# The kernel side: BPF objects, linked into one skeleton header.

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
	set(GAIT_BPF_ARCH arm64)
else()
	set(GAIT_BPF_ARCH x86)
endif()

if(GAIT_BPF)
	find_program(GAIT_CLANG NAMES clang REQUIRED)
	find_program(GAIT_BPFTOOL NAMES bpftool PATHS /usr/sbin /usr/local/sbin REQUIRED)
	find_path(GAIT_ASM_INCLUDE asm/types.h REQUIRED) # of the machine that gait is for
	mark_as_advanced(GAIT_ASM_INCLUDE)
endif()

# gait_bpf(NAME sources...): builds skel/NAME.skel.h (struct NAME_bpf); who links NAME_skel may
# include it as "NAME.skel.h".
function(gait_bpf name)
	set(dir ${CMAKE_BINARY_DIR}/skel)
	file(MAKE_DIRECTORY ${dir})
	set(objects)
	foreach(source ${ARGN})
		get_filename_component(stem ${source} NAME_WE)
		set(object ${dir}/${stem}.bpf.o)
		add_custom_command(OUTPUT ${object}
			COMMAND ${GAIT_CLANG} -g -O2 -mcpu=v3 -Wall -Werror -target bpf
				-D__TARGET_ARCH_${GAIT_BPF_ARCH}
				-I${CMAKE_SOURCE_DIR}/bpf -I${CMAKE_BINARY_DIR}/include/bpf-root
				-idirafter ${GAIT_ASM_INCLUDE}
				-MMD -MF ${object}.d -MT ${object} -c ${source} -o ${object}
			DEPENDS ${source}
			DEPFILE ${object}.d
			COMMENT "BPF ${stem}"
			VERBATIM)
		list(APPEND objects ${object})
	endforeach()

	set(linked ${dir}/${name}.linked.o)
	set(skeleton ${dir}/${name}.skel.h)
	add_custom_command(OUTPUT ${skeleton}
		COMMAND ${GAIT_BPFTOOL} gen object ${linked} ${objects}
		COMMAND sh -c "\"$1\" gen skeleton \"$2\" name \"$3\" >\"$4.tmp\" && mv \"$4.tmp\" \"$4\""
			sh ${GAIT_BPFTOOL} ${linked} ${name}_bpf ${skeleton}
		DEPENDS ${objects}
		BYPRODUCTS ${linked}
		COMMENT "BPF skeleton ${name}.skel.h"
		VERBATIM)
	add_custom_target(${name}_skel_header DEPENDS ${skeleton})
	add_library(${name}_skel INTERFACE)
	target_include_directories(${name}_skel SYSTEM INTERFACE ${dir})
	add_dependencies(${name}_skel ${name}_skel_header)
endfunction()
