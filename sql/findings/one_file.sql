-- A file that at least two threads use, of ten or more, on which more than half of the time in calls was spent.
--
-- @title One file takes most of the time
-- @severity medium
-- @advice Split the file, or let one thread work for the others: calls on one file may wait for each other in the file
-- @advice system.
-- @source the lock of the inode that writes to one file share
-- @needs io
-- @from measures subject evidence cost_ns
SELECT
    path AS subject,
    concat(TRY_CAST(round(CAST(file_ns AS DOUBLE) * 100 / nullif(all_ns, 0)) AS BIGINT), ' % of the time in calls, by ', threads, ' threads') AS evidence,
    file_ns AS cost_ns
FROM (
    SELECT
        path,
        count(DISTINCT tid) AS threads,
        CAST(coalesce(sum(dur_ns), 0) AS BIGINT) AS file_ns,
        CAST(sum(coalesce(sum(dur_ns), 0)) OVER () AS BIGINT) AS all_ns,
        count(*) OVER () AS files
    FROM io
    WHERE path IS NOT NULL
    GROUP BY path
)
WHERE files >= 10 AND threads >= 2 AND CAST(file_ns AS DOUBLE) > 0.5 * all_ns
