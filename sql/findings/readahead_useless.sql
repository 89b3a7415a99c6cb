-- The captured command made devices read twice as many bytes as its calls and page faults got, or more, and at least 64 MiB more than these; page faults were captured.
--
-- @title More is read ahead than is used
-- @severity medium
-- @advice Tell the kernel that reads jump (posix_fadvise(2), POSIX_FADV_RANDOM; madvise(2), MADV_RANDOM), lower read_ahead_kb
-- @advice of the device, or read in order. Writes of parts of blocks that are not in memory read, too.
-- @source proc_pid_io(5), read_bytes; readahead(2); getrusage(2), ru_inblock
-- @needs io manifests events
-- @from measures subject evidence cost_ns
WITH told AS (
    SELECT
        max(TRY_CAST(value AS BIGINT)) FILTER (WHERE key = 'task_io.read_bytes') AS device,
        count(*) FILTER (WHERE key = 'faults' AND value = 'true') AS faults
    FROM manifests
    WHERE kind = 'capture'
),
-- What a page fault brought in counts as got, all of it.
faulted AS (SELECT CAST(coalesce(sum("count"), 0) AS BIGINT) AS bytes FROM events WHERE syscall = 'mmap_fault'),
asked AS (
    SELECT
        CAST(coalesce(sum(bytes) FILTER (WHERE class IN ('reads', 'copies')), 0) AS BIGINT) AS bytes,
        CAST(coalesce(sum(dur_ns) FILTER (WHERE class IN ('reads', 'copies')), 0) AS BIGINT) AS read_ns
    FROM io
)
SELECT
    'the captured command' AS subject,
    concat(device, ' bytes read by devices, ', asked.bytes, ' got by calls, ', faulted.bytes, ' by page faults') AS evidence,
    read_ns AS cost_ns
FROM told
CROSS JOIN faulted
CROSS JOIN asked
WHERE faults > 0 AND device / 2 >= asked.bytes + faulted.bytes AND device >= asked.bytes + faulted.bytes + 67108864
