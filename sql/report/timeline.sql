-- Each second of a run: what was issued, how long it took, and what the machine did meanwhile.
--
-- A second has the samples that were taken from its start to the next second's. Disks are all of the machine
-- (the view `devices` tells them apart); a share is of the time, 0 to 1. Bytes are those of what was issued: sendfile to a socket
-- is a read.
--
-- @needs results samples syscall_def
-- @from measures second
-- @column ops BIGINT ops that began in it
-- @from measures read_bytes written_bytes different
-- @column p50_ns BIGINT half of them took at most this, ns
-- @from measures p99_ns max_ns
-- @column lag_p99_ns BIGINT 99 of 100 were issued at most this behind the pace, ns; absent without a pace
-- @column disk_read_bytes BIGINT bytes that the disks read
-- @column disk_written_bytes BIGINT bytes that they wrote
-- @column dirty_bytes BIGINT page cache that had to be written yet, at the end of the second
-- @column io_pressure DOUBLE share of it in which some task waited for a disk
-- @column cpu DOUBLE share of the processors' time that was not idle
-- @column switches BIGINT context switches of the machine
WITH calls AS (
    SELECT
        begin / 1000000000 AS second,
        count(dur) AS ops,
        sum(ret) FILTER (WHERE ret > 0 AND moves IN ('reads', 'copies')) AS read_bytes,
        sum(ret) FILTER (WHERE ret > 0 AND moves IN ('writes', 'copies')) AS written_bytes,
        count(*) FILTER (WHERE outcome = 'different') AS different,
        percentile(dur, 0.5) AS p50_ns,
        percentile(dur, 0.99) AS p99_ns,
        max(dur) AS max_ns,
        percentile(begin - scheduled, 0.99) AS lag_p99_ns
    FROM results
    JOIN syscall_def AS def ON def.syscall = results.op
    GROUP BY begin / 1000000000
),
steps AS (
    SELECT
        kind, name, metric, value,
        lag(taken) OVER before AS since,
        taken - lag(taken) OVER before AS length,
        value - lag(value) OVER before AS grown
    FROM samples
    WINDOW before AS (PARTITION BY kind, name, metric ORDER BY taken)
),
-- A sample is taken late rather than early: its time and half a second, cut to seconds, is the second that it begins.
machine AS (
    SELECT
        (since + 500000000) / 1000000000 AS second,
        sum(grown) FILTER (WHERE kind = 'device' AND name = 'all' AND metric = 'read_bytes') AS disk_read_bytes,
        sum(grown) FILTER (WHERE kind = 'device' AND name = 'all' AND metric = 'written_bytes') AS disk_written_bytes,
        max(value) FILTER (WHERE metric = 'dirty_bytes') AS dirty_bytes,
        sum(grown) FILTER (WHERE kind = 'pressure' AND name = 'io' AND metric = 'some_ns') AS pressed,
        max(length) AS length,
        sum(grown) FILTER (WHERE kind = 'cpu' AND metric IN ('idle_ns', 'iowait_ns')) AS idle,
        sum(grown) FILTER (WHERE kind = 'cpu' AND metric LIKE '%_ns') AS time,
        sum(grown) FILTER (WHERE kind = 'cpu' AND metric = 'switches') AS switches
    FROM steps
    WHERE since IS NOT NULL
    GROUP BY (since + 500000000) / 1000000000
)
SELECT
    coalesce(calls.second, machine.second) AS second,
    coalesce(ops, 0) AS ops,
    CAST(coalesce(read_bytes, 0) AS BIGINT) AS read_bytes,
    CAST(coalesce(written_bytes, 0) AS BIGINT) AS written_bytes,
    coalesce(different, 0) AS different,
    p50_ns,
    p99_ns,
    max_ns,
    lag_p99_ns,
    disk_read_bytes,
    disk_written_bytes,
    dirty_bytes,
    CAST(pressed AS DOUBLE) / nullif(length, 0) AS io_pressure,
    1 - CAST(idle AS DOUBLE) / nullif(time, 0) AS cpu,
    switches
FROM calls
FULL JOIN machine ON machine.second = calls.second
ORDER BY second
