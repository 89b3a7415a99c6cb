-- Touches of contended resources: several lanes touch them, and not all of them only read or only add.
--
-- Most resources are not contended, so little is left for the stages that follow to sort.
--
-- @needs touches
-- @from measures resource access
-- @from lanes lane
-- @from measures first last ops_before ns_before ops_through ns_through
SELECT touches.*
FROM (
    SELECT resource AS shared
    FROM touches
    GROUP BY resource
    HAVING min(lane) < max(lane) AND (max(access) = 2 OR min(access) < max(access))
)
JOIN touches ON touches.resource = shared
