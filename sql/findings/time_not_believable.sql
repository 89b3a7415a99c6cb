-- The run has caveats of its time, or flaws.
--
-- @title The time of the run is not that of the program
-- @severity info
-- @advice Compare calls and outcomes, and not the time of the whole; docs/SCHEMA.md says what each word means and what
-- @advice helps.
-- @source caveats of a run (docs/SCHEMA.md)
-- @needs manifests results
-- @from measures subject evidence cost_ns
SELECT 'the run' AS subject, string_agg(value, ', ') AS evidence, CAST(NULL AS BIGINT) AS cost_ns
FROM (
    SELECT value
    FROM manifests
    WHERE kind = 'run' AND (key LIKE 'summary.time.caveats.%' OR key LIKE 'summary.flaws.%')
    ORDER BY value
)
HAVING count(*) > 0
