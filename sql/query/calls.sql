-- What the captured programs called: one row per syscall, those that took longest first.
--
-- @needs events
-- @from events syscall
-- @from measures calls
-- @column failed BIGINT of them with an error
-- @column bytes BIGINT bytes of files that it moved
-- @from measures total_ns
-- @column p50_ns BIGINT half of the calls took at most this, ns
-- @from measures p99_ns max_ns
SELECT
    events.syscall,
    count(*) AS calls,
    count(*) FILTER (WHERE errno <> 0) AS failed,
    CAST(coalesce(sum(ret) FILTER (WHERE ret > 0 AND moves <> 'nothing'), 0) AS BIGINT) AS bytes,
    CAST(coalesce(sum(dur), 0) AS BIGINT) AS total_ns,
    percentile(dur, 0.5) AS p50_ns,
    percentile(dur, 0.99) AS p99_ns,
    max(dur) AS max_ns
FROM events
LEFT JOIN syscall_def AS def ON def.syscall = events.syscall
GROUP BY events.syscall
ORDER BY total_ns DESC, calls DESC, syscall
