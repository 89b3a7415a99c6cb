-- Events in the order of their starts, for lines of strace; one without a start stands behind the one before it.
--
-- @needs events
-- @from events
-- @column begins BIGINT start of the call, or the latest start of one before it, ns
-- @column next_seq BIGINT lowest seq of all events that start later
WITH started AS (
    SELECT *, coalesce(ts, max(ts) OVER (ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW), 0) AS begins FROM events
)
SELECT *, min(seq) OVER (ORDER BY begins DESC, seq DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS next_seq
FROM started
ORDER BY begins, seq
