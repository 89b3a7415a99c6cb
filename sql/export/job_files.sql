-- How many files each thread read or wrote, and how large they are, for the job files of fio.
--
-- @needs io
-- @from events pid tid
-- @column files BIGINT files that it read or wrote
-- @column extent BIGINT bytes up to the last that it read or wrote, summed over these
SELECT pid, tid, count(*) AS files, CAST(sum(reach) AS BIGINT) AS extent
FROM (
    SELECT pid, tid, path, max("offset" + bytes) AS reach
    FROM io
    WHERE class IN ('reads', 'writes') AND bytes > 0 AND path IS NOT NULL
    GROUP BY pid, tid, path
)
GROUP BY pid, tid
