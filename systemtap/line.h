/* Lines. They are built in the string that the function gives to the script; what does not fit is left out and
 * counted. Behind it is room to fetch a path into. */

struct line {
	char *start, *at, *end;
	char *scratch; /* PATH_MAX bytes */
	bool kind; /* is M written? */
};

/* The runtime passes on 8192 bytes at once; the end of a line is for numbers, so that they always fit. */
enum { LINE = 8000, NUMBERS = 512 };

static void put(struct line *line, const char *text)
{
	while (*text && line->at < line->end)
		*line->at++ = *text++;
}

static void put_key(struct line *line, char key)
{
	char text[] = { key, '=', 0 };

	put(line, text);
}

static void put_digits(struct line *line, u64 value)
{
	char digits[24], *at = digits + sizeof digits - 1;

	*at = 0;
	do
		*--at = '0' + value % 10;
	while (value /= 10);
	put(line, at);
}

static void put_value(struct line *line, s64 value)
{
	if (value < 0)
		put(line, "-");
	put_digits(line, value < 0 ? -(u64)value : value);
}

static void put_number(struct line *line, char key, s64 value)
{
	put_key(line, key);
	put_value(line, value);
	put(line, ";:,");
}

/* Text: control characters, the backslash and the semicolon as \ooo, like /proc/self/mounts has them. So a line has no
 * separator and no end but its own. */
static void put_text(struct line *line, char key, const char *text, size_t len)
{
	char *start = line->at;

	put_key(line, key);
	for (; len; len--, text++) {
		unsigned char c = *text;

		if (line->end - line->at < NUMBERS) {
			line->at = start;
			atomic64_inc(&crowded);
			return;
		}
		if (c < ' ' || c == 0x7f || c == '\\' || c == ';') {
			*line->at++ = '\\';
			*line->at++ = '0' + (c >> 6);
			*line->at++ = '0' + (c >> 3 & 7);
			*line->at++ = '0' + (c & 7);
		} else {
			*line->at++ = c;
		}
	}
	put(line, ";:,");
}

/* What a line that was cut or damaged on its way does not have any more. */
static u32 check_of(const char *text, size_t len)
{
	u64 hash = 0;

	while (len) {
		size_t some = min(len, sizeof hash);
		u64 word = 0;

		memcpy(&word, text, some);
		hash = rol64(hash ^ word, 29) * 0x9e3779b97f4a7c15ull;
		text += some;
		len -= some;
	}
	return hash >> 32;
}

static void end_line(struct line *line)
{
	/* Behind `end`: there always is room for this. */
	line->at += sprintf(line->at, "k=%08x;:,\n", check_of(line->start, line->at - line->start));
}

static void put_path(struct line *line, char key, const struct path *path)
{
	char *text = d_path(path, line->scratch, PATH_MAX);

	if (IS_ERR(text))
		atomic64_inc(&unreadable);
	else
		put_text(line, key, text, strlen(text));
}

/* What a descriptor is open on, by the name it has now. `kind`: say so when it is neither file nor directory. */
static void put_open(struct line *line, char key, int fd, bool kind)
{
	struct file *file = fd >= 0 ? fget_raw(fd) : NULL;

	if (!file)
		return;
	put_path(line, key, &file->f_path);
	if (kind && !S_ISREG(file_inode(file)->i_mode) && !S_ISDIR(file_inode(file)->i_mode)) {
		put_number(line, 'M', file_inode(file)->i_mode);
		line->kind = true;
	}
	fput(file);
}

static void put_cwd(struct line *line, char key)
{
	struct fs_struct *fs = current->fs;

	if (!fs)
		return;
	/* The lock stands for a reference: giving one back might sleep. */
	spin_lock(&fs->lock);
	put_path(line, key, &fs->pwd);
	spin_unlock(&fs->lock);
}
