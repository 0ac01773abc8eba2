// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target over files and folders, for compilers without libFuzzer: the committed corpus
// is a test of every build. Each input lies in an exact-size heap copy, so that ASan sees a read
// beyond its end.
#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_BYTES_MAX (16u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t inputs;

static int replay_file(const char *path, size_t size)
{
	FILE *file = fopen(path, "rbe");
	uint8_t *data;

	if (file == NULL || size > INPUT_BYTES_MAX) {
		(void)fprintf(stderr, "%s: can't read it\n", path);
		return 1;
	}
	data = (uint8_t *)malloc(size > 0 ? size : 1);
	if (data == NULL || fread(data, 1, size, file) != size) {
		(void)fprintf(stderr, "%s: can't read it\n", path);
		(void)fclose(file);
		free(data);
		return 1;
	}
	(void)fclose(file);
	(void)LLVMFuzzerTestOneInput(data, size);
	free(data);
	inputs++;
	return 0;
}

static int replay_folder(const char *path)
{
	struct dirent **entries;
	int count = scandir(path, &entries, NULL, alphasort);
	int failed = count < 0;

	for (int i = 0; i < count; i++) {
		char name[PATH_MAX];
		struct stat info;

		(void)snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
		if (stat(name, &info) == 0 && S_ISREG(info.st_mode))
			failed |= replay_file(name, (size_t)info.st_size);
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
	return failed;
}

int main(int argc, char **argv)
{
	int failed = 0;

	for (int i = 1; i < argc; i++) {
		struct stat info;

		if (stat(argv[i], &info) != 0)
			failed = 1;
		else if (S_ISDIR(info.st_mode))
			failed |= replay_folder(argv[i]);
		else
			failed |= replay_file(argv[i], (size_t)info.st_size);
	}
	(void)printf("%u inputs\n", inputs);
	return failed != 0 || inputs == 0;
}
