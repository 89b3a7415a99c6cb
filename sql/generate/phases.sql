-- Touches of contended resources, in phases: within a phase they commute, from one to the next they do not.
--
-- A resource is contended when several lanes touch it, and not all of them only read or only add. A phase ends where the
-- way of touching changes, and after every span of writes. The one sort is of integers, and of what is contended only.
--
-- @needs touches
-- @column resource BIGINT the resource
-- @column phase BIGINT number of the phase, ascending in order of effect
-- @column lane BIGINT a lane that touches the resource in the phase
-- @column first BIGINT its first op_id that does
-- @column last BIGINT its last op_id that does
-- @column ops_before BIGINT ops of the lane before the first
-- @column ns_before BIGINT their captured time, ns
-- @column ops_through BIGINT ops of the lane up to the last
-- @column ns_through BIGINT their captured time, ns
WITH
contended AS (
    SELECT resource AS shared
    FROM touches
    GROUP BY resource
    HAVING min(lane) < max(lane) AND (max(access) = 2 OR min(access) < max(access))
),
turns AS (
    SELECT
        touches.*,
        CAST(access = 2 OR access <> lag(access, 1, -1) OVER (PARTITION BY resource ORDER BY first, access) AS BIGINT) AS turn
    FROM contended
    JOIN touches ON touches.resource = contended.shared
),
spans AS (
    SELECT *, sum(turn) OVER (PARTITION BY resource ORDER BY first, access) AS phase
    FROM turns
)
SELECT
    resource, phase, lane, min(first) AS first, max(last) AS last, min(ops_before) AS ops_before,
    min(ns_before) AS ns_before, max(ops_through) AS ops_through, max(ns_through) AS ns_through
FROM spans
GROUP BY resource, phase, lane
