/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for libFuzzer: feeds each file of the folders or files named on the command line, and
 * the empty input, to LLVMFuzzerTestOneInput(). A folder that does not exist has no files.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int inputs;

static void fail(const char *what, const char *path)
{
	fprintf(stderr, "cannot %s '%s': %s\n", what, path, strerror(errno));
	exit(1);
}

/* The input gets a malloc of its exact size, so that ASan sees one byte too far. */
static void replay_file(const char *path, size_t size)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = malloc(size);

	if (!file)
		fail("open", path);
	if (size && (!data || fread(data, 1, size, file) != size))
		fail("read", path);
	fclose(file);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	inputs++;
}

static void replay(const char *path)
{
	struct dirent *entry;
	struct stat st;
	DIR *dir;

	if (stat(path, &st)) {
		if (errno == ENOENT)
			return;
		fail("stat", path);
	}
	if (!S_ISDIR(st.st_mode)) {
		replay_file(path, (size_t)st.st_size);
		return;
	}
	dir = opendir(path);
	if (!dir)
		fail("open", path);
	while ((entry = readdir(dir))) {
		char child[4096];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(child, sizeof(child), "%s/%s", path, entry->d_name);
		replay(child);
	}
	closedir(dir);
}

int main(int argc, char **argv)
{
	LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
	for (int i = 1; i < argc; i++)
		replay(argv[i]);
	printf("ok 1 - %d inputs\n1..1\n", inputs + 1);
	return 0;
}
