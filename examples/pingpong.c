/* cc -O2 -o pingpong pingpong.c; on two nodes: ./pingpong /dsm/ball 0 2000 and ./pingpong /dsm/ball 1 2000
 *
 * Two processes take turns to write one page. Each turn moves the dirty page from one node to the other. Player 0 prints the
 * median time of one such move in microseconds. */
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static double now_us(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

static int ascending(const void *a, const void *b) {
    double difference = *(const double *)a - *(const double *)b;
    return (difference > 0) - (difference < 0);
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: %s FILE 0|1 ROUNDS\n", argv[0]);
        return 1;
    }
    uint64_t me = strtoull(argv[2], NULL, 0), rounds = strtoull(argv[3], NULL, 0);
    int file = open(argv[1], O_RDWR);
    if (file < 0) return perror(argv[1]), 1;
    _Atomic uint64_t *ball = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    double *times = calloc(rounds, sizeof *times);
    if (ball == MAP_FAILED || !times) return perror("memory"), 1;
    for (uint64_t round = 0; round < rounds; round++) {
        double begun = now_us();
        /* Yielding, since the nodes may run on the same processors. */
        while (atomic_load(ball) != 2 * round + me) sched_yield();
        atomic_store(ball, 2 * round + me + 1);
        times[round] = now_us() - begun;
    }
    /* The last one is still on its way; a round of player 0 is there and back. */
    qsort(times, rounds, sizeof *times, ascending);
    if (me == 0) printf("%.1f\n", times[rounds / 2] / 2);
    return 0;
}
