/* Loaded before libc (LD_PRELOAD): sees every change of a file below one folder, and makes the n-th of them fail.

   A change is a call that creates, writes, renames, removes, truncates or syncs. `arm` sets the folder, the number and the
   fault; CAMPAIGN_SHIM does it for processes that are started. What opens a file for writing outside the allowed folders
   is noted in the log with "!", whatever the fault. Writes through a mapping of memory are not seen. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { NONE, KILL, HALF, AFTER, ONCE, FROM };  /* FROM: the disk is full, and stays so */
static char folder[PATH_MAX], allowed[4 * PATH_MAX], logged[PATH_MAX];
static atomic_long count;
static long at = -1;
static int fault, error;

static void write_all(int file, const char *text, size_t size) { syscall(SYS_write, file, text, size); }

static void note(char mark, const char *call, const char *path) {
    if (!logged[0]) return;
    char line[PATH_MAX + 64];
    int size = snprintf(line, sizeof line, "%c %s %s\n", mark, call, path);
    int file = syscall(SYS_openat, AT_FDCWD, logged, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (file >= 0) { write_all(file, line, (size_t)size); syscall(SYS_close, file); }
}

/* The absolute path with its folder's links resolved, since the file itself may not exist. */
static void absolute(int base, const char *path, char *out) {
    char joined[2 * PATH_MAX], parent[PATH_MAX];
    if (path[0] == '/') snprintf(joined, sizeof joined, "%s", path);
    else {
        char here[PATH_MAX] = "", link[64];
        if (base == AT_FDCWD) { if (!getcwd(here, sizeof here)) here[0] = 0; }
        else { snprintf(link, sizeof link, "/proc/self/fd/%d", base); ssize_t n = readlink(link, here, sizeof here - 1); if (n > 0) here[n] = 0; }
        snprintf(joined, sizeof joined, "%s/%s", here, path);
    }
    char *slash = strrchr(joined, '/');
    if (slash && slash != joined && strcmp(slash, "/..") && strcmp(slash, "/.")) {
        *slash = 0;
        if (realpath(joined, parent)) { snprintf(out, PATH_MAX, "%.*s/%.*s", PATH_MAX / 2, parent, 255, slash + 1); return; }
        *slash = '/';
    } else if (realpath(joined, parent)) { snprintf(out, PATH_MAX, "%s", parent); return; }
    snprintf(out, PATH_MAX, "%.*s", PATH_MAX - 1, joined);
}

static int below(const char *path, const char *top) {
    size_t size = strlen(top);
    return size && !strncmp(path, top, size) && (path[size] == 0 || path[size] == '/');
}

static int is_allowed(const char *path) {
    char list[sizeof allowed], *rest = list;
    strcpy(list, allowed);
    for (char *top; (top = strsep(&rest, ":"));) if (below(path, top)) return 1;
    return 0;
}

/* What happens to this change: 0 nothing, 1 fail with `error`, 2 half of it and die, 3 die after it. */
static int meet(const char *call, const char *path, int is_write) {
    long number = atomic_fetch_add(&count, 1);
    note(' ', call, path);
    if (at < 0 || number < at) return 0;
    if (fault == FROM) return strcmp(call, "unlink") && strcmp(call, "rmdir") ? 1 : 0;
    if (number != at) return 0;
    if (fault == KILL || (fault == HALF && !is_write)) kill(getpid(), SIGKILL);
    return fault == HALF ? 2 : fault == AFTER ? 3 : fault == ONCE ? 1 : 0;
}

static int change(const char *call, int base, const char *path, int changes) {
    if (!folder[0] && !allowed[0]) return 0;
    char full[PATH_MAX];
    int kept = errno;
    absolute(base, path, full);
    if (changes && allowed[0] && !is_allowed(full)) note('!', call, full);
    int met = below(full, folder) ? meet(call, full, 0) : 0;
    errno = kept;
    return met;
}

static int write_to(int file, const char *call) {
    if (!folder[0]) return 0;
    char link[64], full[PATH_MAX];
    int kept = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, full, sizeof full - 1);
    errno = kept;
    if (size <= 0) return 0;
    full[size] = 0;
    int met = below(full, folder) ? meet(call, full, 1) : 0;
    errno = kept;
    return met;
}

void campaign_arm(const char *a_folder, const char *an_allowed, const char *a_log, long a_number, int a_fault, int an_error) {
    snprintf(folder, sizeof folder, "%s", a_folder); snprintf(allowed, sizeof allowed, "%s", an_allowed); snprintf(logged, sizeof logged, "%s", a_log);
    atomic_store(&count, 0); at = a_number; fault = a_fault; error = an_error;
}

__attribute__((constructor)) static void begin(void) {
    const char *text = getenv("CAMPAIGN_SHIM");
    if (!text) return;
    char copy[8 * PATH_MAX], *rest = copy, *part[6];
    snprintf(copy, sizeof copy, "%s", text);
    for (int i = 0; i < 6; i++) if (!(part[i] = strsep(&rest, "|"))) return;
    campaign_arm(part[0], part[1], part[2], atol(part[3]), atoi(part[4]), atoi(part[5]));
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define CHANGE(call, base, path, failed) int met = change(call, base, path, 1); if (met == 1) { errno = error; return failed; }
#define DIE_AFTER(result) do { __auto_type value = (result); if (met == 3) kill(getpid(), SIGKILL); return value; } while (0)
#define WRITES(flags) ((flags) & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC))

/* EMFILE meets every open, to read too; other faults the ones that write. */
#define OPEN(name, base, path, flags, call_real) \
    mode_t mode = 0; if ((flags) & (O_CREAT | O_TMPFILE)) { va_list list; va_start(list, flags); mode = va_arg(list, mode_t); va_end(list); } \
    REAL(name); int met = WRITES(flags) || (error == EMFILE && at >= 0) ? change("open", base, path, WRITES(flags)) : 0; \
    if (met == 1) { errno = error; return -1; } DIE_AFTER(call_real)
int open(const char *path, int flags, ...) { OPEN(open, AT_FDCWD, path, flags, real(path, flags, mode)); }
int open64(const char *path, int flags, ...) { OPEN(open64, AT_FDCWD, path, flags, real(path, flags, mode)); }
int openat(int base, const char *path, int flags, ...) { OPEN(openat, base, path, flags, real(base, path, flags, mode)); }
int openat64(int base, const char *path, int flags, ...) { OPEN(openat64, base, path, flags, real(base, path, flags, mode)); }
FILE *fopen(const char *path, const char *how) { REAL(fopen); int met = strpbrk(how, "wa+") ? change("open", AT_FDCWD, path, 1) : 0; if (met == 1) { errno = error; return NULL; } DIE_AFTER(real(path, how)); }
FILE *fopen64(const char *path, const char *how) { REAL(fopen64); int met = strpbrk(how, "wa+") ? change("open", AT_FDCWD, path, 1) : 0; if (met == 1) { errno = error; return NULL; } DIE_AFTER(real(path, how)); }
int rename(const char *from, const char *to) { REAL(rename); CHANGE("rename", AT_FDCWD, to, -1); DIE_AFTER(real(from, to)); }
int renameat(int a, const char *from, int b, const char *to) { REAL(renameat); CHANGE("rename", b, to, -1); DIE_AFTER(real(a, from, b, to)); }
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) { REAL(renameat2); CHANGE("rename", b, to, -1); DIE_AFTER(real(a, from, b, to, flags)); }
int unlink(const char *path) { REAL(unlink); CHANGE("unlink", AT_FDCWD, path, -1); DIE_AFTER(real(path)); }
int unlinkat(int base, const char *path, int flags) { REAL(unlinkat); CHANGE(flags & AT_REMOVEDIR ? "rmdir" : "unlink", base, path, -1); DIE_AFTER(real(base, path, flags)); }
int rmdir(const char *path) { REAL(rmdir); CHANGE("rmdir", AT_FDCWD, path, -1); DIE_AFTER(real(path)); }
int mkdir(const char *path, mode_t mode) { REAL(mkdir); CHANGE("mkdir", AT_FDCWD, path, -1); DIE_AFTER(real(path, mode)); }
int mkdirat(int base, const char *path, mode_t mode) { REAL(mkdirat); CHANGE("mkdir", base, path, -1); DIE_AFTER(real(base, path, mode)); }
int link(const char *from, const char *to) { REAL(link); CHANGE("link", AT_FDCWD, to, -1); DIE_AFTER(real(from, to)); }
int symlink(const char *from, const char *to) { REAL(symlink); CHANGE("link", AT_FDCWD, to, -1); DIE_AFTER(real(from, to)); }
int truncate(const char *path, off_t size) { REAL(truncate); CHANGE("truncate", AT_FDCWD, path, -1); DIE_AFTER(real(path, size)); }
int ftruncate(int file, off_t size) { REAL(ftruncate); int met = write_to(file, "truncate"); if (met == 1) { errno = error; return -1; } DIE_AFTER(real(file, size)); }
int ftruncate64(int file, off64_t size) { REAL(ftruncate64); int met = write_to(file, "truncate"); if (met == 1) { errno = error; return -1; } DIE_AFTER(real(file, size)); }
int fsync(int file) { REAL(fsync); int met = write_to(file, "fsync"); if (met == 1) { errno = error; return -1; } DIE_AFTER(real(file)); }

#define WRITE(half_call, whole_call) \
    if (met == 1) { errno = error; return -1; } \
    if (met == 2) { (void)!half_call; kill(getpid(), SIGKILL); } \
    DIE_AFTER(whole_call)
ssize_t write(int file, const void *data, size_t size) { REAL(write); int met = write_to(file, "write"); WRITE(real(file, data, size / 2), real(file, data, size)); }
ssize_t pwrite(int file, const void *data, size_t size, off_t where) { REAL(pwrite); int met = write_to(file, "write"); WRITE(real(file, data, size / 2, where), real(file, data, size, where)); }
ssize_t pwrite64(int file, const void *data, size_t size, off64_t where) { REAL(pwrite64); int met = write_to(file, "write"); WRITE(real(file, data, size / 2, where), real(file, data, size, where)); }
ssize_t writev(int file, const struct iovec *parts, int number) { REAL(writev); int met = write_to(file, "write"); WRITE(real(file, parts, number / 2), real(file, parts, number)); }
ssize_t sendfile(int to, int from, off_t *where, size_t size) { REAL(sendfile); int met = write_to(to, "write"); WRITE(real(to, from, where, size / 2), real(to, from, where, size)); }
ssize_t sendfile64(int to, int from, off64_t *where, size_t size) { REAL(sendfile64); int met = write_to(to, "write"); WRITE(real(to, from, where, size / 2), real(to, from, where, size)); }
ssize_t copy_file_range(int from, off64_t *a, int to, off64_t *b, size_t size, unsigned flags) { REAL(copy_file_range); int met = write_to(to, "write"); WRITE(real(from, a, to, b, size / 2, flags), real(from, a, to, b, size, flags)); }
size_t fwrite(const void *data, size_t size, size_t number, FILE *file) {
    REAL(fwrite);
    int met = write_to(fileno(file), "write");
    if (met == 1) { errno = error; return 0; }
    if (met == 2) { real(data, size, number / 2, file); fflush(file); kill(getpid(), SIGKILL); }
    DIE_AFTER(real(data, size, number, file));
}
