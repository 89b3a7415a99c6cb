-- Files with at least 100 syncs, between two of which less than 64 KiB are written on average.
--
-- @title A sync for every small write
-- @severity high
-- @advice Collect several changes before each sync (group commit, larger transactions, a write-ahead log), or leave out
-- @advice syncs whose loss after a crash does not matter.
-- @source fsync(2): each sync waits until the device reports that the data is stored
-- @needs io
-- @from measures subject evidence cost_ns
SELECT
    path AS subject,
    concat(syncs, ' syncs, ', written / nullif(syncs, 0), ' bytes written for each, ', writes, ' writes') AS evidence,
    sync_ns AS cost_ns
FROM (
    SELECT
        path,
        count(*) FILTER (WHERE class = 'syncs') AS syncs,
        count(*) FILTER (WHERE class = 'writes') AS writes,
        CAST(coalesce(sum(bytes) FILTER (WHERE class = 'writes'), 0) AS BIGINT) AS written,
        CAST(coalesce(sum(dur_ns) FILTER (WHERE class = 'syncs'), 0) AS BIGINT) AS sync_ns
    FROM io
    WHERE class IN ('syncs', 'writes') AND path IS NOT NULL AND errno = 0
    GROUP BY path
)
WHERE syncs >= 100 AND written > 0 AND written / nullif(syncs, 0) < 65536
ORDER BY cost_ns DESC, subject
LIMIT 5
