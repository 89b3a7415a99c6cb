-- What the disks of the machine read and wrote in each second of the run.
--
-- @title Disks
-- @part machine
-- @plot line x=second_s y=disk_read_bytes_per_s,disk_written_bytes_per_s
-- @needs timeline
-- @column second_s BIGINT seconds since the replay began
-- @column disk_read_bytes_per_s BIGINT bytes that the disks read in it
-- @column disk_written_bytes_per_s BIGINT bytes that they wrote in it
SELECT second AS second_s, disk_read_bytes AS disk_read_bytes_per_s, disk_written_bytes AS disk_written_bytes_per_s
FROM timeline
WHERE disk_read_bytes IS NOT NULL
ORDER BY second
LIMIT 2000
