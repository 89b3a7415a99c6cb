-- Calls under way over time, in slices, for each class and for all.
--
-- A call is under way from its start to its end, in whatever thread. Requests of io_submit and io_uring count as calls.
--
-- @parameter width DURATION 1s length of a slice
-- @needs io
-- @example SELECT * FROM concurrency('100ms')
-- @from measures slice_s
-- @column class VARCHAR class of the calls (`class` of syscall_def), or all
-- @column mean DOUBLE how many were under way, on average over the slice
-- @column most BIGINT how many were under way at most
WITH
timed AS (SELECT class, time_s * 1e9 AS from_ns, time_s * 1e9 + dur_ns AS until_ns FROM io WHERE time_s IS NOT NULL AND dur_ns IS NOT NULL),
calls AS (SELECT * FROM timed UNION ALL SELECT 'all', from_ns, until_ns FROM timed),
slices AS (
    SELECT unnest(generate_series(0, at_most(
        CAST(ceil(max(until_ns) / greatest($width, 1)) AS BIGINT), 1000000, 'slices are too many: a larger width makes fewer'
    ))) AS slice
    FROM timed
),
steps AS (
    SELECT class, from_ns AS at_ns, 1 AS step FROM calls
    UNION ALL
    SELECT class, until_ns, -1 FROM calls
    UNION ALL
    -- A level that goes on beyond the end of a slice is counted in both.
    SELECT class, CAST(slice AS DOUBLE) * greatest($width, 1), 0 FROM slices CROSS JOIN (SELECT DISTINCT class FROM calls) AS classes
),
levels AS (
    SELECT
        class, at_ns,
        lead(at_ns) OVER (PARTITION BY class ORDER BY at_ns, step) - at_ns AS length_ns,
        sum(step) OVER (PARTITION BY class ORDER BY at_ns, step ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS level
    FROM steps
)
SELECT
    floor(at_ns / greatest($width, 1)) * greatest($width, 1) / 1e9 AS slice_s,
    class,
    sum(level * length_ns) / greatest($width, 1) AS mean,
    max(level) AS most
FROM levels
WHERE length_ns IS NOT NULL
GROUP BY floor(at_ns / greatest($width, 1)), class
HAVING max(level) > 0
ORDER BY slice_s, class
