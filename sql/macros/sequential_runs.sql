-- How long accesses go on one behind the other: a histogram of runs for each class.
--
-- A run is a chain of reads, or of writes, through one open file description, each of which begins where the one before ended.
--
-- @parameter bits BIGINT 0 binary digits behind the highest that a bucket keeps: with 0 buckets are powers of two
-- @needs accesses
-- @example SELECT * FROM sequential_runs()
-- @from measures class
-- @column from_accesses BIGINT lower end of the bucket: accesses in a run
-- @column runs BIGINT how many runs were so long
-- @column accesses BIGINT accesses in them
-- @from measures bytes
WITH
marked AS (
    SELECT
        class, ofd, seq, bytes,
        CASE WHEN gap = 0 AND class = lag(class) OVER (PARTITION BY ofd ORDER BY seq) THEN 0 ELSE 1 END AS begins
    FROM accesses
),
numbered AS (SELECT class, ofd, bytes, sum(begins) OVER (PARTITION BY ofd ORDER BY seq) AS run FROM marked),
runs AS (SELECT class, ofd, run, count(*) AS length, sum(bytes) AS bytes FROM numbered GROUP BY class, ofd, run)
SELECT class, bucket(length, $bits) AS from_accesses, count(*) AS runs, sum(length) AS accesses, sum(bytes) AS bytes
FROM runs
GROUP BY class, bucket(length, $bits)
ORDER BY class, from_accesses
