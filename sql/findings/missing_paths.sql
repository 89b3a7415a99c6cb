-- Paths that were looked up or opened at least 10 times and never found, where there are 100 such calls or more.
--
-- @title The same missing paths, again and again
-- @severity medium
-- @advice Keep in memory what is not there, shorten the list of directories that are searched, or create what is asked
-- @advice for.
-- @source path_resolution(7): each name on the way is looked up
-- @needs io
-- @from measures subject evidence cost_ns
WITH missing AS (
    -- ENOENT (errno(3)).
    SELECT path, count(*) AS calls, CAST(coalesce(sum(dur_ns), 0) AS BIGINT) AS look_ns
    FROM io
    WHERE errno = 2 AND class IN ('opens', 'looks') AND path IS NOT NULL
    GROUP BY path
    HAVING count(*) >= 10
)
SELECT
    path AS subject,
    concat(calls, ' of ', all_calls, ' calls on ', paths, ' such paths') AS evidence,
    look_ns AS cost_ns
FROM missing
CROSS JOIN (SELECT CAST(sum(calls) AS BIGINT) AS all_calls, count(*) AS paths FROM missing)
WHERE all_calls >= 100
ORDER BY calls DESC, subject
LIMIT 5
