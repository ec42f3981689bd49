/* scifs.h: memory of a SciFS cluster, as a program uses it.
 *
 *     struct heap *heap = scifs_map("/dsm/heap", PROT_READ | PROT_WRITE);
 *     if (!heap) { fprintf(stderr, "%s\n", scifs_strerror(errno)); exit(1); }
 *     scifs_lock(&heap->list, sizeof heap->list, SCIFS_WRITE);
 *     ...                                        loads and stores, as in shared memory of one machine
 *     scifs_unlock(&heap->list, sizeof heap->list, SCIFS_WRITE);
 *
 * Link with -lscifs (pkg-config --cflags --libs scifs). Needs a mount (scifs(8)); the file has to have a size.
 *
 * Memory. A file of a mount has one address in the whole cluster, so pointers into it may be stored in it. What is stored by one program is
 * loaded by all others, on every node, as between threads of one x86-64 machine: C11 and C++11 atomics, mutex-free algorithms and
 * plain pointers work. Whether userfaultfd serves the mapping or the kernel (see scifs_how) makes a difference in time only.
 *
 * Errors. Functions that return int return -1, those that return a pointer NULL, and errno says why; scifs_strerror has the sentence. A
 * load or store ends in SIGBUS where the file has been cut, where a page is lost because the only node that had it has died, or where
 * memory ran out; so it is with any mapped file. A call that waits returns EINTR after a signal handler has run.
 *
 * Threads and fork. All functions may be called by several threads at once. A child of fork has its parent's mappings and goes on sharing;
 * it doesn't have its parent's locks. After vfork only exec or _exit make sense. Descriptors that the library opens are closed by exec. */
#ifndef SCIFS_H
#define SCIFS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Modes of scifs_lock and scifs_prefetch. */
#define SCIFS_READ 0
#define SCIFS_WRITE 1
/* Added to the mode of scifs_lock: fail with EAGAIN instead of waiting. */
#define SCIFS_NOWAIT 2

/* For the timeout of scifs_wait. */
#define SCIFS_FOREVER ((int64_t)-1)

/* ---- Mapping ---- */

/* Maps the whole file, shared, at the address that it has in the whole cluster, and returns that address. prot is PROT_READ or
 * PROT_READ | PROT_WRITE. Never replaces what is mapped there: EEXIST then (also if this process has mapped the same file already). EINVAL for a
 * file without bytes: give it a size first (scifs create, ftruncate). A file that grows later has to be unmapped and mapped again. */
void *scifs_map(const char *path, int prot);

/* The same for a part of the file, and at another place: at `address`, or where there is room if it is NULL; from `offset` (a multiple of 4096)
 * on, `length` bytes, or up to the end of the file if length is 0. For data without pointers. */
void *scifs_map_at(const char *path, int prot, void *address, uint64_t offset, size_t length);

/* Takes away a mapping that begins at `address`, and the locks on it that were got by scifs_lock. */
int scifs_unmap(void *address);

/* How many bytes were mapped at `address`, which is where a mapping begins; 0 with errno if none does. */
size_t scifs_size(const void *address);

/* Who serves the mapping that begins at `address`: "userfaultfd", or "the kernel, since ..." with the reason. The text stays until this thread calls
 * scifs_how or scifs_strerror again. */
const char *scifs_how(const void *address);

/* ---- Locks: cluster-wide, between threads, processes and nodes ---- */

/* Waits until no other lock excludes this one: SCIFS_READ excludes writers, SCIFS_WRITE everybody. The range may be any in one mapping, down to a byte.
 * They are record locks of the file (fcntl F_OFD_SETLKW), each with an owner of its own: two threads exclude each other, and so does a
 * thread that locks an overlapping range twice: it waits for itself. They also exclude programs that lock the same bytes by fcntl. A lock of a
 * node that dies is let go of. EACCES: SCIFS_WRITE on a mapping without PROT_WRITE. EAGAIN: SCIFS_NOWAIT was given, and it is locked. */
int scifs_lock(const void *address, size_t length, int mode);

/* Lets go of a lock; the arguments are those that it was got with. Any thread of the process may do it. EPERM: there is no such lock. */
int scifs_unlock(const void *address, size_t length, int mode);

/* ---- Order ---- */

/* Strict files, the default, keep order by themselves: these two are full fences for the processor and the compiler, and nothing more. Under lazy
 * consistency, which files may have in a later version, acquire makes what others have released before visible, and release publishes what
 * this thread has stored. Programs that call them (locks, barriers, wait and notify do it, too) will be right under both. */
void scifs_acquire(void);
void scifs_release(void);

/* ---- Waiting for each other ---- */

/* Waits until `parties` threads, anywhere in the cluster, have called it with this name (1 to 63 bytes). Returns 1 in one of them and 0 in the others. The name
 * may be used again at once. EINVAL if the parties don't agree on their number. The cluster is that of the first file that this process
 * has mapped, else of the mount that the environment variable SCIFS_MOUNT names, else of the only mount of this machine. */
int scifs_barrier(const char *name, uint32_t parties);

/* Sleeps until somebody on any node calls scifs_notify for the same word of the file, if the word (width: 4 or 8 bytes, aligned) has the value
 * `expected`: like a futex, with no moment in between in which a notification could be lost. 0: woken (look at the word again: somebody else
 * may have been faster); EAGAIN: it has another value; ETIMEDOUT: nobody has notified within timeout_ns; SCIFS_FOREVER waits for ever. */
int scifs_wait(const void *address, uint64_t expected, size_t width, int64_t timeout_ns);

/* Wakes so many of those who wait for that word, at most. Returns how many. */
int scifs_notify(const void *address, uint32_t count);

/* ---- The rest ---- */

/* Has the pages of the range brought to this node, SCIFS_WRITE: to be stored to. Advice: it doesn't wait, and they may be taken away again. */
int scifs_prefetch(const void *address, size_t length, int mode);

/* The node of the mount that scifs_barrier would choose. Counters are those of the whole node since it started. */
struct scifs_stats {
    uint32_t node;           /* its number in the cluster */
    uint32_t nodes;          /* how many there are */
    uint32_t attached;       /* programs that share memory with it */
    uint32_t reserved;
    uint64_t faults;         /* page faults of programs */
    uint64_t faults_remote;  /* those that another node had to be asked for */
    uint64_t pages_received;
    uint64_t pages_sent;
    uint64_t pages_revoked;
    uint64_t memory_used;    /* bytes */
    uint64_t memory_budget;
};
int scifs_stats(struct scifs_stats *stats);

/* The number of that node, which no other member has or had, and how many members there are now. Numbers have gaps. */
int scifs_node_id(void);
int scifs_node_count(void);

/* A sentence that says what went wrong and what to do. For the errno of this thread's last failed call it names the file or address; for others
 * it says what the number means. The text stays until this thread calls scifs_strerror or scifs_how again. */
const char *scifs_strerror(int error);

#ifdef __cplusplus
}
#endif

#endif
