-- For each lane which rows of tables ops and edges are its own, and sums over its ops.
--
-- Ops and edges are sorted by lane, so a lane is a run of rows: its first row is the number of rows of the lanes before
-- it.
--
-- @needs ops edges syscall_def
-- @from lanes
WITH
counted AS (
    SELECT
        lane, min(vpid) AS vpid, count(*) AS ops, min(op_id) AS first_op, max(op_id) AS last_op,
        sum(dur) AS busy, sum(CASE WHEN def.moves <> 'nothing' AND ret > 0 THEN ret END) AS bytes
    FROM ops
    LEFT JOIN syscall_def AS def ON def.syscall = ops.op
    GROUP BY lane
),
waiting AS (SELECT lane AS waiting, count(*) AS edges FROM edges GROUP BY lane),
both AS (SELECT counted.*, coalesce(edges, 0) AS edges FROM waiting RIGHT JOIN counted ON counted.lane = waiting.waiting)
SELECT
    lane, vpid, CAST(sum(ops) OVER (ORDER BY lane) - ops AS BIGINT) AS first_row, ops, first_op, last_op,
    CAST(sum(edges) OVER (ORDER BY lane) - edges AS BIGINT) AS first_edge, edges, busy, bytes
FROM both
ORDER BY lane
