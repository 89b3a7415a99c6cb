-- More than half of the time in calls on files went to opening, looking up and changing names, in at least 1000 such calls.
--
-- @title Mostly metadata
-- @severity medium
-- @advice Use fewer and larger files, keep files open, and look at the metadata performance of the file system rather
-- @advice than at its bandwidth.
-- @source path_resolution(7), inode(7)
-- @needs io
-- @from measures subject evidence cost_ns
SELECT
    'all calls on files' AS subject,
    concat(calls, ' of ', all_calls, ' calls, ', TRY_CAST(round(percent) AS BIGINT), ' % of the time') AS evidence,
    names_ns AS cost_ns
FROM (
    SELECT
        calls, all_calls, names_ns,
        CAST(names_ns AS DOUBLE) * 100 / nullif(all_ns, 0) AS percent
    FROM (
        SELECT
            count(*) FILTER (WHERE class IN ('opens', 'looks', 'changes')) AS calls,
            count(*) AS all_calls,
            CAST(coalesce(sum(dur_ns) FILTER (WHERE class IN ('opens', 'looks', 'changes')), 0) AS BIGINT) AS names_ns,
            CAST(coalesce(sum(dur_ns), 0) AS BIGINT) AS all_ns
        FROM io
    )
)
WHERE calls >= 1000 AND percent > 50
