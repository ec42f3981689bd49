/* System calls on memory that is shared with another node: FILE-ON-ONE-NODE FILE-ON-ANOTHER PLAIN-FILE
 *
 * Both files are the same, of 1 MiB. Before each call, the pages that it will touch are stored to through the second mapping, so none of them is here. After it, what
 * the call has stored is looked at from there. Prints a line each: the call, and ok, an errno by name, or what is wrong. A call that hangs ends
 * the program by SIGALRM. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
#define PAGES 4
#define BYTES (PAGE * PAGES)
#define HANG_SECONDS 20

static unsigned char *here, *there;
static int file, plain_file;
static off_t place; /* of the pages of this call, the same in both */

static unsigned char *a(void) { return here + place; }
static unsigned char *b(void) { return there + place; }

static void *map(const char *path) {
    int fd = open(path, O_RDWR);
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) { perror(path); exit(1); }
    close(fd);
    return at;
}

static int is(const unsigned char *bytes, unsigned char value, size_t count) {
    for (size_t at = 0; at < count; at++) if (bytes[at] != value) return 0;
    return 1;
}

/* Pages that this node doesn't have, with that value in them. */
static void elsewhere(unsigned char value) {
    static int turn;
    place = (off_t)(turn++ % 48) * BYTES;
    memset(b(), value, BYTES);
}

static const char *failed(void) { return strerrorname_np(errno); }
static const char *unless(int right) { return right ? "ok" : "wrong bytes"; }

/* -- into the memory -- */

static const char *read_into(void) {
    elsewhere(1);
    unsigned char bytes[BYTES];
    memset(bytes, 2, BYTES);
    if (pwrite(plain_file, bytes, BYTES, 0) != BYTES) return "setup";
    if (pread(plain_file, a(), BYTES, 0) != BYTES) return failed();
    return unless(is(b(), 2, BYTES));
}

static const char *direct_into(void) {
    elsewhere(1);
    unsigned char bytes[BYTES];
    memset(bytes, 3, BYTES);
    if (pwrite(plain_file, bytes, BYTES, 0) != BYTES || fsync(plain_file) < 0) return "setup";
    fcntl(plain_file, F_SETFL, O_DIRECT);
    ssize_t got = pread(plain_file, a(), BYTES, 0);
    int error = errno;
    fcntl(plain_file, F_SETFL, 0);
    errno = error;
    if (got != BYTES) return failed();
    return unless(is(b(), 3, BYTES));
}

static const char *read_of_a_mount_into(void) {
    elsewhere(1);
    unsigned char bytes[BYTES];
    memset(bytes, 4, BYTES);
    off_t other = (1 << 20) - BYTES;
    if (pwrite(file, bytes, BYTES, other) != BYTES) return "setup";
    if (pread(file, a(), BYTES, other) != BYTES) return failed();
    return unless(is(b(), 4, BYTES));
}

static const char *receive_into(void) {
    elsewhere(1);
    int pair[2];
    unsigned char bytes[BYTES];
    memset(bytes, 5, BYTES);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0 || write(pair[0], bytes, BYTES) != BYTES) return "setup";
    ssize_t got = recv(pair[1], a(), BYTES, MSG_WAITALL);
    const char *result = got == BYTES ? unless(is(b(), 5, BYTES)) : failed();
    close(pair[0]), close(pair[1]);
    return result;
}

static const char *stat_into(void) {
    elsewhere(1);
    if (fstat(plain_file, (struct stat *)(a() + PAGE)) < 0) return failed();
    return unless(((struct stat *)(b() + PAGE))->st_size >= BYTES);
}

static const char *clock_into(void) {
    elsewhere(0);
    if (syscall(SYS_clock_gettime, CLOCK_MONOTONIC, a() + PAGE - 8) < 0) return failed();
    return unless(!is(b() + PAGE - 8, 0, 16));
}

static const char *process_read_into(void) {
    elsewhere(1);
    unsigned char bytes[BYTES];
    memset(bytes, 6, BYTES);
    struct iovec local = {a(), BYTES}, remote = {bytes, BYTES};
    if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) != BYTES) return failed();
    return unless(is(b(), 6, BYTES));
}

/* -- from the memory -- */

static const char *written(ssize_t count) {
    unsigned char bytes[BYTES];
    if (count != BYTES) return failed();
    if (pread(plain_file, bytes, BYTES, 0) != BYTES) return "setup";
    return unless(is(bytes, 7, BYTES));
}

static const char *write_from(void) {
    elsewhere(7);
    return written(pwrite(plain_file, a(), BYTES, 0));
}

static const char *direct_from(void) {
    elsewhere(7);
    fcntl(plain_file, F_SETFL, O_DIRECT);
    ssize_t count = pwrite(plain_file, a(), BYTES, 0);
    int error = errno;
    fcntl(plain_file, F_SETFL, 0);
    errno = error;
    return written(count);
}

static const char *write_to_a_mount_from(void) {
    elsewhere(8);
    off_t other = (1 << 20) - BYTES;
    if (pwrite(file, a(), BYTES, other) != BYTES) return failed();
    return unless(is(there + other, 8, BYTES));
}

static const char *write_to_itself_from(void) {
    elsewhere(9);
    if (pwrite(file, a(), BYTES, place + 100) != BYTES) return failed();
    return unless(is(b(), 9, BYTES));
}

static const char *send_from(void) {
    elsewhere(10);
    int pair[2];
    unsigned char bytes[BYTES];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) return "setup";
    ssize_t sent = send(pair[0], a(), BYTES, 0);
    const char *result = failed();
    if (sent == BYTES) result = recv(pair[1], bytes, BYTES, MSG_WAITALL) == BYTES ? unless(is(bytes, 10, BYTES)) : "setup";
    close(pair[0]), close(pair[1]);
    return result;
}

static const char *vmsplice_from(void) {
    elsewhere(11);
    int pipes[2];
    unsigned char bytes[BYTES];
    struct iovec from = {a(), BYTES};
    if (pipe(pipes) < 0) return "setup";
    ssize_t sent = vmsplice(pipes[1], &from, 1, 0);
    const char *result = failed();
    if (sent == BYTES) result = read(pipes[0], bytes, BYTES) == BYTES ? unless(is(bytes, 11, BYTES)) : "setup";
    close(pipes[0]), close(pipes[1]);
    return result;
}

static const char *path_from(void) {
    elsewhere(0);
    strcpy((char *)b() + PAGE - 2, "/tmp");
    struct stat about;
    return stat((char *)a() + PAGE - 2, &about) < 0 ? failed() : "ok";
}

static const char *process_write_from_child(void) {
    elsewhere(12);
    unsigned char bytes[BYTES] = {0};
    pid_t child = fork();
    if (child == 0) { pause(); _exit(0); }
    struct iovec local = {bytes, BYTES}, remote = {a(), BYTES};
    ssize_t got = process_vm_readv(child, &local, 1, &remote, 1, 0);
    const char *result = got == BYTES ? unless(is(bytes, 12, BYTES)) : failed();
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    return result;
}

/* -- futex -- */

static int futex(void *word, int operation, uint32_t value, const struct timespec *timeout) {
    return (int)syscall(SYS_futex, word, operation, value, timeout, NULL, 0);
}

static const char *futex_value(void) {
    elsewhere(13);
    struct timespec none = {0, 0};
    if (futex(a(), FUTEX_WAIT, 0, &none) == 0 || errno != EAGAIN) return failed();
    if (futex(a(), FUTEX_WAIT, 0x0d0d0d0d, &none) == 0 || errno != ETIMEDOUT) return failed();
    return "ok";
}

static void *sleeper(void *result) {
    struct timespec at_most = {5, 0};
    *(int *)result = futex(a(), FUTEX_WAIT, 0, &at_most) < 0 ? errno : 0;
    return NULL;
}

/* Who waits at one mapping, woken at the other. Waits for a second at most. */
static const char *woken(void *word) {
    pthread_t thread;
    int result = -1, woken = 0;
    struct timespec pause = {0, 10 * 1000 * 1000};
    pthread_create(&thread, NULL, sleeper, &result);
    for (int round = 0; round < 100 && !woken; round++) {
        nanosleep(&pause, NULL);
        woken = futex(word, FUTEX_WAKE, 1, NULL) == 1;
    }
    if (!woken) futex(a(), FUTEX_WAKE, 1, NULL);
    pthread_join(thread, NULL);
    return woken ? "ok" : "not woken";
}

static const char *futex_here(void) {
    elsewhere(0);
    return woken(a());
}

static const char *futex_other_node(void) {
    elsewhere(0);
    return woken(b());
}

static const char *futex_child(void) {
    elsewhere(0);
    pid_t child = fork();
    if (child == 0) {
        int result;
        sleeper(&result);
        _exit(result);
    }
    struct timespec pause = {0, 10 * 1000 * 1000};
    int status = 0, ended = 0;
    for (int round = 0; round < 600 && !ended; round++) {
        nanosleep(&pause, NULL);
        futex(a(), FUTEX_WAKE, 1, NULL);
        ended = waitpid(child, &status, WNOHANG) == child;
    }
    return ended && status == 0 ? "ok" : "not woken";
}

/* -- io_uring -- */

static int ring = -1;
static struct io_uring_params params;
static unsigned char *submissions, *completions;
static struct io_uring_sqe *entries;

static int ring_open(void) {
    if (ring >= 0) return 0;
    ring = (int)syscall(SYS_io_uring_setup, 4, &params);
    if (ring < 0) return -1;
    submissions = mmap(NULL, params.sq_off.array + params.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING);
    completions = mmap(NULL, params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_CQ_RING);
    entries = mmap(NULL, params.sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQES);
    return submissions == MAP_FAILED || completions == MAP_FAILED || (void *)entries == MAP_FAILED ? -1 : 0;
}

static int ring_do(int operation, void *bytes) {
    uint32_t *tail = (uint32_t *)(submissions + params.sq_off.tail), mask = *(uint32_t *)(submissions + params.sq_off.ring_mask);
    uint32_t slot = *tail & mask;
    memset(&entries[slot], 0, sizeof entries[slot]);
    entries[slot].opcode = (uint8_t)operation;
    entries[slot].fd = plain_file;
    entries[slot].addr = (uintptr_t)bytes;
    entries[slot].len = BYTES;
    ((uint32_t *)(submissions + params.sq_off.array))[slot] = slot;
    __atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
    if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0) return -errno;
    uint32_t *head = (uint32_t *)(completions + params.cq_off.head), cq_mask = *(uint32_t *)(completions + params.cq_off.ring_mask);
    int result = ((struct io_uring_cqe *)(completions + params.cq_off.cqes))[*head & cq_mask].res;
    __atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
    return result;
}

static const char *ring_result(int result) {
    if (result >= 0) return "short";
    errno = -result;
    return failed();
}

static const char *ring_write(void) {
    elsewhere(7);
    if (ring_open() < 0) return failed();
    int result = ring_do(IORING_OP_WRITE, a());
    return result == BYTES ? written(result) : ring_result(result);
}

static const char *ring_read(void) {
    elsewhere(1);
    unsigned char bytes[BYTES];
    memset(bytes, 14, BYTES);
    if (ring_open() < 0) return failed();
    if (pwrite(plain_file, bytes, BYTES, 0) != BYTES) return "setup";
    int result = ring_do(IORING_OP_READ, a());
    return result == BYTES ? unless(is(b(), 14, BYTES)) : ring_result(result);
}

/* Registered once, then used while nobody else touches the pages, and after somebody else has. */
static const char *ring_registered(int revoked) {
    elsewhere(1);
    unsigned char bytes[BYTES];
    memset(bytes, 15, BYTES);
    struct iovec buffer = {a(), BYTES};
    if (ring_open() < 0) return failed();
    if (pwrite(plain_file, bytes, BYTES, 0) != BYTES) return "setup";
    if (syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &buffer, 1) < 0) return failed();
    if (revoked) memset(b(), 2, BYTES);
    int result = ring_do(IORING_OP_READ_FIXED, a());
    const char *said = result == BYTES ? unless(is(b(), 15, BYTES)) : ring_result(result);
    syscall(SYS_io_uring_register, ring, IORING_UNREGISTER_BUFFERS, NULL, 0);
    return said;
}

static const char *ring_registered_kept(void) { return ring_registered(0); }
static const char *ring_registered_revoked(void) { return ring_registered(1); }

/* -- about the memory -- */

static const char *locked_in(void) {
    elsewhere(16);
    if (mlock(a(), BYTES) < 0) return failed();
    memset(b(), 17, BYTES);
    const char *said = unless(is(a(), 17, BYTES));
    munlock(a(), BYTES);
    return said;
}

static const char *advised(int advice) {
    elsewhere(18);
    if (!is(a(), 18, BYTES)) return "wrong bytes before";
    a()[0] = 19;
    if (madvise(a(), BYTES, advice) < 0) return failed();
    return unless(a()[0] == 19 && is(a() + 1, 18, BYTES - 1) && b()[0] == 19);
}

static const char *dont_need(void) { return advised(MADV_DONTNEED); }
static const char *will_need(void) { return advised(MADV_WILLNEED); }
static const char *populate_read(void) { return advised(MADV_POPULATE_READ); }
static const char *populate_write(void) { return advised(MADV_POPULATE_WRITE); }
static const char *cold(void) { return advised(MADV_COLD); }
static const char *page_out(void) { return advised(MADV_PAGEOUT); }

static const char *removed(void) {
    elsewhere(20);
    if (madvise(a(), BYTES, MADV_REMOVE) < 0) return failed();
    return unless(is(a(), 0, BYTES) && is(b(), 0, BYTES));
}

static const char *synced(void) {
    elsewhere(21);
    a()[5] = 22;
    if (msync(a(), BYTES, MS_SYNC) < 0) return failed();
    return unless(b()[5] == 22);
}

static const char *in_core(void) {
    elsewhere(23);
    unsigned char vector[PAGES];
    return mincore(a(), BYTES, vector) < 0 ? failed() : "ok";
}

static const char *protected_and_back(void) {
    elsewhere(24);
    if (mprotect(a(), BYTES, PROT_NONE) < 0 || mprotect(a(), BYTES, PROT_READ) < 0) return failed();
    if (!is(a(), 24, BYTES)) return "wrong bytes";
    if (mprotect(a(), BYTES, PROT_READ | PROT_WRITE) < 0) return failed();
    memset(a(), 25, BYTES);
    memset(b(), 26, 10);
    return unless(is(a(), 26, 10) && is(b() + 10, 25, BYTES - 10));
}

static const char *moved(void) {
    elsewhere(27);
    unsigned char *room = mmap(NULL, BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned char *at = mremap(a(), BYTES, BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, room);
    if (at == MAP_FAILED) return failed();
    int right = is(at, 27, BYTES);
    memset(at, 28, BYTES);
    right = right && is(b(), 28, BYTES);
    memset(b(), 29, BYTES);
    return unless(right && is(at, 29, BYTES) && munmap(at, BYTES) == 0);
}

static const char *forked(void) {
    elsewhere(30);
    pid_t child = fork();
    if (child == 0) {
        int right = is(a(), 30, BYTES);
        memset(a(), 31, BYTES);
        _exit(right ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    return unless(status == 0 && is(b(), 31, BYTES) && is(a(), 31, BYTES));
}

static const char *vforked(void) {
    elsewhere(32);
    pid_t child = vfork();
    if (child == 0) {
        a()[0] = 33;
        execlp("true", "true", NULL);
        _exit(1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    return unless(status == 0 && a()[0] == 33 && b()[0] == 33 && is(b() + 1, 32, BYTES - 1));
}

static const struct {
    const char *name;
    const char *(*call)(void);
} calls[] = {
    {"read", read_into}, {"read with O_DIRECT", direct_into}, {"read of the same mount", read_of_a_mount_into}, {"recv", receive_into},
    {"fstat", stat_into}, {"clock_gettime across two pages", clock_into}, {"process_vm_readv", process_read_into}, {"write", write_from},
    {"write with O_DIRECT", direct_from}, {"write to the same mount", write_to_a_mount_from}, {"write to the same pages", write_to_itself_from}, {"send", send_from},
    {"vmsplice", vmsplice_from}, {"stat of a path there", path_from}, {"process_vm_readv of a child", process_write_from_child}, {"futex value", futex_value},
    {"futex of a thread", futex_here}, {"futex of a child", futex_child}, {"futex across nodes", futex_other_node}, {"io_uring write", ring_write},
    {"io_uring read", ring_read}, {"io_uring registered", ring_registered_kept}, {"io_uring registered, page revoked", ring_registered_revoked}, {"mlock", locked_in},
    {"MADV_DONTNEED", dont_need}, {"MADV_WILLNEED", will_need}, {"MADV_POPULATE_READ", populate_read}, {"MADV_POPULATE_WRITE", populate_write},
    {"MADV_COLD", cold}, {"MADV_PAGEOUT", page_out}, {"MADV_REMOVE", removed}, {"msync", synced}, {"mincore", in_core}, {"mprotect", protected_and_back},
    {"mremap", moved}, {"fork", forked}, {"vfork", vforked},
};

int main(int argc, char **argv) {
    if (argc < 4) return 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    here = map(argv[1]), there = map(argv[2]);
    file = open(argv[1], O_RDWR);
    plain_file = open(argv[3], O_RDWR | O_CREAT, 0600);
    if (file < 0 || plain_file < 0 || ftruncate(plain_file, BYTES) < 0) { perror("open"); return 1; }
    for (size_t at = 0; at < sizeof calls / sizeof *calls; at++) {
        if (argc > 4 && strcmp(argv[4], calls[at].name)) continue;
        printf("%s: ", calls[at].name);
        fflush(stdout);
        alarm(HANG_SECONDS);
        printf("%s\n", calls[at].call());
        fflush(stdout);
    }
    return 0;
}
