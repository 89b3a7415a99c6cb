/* Events: what the tracepoints tell, as lines. */

static struct line new_line(char *text)
{
	return (struct line){ text, text, text + LINE, text + MAXSTRINGLEN - PATH_MAX };
}

/* What every line begins with. `since` is 0 when the entry of the call was not seen. */
static void put_head(struct line *line, const char *what, u64 since, u64 now)
{
	put_number(line, 'n', atomic64_inc_return(&events));
	put_number(line, 't', now + to_unix);
	put_number(line, 'D', since ? (s64)(now - since) : -1);
	put(line, "i=");
	put_value(line, current->tgid);
	put(line, ":");
	put_value(line, current->pid);
	put(line, ";:,o=");
	put(line, what);
	put(line, ";:,");
	if (!since)
		atomic64_inc(&unstarted);
}

/* The id of a child by all accounts, where the parent was told the one of its container. */
static long child_of(long ret)
{
	struct task_struct *child;

	rcu_read_lock();
	child = pid_task(find_vpid(ret), PIDTYPE_PID);
	if (child)
		ret = child->pid;
	rcu_read_unlock();
	return ret;
}

static void enter(void)
{
	struct pt_regs *regs = task_pt_regs(current);
	const struct call *call = follows(current) || current->tgid == awaited ? call_of(regs) : NULL;
	struct slot *slot = call ? begun(current->pid) : NULL;
	unsigned long at[6];

	if (slot && call->args[0] == 'Z') {
		syscall_get_arguments(current, regs, at);
		slot->closing = open_on(at[0]);
	}
}

/* A call has returned. */
static void leave(char *text, long ret)
{
	struct pt_regs *regs = task_pt_regs(current);
	const struct call *call = call_of(regs);
	struct args args = { .compat = in_ia32_syscall(), .ret = ret, .dir = AT_FDCWD };
	struct line line = new_line(text);
	const char *spec;
	u64 since;
	int i = 0;

	if (current->tgid == reader)
		strcpy(text, news());
	if (!call || !follows(current))
		return;
	since = ended(current->pid, &args.closing);
	spec = args.compat && call->args32 ? call->args32 : call->args;
	if (strchr(spec, '&')) {
		if (ret == 0)
			return; /* the child comes back from its own birth */
		if (ret > 0)
			args.ret = child_of(ret);
	}
	if (ret == 0 && !strncmp(call->name, "execve", 6))
		return; /* written by executed() */
	syscall_get_arguments(current, regs, args.at);
	put_head(&line, call->name, since, ktime_get_ns());
	if (ret == 0 && strchr(spec, 'r')) {
		s64 position;

		if (fetch(&position, args.at[3], sizeof position))
			args.ret = position;
	}
	/* ERESTARTSYS and its kin: the program never sees them, the call is begun again or becomes EINTR. */
	if (ret <= -512 && ret >= -516)
		put(&line, "s=?;:,");
	else
		put_number(&line, 's', args.ret);
	while (*spec) {
		int taken = put_argument(&line, &args, spec, i);

		i += taken;
		spec += taken;
	}
	kfree(args.closing);
	end_line(&line);
}

/* A program was executed; a thread that is not the leader takes over its id. */
static void executed(char *text, int old, struct linux_binprm *bprm)
{
	struct line line = new_line(text);
	const char *path = bprm->filename;
	char *rest, *closing;
	u64 since = ended(old, &closing);
	int dir;

	kfree(closing);
	if (current->tgid == awaited)
		follow(current, true);
	if (SCOPE[0] == 'n')
		follow(current, !strcmp(current->comm, wanted));
	if (!follows(current))
		return;
	/* execveat(2) of a descriptor, in the kernel's words: /dev/fd/5/name. */
	if (!strncmp(path, "/dev/fd/", 8)) {
		dir = simple_strtol(path + 8, &rest, 10);
		put_head(&line, "execveat", since, ktime_get_ns());
		put(&line, "s=0;:,");
		put_number(&line, 'h', dir);
		path = *rest == '/' ? rest + 1 : "";
		put_text(&line, 'p', path, strlen(path));
		put_open(&line, 'w', dir, false);
		put_number(&line, 'f', *path ? 0 : AT_EMPTY_PATH);
	} else {
		put_head(&line, "execve", since, ktime_get_ns());
		put(&line, "s=0;:,");
		put_text(&line, 'p', path, strlen(path));
		if (*path != '/')
			put_cwd(&line, 'w');
	}
	end_line(&line);
}

/* A thread is about to end, by exit(2) or by a signal; its descriptors are still open. */
static void leaves(char *text)
{
	struct line line = new_line(text);
	u64 now = ktime_get_ns();
	char *closing;

	if (!follows(current))
		return;
	ended(current->pid, &closing);
	kfree(closing);
	put_head(&line, ends_process() ? "exit_group" : "exit", now, now);
	end_line(&line);
}
