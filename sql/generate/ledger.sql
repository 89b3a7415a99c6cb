-- Counts of events and inserted ops for the manifest, by tag, fate, origin and reason.
--
-- The rows of tag event add up to the number of events.
--
-- @needs chosen
-- @column tag VARCHAR event or insert
-- @from fates fate
-- @from ops origin
-- @from fates reason
-- @column rows BIGINT how many
-- @column on_file BIGINT of them those that coverage counts: on files, or by calls that nobody knows
-- @column ofds BIGINT open file descriptions numbered so far: one more than the highest
SELECT
    tag, fate, origin, reason,
    count(*) AS rows,
    count(*) FILTER (WHERE on_file) AS on_file,
    greatest(coalesce(max(ofd), -1), coalesce(max(ofd2), -1)) + 1 AS ofds
FROM chosen
WHERE tag IN ('event', 'insert')
GROUP BY tag, fate, origin, reason
ORDER BY tag, fate, origin, reason
