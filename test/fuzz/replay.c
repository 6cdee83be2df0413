/* SPDX-License-Identifier: Apache-2.0 */
/* replay.c - a plain main for a fuzz target: each file of the directories (or
 * the files) that are named goes through it once.  So the corpora are run by
 * every compiler and every variant, without libFuzzer.
 *
 * Knows nothing of what it runs.  Exit status 1 where an input can't be read
 * or there was none; a target reports a bug by crashing. */
#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static long inputs;

static int
replay_file(const char *path, size_t size)
{
    int r = -1;
    /* Exactly as large as the input: a sanitizer sees each byte beyond it. */
    uint8_t *data = malloc(size ? size : 1);
    FILE *f = fopen(path, "rb");
    if (!data || !f || fread(data, 1, size, f) != size) {
        perror(path);
        goto out;
    }
    LLVMFuzzerTestOneInput(data, size);
    inputs++;
    r = 0;
out:
    if (f)
        fclose(f);
    free(data);
    return r;
}

static int replay_dir(const char *path);

static int
replay(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0) {
        perror(path);
        return -1;
    }
    return S_ISDIR(st.st_mode) ? replay_dir(path)
                               : replay_file(path, (size_t)st.st_size);
}

static int
replay_dir(const char *path)
{
    int r = 0;
    DIR *dir = opendir(path);
    if (!dir) {
        perror(path);
        return -1;
    }
    for (struct dirent *e; r == 0 && (e = readdir(dir)) != NULL;) {
        char name[4096];
        if (e->d_name[0] == '.')
            continue;
        int n = snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
        r = n < 0 || (size_t)n >= sizeof(name) ? -1 : replay(name);
    }
    closedir(dir);
    return r;
}

int
main(int argc, char **argv)
{
    int r = 0;
    if (LLVMFuzzerInitialize)
        LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; r == 0 && i < argc; i++)
        r = replay(argv[i]);
    printf("fuzz: %ld inputs replayed\n", inputs);
    return r == 0 && inputs > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
