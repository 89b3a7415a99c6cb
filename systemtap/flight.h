/* When the calls in flight began: a small table, open addressing. A thread takes a free slot near its own and gives
 * it back; where the neighbourhood is full the beginning of the call is not known. */

enum { SLOTS = 1 << 16, NEAR = 16 };

static struct slot {
	atomic_t tid;
	u64 since;
	char *closing; /* what the descriptor is open on that the call is about to close */
} slots[SLOTS];

static struct slot *slot_of(int tid, int holder)
{
	int i;

	for (i = 0; i < NEAR; i++) {
		struct slot *slot = &slots[(tid + i) % SLOTS];

		if (holder ? atomic_read(&slot->tid) == holder : !atomic_cmpxchg(&slot->tid, 0, tid))
			return slot;
	}
	return NULL;
}

/* Takes a slot; NULL when there is none. */
static struct slot *begun(int tid)
{
	struct slot *slot = slot_of(tid, tid);

	if (!slot)
		slot = slot_of(tid, 0);
	if (slot) {
		slot->since = ktime_get_ns();
		kfree(slot->closing);
		slot->closing = NULL;
	}
	return slot;
}

/* When the call of a thread began, 0 when that is not known; and what it was closing, which the caller frees. */
static u64 ended(int tid, char **closing)
{
	struct slot *slot = slot_of(tid, tid);
	u64 since = slot ? slot->since : 0;

	*closing = slot ? slot->closing : NULL;
	if (slot) {
		slot->closing = NULL;
		atomic_set(&slot->tid, 0);
	}
	return since;
}

/* What a descriptor is open on, in memory of its own. */
static char *open_on(int fd)
{
	struct file *file = fget_raw(fd);
	char *room = file ? kmalloc(PATH_MAX, GFP_ATOMIC | __GFP_NOWARN) : NULL;
	char *text = room ? d_path(&file->f_path, room, PATH_MAX) : NULL;

	if (file)
		fput(file);
	if (IS_ERR_OR_NULL(text)) {
		if (file)
			atomic64_inc(&unreadable);
		kfree(room);
		return NULL;
	}
	memmove(room, text, strlen(text) + 1);
	return room;
}

/* The probes are off: gives back what calls in flight hold, and counts them. */
static long in_flight(void)
{
	long i, count = 0;

	for (i = 0; i < SLOTS; i++) {
		count += atomic_read(&slots[i].tid) != 0;
		kfree(slots[i].closing);
		slots[i].closing = NULL;
	}
	return count;
}
