/* The structure that the examples of libscifs share: a list linked by real pointers, and numbers. It lies at the beginning of a file of at least 64 KiB,
 * filled with zeros. Each player fills its share of the samples, puts an entry into the list under a lock, wakes those who wait
 * for it, and waits until everybody has done so. Then all see the same, on whatever node and in whatever language. */
#include <stdint.h>

#define SAMPLES 1024

struct entry {
    struct entry *next;
    char text[56];
};

struct board {
    uint64_t here;            /* how many players have put their entry; what the others wait for */
    struct entry *first;      /* the newest */
    struct entry *free;       /* where the next entry goes; 0: right behind this structure */
    double samples[SAMPLES];
};
