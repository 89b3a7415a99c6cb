-- The phases of contended resources: touches within a phase commute, those of one phase and the next do not.
--
-- A phase ends where the access (read, add or write) changes, and after every span of writes. Only integers are sorted.
--
-- @needs contended
-- @from measures resource
-- @column phase BIGINT number of the phase, ascending in order of effect
-- @column lane BIGINT a lane that touches the resource in the phase
-- @column first BIGINT its first op_id that does
-- @column last BIGINT its last op_id that does
-- @from measures ops_before ns_before ops_through ns_through
WITH
turns AS (
    SELECT
        *,
        CAST(access = 2 OR access <> lag(access, 1, -1) OVER (PARTITION BY resource ORDER BY first, access) AS BIGINT) AS turn
    FROM contended
),
spans AS (
    SELECT
        *,
        sum(turn) OVER (PARTITION BY resource ORDER BY first, access ROWS UNBOUNDED PRECEDING) AS phase
    FROM turns
)
SELECT
    resource, phase, lane, min(first) AS first, max(last) AS last, min(ops_before) AS ops_before,
    min(ns_before) AS ns_before, max(ops_through) AS ops_through, max(ns_through) AS ns_through
FROM spans
GROUP BY resource, phase, lane
