/* The main of a fuzz target that is built without libFuzzer: gives it every file named, or in a directory named. */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_BYTES_MAX (8 * 1024 * 1024)

static bool replay_file(const char *path) {
    FILE *file = fopen(path, "re");
    uint8_t *data = malloc(INPUT_BYTES_MAX), *exact;
    size_t size = 0;
    bool good = file != NULL && data != NULL;
    if (good) {
        size = fread(data, 1, INPUT_BYTES_MAX, file);
        good = feof(file) && !ferror(file);
    }
    exact = good ? realloc(data, size > 0 ? size : 1) : NULL; /* so that a sanitizer sees reads beyond the end */
    if (exact != NULL)
        (void)LLVMFuzzerTestOneInput(exact, size);
    else
        (void)fprintf(stderr, "%s: cannot be read\n", path);
    good = exact != NULL;
    free(exact != NULL ? exact : data);
    if (file != NULL)
        (void)fclose(file);
    return good;
}

static bool replay_directory(const char *path, size_t *count) {
    DIR *directory = opendir(path);
    bool good = true;
    if (directory == NULL) {
        perror(path);
        return false;
    }
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        char file[4096];
        if (*entry->d_name == '.')
            continue;
        good = (size_t)snprintf(file, sizeof file, "%s/%s", path, entry->d_name) < sizeof file && replay_file(file) && good;
        *count += 1;
    }
    (void)closedir(directory);
    return good;
}

int main(int argc, char **argv) {
    size_t count = 0;
    bool good = true;
    for (int i = 1; i < argc; i++) {
        struct stat status;
        if (stat(argv[i], &status) == 0 && S_ISDIR(status.st_mode)) {
            good = replay_directory(argv[i], &count) && good;
        } else {
            good = replay_file(argv[i]) && good;
            count++;
        }
    }
    (void)printf("%zu inputs replayed\n", count);
    if (count == 0)
        (void)fprintf(stderr, "no inputs: nothing was tested\n");
    return good && count > 0 ? 0 : 1;
}
