-- How busy the devices behind the targets were in each second of the run.
--
-- @title Devices
-- @part machine
-- @plot line x=second_s y=busy_share by=name
-- @needs devices
-- @column name VARCHAR the block device
-- @column second_s BIGINT seconds after the start of the replay
-- @column busy_share DOUBLE of the second with at least one request, 0 to 1
-- @column queue DOUBLE requests waiting or being served on average
SELECT name, second AS second_s, busy AS busy_share, queue
FROM devices
WHERE busy IS NOT NULL
ORDER BY name, second
LIMIT 4000
