/* sl_baseline: the yardstick. The least a server can do to bring bytes from a socket to a disk: recv() straight into
 * aligned, registered 1 MiB buffers, O_DIRECT writes by io_uring, eight in flight. One thread, one upload at a time,
 * no checksum, no sync, no HTTP beyond Content-Length. What sluice costs more than this, its features cost.
 *
 * usage: sl_baseline DIR [--depth N] [--no-fallocate] [--no-defer-taskrun]
 * Prints its URL, then serves until it is killed; exit 77 when io_uring or O_DIRECT is not to be had. */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_BYTES (1u << 20)
#define BLOCK_BYTES  4096u
#define DEPTH_MAX    32
#define HEAD_MAX     4096
#define UNAVAILABLE  77

static const char answer[] = "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";

static struct {
    /* fixed after start */
    const char *dir;
    unsigned depth;
    bool allocates, defers;
    struct io_uring ring;
    int epoll_fd, event_fd, listen_fd;
    char *memory; /* depth buffers */
    /* the upload */
    int conn, file;
    uint32_t interest;
    unsigned uploads;
    uint64_t left;         /* body bytes still to come */
    uint64_t size, offset; /* of the next write */
    unsigned free[DEPTH_MAX], free_count;
    int filling; /* a buffer, -1: none */
    size_t filled;
    char head[HEAD_MAX + 1];
    size_t head_len;
} s = {.depth = 8, .allocates = true, .defers = true, .conn = -1, .file = -1, .filling = -1};

static void die(const char *what, int error, int status)
{
    fprintf(stderr, "sl_baseline: %s: %s\n", what, strerror(error));
    exit(status);
}

static void watch(int fd, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(s.epoll_fd, operation, fd, &event) != 0)
        die("epoll_ctl", errno, 1);
}

/* Reads on while there is a buffer to read into, else the client waits. */
static void watch_conn(bool wants_input)
{
    uint32_t interest = wants_input ? EPOLLIN : 0;
    if (interest != s.interest)
        watch(s.conn, EPOLL_CTL_MOD, interest);
    s.interest = interest;
}

/* On huge pages where the kernel has some, as sluice's slabs are. */
static char *map_buffers(size_t bytes)
{
    const size_t huge = (size_t)2 << 20;
    char *mapping = mmap(NULL, bytes + huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED)
        die("mmap", errno, 1);
    char *memory = (char *)(((uintptr_t)mapping + huge - 1) & ~(huge - 1));
    (void)madvise(memory, bytes, MADV_HUGEPAGE);
    memset(memory, 0, bytes);
    return memory;
}

static void start_ring(void)
{
    unsigned flags = s.defers ? IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN : 0;
    int error = io_uring_queue_init(DEPTH_MAX * 2, &s.ring, flags);
    if (error < 0)
        die("io_uring", -error, UNAVAILABLE);
    s.memory = map_buffers(s.depth * (size_t)BUFFER_BYTES);
    struct iovec buffers[DEPTH_MAX];
    for (unsigned i = 0; i < s.depth; i++) {
        buffers[i] = (struct iovec){s.memory + i * (size_t)BUFFER_BYTES, BUFFER_BYTES};
        s.free[s.free_count++] = i;
    }
    if ((error = io_uring_register_buffers(&s.ring, buffers, s.depth)) < 0)
        die("registered buffers (RLIMIT_MEMLOCK?)", -error, UNAVAILABLE);
    /* The ring's own fd in epoll is never woken with DEFER_TASKRUN; an eventfd is. */
    s.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s.event_fd < 0 || (error = io_uring_register_eventfd(&s.ring, s.event_fd)) < 0)
        die("eventfd", errno, 1);
    watch(s.event_fd, EPOLL_CTL_ADD, EPOLLIN);
}

static void start_listening(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    s.listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s.listen_fd < 0 || bind(s.listen_fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(s.listen_fd, 64) != 0 || getsockname(s.listen_fd, (struct sockaddr *)&address, &bytes) != 0)
        die("listen", errno, 1);
    watch(s.listen_fd, EPOLL_CTL_ADD, EPOLLIN);
    printf("http://127.0.0.1:%u\n", ntohs(address.sin_port));
    fflush(stdout);
}

static void on_accept(void)
{
    s.conn = accept4(s.listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (s.conn < 0)
        return;
    watch(s.listen_fd, EPOLL_CTL_MOD, 0);
    watch(s.conn, EPOLL_CTL_ADD, s.interest = EPOLLIN);
    s.head_len = 0;
}

static bool is_writing(void)
{
    return s.free_count + (s.filling >= 0) < s.depth;
}

static void close_file(void)
{
    close(s.file);
    s.file = -1;
}

/* The client has gone. Writes in flight end first: their buffers must not serve the next upload before. */
static void hang_up(void)
{
    struct io_uring_cqe *cqe;
    if (s.filling >= 0)
        s.free[s.free_count++] = (unsigned)s.filling;
    s.filling = -1;
    while (is_writing() && io_uring_wait_cqe(&s.ring, &cqe) == 0) {
        s.free[s.free_count++] = (unsigned)io_uring_cqe_get_data64(cqe);
        io_uring_cqe_seen(&s.ring, cqe);
    }
    if (s.file >= 0)
        close_file();
    close(s.conn);
    s.conn = -1;
    watch(s.listen_fd, EPOLL_CTL_MOD, EPOLLIN);
}

static bool open_file(void)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/upload-%u", s.dir, s.uploads++);
    s.file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_DIRECT, 0644);
    if (s.file < 0 && errno == EINVAL)
        die("O_DIRECT", errno, UNAVAILABLE);
    if (s.file < 0)
        return false;
    uint64_t blocks = (s.size + BLOCK_BYTES - 1) / BLOCK_BYTES;
    return !s.allocates || s.size == 0 || fallocate(s.file, 0, 0, (off_t)(blocks * BLOCK_BYTES)) == 0;
}

static void write_buffer(void)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&s.ring);
    assert(sqe != NULL && s.filling >= 0);
    char *base = s.memory + (unsigned)s.filling * (size_t)BUFFER_BYTES;
    unsigned len = ((unsigned)s.filled + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
    memset(base + s.filled, 0, len - s.filled);
    io_uring_prep_write_fixed(sqe, s.file, base, len, s.offset, s.filling);
    io_uring_sqe_set_data64(sqe, (unsigned)s.filling);
    io_uring_submit(&s.ring);
    s.offset += s.filled;
    s.filling = -1;
    s.filled = 0;
}

/* The body is complete and written. */
static bool finish_upload(void)
{
    bool good = s.size % BLOCK_BYTES == 0 || ftruncate(s.file, (off_t)s.size) == 0;
    close_file();
    s.head_len = 0;
    watch_conn(true);
    return good && send(s.conn, answer, sizeof answer - 1, MSG_NOSIGNAL) == (ssize_t)sizeof answer - 1;
}

static bool on_body(void)
{
    while (s.left > 0) {
        if (s.filling < 0 && s.free_count == 0) {
            watch_conn(false);
            return true;
        }
        if (s.filling < 0)
            s.filling = (int)s.free[--s.free_count];
        size_t room = BUFFER_BYTES - s.filled;
        char *to = s.memory + (unsigned)s.filling * (size_t)BUFFER_BYTES + s.filled;
        ssize_t n = recv(s.conn, to, s.left < room ? s.left : room, 0);
        if (n <= 0)
            return n < 0 && errno == EAGAIN;
        s.filled += (size_t)n;
        s.left -= (size_t)n;
        if (s.filled == BUFFER_BYTES || s.left == 0)
            write_buffer();
    }
    return is_writing() || finish_upload();
}

static bool on_head(void)
{
    ssize_t n = recv(s.conn, s.head + s.head_len, HEAD_MAX - s.head_len, 0);
    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    s.head_len += (size_t)n;
    s.head[s.head_len] = '\0';
    char *end = memmem(s.head, s.head_len, "\r\n\r\n", 4);
    char *length = strcasestr(s.head, "\r\nContent-Length:");
    if (end == NULL)
        return s.head_len < HEAD_MAX;
    size_t rest = s.head_len - (size_t)(end + 4 - s.head);
    s.size = length != NULL && length < end ? strtoull(length + 17, NULL, 10) : 0;
    if (rest > s.size || !open_file())
        return false;
    /* The first bytes of the body came with the head: the only ones that are copied. */
    s.left = s.size - rest;
    s.offset = 0;
    s.filled = rest;
    if (rest > 0) {
        s.filling = (int)s.free[--s.free_count];
        memcpy(s.memory + (unsigned)s.filling * (size_t)BUFFER_BYTES, end + 4, rest);
        if (s.left == 0)
            write_buffer();
    }
    return on_body();
}

static bool on_written(void)
{
    struct io_uring_cqe *cqe;
    uint64_t count;
    bool good = true;
    (void)!read(s.event_fd, &count, sizeof count);
    if (s.defers)
        io_uring_get_events(&s.ring);
    while (io_uring_peek_cqe(&s.ring, &cqe) == 0) {
        good &= cqe->res > 0 && cqe->res % (int)BLOCK_BYTES == 0;
        s.free[s.free_count++] = (unsigned)io_uring_cqe_get_data64(cqe);
        io_uring_cqe_seen(&s.ring, cqe);
    }
    if (s.conn < 0 || s.file < 0)
        return true;
    watch_conn(true);
    return good && (s.left > 0 || is_writing() || finish_upload());
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--no-fallocate") == 0)
            s.allocates = false;
        else if (strcmp(argv[i], "--no-defer-taskrun") == 0)
            s.defers = false;
        else if (strcmp(argv[i], "--depth") == 0 && i + 1 < argc)
            s.depth = (unsigned)strtoul(argv[++i], NULL, 10);
        else
            s.dir = argv[i];
    if (s.dir == NULL || s.depth < 1 || s.depth > DEPTH_MAX)
        die("usage: sl_baseline DIR [--depth N] [--no-fallocate] [--no-defer-taskrun]", EINVAL, 2);
    s.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    start_ring();
    start_listening();
    for (;;) {
        struct epoll_event events[3];
        int n = epoll_wait(s.epoll_fd, events, 3, -1);
        for (int i = 0; i < n; i++) {
            bool good = true;
            if (events[i].data.fd == s.listen_fd)
                on_accept();
            else if (events[i].data.fd == s.event_fd)
                good = on_written();
            else if (events[i].data.fd == s.conn)
                good = s.file >= 0 ? on_body() : on_head();
            if (!good)
                hang_up();
        }
    }
}
