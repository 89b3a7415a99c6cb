-- Touches of contended resources: several lanes touch them, and not all of them only read or only add.
--
-- Most resources are not contended, so little is left for the stages that follow to sort.
--
-- @needs touches
-- @column resource BIGINT the resource
-- @column access BIGINT 0 reads it, 1 adds to it, 2 writes it
-- @column lane BIGINT the lane
-- @column first BIGINT the first op_id of the span
-- @column last BIGINT the last op_id of the span
-- @column ops_before BIGINT ops of the lane before the first
-- @column ns_before BIGINT their captured time, ns
-- @column ops_through BIGINT ops of the lane up to the last
-- @column ns_through BIGINT their captured time, ns
SELECT touches.*
FROM (
    SELECT resource AS shared
    FROM touches
    GROUP BY resource
    HAVING min(lane) < max(lane) AND (max(access) = 2 OR min(access) < max(access))
)
JOIN touches ON touches.resource = shared
