-- Which ops must follow which: every edge that a resource asks for.
--
-- All ops of a phase come after all of the phase before it. Inside a lane that is so anyway, so it is enough that the first op
-- of each lane in a phase follows the last op of every other lane in the phase before; earlier phases follow from that.
--
-- Where many lanes follow many (a thousand ranks wrote a file, and now each reads it) this would be an edge for every pair.
-- Then the first op of the later phase is a gate: it alone follows all of the phase before, and the other lanes follow it. That
-- asks for a little more than the resource does, and needs one edge per lane instead of thousands.
--
-- What ops waited for beside resources (stage causes) are edges, too.
--
-- @needs phases causes
-- @from edges op_id lane after after_lane
-- @from measures kind
-- @from measures ops_before ns_before ops_through ns_through
-- @from edges delay
WITH
crowds AS (
    SELECT resource, phase, count(*) AS lanes, min(first) AS gate
    FROM phases
    GROUP BY resource, phase
    HAVING count(*) > 1
),
borders AS (
    SELECT later.resource, later.phase, later.gate
    FROM crowds AS earlier
    JOIN crowds AS later ON later.resource = earlier.resource AND later.phase = earlier.phase + 1
    WHERE earlier.lanes * later.lanes > 1024
),
gated AS (
    SELECT phases.*, gate
    FROM borders
    RIGHT JOIN phases ON phases.resource = borders.resource AND phases.phase = borders.phase
)
SELECT
    later.first AS op_id, later.lane, earlier.last AS after, earlier.lane AS after_lane, resource_kind(later.resource) AS kind,
    later.ops_before, later.ns_before, earlier.ops_through, earlier.ns_through, CAST(NULL AS BIGINT) AS delay
FROM phases AS earlier
JOIN gated AS later
    ON later.resource = earlier.resource AND later.phase = earlier.phase + 1 AND later.lane <> earlier.lane
WHERE later.gate IS NULL OR later.first = later.gate
UNION ALL
SELECT
    later.first AS op_id, later.lane, first_in.first AS after, first_in.lane AS after_lane, resource_kind(later.resource) AS kind,
    later.ops_before, later.ns_before, first_in.ops_before + 1 AS ops_through, first_in.ns_before AS ns_through,
    CAST(NULL AS BIGINT) AS delay
FROM gated AS first_in
JOIN gated AS later ON later.resource = first_in.resource AND later.phase = first_in.phase
WHERE first_in.first = first_in.gate AND later.first > later.gate
UNION ALL
SELECT op_id, lane, after, after_lane, kind, ops_before, ns_before, ops_through, ns_through, delay
FROM causes
