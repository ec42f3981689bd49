/* cc -o board-c board.c $(pkg-config --cflags --libs scifs); ./board-c /dsm/board ME PLAYERS NAME       (also C++: the same file with c++ -x c++)
 *
 * Takes part in the board (see board.h), with libscifs. */
#include "board.h"

#include <errno.h>
#include <inttypes.h>
#include <scifs.h>
#include <stdio.h>
#include <stdlib.h>

static void check(int result, const char *doing) {
    if (result >= 0) return;
    fprintf(stderr, "%s: %s\n", doing, scifs_strerror(errno));
    exit(1);
}

/* Under the lock: what it reads was written by others, on other nodes. */
static void put(struct board *board, const char *name) {
    check(scifs_lock(board, 24, SCIFS_WRITE), "lock");
    struct entry *entry = board->free ? board->free : (struct entry *)(board + 1);
    board->free = entry + 1;
    entry->next = board->first;
    snprintf(entry->text, sizeof entry->text, "%s", name);
    board->first = entry;
    board->here++;
    check(scifs_unlock(board, 24, SCIFS_WRITE), "unlock");
    check(scifs_notify(&board->here, UINT32_MAX), "notify");
}

static void wait_for(struct board *board, uint64_t players) {
    uint64_t here;
    while ((here = *(volatile uint64_t *)&board->here) < players) {
        /* Not when somebody has come in the meantime (EAGAIN); a signal is no reason to stop, either. */
        int result = scifs_wait(&board->here, here, sizeof here, SCIFS_FOREVER);
        if (result < 0 && errno != EAGAIN && errno != EINTR) check(result, "wait");
    }
    scifs_acquire();
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: %s FILE ME PLAYERS NAME\n", argv[0]);
        return 1;
    }
    uint64_t me = strtoull(argv[2], NULL, 0), players = strtoull(argv[3], NULL, 0);
    struct board *board = (struct board *)scifs_map(argv[1], PROT_READ | PROT_WRITE);
    if (!board) check(-1, "map");
    for (uint64_t at = me * SAMPLES / players; at < (me + 1) * SAMPLES / players; at++) board->samples[at] = (double)at;
    put(board, argv[4]);
    wait_for(board, players);
    uint64_t entries = 0;
    for (struct entry *entry = board->first; entry; entry = entry->next) entries++;
    double sum = 0;
    for (int at = 0; at < SAMPLES; at++) sum += board->samples[at];
    printf("%-12s on node %d of %d: %" PRIu64 " entries, the newest at %p by %s; the samples add up to %.0f\n", argv[4], scifs_node_id(),
           scifs_node_count(), entries, (void *)board->first, board->first->text, sum);
    check(scifs_unmap(board), "unmap");
    return 0;
}
