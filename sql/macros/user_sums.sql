-- Sums for each user that processes worked as, those with the most time in calls first; no user where the capture knows none.
--
-- @parameter most BIGINT 100 rows, at most
-- @needs io
-- @example SELECT * FROM user_sums()
-- @from walk user_id
-- @column processes BIGINT process ids with calls on files
-- @from measures calls
-- @column files BIGINT different files of the user
-- @from measures read_bytes written_bytes
-- @column syncs BIGINT syncs of the user
-- @from measures failed
-- @from measures total_ns
SELECT
    user_id,
    count(DISTINCT pid) AS processes,
    count(*) AS calls,
    count(DISTINCT file) AS files,
    coalesce(sum(bytes) FILTER (WHERE class = 'reads'), 0) AS read_bytes,
    coalesce(sum(bytes) FILTER (WHERE class = 'writes'), 0) AS written_bytes,
    count(*) FILTER (WHERE class = 'syncs') AS syncs,
    count(*) FILTER (WHERE errno <> 0) AS failed,
    coalesce(sum(dur_ns), 0) AS total_ns
FROM io
GROUP BY user_id
ORDER BY total_ns DESC, user_id
LIMIT $most
