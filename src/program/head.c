#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#if !defined __linux__ || !defined __x86_64__
#error "the numbers of calls and flags are those of Linux on x86_64"
#endif

/* Calls and requests that older headers do not have. */
#ifndef SYS_copy_file_range
#define SYS_copy_file_range 326
#endif
#ifndef SYS_preadv2
#define SYS_preadv2 327
#define SYS_pwritev2 328
#endif
#ifndef SYS_statx
#define SYS_statx 332
#endif
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#ifndef SYS_faccessat2
#define SYS_faccessat2 439
#endif
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

#define HELPER static __attribute__((unused, noinline))
#define MIB (1L << 20)
#define CWD ((long) AT_FDCWD)
#define UNKNOWN (-1L)

static long fd[DESCRIPTORS];    /* by open file description; -1: not open */
static long root;               /* for sync */
static char *data, *sink;       /* what is written, and where what is read goes: BUFFER bytes each */

/* Ends with what failed, a name or a text, of which bytes that terminals may obey are not printed. */
static void fail(const char *name) {
    char shown[256];
    size_t at = 0;
    for (; name[at] && at + 1 < sizeof shown; at++)
        shown[at] = name[at] >= ' ' && name[at] <= '~' ? name[at] : '?';
    shown[at] = 0;
    fprintf(stderr, "%s: %s\n", shown, strerror(errno));
    exit(125);
}

/* ---- results ---- */

/* What a call is expected to do: return a value, fail with an error, succeed with any value, or anything. */
enum expected { EXPECT_VALUE, EXPECT_ERROR, EXPECT_SUCCESS, EXPECT_NOTHING };
#define IS(value) EXPECT_VALUE, (value)
#define FAILS(error) EXPECT_ERROR, (error)
#define WORKS EXPECT_SUCCESS, 0L
#define ANY EXPECT_NOTHING, 0L

/* A call with its name; below a working directory; below one that was removed. */
#define SYS(call, ...) #call, syscall(SYS_##call, __VA_ARGS__)
#define SYS_IN(dir, call, ...) #call, (enter(dir) != 0 ? -1L : syscall(SYS_##call, __VA_ARGS__))
#define SYS_IN_FD(fd, call, ...) #call, (syscall(SYS_fchdir, fd) != 0 ? -1L : syscall(SYS_##call, __VA_ARGS__))

static atomic_long differences;
static __thread int lane;

static const char *error_name(long error, char *room, size_t size) {
    switch (error) {
#define ERROR(name) case name: return #name;
    ERROR(EPERM) ERROR(ENOENT) ERROR(EINTR) ERROR(EIO) ERROR(ENXIO) ERROR(E2BIG) ERROR(EBADF) ERROR(EAGAIN) ERROR(ENOMEM)
    ERROR(EACCES) ERROR(EFAULT) ERROR(EBUSY) ERROR(EEXIST) ERROR(EXDEV) ERROR(ENODEV) ERROR(ENOTDIR) ERROR(EISDIR) ERROR(EINVAL)
    ERROR(ENFILE) ERROR(EMFILE) ERROR(ENOTTY) ERROR(ETXTBSY) ERROR(EFBIG) ERROR(ENOSPC) ERROR(ESPIPE) ERROR(EROFS) ERROR(EMLINK)
    ERROR(EPIPE) ERROR(ERANGE) ERROR(EDEADLK) ERROR(ENAMETOOLONG) ERROR(ENOLCK) ERROR(ENOSYS) ERROR(ENOTEMPTY) ERROR(ELOOP)
    ERROR(ENODATA) ERROR(EOVERFLOW) ERROR(EOPNOTSUPP) ERROR(ESTALE) ERROR(EDQUOT) ERROR(ECANCELED) ERROR(EUCLEAN)
#undef ERROR
    }
    snprintf(room, size, "error %ld", error);
    return room;
}

/* Is this error no difference, whatever was captured? File systems differ in what they can do. */
static int tolerated(const char *call, long error);

HELPER long judge(long id, enum expected kind, long value, const char *call, long ret) {
    long error = ret == -1 ? errno : 0;
    int same = kind == EXPECT_NOTHING || (error != 0 && tolerated(call, error));
    if (error != 0)
        same |= kind == EXPECT_ERROR && value == error;
    else
        same |= kind == EXPECT_SUCCESS || (kind == EXPECT_VALUE && value == ret);
    if (!same) {
        char wanted[64] = "success", got[64], room[32];
        if (kind == EXPECT_VALUE)
            snprintf(wanted, sizeof wanted, "%ld", value);
        else if (kind == EXPECT_ERROR)
            snprintf(wanted, sizeof wanted, "-1 %s", error_name(value, room, sizeof room));
        if (error != 0)
            snprintf(got, sizeof got, "-1 %s", error_name(error, room, sizeof room));
        else
            snprintf(got, sizeof got, "%ld", ret);
        printf("op %ld %s: expected %s, got %s\n", id, call, wanted, got);
        atomic_fetch_add(&differences, 1);
    }
    return ret;
}

/* ---- order ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t news[LANES];
static long passed[LANES];      /* the last op that each lane has done */
static pthread_barrier_t start;

HELPER void pass(long id) {
    pthread_mutex_lock(&lock);
    passed[lane] = id;
    pthread_cond_broadcast(&news[lane]);
    pthread_mutex_unlock(&lock);
}

/* Waits until another lane has done its op. */
HELPER void after(int other, long id) {
    pthread_mutex_lock(&lock);
    while (passed[other] < id)
        pthread_cond_wait(&news[other], &lock);
    pthread_mutex_unlock(&lock);
}

HELPER void op(long id, enum expected kind, long value, const char *call, long ret) {
    judge(id, kind, value, call, ret);
    pass(id);
}

/* A call that makes description n, or one that nobody uses (-1). */
HELPER void opens(long id, long n, enum expected kind, long value, const char *call, long ret) {
    judge(id, kind, value, call, ret);
    if (ret >= 0 && n >= 0) {
        long old = fd[n];
        fd[n] = ret;
        ret = old;
    }
    if (ret >= 0)
        close((int) ret);
    pass(id);
}

/* A call that ends description n. */
HELPER void closes(long id, long n, enum expected kind, long value, const char *call, long ret) {
    judge(id, kind, value, call, ret);
    fd[n] = -1;
    pass(id);
}

/* An op that is not issued. */
HELPER void skip(long id) {
    pass(id);
}

/* ---- calls ---- */

/* Enters a directory; step by step where its path is too long for one call. */
HELPER int enter(const char *dir) {
    char piece[PATH_MAX];
    while (strlen(dir) >= PATH_MAX) {
        size_t cut = PATH_MAX - 1;
        while (cut > 0 && dir[cut] != '/')
            cut--;
        if (cut == 0) {
            errno = ENAMETOOLONG;
            return -1;
        }
        memcpy(piece, dir, cut);
        piece[cut] = 0;
        if (chdir(piece) != 0)
            return -1;
        for (dir += cut; *dir == '/';)
            dir++;
    }
    return *dir ? chdir(dir) : 0;
}

/* Cuts count bytes of a buffer into pieces, the last of which has the rest. */
HELPER struct iovec *pieces(char *from, long count, long number) {
    static __thread struct iovec list[1024];
    long most = number < 0 ? 0 : number > 1024 ? 1024 : number;
    long rest = count < 0 ? 0 : count > BUFFER ? BUFFER : count;
    long share = most > 0 ? rest / most : 0;
    for (long at = 0; at < most; at++) {
        list[at].iov_base = from;
        list[at].iov_len = (size_t) (at + 1 == most ? rest : share);
        from += share;
        rest -= share;
    }
    return list;
}

/* Maps a file and takes the mapping back. */
HELPER long map(long fd, long length, long protection, long flags, long offset) {
    long at = syscall(SYS_mmap, 0L, length, protection, flags, fd, offset);
    if (at != -1)
        syscall(SYS_munmap, at, length);
    return at;
}

/* Faults pages of a mapped file in, or makes them dirty. */
HELPER long fault(long fd, long offset, long count, int writes, long advice) {
    const long around = 64L << 10, page = 4096;
    long from = offset & -around, length = ((offset + count + around - 1) & -around) - from;
    long first = offset & -page, bytes = ((offset + count + page - 1) & -page) - first;
    char *at = mmap(NULL, (size_t) length, PROT_READ | (writes ? PROT_WRITE : 0), MAP_SHARED | MAP_NORESERVE, (int) fd, from);
    if (at == MAP_FAILED)
        return -1;
    if (advice == MADV_RANDOM || advice == MADV_SEQUENTIAL)
        madvise(at, (size_t) length, (int) advice);
    int ret = madvise(at + (first - from), (size_t) bytes, writes ? MADV_POPULATE_WRITE : MADV_POPULATE_READ), error = errno;
    munmap(at, (size_t) length);
    errno = error;
    return ret;
}

/* msync(2) of a part of a file. */
HELPER long sync_mapped(long fd, long offset, long count, long flags) {
    void *at = mmap(NULL, (size_t) count, PROT_READ, MAP_SHARED | MAP_NORESERVE, (int) fd, offset);
    if (at == MAP_FAILED)
        return -1;
    int ret = msync(at, (size_t) count, (int) flags), error = errno;
    munmap(at, (size_t) count);
    errno = error;
    return ret;
}

/* ---- the file tree ---- */

static const char *last;        /* the entry that was made last */
static long refused;            /* owners, times and attributes that could not be set */

static void parents(const char *path) {
    char *dir = strdup(path);
    for (char *slash = dir + 1; dir && (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(dir, 0755);
        *slash = '/';
    }
    free(dir);
}

static void made(const char *path, int ret) {
    if (ret == -1)
        fail(path);
    last = path;
}

HELPER void directory(const char *path) {
    int ret = mkdir(path, 0700);
    if (ret != 0 && errno == ENOENT) {
        parents(path);
        ret = mkdir(path, 0700);
    }
    made(path, ret != 0 && errno == EEXIST ? 0 : ret);
}

HELPER void hard_link(const char *path, const char *first) {
    parents(path);
    made(path, link(first, path));
}

HELPER void symbolic_link(const char *path, const char *target) {
    parents(path);
    made(path, symlink(target, path));
}

HELPER void node(const char *path, mode_t kind) {
    parents(path);
    made(path, mknod(path, kind | 0600, 0));
}

/* Writes data to a range of the file that was made last. */
HELPER void fill(long offset, long length) {
    int file = open(last, O_WRONLY | O_NOFOLLOW);
    while (file >= 0 && length > 0) {
        ssize_t done = pwrite(file, data + offset % 4096, (size_t) (length < MIB / 2 ? length : MIB / 2), offset);
        if (done <= 0)
            fail(last);
        offset += done;
        length -= done;
    }
    if (file < 0 || close(file) != 0)
        fail(last);
}

/* A regular file, without data where nothing fills it. */
HELPER void file(const char *path, long size) {
    parents(path);
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    made(path, file);
    if (ftruncate(file, size) != 0 || close(file) != 0)
        fail(path);
}

HELPER void attribute(const char *name) {
    refused += lsetxattr(last, name, "", 0, 0) != 0;
}

HELPER void at(const char *path) {
    last = path;
}

/* Owner, time of the last modification (ns since 1970) and permission bits of the entry that was made last. */
HELPER void is(long mode, long uid, long gid, long mtime) {
    if (uid != UNKNOWN || gid != UNKNOWN)
        refused += lchown(last, (uid_t) uid, (gid_t) gid) != 0;
    if (mtime != UNKNOWN) {
        long part = ((mtime % 1000000000) + 1000000000) % 1000000000;
        struct timespec times[2] = { { 0, UTIME_OMIT }, { (mtime - part) / 1000000000, part } };
        refused += utimensat(AT_FDCWD, last, times, AT_SYMLINK_NOFOLLOW) != 0;
    }
    if (mode != UNKNOWN && chmod(last, (mode_t) mode) != 0)
        fail(last);
}

HELPER void room(double bytes) {
    struct statvfs here;
    if (statvfs("/", &here) == 0 && bytes > (double) here.f_bavail * (double) here.f_frsize) {
        fprintf(stderr, "the file tree has %.0f bytes, and there is no room for them\n", bytes);
        exit(125);
    }
}

/* ---- the place ---- */

static int mounts;

/* A captured mount point: bound over itself, so that names cannot be moved across it. */
HELPER void point(const char *path) {
    if (mounts)
        mount(path, path, NULL, MS_BIND, NULL);
}

static int wrote(const char *path, const char *text) {
    int file = open(path, O_WRONLY);
    ssize_t done = file < 0 ? -1 : write(file, text, strlen(text));
    return file >= 0 && close(file) == 0 && done >= 0;
}

/* Enters the directory, which must be empty, and makes it the root of this process: no path leads out of it. */
static void confine(const char *dir) {
    char text[64];
    uid_t uid = geteuid();
    gid_t gid = getegid();
    if ((mkdir(dir, 0755) != 0 && errno != EEXIST) || chdir(dir) != 0)
        fail(dir);
    DIR *here = opendir(".");
    if (!here)
        fail(dir);
    for (struct dirent *entry; (entry = readdir(here));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            fprintf(stderr, "%s is not empty\n", dir);
            exit(125);
        }
    closedir(here);
    mounts = unshare(CLONE_NEWNS) == 0;
    if (!mounts && unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) {
        wrote("/proc/self/setgroups", "deny");
        snprintf(text, sizeof text, "%u %u 1", uid, uid);
        if (!wrote("/proc/self/uid_map", text))
            fail("/proc/self/uid_map");
        snprintf(text, sizeof text, "%u %u 1", gid, gid);
        if (!wrote("/proc/self/gid_map", text))
            fail("/proc/self/gid_map");
        mounts = 1;
    }
    /* Elsewhere nobody is to see them. */
    mounts = mounts && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
    if (chroot(".") != 0 || chdir("/") != 0)
        fail("cannot make it the root (run this as root, or allow user namespaces)");
    root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Gives up all rights of root but those over files. */
static void drop_rights(void) {
    const unsigned kept = 1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE | 1u << CAP_FOWNER | 1u << CAP_FSETID;
    struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct rights[2];
    if (syscall(SYS_capget, &head, rights) != 0)
        fail("capget");
    for (int at = 0; at < 2; at++) {
        rights[at].permitted &= at == 0 ? kept : 0;
        rights[at].effective &= rights[at].permitted;
        rights[at].inheritable = 0;
    }
    if (syscall(SYS_capset, &head, rights) != 0)
        fail("capset");
}

/* BUFFER bytes of address space, and one MiB of memory, again and again. */
static char *buffer(int noise) {
    unsigned long seed = 88172645463325252UL;
    int memory = memfd_create("buffer", MFD_CLOEXEC);
    char *from = mmap(NULL, BUFFER, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory < 0 || ftruncate(memory, MIB) != 0 || from == MAP_FAILED)
        fail("no memory");
    for (long at = 0; at < BUFFER; at += MIB)
        if (mmap(from + at, MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, memory, 0) == MAP_FAILED)
            fail("no memory");
    for (long at = 0; noise && at < MIB; at += 8) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        memcpy(from + at, &seed, 8);
    }
    close(memory);
    return from;
}
