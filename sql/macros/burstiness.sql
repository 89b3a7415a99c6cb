-- How evenly calls come, for each class: the calls of each slice of time against their mean.
--
-- The index of dispersion is the variance of the calls of a slice over their mean: 1 for independent arrivals (a Poisson process),
-- 0 for a steady beat, more for bursts. It grows with the length of the slices where bursts are longer than they are.
--
-- @parameter width DURATION 100ms length of a slice
-- @needs io
-- @example SELECT * FROM burstiness('100ms')
-- @from measures class calls
-- @column slices BIGINT slices from the first call of the capture to its last
-- @column idle_share DOUBLE of the slices without such a call, 0 to 1
-- @column mean DOUBLE calls in a slice
-- @column most BIGINT calls in the fullest slice
-- @column dispersion DOUBLE variance of the calls in a slice over their mean
WITH
sliced AS (
    SELECT class, CAST(floor(time_s * 1e9 / greatest($width, 1)) AS BIGINT) AS slice FROM io WHERE time_s IS NOT NULL
),
counts AS (SELECT class, slice, count(*) AS calls FROM sliced GROUP BY class, slice),
span AS (SELECT max(slice) - min(slice) + 1 AS slices FROM sliced),
sums AS (
    SELECT class, sum(calls) AS calls, sum(CAST(calls AS DOUBLE) * calls) AS squares, max(calls) AS most, count(*) AS busy
    FROM counts
    GROUP BY class
)
SELECT
    class, calls, slices,
    1 - busy / CAST(slices AS DOUBLE) AS idle_share,
    calls / CAST(slices AS DOUBLE) AS mean,
    most,
    (squares - calls * (calls / CAST(slices AS DOUBLE))) / calls AS dispersion
FROM sums
CROSS JOIN span
ORDER BY class
