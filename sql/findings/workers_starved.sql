-- Of at least two workers, those that issued 100 ops or more and spent less than a third of their time in calls.
--
-- @title Workers of the replay wait more than they work
-- @severity info
-- @advice With a pace that is as it should be. Without one the order holds them up: the program itself had no more to do
-- @advice at once.
-- @source view workers (docs/SQL.md)
-- @needs workers
-- @from measures subject evidence cost_ns
SELECT
    concat('worker ', worker) AS subject,
    concat(ops, ' ops, ', TRY_CAST(round(busy * 100) AS BIGINT), ' % of its time in calls') AS evidence,
    wait_ns AS cost_ns
FROM workers
CROSS JOIN (SELECT count(*) AS all_workers FROM workers)
WHERE all_workers >= 2 AND ops >= 100 AND busy < 1.0 / 3
ORDER BY cost_ns DESC, subject
LIMIT 5
