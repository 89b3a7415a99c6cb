-- Files of programs that may commit for several at once (group commit), so that how often they write back depends on the device.
--
-- Either several lanes write the same file back, or one does so with what it hears from others: it syncs at least 20 times, 8 times at least
-- a message or a thread let it go on, and now it writes more at once and now less (standard deviation over a fifth of the mean).
--
-- @needs ops edges syscall_def
-- @column files BIGINT such files
WITH calls AS (
    SELECT ops.file, heard.lane IS NOT NULL AS hears, CASE WHEN def.class = 'syncs' THEN ops.lane END AS syncs, ops.ret AS bytes
    FROM ops
    JOIN syscall_def AS def ON def.syscall = ops.op
    LEFT JOIN (SELECT lane FROM edges WHERE resource IN ('message', 'wake') GROUP BY lane HAVING count(*) >= 8) AS heard ON heard.lane = ops.lane
    WHERE ops.file IS NOT NULL AND (def.class = 'syncs' OR def.class = 'writes' AND heard.lane IS NOT NULL)
)
SELECT count(*) AS files
FROM (
    SELECT file
    FROM calls
    GROUP BY file
    HAVING min(syncs) < max(syncs)
        OR count(syncs) FILTER (WHERE hears) >= 20
            AND stddev(bytes) FILTER (WHERE syncs IS NULL) > avg(bytes) FILTER (WHERE syncs IS NULL) / 5
) AS shared
