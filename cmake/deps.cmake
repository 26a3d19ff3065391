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
# gait_optional_library(OPTION TARGET header library what): used if it is there, else OPTION is OFF.
function(gait_optional_library option target header lib what)
	find_path(${option}_INCLUDE ${header})
	find_library(${option}_LIBRARY ${lib})
	mark_as_advanced(${option}_INCLUDE ${option}_LIBRARY)
	if(${option} AND ${option}_INCLUDE AND ${option}_LIBRARY)
		gait_library(${target} ${header} ${lib})
	elseif(${option})
		message(STATUS "${target} not found: ${what}")
		set(${option} OFF PARENT_SCOPE)
	endif()
endfunction()

# Reads captures; without them plain capture files alone, unpacked and without --filter.
if(GAIT_STATIC) # its archive wants D-Bus, which has none
	set(GAIT_PCAP OFF)
endif()
gait_optional_library(GAIT_PCAP libpcap pcap/pcap.h pcap "no pcapng, no filters")
gait_optional_library(GAIT_ZLIB zlib zlib.h z "no captures packed by gzip")
gait_optional_library(GAIT_ZSTD libzstd zstd.h zstd "no captures packed by zstd")
