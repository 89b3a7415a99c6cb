-- How large reads and writes were: a histogram for each class.
--
-- @parameter bits BIGINT 0 binary digits behind the highest that a bucket keeps: with 0 buckets are powers of two, with 1 halves of those
-- @needs accesses
-- @example SELECT * FROM access_sizes()
-- @from measures class
-- @column from_bytes BIGINT lower end of the bucket, bytes
-- @column accesses BIGINT how many moved at least that, and less than the next bucket's
-- @from measures bytes
-- @column access_share DOUBLE of the accesses of the class, 0 to 1
SELECT
    class,
    bucket(bytes, $bits) AS from_bytes,
    count(*) AS accesses,
    sum(bytes) AS bytes,
    count(*) / CAST(sum(count(*)) OVER (PARTITION BY class) AS DOUBLE) AS access_share
FROM accesses
GROUP BY class, bucket(bytes, $bits)
ORDER BY class, from_bytes
