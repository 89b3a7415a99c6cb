-- Processor time of the captured threads between their calls, over all events: divided by the span, the processors that the program
-- kept busy on average.
--
-- @needs chosen
-- @column computed BIGINT sum of cpu over all events, ns; NULL where waits were not captured
SELECT CAST(sum(cpu) AS BIGINT) AS computed FROM chosen WHERE tag = 'event'
