/* gettid(2), which glibc has from 2.30 on and Rust's library asks for: packaging/manylinux.sh links it. */
#include <sys/syscall.h>
#include <unistd.h>

pid_t gettid(void)
{
    return (pid_t)syscall(SYS_gettid);
}
