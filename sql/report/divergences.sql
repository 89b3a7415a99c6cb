-- Outcomes that differ from the captured ones, by call and by how they differ; those that are not compared, likewise.
--
-- @needs results
-- @column outcome VARCHAR different or uncompared
-- @from results kind syscall captured_errno
-- @column errno BIGINT error in the replay
-- @column calls BIGINT how many
-- @column first_op BIGINT the first of them
SELECT outcome, kind, syscall, captured_errno, errno, count(*) AS calls, min(op_id) AS first_op
FROM results
WHERE origin = 'event' AND outcome <> 'same'
GROUP BY outcome, kind, syscall, captured_errno, errno
ORDER BY outcome, calls DESC, first_op
