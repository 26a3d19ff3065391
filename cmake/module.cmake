# SPDX-License-Identifier: Apache-2.0
# A room is a folder, a static library and an include root. The root holds one symbolic link, so
# that "base/err.h" is found by those who may use base and by nobody else: src/ itself is on no
# include path. What a room uses comes along with it (its headers may include theirs).

# gait_include_root(ROOM folder): sets include_root in the caller.
function(gait_include_root room folder)
	set(root ${CMAKE_BINARY_DIR}/include/${room}-root)
	file(MAKE_DIRECTORY ${root})
	file(CREATE_LINK ${folder} ${root}/${room} SYMBOLIC)
	set(include_root ${root} PARENT_SCOPE)
endfunction()

# gait_module(NAME [DEPENDS rooms...] [LIBS libraries...]): library gait_NAME of all *.c in the
# current folder and those below but main.c. DEPENDS are rooms whose headers it may include; LIBS are private.
function(gait_module name)
	cmake_parse_arguments(arg "" "" "DEPENDS;LIBS" ${ARGN})
	list(TRANSFORM arg_DEPENDS PREPEND gait_)
	gait_include_root(${name} ${CMAKE_CURRENT_SOURCE_DIR})
	file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
	list(FILTER sources EXCLUDE REGEX "/main\\.c$")
	if(sources)
		add_library(gait_${name} STATIC ${sources})
		target_include_directories(gait_${name} PUBLIC ${include_root})
		target_link_libraries(gait_${name}
			PUBLIC ${arg_DEPENDS}
			PRIVATE gait_flags ${arg_LIBS})
	else() # no code yet: the headers alone
		add_library(gait_${name} INTERFACE)
		target_include_directories(gait_${name} INTERFACE ${include_root})
		target_link_libraries(gait_${name} INTERFACE ${arg_DEPENDS})
	endif()
endfunction()
