-- Reads and writes that moved bytes, and how far each began behind the end of the one before through the same description.
--
-- @needs io
-- @from events seq
-- @from measures time time_s dur_ns
-- @from events pid tid
-- @from measures class
-- @from ops ofd file path offset
-- @from measures bytes
-- @column gap BIGINT bytes from the end of the access before through the same open file description to the start of this one: 0 is sequential; absent for the first
SELECT
    seq, time, time_s, dur_ns, pid, tid, class, ofd, file, path, offset, bytes,
    offset - lag(offset + bytes) OVER (PARTITION BY ofd ORDER BY seq) AS gap
FROM io
WHERE class IN ('reads', 'writes') AND bytes > 0
