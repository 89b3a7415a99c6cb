/* Arguments of a call: read out of registers and the memory of the program, written under their keys. */

/* ---- Memory of the program. It cannot be brought in here, so what is not there is counted. */

static bool fetch(void *to, unsigned long from, size_t size)
{
	unsigned long left = size;

	if (from && access_ok((void __user *)from, size)) {
		pagefault_disable();
		left = __copy_from_user_inatomic(to, (void __user *)from, size);
		pagefault_enable();
	}
	if (from && left)
		atomic64_inc(&unreadable);
	return from && !left;
}

/* A machine word of the program, as an unsigned number. */
static bool fetch_word(u64 *to, unsigned long from, int index, bool compat)
{
	u32 half;

	if (!compat)
		return fetch(to, from + index * 8, 8);
	if (!fetch(&half, from + index * 4, 4))
		return false;
	*to = half;
	return true;
}

/* A string of the program, into the scratch space; its length, or -1. */
static long fetch_text(struct line *line, unsigned long from)
{
	long len = -EFAULT;

	if (!from)
		return -1;
	pagefault_disable();
	len = strncpy_from_user(line->scratch, (char __user *)from, PATH_MAX);
	pagefault_enable();
	if (len == -EFAULT)
		atomic64_inc(&unreadable);
	return len < 0 || len == PATH_MAX ? -1 : len; /* longer than any path: the call failed for that */
}

/* ---- Arguments, each by its letter in the table */

struct args {
	bool compat;
	long ret;
	unsigned long at[6];
	char *closing; /* what the descriptor was open on */
	int dir; /* where the next path starts */
	unsigned long iov; /* address of an array of buffers */
	u64 flags;
	u32 cmd;
};

static void put_named(struct line *line, struct args *args, char letter, unsigned long from)
{
	char key = letter == 'P' ? 'P' : 'p', start = letter == 'P' ? 'y' : 'w';
	long len = fetch_text(line, from);
	bool absolute = len > 0 && line->scratch[0] == '/';

	if (len >= 0)
		put_text(line, key, line->scratch, len);
	if (absolute || (from && len < 0) || (letter == 'C' && args->ret == 0))
		;
	else if (args->dir == AT_FDCWD)
		put_cwd(line, start);
	else
		put_open(line, start, args->dir, false);
	args->dir = AT_FDCWD;
}

static void put_iov(struct line *line, struct args *args, unsigned long count)
{
	u64 total = 0, len;
	unsigned long i;

	put_number(line, 'v', count);
	for (i = 0; i < count && i < UIO_MAXIOV; i++) {
		if (!fetch_word(&len, args->iov, 2 * i + 1, args->compat))
			return;
		total += len;
	}
	if (i == count)
		put_number(line, 'c', total);
}

static void put_stat(struct line *line, unsigned long from, int mode, int mode_size, int size, int size_size)
{
	u64 st_mode = 0, st_size = 0;

	if (fetch(&st_mode, from + mode, mode_size) && fetch(&st_size, from + size, size_size)) {
		if (!line->kind)
			put_number(line, 'M', st_mode);
		put_number(line, 'S', st_size);
	}
}

/* Two times. `part` is what the second word of each is worth in ns; 0 when there is none. */
static void put_times(struct line *line, struct args *args, unsigned long from, int part)
{
	int i;

	for (i = 0; i < 2; i++) {
		u64 seconds, fraction = 0;

		put_key(line, 'A' + i);
		if (!from) {
			put(line, "now");
		} else if (!fetch_word(&seconds, from, part ? 2 * i : i, args->compat) ||
			   (part && !fetch_word(&fraction, from, 2 * i + 1, args->compat))) {
			line->at -= 2;
			return;
		} else if (part == 1 && fraction == ((1l << 30) - 1l)) {
			put(line, "now"); /* UTIME_NOW */
		} else if (part == 1 && fraction == ((1l << 30) - 2l)) {
			put(line, "omit"); /* UTIME_OMIT */
		} else {
			s64 whole = args->compat ? (s32)seconds : (s64)seconds;

			put_value(line, whole * NSEC_PER_SEC + fraction * part);
		}
		put(line, ";:,");
	}
}

/* A position behind a pointer, as it was before the call moved it on. */
static void put_position(struct line *line, struct args *args, char key, unsigned long from, size_t size)
{
	s64 at = 0;

	if (fetch(&at, from, size))
		put_number(line, key, at - max(args->ret, 0l));
}

/* Is it a command of fcntl(2) for record locks: of a process, the same of i386, of an open file description? */
static bool is_lock(u32 cmd)
{
	return cmd - 5 < 3 || cmd - 12 < 3 || cmd - 36 < 3;
}

/* A record lock: its kind, what its start counts from, start and length. Older commands of i386 point to a smaller one. */
static void put_lock(struct line *line, struct args *args, unsigned long from)
{
	s16 kind[2];
	s32 small[2];
	s64 range[2];

	if (!fetch(kind, from, sizeof kind))
		return;
	if (args->compat && args->cmd < 12) {
		if (!fetch(small, from + 4, sizeof small))
			return;
		range[0] = small[0];
		range[1] = small[1];
	} else if (!fetch(range, from + (args->compat ? 4 : 8), sizeof range)) {
		return;
	}
	put_number(line, 'm', kind[0]);
	put_number(line, 'W', kind[1]);
	put_number(line, 'O', range[0]);
	put_number(line, 'c', range[1]);
}

/* Writes argument `i` by its letter, and says how many arguments it took. */
static int put_argument(struct line *line, struct args *args, const char *spec, int i)
{
	unsigned long value = i < 6 ? args->at[i] : 0;
	u64 how[3];
	s32 pair[2];
	int taken = 1;

	if (spec[0] == '>') {
		put_number(line, spec[1], value << 32 | (u32)args->at[i + 1]);
		return 2;
	}
	if (spec[1] == '<') {
		value |= args->at[i + 1] << 32;
		taken = 2;
	} else if (args->compat && spec[0] == 'O') {
		value = (s32)value;
	}
	switch (spec[0]) {
	case 'd':
	case 'e':
		put_number(line, spec[0], (s32)value);
		put_open(line, spec[0] == 'd' ? 'x' : 'X', (s32)value, spec[0] == 'd');
		break;
	case 'Z':
		put_number(line, 'd', (s32)value);
		if (args->closing)
			put_text(line, 'x', args->closing, strlen(args->closing));
		break;
	case 'h':
	case 'H':
		args->dir = value;
		put_number(line, spec[0], (s32)value);
		break;
	case 'p':
	case 'P':
	case 'C':
		put_named(line, args, spec[0], value);
		break;
	case 't':
	case 'N': {
		long len = fetch_text(line, value);

		if (len >= 0)
			put_text(line, spec[0] == 't' ? 'P' : 'N', line->scratch, len);
		break;
	}
	case 'L':
		if (args->ret > 0 && args->ret <= PATH_MAX && fetch(line->scratch, value, args->ret))
			put_text(line, 'P', line->scratch, args->ret);
		break;
	case 'l':
		if (args->ret > 0 && fetch_text(line, value) >= 0)
			put_text(line, 'p', line->scratch, strlen(line->scratch));
		break;
	case 'o':
	case 'q':
		put_position(line, args, spec[0] == 'o' ? 'O' : 'E', value, 8);
		break;
	case 'w':
		put_position(line, args, 'O', value, 4);
		break;
	case '#':
		put_number(line, 'O', (s64)value * 4096);
		break;
	case 'V':
		args->iov = value;
		break;
	case 'v':
		put_iov(line, args, value);
		break;
	case 'f':
		args->flags = value;
		put_number(line, 'f', (u32)value);
		break;
	case 'M':
		/* Else nobody set it. */
		if (args->flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)))
			put_number(line, 'm', (u32)value);
		break;
	case 'u':
	case 'g':
		put_number(line, spec[0], (s32)value == -1 ? -1 : (s64)(u32)value);
		break;
	case 'a':
	case 'b':
		put_number(line, spec[0] == 'a' ? 'u' : 'g', (u16)value == (u16)-1 ? -1 : (s64)(u16)value);
		break;
	case 'k':
		if (fetch(how, value, sizeof how)) {
			put_number(line, 'f', how[0]);
			put_number(line, 'm', how[1]);
			put_number(line, 'R', how[2]);
		}
		break;
	case 'K':
		if (fetch(how, value, sizeof how[0]))
			put_number(line, 'f', how[0]);
		break;
	case 's':
		if (args->ret == 0 && args->compat)
			put_stat(line, value, 8, 2, 20, 4);
		else if (args->ret == 0)
			put_stat(line, value, 24, 4, 48, 8);
		break;
	case 'z':
		if (args->ret == 0)
			put_stat(line, value, 16, 4, 44, 8);
		break;
	case 'x':
		if (args->ret == 0)
			put_stat(line, value, 28, 2, 40, 8);
		break;
	case 'T':
		put_times(line, args, value, 1);
		break;
	case 'U':
		put_times(line, args, value, 1000);
		break;
	case 'Y':
		put_times(line, args, value, 0);
		break;
	case 'D':
		if (args->ret == 0 && fetch(pair, value, sizeof pair)) {
			put_number(line, 'd', pair[0]);
			put_open(line, 'x', pair[0], false);
			put_number(line, 'e', pair[1]);
			put_open(line, 'X', pair[1], false);
		}
		break;
	case '=':
		put_open(line, 'x', args->ret, true);
		break;
	case 'r':
	case '-':
	case '&':
		break;
	case 'F':
		args->cmd = value;
		put_number(line, 'F', (u32)value);
		break;
	case 'G':
		if (is_lock(args->cmd))
			put_lock(line, args, value);
		else
			put_number(line, 'G', value);
		break;
	case 'm':
		put_number(line, 'm', (u32)value);
		break;
	case 'W':
		put_number(line, 'W', (s32)value);
		break;
	default: /* c O */
		put_number(line, spec[0], value);
	}
	return taken;
}
