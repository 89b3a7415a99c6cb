-- What lies between syncs of a file: writes, bytes, time, and how many threads wrote (group commit), for each file that was synced.
--
-- @parameter least BIGINT 1 syncs that a file must have had
-- @needs io
-- @example SELECT * FROM sync_intervals()
-- @column path VARCHAR path of the file that was synced
-- @column syncs BIGINT syncs of it
-- @column writes_per_sync DOUBLE writes before each, on average
-- @column bytes_per_sync DOUBLE bytes written before each, on average
-- @column most_bytes BIGINT bytes before the one with the most
-- @column empty_syncs BIGINT syncs with no write before them
-- @column threads_per_sync DOUBLE threads that wrote before each, on average of those with writes
-- @column sync_ns BIGINT time in syncs, all together, ns
WITH
numbered AS (
    SELECT
        file, path, tid, class, bytes, dur_ns,
        coalesce(
            sum(CASE class WHEN 'syncs' THEN 1 ELSE 0 END)
                OVER (PARTITION BY file ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
            0
        ) AS nth
    FROM io
    WHERE file IS NOT NULL AND class IN ('writes', 'syncs')
),
intervals AS (
    SELECT
        file, nth,
        min(path) AS path,
        count(*) FILTER (WHERE class = 'syncs') AS syncs,
        count(*) FILTER (WHERE class = 'writes') AS writes,
        coalesce(sum(bytes) FILTER (WHERE class = 'writes'), 0) AS bytes,
        count(DISTINCT tid) FILTER (WHERE class = 'writes') AS threads,
        coalesce(sum(dur_ns) FILTER (WHERE class = 'syncs'), 0) AS sync_ns
    FROM numbered
    GROUP BY file, nth
)
SELECT
    min(path) AS path,
    sum(syncs) AS syncs,
    avg(writes) AS writes_per_sync,
    avg(bytes) AS bytes_per_sync,
    max(bytes) AS most_bytes,
    count(*) FILTER (WHERE writes = 0) AS empty_syncs,
    avg(threads) FILTER (WHERE writes > 0) AS threads_per_sync,
    sum(sync_ns) AS sync_ns
FROM intervals
WHERE syncs > 0
GROUP BY file
HAVING sum(syncs) >= $least
ORDER BY sync_ns DESC, path
