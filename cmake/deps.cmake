# SPDX-License-Identifier: Apache-2.0
# Outside libraries, one imported target each. scripts/packages names their Debian packages.

# gait_library(TARGET header library...): finds them, or says which package is missing.
function(gait_library target header)
	add_library(${target} INTERFACE IMPORTED GLOBAL)
	find_path(${target}_INCLUDE ${header} REQUIRED)
	target_include_directories(${target} SYSTEM INTERFACE ${${target}_INCLUDE})
	foreach(lib ${ARGN})
		find_library(${target}_${lib} ${lib} REQUIRED)
		target_link_libraries(${target} INTERFACE ${${target}_${lib}})
	endforeach()
	mark_as_advanced(${target}_INCLUDE)
endfunction()

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(OpenSSL REQUIRED)
gait_library(jansson jansson.h jansson)
if(GAIT_BPF)
	gait_library(libbpf bpf/libbpf.h bpf elf z) # libbpf.a needs libelf, libelf needs zlib
endif()
if(GAIT_PCAP)
	gait_library(libpcap pcap/pcap.h pcap)
endif()
