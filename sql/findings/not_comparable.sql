-- At least one in 100 compared outcomes differs from the captured one.
--
-- @title The replay did not do the same
-- @severity high
-- @advice Look at the differences first: times of calls that fail, or work on other files, say nothing of the program.
-- @source view divergences (docs/SQL.md)
-- @needs results
-- @from measures subject evidence cost_ns
SELECT
    'the run' AS subject,
    concat(different, ' of ', compared, ' compared outcomes differ') AS evidence,
    different_ns AS cost_ns
FROM (
    SELECT
        count(*) FILTER (WHERE outcome = 'different') AS different,
        count(*) FILTER (WHERE outcome <> 'uncompared') AS compared,
        CAST(coalesce(sum(dur) FILTER (WHERE outcome = 'different'), 0) AS BIGINT) AS different_ns
    FROM results
    WHERE origin = 'event'
)
WHERE different > 0 AND different * 100 >= compared
