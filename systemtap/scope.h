/* Which processes: a bit for each thread group. Children inherit it.
 *
 * ioriot that reads the capture (`reader`) names the processes itself and is told how it stands: it calls for the
 * command, and lets it go, when the probes are at work, and ends the capture when there is nobody left to follow. */

#if defined SCOPE_TARGET
#define SCOPE "target"
#elif defined SCOPE_NAME
#define SCOPE "name"
#else
#define SCOPE "all"
#endif

typedef unsigned long processes[BITS_TO_LONGS(PID_MAX_LIMIT + 1)];

static processes followed, over; /* their calls are written; their end was */
static atomic_t left; /* how many are followed or awaited, for SCOPE_TARGET */

static char wanted[TASK_COMM_LEN]; /* for SCOPE_NAME: the name, as an exec gives it to the process */
static bool children; /* are they followed too? */

/* The process that will execute the command, a child of stapio or of the reader: until then it is not what was asked
 * for. */
static int awaited;

static int reader;
static atomic_t ready; /* was it told? */

static bool follows(struct task_struct *task)
{
	return test_bit(task->tgid, followed);
}

static void follow(struct task_struct *task, bool yes)
{
	if (yes)
		set_bit(task->tgid, followed);
	else
		clear_bit(task->tgid, followed);
}

/* What a process or thread is when it is born. */
static void inherit(struct task_struct *child)
{
	bool is_thread = child->tgid == current->tgid;

	if (is_thread)
		return;
	follow(child, follows(current) && children);
	clear_bit(child->tgid, over);
	if (follows(child))
		atomic_inc(&left);
}

/* A thread ends: is it the last one of its process? Two that end at once must not both be. */
static bool ends_process(void)
{
	if (atomic_read(&current->signal->live) || test_and_set_bit(current->tgid, over))
		return false;
	atomic_dec(&left);
	return true;
}

/* What the reader is told, at any call of its own. */
static const char *news(void)
{
	if (!atomic_xchg(&ready, 1))
		return "#|capture_ready|\n";
	return SCOPE[0] == 't' && atomic_read(&left) == 0 ? "#|capture_idle|\n" : "";
}

/* Is a process the one, or below it? */
static bool descends(struct task_struct *task, struct task_struct *from)
{
	for (; task != from && task->pid; task = rcu_dereference(task->real_parent))
		;
	return task == from;
}

/* Chooses a process, and with `below` all below it. */
static void choose(int pid, bool below)
{
	struct task_struct *task, *top = pid_task(find_vpid(pid), PIDTYPE_PID);

	if (!top)
		return;
	if (!strcmp(top->comm, "stapio") || (reader && rcu_dereference(top->real_parent)->tgid == reader)) {
		awaited = top->tgid;
		atomic_inc(&left);
		return;
	}
	for_each_process(task) {
		if ((below && descends(task, top)) || task->tgid == top->tgid) {
			follow(task, true);
			atomic_inc(&left);
		}
	}
}

/* Chooses the processes that are followed from the start: those of a list, else the target and what is below it, else
 * those of a name, else all but those that write and read the capture. False when there are none to choose. */
static bool choose_all(int target, int self, const char *name, const char *pids)
{
	struct task_struct *task;

	rcu_read_lock();
	task = reader ? pid_task(find_vpid(reader), PIDTYPE_PID) : NULL;
	reader = task ? task->tgid : 0;
	strncpy(wanted, name, TASK_COMM_LEN - 1);
	if (SCOPE[0] == 'a') {
		bitmap_fill(followed, PID_MAX_LIMIT + 1);
		clear_bit(self, followed);
		clear_bit(reader, followed);
	} else if (SCOPE[0] == 'n') {
		for_each_process(task)
			follow(task, !strcmp(task->comm, wanted));
	} else if (*pids) {
		while (*pids) {
			choose(simple_strtoul(pids, (char **)&pids, 10), false);
			pids += *pids != 0; /* the comma */
		}
	} else {
		choose(target, true);
	}
	rcu_read_unlock();
	return SCOPE[0] == 't' ? atomic_read(&left) > 0 : SCOPE[0] == 'a' || *wanted;
}
