-- How many bytes reads and writes moved, by powers of two: a row is for sizes from its own to the next.
--
-- @title Sizes of reads and writes
-- @part sizes
-- @plot bars x=size_bytes y=reads,writes
-- @needs accesses
-- @column size_bytes BIGINT least number of bytes
-- @column reads BIGINT reads that moved that many
-- @column writes BIGINT writes that moved that many
SELECT
    bucket(bytes, 0) AS size_bytes,
    count(*) FILTER (WHERE class = 'reads') AS reads,
    count(*) FILTER (WHERE class = 'writes') AS writes
FROM accesses
GROUP BY bucket(bytes, 0)
ORDER BY size_bytes
