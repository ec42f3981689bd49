/* cc -O2 -o ring-c ring.c; ./ring-c /dsm/ring ME PLAYERS NOTES NAME
 *
 * Maps a SciFS file at its own address and takes its turns in the ring (see ring.h). */
#include "ring.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static void die(const char *doing) {
    perror(doing);
    exit(1);
}

/* The whole file, where the cluster wants it. */
static struct ring *map(const char *path) {
    int file = open(path, O_RDWR);
    if (file < 0) die(path);
    char text[32] = {0};
    if (getxattr(path, "user.scifs.address", text, sizeof text - 1) < 0) die("user.scifs.address");
    void *address = (void *)(uintptr_t)strtoull(text, NULL, 0);
    struct stat about;
    if (fstat(file, &about) < 0) die("fstat");
    void *at = mmap(address, about.st_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE, file, 0);
    if (at == MAP_FAILED || at != address) die("mmap at the file's address");
    close(file);
    return at;
}

/* Walks the list by its pointers, links a note behind the last one, and says so. */
static void append(struct ring *ring, const char *name) {
    uint64_t seen = 0;
    for (struct note *note = ring->first; note; note = note->next) seen++;
    struct note *note = ring->free ? ring->free : (struct note *)(ring + 1);
    note->next = NULL;
    note->number = ring->count + 1;
    snprintf(note->who, sizeof note->who, "%s", name);
    snprintf(note->text, sizeof note->text, "%s has walked past %" PRIu64 " notes", name, seen);
    if (ring->last) ring->last->next = note; else ring->first = note;
    printf("%-12s note %2" PRIu64 " at %p", name, note->number, (void *)note);
    if (ring->last) printf(", linked from %p by %s", (void *)ring->last, ring->last->who);
    printf("\n");
    ring->last = note;
    ring->free = note + 1;
    ring->count++;
}

int main(int argc, char **argv) {
    if (argc != 6) {
        fprintf(stderr, "usage: %s FILE ME PLAYERS NOTES NAME\n", argv[0]);
        return 1;
    }
    struct ring *ring = map(argv[1]);
    uint64_t me = strtoull(argv[2], NULL, 0), players = strtoull(argv[3], NULL, 0), notes = strtoull(argv[4], NULL, 0);
    setvbuf(stdout, NULL, _IOLBF, 0);
    _Atomic uint64_t *turn = (_Atomic uint64_t *)&ring->turn;
    for (;;) {
        while (atomic_load(turn) != me) usleep(200);
        int done = ring->count >= notes;
        if (!done) append(ring, argv[5]);
        atomic_store(turn, (me + 1) % players);
        if (done) return 0;
    }
}
