/* The calls: one row each, made from src/syscall/table.rs: BLESS=1 cargo test generated_pages writes them anew.
 *
 * Name, number for x86_64 and for i386, what the arguments are, and what they are for i386 where that differs. A letter
 * per argument; those that stand for a plain number are the key it is written under.
 *
 *   d e      descriptor, second descriptor, and x X: what they are open on
 *   Z        descriptor that close ends (d), and x: what it was open on at the entry
 *   h H      directory that the next path starts in
 *   p P      path, second path, and w y: the directory a relative one starts in
 *   C        path of chdir: the directory it started in is not known any more when the call succeeded
 *   t L l    text of a symlink; buffer that readlink filled (written as P), that getcwd filled (as p)
 *   c O E    count, position, second position
 *   o q w    pointer to a position (O), to a second one (E), to a 32-bit one (O)
 *   < >      upper half of the number before, of the number that follows (i386)
 *   #        position in pages of 4096 bytes (O)
 *   r        pointer to the resulting position of _llseek (written as s)
 *   V v      array of buffers (c: their total length), and how many there are
 *   f m M    flags, mode, mode of an open (only when it may make a file)
 *   W F G    whence, command, its argument; of a record lock m W O c instead
 *   u g a b  owner, group, the same in 16 bits
 *   k K      struct open_how (f m R), struct clone_args (f)
 *   s z x    what stat, stat64, statx found: M (st_mode), S (st_size)
 *   T U Y    times A B: struct timespec[2], struct timeval[2], struct utimbuf
 *   N        name of an extended attribute
 *   D        two new descriptors (d, e)
 *   -        not written
 *   = &      no argument: the call returns a descriptor (x: what it is open on), a process
 */
enum { NONE = -1, CALLS = 512 };

static const struct call {
	const char *name;
	short native, compat;
	const char *args, *args32;
} calls[] = {
	{ "read",                       0,    3, "d-c" },
	{ "readv",                     19,  145, "dVv" },
	{ "pread64",                   17,  180, "d-cO", "d-cO<" },
	{ "preadv",                   295,  333, "dVvO", "dVvO<" },
	{ "preadv2",                  327,  378, "dVvO-f", "dVvO<f" },
	{ "write",                      1,    4, "d-c" },
	{ "writev",                    20,  146, "dVv" },
	{ "pwrite64",                  18,  181, "d-cO", "d-cO<" },
	{ "pwritev",                  296,  334, "dVvO", "dVvO<" },
	{ "pwritev2",                 328,  379, "dVvO-f", "dVvO<f" },
	{ "copy_file_range",          326,  377, "doeqcf" },
	{ "sendfile",                  40,  187, "edoc", "edwc" },
	{ "sendfile64",              NONE,  239, "edoc" },
	{ "splice",                   275,  313, "doeqcf" },
	{ "tee",                      276,  315, "decf" },
	{ "vmsplice",                 278,  316, "dVvf" },
	{ "open",                       2,    5, "pfM=" },
	{ "openat",                   257,  295, "hpfM=" },
	{ "openat2",                  437,  437, "hpk=" },
	{ "creat",                     85,    8, "pm=" },
	{ "open_by_handle_at",        304,  342, "h-f=" },
	{ "name_to_handle_at",        303,  341, "hp--f" },
	{ "close",                      3,    6, "Z" },
	{ "close_range",              436,  436, "def" },
	{ "dup",                       32,   41, "d" },
	{ "dup2",                      33,   63, "de" },
	{ "dup3",                     292,  330, "def" },
	{ "lseek",                      8,   19, "dOW" },
	{ "_llseek",                 NONE,  140, "d>OrW" },
	{ "fcntl",                     72,   55, "dFG" },
	{ "fcntl64",                 NONE,  221, "dFG" },
	{ "flock",                     73,  143, "dF" },
	{ "ioctl",                     16,   54, "dFG" },
	{ "truncate",                  76,   92, "pc" },
	{ "truncate64",              NONE,  193, "pc<" },
	{ "ftruncate",                 77,   93, "dc" },
	{ "ftruncate64",             NONE,  194, "dc<" },
	{ "fallocate",                285,  324, "dfOc", "dfO<c<" },
	{ "fsync",                     74,  118, "d" },
	{ "fdatasync",                 75,  148, "d" },
	{ "syncfs",                   306,  344, "d" },
	{ "sync",                     162,   36, "" },
	{ "sync_file_range",          277,  314, "dOcf", "dO<c<f" },
	{ "readahead",                187,  225, "dOc", "dO<c" },
	{ "fadvise64",                221,  250, "dOcf", "dO<cf" },
	{ "fadvise64_64",            NONE,  272, "dO<c<f" },
	{ "mmap",                       9, NONE, "-cmfdO" },
	{ "mmap2",                   NONE,  192, "-cmfd#" },
	{ "munmap",                    11,   91, "-c" },
	{ "mremap",                    25,  163, "--cf" },
	{ "msync",                     26,  144, "-cf" },
	{ "madvise",                   28,  219, "-c" },
	{ "stat",                       4,  106, "ps" },
	{ "stat64",                  NONE,  195, "pz" },
	{ "lstat",                      6,  107, "ps" },
	{ "lstat64",                 NONE,  196, "pz" },
	{ "fstat",                      5,  108, "ds" },
	{ "fstat64",                 NONE,  197, "dz" },
	{ "newfstatat",               262, NONE, "hpsf" },
	{ "fstatat64",               NONE,  300, "hpzf" },
	{ "statx",                    332,  383, "hpf-x" },
	{ "statfs",                   137,   99, "p" },
	{ "statfs64",                NONE,  268, "p" },
	{ "fstatfs",                  138,  100, "d" },
	{ "fstatfs64",               NONE,  269, "d" },
	{ "access",                    21,   33, "pm" },
	{ "faccessat",                269,  307, "hpm" },
	{ "faccessat2",               439,  439, "hpmf" },
	{ "getdents",                  78,  141, "d-c" },
	{ "getdents64",               217,  220, "d-c" },
	{ "readdir",                 NONE,   89, "d" },
	{ "readlink",                  89,   85, "pLc" },
	{ "readlinkat",               267,  305, "hpLc" },
	{ "chmod",                     90,   15, "pm" },
	{ "fchmod",                    91,   94, "dm" },
	{ "fchmodat",                 268,  306, "hpm" },
	{ "fchmodat2",                452,  452, "hpmf" },
	{ "chown",                     92, NONE, "pug" },
	{ "chown16",                 NONE,  182, "pab" },
	{ "chown32",                 NONE,  212, "pug" },
	{ "lchown",                    94, NONE, "pug" },
	{ "lchown16",                NONE,   16, "pab" },
	{ "lchown32",                NONE,  198, "pug" },
	{ "fchown",                    93, NONE, "dug" },
	{ "fchown16",                NONE,   95, "dab" },
	{ "fchown32",                NONE,  207, "dug" },
	{ "fchownat",                 260,  298, "hpugf" },
	{ "utimensat",                280,  320, "hpTf" },
	{ "utimes",                   235,  271, "pU" },
	{ "futimesat",                261,  299, "hpU" },
	{ "utime",                    132,   30, "pY" },
	{ "getxattr",                 191,  229, "pN-c" },
	{ "lgetxattr",                192,  230, "pN-c" },
	{ "fgetxattr",                193,  231, "dN-c" },
	{ "listxattr",                194,  232, "p-c" },
	{ "llistxattr",               195,  233, "p-c" },
	{ "flistxattr",               196,  234, "d-c" },
	{ "setxattr",                 188,  226, "pN-cf" },
	{ "lsetxattr",                189,  227, "pN-cf" },
	{ "fsetxattr",                190,  228, "dN-cf" },
	{ "removexattr",              197,  235, "pN" },
	{ "lremovexattr",             198,  236, "pN" },
	{ "fremovexattr",             199,  237, "dN" },
	{ "mkdir",                     83,   39, "pm" },
	{ "mkdirat",                  258,  296, "hpm" },
	{ "mknod",                    133,   14, "pm" },
	{ "mknodat",                  259,  297, "hpm" },
	{ "rmdir",                     84,   40, "p" },
	{ "unlink",                    87,   10, "p" },
	{ "unlinkat",                 263,  301, "hpf" },
	{ "rename",                    82,   38, "pP" },
	{ "renameat",                 264,  302, "hpHP" },
	{ "renameat2",                316,  353, "hpHPf" },
	{ "link",                      86,    9, "pP" },
	{ "linkat",                   265,  303, "hpHPf" },
	{ "symlink",                   88,   83, "tp" },
	{ "symlinkat",                266,  304, "thp" },
	{ "chdir",                     80,   12, "C" },
	{ "fchdir",                    81,  133, "d" },
	{ "getcwd",                    79,  183, "lc" },
	{ "umask",                     95,   60, "m" },
	{ "fork",                      57,    2, "&" },
	{ "vfork",                     58,  190, "&" },
	{ "clone",                     56,  120, "f&" },
	{ "clone3",                   435,  435, "K&" },
	{ "execve",                    59,   11, "p" },
	{ "execveat",                 322,  358, "hp--f" },
	{ "exit",                    NONE, NONE, "" },
	{ "exit_group",              NONE, NONE, "" },
	{ "setuid",                   105, NONE, "u" },
	{ "setuid16",                NONE,   23, "a" },
	{ "setuid32",                NONE,  213, "u" },
	{ "setreuid",                 113, NONE, "-u" },
	{ "setreuid16",              NONE,   70, "-a" },
	{ "setreuid32",              NONE,  203, "-u" },
	{ "setresuid",                117, NONE, "-u" },
	{ "setresuid16",             NONE,  164, "-a" },
	{ "setresuid32",             NONE,  208, "-u" },
	{ "setfsuid",                 122, NONE, "u" },
	{ "setfsuid16",              NONE,  138, "a" },
	{ "setfsuid32",              NONE,  215, "u" },
	{ "pidfd_getfd",              438,  438, "def" },
	{ "unshare",                  272,  310, "f" },
	{ "setns",                    308,  346, "df" },
	{ "chroot",                   161,   61, "p" },
	{ "pivot_root",               155,  217, "pP" },
	{ "mount",                    165,   21, "-pNf" },
	{ "umount2",                  166,   52, "pf" },
	{ "umount",                  NONE,   22, "p" },
	{ "open_tree",                428,  428, "hpf=" },
	{ "open_tree_attr",           467,  467, "hpf=" },
	{ "move_mount",               429,  429, "hpHPf" },
	{ "fspick",                   433,  433, "hp=" },
	{ "mount_setattr",            442,  442, "hpf" },
	{ "pipe",                      22,   42, "D" },
	{ "pipe2",                    293,  331, "Df" },
	{ "socket",                    41,  359, "=" },
	{ "socketpair",                53,  360, "---D" },
	{ "accept",                    43, NONE, "=" },
	{ "accept4",                  288,  364, "=" },
	{ "eventfd",                  284,  323, "=" },
	{ "eventfd2",                 290,  328, "-f=" },
	{ "epoll_create",             213,  254, "=" },
	{ "epoll_create1",            291,  329, "=" },
	{ "inotify_init",             253,  291, "=" },
	{ "inotify_init1",            294,  332, "=" },
	{ "signalfd4",                289,  327, "=" },
	{ "timerfd_create",           283,  322, "=" },
	{ "memfd_create",             319,  356, "=" },
	{ "pidfd_open",               434,  434, "=" },
	{ "perf_event_open",          298,  336, "=" },
	{ "userfaultfd",              323,  374, "=" },
	{ "signalfd",                 282,  321, "=" },
	{ "fanotify_init",            300,  338, "=" },
	{ "memfd_secret",             447,  447, "=" },
	{ "landlock_create_ruleset",  444,  444, "=" },
	{ "mq_open",                  240,  277, "=" },
	{ "fsopen",                   430,  430, "=" },
	{ "fsmount",                  432,  432, "=" },
	{ "io_uring_setup",           425,  425, "=" },
	{ "io_uring_enter",           426,  426, "d" },
	{ "io_submit",                209,  248, "" },
	{ "io_getevents",             208,  247, "" },
	{ "inotify_add_watch",        254,  292, "dp" },
	{ "setxattrat",               463,  463, "hpfN" },
	{ "getxattrat",               464,  464, "hpfN" },
	{ "listxattrat",              465,  465, "hpf-c" },
	{ "removexattrat",            466,  466, "hpfN" },
	{ "file_getattr",             468,  468, "hp--f" },
	{ "file_setattr",             469,  469, "hp--f" },
	{ "cachestat",                451,  451, "d--f" },
	{ "fanotify_mark",            301, NONE, "d--hp" },
	{ "quotactl",                 179,  131, "-p" },
	{ "quotactl_fd",              443,  443, "d" },
	{ "acct",                     163,   51, "p" },
	{ "swapon",                   167,   87, "p" },
	{ "swapoff",                  168,  115, "p" },
	{ "uselib",                   134,   86, "p" },
};

/* Rows by number, plus 1. */
static u8 by_number[2][CALLS];

static void number_calls(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		if (calls[i].native != NONE)
			by_number[0][calls[i].native] = i + 1;
		if (calls[i].compat != NONE)
			by_number[1][calls[i].compat] = i + 1;
	}
}

static const struct call *call_of(struct pt_regs *regs)
{
	unsigned int number = syscall_get_nr(current, regs);
	int row = number < CALLS ? by_number[in_ia32_syscall()][number] : 0;

	return row ? &calls[row - 1] : NULL;
}
