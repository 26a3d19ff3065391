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
gait_library(libyaml yaml.h yaml)
gait_library(liburing liburing.h uring)
if(GAIT_BPF)
	gait_library(libbpf bpf/libbpf.h bpf elf z) # libbpf.a needs libelf, libelf needs zlib
endif()
# Reads machine code; without it TLS services are captured as ciphertext, and doctor says so.
find_path(GAIT_CAPSTONE_INCLUDE capstone/capstone.h)
find_library(GAIT_CAPSTONE_LIBRARY capstone)
mark_as_advanced(GAIT_CAPSTONE_INCLUDE GAIT_CAPSTONE_LIBRARY)
if(GAIT_CAPSTONE AND GAIT_CAPSTONE_INCLUDE AND GAIT_CAPSTONE_LIBRARY)
	gait_library(capstone capstone/capstone.h capstone)
elseif(GAIT_CAPSTONE)
	message(STATUS "libcapstone not found: no plaintext of TLS services")
	set(GAIT_CAPSTONE OFF)
endif()
if(GAIT_PCAP)
	gait_library(libpcap pcap/pcap.h pcap)
endif()
