-- How many accesses a cache of each size would miss, if it held the pages that were used last: the miss-ratio curve.
--
-- Made of reuse times (pages accessed from one access of a page to its next) by way of the average footprint, which is the mean
-- number of different pages in all windows of the same length; an estimate of the curve that exact reuse distances (LRU stack
-- distances) give. Pages that were read or written for the first time are always missed. Read-ahead and writeback are left out.
-- Source: Xiang, Ding, Luo, Bao: HOTL, a higher order theory of locality, ASPLOS 2013.
--
-- @parameter page SIZE 64K size of a page, 512 bytes at least: of a smaller one 512
-- @needs accesses
-- @example SELECT * FROM miss_ratio('4K')
-- @column cache_bytes BIGINT size of the cache, bytes
-- @column miss_ratio DOUBLE share of the accesses of pages that it misses, 0 to 1
WITH
spans AS (
    SELECT seq, file, unnest(generate_series(offset / greatest($page, 512), offset / greatest($page, 512) + at_most(
            (offset % greatest($page, 512) + bytes - 1) / greatest($page, 512), 4194304, 'pages of one access are too many: larger pages make fewer'
        ))) AS page
    FROM accesses
    WHERE offset IS NOT NULL
),
numbered AS (SELECT file, page, row_number() OVER (ORDER BY seq, page) AS nth FROM spans),
reused AS (
    SELECT
        nth,
        lag(nth) OVER (PARTITION BY file, page ORDER BY nth) AS before,
        lead(nth) OVER (PARTITION BY file, page ORDER BY nth) AS later
    FROM numbered
),
totals AS (SELECT count(*) AS n, count(*) FILTER (WHERE before IS NULL) AS m FROM reused),
-- Times between accesses of a page, and those before its first one and behind its last.
times AS (
    SELECT nth - before AS length, 1 AS reuse FROM reused WHERE before IS NOT NULL
    UNION ALL
    SELECT nth, 0 FROM reused WHERE before IS NULL
    UNION ALL
    SELECT n - nth + 1, 0 FROM reused CROSS JOIN totals WHERE later IS NULL
),
counted AS (SELECT length, count(*) AS times, sum(reuse) AS reuses FROM times GROUP BY length),
-- Of all that are longer: how many, their sum, and how many of them end in an access.
longer AS (
    SELECT
        length,
        sum(times) OVER (ORDER BY length DESC) - times AS times,
        sum(times * length) OVER (ORDER BY length DESC) - times * length AS lengths,
        sum(reuses) OVER (ORDER BY length DESC) - reuses AS reuses
    FROM counted
),
curve AS (
    SELECT
        m - (lengths - length * times) / CAST(n - length + 1 AS DOUBLE) AS pages,
        (m + reuses) / CAST(n AS DOUBLE) AS ratio
    FROM longer
    CROSS JOIN totals
)
SELECT bucket(CAST(ceil(pages) AS BIGINT), 2) * greatest($page, 512) AS cache_bytes, max(ratio) AS miss_ratio
FROM curve
GROUP BY bucket(CAST(ceil(pages) AS BIGINT), 2)
ORDER BY cache_bytes
