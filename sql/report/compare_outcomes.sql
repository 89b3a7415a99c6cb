-- Ops that went differently in two runs of one workload.
--
-- Runs of workloads with other fingerprints cannot be compared, and then this view is not there.
--
-- @needs results_1 results_2
-- @from results op_id seq syscall
-- @column outcome VARCHAR its outcome in the first run
-- @column outcome_2 VARCHAR its outcome in the second
-- @column errno BIGINT its error in the first run, 0 for success
-- @column errno_2 BIGINT its error in the second
SELECT
    one.op_id, one.seq, one.syscall, one.outcome, two.outcome AS outcome_2, one.errno, two.errno AS errno_2
FROM results_1 AS one
JOIN results_2 AS two ON two.op_id = one.op_id
WHERE one.outcome <> two.outcome OR one.errno <> two.errno
ORDER BY op_id
