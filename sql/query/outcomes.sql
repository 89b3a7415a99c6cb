-- How the replayed calls went: one row per outcome and kind. Inserted ops are left out.
--
-- @needs results
-- @from results outcome kind
-- @column ops BIGINT how many
-- @column share DOUBLE of all, 0 to 1
SELECT outcome, kind, ops, ops / CAST(sum(ops) OVER () AS DOUBLE) AS share
FROM (SELECT outcome, kind, count(*) AS ops FROM results WHERE origin = 'event' GROUP BY outcome, kind)
ORDER BY ops DESC, outcome, kind
