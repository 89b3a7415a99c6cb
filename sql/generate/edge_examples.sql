-- Two edges of each kind of resource with the calls at their ends, for `--explain-order`; those that are kept first.
--
-- @needs pruned ops
-- @from edges resource
-- @column kept BOOLEAN does the edge say something new?
-- @from edges op_id lane
-- @column syscall VARCHAR its call
-- @column path VARCHAR what it is about
-- @from edges after after_lane
-- @column after_syscall VARCHAR its call
-- @column after_path VARCHAR what it is about
WITH
few AS (
    SELECT *
    FROM (SELECT *, row_number() OVER (PARTITION BY resource ORDER BY kept DESC, op_id, after) AS nth FROM pruned)
    WHERE nth <= 2
)
SELECT
    few.resource, few.kept, few.op_id, few.lane, later.syscall, later.path, few.after, few.after_lane,
    earlier.syscall AS after_syscall, earlier.path AS after_path
FROM few
JOIN ops AS later ON later.op_id = few.op_id
JOIN ops AS earlier ON earlier.op_id = few.after
ORDER BY few.resource, nth
