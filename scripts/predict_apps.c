/* Small programs whose time on a device depends on one thing each. All their I/O is in DIRECTORY, where a file `data` may have
 * been made for them.
 *
 *     predict_apps log DIRECTORY COUNT               appends 4 KiB and writes it back, one after the other
 *     predict_apps ring DIRECTORY PROCESSES COUNT    a token over pipes: who has it reads 4 KiB and passes it on
 *     predict_apps turns DIRECTORY COUNT             two threads take turns by a condition: one reads, one writes back
 *     predict_apps compute DIRECTORY COUNT MS        reads 64 KiB, computes, writes 4 KiB back
 *     predict_apps timer DIRECTORY THREADS COUNT MS  every MS each thread writes 4 KiB back
 *     predict_apps group DIRECTORY THREADS COUNT US  commits: who finds nobody writing back does it for all who wait
 *     predict_apps mutex DIRECTORY THREADS COUNT US  commits, one after the other: who has the mutex writes and writes back
 *     predict_apps mapped DIRECTORY COUNT            random pages of a mapped file
 *
 * It prints the seconds that the work took, from its first call to the end of the last. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
#define MOST 64

static const char *directory;

static void need(int held, const char *what)
{
    if (!held) {
        perror(what);
        exit(1);
    }
}

static double seconds(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static int file(const char *name, int flags)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    int fd = open(path, flags, 0644);
    need(fd >= 0, path);
    return fd;
}

static int log_file(const char *name)
{
    return file(name, O_CREAT | O_WRONLY | O_TRUNC);
}

static char *pages(size_t length)
{
    void *memory;
    need(posix_memalign(&memory, PAGE, length) == 0, "memory");
    memset(memory, 'x', length);
    return memory;
}

/* Reads `length` bytes at some place of `data`, which is a multiple of them, past the page cache. */
static void read_some(int fd, char *memory, size_t length, unsigned *seed)
{
    struct stat stat;
    need(fstat(fd, &stat) == 0, "fstat");
    off_t at = rand_r(seed) % (stat.st_size / length) * length;
    need(pread(fd, memory, length, at) == (ssize_t)length, "pread");
}

static void commit(int fd, const char *memory, size_t length)
{
    need(write(fd, memory, length) == (ssize_t)length, "write");
    need(fdatasync(fd) == 0, "fdatasync");
}

static void append(long count)
{
    int fd = log_file("log");
    char *memory = pages(PAGE);
    while (count-- > 0)
        commit(fd, memory, PAGE);
}

static void ring(int processes, long count)
{
    int pipes[MOST][2] = {0};
    for (int i = 0; i < processes; i++)
        need(pipe(pipes[i]) == 0, "pipe");
    for (int i = 0; i < processes; i++) {
        pid_t child = fork();
        need(child >= 0, "fork");
        if (child)
            continue;
        int fd = file("data", O_RDONLY | O_DIRECT);
        char *memory = pages(PAGE), token;
        unsigned seed = i + 1;
        for (long turn = i; turn < count; turn += processes) {
            need(read(pipes[i][0], &token, 1) == 1, "read");
            read_some(fd, memory, PAGE, &seed);
            if (turn + 1 < count)
                need(write(pipes[(i + 1) % processes][1], &token, 1) == 1, "write");
        }
        _exit(0);
    }
    need(write(pipes[0][1], "t", 1) == 1, "write");
    for (int status, i = 0; i < processes; i++)
        need(wait(&status) > 0 && status == 0, "a process of the ring");
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static long rounds, turn;

static void *writes_in_turn(void *unused)
{
    int fd = log_file("log");
    char *memory = pages(PAGE);
    for (long i = 0; i < rounds; i++) {
        pthread_mutex_lock(&mutex);
        while (turn != 2 * i + 1)
            pthread_cond_wait(&changed, &mutex);
        pthread_mutex_unlock(&mutex);
        commit(fd, memory, PAGE);
        pthread_mutex_lock(&mutex);
        turn++;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&mutex);
    }
    return unused;
}

static void turns(long count)
{
    pthread_t other;
    rounds = count;
    need(pthread_create(&other, NULL, writes_in_turn, NULL) == 0, "thread");
    int fd = file("data", O_RDONLY | O_DIRECT);
    char *memory = pages(PAGE);
    unsigned seed = 1;
    for (long i = 0; i < count; i++) {
        read_some(fd, memory, PAGE, &seed);
        pthread_mutex_lock(&mutex);
        turn++;
        pthread_cond_broadcast(&changed);
        while (turn != 2 * i + 2)
            pthread_cond_wait(&changed, &mutex);
        pthread_mutex_unlock(&mutex);
    }
    pthread_join(other, NULL);
}

static void compute(long count, double ms)
{
    int data = file("data", O_RDONLY | O_DIRECT), log = log_file("log");
    char *memory = pages(16 * PAGE);
    unsigned seed = 1;
    while (count-- > 0) {
        read_some(data, memory, 16 * PAGE, &seed);
        for (double end = seconds(CLOCK_THREAD_CPUTIME_ID) + ms / 1e3; seconds(CLOCK_THREAD_CPUTIME_ID) < end;)
            ;
        commit(log, memory, PAGE);
    }
}

/* Runs as many threads and waits for them; each gets its number. */
static void threads(int count, void *(*work)(void *))
{
    pthread_t all[MOST];
    for (long i = 0; i < count; i++)
        need(pthread_create(&all[i], NULL, work, (void *)i) == 0, "thread");
    for (int i = 0; i < count; i++)
        pthread_join(all[i], NULL);
}

static double period;

static void *ticks(void *number)
{
    char name[32];
    snprintf(name, sizeof name, "log%ld", (long)number);
    int fd = log_file(name);
    char *memory = pages(PAGE);
    double due = seconds(CLOCK_MONOTONIC);
    for (long i = 0; i < rounds; i++) {
        due += period;
        double wait = due - seconds(CLOCK_MONOTONIC);
        if (wait > 0)
            usleep(wait * 1e6);
        commit(fd, memory, PAGE);
    }
    return NULL;
}

static int wal;
static long queued, committed, commits;
static int committing;
static useconds_t between;

static void *commits_together(void *number)
{
    char *memory = pages(MOST * 512);
    (void)number;
    for (long i = 0; i < rounds; i++) {
        usleep(between);
        pthread_mutex_lock(&mutex);
        long mine = ++queued;
        while (committed < mine) {
            if (committing) {
                pthread_cond_wait(&changed, &mutex);
                continue;
            }
            committing = 1;
            long upto = queued, length = (upto - committed) * 512;
            pthread_mutex_unlock(&mutex);
            commit(wal, memory, length);
            pthread_mutex_lock(&mutex);
            commits++, committed = upto, committing = 0;
            pthread_cond_broadcast(&changed);
        }
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

/* Each for itself, but one at a time. */
static void *commits_in_turn(void *number)
{
    char *memory = pages(PAGE);
    (void)number;
    for (long i = 0; i < rounds; i++) {
        usleep(between);
        pthread_mutex_lock(&mutex);
        commit(wal, memory, 512);
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

static long mapped(long count)
{
    int fd = file("data", O_RDONLY);
    struct stat stat;
    need(fstat(fd, &stat) == 0, "fstat");
    volatile char *memory = mmap(NULL, stat.st_size, PROT_READ, MAP_SHARED, fd, 0);
    need(memory != MAP_FAILED, "mmap");
    madvise((void *)memory, stat.st_size, MADV_RANDOM);
    unsigned seed = 1;
    long sum = 0;
    while (count-- > 0)
        sum += memory[rand_r(&seed) % (stat.st_size / PAGE) * PAGE];
    return sum;
}

/* Reads the file from its beginning to its end through a mapping, as far as the kernel reads ahead. */
static long mapped_in_turn(void)
{
    int fd = file("data", O_RDONLY);
    struct stat stat;
    need(fstat(fd, &stat) == 0, "fstat");
    volatile char *memory = mmap(NULL, stat.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    need(memory != MAP_FAILED, "mmap");
    close(fd);
    long sum = 0;
    for (long at = 0; at < stat.st_size; at += PAGE)
        sum += memory[at];
    return sum;
}

/* Writes random pages through a mapping, and asks for 8 of them at a time to be on the device. */
static void mapped_writes(long count)
{
    int fd = file("data", O_RDWR);
    struct stat stat;
    need(fstat(fd, &stat) == 0, "fstat");
    volatile char *memory = mmap(NULL, stat.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    need(memory != MAP_FAILED, "mmap");
    madvise((void *)memory, stat.st_size, MADV_RANDOM);
    unsigned seed = 1;
    for (long i = 0; i < count; i++) {
        memory[rand_r(&seed) % (stat.st_size / PAGE) * PAGE]++;
        if (i % 8 == 7)
            need(msync((void *)memory, stat.st_size, MS_SYNC) == 0, "msync");
    }
}

int main(int count, char **words)
{
    const char *name = count > 3 ? words[1] : "";
    double number[3] = {0};
    for (int i = 3; i < count && i < 6; i++)
        number[i - 3] = atof(words[i]);
    directory = count > 2 ? words[2] : "";
    int several = number[0] >= 1 && number[0] <= MOST ? number[0] : 1;
    double began = seconds(CLOCK_MONOTONIC);
    if (!strcmp(name, "log")) {
        append(number[0]);
    } else if (!strcmp(name, "ring")) {
        ring(several, number[1]);
    } else if (!strcmp(name, "turns")) {
        turns(number[0]);
    } else if (!strcmp(name, "compute")) {
        compute(number[0], number[1]);
    } else if (!strcmp(name, "timer")) {
        rounds = number[1], period = number[2] / 1e3;
        threads(several, ticks);
    } else if (!strcmp(name, "group") || !strcmp(name, "mutex")) {
        wal = log_file("wal"), rounds = number[1] / several, between = number[2];
        threads(several, name[0] == 'g' ? commits_together : commits_in_turn);
    } else if (!strcmp(name, "mapped")) {
        mapped(number[0]);
    } else if (!strcmp(name, "mapped-in-turn")) {
        mapped_in_turn();
    } else if (!strcmp(name, "mapped-writes")) {
        mapped_writes(number[0]);
    } else {
        fprintf(stderr, "usage: predict_apps NAME DIRECTORY NUMBER ...\n");
        return 2;
    }
    printf("%.6f\n", seconds(CLOCK_MONOTONIC) - began);
    if (commits)
        fprintf(stderr, "%ld commits\n", commits);
    return 0;
}
