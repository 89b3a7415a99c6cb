-- Classes of calls of which at least one in 20 fails for another reason than that there is no such file, 100 at least.
--
-- @title Calls that fail
-- @severity low
-- @advice Look at what fails and why (`SELECT path, errno, count(*) FROM io WHERE errno <> 0 GROUP BY 1, 2`): each costs
-- @advice a call and does nothing.
-- @source errno(3)
-- @needs io
-- @from measures subject evidence cost_ns
SELECT
    concat('class ', class) AS subject,
    concat(failed, ' of ', calls, ' calls') AS evidence,
    failed_ns AS cost_ns
FROM (
    SELECT
        class,
        count(*) AS calls,
        -- ENOENT is told apart (missing_paths); EAGAIN asks to try later.
        count(*) FILTER (WHERE errno NOT IN (0, 2, 11)) AS failed,
        CAST(coalesce(sum(dur_ns) FILTER (WHERE errno NOT IN (0, 2, 11)), 0) AS BIGINT) AS failed_ns
    FROM io
    GROUP BY class
)
WHERE failed >= 100 AND failed * 20 >= calls
ORDER BY failed DESC, subject
LIMIT 5
