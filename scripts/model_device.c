/* A disk of known behaviour: a file system of its own (FUSE) with one file, `disk`, whose requests take the time that a model
 * device takes. A loop device with direct I/O on it is a block device with known channels, service times, seeks, bandwidth and
 * cost of a flush, whatever the machine's own disks do.
 *
 *     model_device DIRECTORY MEBIBYTES [KEY=NUMBER ...]
 *
 *     channels    requests that are served at the same time (1)
 *     read_us     service time of a read, us (0)
 *     write_us    service time of a write, us (0)
 *     seek_us     added when a request does not begin where the one before it ended (0)
 *     flush_us    what a flush takes once everything before it is done (0)
 *     mb_s        bandwidth of a channel, MB/s (0: without limit)
 *
 * The file `control` beside it takes `on` and `off`: without delays file systems and trees are made at the speed of memory. It
 * begins without. Read, it tells what was done since `on`: reads writes flushes seeks read_bytes written_bytes depth (the mean
 * number of requests under way when one came in, itself included).
 *
 * Contents are in memory; what is discarded is given back. It ends when it is unmounted, or by SIGTERM. */
#define FUSE_USE_VERSION 314
#define _GNU_SOURCE
#include <errno.h>
#include <fuse3/fuse_lowlevel.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define CHANNELS_MAX 1024
#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

enum { TOP = FUSE_ROOT_ID, DISK, CONTROL };
static const char *const names[] = {[DISK] = "disk", [CONTROL] = "control"};

static struct {
    unsigned channels;
    double read_us, write_us, seek_us, flush_us, mb_s;
} model = {.channels = 1};

enum kind { READ, WRITE, FLUSH };

/* A request that is under way: it is answered at `due`; of two that are due at the same time the older one first. */
struct request {
    int64_t due;
    uint64_t number;
    fuse_req_t fuse;
    enum kind kind;
    off_t at;
    size_t length;
};

/* All below is under `lock`. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t earlier; /* the earliest request is another one */
static char *disk;
static size_t size;
static int delays;
static struct request *heap;
static size_t waiting, room;
static uint64_t numbers;
static int64_t channel_free[CHANNELS_MAX]; /* when each channel has done all that was given to it */
static int64_t all_done;
static off_t head;
static struct {
    uint64_t count[3], bytes[3], seeks, depth;
} done;

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static int before(const struct request *a, const struct request *b)
{
    return a->due != b->due ? a->due < b->due : a->number < b->number;
}

static int push(struct request request)
{
    if (waiting == room) {
        size_t more = room ? 2 * room : 256;
        struct request *larger = realloc(heap, more * sizeof *heap);
        if (!larger)
            return 0;
        heap = larger, room = more;
    }
    size_t i = waiting++;
    for (; i && before(&request, &heap[(i - 1) / 2]); i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = request;
    return 1;
}

static struct request pop(void)
{
    struct request first = heap[0], last = heap[--waiting];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < waiting; i = child) {
        if (child + 1 < waiting && before(&heap[child + 1], &heap[child]))
            child++;
        if (!before(&heap[child], &last))
            break;
        heap[i] = heap[child];
    }
    heap[i] = last;
    return first;
}

static void answer(const struct request *request)
{
    switch (request->kind) {
    case READ: fuse_reply_buf(request->fuse, disk + request->at, request->length); break;
    case WRITE: fuse_reply_write(request->fuse, request->length); break;
    case FLUSH: fuse_reply_err(request->fuse, 0); break;
    }
}

/* When the model device has done a request that comes now. */
static int64_t due(const struct request *request)
{
    int64_t time = now(), service;
    if (request->kind == FLUSH)
        return (all_done > time ? all_done : time) + (int64_t)(model.flush_us * 1e3);
    unsigned channel = 0;
    for (unsigned i = 1; i < model.channels; i++)
        if (channel_free[i] < channel_free[channel])
            channel = i;
    double us = request->kind == READ ? model.read_us : model.write_us;
    if (model.mb_s > 0)
        us += request->length / model.mb_s; /* a byte at one MB/s takes one us */
    if (request->at != head)
        us += model.seek_us, done.seeks++;
    head = request->at + request->length;
    service = (int64_t)(us * 1e3);
    return channel_free[channel] = (channel_free[channel] > time ? channel_free[channel] : time) + service;
}

static void begin(struct request request)
{
    pthread_mutex_lock(&lock);
    if (!delays) {
        pthread_mutex_unlock(&lock);
        answer(&request);
        return;
    }
    request.due = due(&request);
    request.number = numbers++;
    if (request.due > all_done)
        all_done = request.due;
    int first = !waiting || before(&request, &heap[0]), kept = push(request);
    done.count[request.kind]++;
    done.bytes[request.kind] += request.length;
    done.depth += waiting;
    if (first)
        pthread_cond_signal(&earlier);
    pthread_mutex_unlock(&lock);
    if (!kept)
        fuse_reply_err(request.fuse, ENOMEM);
}

static void punctual(int priority)
{
    struct sched_param real = {.sched_priority = priority};
    prctl(PR_SET_TIMERSLACK, 1UL);
    pthread_setschedparam(pthread_self(), SCHED_FIFO, &real); /* where that is allowed */
}

static void *answers(void *unused)
{
    punctual(50);
    pthread_mutex_lock(&lock);
    for (;;) {
        if (!waiting) {
            pthread_cond_wait(&earlier, &lock);
        } else if (heap[0].due > now()) {
            struct timespec until = {heap[0].due / 1000000000, heap[0].due % 1000000000};
            pthread_cond_timedwait(&earlier, &lock, &until);
        } else {
            struct request request = pop();
            pthread_mutex_unlock(&lock);
            answer(&request);
            pthread_mutex_lock(&lock);
        }
    }
    return unused;
}

static struct stat stat_of(fuse_ino_t inode)
{
    struct stat stat = {.st_ino = inode, .st_nlink = 1, .st_mode = S_IFREG | 0600, .st_blksize = 4096};
    if (inode == TOP)
        stat.st_mode = S_IFDIR | 0700, stat.st_nlink = 2;
    if (inode == DISK)
        stat.st_size = size, stat.st_blocks = size / 512;
    return stat;
}

static void on_init(void *data, struct fuse_conn_info *connection)
{
    (void)data;
    connection->max_background = connection->congestion_threshold = CHANNELS_MAX;
    connection->max_write = 1 << 20;
    connection->want |= connection->capable & FUSE_CAP_ASYNC_DIO;
    connection->want &= ~FUSE_CAP_SPLICE_READ;
}

static void on_getattr(fuse_req_t fuse, fuse_ino_t inode, struct fuse_file_info *file)
{
    (void)file;
    struct stat stat = stat_of(inode);
    fuse_reply_attr(fuse, &stat, 1e6);
}

static void on_setattr(fuse_req_t fuse, fuse_ino_t inode, struct stat *set, int what, struct fuse_file_info *file)
{
    (void)set, (void)what;
    on_getattr(fuse, inode, file);
}

static void on_lookup(fuse_req_t fuse, fuse_ino_t parent, const char *name)
{
    for (fuse_ino_t inode = DISK; inode <= CONTROL; inode++)
        if (parent == TOP && !strcmp(name, names[inode])) {
            struct fuse_entry_param found = {.ino = inode, .attr = stat_of(inode), .attr_timeout = 1e6, .entry_timeout = 1e6};
            fuse_reply_entry(fuse, &found);
            return;
        }
    fuse_reply_err(fuse, ENOENT);
}

static void on_open(fuse_req_t fuse, fuse_ino_t inode, struct fuse_file_info *file)
{
    (void)inode;
    file->direct_io = 1;
    fuse_reply_open(fuse, file);
}

static void on_read(fuse_req_t fuse, fuse_ino_t inode, size_t length, off_t at, struct fuse_file_info *file)
{
    (void)file;
    if (inode == CONTROL) {
        char text[256];
        pthread_mutex_lock(&lock);
        uint64_t all = done.count[READ] + done.count[WRITE] + done.count[FLUSH];
        int used = snprintf(text, sizeof text, "%lu %lu %lu %lu %lu %lu %.2f\n", done.count[READ], done.count[WRITE], done.count[FLUSH],
            done.seeks, done.bytes[READ], done.bytes[WRITE], all ? (double)done.depth / all : 0.0);
        pthread_mutex_unlock(&lock);
        fuse_reply_buf(fuse, text + (at < used ? at : used), at < used ? used - at : 0);
    } else if ((size_t)at >= size) {
        fuse_reply_buf(fuse, NULL, 0);
    } else {
        begin((struct request){.fuse = fuse, .kind = READ, .at = at, .length = at + length > size ? size - at : length});
    }
}

static void on_write(fuse_req_t fuse, fuse_ino_t inode, const char *bytes, size_t length, off_t at, struct fuse_file_info *file)
{
    (void)file;
    if (inode == CONTROL) {
        pthread_mutex_lock(&lock);
        delays = length >= 2 && !memcmp(bytes, "on", 2);
        if (delays) {
            memset(&done, 0, sizeof done);
            memset(channel_free, 0, sizeof channel_free);
            all_done = 0, head = -1;
        }
        pthread_mutex_unlock(&lock);
        fuse_reply_write(fuse, length);
    } else if (at < 0 || (size_t)at > size || length > size - at) {
        fuse_reply_err(fuse, ENOSPC);
    } else {
        memcpy(disk + at, bytes, length);
        begin((struct request){.fuse = fuse, .kind = WRITE, .at = at, .length = length});
    }
}

static void on_fsync(fuse_req_t fuse, fuse_ino_t inode, int data_only, struct fuse_file_info *file)
{
    (void)inode, (void)data_only, (void)file;
    begin((struct request){.fuse = fuse, .kind = FLUSH});
}

/* A close, which the kernel may answer with an error that nobody hears. */
static void on_flush(fuse_req_t fuse, fuse_ino_t inode, struct fuse_file_info *file)
{
    (void)inode, (void)file;
    fuse_reply_err(fuse, 0);
}

/* A discard of the loop device is a hole that is punched: its pages are given back and read as zeroes. */
static void on_fallocate(fuse_req_t fuse, fuse_ino_t inode, int mode, off_t at, off_t length, struct fuse_file_info *file)
{
    (void)mode, (void)file;
    size_t first = ((size_t)at + 4095) & ~4095UL, end = ((size_t)at + length) & ~4095UL;
    if (inode == DISK && at >= 0 && length > 0 && end <= size && first < end)
        madvise(disk + first, end - first, MADV_DONTNEED);
    fuse_reply_err(fuse, 0);
}

static const struct fuse_lowlevel_ops operations = {
    .init = on_init, .lookup = on_lookup, .getattr = on_getattr, .setattr = on_setattr, .open = on_open,
    .read = on_read, .write = on_write, .fsync = on_fsync, .flush = on_flush, .fallocate = on_fallocate,
};

static int set(const char *word)
{
    static const struct {
        const char *key;
        double *number;
    } keys[] = {{"read_us=", &model.read_us}, {"write_us=", &model.write_us}, {"seek_us=", &model.seek_us},
        {"flush_us=", &model.flush_us}, {"mb_s=", &model.mb_s}};
    char *end;
    if (!strncmp(word, "channels=", 9)) {
        model.channels = strtoul(word + 9, &end, 10);
        return !*end && model.channels >= 1 && model.channels <= CHANNELS_MAX;
    }
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!strncmp(word, keys[i].key, strlen(keys[i].key))) {
            *keys[i].number = strtod(word + strlen(keys[i].key), &end);
            return !*end && *keys[i].number >= 0;
        }
    return 0;
}

int main(int count, char **words)
{
    size = count > 2 ? strtoull(words[2], NULL, 10) << 20 : 0;
    for (int i = 3; i < count; i++)
        if (!set(words[i]))
            size = 0;
    if (!size) {
        fprintf(stderr, "usage: model_device DIRECTORY MEBIBYTES [channels= read_us= write_us= seek_us= flush_us= mb_s=]\n");
        return 2;
    }
    disk = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (disk == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&earlier, &attributes);

    char *options[] = {words[0], "-odefault_permissions,fsname=model_device", NULL};
    struct fuse_args arguments = FUSE_ARGS_INIT(2, options);
    struct fuse_session *session = fuse_session_new(&arguments, &operations, sizeof operations, NULL);
    if (!session || fuse_set_signal_handlers(session) || fuse_session_mount(session, words[1]))
        return 1;
    /* What it needs memory for must not wait for its own disk. */
    prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
    pthread_t thread;
    if (pthread_create(&thread, NULL, answers, NULL))
        return 1;
    punctual(49);
    struct fuse_buf buffer = {0};
    while (!fuse_session_exited(session)) {
        int got = fuse_session_receive_buf(session, &buffer);
        if (got == -EINTR)
            continue;
        if (got <= 0)
            break;
        fuse_session_process_buf(session, &buffer);
    }
    fuse_session_unmount(session);
    return 0;
}
