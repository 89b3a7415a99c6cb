-- How busy the processors were in each second of the run, and in which share of it some task waited for a disk.
--
-- @title Processors and pressure
-- @part machine
-- @plot line x=second_s y=cpu_share,io_pressure_share
-- @needs timeline
-- @column second_s BIGINT seconds from the start of the replay
-- @column cpu_share DOUBLE time of the processors that was not idle, 0 to 1
-- @column io_pressure_share DOUBLE time in which some task waited for a disk, 0 to 1
-- @column dirty_bytes BIGINT page cache that had to be written yet
SELECT second AS second_s, cpu AS cpu_share, io_pressure AS io_pressure_share, dirty_bytes
FROM timeline
WHERE cpu IS NOT NULL
ORDER BY second
LIMIT 2000
