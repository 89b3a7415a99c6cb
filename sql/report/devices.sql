-- Activity per second of each block device behind the targets of a run, and of `all` disks of the machine together.
--
-- @needs samples
-- @column name VARCHAR the device, or all
-- @from measures second
-- @column reads BIGINT reads that completed
-- @column read_bytes BIGINT bytes read
-- @column writes BIGINT writes that completed
-- @column written_bytes BIGINT bytes written
-- @column flushes BIGINT flushes of its cache
-- @column queue DOUBLE requests waiting or being served, on average
-- @column busy DOUBLE share of the time with at least one request, 0 to 1
WITH steps AS (
    SELECT
        name, metric,
        lag(taken) OVER before AS since,
        taken - lag(taken) OVER before AS length,
        value - lag(value) OVER before AS grown
    FROM samples
    WHERE kind = 'device'
    WINDOW before AS (PARTITION BY name, metric ORDER BY taken)
)
SELECT
    name,
    (since + 500000000) / 1000000000 AS second,
    sum(grown) FILTER (WHERE metric = 'reads') AS reads,
    sum(grown) FILTER (WHERE metric = 'read_bytes') AS read_bytes,
    sum(grown) FILTER (WHERE metric = 'writes') AS writes,
    sum(grown) FILTER (WHERE metric = 'written_bytes') AS written_bytes,
    sum(grown) FILTER (WHERE metric = 'flushes') AS flushes,
    CAST(sum(grown) FILTER (WHERE metric = 'queue_ns') AS DOUBLE) / nullif(max(length), 0) AS queue,
    -- The kernel counts busy time in whole milliseconds, which may end just after the sample: the share would be above 1.
    least(CAST(sum(grown) FILTER (WHERE metric = 'busy_ns') AS DOUBLE) / nullif(max(length), 0), 1.0) AS busy
FROM steps
WHERE since IS NOT NULL
GROUP BY name, (since + 500000000) / 1000000000
ORDER BY name, second
