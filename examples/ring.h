/* The structure that the examples share: a list of notes, linked by real pointers. Every program maps the file at the
 * address that the cluster gave it, so a pointer that one of them stores means the same to all others, on any node and in
 * any language. The player whose turn it is appends a note; then it is the next one's turn. */
#include <stdint.h>

struct note {
    struct note *next;
    uint64_t number;
    char who[16];
    char text[64];
};

struct ring {
    uint64_t turn;        /* whose it is: 0, 1, ... players - 1 */
    uint64_t count;       /* notes so far */
    struct note *first;
    struct note *last;
    struct note *free;    /* where the next note goes; 0: right behind this structure */
};
