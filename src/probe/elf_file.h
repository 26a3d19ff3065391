/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GAIT_PROBE_ELF_FILE_H
#define GAIT_PROBE_ELF_FILE_H

#include <stddef.h>
#include <stdint.h>

/* Functions in a program or library. Addresses are the file's own, before it is loaded. */
struct elf_file;

struct elf_function {
	uint64_t address;
	uint64_t size;
};

/* -ENOEXEC when it is no 64-bit ELF file of this machine. */
int elf_file_open(const char *path, struct elf_file **ret_file);
void elf_file_close(struct elf_file *f);

/*
 * The functions of these names that the file has itself, from its dynamic symbols or its
 * symbol table; a size of 0: it has none of that name. Returns how many there are.
 */
size_t elf_file_functions(struct elf_file *f, const char *const *names, size_t count,
			  struct elf_function *ret_functions);

/* Copies code at an address; returns how many bytes there are of it, at most `size`. */
size_t elf_file_code(struct elf_file *f, uint64_t address, uint8_t *ret_bytes, size_t size);

/* Where in the file an address lies. -ENOENT: nowhere. */
int elf_file_offset(struct elf_file *f, uint64_t address, uint64_t *ret_offset);

#endif
