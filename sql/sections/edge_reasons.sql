-- What ops of one thread wait for ops of another for.
--
-- @title Edges between threads
-- @part order
-- @plot table
-- @needs edges
-- @column resource VARCHAR kind of what both touch, or why one followed from the other
-- @column edges BIGINT how many ops wait for it
-- @column mean_delay_ns BIGINT how long behind its cause an op began, on average, where that is known
SELECT resource, count(*) AS edges, TRY_CAST(avg(delay) AS BIGINT) AS mean_delay_ns
FROM edges
GROUP BY resource
ORDER BY edges DESC, resource
