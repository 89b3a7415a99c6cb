-- Why threads slept between their calls, by what woke them. Only captures by eBPF know it.
--
-- @title Waits of the captured threads
-- @part order
-- @plot bars x=cause y=slept_ns
-- @needs waits
-- @column cause VARCHAR what ended the wait: thread, timer, outside, interrupt, network or unknown
-- @column waits BIGINT how many
-- @column slept_ns BIGINT their time, all together, ns
SELECT cause, count(*) AS waits, CAST(sum(ran - slept) AS BIGINT) AS slept_ns
FROM waits
GROUP BY cause
ORDER BY slept_ns DESC, cause
