-- Events are not in the capture: everything here is about the others.
--
-- @title The capture lost events
-- @severity high
-- @advice Capture again with larger buffers or a narrower scope.
-- @source table losses (docs/SCHEMA.md)
-- @needs losses
-- @from measures subject evidence cost_ns
SELECT 'the capture' AS subject, concat(kind, ': ', missed) AS evidence, CAST(NULL AS BIGINT) AS cost_ns
FROM (SELECT kind, CAST(sum("count") AS BIGINT) AS missed FROM losses WHERE event GROUP BY kind)
WHERE missed > 0
ORDER BY missed DESC, evidence
LIMIT 5
