
static void *run(void *number) {
    lane = (int) (long) number;
    /* A working directory of its own. */
    if (unshare(CLONE_FS) != 0)
        fail("unshare");
    pthread_barrier_wait(&start);
    lanes[lane]();
    pass(LONG_MAX);
    return NULL;
}

int main(int argc, char **argv) {
    static pthread_t threads[LANES];
    static char name[] = "/tmp/ioriot-XXXXXX";
    const char *dir = argc > 1 ? argv[1] : mkdtemp(name);
    struct rlimit files;
    pthread_attr_t small;
    if (argc > 2 || !dir) {
        fprintf(stderr, "usage: %s [DIRECTORY]    (empty, or not there yet; else one below /tmp is made)\n", argv[0]);
        return 125;
    }
    fprintf(stderr, "in %s\n", dir);
    signal(SIGXFSZ, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    data = buffer(1);
    sink = buffer(0);
    for (long at = 0; at < DESCRIPTORS; at++)
        fd[at] = -1;
    confine(dir);
    umask(0);
    tree();
    points();
    if (refused > 0)
        fprintf(stderr, "%ld owners, times and attributes of files could not be set\n", refused);
    umask(022);
    syscall(SYS_syncfs, root);
    drop_rights();
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 256L << 10);
    pthread_barrier_init(&start, NULL, LANES);
    for (long at = 0; at < LANES; at++) {
        passed[at] = -1;
        pthread_cond_init(&news[at], NULL);
    }
    for (long at = 0; at < LANES; at++) {
        int error = pthread_create(&threads[at], &small, run, (void *) at);
        if (error != 0) {
            fprintf(stderr, "cannot start thread %ld of %d: %s\n", at, LANES, strerror(error));
            exit(125);
        }
    }
    for (long at = 0; at < LANES; at++)
        pthread_join(threads[at], NULL);
    printf("%ld of %ld ops differ\n", atomic_load(&differences), OPS);
    return atomic_load(&differences) != 0;
}
