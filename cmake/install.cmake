# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` puts on a machine: the program and its other names, its manual, the licence,
# the docs.

if(TARGET gait)
	install(TARGETS gait)
	foreach(link ${GAIT_LINKS})
		install(FILES ${CMAKE_BINARY_DIR}/${link} TYPE BIN)
	endforeach()
endif()

file(GLOB pages CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/man/*.1)
install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)

file(GLOB docs CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/*.md ${CMAKE_SOURCE_DIR}/docs/*.md)
install(FILES LICENSE ${docs} DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES bpf/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME LICENSE.bpf)
