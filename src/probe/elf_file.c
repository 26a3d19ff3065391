/* SPDX-License-Identifier: Apache-2.0 */
/* The only file that touches libelf. */
#include "probe/elf_file.h"

#if GAIT_BPF

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ELF_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define ELF_MACHINE EM_AARCH64
#endif

struct elf_file {
	int fd;
	Elf *elf;
};

static bool is_of_this_machine(Elf *elf)
{
	GElf_Ehdr head;

	return elf && elf_kind(elf) == ELF_K_ELF && gelf_getclass(elf) == ELFCLASS64 &&
	       gelf_getehdr(elf, &head) && head.e_machine == ELF_MACHINE;
}

int elf_file_open(const char *path, struct elf_file **ret_file)
{
	struct elf_file *f = calloc(1, sizeof(*f));
	int rc;

	if (!f)
		return -ENOMEM;
	f->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (f->fd < 0) {
		rc = -errno;
		free(f);
		return rc;
	}
	elf_version(EV_CURRENT);
	f->elf = elf_begin(f->fd, ELF_C_READ_MMAP, NULL);
	if (!is_of_this_machine(f->elf)) {
		elf_file_close(f);
		return -ENOEXEC;
	}
	*ret_file = f;
	return 0;
}

void elf_file_close(struct elf_file *f)
{
	if (!f)
		return;
	elf_end(f->elf);
	close(f->fd);
	free(f);
}

static void take_symbol(Elf *elf, size_t strings, const GElf_Sym *symbol, const char *const *names,
			size_t count, struct elf_function *ret)
{
	const char *name;

	if (GELF_ST_TYPE(symbol->st_info) != STT_FUNC || symbol->st_shndx == SHN_UNDEF ||
	    !symbol->st_size)
		return;
	name = elf_strptr(elf, strings, symbol->st_name);
	for (size_t i = 0; name && i < count; i++)
		if (!ret[i].size && !strcmp(name, names[i]))
			ret[i] = (struct elf_function){ symbol->st_value, symbol->st_size };
}

static void take_symbols(Elf *elf, Elf_Scn *section, const GElf_Shdr *head,
			 const char *const *names, size_t count, struct elf_function *ret)
{
	Elf_Data *data = elf_getdata(section, NULL);
	size_t symbols = data && head->sh_entsize ? head->sh_size / head->sh_entsize : 0;

	for (size_t i = 0; i < symbols; i++) {
		GElf_Sym symbol;

		if (gelf_getsym(data, i, &symbol))
			take_symbol(elf, head->sh_link, &symbol, names, count, ret);
	}
}

size_t elf_file_functions(struct elf_file *f, const char *const *names, size_t count,
			  struct elf_function *ret_functions)
{
	Elf_Scn *section = NULL;
	size_t found = 0;

	memset(ret_functions, 0, count * sizeof(*ret_functions));
	while ((section = elf_nextscn(f->elf, section))) {
		GElf_Shdr head;

		if (gelf_getshdr(section, &head) &&
		    (head.sh_type == SHT_DYNSYM || head.sh_type == SHT_SYMTAB))
			take_symbols(f->elf, section, &head, names, count, ret_functions);
	}
	for (size_t i = 0; i < count; i++)
		found += ret_functions[i].size > 0;
	return found;
}

/* Also says how many bytes of the file follow there. */
static int locate(struct elf_file *f, uint64_t address, uint64_t *ret_offset, uint64_t *ret_left)
{
	size_t count = 0;

	elf_getphdrnum(f->elf, &count);
	for (size_t i = 0; i < count; i++) {
		GElf_Phdr segment;

		if (!gelf_getphdr(f->elf, i, &segment) || segment.p_type != PT_LOAD ||
		    address < segment.p_vaddr || address - segment.p_vaddr >= segment.p_filesz)
			continue;
		*ret_offset = segment.p_offset + (address - segment.p_vaddr);
		*ret_left = segment.p_filesz - (address - segment.p_vaddr);
		return 0;
	}
	return -ENOENT;
}

int elf_file_offset(struct elf_file *f, uint64_t address, uint64_t *ret_offset)
{
	uint64_t left;

	return locate(f, address, ret_offset, &left);
}

size_t elf_file_code(struct elf_file *f, uint64_t address, uint8_t *ret_bytes, size_t size)
{
	uint64_t offset, left;
	ssize_t n;

	if (locate(f, address, &offset, &left))
		return 0;
	n = pread(f->fd, ret_bytes, size < left ? size : left, offset);
	return n > 0 ? n : 0;
}

#endif
