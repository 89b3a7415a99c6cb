-- What the capture tells of the page cache: how much was read of files that were there before, how much of that was in memory when it
-- was read first, and how much came into memory meanwhile.
--
-- One row. What is warm is part of what is read, or lies in a page that a write changed in part.
--
-- @needs chosen
-- @column read BIGINT bytes of the initial content of files that calls and page faults read
-- @column warm BIGINT bytes of it that were in the page cache when they were read first
-- @column files BIGINT number of files with such bytes
-- @column added BIGINT bytes that were added to the page cache, of files that may be replayed
SELECT
    CAST(coalesce(sum(size) FILTER (WHERE tag = 'extent' AND kind = 'read'), 0) AS BIGINT) AS read,
    CAST(coalesce(sum(size) FILTER (WHERE tag = 'extent' AND kind = 'warm'), 0) AS BIGINT) AS warm,
    count(DISTINCT at_path) FILTER (WHERE tag = 'extent' AND kind = 'warm') AS files,
    CAST(coalesce(sum(count) FILTER (WHERE tag = 'event' AND syscall = 'page_cache_add' AND fate = 'model'), 0) AS BIGINT) AS added
FROM chosen
