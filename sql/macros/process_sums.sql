-- Sums for each process, those with the most time in calls first.
--
-- @parameter most BIGINT 100 rows, at most
-- @needs io
-- @example SELECT * FROM process_sums()
-- @from events pid
-- @column comm VARCHAR name of the process at its last call
-- @from walk rank
-- @column threads BIGINT threads with calls on files
-- @from measures calls
-- @column files BIGINT different files
-- @from measures read_bytes written_bytes
-- @column syncs BIGINT syncs
-- @from measures failed
-- @from measures total_ns
SELECT
    pid,
    last_value(comm ORDER BY seq) AS comm,
    last_value(rank ORDER BY seq) AS rank,
    count(DISTINCT tid) AS threads,
    count(*) AS calls,
    count(DISTINCT file) AS files,
    coalesce(sum(bytes) FILTER (WHERE class = 'reads'), 0) AS read_bytes,
    coalesce(sum(bytes) FILTER (WHERE class = 'writes'), 0) AS written_bytes,
    count(*) FILTER (WHERE class = 'syncs') AS syncs,
    count(*) FILTER (WHERE errno <> 0) AS failed,
    coalesce(sum(dur_ns), 0) AS total_ns
FROM io
GROUP BY pid
ORDER BY total_ns DESC, pid
LIMIT $most
