/* A program that does what it is told: one command a line, one line of answer each. Both the library's calls and plain mmap. C99 and C++17. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef WITH_LIBSCIFS
#include <scifs.h>
#endif

static char words[8][4096];
static int count;

static char *text(int at) { return words[at]; }
static uint64_t number(int at) { return at < count ? strtoull(words[at], NULL, 0) : 0; }
static void *address(int at) { return (void *)(uintptr_t)number(at); }
static int is(const char *command) { return strcmp(words[0], command) == 0; }

static void failed(void) {
    int error = errno;
#ifdef WITH_LIBSCIFS
    printf("error %d %s\n", error, scifs_strerror(error));
#else
    printf("error %d %s\n", error, strerror(error));
#endif
}

static void answer(int result) {
    if (result < 0) failed(); else printf("%d\n", result);
}

static void plain(void) {
    if (is("mmap")) { /* PATH OPEN-FLAGS PROT FLAGS LENGTH OFFSET ADDRESS */
        int file = open(text(1), (int)number(2), 0600);
        if (file < 0) { failed(); return; }
        void *at = mmap(address(7), number(5), (int)number(3), (int)number(4), file, (off_t)number(6));
        int error = errno;
        close(file);
        errno = error;
        if (at == MAP_FAILED) failed(); else printf("%#" PRIxPTR "\n", (uintptr_t)at);
    } else if (is("munmap")) {
        answer(munmap(address(1), number(2)));
    } else if (is("mprotect")) {
        answer(mprotect(address(1), number(2), (int)number(3)));
    } else if (is("store")) {
        *(volatile uint64_t *)address(1) = number(2);
        printf("0\n");
    } else if (is("load")) {
        printf("%" PRIu64 "\n", *(volatile uint64_t *)address(1));
    } else if (is("fork")) { /* The child adds to a word; then the parent looks. */
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            *(volatile uint64_t *)address(1) += number(2);
            _exit(0);
        }
        int status = 0;
        if (child < 0 || waitpid(child, &status, 0) < 0) { failed(); return; }
        printf("%d %" PRIu64 "\n", status, *(volatile uint64_t *)address(1));
    } else {
        printf("unknown\n");
    }
}

#ifdef WITH_LIBSCIFS
static int failures;

/* Adds to a word that is no atomic, under the lock. */
static void *add(void *unused) {
    (void)unused;
    volatile uint64_t *word = (volatile uint64_t *)address(1);
    for (uint64_t round = 0; round < number(2); round++) {
        if (scifs_lock((const void *)word, 8, SCIFS_WRITE) < 0) { failures++; return NULL; }
        *word = *word + 1;
        if (scifs_unlock((const void *)word, 8, SCIFS_WRITE) < 0) { failures++; return NULL; }
    }
    return NULL;
}

static void *try_lock(void *result) {
    int locked = scifs_lock(address(1), number(2), SCIFS_WRITE | SCIFS_NOWAIT);
    *(int *)result = locked < 0 ? errno : 0;
    return NULL;
}

static void threads(void) {
    pthread_t all[4];
    uint64_t wanted = number(3);
    for (uint64_t at = 0; at < wanted && at < 4; at++) pthread_create(&all[at], NULL, add, NULL);
    for (uint64_t at = 0; at < wanted && at < 4; at++) pthread_join(all[at], NULL);
    answer(failures ? -1 : 0);
}

static void ours(void) {
    if (is("map")) {
        void *at = scifs_map(text(1), (int)number(2));
        if (!at) failed(); else printf("%#" PRIxPTR " %zu\n", (uintptr_t)at, scifs_size(at));
    } else if (is("map_at")) {
        void *at = scifs_map_at(text(1), (int)number(2), address(3), number(4), number(5));
        if (!at) failed(); else printf("%#" PRIxPTR " %zu\n", (uintptr_t)at, scifs_size(at));
    } else if (is("unmap")) {
        answer(scifs_unmap(address(1)));
    } else if (is("size")) {
        size_t size = scifs_size(address(1));
        if (!size) failed(); else printf("%zu\n", size);
    } else if (is("how")) {
        const char *how = scifs_how(address(1));
        if (!how) failed(); else printf("%s\n", how);
    } else if (is("lock")) {
        answer(scifs_lock(address(1), number(2), (int)number(3)));
    } else if (is("unlock")) {
        answer(scifs_unlock(address(1), number(2), (int)number(3)));
    } else if (is("thread_lock")) {
        pthread_t thread;
        int result = -1;
        pthread_create(&thread, NULL, try_lock, &result);
        pthread_join(thread, NULL);
        printf("%d\n", result);
    } else if (is("fork_unlock")) { /* What the child gets. */
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) _exit(scifs_unlock(address(1), number(2), (int)number(3)) < 0 ? errno : 0);
        int status = 0;
        if (child < 0 || waitpid(child, &status, 0) < 0) { failed(); return; }
        printf("%d\n", WEXITSTATUS(status));
    } else if (is("fork_map")) { /* The child maps a file of its own and stores to it. */
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            volatile uint64_t *at = (volatile uint64_t *)scifs_map(text(1), PROT_READ | PROT_WRITE);
            if (at) *at = number(2);
            _exit(at ? 0 : errno);
        }
        int status = 0;
        if (child < 0 || waitpid(child, &status, 0) < 0) { failed(); return; }
        printf("%d\n", status);
    } else if (is("add")) {
        threads();
    } else if (is("wait")) {
        answer(scifs_wait(address(1), number(2), number(3), (int64_t)number(4)));
    } else if (is("notify")) {
        answer(scifs_notify(address(1), (uint32_t)number(2)));
    } else if (is("barrier")) {
        answer(scifs_barrier(text(1), (uint32_t)number(2)));
    } else if (is("prefetch")) {
        answer(scifs_prefetch(address(1), number(2), (int)number(3)));
    } else if (is("stats")) {
        struct scifs_stats stats;
        if (scifs_stats(&stats) < 0) failed();
        else printf("%u %u %" PRIu64 "\n", stats.node, stats.nodes, stats.memory_budget);
    } else if (is("node")) {
        answer(scifs_node_id());
    } else if (is("nodes")) {
        answer(scifs_node_count());
    } else if (is("strerror")) {
        printf("%s\n", scifs_strerror((int)number(1)));
    } else if (is("fences")) {
        scifs_acquire();
        scifs_release();
        printf("0\n");
    } else {
        plain();
    }
}
#else
static void ours(void) { plain(); }
#endif

int main(void) {
    char line[16384];
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (fgets(line, sizeof line, stdin)) {
        count = 0;
        for (char *word = strtok(line, " \n"); word && count < 8; word = strtok(NULL, " \n"))
            snprintf(words[count++], sizeof words[0], "%s", word);
        if (count) ours();
    }
    return 0;
}
